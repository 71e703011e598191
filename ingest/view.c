/*
 * Views of a text: see view.h.
 *
 * On disk, little-endian: n_marks u32, n_original_bytes u32, SHA-256 of the original, then for each
 * mark start, end, original length and kind (u32 each), then the replaced bytes.  The original
 * places follow from these and are not stored, so that they cannot contradict them.
 */
#include "ingest/view.h"

#include <string.h>
#include "ingest/error.h"
#include "ingest/sha256.h"

#define HEAD_BYTES (2 * 4 + 32)
#define MARK_BYTES (4 * 4)

static PdTextView *
view_new(void)
{
    PdTextView *view = g_new0(PdTextView, 1);
    view->marks = g_array_new(FALSE, FALSE, sizeof(PdMark));
    view->replaced = g_string_new(NULL);
    return view;
}

void
pd_text_view_free(PdTextView *view)
{
    if (!view)
        return;
    g_array_unref(view->marks);
    g_string_free(view->replaced, TRUE);
    g_free(view);
}

static void
set_original(PdTextView *view, const char *original, gsize n_bytes)
{
    pd_sha256(original, n_bytes, view->sha256);
    view->n_original_bytes = (guint32)n_bytes;
}

PdTextView *
pd_text_view_new(GString *text, const PdReplacement *replacements, guint n)
{
    g_autoptr(GString) model = g_string_sized_new(text->len);
    PdTextView *view = view_new();
    gsize at = 0;
    for (guint i = 0; i < n; i++) {
        const PdReplacement *r = &replacements[i];
        g_assert(r->start >= at && r->end >= r->start && r->end <= text->len);
        g_string_append_len(model, text->str + at, (gssize)(r->start - at));
        PdMark mark = {.start = (guint32)model->len,
                       .original_start = r->start,
                       .original_end = r->end,
                       .kind = r->kind};
        g_string_append(model, r->mark);
        mark.end = (guint32)model->len;
        g_array_append_val(view->marks, mark);
        g_string_append_len(view->replaced, text->str + r->start, (gssize)(r->end - r->start));
        at = r->end;
    }
    g_string_append_len(model, text->str + at, (gssize)(text->len - at));
    set_original(view, text->str, text->len);
    g_string_truncate(text, 0);
    g_string_append_len(text, model->str, (gssize)model->len);
    return view;
}

/* Both lists, in order, without the breaks that a replacement touches. */
static GArray *
merge_breaks(const GArray *marks, const GArray *ranges)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(PdReplacement));
    guint at = 0, n_marks = marks ? marks->len : 0;
    guint32 mark_end = 0;
    for (guint i = 0; i < ranges->len; i++) {
        const PdTextRange *range = &g_array_index(ranges, PdTextRange, i);
        for (; at < n_marks && g_array_index(marks, PdReplacement, at).start <= range->end; at++) {
            g_array_append_val(all, g_array_index(marks, PdReplacement, at));
            mark_end = g_array_index(marks, PdReplacement, at).end;
        }
        PdReplacement none = {range->start, range->end, "", PD_MARK_BREAK};
        if (at == 0 || mark_end < range->start)
            g_array_append_val(all, none);
    }
    if (at < n_marks)
        g_array_append_vals(all, &g_array_index(marks, PdReplacement, at), n_marks - at);
    return all;
}

PdTextView *
pd_text_view_new_joined(GString *text, const GArray *replacements, const GArray *breaks)
{
    g_autoptr(GArray) all = merge_breaks(replacements, breaks);
    return all->len ? pd_text_view_new(text, (const PdReplacement *)(gpointer)all->data, all->len)
                    : NULL;
}

/* --- from one text to the other ------------------------------------------------------------ */

/* The last mark that starts before `at` (or at it, if `inclusive`); NULL: none. */
static const PdMark *
mark_before(const PdTextView *view, guint32 at, gboolean inclusive)
{
    guint low = 0, high = view ? view->marks->len : 0;
    while (low < high) {
        guint middle = (low + high) / 2;
        guint32 start = g_array_index(view->marks, PdMark, middle).start;
        if (start < at || (inclusive && start == at))
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &g_array_index(view->marks, PdMark, low - 1) : NULL;
}

guint32
pd_text_view_start(const PdTextView *view, guint32 at)
{
    const PdMark *mark = mark_before(view, at, TRUE);
    if (!mark)
        return at;
    return at < mark->end ? mark->original_start : mark->original_end + (at - mark->end);
}

guint32
pd_text_view_end(const PdTextView *view, guint32 at)
{
    const PdMark *mark = mark_before(view, at, FALSE);
    if (!mark)
        return at;
    return at < mark->end ? mark->original_end : mark->original_end + (at - mark->end);
}

GString *
pd_text_view_original(const PdTextView *view, const char *text, gsize n_bytes)
{
    guint n_marks = view->marks->len;
    const PdMark *marks = (const PdMark *)(gpointer)view->marks->data;
    const char *replaced = view->replaced->str;
    gsize at = 0, n_marked = 0;
    for (guint i = 0; i < n_marks; i++)
        n_marked += marks[i].end - marks[i].start;
    /* Before memory is asked for: the list may be damaged. */
    if ((n_marks && marks[n_marks - 1].end > n_bytes) ||
        n_bytes - n_marked + view->replaced->len != view->n_original_bytes)
        return NULL;
    GString *original = g_string_sized_new(view->n_original_bytes);
    for (guint i = 0; i < n_marks; i++) {
        gsize n = marks[i].original_end - marks[i].original_start;
        g_string_append_len(original, text + at, (gssize)(marks[i].start - at));
        g_string_append_len(original, replaced, (gssize)n);
        replaced += n;
        at = marks[i].end;
    }
    return g_string_append_len(original, text + at, (gssize)(n_bytes - at));
}

/* --- on disk ------------------------------------------------------------------------------- */

static void
put_u32(GByteArray *out, guint32 value)
{
    guint32 le = GUINT32_TO_LE(value);
    g_byte_array_append(out, (const guint8 *)&le, sizeof le);
}

static guint32
get_u32(const guint8 *at)
{
    guint32 le;
    memcpy(&le, at, sizeof le);
    return GUINT32_FROM_LE(le);
}

GByteArray *
pd_text_view_encode(const PdTextView *view)
{
    GByteArray *out = g_byte_array_new();
    put_u32(out, view->marks->len);
    put_u32(out, view->n_original_bytes);
    g_byte_array_append(out, view->sha256, sizeof view->sha256);
    for (guint i = 0; i < view->marks->len; i++) {
        const PdMark *mark = &g_array_index(view->marks, PdMark, i);
        put_u32(out, mark->start);
        put_u32(out, mark->end);
        put_u32(out, mark->original_end - mark->original_start);
        put_u32(out, mark->kind);
    }
    g_byte_array_append(out, (const guint8 *)view->replaced->str, (guint)view->replaced->len);
    return out;
}

/* The marks, each behind the one before it; FALSE: they are not. */
static gboolean
decode_marks(PdTextView *view, const guint8 *at, guint n_marks, gsize n_replaced)
{
    guint64 end = 0, original_end = 0, n_taken = 0;
    for (guint i = 0; i < n_marks; i++, at += MARK_BYTES) {
        guint32 n_original = get_u32(at + 8);
        PdMark mark = {.start = get_u32(at), .end = get_u32(at + 4), .kind = get_u32(at + 12)};
        if (mark.start < end || mark.end < mark.start || mark.kind >= PD_N_MARKS)
            return FALSE;
        original_end += mark.start - end;
        mark.original_start = (guint32)original_end;
        original_end += n_original;
        n_taken += n_original;
        if (original_end > view->n_original_bytes || n_taken > n_replaced)
            return FALSE;
        mark.original_end = (guint32)original_end;
        end = mark.end;
        g_array_append_val(view->marks, mark);
    }
    return n_taken == n_replaced;
}

PdTextView *
pd_text_view_decode(const guint8 *bytes, gsize n_bytes, GError **error)
{
    g_autoptr(PdTextView) view = view_new();
    guint32 n_marks = n_bytes >= HEAD_BYTES ? get_u32(bytes) : 0;
    if (n_bytes >= HEAD_BYTES && n_marks <= (n_bytes - HEAD_BYTES) / MARK_BYTES) {
        gsize n_head = HEAD_BYTES + (gsize)n_marks * MARK_BYTES;
        view->n_original_bytes = get_u32(bytes + 4);
        memcpy(view->sha256, bytes + 8, sizeof view->sha256);
        g_string_append_len(view->replaced, (const char *)bytes + n_head,
                            (gssize)(n_bytes - n_head));
        if (decode_marks(view, bytes + HEAD_BYTES, n_marks, n_bytes - n_head))
            return g_steal_pointer(&view);
    }
    g_set_error_literal(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                        "the corpus's list of masked places is damaged; run: pandect verify");
    return NULL;
}
