/* pandect model ls: the models known by name. */
#include "app/cmd_model.h"

#include <stdio.h>
#include <json-glib/json-glib.h>
#include "engine/catalogue.h"

static const char summary[] = "List the models known by name: size, licence, and whether they are "
                              "here.";

static const char examples[] = "Examples:\n"
                               "  pandect model ls\n"
                               "  pandect model ls --json\n"
                               "\n"
                               "Any other model is named by its .gguf file or its folder.\n";

static void
print_text(const PdCatalogueEntry *entry)
{
    g_autofree char *size = g_format_size(entry->n_bytes);
    g_autofree char *path = pd_catalogue_path(entry);
    const gboolean present = pd_catalogue_is_present(entry);

    printf("%-20s %9s  %-19s %-5s  %s\n", entry->name, size, entry->licence, present ? "here" : "-",
           present ? path : entry->note);
}

static void
add_json(JsonBuilder *builder, const PdCatalogueEntry *entry)
{
    g_autofree char *path = pd_catalogue_path(entry);

    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "name");
    json_builder_add_string_value(builder, entry->name);
    json_builder_set_member_name(builder, "default");
    json_builder_add_boolean_value(builder, g_str_equal(entry->name, PD_DEFAULT_MODEL));
    json_builder_set_member_name(builder, "bytes");
    json_builder_add_int_value(builder, (gint64)entry->n_bytes);
    json_builder_set_member_name(builder, "sha256");
    json_builder_add_string_value(builder, entry->sha256);
    json_builder_set_member_name(builder, "licence");
    json_builder_add_string_value(builder, entry->licence);
    json_builder_set_member_name(builder, "note");
    json_builder_add_string_value(builder, entry->note);
    json_builder_set_member_name(builder, "present");
    json_builder_add_boolean_value(builder, pd_catalogue_is_present(entry));
    json_builder_set_member_name(builder, "path");
    json_builder_add_string_value(builder, path);
    json_builder_end_object(builder);
}

static void
print_json(const PdCatalogueEntry *entries, gsize n_entries)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    g_autoptr(JsonNode) root = NULL;
    g_autofree char *text = NULL;

    json_builder_begin_array(builder);
    for (gsize i = 0; i < n_entries; i++)
        add_json(builder, &entries[i]);
    json_builder_end_array(builder);
    root = json_builder_get_root(builder);
    text = json_to_string(root, TRUE);
    printf("%s\n", text);
}

int
pd_cmd_model_ls(PdApp *app, int argc, char **argv)
{
    gboolean json = FALSE;
    const GOptionEntry options[] = {{"json", 0, 0, G_OPTION_ARG_NONE, &json, "For programs", NULL},
                                    G_OPTION_ENTRY_NULL};
    const PdCatalogueEntry *entries;
    gsize n_entries;
    int code;

    if (!pd_parse_options(options, NULL, summary, examples, &argc, &argv, &code))
        return code;
    if (argc > 1)
        return pd_usage("model ls", "it takes no arguments");
    entries = pd_catalogue(&n_entries);
    if (json) {
        print_json(entries, n_entries);
        return PD_EXIT_OK;
    }
    for (gsize i = 0; i < n_entries; i++)
        print_text(&entries[i]);
    return PD_EXIT_OK;
}
