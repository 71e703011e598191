/*
 * Byte-pair merging of one piece of text.
 *
 * Of all neighbouring pairs that may join, the one of lowest rank joins first, of equal ranks the
 * leftmost (Sennrich et al. 2016, section 3.2; ties as in SentencePiece and Hugging Face
 * tokenizers).  Short pieces, nearly all of real text, are scanned for the best pair again after
 * each join; long ones use a heap whose outdated entries are recognised when they surface, so a
 * megabyte without a space costs n log n, not n^2.  What a short piece costs is waiting for the
 * table of pairs, which no processor's near cache holds: so that of two bytes stands by itself.
 *
 * With ranked merges a pair is looked up by its two ids; with SentencePiece scores any two
 * neighbours join whose text together is a token.
 */
#include <string.h>

#include "engine/tokenizer_private.h"

#define SHORT_BYTES 40

typedef struct {
    guint32 id; /* PD_NO_TOKEN: a character outside the vocabulary */
    guint32 start;
    guint32 len; /* bytes; 0 once joined to its left neighbour */
    guint32 prev, next;
} Symbol;

/* Of a short piece; it ends where the next one starts. */
typedef struct {
    guint32 id;
    guint32 start;
    PdJoin join; /* with the next one */
} ShortSymbol;

typedef struct {
    guint32 rank;
    guint32 left; /* symbol index */
    guint32 len;  /* bytes of both: tells an outdated entry */
    guint32 result;
} Join;

struct PdMerger {
    const PdTokenizer *tok;
    GArray *symbols;
    GArray *heap;
};

#define NO_SYMBOL G_MAXUINT32

static guint64
hash_pair(guint64 key)
{
    key *= G_GUINT64_CONSTANT(0x9E3779B97F4A7C15);
    return key ^ key >> 32;
}

gboolean
pd_pairs_init(PdPairs *p, gsize n)
{
    guint64 size = 16;
    while (size < 2 * (guint64)n)
        size *= 2;
    p->slots = g_try_new(PdPair, size);
    p->bytes = g_try_new(PdJoin, 256 * 256);
    if (p->slots == NULL || p->bytes == NULL)
        return FALSE;
    memset(p->slots, 0xff, size * sizeof *p->slots);
    memset(p->bytes, 0xff, 256 * 256 * sizeof *p->bytes);
    p->mask = size - 1;
    return TRUE;
}

void
pd_pairs_clear(PdPairs *p)
{
    g_free(p->slots);
    g_free(p->bytes);
}

void
pd_pairs_add(PdPairs *p, guint32 left, guint32 right, guint32 rank, guint32 result)
{
    guint64 key = (guint64)left << 32 | right;
    guint64 slot = hash_pair(key) & p->mask;
    while (p->slots[slot].key != G_MAXUINT64) {
        if (p->slots[slot].key == key)
            return;
        slot = (slot + 1) & p->mask;
    }
    g_assert(p->n < p->mask);
    p->slots[slot] = (PdPair){key, rank, result};
    p->n++;
}

void
pd_pairs_add_bytes(PdPairs *p, guint8 left, guint8 right, guint32 rank, guint32 result)
{
    PdJoin *join = &p->bytes[left << 8 | right];
    if (join->rank == PD_NO_RANK)
        *join = (PdJoin){rank, result};
}

/* How two neighbours join whose bytes, together n, are those at `text`. */
static inline PdJoin
find_join(const PdTokenizer *tok, const char *text, gsize n, guint32 left, guint32 right)
{
    const PdJoin never = {PD_NO_RANK, PD_NO_TOKEN};
    if (tok->kind == PD_TOKENIZER_SCORES) {
        guint32 id = pd_vocab_find(&tok->vocab, text, n);
        return id == PD_NO_TOKEN ? never : (PdJoin){tok->score_ranks[id], id};
    }
    /* Both unknown would be the empty slot's key. */
    if (left == PD_NO_TOKEN || right == PD_NO_TOKEN)
        return never;
    const PdPairs *p = &tok->pairs;
    guint64 key = (guint64)left << 32 | right;
    guint64 slot = hash_pair(key) & p->mask;
    while (p->slots[slot].key != key) {
        if (p->slots[slot].key == G_MAXUINT64)
            return never;
        slot = (slot + 1) & p->mask;
    }
    return (PdJoin){p->slots[slot].rank, p->slots[slot].result};
}

PdMerger *
pd_merger_new(const PdTokenizer *tok)
{
    PdMerger *m = g_new0(PdMerger, 1);
    m->tok = tok;
    m->symbols = g_array_new(FALSE, FALSE, sizeof(Symbol));
    m->heap = g_array_new(FALSE, FALSE, sizeof(Join));
    return m;
}

void
pd_merger_free(PdMerger *m)
{
    g_array_unref(m->symbols);
    g_array_unref(m->heap);
    g_free(m);
}

/* The first symbol of n bytes: its length; *id PD_NO_TOKEN: unknown. */
static inline gsize
first_symbol(const PdTokenizer *tok, const char *text, gsize n, guint32 *id)
{
    if (tok->kind == PD_TOKENIZER_BYTES) {
        *id = tok->byte_ids[(guint8)*text];
        return 1;
    }
    gsize len = MIN((gsize)g_utf8_skip[(guint8)*text], n);
    *id = pd_vocab_find(&tok->vocab, text, len);
    return len;
}

static void
put_symbol(const PdTokenizer *tok, const char *text, guint32 start, guint32 len, guint32 id,
           GArray *ids, GArray *starts)
{
    if (id != PD_NO_TOKEN) {
        g_array_append_val(ids, id);
        g_array_append_val(starts, start);
        return;
    }
    for (guint32 at = start; at < start + len; at++) {
        guint32 byte_id = tok->byte_ids[(guint8)text[at]];
        if (byte_id == PD_NO_TOKEN) /* a vocabulary with holes cannot say this byte */
            continue;
        g_array_append_val(ids, byte_id);
        g_array_append_val(starts, at);
    }
}

/* --- short pieces -------------------------------------------------------------------------- */

/* The symbols of n bytes, an end behind them, and how neighbours join; returns their number. */
static gsize
make_short(const PdTokenizer *tok, const char *text, gsize n, ShortSymbol *s)
{
    gsize n_symbols = 0;
    for (gsize at = 0; at < n; n_symbols++) {
        s[n_symbols].start = (guint32)at;
        at += first_symbol(tok, text + at, n - at, &s[n_symbols].id);
    }
    s[n_symbols].start = (guint32)n;
    if (tok->kind == PD_TOKENIZER_BYTES)
        for (gsize i = 0; i + 1 < n_symbols; i++)
            s[i].join = tok->pairs.bytes[(guint8)text[i] << 8 | (guint8)text[i + 1]];
    else
        for (gsize i = 0; i + 1 < n_symbols; i++)
            s[i].join = find_join(tok, text + s[i].start, s[i + 2].start - s[i].start, s[i].id,
                                  s[i + 1].id);
    s[n_symbols - 1].join.rank = PD_NO_RANK;
    return n_symbols;
}

/* The same for symbol i, if there is one behind it. */
static inline void
update_join(const PdTokenizer *tok, const char *text, ShortSymbol *s, gsize i, gsize n_symbols)
{
    s[i].join.rank = PD_NO_RANK;
    if (i + 1 < n_symbols)
        s[i].join =
            find_join(tok, text + s[i].start, s[i + 2].start - s[i].start, s[i].id, s[i + 1].id);
}

static void
merge_short(const PdTokenizer *tok, const char *text, gsize n, GArray *ids, GArray *starts)
{
    ShortSymbol s[SHORT_BYTES + 1];
    gsize n_symbols = make_short(tok, text, n, s);
    for (;;) {
        gsize best = 0;
        for (gsize i = 1; i < n_symbols; i++)
            if (s[i].join.rank < s[best].join.rank)
                best = i;
        if (s[best].join.rank == PD_NO_RANK)
            break;
        s[best].id = s[best].join.result;
        memmove(&s[best + 1], &s[best + 2], (n_symbols - best - 1) * sizeof *s);
        n_symbols--;
        update_join(tok, text, s, best, n_symbols);
        if (best > 0)
            update_join(tok, text, s, best - 1, n_symbols);
    }
    for (gsize i = 0; i < n_symbols; i++)
        put_symbol(tok, text, s[i].start, s[i + 1].start - s[i].start, s[i].id, ids, starts);
}

/* --- long pieces --------------------------------------------------------------------------- */

static void
make_symbols(PdMerger *m, const char *text, gsize n)
{
    g_array_set_size(m->symbols, 0);
    for (gsize at = 0; at < n;) {
        Symbol s = {.start = at};
        s.len = first_symbol(m->tok, text + at, n - at, &s.id);
        s.prev = m->symbols->len - 1; /* of the first: NO_SYMBOL */
        s.next = m->symbols->len + 1;
        at += s.len;
        if (at == n)
            s.next = NO_SYMBOL;
        g_array_append_val(m->symbols, s);
    }
}

static gboolean
join_before(const Join *a, const Join *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void
heap_push(GArray *heap, Join join)
{
    g_array_set_size(heap, heap->len + 1);
    Join *h = (Join *)heap->data;
    gsize at = heap->len - 1;
    while (at > 0 && join_before(&join, &h[(at - 1) / 2])) {
        h[at] = h[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    h[at] = join;
}

static Join
heap_pop(GArray *heap)
{
    Join *h = (Join *)heap->data;
    Join top = h[0];
    Join last = h[heap->len - 1];
    gsize n = heap->len - 1;
    gsize at = 0;
    g_array_set_size(heap, n);
    for (;;) {
        gsize child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && join_before(&h[child + 1], &h[child]))
            child++;
        if (!join_before(&h[child], &last))
            break;
        h[at] = h[child];
        at = child;
    }
    if (n > 0)
        h[at] = last;
    return top;
}

static void
push_join(PdMerger *m, const char *text, guint32 left)
{
    const Symbol *s = (const Symbol *)m->symbols->data;
    const Symbol *a = &s[left];
    if (left == NO_SYMBOL || a->next == NO_SYMBOL)
        return;
    const Symbol *b = &s[a->next];
    PdJoin found = find_join(m->tok, text + a->start, a->len + b->len, a->id, b->id);
    Join join = {found.rank, left, a->len + b->len, found.result};
    if (join.rank != PD_NO_RANK)
        heap_push(m->heap, join);
}

static void
merge_long(PdMerger *m, const char *text)
{
    Symbol *s = (Symbol *)m->symbols->data;
    g_array_set_size(m->heap, 0);
    for (guint32 i = 0; i + 1 < m->symbols->len; i++)
        push_join(m, text, i);
    while (m->heap->len > 0) {
        Join join = heap_pop(m->heap);
        Symbol *a = &s[join.left];
        /* Symbols only grow, so the same bytes in two symbols are the same two symbols. */
        if (a->len == 0 || a->next == NO_SYMBOL || a->len + s[a->next].len != join.len)
            continue;
        Symbol *b = &s[a->next];
        a->id = join.result;
        a->len = join.len;
        a->next = b->next;
        b->len = 0;
        if (a->next != NO_SYMBOL)
            s[a->next].prev = join.left;
        push_join(m, text, join.left);
        if (a->prev != NO_SYMBOL)
            push_join(m, text, a->prev);
    }
}

void
pd_merger_run(PdMerger *m, const char *text, gsize n, GArray *ids, GArray *starts)
{
    const PdTokenizer *tok = m->tok;
    if (n == 0)
        return;
    if (tok->ignore_merges) {
        guint32 id = pd_vocab_find(&tok->vocab, text, n);
        if (id != PD_NO_TOKEN) {
            guint32 zero = 0;
            g_array_append_val(ids, id);
            g_array_append_val(starts, zero);
            return;
        }
    }
    if (n <= SHORT_BYTES) {
        merge_short(tok, text, n, ids, starts);
        return;
    }
    make_symbols(m, text, n);
    merge_long(m, text);
    for (gsize i = 0; i < m->symbols->len; i++) {
        const Symbol *s = &g_array_index(m->symbols, Symbol, i);
        if (s->len > 0)
            put_symbol(tok, text, s->start, s->len, s->id, ids, starts);
    }
}
