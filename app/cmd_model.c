/* pandect model: finds the subcommand.  Each is a file of its own (cmd_model_*.c). */
#include "app/cmd_model.h"
#include "app/commands.h"

#include <stdio.h>
#include <string.h>

static const PdCommand subcommands[] = {
    {"pull", "fetch a model file and check it", pd_cmd_model_pull},
    {"ls", "the models known by name, and which are here", pd_cmd_model_ls},
    {"info", "what a model is: shape, tokenizer, weights, bytes of context", pd_cmd_model_info},
    {"tokenize", "token ids of text, for checking a tokenizer", pd_cmd_model_tokenize},
    {"logits", "the numbers a model gives for token ids", pd_cmd_model_logits},
    {"calibrate", "find the attention heads of a model that find things", pd_cmd_model_calibrate},
    {NULL, NULL, NULL},
};

static void
print_help(FILE *out)
{
    fputs("Usage:\n  pandect model COMMAND [OPTION...]\n\nCommands:\n", out);
    for (const PdCommand *c = subcommands; c->name; c++)
        fprintf(out, "  %-10s    %s\n", c->name, c->summary);
    fputs("\n`pandect model COMMAND --help` explains each.\n"
          "\nExamples:\n"
          "  pandect model pull                  fetch the default model\n"
          "  pandect model ls\n"
          "  pandect model info smollm2-135m\n",
          out);
}

int
pd_cmd_model(PdApp *app, int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return PD_EXIT_USAGE;
    }
    if (g_str_equal(argv[1], "--help") || g_str_equal(argv[1], "-h")) {
        print_help(stdout);
        return PD_EXIT_OK;
    }
    for (const PdCommand *c = subcommands; c->name; c++) {
        g_autofree char *name = NULL;
        if (strcmp(c->name, argv[1]) != 0)
            continue;
        name = g_strdup_printf("model %s", c->name);
        argv[1] = name;
        return c->run(app, argc - 1, argv + 1);
    }
    return pd_usage("model", "there is no command 'model %s'", argv[1]);
}
