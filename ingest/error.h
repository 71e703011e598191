/* Ingestion's error domain.  Messages name the file, the place and a way out. */
#ifndef PD_INGEST_ERROR_H
#define PD_INGEST_ERROR_H

#include <glib.h>

typedef enum {
    PD_INGEST_ERROR_IO,
    PD_INGEST_ERROR_NOT_FOUND,
    PD_INGEST_ERROR_FORMAT,
    PD_INGEST_ERROR_ENCRYPTED,
    PD_INGEST_ERROR_UNSUPPORTED,
    PD_INGEST_ERROR_LIMIT,  /* a limit of the table in reader.h was hit */
    PD_INGEST_ERROR_WORKER, /* a parser process died or broke the protocol */
    PD_INGEST_ERROR_CORPUS, /* the corpus database: damaged, newer, locked, full, read-only */
    PD_INGEST_ERROR_CANCELLED,
} PdIngestError;

#define PD_INGEST_ERROR (pd_ingest_error_quark())
GQuark pd_ingest_error_quark(void);

/* The ledger's word for a file that could not be read for this reason: "skipped" or "failed". */
const char *pd_ingest_error_level(const GError *error);

#endif
