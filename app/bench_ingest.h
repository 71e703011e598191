/* pandect bench ingest: how fast sources are read, and where the time goes. */
#ifndef PD_BENCH_INGEST_H
#define PD_BENCH_INGEST_H

#include "app/command.h"

/* argv[0] is "bench ingest". */
int pd_bench_ingest(PdApp *app, int argc, char **argv);

#endif
