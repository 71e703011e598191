#include "ingest/error.h"

G_DEFINE_QUARK(pd - ingest - error - quark, pd_ingest_error)

const char *
pd_ingest_error_level(const GError *error)
{
    gboolean skipped = g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED) ||
                       g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_ENCRYPTED) ||
                       g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT);
    return skipped ? "skipped" : "failed";
}
