/*
 * A context: a corpus as one model sees it.
 *
 * The documents in corpus order, cut into segments of tokens, each with a short header that says
 * where it comes from, and the key of its KV record.  Three ways of reading (hybrid-attention
 * design, modes D, C and S):
 *
 *   whole   the corpus fits the model's window: [prefix][header segment]... is one sequence, its
 *           16-bit KV rows are kept in chunks, keyed by all tokens before and in them
 *   swept   each segment is encoded alone as [prefix][header][segment]; what is kept of it depends
 *           on the tier (tier.h): keys that find, or keys and values of every layer, position-free
 *           and compressed; a question scores all of them and reads the best passages
 *   sparse  the sequence of whole, of any length, with block-sparse attention (attention.h): parts
 *           see each other, a row sees the prefix, selected blocks and its window.  All rows are in
 *           memory while it is read or asked, so AUTO never takes it.
 *
 * A DeepSeek-V4 model reads whole and in no other way: its own attention is the selection, and its
 * compressed state is what is kept (native.h).
 */
#ifndef PD_CONTEXT_H
#define PD_CONTEXT_H

#include <gio/gio.h>
#include "engine/error.h"
#include "engine/kv_store.h"
#include "engine/model.h"
#include "engine/session.h"
#include "ingest/corpus.h"
#include "prompts/profile.h"
#include "prompts/tier.h"

typedef enum { PD_READ_AUTO, PD_READ_WHOLE, PD_READ_SWEPT, PD_READ_SPARSE } PdReadMode;
/* "auto" and so on. */
const char *pd_read_mode_name(PdReadMode mode);
/* And back (NULL: AUTO); FALSE for an unknown word. */
gboolean pd_parse_read_mode(const char *word, PdReadMode *mode);

typedef struct PdLexical PdLexical;

/* A segment with all a prompt needs of it. */
typedef struct {
    const PdSegmentRow *row;
    const PdDocumentRow *document;
    char *header;       /* "mail.mbox, mail from A to B, 2024-05-14, Re: x" */
    GArray *header_ids; /* gint32: the header line's tokens, newline included */
} PdContextSegment;

typedef struct {
    PdCorpus *corpus;
    PdModel *model;
    PdKvStore *store;
    PdProfile profile;
    PdReadMode mode;      /* not AUTO: decided */
    PdKvTier tier;        /* INDEX or FULL, decided; of use when swept only */
    char *tier_why;       /* in one line */
    GPtrArray *documents; /* PdDocumentRow */
    GPtrArray *rows;      /* PdSegmentRow */
    GArray *segments;     /* PdContextSegment, in corpus order */
    GArray *prefix;       /* gint32: system turn and the opening of the user turn */
    guint64 n_tokens;     /* of all segments, headers included */
    PdLexical *lexical;   /* made by the first search for words */
} PdContext;

/* The corpus must hold text.  The tier is decided as for AUTO.  References: corpus is borrowed,
 * model is referenced. */
PdContext *pd_context_new(PdCorpus *corpus, PdModel *model, PdReadMode mode,
                          GCancellable *cancellable, GError **error);
void pd_context_free(PdContext *context);
/* AUTO: what most segments have already, else as pd_kv_choose decides. */
gboolean pd_context_set_tier(PdContext *context, PdKvTier wanted, GCancellable *cancellable,
                             GError **error);
/* How a model reads a corpus of n_tokens; AUTO: as its profile has it.  UNSUPPORTED or TOO_LONG:
 * that it cannot. */
gboolean pd_context_choose_mode(PdModel *model, PdReadMode wanted, guint64 n_tokens,
                                PdReadMode *mode, GError **error);
/* The prefix into sequences [0, n) of an empty session of this context's model: run once. */
gboolean pd_context_run_prefix(const PdContext *context, PdSession *session, int n,
                               GCancellable *cancellable, GError **error);
/* Can passages be put in from their records (else every one is run again)? */
gboolean pd_context_keeps_rows(const PdContext *context);
/* How its own model then reads them. */
const PdReadings *pd_context_readings(const PdContext *context);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdContext, pd_context_free)

/* How many tokens of question and answer are kept free at the end of a whole reading. */
#define PD_ANSWER_RESERVE_TOKENS 1024

#endif
