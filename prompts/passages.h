/* A passage: a run of stored bytes as it stands in a prompt, so that every row of the prompt walks
 * back to its source. */
#ifndef PD_PASSAGES_H
#define PD_PASSAGES_H

#include "prompts/context.h"

typedef struct {
    int number;        /* the [n] the model sees, from 1 */
    guint segment;     /* index in context->segments */
    guint first_token; /* of the segment's own tokens */
    guint n_tokens;
    int first_row;  /* of the prompt: where the first of these tokens stands */
    gboolean fresh; /* run in the prompt, not taken from its kept rows */
    float score;    /* of the best block; 0 when read whole */
} PdPassage;

/* The bytes of the part that tokens [first, first+n) of a segment cover. */
void pd_segment_bytes(const PdSegmentRow *row, guint first_token, guint n_tokens, guint32 *start,
                      guint32 *end);

/* The part a passage is of, and its bytes in it; free with pd_part_row_free.  NULL: the part could
 * not be read, or the passage lies outside it. */
PdPartRow *pd_passage_part(const PdContext *context, const PdPassage *passage, guint32 *start,
                           guint32 *end, GError **error);

/* Its number, its header and its tokens behind what the prompt (gint32) holds; sets first_row. */
void pd_passage_append(const PdContext *context, PdPassage *passage, GArray *prompt);

#endif
