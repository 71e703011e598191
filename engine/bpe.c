/*
 * Byte-pair merging of one piece of text.
 *
 * Of all neighbouring pairs that may join, the one of lowest rank joins first, of equal ranks the
 * leftmost (Sennrich et al. 2016, section 3.2; ties as in SentencePiece and Hugging Face
 * tokenizers).  Short pieces, nearly all of real text, are scanned for the best pair again after
 * each join; long ones use a heap whose outdated entries are recognised when they surface, so a
 * megabyte without a space costs n log n, not n^2.
 *
 * With ranked merges a pair is looked up by its two ids; with SentencePiece scores any two
 * neighbours join whose text together is a token.
 */
#include <string.h>

#include "engine/tokenizer_private.h"

#define SHORT_SYMBOLS 40

typedef struct {
    guint32 id; /* PD_NO_TOKEN: a character outside the vocabulary */
    guint32 start;
    guint32 len; /* bytes; 0 once joined to its left neighbour */
    guint32 prev, next;
} Symbol;

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
#define NO_RANK G_MAXUINT32

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
    p->keys = g_try_new(guint64, size);
    p->ranks = g_try_new(guint32, size);
    p->results = g_try_new(guint32, size);
    if (p->keys == NULL || p->ranks == NULL || p->results == NULL)
        return FALSE;
    memset(p->keys, 0xff, size * sizeof *p->keys);
    p->mask = size - 1;
    return TRUE;
}

void
pd_pairs_clear(PdPairs *p)
{
    g_free(p->keys);
    g_free(p->ranks);
    g_free(p->results);
}

void
pd_pairs_add(PdPairs *p, guint32 left, guint32 right, guint32 rank, guint32 result)
{
    guint64 key = (guint64)left << 32 | right;
    guint64 slot = hash_pair(key) & p->mask;
    while (p->keys[slot] != G_MAXUINT64) {
        if (p->keys[slot] == key)
            return;
        slot = (slot + 1) & p->mask;
    }
    g_assert(p->n < p->mask);
    p->keys[slot] = key;
    p->ranks[slot] = rank;
    p->results[slot] = result;
    p->n++;
}

/* The rank at which two neighbours join, NO_RANK if never. */
static guint32
find_join(const PdTokenizer *tok, const char *text, const Symbol *a, const Symbol *b,
          guint32 *result)
{
    if (tok->kind == PD_TOKENIZER_SCORES) {
        guint32 id = pd_vocab_find(&tok->vocab, text + a->start, a->len + b->len);
        *result = id;
        return id == PD_NO_TOKEN ? NO_RANK : tok->score_ranks[id];
    }
    /* Both unknown would be the empty slot's key. */
    if (a->id == PD_NO_TOKEN || b->id == PD_NO_TOKEN)
        return NO_RANK;
    const PdPairs *p = &tok->pairs;
    guint64 key = (guint64)a->id << 32 | b->id;
    guint64 slot = hash_pair(key) & p->mask;
    while (p->keys[slot] != key) {
        if (p->keys[slot] == G_MAXUINT64)
            return NO_RANK;
        slot = (slot + 1) & p->mask;
    }
    *result = p->results[slot];
    return p->ranks[slot];
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

static void
make_symbols(PdMerger *m, const char *text, gsize n)
{
    const PdTokenizer *tok = m->tok;
    g_array_set_size(m->symbols, 0);
    for (gsize at = 0; at < n;) {
        Symbol s = {.start = at, .len = 1};
        if (tok->kind == PD_TOKENIZER_BYTES) {
            s.id = tok->byte_ids[(guint8)text[at]];
        } else {
            s.len = MIN((gsize)g_utf8_skip[(guint8)text[at]], n - at);
            s.id = pd_vocab_find(&tok->vocab, text + at, s.len);
        }
        s.prev = m->symbols->len - 1; /* of the first: NO_SYMBOL */
        s.next = m->symbols->len + 1;
        at += s.len;
        if (at == n)
            s.next = NO_SYMBOL;
        g_array_append_val(m->symbols, s);
    }
}

static void
merge_short(PdMerger *m, const char *text)
{
    Symbol *s = (Symbol *)m->symbols->data;
    gsize n = m->symbols->len;
    guint32 ranks[SHORT_SYMBOLS], results[SHORT_SYMBOLS];
    for (gsize i = 0; i + 1 < n; i++)
        ranks[i] = find_join(m->tok, text, &s[i], &s[i + 1], &results[i]);
    while (n > 1) {
        gsize best = 0;
        for (gsize i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == NO_RANK)
            break;
        s[best].id = results[best];
        s[best].len += s[best + 1].len;
        gsize tail = n - best - 2; /* symbols after the pair */
        memmove(&s[best + 1], &s[best + 2], tail * sizeof *s);
        n--;
        if (tail > 0) {
            memmove(&ranks[best + 1], &ranks[best + 2], (tail - 1) * sizeof *ranks);
            memmove(&results[best + 1], &results[best + 2], (tail - 1) * sizeof *results);
            ranks[best] = find_join(m->tok, text, &s[best], &s[best + 1], &results[best]);
        }
        if (best > 0)
            ranks[best - 1] = find_join(m->tok, text, &s[best - 1], &s[best], &results[best - 1]);
    }
    g_array_set_size(m->symbols, n);
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
    Join join = {.left = left, .len = a->len + s[a->next].len};
    join.rank = find_join(m->tok, text, a, &s[a->next], &join.result);
    if (join.rank != NO_RANK)
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
    make_symbols(m, text, n);
    if (m->symbols->len <= SHORT_SYMBOLS)
        merge_short(m, text);
    else
        merge_long(m, text);
    for (gsize i = 0; i < m->symbols->len; i++) {
        const Symbol *s = &g_array_index(m->symbols, Symbol, i);
        if (s->len > 0 && s->id != PD_NO_TOKEN) {
            g_array_append_val(ids, s->id);
            g_array_append_val(starts, s->start);
            continue;
        }
        for (guint32 at = s->start; at < s->start + s->len; at++) {
            guint32 id = tok->byte_ids[(guint8)text[at]];
            if (id == PD_NO_TOKEN) /* a vocabulary with holes cannot say this byte */
                continue;
            g_array_append_val(ids, id);
            g_array_append_val(starts, at);
        }
    }
}
