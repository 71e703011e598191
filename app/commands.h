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

#endif
