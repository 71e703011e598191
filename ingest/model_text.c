/* What models read of a document: see model_text.h. */
#include "ingest/model_text.h"

#include "ingest/flow.h"
#include "ingest/hyphen.h"
#include "ingest/mask.h"

void
pd_model_text_make(PdDocument *document, gboolean mask)
{
    g_autoptr(GPtrArray) hyphens = pd_hyphens_find(document);
    for (guint i = 0; i < document->parts->len; i++) {
        PdPart *part = g_ptr_array_index(document->parts, i);
        const GArray *broken = hyphens ? g_ptr_array_index(hyphens, i) : NULL;
        g_autoptr(GStringChunk) marks = g_string_chunk_new(1024);
        g_autoptr(GArray) masks = mask ? pd_mask_find(part, marks) : NULL;
        part->view = broken ? pd_text_view_new_joined(part->text, masks, broken)
                            : pd_flow_view(part->text, masks, part->flow);
    }
    if (mask && document->title)
        pd_mask_title(document);
}
