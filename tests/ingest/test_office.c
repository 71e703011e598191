/*
 * Office documents: their text, what is left out of it and told, and the places in it.  The files
 * of tests/golden/office were made by other programs (the scripts make_*.py there).
 */
#include "collect.h"

#include <string.h>

#include "ingest/place.h"

static char *
golden(const char *name)
{
    return g_build_filename(PD_SOURCE_ROOT, "tests/golden/office", name, NULL);
}

static Collected *
collect_golden(const char *name)
{
    g_autofree char *path = golden(name);
    return collect(path, NULL, NULL);
}

/* All texts of a document, one after another. */
static char *
document_text(const PdDocument *document)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < document->parts->len; i++)
        g_string_append(text, ((PdPart *)g_ptr_array_index(document->parts, i))->text->str);
    return g_string_free(text, FALSE);
}

static const char *
part_text(const PdDocument *document, const char *path)
{
    const char *text = document_part_text(document, path);
    if (!text)
        g_test_message("there is no part %s", path);
    g_assert_nonnull(text);
    return text;
}

/* Words in order; marks of headings, which are ours, left out. */
static char *
words(const char *text)
{
    g_auto(GStrv) all = g_strsplit_set(text, " \n\t", -1);
    GString *out = g_string_new(NULL);
    for (char **word = all; *word; word++) {
        if (**word && strspn(*word, "#") != strlen(*word))
            g_string_append_printf(out, "%s ", *word);
    }
    return g_string_free(out, FALSE);
}

/* The same words as another program reads in it. */
static void
check_words(const PdDocument *document, const char *golden_name)
{
    g_autofree char *path = golden(golden_name);
    g_autofree char *want = NULL;
    g_assert_true(g_file_get_contents(path, &want, NULL, NULL));
    g_autofree char *text = document_text(document);
    g_autofree char *ours = words(text);
    g_autofree char *theirs = words(want);
    g_assert_cmpuint(strlen(theirs), >, 1000);
    g_assert_cmpstr(ours, ==, theirs);
}

static PdDocument *
only_document(const Collected *c, PdDocumentKind kind)
{
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, >=, 1);
    PdDocument *document = g_ptr_array_index(c->documents, 0);
    g_assert_cmpint(document->kind, ==, kind);
    g_assert_cmpstr(document->key, ==, "");
    return document;
}

/* The place of `quote`, which is in the document. */
static void
check_place(const PdDocument *document, const char *quote, const char *want)
{
    for (guint i = 0; i < document->parts->len; i++) {
        const PdPart *part = g_ptr_array_index(document->parts, i);
        const char *found = strstr(part->text->str, quote);
        if (!found)
            continue;
        gsize start = (gsize)(found - part->text->str);
        g_autofree char *place = pd_part_place(document->kind, part->path, part->label,
                                               part->text->str, start, start + strlen(quote));
        g_assert_cmpstr(place, ==, want);
        return;
    }
    g_test_message("there is no %s", quote);
    g_assert_not_reached();
}

/* --- Word ------------------------------------------------------------------------------------- */

static void
test_docx_words(void)
{
    g_autofree char *path = golden("plain.docx");
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    const PdDocument *document = only_document(c, PD_KIND_DOCX);
    check_words(document, "plain.txt");
    g_assert_cmpuint(c->documents->len, ==, 1);
    g_assert_cmpuint(c->lines->len, ==, 0);
    g_assert_cmpstr(document->title, ==, "plain.docx");
    g_assert_cmpstr(document->author, ==, "Kay Smith");
    g_assert_cmpint(document->date_utc, ==, 1704164645);
    g_autofree char *bytes = NULL;
    gsize n;
    g_assert_true(g_file_get_contents(path, &bytes, &n, NULL));
    g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)bytes, n);
    g_autoptr(GString) ours = g_string_new(NULL);
    for (int i = 0; i < 32; i++)
        g_string_append_printf(ours, "%02x", document->raw_sha256[i]);
    g_assert_cmpstr(ours->str, ==, sum);
    g_assert_cmpint(document->raw_bytes, ==, (gint64)n);
}

static void
test_docx(void)
{
    g_autoptr(Collected) c = collect_golden("sample.docx");
    const PdDocument *document = only_document(c, PD_KIND_DOCX);
    g_assert_cmpstr(document->title, ==, "Lease of the pier");
    g_assert_cmpstr(part_text(document, "body/1"), ==,
                    "# Lease of the pier\n\nBetween the harbour and the tenant.\n\n# Rent\n\n"
                    "1. The rent is due.\n\n1.3. In May.\n\n1.4. In June.\n\n(i) By transfer.\n\n"
                    "2. It may rise.\n\n2.3. Once a year.\n\n- A thing\n\n  - Another thing\n\n"
                    "The rent is 90 crowns a month.\n\nThe tenant always pays.\n\nOne sentence.\n\n"
                    "Seen, all of it.\n\n## Places\n\nPier\tState\n4\tflooded in May deep wet\n\n"
                    "It floods.[^1]\n\nIn a box.\n\nBeside it.\n\n7 pages.\n");
    g_assert_cmpstr(part_text(document, "footnotes/1"), ==, "[^1] Twice a year.\n");
    g_assert_cmpstr(part_text(document, "comments/1"), ==,
                    "Ann Lee, 2024-02-03, on \xC2\xB6 12 \"90 crowns\": Should be 95.\n");
    g_assert_cmpstr(part_text(document, "headers and footers/1"), ==, "Harbour office\n");
    g_assert_true(collected_says(c, "hidden", "hidden text: 33 bytes"));
    g_assert_true(collected_says(c, "insertions read: 1", "deletions not read: 1 (6 bytes)"));
    g_assert_cmpuint(c->lines->len, ==, 2);
    g_assert_cmpuint(c->documents->len, ==, 2);
    const PdDocument *embedded = collected_find(c, "word/embeddings/note.txt");
    g_assert_nonnull(embedded);
    check_place(document, "Between the harbour", "\xC2\xB6 2 (\"Lease of the pier\")");
    check_place(document, "Rent", "\xC2\xB6 3 (\"Rent\")");
    check_place(document, "90 crowns", "\xC2\xB6 12 (\"Rent\")");
    check_place(document, "always pays.\n\nOne sentence.\n\nSeen",
                "\xC2\xB6\xC2\xB6 13-15 (\"Rent\")");
    check_place(document, "flooded", "\xC2\xB6 17 (\"Places\")");
    check_place(document, "Twice", "footnotes, \xC2\xB6 1");
}

/* --- OpenDocument text ------------------------------------------------------------------------ */

static void
test_odt(void)
{
    g_autoptr(Collected) c = collect_golden("sample.odt");
    const PdDocument *document = only_document(c, PD_KIND_ODT);
    g_assert_cmpstr(document->title, ==, "Lease");
    g_assert_cmpstr(document->author, ==, "Kay Smith");
    g_assert_cmpint(document->date_utc, ==, 1704164645);
    g_assert_cmpstr(part_text(document, "body/1"), ==,
                    "# I. Lease of the pier\n\nBetween the harbour  and\nthe tenant.\n\n## Rent\n\n"
                    "1. The rent is due.\n\n1.3. In May.\n\n1.4. In June.\n\nNot later.\n\n"
                    "(i) By transfer.\n\n2. It may rise.\n\n3. Or fall.\n\n- A thing\n\n"
                    "The rent is 90 crowns a month.\n\nThe tenant always pays.\n\n"
                    "Seen, all of it.\n\nPier\tState\n4\tflooded in May\n\n"
                    "It floods.[^1]\n\nIn a box.\n\nBeside it.\n");
    g_assert_cmpstr(part_text(document, "footnotes/1"), ==, "[^1] Twice a year.\n");
    g_assert_cmpstr(part_text(document, "comments/1"), ==,
                    "Ann Lee, 2024-02-03, on \xC2\xB6 12 \"90 crowns\": Should be 95.\n");
    g_assert_cmpstr(part_text(document, "headers and footers/1"), ==, "Harbour office\n");
    g_assert_true(collected_says(c, "hidden", "hidden text: 46 bytes"));
    g_assert_true(collected_says(c, "insertions read: 1", "deletions not read: 1 (6 bytes)"));
    g_assert_cmpuint(c->lines->len, ==, 2);
    check_place(document, "90 crowns", "\xC2\xB6 12 (\"Rent\")");
    check_place(document, "the tenant.", "\xC2\xB6 2 (\"I. Lease of the pier\")");
}

static void
test_odt_words(void)
{
    g_autoptr(Collected) c = collect_golden("plain.odt");
    const PdDocument *document = only_document(c, PD_KIND_ODT);
    check_words(document, "plain-odt.txt");
    g_assert_cmpuint(c->lines->len, ==, 0);
    g_autoptr(Collected) locked = collect_golden("locked.odt");
    g_assert_error(locked->error, PD_INGEST_ERROR, PD_INGEST_ERROR_ENCRYPTED);
    g_assert_true(collected_says(locked, "locked.odt", "encrypted"));
}

/* --- spreadsheets ----------------------------------------------------------------------------- */

static void
test_xlsx(void)
{
    g_autoptr(Collected) c = collect_golden("sample.xlsx");
    const PdDocument *document = only_document(c, PD_KIND_XLSX);
    g_assert_cmpstr(document->title, ==, "Rents");
    g_assert_cmpint(document->date_utc, ==, 1704164645);
    g_assert_cmpuint(document->parts->len, ==, 2);
    g_assert_cmpstr(part_text(document, "sheet/1"), ==,
                    "A1: Pier\tRent\tPaid\tE1: Since\n"
                    "A2: Nord\t90\tTRUE\tE2: 2024-05-12\n"
                    "A3: Süd\t0.3\tFALSE\tlate, again\t1999-12-31 23:59:30\n"
                    "C5: 12.5%\t=SUM(B2:B3)\t180\n"
                    "AB7: 1e+21\t06:30:00\n"
                    "B2: [comment by Ann Lee] Should be 95.\n");
    g_assert_cmpstr(part_text(document, "sheet/2"), ==, "A1: Not for the tenant.\n");
    g_assert_true(collected_says(c, "note", "the sheet \"Notes\" is hidden"));
    g_assert_true(collected_says(c, "hidden rows: 1, hidden ranges of columns: 1", ""));
    g_assert_true(collected_says(c, "formulas without a value: 1", ""));
    g_assert_cmpuint(c->lines->len, ==, 3);
    check_place(document, "90", "'Rent 2024'!B2");
    check_place(document, "Since", "'Rent 2024'!E1");
    check_place(document, "E1: S", "'Rent 2024'!E1");
    check_place(document, "again", "'Rent 2024'!D3");
    check_place(document, "180\nAB7: 1e+21\t06", "'Rent 2024'!E5:AC7");
    check_place(document, "Should be", "'Rent 2024'!B2");
    check_place(document, "tenant", "Notes!A1");
}

/* --- presentations and books ------------------------------------------------------------------ */

static void
test_pptx(void)
{
    g_autoptr(Collected) c = collect_golden("sample.pptx");
    const PdDocument *document = only_document(c, PD_KIND_PPTX);
    g_assert_cmpstr(document->title, ==, "Piers");
    g_assert_cmpuint(document->parts->len, ==, 5);
    g_assert_cmpstr(part_text(document, "slide 1/1"), ==,
                    "# State of the piers\n\nHarbour office\n");
    g_assert_cmpstr(part_text(document, "slide 2/1"), ==,
                    "# Floods\n\nPier 4 was flooded.\n\nIn May\nand in June.\n\n"
                    "Pier\tState\n4\twet\n");
    g_assert_cmpstr(part_text(document, "slide 2 notes/1"), ==,
                    "Say when it was repaired.\n\nTwice.\n");
    g_assert_cmpstr(part_text(document, "slide 2 comments/1"), ==, "Ann Lee: Which pier?\n");
    g_assert_cmpstr(part_text(document, "slide 3/1"), ==, "Held back.\n");
    g_assert_true(collected_says(c, "note", "hidden slides: 1"));
    g_assert_cmpuint(c->lines->len, ==, 1);
    check_place(document, "In May", "slide 2, \xC2\xB6 3 (\"Floods\")");
    check_place(document, "Twice", "slide 2 notes, \xC2\xB6 2");
}

static void
test_epub(void)
{
    g_autoptr(Collected) c = collect_golden("sample.epub");
    const PdDocument *document = only_document(c, PD_KIND_EPUB);
    g_assert_cmpstr(document->title, ==, "The Tides");
    g_assert_cmpstr(document->author, ==, "Kay Smith");
    g_assert_cmpint(document->date_utc, ==, 1704153600);
    g_assert_cmpuint(document->parts->len, ==, 2);
    /* In the order of the spine, which is not that of the files. */
    g_assert_cmpstr(part_text(document, "chapter/1"), ==,
                    "The Größe\n\nIt was 4 mm high.\n\nSecond of 2.\n");
    check_place(document, "It was flooded", "chapter 2 (\"The Pier\"), l. 3");
    g_assert_cmpuint(c->lines->len, ==, 0);
    g_autoptr(Collected) odd = collect_golden("odd.epub");
    const PdDocument *odd_document = only_document(odd, PD_KIND_EPUB);
    g_assert_cmpstr(odd_document->title, ==, "odd.epub");
    g_assert_cmpuint(odd_document->parts->len, ==, 1);
    g_assert_cmpstr(part_text(odd_document, "chapter/1"), ==, "Not swallowed.\n");
    g_assert_true(collected_says(odd, "partial", "OPS/locked.xhtml is encrypted: chapter 2"));
    g_assert_true(collected_says(odd, "partial", "OPS/missing.xhtml is missing: chapter 4"));
    g_assert_true(collected_says(odd, "hidden", "hidden text: 7 bytes"));
}

/* --- RTF -------------------------------------------------------------------------------------- */

static void
test_rtf(void)
{
    g_autoptr(Collected) c = collect_golden("sample.rtf");
    const PdDocument *document = only_document(c, PD_KIND_RTF);
    g_assert_cmpstr(document->title, ==, "Lease of the pier");
    g_assert_cmpstr(document->author, ==, "Kay Smith");
    g_assert_cmpstr(part_text(document, "body/1"), ==,
                    "# Lease\n\nBetween the\n\n"
                    "harbour and the tenant \xE2\x80\x9CSüd\xE2\x80\x9D: {braces}\xC2\xA0"
                    "and \\.\n\n## Rent\n\n1.\tThe rent is 90 crowns a month.\n\n"
                    "Причал 桟橋 🌊  \xE2\x80\xA2 end.\n\nSeen, all of it.\n\n"
                    "The tenant always pays.\n\nPier\tState\n4\tflooded in May\n\n"
                    "It floods.[^1]\n\nA link, unicode, pictures.\n\nIn a box.\n");
    g_assert_cmpstr(part_text(document, "footnotes/1"), ==, "[^1] Twice a year.\n");
    g_assert_cmpstr(part_text(document, "comments/1"), ==, "Ann Lee: Should be 95.\n");
    g_assert_cmpstr(part_text(document, "headers and footers/1"), ==, "Harbour office\n");
    g_assert_true(collected_says(c, "hidden", "hidden text: 29 bytes"));
    g_assert_true(collected_says(c, "insertions read: 1", "deletions not read: 1 (6 bytes)"));
    g_assert_true(collected_says(c, "pictures and drawings: 1", ""));
    g_assert_cmpuint(c->lines->len, ==, 3);
    check_place(document, "90 crowns", "\xC2\xB6 5 (\"Rent\")");
    g_autoptr(Collected) plain = collect_golden("plain.rtf");
    check_words(only_document(plain, PD_KIND_RTF), "plain-rtf.txt");
    g_assert_cmpuint(plain->lines->len, ==, 0);
}

static char *
text_of_rtf(const char *rtf)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "made.rtf", NULL);
    g_assert_true(g_file_set_contents(path, rtf, -1, NULL));
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    remove_folder(folder);
    return collected_text(c);
}

static void
test_rtf_damage(void)
{
    static const char *const cases[][2] = {
        {"{\\rtf1 Open {\\b and never", "Open and never\n\n"},
        {"{\\rtf1 Closed}}}} too often", "Closed too often\n\n"},
        {"{\\rtf1 Half \\'e", "Half e\n\n"},
        {"{\\rtf1 Far\\bin999999999 gone", "Far\n\n"},
        {"{\\rtf1 Half a pair\\u-10179?.}", "Half a pair.\n\n"},
        {"{\\rtf1\\ansicpg932 \\'81}", "\xEF\xBF\xBD\n\n"},
        {"{\\rtf1\\ansicpg64999 caf\\'e9}", "café\n\n"},
        {"{\\rtf1 \\cell\\row\\cell a\\row b\\par}", "\ta\nb\n\n"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = text_of_rtf(cases[i][0]);
        g_assert_cmpstr(text, ==, cases[i][1]);
    }
    g_autoptr(GString) deep = g_string_new("{\\rtf1 Top.\\par ");
    for (int i = 0; i < 100000; i++)
        g_string_append(deep, "{\\b ");
    g_string_append(deep, "Bottom.");
    g_autofree char *text = text_of_rtf(deep->str);
    g_assert_cmpstr(text, ==, "Top.\n\n");
}

/* --- notebooks -------------------------------------------------------------------------------- */

static void
test_notebook(void)
{
    g_autoptr(Collected) c = collect_golden("sample.ipynb");
    const PdDocument *document = only_document(c, PD_KIND_NOTEBOOK);
    g_assert_cmpuint(document->parts->len, ==, 1);
    g_assert_cmpstr(part_text(document, "cells/1"), ==,
                    "[cell 1: text]\n# Gauges\n\nPier 4 was flooded.\n\n"
                    "[cell 2: code]\na = [1, 2]\nsum(a)\n\n[cell 2: output]\nloading\n3\n\n"
                    "[cell 4: code]\n1 / 0\n\n"
                    "[cell 4: output]\nZeroDivisionError: division by zero\n");
    g_assert_true(collected_says(c, "note", "pictures in outputs: 1"));
    g_assert_cmpuint(c->lines->len, ==, 1);
    check_place(document, "Pier 4", "cell 1, l. 3");
    check_place(document, "a = [1, 2]\nsum", "cell 2, l. 1-2");
    check_place(document, "3\n\n[cell 4", "cells 2-4");
    check_place(document, "loading\n3", "cell 2 output, l. 1-2");
    check_place(document, "sum(a)\n\n[cell 2: output]\nload", "cell 2");
    g_autoptr(Collected) old = collect_golden("old.ipynb");
    g_assert_cmpstr(part_text(only_document(old, PD_KIND_NOTEBOOK), "cells/1"), ==,
                    "[cell 1: text]\nOld title\n\n[cell 2: code]\nprint(4)\n\n"
                    "[cell 2: output]\n4\n");
}

/* Octal escapes, which only json-glib takes, can make any bytes. */
static void
test_notebook_escapes(void)
{
    static const char text[] = "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\", "
                               "\"source\": [\"a\\377b\\n\", \"\\303\\251\"]}]}";
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "a.ipynb", NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpstr(part_text(only_document(c, PD_KIND_NOTEBOOK), "cells/1"), ==,
                    "[cell 1: code]\na\357\277\275b\n\303\251\n");
    remove_folder(folder);
}

/* What is in a document is what its content says, not its name. */
static void
test_by_content(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *from = golden("sample.docx");
    g_autofree char *to = g_build_filename(folder, "lease.zip", NULL);
    g_autofree char *bytes = NULL;
    gsize n;
    g_assert_true(g_file_get_contents(from, &bytes, &n, NULL));
    g_assert_true(g_file_set_contents(to, bytes, (gssize)n, NULL));
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpint(collected_find(c, "lease.zip")->kind, ==, PD_KIND_DOCX);
    const PdDocument *embedded = collected_find(c, "lease.zip!/word/embeddings/note.txt");
    g_assert_nonnull(embedded);
    g_assert_cmpstr(embedded->parent_key, ==, "lease.zip");
    remove_folder(folder);
}

/* --- damage ----------------------------------------------------------------------------------- */

/* A zip of stored files (APPNOTE.TXT 4.3), for packages that no program would write. */
typedef struct {
    GByteArray *bytes;
    GByteArray *directory;
    guint16 n;
} Zip;

static void
put(GByteArray *out, guint64 value, guint n_bytes)
{
    for (guint i = 0; i < n_bytes; i++) {
        guint8 byte = i < sizeof value ? (guint8)(value >> (8 * i)) : 0;
        g_byte_array_append(out, &byte, 1);
    }
}

static guint32
crc32_of(const char *text)
{
    guint32 crc = 0xFFFFFFFFu;
    for (; *text; text++) {
        crc ^= (guint8)*text;
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return ~crc;
}

static void
zip_add(Zip *zip, const char *name, const char *text)
{
    guint32 offset = zip->bytes->len;
    for (int k = 0; k < 2; k++) {
        GByteArray *out = k ? zip->directory : zip->bytes;
        put(out, k ? 0x02014b50 : 0x04034b50, 4);
        if (k)
            put(out, 20, 2);
        put(out, 20, 2);
        put(out, 0, 8); /* flags, stored, time */
        put(out, crc32_of(text), 4);
        put(out, strlen(text), 4);
        put(out, strlen(text), 4);
        put(out, strlen(name), 2);
        put(out, 0, 2);
        if (k) {
            put(out, 0, 10);
            put(out, offset, 4);
        }
        g_byte_array_append(out, (const guint8 *)name, (guint)strlen(name));
        if (!k)
            g_byte_array_append(out, (const guint8 *)text, (guint)strlen(text));
    }
    zip->n++;
}

static Collected *
collect_zip(Zip *zip)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "made", NULL);
    guint32 offset = zip->bytes->len;
    g_byte_array_append(zip->bytes, zip->directory->data, zip->directory->len);
    put(zip->bytes, 0x06054b50, 4);
    put(zip->bytes, 0, 4);
    put(zip->bytes, zip->n, 2);
    put(zip->bytes, zip->n, 2);
    put(zip->bytes, zip->directory->len, 4);
    put(zip->bytes, offset, 4);
    put(zip->bytes, 0, 2);
    g_assert_true(
        g_file_set_contents(path, (const char *)zip->bytes->data, (gssize)zip->bytes->len, NULL));
    g_byte_array_unref(zip->bytes);
    g_byte_array_unref(zip->directory);
    Collected *c = collect(path, NULL, NULL);
    remove_folder(folder);
    return c;
}

static Zip
zip_new(void)
{
    return (Zip){g_byte_array_new(), g_byte_array_new(), 0};
}

#define DOCX_TYPES                                                                                 \
    "<Types><Override PartName='/word/document.xml' ContentType='application/vnd."                 \
    "openxmlformats-officedocument.wordprocessingml.document.main+xml'/></Types>"

static Collected *
collect_docx(const char *document)
{
    Zip zip = zip_new();
    zip_add(&zip, "[Content_Types].xml", DOCX_TYPES);
    zip_add(&zip, "word/document.xml", document);
    return collect_zip(&zip);
}

static void
test_docx_damage(void)
{
    /* Cut short in the middle of a table: what came before is read. */
    g_autoptr(Collected) cut = collect_docx(
        "<d><p><r><t>Whole.</t></r></p><tbl><tr><tc><p><r><t>Cell.</t></r></p></tc><tc><p>");
    g_assert_no_error(cut->error);
    g_assert_true(collected_says(cut, "partial", "word/document.xml was read up to there"));
    g_autofree char *text = collected_text(cut);
    g_assert_cmpstr(text, ==, "Whole.\n\nCell.\n\n");
    /* Entities: declared ones are not followed. */
    g_autoptr(Collected) lol = collect_docx("<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>"
                                            "<d><p><r><t>&b;</t></r></p></d>");
    g_assert_cmpuint(lol->documents->len, ==, 0);
    g_assert_true(collected_says(lol, "document type", ""));
    g_autoptr(Collected) none = collect_docx("");
    g_assert_error(none->error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT);
    /* Deeper than libxml2's limit. */
    g_autoptr(GString) deep = g_string_new("<d><p><r><t>Top.</t></r></p>");
    for (int i = 0; i < 1000; i++)
        g_string_append(deep, "<tbl><tr><tc>");
    g_autoptr(Collected) nested = collect_docx(deep->str);
    g_assert_true(collected_says(nested, "partial", "damaged"));
    g_autofree char *top = collected_text(nested);
    g_assert_cmpstr(top, ==, "Top.\n\n");
}

/* Formats without a reader are no archives of XML. */
static void
test_unread(void)
{
    Zip zip = zip_new();
    zip_add(&zip, "mimetype", "application/vnd.oasis.opendocument.spreadsheet");
    zip_add(&zip, "content.xml", "<office:document-content>raw</office:document-content>");
    g_autoptr(Collected) c = collect_zip(&zip);
    g_assert_cmpuint(c->documents->len, ==, 0);
    g_assert_error(c->error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED);
    Zip other = zip_new();
    zip_add(&other, "mimetype", "application/x-of-nobody");
    zip_add(&other, "content.txt", "Read as it is.");
    g_autoptr(Collected) archive = collect_zip(&other);
    g_assert_no_error(archive->error);
    g_assert_nonnull(collected_find(archive, "content.txt"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/office/docx", test_docx);
    g_test_add_func("/office/docx-words", test_docx_words);
    g_test_add_func("/office/docx-damage", test_docx_damage);
    g_test_add_func("/office/odt", test_odt);
    g_test_add_func("/office/odt-words", test_odt_words);
    g_test_add_func("/office/xlsx", test_xlsx);
    g_test_add_func("/office/pptx", test_pptx);
    g_test_add_func("/office/epub", test_epub);
    g_test_add_func("/office/rtf", test_rtf);
    g_test_add_func("/office/rtf-damage", test_rtf_damage);
    g_test_add_func("/office/notebook", test_notebook);
    g_test_add_func("/office/notebook-escapes", test_notebook_escapes);
    g_test_add_func("/office/unread", test_unread);
    g_test_add_func("/office/by-content", test_by_content);
    return g_test_run();
}
