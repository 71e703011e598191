/* A run's account and the ledger's lines in print: what `add` and `ledger` share. */
#ifndef PD_LEDGER_OUT_H
#define PD_LEDGER_OUT_H

#include "app/json_out.h"
#include "ingest/corpus.h"

/* "82 read, 3 skipped, 1 failed": what is zero is left out, but for what was read.  Free with
 * g_free. */
char *pd_ledger_counts(const PdAddReport *report);
/* The counts as members of the open object. */
void pd_ledger_json_counts(JsonBuilder *json, const PdAddReport *report);
/* A line as an object of the open array. */
void pd_ledger_json_line(JsonBuilder *json, const PdLedgerLine *line);

#endif
