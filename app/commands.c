/* The table of commands, in the order of --help. */
#include "app/commands.h"

const PdCommand pd_commands[] = {
    {"model", "model files: fetch, list, describe", pd_cmd_model},
    {NULL, NULL, NULL},
};
