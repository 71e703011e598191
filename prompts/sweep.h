/*
 * The sweep: score every block of 64 tokens of every segment with the question.
 *
 * The question is run behind the shared prefix.  At a retrieval head, the queries of its content
 * words are turned as if every key stood PD_SWEEP_DISTANCE tokens before them (hybrid-attention
 * design, section 8) and multiplied with the kept keys of the block and of its segment's header.  A
 * head that works by keys compares the words' own keys with them, as ColBERT compares its vectors
 * (Khattab and Zaharia 2020): words that mean the same have keys alike, once these are whitened by
 * a sample of the corpus' keys (whiten.h).
 * Per head and word a block's score is its best key's, standardised over all blocks; the head's is
 * the sum of what each is above one deviation (a block that has something of most words is better
 * than one that has a single word to the letter), standardised again.  Heads come in groups
 * (profile.h): some find the question's own words, others what means the same.  A group's score is
 * the mean over its heads, standardised again; the block's score is that of the group which likes
 * it best.
 */
#ifndef PD_SWEEP_H
#define PD_SWEEP_H

#include "prompts/passages.h"

#define PD_SWEEP_DISTANCE 256
#define PD_SWEEP_BLOCK_TOKENS PD_SCORE_BLOCK

/* LEAD: by words of a passage that was found (follow.h). */
typedef enum { PD_FOUND_SWEEP = 1, PD_FOUND_FTS = 2, PD_FOUND_LEAD = 4 } PdFoundBy;

typedef struct {
    guint segment;     /* index in context->segments */
    guint first_token; /* of the segment */
    guint n_tokens;
    float score;   /* best group's z; of a block that only its words found: as `lexical` */
    int best_head; /* index into the heads scored with: the one with the largest z; -1: none */
    float best_z;
    guint found_by;   /* PdFoundBy, or'd */
    float lexical;    /* BM25 of its words, more is better; 0: not among the best by words */
    float likelihood; /* mean log-likelihood of the question after it (rerank.h); 0: not read */
} PdBlock;

/* Was it read for its likelihood (rerank.h)? */
static inline gboolean
pd_block_is_ranked(const PdBlock *block)
{
    return block->likelihood < 0;
}

/* The block with so many tokens before and after it, as far as its segment goes; its number is 1.
 */
PdPassage pd_block_passage(const PdContext *context, const PdBlock *block, guint margin_tokens);

/* Blocks of one segment; the last may be short. */
static inline guint
pd_sweep_count_blocks(const PdContextSegment *segment)
{
    return (segment->row->n_tokens + PD_SWEEP_BLOCK_TOKENS - 1) / PD_SWEEP_BLOCK_TOKENS;
}

/*
 * All blocks, best first; ties go to the earlier block.  Missing records are an error (warm
 * first); damaged ones are dropped and the error is CORRUPT (warm again).  `scores` (may be NULL):
 * for checking single heads, receives for each head in turn the z of every block in corpus order,
 * f32 (n_heads, n_blocks).
 */
GArray *pd_sweep(PdContext *context, const char *question, const PdHead *heads, int n_heads,
                 GArray *scores, GCancellable *cancellable, GError **error);

/* The same for several questions in one pass over the keys: an array of GArray of PdBlock, one a
 * question, each as pd_sweep gives it, bit for bit; `scores` gets (n_questions, n_heads, n_blocks).
 * Free with g_ptr_array_unref. */
GPtrArray *pd_sweep_many(PdContext *context, const char *const *questions, guint n_questions,
                         const PdHead *heads, int n_heads, GArray *scores,
                         GCancellable *cancellable, GError **error);

#endif
