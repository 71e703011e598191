/* The table of commands, in the order of --help. */
#include "app/commands.h"

const PdCommand pd_commands[] = {
    {NULL, NULL, NULL},
};
