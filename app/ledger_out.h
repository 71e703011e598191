/* A run's account and the ledger's lines in print: what `add` and `ledger` share. */
#ifndef PD_LEDGER_OUT_H
#define PD_LEDGER_OUT_H

#include "app/json_out.h"
#include "ingest/corpus.h"

/* "87 found, 82 read (80 new, 2 duplicate), 3 skipped (2 binary, 1 empty), 2 failed; 1 partial, 2
 * with hidden text": zeros are left out, but for what was found and read.  `fresh`: with how
 * much of it is new; `why_skipped` may be NULL.  Free with g_free. */
char *pd_ledger_counts(const PdAddReport *report, gboolean fresh, const char *why_skipped);
/* The counts that the text above has, summed up. */
void pd_ledger_add_counts(PdAddReport *sum, const PdAddReport *report);
/* The counts as members of the open object. */
void pd_ledger_json_counts(JsonBuilder *json, const PdAddReport *report);
/* A line as an object of the open array. */
void pd_ledger_json_line(JsonBuilder *json, const PdLedgerLine *line);

#endif
