/*
 * A PDF's outline (bookmarks; ISO 32000-1, 12.3.3): what its makers call its sections, and where
 * they begin.
 */
#include "ingest/readers/pdf.h"

#include <string.h>

typedef struct {
    PopplerDocument *pdf;
    GString *text;
    guint n_entries;
    const PdReadLimits *limits;
    gboolean full, deep; /* a limit is reached */
} Outline;

/* From 1; 0: it leads elsewhere, or nowhere. */
static int
page_of(PopplerDocument *pdf, const PopplerAction *action)
{
    if (action->type != POPPLER_ACTION_GOTO_DEST || !action->goto_dest.dest)
        return 0;
    const PopplerDest *dest = action->goto_dest.dest;
    if (dest->type != POPPLER_DEST_NAMED)
        return dest->page_num;
    PopplerDest *found = poppler_document_find_dest(pdf, dest->named_dest);
    int page = found ? found->page_num : 0;
    g_clear_pointer(&found, poppler_dest_free);
    return page;
}

/* "  2.1 The site, page 7" */
static void
append_entry(Outline *outline, const PopplerAction *action, guint depth)
{
    int page = page_of(outline->pdf, action);
    g_autofree char *title = pd_pdf_one_line(action->any.title);
    if (!title)
        return;
    for (guint i = 0; i < depth; i++)
        g_string_append(outline->text, "  ");
    g_string_append(outline->text, title);
    if (page > 0)
        g_string_append_printf(outline->text, ", page %d", page);
    g_string_append_c(outline->text, '\n');
}

/* `iter` is taken. */
static void
append_level(Outline *outline, PopplerIndexIter *iter, guint depth)
{
    do {
        PopplerAction *action = poppler_index_iter_get_action(iter);
        PopplerIndexIter *children = poppler_index_iter_get_child(iter);
        gboolean deep = children && depth + 1 >= outline->limits->pdf_outline_depth_max;
        outline->deep |= deep;
        outline->full |= outline->n_entries >= outline->limits->pdf_outline_max;
        if (!outline->full) {
            outline->n_entries++;
            if (action)
                append_entry(outline, action, depth);
            if (children && !deep)
                append_level(outline, g_steal_pointer(&children), depth + 1);
        }
        g_clear_pointer(&action, poppler_action_free);
        g_clear_pointer(&children, poppler_index_iter_free);
    } while (!outline->full && poppler_index_iter_next(iter));
    poppler_index_iter_free(iter);
}

PdPart *
pd_pdf_read_outline(PdDocument *document, PopplerDocument *pdf, const PdReadLimits *limits,
                    gboolean *over)
{
    Outline outline = {pdf, g_string_new(NULL), 0, limits, FALSE, FALSE};
    PopplerIndexIter *iter = poppler_index_iter_new(pdf);
    PdPart *part = NULL;
    if (iter)
        append_level(&outline, iter, 0);
    if (outline.text->len) {
        part = pd_document_add_part(document, "outline", "outline");
        g_string_append_len(part->text, outline.text->str, (gssize)outline.text->len);
    }
    *over = outline.full || outline.deep;
    g_string_free(outline.text, TRUE);
    return part;
}
