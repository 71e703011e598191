/* pandect model ls: the models known by name. */
#include "app/cmd_model.h"

#include <stdio.h>
#include "app/json_out.h"
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
add_json(JsonBuilder *b, const PdCatalogueEntry *entry)
{
    g_autofree char *path = pd_catalogue_path(entry);

    json_builder_begin_object(b);
    pd_json_string(b, "name", entry->name);
    pd_json_bool(b, "default", g_str_equal(entry->name, PD_DEFAULT_MODEL));
    pd_json_int(b, "bytes", (gint64)entry->n_bytes);
    pd_json_string(b, "sha256", entry->sha256);
    pd_json_string(b, "licence", entry->licence);
    pd_json_string(b, "note", entry->note);
    pd_json_bool(b, "present", pd_catalogue_is_present(entry));
    pd_json_string(b, "path", path);
    json_builder_end_object(b);
}

static void
print_json(const PdCatalogueEntry *entries, gsize n_entries)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_array(b);
    for (gsize i = 0; i < n_entries; i++)
        add_json(b, &entries[i]);
    json_builder_end_array(b);
    pd_json_print(b);
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
