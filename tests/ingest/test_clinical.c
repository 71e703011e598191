/*
 * Clinical documents: a C-CDA document and a FHIR bundle, written by hand after the specifications,
 * and what their sections say.
 */
#include "collect.h"

#include <glib/gstdio.h>
#include <string.h>

#include "ingest/place.h"

typedef struct {
    const char *path;
    const char *label;
    const char *text;
} Section;

static void
check(const char *name, const char *title, const Section *want, guint n)
{
    g_autofree char *path = g_strconcat(PD_SOURCE_ROOT "/tests/golden/clinical/", name, NULL);
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 1);
    const PdDocument *document = g_ptr_array_index(c->documents, 0);
    g_assert_cmpint(document->kind, ==, PD_KIND_CLINICAL);
    g_assert_true(g_str_has_suffix(document->title, title));
    for (guint i = 0; i < MIN(n, document->parts->len); i++) {
        const PdPart *part = g_ptr_array_index(document->parts, i);
        g_assert_cmpstr(part->path, ==, want[i].path);
        g_assert_cmpstr(part->label, ==, want[i].label);
        g_assert_cmpstr(part->text->str, ==, want[i].text);
    }
    g_assert_cmpuint(document->parts->len, ==, n);
}

static void
test_ccda(void)
{
    static const Section sections[] = {
        {"section/1", "header",
         "Title: Continuity of Care Document\nDate: 2011-05-03\nPatient: Ingrid S\xc3\xa6ther\n"
         "Born: 1947-05-01\nAuthor: Dr Moe\n"},
        {"section/2", "Medications", "Medications\nDrug\tDose\nMetoprolol\t50 mg, twice a day\n"},
        {"section/3", "Problem list",
         "Problem list\n- Hypertension since 2003\n- Atrial fibrillation\n\nNo known allergies.\n"},
        {"section/4", "Resolved", "Resolved\nPneumonia, 2009.\n"},
    };
    check("ccda.xml", "Continuity of Care Document", sections, G_N_ELEMENTS(sections));
    g_autofree char *place =
        pd_part_place(PD_KIND_CLINICAL, "section/2", "Medications", sections[1].text, 12, 20);
    g_assert_cmpstr(place, ==, "section 2 (\"Medications\"), l. 2");
}

static void
test_fhir(void)
{
    static const Section sections[] = {
        {"section/1", "Condition: Hypertension",
         "Hypertension, since 2003\ncode.coding.code: 38341003\n"
         "code.coding.display: Hypertensive disorder\ncode.text: Hypertension\n"
         "onsetDateTime: 2003-04-01\n"},
        {"section/2", "Observation: Pulse",
         "status: final\ncode.text: Pulse\nvalueQuantity.value: 72.5\n"
         "valueQuantity.unit: beats/minute\n"},
    };
    check("bundle.json", "bundle.json", sections, G_N_ELEMENTS(sections));
}

/* One file is read, or refused in words. */
static void
refused(const char *name, const char *text, const char *why)
{
    g_autoptr(Collected) c = collect_text(name, text, NULL);
    g_assert_true(collected_says(c, why, ""));
}

/* Sections in sections: read to the limit, and said where it is hit. */
static void
test_limit(void)
{
    g_autofree char *dir = g_dir_make_tmp("pandect-clinical-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "deep.xml", NULL);
    g_autoptr(GString) text = g_string_new("<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><component>"
                                           "<structuredBody>");
    for (int i = 1; i <= 3; i++)
        g_string_append_printf(text, "<component><section><text>level %d</text>", i);
    for (int i = 1; i <= 3; i++)
        g_string_append(text, "</section></component>");
    g_string_append(text, "</structuredBody></component></ClinicalDocument>");
    g_assert_true(g_file_set_contents(path, text->str, -1, NULL));
    g_autoptr(Collected) whole = collect(path, NULL, NULL);
    g_autofree char *all = collected_text(whole);
    g_assert_nonnull(strstr(all, "level 3"));
    g_assert_cmpuint(whole->lines->len, ==, 0);
    PdReadLimits limits = pd_read_limits_default;
    limits.section_depth_max = 2;
    g_autoptr(Collected) cut = collect(path, NULL, &limits);
    g_autofree char *some = collected_text(cut);
    g_assert_nonnull(strstr(some, "level 2"));
    g_assert_null(strstr(some, "level 3"));
    g_assert_true(collected_says(cut, "partial", "sections deeper than the limit of 2"));
    static const char three[] =
        "{\"resourceType\": \"Patient\", \"name\": [{\"family\": \"Lee\"}]}";
    g_autofree char *json = g_build_filename(dir, "three.json", NULL);
    g_assert_true(g_file_set_contents(json, three, -1, NULL));
    limits.json_depth_max = 3;
    g_autoptr(Collected) fits = collect(json, NULL, &limits);
    g_assert_cmpuint(fits->documents->len, ==, 1);
    limits.json_depth_max = 2;
    g_autoptr(Collected) deep = collect(json, NULL, &limits);
    g_assert_cmpuint(deep->documents->len, ==, 0);
    g_assert_true(collected_says(deep, "nested deeper than the limit of 2", ""));
    remove_folder(dir);
}

static void
test_damaged(void)
{
    g_autoptr(GString) deep = g_string_new("{\"resourceType\": \"Patient\", \"a\": ");
    for (int i = 0; i < 300; i++)
        g_string_append_c(deep, '[');
    refused("deep.json", deep->str, "nested deeper than the limit of 200");
    /* A quote in a comment, which json-glib skips, would hide what nests behind it. */
    g_string_assign(deep, "{\"resourceType\": \"Patient\", \"a\": /*\"*/");
    for (int i = 0; i < 400000; i++)
        g_string_append_c(deep, '[');
    refused("comment.json", deep->str, "comments or single quotes");
    refused("cut.xml", "<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><title>x</tit",
            "its XML is damaged");
    /* Entities that grow. */
    refused("loop.xml",
            "<!DOCTYPE ClinicalDocument [<!ENTITY a \"aaaaaaaaaaaaaaaaaaaa\">"
            "<!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&c;&b;\">]>"
            "<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><title>&c;</title></ClinicalDocument>",
            "its XML is damaged");
    refused("entity.xml",
            "<!DOCTYPE ClinicalDocument [<!ENTITY a \"aaaaaaaaaaaaaaaaaaaa\">]>"
            "<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><title>&a;</title></ClinicalDocument>",
            "or declares entities");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clinical/ccda", test_ccda);
    g_test_add_func("/clinical/fhir", test_fhir);
    g_test_add_func("/clinical/limit", test_limit);
    g_test_add_func("/clinical/damaged", test_damaged);
    return g_test_run();
}
