/*
 * The segmenter: see segmenter.h.
 *
 * The method is content-defined chunking (as in rsync-like stores) with natural borders in place of
 * a rolling hash: inside the window the border of the highest strength wins, and among equals the
 * one with the largest hash of its neighbourhood, so that two texts that share a stretch come to
 * cut it at the same places whatever stands before it.
 */
#include <string.h>
#include "ingest/error.h"
#include "ingest/segmenter.h"

/* Strengths, strongest first.  Only their order matters. */
enum {
    BORDER_NONE,
    BORDER_CHARACTER,
    BORDER_SPACE,
    BORDER_INDENTED_LINE,
    BORDER_SENTENCE,
    BORDER_LINE,
    BORDER_SENTENCE_LINE,
    BORDER_BLOCK_END,
    BORDER_INNER_PARAGRAPH,
    BORDER_PARAGRAPH,
    BORDER_HEADING,
};

/* Most texts are small: this many bytes hold a full segment of any ordinary text. */
#define WINDOW_BYTES ((gsize)16 * 1024)
/* Tokens kept free for those that cutting a text in two adds at the border. */
#define BORDER_TOKENS 8
/* Bytes on each side of a border that its hash covers. */
#define NEIGHBOURHOOD_BYTES 32

void
pd_segment_cut_free(PdSegmentCut *cut)
{
    if (!cut)
        return;
    g_clear_pointer(&cut->ids, g_array_unref);
    g_clear_pointer(&cut->offsets, g_array_unref);
    g_free(cut);
}

static gboolean
is_blank(const char *line, gsize n)
{
    for (gsize i = 0; i < n; i++)
        if (!g_ascii_isspace(line[i]))
            return FALSE;
    return TRUE;
}

/* Closes what stands before it: a cut here would part a block from its end. */
static gboolean
continues_block(const char *line, gsize n)
{
    static const char *const words[] = {"else", "#else", "#elif", "#endif", "end", "catch"};
    if (n > 0 && strchr("})]", line[0]))
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        gsize len = strlen(words[i]);
        if (n >= len && memcmp(line, words[i], len) == 0 &&
            (n == len || !g_ascii_isalnum(line[len])))
            return TRUE;
    }
    return FALSE;
}

/* "# Title", "## Title": Markdown; an underlined title begins like any paragraph. */
static gboolean
is_heading(const char *line, gsize n)
{
    gsize level = 0;
    while (level < n && level < 7 && line[level] == '#')
        level++;
    return level >= 1 && level <= 6 && level < n && line[level] == ' ';
}

static gboolean
ends_sentence(char c)
{
    return c == '.' || c == '!' || c == '?' || c == ':' || c == ';';
}

/* `at` follows a LF; previous line [p, at), next line [at, e). */
static int
line_border(const char *text, gsize n_bytes, gsize at)
{
    gsize p = at - 1;
    while (p > 0 && text[p - 1] != '\n')
        p--;
    const char *lf = memchr(text + at, '\n', n_bytes - at);
    gsize n_next = lf ? (gsize)(lf - (text + at)) : n_bytes - at;
    const char *next = text + at;
    if (is_blank(next, n_next))
        return BORDER_INDENTED_LINE; /* better after the blank line than before it */
    gboolean indented = g_ascii_isspace(next[0]);
    gboolean continues = continues_block(next, n_next);
    if (is_blank(text + p, at - p)) {
        if (continues)
            return BORDER_LINE;
        if (indented)
            return BORDER_INNER_PARAGRAPH;
        return is_heading(next, n_next) ? BORDER_HEADING : BORDER_PARAGRAPH;
    }
    if (indented || continues)
        return BORDER_INDENTED_LINE;
    if (text[p] == '}')
        return BORDER_BLOCK_END;
    gsize last = at - 1;
    while (last > p && g_ascii_isspace(text[last]))
        last--;
    return ends_sentence(text[last]) ? BORDER_SENTENCE_LINE : BORDER_LINE;
}

int
pd_segment_border(const char *text, gsize n_bytes, gsize at)
{
    if (at == 0 || at >= n_bytes)
        return BORDER_NONE;
    if (((guint8)text[at] & 0xc0) == 0x80)
        return BORDER_NONE;
    char before = text[at - 1];
    if (before == '\n')
        return line_border(text, n_bytes, at);
    if (before == '\r' && text[at] == '\n')
        return BORDER_NONE;
    if ((before == ' ' || before == '\t') && !g_ascii_isspace(text[at]))
        return at >= 2 && strchr(".!?", text[at - 2]) && text[at - 2] ? BORDER_SENTENCE
                                                                      : BORDER_SPACE;
    return BORDER_CHARACTER;
}

/* FNV-1a (Fowler, Noll, Vo) over the bytes around a border. */
static guint32
neighbourhood_hash(const char *text, gsize n_bytes, gsize at)
{
    gsize from = at > NEIGHBOURHOOD_BYTES ? at - NEIGHBOURHOOD_BYTES : 0;
    gsize to = MIN(n_bytes, at + NEIGHBOURHOOD_BYTES);
    guint32 hash = 2166136261u;
    for (gsize i = from; i < to; i++)
        hash = (hash ^ (guint8)text[i]) * 16777619u;
    return hash;
}

/* The best border in (low, high]; 0 if there is none (bytes that are no UTF-8). */
static gsize
best_border(const char *text, gsize n_bytes, gsize low, gsize high)
{
    gsize best = 0;
    int best_strength = BORDER_NONE;
    guint32 best_hash = 0;
    for (gsize at = high; at > low; at--) {
        /* What can be as strong as the best stands behind a line's end, or at least a space. */
        if (best_strength > BORDER_SENTENCE) {
            const char *lf = memrchr(text + low, '\n', at - low);
            if (!lf)
                break;
            at = (gsize)(lf + 1 - text);
        } else if (best_strength > BORDER_CHARACTER && !g_ascii_isspace(text[at - 1])) {
            continue;
        }
        int strength = pd_segment_border(text, n_bytes, at);
        if (strength < best_strength || strength == BORDER_NONE)
            continue;
        /* Between characters no place is better than another: the longest segment. */
        if (strength == best_strength && strength == BORDER_CHARACTER)
            continue;
        guint32 hash = neighbourhood_hash(text, n_bytes, at);
        if (strength > best_strength || hash > best_hash) {
            best = at;
            best_strength = strength;
            best_hash = hash;
        }
    }
    return best;
}

/* --- tokens, made once -------------------------------------------------------------------------
 * The text is encoded a window at a time, from where the tokens so far are settled.  A segment is
 * encoded alone; but what it shares with that encoding, all but the last piece or two, is copied,
 * and what stands behind it begins the next segment. */

typedef struct {
    PdTokenizer *tokenizer;
    const char *text;
    gsize n_bytes;
    gsize start; /* of the segment under way */
    gsize end;   /* the text is encoded up to here */
    /* from `start` on, in bytes of the text */
    GArray *ids;
    GArray *offsets;
    GArray
        *pieces; /* PdPieceStart; `token` counted from `start`.  Empty: nothing is to be shared */
    PdSegmentCut cut; /* the segment that is lent, unless it is all of the above */
} Stream;

static void
stream_clear(Stream *stream)
{
    g_array_unref(stream->ids);
    g_array_unref(stream->offsets);
    g_array_unref(stream->pieces);
    g_array_unref(stream->cut.ids);
    g_array_unref(stream->cut.offsets);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Stream, stream_clear)

static void
stream_truncate(Stream *stream, guint n_tokens, guint n_pieces)
{
    g_array_set_size(stream->ids, n_tokens);
    g_array_set_size(stream->offsets, n_tokens);
    g_array_set_size(stream->pieces, n_pieces);
}

static void
stream_encode(Stream *stream, gsize end, GArray *pieces)
{
    guint first = stream->offsets->len, first_piece = stream->pieces->len;
    pd_tokenizer_encode_pieces(stream->tokenizer, stream->text + stream->end, end - stream->end,
                               stream->ids, stream->offsets, pieces);
    for (guint i = first; i < stream->offsets->len; i++)
        g_array_index(stream->offsets, guint32, i) += (guint32)stream->end;
    for (guint i = first_piece; i < stream->pieces->len; i++)
        g_array_index(stream->pieces, PdPieceStart, i).start += (guint32)stream->end;
}

/* One window more; FALSE: no end of a piece in it is settled. */
static gboolean
stream_read(Stream *stream)
{
    guint n_tokens = stream->ids->len, first = stream->pieces->len;
    gsize end = stream->end + MIN(WINDOW_BYTES, stream->n_bytes - stream->end);
    stream_encode(stream, end, stream->pieces);
    if (end == stream->n_bytes) {
        stream->end = end;
        return TRUE;
    }
    guint settled = pd_tokenizer_settled(stream->tokenizer, stream->text, end, stream->pieces,
                                         first, stream->pieces->len);
    if (settled == first) {
        stream_truncate(stream, n_tokens, first);
        return FALSE;
    }
    const PdPieceStart piece = g_array_index(stream->pieces, PdPieceStart, settled);
    stream_truncate(stream, piece.token, settled);
    stream->end = piece.start;
    return TRUE;
}

/* Tokens of a whole segment and more, or of all that is left. */
static void
stream_fill(Stream *stream)
{
    while (stream->ids->len <= PD_SEGMENT_TOKENS_MAX && stream->end < stream->n_bytes) {
        if (stream_read(stream))
            continue;
        /* All of it again and then some, until there is enough. */
        for (gsize n = WINDOW_BYTES;
             stream->ids->len <= PD_SEGMENT_TOKENS_MAX && stream->end < stream->n_bytes; n *= 2) {
            stream_truncate(stream, 0, 0);
            stream->end = stream->start;
            gsize end = stream->start + MIN(n, stream->n_bytes - stream->start);
            stream_encode(stream, end, NULL);
            stream->end = end;
        }
    }
}

/* The first piece that starts at or behind `at`. */
static guint
stream_piece(const Stream *stream, gsize at)
{
    guint low = 0, high = stream->pieces->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (g_array_index(stream->pieces, PdPieceStart, middle).start < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The segment under way, if it ends at `end`. */
static void
stream_cut(Stream *stream, gsize end)
{
    PdSegmentCut *cut = &stream->cut;
    guint last = stream_piece(stream, end), shared = 0;
    gsize from = stream->start;
    if (last > 0)
        shared =
            pd_tokenizer_settled(stream->tokenizer, stream->text, end, stream->pieces, 0, last);
    cut->start = (guint32)stream->start;
    cut->end = (guint32)end;
    g_array_set_size(cut->ids, 0);
    g_array_set_size(cut->offsets, 0);
    if (shared > 0) {
        const PdPieceStart *piece = &g_array_index(stream->pieces, PdPieceStart, shared);
        g_array_append_vals(cut->ids, stream->ids->data, piece->token);
        g_array_append_vals(cut->offsets, stream->offsets->data, piece->token);
        from = piece->start;
    }
    guint first = cut->offsets->len;
    pd_tokenizer_encode(stream->tokenizer, stream->text + from, end - from, cut->ids, cut->offsets);
    for (guint i = first; i < cut->offsets->len; i++)
        g_array_index(cut->offsets, guint32, i) += (guint32)from;
    g_assert(cut->ids->len == cut->offsets->len);
}

/* The next segment begins at `start`. */
static void
stream_advance(Stream *stream, gsize start)
{
    guint n_pieces = stream_piece(stream, start);
    stream->start = start;
    if (n_pieces >= stream->pieces->len ||
        g_array_index(stream->pieces, PdPieceStart, n_pieces).start != start) {
        stream_truncate(stream, 0, 0);
        stream->end = start;
        return;
    }
    guint n_tokens = g_array_index(stream->pieces, PdPieceStart, n_pieces).token;
    if (n_tokens)
        g_array_remove_range(stream->ids, 0, n_tokens);
    if (n_tokens)
        g_array_remove_range(stream->offsets, 0, n_tokens);
    if (n_pieces)
        g_array_remove_range(stream->pieces, 0, n_pieces);
    for (guint i = 0; i < stream->pieces->len; i++)
        g_array_index(stream->pieces, PdPieceStart, i).token -= n_tokens;
}

/* --- segments ------------------------------------------------------------------------------ */

/* The segment that begins at the stream's start. */
static PdSegmentCut
next_segment(Stream *stream)
{
    stream_fill(stream);
    if (stream->ids->len <= PD_SEGMENT_TOKENS_MAX) /* the last one */
        return (PdSegmentCut){(guint32)stream->start, (guint32)stream->n_bytes, stream->ids,
                              stream->offsets};
    gsize low = g_array_index(stream->offsets, guint32, PD_SEGMENT_TOKENS_MIN);
    gsize high = g_array_index(stream->offsets, guint32, PD_SEGMENT_TOKENS_MAX - BORDER_TOKENS);
    do {
        gsize end = best_border(stream->text, stream->n_bytes, low, high);
        /* One token may hold less than a character; the range then shrinks onto bytes. */
        if (end == 0)
            end = MAX(high, stream->start + 1);
        stream_cut(stream, end);
        high = low + (high - low) / 2;
        if (high == low && low > stream->start + 1)
            low -= (low - stream->start) / 2;
    } while (stream->cut.ids->len > PD_SEGMENT_TOKENS_MAX);
    return stream->cut;
}

gboolean
pd_segment_each(PdTokenizer *tokenizer, const char *text, gsize n_bytes, PdSegmentFunc func,
                gpointer user_data, GCancellable *cancellable, GError **error)
{
    g_return_val_if_fail(n_bytes <= G_MAXUINT32, FALSE);
    g_auto(Stream) stream = {.tokenizer = tokenizer,
                             .text = text,
                             .n_bytes = n_bytes,
                             .ids = g_array_new(FALSE, FALSE, sizeof(guint32)),
                             .offsets = g_array_new(FALSE, FALSE, sizeof(guint32)),
                             .pieces = g_array_new(FALSE, FALSE, sizeof(PdPieceStart)),
                             .cut.ids = g_array_new(FALSE, FALSE, sizeof(guint32)),
                             .cut.offsets = g_array_new(FALSE, FALSE, sizeof(guint32))};
    while (stream.start < n_bytes) {
        if (g_cancellable_is_cancelled(cancellable)) {
            g_set_error_literal(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
        const PdSegmentCut cut = next_segment(&stream);
        if (!func(&cut, user_data, error))
            return FALSE;
        stream_advance(&stream, cut.end);
    }
    return TRUE;
}

static gboolean
copy_cut(const PdSegmentCut *cut, gpointer user_data, GError **error)
{
    PdSegmentCut *copy = g_new0(PdSegmentCut, 1);
    *copy =
        (PdSegmentCut){cut->start, cut->end, g_array_copy(cut->ids), g_array_copy(cut->offsets)};
    g_ptr_array_add(user_data, copy);
    return TRUE;
}

GPtrArray *
pd_segment_text(PdTokenizer *tokenizer, const char *text, gsize n_bytes, GCancellable *cancellable,
                GError **error)
{
    g_autoptr(GPtrArray) cuts = g_ptr_array_new_with_free_func((GDestroyNotify)pd_segment_cut_free);
    return pd_segment_each(tokenizer, text, n_bytes, copy_cut, cuts, cancellable, error)
               ? g_steal_pointer(&cuts)
               : NULL;
}
