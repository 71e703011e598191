/*
 * The vocabulary: token texts by id, and ids by text.
 *
 * The hash holds NORMAL tokens only.  That is what keeps "<|im_start|>" or "<0x0A>" in a document
 * ordinary text: no sequence of merges can look a control or byte token up.
 */
#include <string.h>

#include "engine/tokenizer_private.h"

void
pd_vocab_init(PdVocab *v)
{
    guint32 zero = 0;
    memset(v, 0, sizeof *v);
    v->bytes = g_byte_array_new();
    v->starts = g_array_new(FALSE, FALSE, sizeof(guint32));
    v->types = g_byte_array_new();
    g_array_append_val(v->starts, zero);
}

void
pd_vocab_clear(PdVocab *v)
{
    g_byte_array_unref(v->bytes);
    g_array_unref(v->starts);
    g_byte_array_unref(v->types);
    g_free(v->slots);
}

gboolean
pd_vocab_add(PdVocab *v, const char *bytes, gsize n, PdTokenType type)
{
    guint8 byte = type;
    if (n > G_MAXINT32 - (gsize)v->bytes->len || v->types->len >= PD_VOCAB_TOKENS_MAX)
        return FALSE;
    g_byte_array_append(v->bytes, (const guint8 *)bytes, n);
    g_byte_array_append(v->types, &byte, 1);
    guint32 end = v->bytes->len;
    g_array_append_val(v->starts, end);
    return TRUE;
}

guint32
pd_vocab_size(const PdVocab *v)
{
    return v->types->len;
}

const char *
pd_vocab_text(const PdVocab *v, guint32 id, gsize *n)
{
    const guint32 *starts = (const guint32 *)v->starts->data;
    *n = starts[id + 1] - starts[id];
    return (const char *)v->bytes->data + starts[id];
}

PdTokenType
pd_vocab_type(const PdVocab *v, guint32 id)
{
    return v->types->data[id];
}

void
pd_vocab_set_type(PdVocab *v, guint32 id, PdTokenType type)
{
    v->types->data[id] = type;
}

/* Eight bytes a step, multiply and fold; the multiplier is 2^64 / golden ratio (Knuth, TAOCP 3,
 * section 6.4). */
guint64
pd_hash_bytes(const char *bytes, gsize n)
{
    const guint64 k = G_GUINT64_CONSTANT(0x9E3779B97F4A7C15);
    guint64 h = n * k;
    guint64 w;
    while (n >= 8) {
        memcpy(&w, bytes, 8);
        h = (h ^ w) * k;
        h ^= h >> 32;
        bytes += 8;
        n -= 8;
    }
    w = 0;
    memcpy(&w, bytes, n);
    h = (h ^ w) * k;
    h ^= h >> 29;
    h *= k;
    return h ^ h >> 32;
}

void
pd_vocab_index(PdVocab *v)
{
    guint32 n = pd_vocab_size(v);
    guint64 size = 16;
    while (size < 2 * (guint64)n)
        size *= 2;
    g_free(v->slots);
    v->slots = g_new(guint32, size);
    memset(v->slots, 0xff, size * sizeof *v->slots);
    v->slots_mask = size - 1;
    for (guint32 id = 0; id < n; id++) {
        gsize len, other_len;
        const char *text = pd_vocab_text(v, id, &len);
        if (pd_vocab_type(v, id) != PD_TOKEN_NORMAL || len == 0)
            continue;
        guint32 slot = pd_hash_bytes(text, len) & v->slots_mask;
        while (v->slots[slot] != PD_NO_TOKEN) {
            const char *other = pd_vocab_text(v, v->slots[slot], &other_len);
            if (other_len == len && memcmp(other, text, len) == 0)
                break;
            slot = (slot + 1) & v->slots_mask;
        }
        v->slots[slot] = id;
    }
}

guint32
pd_vocab_find(const PdVocab *v, const char *bytes, gsize n)
{
    guint32 slot = pd_hash_bytes(bytes, n) & v->slots_mask;
    while (v->slots[slot] != PD_NO_TOKEN) {
        gsize len;
        const char *text = pd_vocab_text(v, v->slots[slot], &len);
        if (len == n && memcmp(text, bytes, n) == 0)
            return v->slots[slot];
        slot = (slot + 1) & v->slots_mask;
    }
    return PD_NO_TOKEN;
}
