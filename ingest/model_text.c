/* What models read of a document: see model_text.h. */
#include "ingest/model_text.h"

#include "ingest/flow.h"
#include "ingest/hyphen.h"
#include "ingest/line_numbers.h"
#include "ingest/mask.h"

/* What goes from a page.  Numbered lines have a tab, so that no broken word is looked for there. */
static const GArray *
breaks_of(const GPtrArray *numbers, const GPtrArray *hyphens, guint part)
{
    if (!numbers)
        return NULL;
    return numbers->pdata[part] ? numbers->pdata[part] : hyphens->pdata[part];
}

void
pd_model_text_make(PdDocument *document, gboolean mask)
{
    g_autoptr(GPtrArray) numbers = pd_line_numbers_find(document);
    g_autoptr(GPtrArray) hyphens = pd_hyphens_find(document);
    for (guint i = 0; i < document->parts->len; i++) {
        PdPart *part = g_ptr_array_index(document->parts, i);
        const GArray *broken = breaks_of(numbers, hyphens, i);
        g_autoptr(GStringChunk) marks = g_string_chunk_new(1024);
        g_autoptr(GArray) masks = mask ? pd_mask_find(part, marks) : NULL;
        part->view = broken ? pd_text_view_new_joined(part->text, masks, broken)
                            : pd_flow_view(part->text, masks, part->flow);
    }
    if (mask && document->title)
        pd_mask_title(document);
}
