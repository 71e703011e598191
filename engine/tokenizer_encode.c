/*
 * Encoding: bytes to tokens.
 *
 *   bytes -> user-defined tokens | the rest -> valid UTF-8 | single invalid bytes
 *   valid UTF-8 -> pieces -> merged tokens
 *
 * Control tokens are never looked for, so no text can produce one.  An invalid byte is its byte
 * token and a boundary on both sides, since no pattern is defined on it.  Pieces repeat a lot in
 * text (Zipf), so those that were merged are kept, also from one call to the next: an encoder with
 * its cache belongs to one call at a time and waits in the tokenizer's pool between them.
 */
#include <string.h>

#include "engine/tokenizer_private.h"

#define CACHED_BYTES_MAX 32
#define CACHED_TOKENS_MAX 6
#define CACHE_SLOTS 16384u /* a power of two */
#define IDLE_MAX 8

/* A piece and its tokens, in one line of the processor's cache. */
typedef struct {
    char text[CACHED_BYTES_MAX];
    guint8 n; /* 0: empty */
    guint8 count;
    guint8 starts[CACHED_TOKENS_MAX]; /* in the piece */
    guint32 ids[CACHED_TOKENS_MAX];
} CacheEntry;
G_STATIC_ASSERT(sizeof(CacheEntry) == 64);

typedef struct {
    const PdTokenizer *tok;
    PdMerger *merger;
    CacheEntry *cache; /* CACHE_SLOTS */
    GArray *piece_ids; /* scratch: of the piece being merged */
    GArray *piece_starts;
    /* of one call */
    GArray *ids;
    GArray *offsets; /* NULL: not wanted */
    GArray *pieces;  /* NULL: not wanted */
    guint n_ids;     /* in `ids` and in `offsets` before the call; both are longer than what they */
    guint n_offsets; /* hold while it lasts */
    guint n_put;
    guint room; /* for so many in all */
    /* The run being encoded: its text, where it lies in the input, and where its characters were
     * moved from (NULL: not moved). */
    const char *run;
    guint32 run_offset;
    const guint32 *moved;
} Encoder;

struct PdEncoderPool {
    GMutex lock;
    Encoder *idle[IDLE_MAX];
    guint n_idle;
};

/* --- encoders ----------------------------------------------------------------------------------
 */

static Encoder *
encoder_new(const PdTokenizer *tok)
{
    Encoder *e = g_new0(Encoder, 1);
    e->tok = tok;
    e->merger = pd_merger_new(tok);
    e->cache = g_new0(CacheEntry, CACHE_SLOTS);
    e->piece_ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    e->piece_starts = g_array_new(FALSE, FALSE, sizeof(guint32));
    return e;
}

static void
encoder_free(Encoder *e)
{
    pd_merger_free(e->merger);
    g_array_unref(e->piece_ids);
    g_array_unref(e->piece_starts);
    g_free(e->cache);
    g_free(e);
}

PdEncoderPool *
pd_encoder_pool_new(void)
{
    PdEncoderPool *pool = g_new0(PdEncoderPool, 1);
    g_mutex_init(&pool->lock);
    return pool;
}

void
pd_encoder_pool_free(PdEncoderPool *pool)
{
    for (guint i = 0; i < pool->n_idle; i++)
        encoder_free(pool->idle[i]);
    g_mutex_clear(&pool->lock);
    g_free(pool);
}

static Encoder *
encoder_take(const PdTokenizer *tok)
{
    PdEncoderPool *pool = tok->encoders;
    g_mutex_lock(&pool->lock);
    Encoder *e = pool->n_idle ? pool->idle[--pool->n_idle] : NULL;
    g_mutex_unlock(&pool->lock);
    return e ? e : encoder_new(tok);
}

static void
encoder_give_back(Encoder *e)
{
    PdEncoderPool *pool = e->tok->encoders;
    g_mutex_lock(&pool->lock);
    gboolean kept = pool->n_idle < IDLE_MAX;
    if (kept)
        pool->idle[pool->n_idle++] = e;
    g_mutex_unlock(&pool->lock);
    if (!kept)
        encoder_free(e);
}

/* --- pieces ------------------------------------------------------------------------------------
 */

static guint32
place_of(const Encoder *e, gsize at_in_run)
{
    return e->run_offset + (guint32)(e->moved != NULL ? e->moved[at_in_run] : at_in_run);
}

static void
begin_piece(Encoder *e, gsize at_in_run)
{
    if (e->pieces == NULL)
        return;
    PdPieceStart piece = {e->n_ids + e->n_put, place_of(e, at_in_run)};
    g_array_append_val(e->pieces, piece);
}

static void
set_room(Encoder *e, guint room)
{
    e->room = room;
    g_array_set_size(e->ids, e->n_ids + room);
    if (e->offsets != NULL)
        g_array_set_size(e->offsets, e->n_offsets + room);
}

static inline void
put_token(Encoder *e, guint32 id, gsize at_in_run)
{
    if (e->n_put == e->room)
        set_room(e, e->room + e->room / 2 + 1024);
    g_array_index(e->ids, guint32, e->n_ids + e->n_put) = id;
    if (e->offsets != NULL)
        g_array_index(e->offsets, guint32, e->n_offsets + e->n_put) = place_of(e, at_in_run);
    e->n_put++;
}

static void
cache_store(const Encoder *e, CacheEntry *slot, const char *text, gsize n)
{
    guint count = e->piece_ids->len;
    if (count > CACHED_TOKENS_MAX)
        return;
    memcpy(slot->text, text, n);
    slot->n = (guint8)n;
    slot->count = (guint8)count;
    for (guint i = 0; i < count; i++) {
        slot->ids[i] = g_array_index(e->piece_ids, guint32, i);
        slot->starts[i] = (guint8)g_array_index(e->piece_starts, guint32, i);
    }
}

static void
encode_piece(const char *text, gsize n, gpointer user_data)
{
    Encoder *e = user_data;
    gsize at = text - e->run;
    CacheEntry *slot = NULL;
    begin_piece(e, at);
    if (n <= CACHED_BYTES_MAX) {
        slot = &e->cache[pd_hash_bytes(text, n) & (CACHE_SLOTS - 1)];
        if (slot->n == n && memcmp(slot->text, text, n) == 0) {
            for (guint i = 0; i < slot->count; i++)
                put_token(e, slot->ids[i], at + slot->starts[i]);
            return;
        }
    }
    g_array_set_size(e->piece_ids, 0);
    g_array_set_size(e->piece_starts, 0);
    pd_merger_run(e->merger, text, n, e->piece_ids, e->piece_starts);
    for (guint i = 0; i < e->piece_ids->len; i++)
        put_token(e, g_array_index(e->piece_ids, guint32, i),
                  at + g_array_index(e->piece_starts, guint32, i));
    if (slot != NULL)
        cache_store(e, slot, text, n);
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
        begin_piece(e, 0);
        if (id != PD_NO_TOKEN)
            put_token(e, id, 0);
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
        if (e->tok->user_byte >= 0) {
            const char *next = memchr(input + at, e->tok->user_byte, n - at);
            if (next == NULL)
                break;
            at = next - input;
        }
        guint32 id = match_user(e->tok, input + at, n - at, &len);
        if (id == PD_NO_TOKEN) {
            at++;
            continue;
        }
        encode_text(e, input, input + open, at - open);
        e->run_offset = at;
        begin_piece(e, 0);
        put_token(e, id, 0);
        at += len;
        open = at;
    }
    encode_text(e, input, input + open, n - open);
}

void
pd_tokenizer_encode_pieces(const PdTokenizer *tok, const char *bytes, gsize n, GArray *ids,
                           GArray *offsets, GArray *pieces)
{
    g_return_if_fail(n < G_MAXUINT32); /* offsets are 32 bits wide */
    if (n == 0)
        return;
    Encoder *e = encoder_take(tok);
    e->ids = ids;
    e->offsets = offsets;
    e->pieces = pieces;
    e->n_ids = ids->len;
    e->n_offsets = offsets != NULL ? offsets->len : 0;
    e->n_put = 0;
    set_room(e, (guint)(n / 4 + 64));
    encode_all(e, bytes, n);
    set_room(e, e->n_put);
    encoder_give_back(e);
}

void
pd_tokenizer_encode(const PdTokenizer *tok, const char *bytes, gsize n, GArray *ids,
                    GArray *offsets)
{
    pd_tokenizer_encode_pieces(tok, bytes, n, ids, offsets, NULL);
}

/* --- what does not depend on what follows ------------------------------------------------------
 */

/* The first byte of a character that is no white space for certain (UTF-8 writes that of Unicode
 * with the lead bytes C2, E1, E2 and E3). */
static gboolean
is_no_space(guint8 byte)
{
    if (byte < 0x80)
        return !g_ascii_isspace(byte) && byte != '\v';
    return byte >= 0xc3 && (byte < 0xe1 || byte > 0xe3);
}

guint
pd_tokenizer_settled(const PdTokenizer *tok, const char *text, gsize n, const GArray *pieces,
                     guint first, guint end)
{
    /* A user-defined token, or the rest of a character, may reach over the end. */
    gsize reach = MAX(tok->user_bytes_max, 4);
    if (tok->kind == PD_TOKENIZER_BYTES && !pd_pretokenizer_is_local(tok->pre))
        return first;
    for (guint i = end; i-- > first + 1;) {
        gsize at = g_array_index(pieces, PdPieceStart, i).start;
        while (at + reach < n && ((guint8)text[at] < 0x80) && !is_no_space(text[at]))
            at++;
        if (at + reach < n && is_no_space(text[at]))
            return i;
    }
    return first;
}
