/* pandect bench --kv-gate: what compressed KV costs a model, in nats. */
#ifndef PD_BENCH_GATE_H
#define PD_BENCH_GATE_H

#include "app/command.h"
#include "engine/model.h"

/* `text`: a file, NULL: the corpus of -C.  `widths`: "4/4,8/4", bits of keys and values, NULL: the
 * usual ones.  Returns an exit code: PD_EXIT_FAILED when widths that were asked for are refused. */
int pd_bench_gate(PdApp *app, PdModel *model, const char *text, const char *widths, gboolean json);

#endif
