/*
 * Encoding: bytes to tokens.
 *
 *   bytes -> user-defined tokens | the rest -> valid UTF-8 | single invalid bytes
 *   valid UTF-8 -> pieces -> merged tokens
 *
 * Control tokens are never looked for, so no text can produce one.  An invalid byte is its byte
 * token and a boundary on both sides, since no pattern is defined on it.  Pieces repeat a lot in
 * text (Zipf), so each call keeps those it has merged.
 */
#include <string.h>

#include "engine/tokenizer_private.h"

#define CACHED_BYTES_MAX 64
#define CACHE_SLOTS_MAX 16384u
#define CACHE_TOKENS_MAX (1u << 20)

typedef struct {
    const char *text; /* within the input; NULL: empty */
    guint32 n;
    guint32 first; /* in cache_ids and cache_starts */
    guint32 count;
} CacheEntry;

typedef struct {
    const PdTokenizer *tok;
    PdMerger *merger;
    GArray *ids;
    GArray *offsets; /* NULL: not wanted */
    GArray *starts;  /* scratch of the merger */
    /* The run being encoded: its text, where it lies in the input, and where its characters were
     * moved from (NULL: not moved). */
    const char *run;
    guint32 run_offset;
    const guint32 *moved;
    CacheEntry *cache;
    guint32 cache_mask;
    GArray *cache_ids;
    GArray *cache_starts;
} Encoder;

static void
put_offset(Encoder *e, gsize at_in_run)
{
    if (e->offsets == NULL)
        return;
    guint32 offset = e->run_offset + (e->moved != NULL ? e->moved[at_in_run] : at_in_run);
    g_array_append_val(e->offsets, offset);
}

static CacheEntry *
cache_slot(Encoder *e, const char *text, gsize n)
{
    if (e->cache == NULL || n > CACHED_BYTES_MAX || e->moved != NULL)
        return NULL;
    return &e->cache[pd_hash_bytes(text, n) & e->cache_mask];
}

static void
cache_store(Encoder *e, CacheEntry *slot, const char *text, gsize n, guint first_id)
{
    guint count = e->ids->len - first_id;
    if (e->cache_ids->len + count > CACHE_TOKENS_MAX) {
        memset(e->cache, 0, (e->cache_mask + 1) * sizeof *e->cache);
        g_array_set_size(e->cache_ids, 0);
        g_array_set_size(e->cache_starts, 0);
    }
    slot->text = text;
    slot->n = n;
    slot->first = e->cache_ids->len;
    slot->count = count;
    g_array_append_vals(e->cache_ids, &g_array_index(e->ids, guint32, first_id), count);
    g_array_append_vals(e->cache_starts, e->starts->data, count);
}

static void
encode_piece(const char *text, gsize n, gpointer user_data)
{
    Encoder *e = user_data;
    gsize at = text - e->run;
    CacheEntry *slot = cache_slot(e, text, n);
    if (slot != NULL && slot->text != NULL && slot->n == n && memcmp(slot->text, text, n) == 0) {
        g_array_append_vals(e->ids, &g_array_index(e->cache_ids, guint32, slot->first),
                            slot->count);
        for (guint i = 0; i < slot->count; i++)
            put_offset(e, at + g_array_index(e->cache_starts, guint32, slot->first + i));
        return;
    }
    guint first = e->ids->len;
    g_array_set_size(e->starts, 0);
    pd_merger_run(e->merger, text, n, e->ids, e->starts);
    for (guint i = 0; i < e->starts->len; i++)
        put_offset(e, at + g_array_index(e->starts, guint32, i));
    if (slot != NULL)
        cache_store(e, slot, text, n, first);
}

/* SentencePiece knows no words.  Cutting before a space that no token joins to the byte before it
 * changes no merge, and makes pieces that repeat. */
static void
split_at_spaces(Encoder *e, const char *text, gsize n)
{
    const guint8 *joins = e->tok->joins_space;
    gsize open = 0;
    for (gsize i = 1; i < n; i++) {
        guint8 before = text[i - 1];
        if (text[i] == ' ' && !(joins[before / 8] >> before % 8 & 1)) {
            encode_piece(text + open, i - open, e);
            open = i;
        }
    }
    if (n > open)
        encode_piece(text + open, n - open, e);
}

/* A literal U+2581 is a space to such a vocabulary. */
static void
encode_marked_run(Encoder *e, const char *text, gsize n)
{
    static const char mark[] = "\xe2\x96\x81";
    if (memmem(text, n, mark, 3) == NULL) {
        split_at_spaces(e, text, n);
        return;
    }
    g_autofree char *plain = g_malloc(n);
    g_autofree guint32 *moved = g_new(guint32, n);
    gsize to = 0;
    for (gsize from = 0; from < n; to++) {
        gboolean is_mark = n - from >= 3 && memcmp(text + from, mark, 3) == 0;
        plain[to] = is_mark ? ' ' : text[from];
        moved[to] = from;
        from += is_mark ? 3 : 1;
    }
    e->run = plain;
    e->moved = moved;
    split_at_spaces(e, plain, to);
    e->moved = NULL;
}

static void
encode_run(Encoder *e, const char *input, const char *text, gsize n)
{
    e->run = text;
    e->run_offset = text - input;
    if (e->tok->kind == PD_TOKENIZER_BYTES)
        pd_pretokenizer_split(e->tok->pre, text, n, encode_piece, e);
    else
        encode_marked_run(e, text, n);
}

/* Text without user-defined tokens. */
static void
encode_text(Encoder *e, const char *input, const char *text, gsize n)
{
    while (n > 0) {
        const char *end;
        g_utf8_validate_len(text, n, &end);
        gsize valid = end - text;
        if (valid > 0)
            encode_run(e, input, text, valid);
        text += valid;
        n -= valid;
        if (n == 0)
            break;
        guint32 id = e->tok->byte_ids[(guint8)*text];
        e->run_offset = text - input;
        if (id != PD_NO_TOKEN) {
            g_array_append_val(e->ids, id);
            put_offset(e, 0);
        }
        text++;
        n--;
    }
}

/* The longest user-defined token that begins here, or PD_NO_TOKEN. */
static guint32
match_user(const PdTokenizer *tok, const char *text, gsize n, gsize *len)
{
    guint8 first = text[0];
    for (guint32 i = tok->user_first[first]; i < tok->user_first[first + 1]; i++) {
        const char *user = pd_vocab_text(&tok->vocab, tok->user_tokens[i], len);
        if (*len <= n && memcmp(user, text, *len) == 0)
            return tok->user_tokens[i];
    }
    return PD_NO_TOKEN;
}

static void
encode_all(Encoder *e, const char *input, gsize n)
{
    gsize open = 0;
    gsize at = 0;
    if (e->tok->user_first[256] == 0) {
        encode_text(e, input, input, n);
        return;
    }
    while (at < n) {
        gsize len;
        guint32 id = match_user(e->tok, input + at, n - at, &len);
        if (id == PD_NO_TOKEN) {
            at++;
            continue;
        }
        encode_text(e, input, input + open, at - open);
        e->run_offset = at;
        g_array_append_val(e->ids, id);
        put_offset(e, 0);
        at += len;
        open = at;
    }
    encode_text(e, input, input + open, n - open);
}

void
pd_tokenizer_encode(const PdTokenizer *tok, const char *bytes, gsize n, GArray *ids,
                    GArray *offsets)
{
    Encoder e = {.tok = tok, .ids = ids, .offsets = offsets};
    g_return_if_fail(n < G_MAXUINT32); /* offsets are 32 bits wide */
    if (n == 0)
        return;
    e.merger = pd_merger_new(tok);
    e.starts = g_array_new(FALSE, FALSE, sizeof(guint32));
    e.cache_ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    e.cache_starts = g_array_new(FALSE, FALSE, sizeof(guint32));
    if (n >= 256) {
        guint32 slots = 64;
        while (slots < CACHE_SLOTS_MAX && slots < n / 8)
            slots *= 2;
        e.cache = g_new0(CacheEntry, slots);
        e.cache_mask = slots - 1;
    }
    encode_all(&e, bytes, n);
    pd_merger_free(e.merger);
    g_array_unref(e.starts);
    g_array_unref(e.cache_ids);
    g_array_unref(e.cache_starts);
    g_free(e.cache);
}
