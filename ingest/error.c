#include "ingest/error.h"

G_DEFINE_QUARK(pd - ingest - error - quark, pd_ingest_error)
