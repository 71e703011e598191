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
 *
 * The cache: in English and code 99 of 100 pieces have at most 32 bytes and 6 tokens.  Such a piece
 * is compared whole, as four words, padded with zeros.  Its hash names two entries, in which the
 * one that was used last comes first; the other is what a new piece replaces.  Pieces come many at
 * a time, so that their entries are on their way from memory before they are looked at.
 */
#include <string.h>

#include "engine/tokenizer_private.h"
#include "engine/utf8.h"

#define CACHED_WORDS 4
#define CACHED_BYTES_MAX (8 * CACHED_WORDS)
#define CACHED_TOKENS_MAX 6
#define CACHE_BITS 14 /* of a hash; twice as many entries, 2 MB */
#define NOT_CACHED G_MAXUINT32
#define IDLE_MAX 8

/* A piece and its tokens, in one line of the processor's cache. */
typedef struct {
    guint64 words[CACHED_WORDS];
    guint8 n; /* bytes; 0: empty */
    guint8 count;
    guint8 starts[CACHED_TOKENS_MAX]; /* in the piece */
    guint32 ids[CACHED_TOKENS_MAX];
} CacheEntry;
G_STATIC_ASSERT(sizeof(CacheEntry) == 64);

typedef struct {
    const PdTokenizer *tok;
    PdMerger *merger;
    CacheEntry *cache; /* 2 << CACHE_BITS */
    GArray *piece_ids; /* scratch: of the piece being merged */
    GArray *piece_starts;
    /* of one call */
    GArray *ids;
    GArray *offsets; /* NULL: not wanted */
    GArray *pieces;  /* NULL: not wanted */
    guint n_ids;     /* in `ids` and in `offsets` before the call; both are longer than what they */
    guint n_offsets; /* hold while it lasts */
    guint n_put;
    guint room;     /* for so many in all */
    guint n_pieces; /* in `pieces` before the call; longer too */
    guint n_begun;
    guint piece_room;
    /* The run being encoded: its length, where it lies in the input, and where its characters were
     * moved from (NULL: not moved). */
    gsize run_bytes;
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
    e->cache = g_aligned_alloc0(2u << CACHE_BITS, sizeof(CacheEntry), sizeof(CacheEntry));
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
    g_aligned_free(e->cache);
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
set_piece_room(Encoder *e, guint room)
{
    e->piece_room = room;
    if (e->pieces != NULL)
        g_array_set_size(e->pieces, e->n_pieces + room);
}

/* Room for n more pieces. */
static inline void
make_piece_room(Encoder *e, guint n)
{
    if (e->piece_room - e->n_begun < n)
        set_piece_room(e, e->n_begun + n + e->piece_room / 2);
}

/* A piece for which there is room. */
static inline void
begin_piece(Encoder *e, gsize at_in_run)
{
    if (e->pieces == NULL)
        return;
    g_array_index(e->pieces, PdPieceStart, e->n_pieces + e->n_begun) =
        (PdPieceStart){e->n_ids + e->n_put, place_of(e, at_in_run)};
    e->n_begun++;
}

static void
set_room(Encoder *e, guint room)
{
    e->room = room;
    g_array_set_size(e->ids, e->n_ids + room);
    if (e->offsets != NULL)
        g_array_set_size(e->offsets, e->n_offsets + room);
}

/* Room for n more tokens. */
static inline void
make_room(Encoder *e, guint n)
{
    if (e->room - e->n_put < n)
        set_room(e, e->n_put + n + e->room / 2 + 1024);
}

static inline void
put_token(Encoder *e, guint32 id, gsize at_in_run)
{
    g_array_index(e->ids, guint32, e->n_ids + e->n_put) = id;
    if (e->offsets != NULL)
        g_array_index(e->offsets, guint32, e->n_offsets + e->n_put) = place_of(e, at_in_run);
    e->n_put++;
}

/* The first n > 0 of the eight bytes of a word, with zeros behind them. */
static inline guint64
first_bytes(guint64 word, gsize n)
{
    return GUINT64_FROM_LE(word) & G_MAXUINT64 >> (64 - 8 * n);
}

/* A piece of n bytes as a cache entry has it; `room`: bytes that may be read there. */
static inline void
piece_words(const char *text, gsize n, gsize room, guint64 words[CACHED_WORDS])
{
    memset(words, 0, CACHED_BYTES_MAX);
    if (n <= 16 && room >= 16) {
        memcpy(words, text, 16);
        words[0] = first_bytes(words[0], MIN(n, 8));
        words[1] = n > 8 ? first_bytes(words[1], n - 8) : 0;
    } else {
        memcpy(words, text, n);
        for (int i = 0; i < CACHED_WORDS; i++)
            words[i] = GUINT64_FROM_LE(words[i]);
    }
}

/* The first of a piece's two entries.  The multipliers are odd and have no pattern (2^64 / golden
 * ratio and its multiples); the highest bits depend on all others. */
static inline guint32
cache_slot(const guint64 words[CACHED_WORDS], gsize n)
{
    const guint64 k = G_GUINT64_CONSTANT(0x9E3779B97F4A7C15);
    guint64 hash =
        (words[0] ^ n) * k + words[1] * (3 * k) + words[2] * (5 * k) + words[3] * (7 * k);
    return 2 * (guint32)((hash ^ hash >> 32) * k >> (64 - CACHE_BITS));
}

static inline gboolean
entry_is(const CacheEntry *entry, const guint64 words[CACHED_WORDS], gsize n)
{
    return entry->n == n && entry->words[0] == words[0] && entry->words[1] == words[1] &&
           (n <= 16 || (entry->words[2] == words[2] && entry->words[3] == words[3]));
}

static void
cache_store(const Encoder *e, CacheEntry *entry, const guint64 words[CACHED_WORDS], gsize n)
{
    guint count = e->piece_ids->len;
    if (count > CACHED_TOKENS_MAX)
        return;
    entry[1] = entry[0];
    memcpy(entry->words, words, CACHED_BYTES_MAX);
    entry->n = (guint8)n;
    entry->count = (guint8)count;
    for (guint i = 0; i < count; i++) {
        entry->ids[i] = g_array_index(e->piece_ids, guint32, i);
        entry->starts[i] = (guint8)g_array_index(e->piece_starts, guint32, i);
    }
}

/* A piece that is in no entry; `entry`: its first, NULL if it is too long for one. */
static void
merge_piece(Encoder *e, const char *text, gsize at, gsize n, CacheEntry *entry,
            const guint64 words[CACHED_WORDS])
{
    g_array_set_size(e->piece_ids, 0);
    g_array_set_size(e->piece_starts, 0);
    pd_merger_run(e->merger, text + at, n, e->piece_ids, e->piece_starts);
    make_room(e, e->piece_ids->len);
    for (guint i = 0; i < e->piece_ids->len; i++)
        put_token(e, g_array_index(e->piece_ids, guint32, i),
                  at + g_array_index(e->piece_starts, guint32, i));
    if (entry != NULL)
        cache_store(e, entry, words, n);
}

static inline void
encode_piece(Encoder *e, const char *text, gsize at, gsize n, const guint64 words[CACHED_WORDS],
             guint32 slot)
{
    begin_piece(e, at);
    if (slot == NOT_CACHED) {
        merge_piece(e, text, at, n, NULL, words);
        return;
    }
    CacheEntry *entry = &e->cache[slot];
    if (!entry_is(entry, words, n)) {
        if (!entry_is(entry + 1, words, n)) {
            merge_piece(e, text, at, n, entry, words);
            return;
        }
        CacheEntry second = entry[1];
        entry[1] = entry[0];
        entry[0] = second;
    }
    make_room(e, CACHED_TOKENS_MAX);
    for (guint i = 0; i < entry->count; i++)
        put_token(e, entry->ids[i], at + entry->starts[i]);
}

/* Pieces of a run: see PdPiecesFunc. */
static void
encode_pieces(const char *text, gsize start, const guint32 *ends, guint n, gpointer user_data)
{
    Encoder *e = user_data;
    guint64 words[PD_PIECES_MAX][CACHED_WORDS];
    guint32 slots[PD_PIECES_MAX];
    gsize at = start;
    make_piece_room(e, n);
    for (guint i = 0; i < n; i++) {
        gsize n_bytes = ends[i] - at;
        slots[i] = NOT_CACHED;
        if (n_bytes <= CACHED_BYTES_MAX) {
            piece_words(text + at, n_bytes, e->run_bytes - at, words[i]);
            slots[i] = cache_slot(words[i], n_bytes);
            __builtin_prefetch(&e->cache[slots[i]]);
            __builtin_prefetch(&e->cache[slots[i] + 1]);
        }
        at = ends[i];
    }
    at = start;
    for (guint i = 0; i < n; i++) {
        encode_piece(e, text, at, ends[i] - at, words[i], slots[i]);
        at = ends[i];
    }
}

/* SentencePiece knows no words.  Cutting before a space that no token joins to the byte before it
 * changes no merge, and makes pieces that repeat. */
static void
split_at_spaces(Encoder *e, const char *text, gsize n)
{
    const guint8 *joins = e->tok->joins_space;
    guint32 ends[PD_PIECES_MAX];
    guint n_ends = 0;
    gsize start = 0;
    for (gsize i = 1; i <= n; i++) {
        guint8 before = text[i - 1];
        if (i < n && (text[i] != ' ' || joins[before / 8] >> before % 8 & 1))
            continue;
        ends[n_ends++] = (guint32)i;
        if (n_ends < PD_PIECES_MAX && i < n)
            continue;
        encode_pieces(text, start, ends, n_ends, e);
        start = i;
        n_ends = 0;
    }
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
    e->run_bytes = to;
    e->moved = moved;
    split_at_spaces(e, plain, to);
    e->moved = NULL;
}

static void
encode_run(Encoder *e, const char *input, const char *text, gsize n)
{
    e->run_bytes = n;
    e->run_offset = text - input;
    if (e->tok->kind == PD_TOKENIZER_BYTES)
        pd_pretokenizer_split(e->tok->pre, text, n, encode_pieces, e);
    else
        encode_marked_run(e, text, n);
}

/* Text without user-defined tokens. */
static void
encode_text(Encoder *e, const char *input, const char *text, gsize n)
{
    while (n > 0) {
        gsize valid = pd_utf8_valid_bytes(text, n);
        if (valid > 0)
            encode_run(e, input, text, valid);
        text += valid;
        n -= valid;
        if (n == 0)
            break;
        guint32 id = e->tok->byte_ids[(guint8)*text];
        e->run_offset = text - input;
        make_piece_room(e, 1);
        begin_piece(e, 0);
        if (id != PD_NO_TOKEN) {
            make_room(e, 1);
            put_token(e, id, 0);
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
        make_piece_room(e, 1);
        begin_piece(e, 0);
        make_room(e, 1);
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
    e->n_pieces = pieces != NULL ? pieces->len : 0;
    e->n_begun = 0;
    set_room(e, (guint)(n / 4 + 64));
    set_piece_room(e, (guint)(n / 4 + 64));
    encode_all(e, bytes, n);
    set_room(e, e->n_put);
    set_piece_room(e, e->n_begun);
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
