/* The table of commands, in the order of --help. */
#include "app/commands.h"

const PdCommand pd_commands[] = {
    {"add", "read repositories, PDFs, mail, office files and texts into the corpus", pd_cmd_add},
    {"ls", "the documents of the corpus", pd_cmd_ls},
    {"ledger", "what was read, what was not, and why", pd_cmd_ledger},
    {"show", "the stored bytes of a document, a part or a range", pd_cmd_show},
    {"rm", "take sources or documents out of the corpus", pd_cmd_rm},
    {"purge", "take them out without a trace, with what models read of them", pd_cmd_purge},
    {"gc", "give back the disk space of what nothing can use any more", pd_cmd_gc},
    {"verify", "check everything that is stored", pd_cmd_verify},
    {"warm", "run the model over the corpus once, ahead of the question", pd_cmd_warm},
    {"ask", "answer a question, with citations", pd_cmd_ask},
    {"plan", "tokens, memory, disk and time before the work", pd_cmd_plan},
    {"eval", "the recall certificate: planted facts, found and answered", pd_cmd_eval},
    {"bench", "how fast a model, or the reading of sources, is on this machine", pd_cmd_bench},
    {"model", "model files: fetch, list, describe", pd_cmd_model},
    {NULL, NULL, NULL},
};
