/*
 * Masking: what of a document's text no model is to read.
 *
 * A secret (ingest/secrets.h) is replaced in the model's text by "[secret:KIND#N]", where N tells
 * the different secrets of one text apart, and what cannot be seen on a page by "[hidden text]": it
 * is where instructions to a model are put.  The original stays in the part's view.
 */
#ifndef PD_MASK_H
#define PD_MASK_H

#include "ingest/document.h"

/* Grows when the same document would be masked otherwise: texts masked by other rules, or by none
 * (0), are read again. */
#define PD_MASK_RULES 2

/* What is masked of a part's text: PdReplacement, in order, not overlapping.  What stands in its
 * place is put into `marks`.  Free with g_array_unref. */
GArray *pd_mask_find(const PdPart *part, GStringChunk *marks);

/* Masks the secrets of a title. */
void pd_mask_title(PdDocument *document);

/* Is anything masked in it?  Other marks do not count. */
gboolean pd_mask_is_any(const PdTextView *view);

/* How many secrets of a model's text are masked, added to `kinds`: "jwt" -> how many (GUINT).
 * *n_masked_bytes grows by what is masked, hidden text among it. */
guint pd_mask_count(const PdTextView *view, const char *text, gsize n_bytes, GHashTable *kinds,
                    gsize *n_masked_bytes);

#endif
