/* plan and bench --model-config: what models cost by their configuration, without their weights. */
#ifndef PD_COST_TABLE_H
#define PD_COST_TABLE_H

#include "app/command.h"

/* Options of every command with such a table; put PD_COST_OPTION_ENTRIES(o) into its entries. */
typedef struct {
    char **configs; /* files, folders, names of built-in configurations */
    char *machine;  /* "GOPS,GBS"; NULL: this one, measured */
} PdCostFlags;
void pd_cost_flags_clear(PdCostFlags *flags);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdCostFlags, pd_cost_flags_clear)

#define PD_COST_OPTION_ENTRIES(o)                                                                  \
    {"model-config",                                                                               \
     0,                                                                                            \
     0,                                                                                            \
     G_OPTION_ARG_FILENAME_ARRAY,                                                                  \
     &(o).configs,                                                                                 \
     "What a config.json, or a model known by name, costs at each context length; may be "         \
     "repeated",                                                                                   \
     "FILE|NAME"},                                                                                 \
    {                                                                                              \
        "machine", 0, 0, G_OPTION_ARG_STRING, &(o).machine,                                        \
            "Times of --model-config for 1e9 8-bit operations and 1e9 bytes a second (default: "   \
            "measured here)",                                                                      \
            "GOPS,GBS"                                                                             \
    }

/* Of the configurations, beside the published baseline and ordinary models of their sizes.
 * `contexts`: ints; NULL: 4K to 1M.  Returns an exit code. */
int pd_cost_table(const char *command, const PdCostFlags *flags, const GArray *contexts,
                  int threads, gboolean csv, gboolean json);

#endif
