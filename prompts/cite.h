/*
 * Citations: which passage a sentence of the answer rests on, and the words of it to print.
 *
 * Small models do not cite by themselves, so the engine attaches the citation.  Three ways:
 *   attention  the passage on whose rows the sentence's tokens put most attention (citation heads
 *              of the model's profile), and whose words it shares
 *   words      by the shared words alone: for models whose attention is not recorded
 *   ids        constrained decoding: after the sentence " [" is run and the model may only continue
 *              with the number of a passage in context
 * The quote is the sentence or line of the passage that scores best by attention and by the words
 * it shares with the answer; it is cut from the stored bytes, never generated.
 */
#ifndef PD_CITE_H
#define PD_CITE_H

#include "prompts/passages.h"

typedef enum {
    PD_CITE_AUTO, /* ATTENTION, or WORDS of a DeepSeek-V4 model, which records none */
    PD_CITE_ATTENTION,
    PD_CITE_WORDS,
    PD_CITE_IDS
} PdCiteMethod;

/* "attention" and so on, and back (NULL: AUTO); FALSE for an unknown word. */
const char *pd_cite_method_name(PdCiteMethod method);
gboolean pd_parse_cite_method(const char *word, PdCiteMethod *method);

typedef struct {
    guint passage; /* index in the passages of the prompt */
    gint64 part_id;
    gint64 document_id;
    guint32 start; /* bytes of the part's text */
    guint32 end;
    char *quote;   /* those bytes, NUL-terminated */
    float share;   /* of the sentence's attention on passages that fell on this one */
    float support; /* of the sentence's content words, how many stand in the passage: 0..1 */
} PdCitation;

void pd_citation_clear(gpointer citation);

/* The index of the passage with the largest share; attention: f32 per prompt row, summed over the
 * sentence. */
guint pd_cite_by_attention(GArray *passages, const float *attention, int n_rows, float *share);

/*
 * The passage a sentence rests on: the largest sum of its share of the attention and of the words
 * it has in common with the sentence, each word weighted by how few passages hold it.  Sets
 * citation->passage and share.
 */
gboolean pd_cite_passage(PdContext *context, GArray *passages, const float *attention, int n_rows,
                         const char *sentence, PdCitation *citation, GError **error);

/* Of the attention on passages, the part of each; free with g_free. */
float *pd_cite_shares(GArray *passages, const float *attention, int n_rows);

/* Constrained decoding over the numbers of `passages` after the sequence's present rows, which are
 * the same afterwards.  The sequence must hold the answer up to the sentence's end. */
gboolean pd_cite_by_id(PdContext *context, PdSession *session, int sequence, GArray *passages,
                       guint *passage, GCancellable *cancellable, GError **error);

/* Fill in everything but passage and share. */
gboolean pd_cite_quote(PdContext *context, const PdPassage *passage, const float *attention,
                       const char *sentence, const char *question, PdCitation *citation,
                       GError **error);

#endif
