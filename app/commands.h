/* The commands, one file each, and what main.c shares with command.c. */
#ifndef PD_COMMANDS_H
#define PD_COMMANDS_H

#include "app/command.h"

/* Signal handler -> cancellable, through a pipe watched by a thread (g_cancellable_cancel is not
 * async-signal-safe). */
void pd_watch_interrupts(GCancellable *cancellable);
void pd_interrupted(void);

/* model pull | ls | info ... */
int pd_cmd_model(PdApp *app, int argc, char **argv);

/* The model over the corpus. */
int pd_cmd_warm(PdApp *app, int argc, char **argv);
int pd_cmd_ask(PdApp *app, int argc, char **argv);
int pd_cmd_plan(PdApp *app, int argc, char **argv);

/* What is in the corpus. */
int pd_cmd_add(PdApp *app, int argc, char **argv);
int pd_cmd_ls(PdApp *app, int argc, char **argv);
int pd_cmd_ledger(PdApp *app, int argc, char **argv);
int pd_cmd_show(PdApp *app, int argc, char **argv);
int pd_cmd_rm(PdApp *app, int argc, char **argv);
int pd_cmd_gc(PdApp *app, int argc, char **argv);
int pd_cmd_purge(PdApp *app, int argc, char **argv);
int pd_cmd_verify(PdApp *app, int argc, char **argv);

int pd_cmd_eval(PdApp *app, int argc, char **argv);
int pd_cmd_bench(PdApp *app, int argc, char **argv);

#endif
