/* Reading ahead of the question: every KV record that the context needs and does not have. */
#ifndef PD_WARM_H
#define PD_WARM_H

#include "prompts/context.h"

/* Segments of a group are encoded side by side, in as many sequences, up to so many rows. */
#define PD_WARM_SEQUENCES 4
#define PD_WARM_GROUP_ROWS 2048
/* Finished records are committed together when they have one of these: small ones would else cost
 * a sync each. */
#define PD_WARM_COMMIT_ROWS 2048
#define PD_WARM_COMMIT_BYTES (16u << 20)

typedef struct {
    guint64 n_tokens_reused;
    guint64 n_tokens_encoded;
    guint64 n_bytes_written;
    double seconds;
} PdWarmReport;

/* done and total count tokens, reused ones included. */
typedef void (*PdWarmProgress)(guint64 done, guint64 total, gpointer user_data);

/* What is finished is kept, also on cancellation. report may be NULL. */
gboolean pd_context_warm(PdContext *context, PdWarmReport *report, PdWarmProgress progress,
                         gpointer user_data, GCancellable *cancellable, GError **error);

/* Passes on why a reading ended; to who stopped it, that is how much is kept of all. */
void pd_warm_propagate(GError *why, guint64 n_kept, guint64 n_tokens, gboolean goes_on,
                       GError **error);

/* How many tokens of the context already have their record. */
gboolean pd_context_count_warm(PdContext *context, guint64 *n_tokens, GCancellable *cancellable,
                               GError **error);

#endif
