/*
 * The tokenizer's public face: decoding, special tokens, identity.
 */
#include "engine/tokenizer.h"

#include <string.h>

#include "engine/error.h"
#include "engine/tokenizer_private.h"

/* Tokens that end a turn or a text, of the families handled here and their relatives. */
static const char *const end_texts[] = {
    "<|im_end|>", "<|endoftext|>",   "<|eot_id|>",
    "<|eom_id|>", "<|end_of_text|>", "<end_of_turn>",
    "<|end|>",    "<|return|>",      "<｜end▁of▁sentence｜>",
};
/* Looks like an end marker wherever a file lists it: never matched in text, as in llama.cpp.  It is
 * no end here, since gemma uses it for the HTML tag. */
static const char control_text[] = "</s>";

PdTokenizer *
pd_tokenizer_alloc(PdTokenizerKind kind)
{
    PdTokenizer *tok = g_new0(PdTokenizer, 1);
    tok->ref_count = 1;
    tok->kind = kind;
    tok->bos = tok->eos = -1;
    tok->encoders = pd_encoder_pool_new();
    pd_vocab_init(&tok->vocab);
    memset(tok->byte_ids, 0xff, sizeof tok->byte_ids);
    tok->specials = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return tok;
}

PdTokenizer *
pd_tokenizer_ref(PdTokenizer *tok)
{
    g_atomic_int_inc(&tok->ref_count);
    return tok;
}

void
pd_tokenizer_unref(PdTokenizer *tok)
{
    if (tok == NULL || !g_atomic_int_dec_and_test(&tok->ref_count))
        return;
    pd_encoder_pool_free(tok->encoders);
    pd_vocab_clear(&tok->vocab);
    pd_pairs_clear(&tok->pairs);
    pd_pretokenizer_free(tok->pre);
    g_hash_table_unref(tok->specials);
    g_free(tok->score_ranks);
    g_free(tok->user_tokens);
    g_free(tok->is_end);
    g_free(tok->variant);
    g_free(tok->id);
    g_free(tok->description);
    g_free(tok);
}

gboolean
pd_tokenizer_add_token(PdTokenizer *tok, const char *bytes, gsize n, PdTokenType type)
{
    guint32 id = pd_vocab_size(&tok->vocab);
    guint8 byte;
    if (!pd_vocab_add(&tok->vocab, bytes, n, type))
        return FALSE;
    if (type == PD_TOKEN_BYTE && n == 1) {
        memcpy(&byte, bytes, 1);
        tok->byte_ids[byte] = id;
    } else if (type != PD_TOKEN_NORMAL && n > 0) {
        g_hash_table_insert(tok->specials, g_strndup(bytes, n), GSIZE_TO_POINTER(id + 1));
    }
    return TRUE;
}

void
pd_tokenizer_add_end(PdTokenizer *tok, guint64 id)
{
    if (tok->is_end == NULL)
        tok->is_end = g_new0(guint8, MAX(pd_vocab_size(&tok->vocab), 1));
    if (id < pd_vocab_size(&tok->vocab))
        tok->is_end[id] = 1;
}

gboolean
pd_tokenizer_add_merge(PdTokenizer *tok, const char *left, gsize n_left, const char *right,
                       gsize n_right, guint32 rank)
{
    g_autofree char *joined = g_malloc(n_left + n_right + 1);
    memcpy(joined, left, n_left);
    memcpy(joined + n_left, right, n_right);
    joined[n_left + n_right] = '\0';
    guint32 a = pd_vocab_find(&tok->vocab, left, n_left);
    guint32 b = pd_vocab_find(&tok->vocab, right, n_right);
    guint32 result = pd_vocab_find(&tok->vocab, joined, n_left + n_right);
    if (a != PD_NO_TOKEN && b != PD_NO_TOKEN && result != PD_NO_TOKEN) {
        pd_pairs_add(&tok->pairs, a, b, rank, result);
        if (n_left == 1 && n_right == 1)
            pd_pairs_add_bytes(&tok->pairs, (guint8)*left, (guint8)*right, rank, result);
        return TRUE;
    }
    /* A merge towards a special token must not happen in text. */
    g_autofree char *l = g_strndup(left, n_left);
    g_autofree char *r = g_strndup(right, n_right);
    return (a != PD_NO_TOKEN || g_hash_table_contains(tok->specials, l)) &&
           (b != PD_NO_TOKEN || g_hash_table_contains(tok->specials, r)) &&
           (result != PD_NO_TOKEN || g_hash_table_contains(tok->specials, joined));
}

static void
mark_known_texts(PdTokenizer *tok)
{
    for (gsize i = 0; i < G_N_ELEMENTS(end_texts); i++) {
        gint64 id = pd_tokenizer_special_id(tok, end_texts[i]);
        if (id < 0)
            continue;
        pd_vocab_set_type(&tok->vocab, id, PD_TOKEN_CONTROL);
        pd_tokenizer_add_end(tok, id);
    }
    if (tok->eos >= 0)
        pd_tokenizer_add_end(tok, tok->eos);
    gint64 id = pd_tokenizer_special_id(tok, control_text);
    if (id >= 0)
        pd_vocab_set_type(&tok->vocab, id, PD_TOKEN_CONTROL);
}

typedef struct {
    guint32 id;
    const char *text;
    gsize n;
} UserToken;

static gint
compare_user(gconstpointer a, gconstpointer b)
{
    const UserToken *x = a, *y = b;
    guint8 fx = x->text[0], fy = y->text[0];
    if (fx != fy)
        return fx < fy ? -1 : 1;
    return x->n != y->n ? (x->n > y->n ? -1 : 1) : (x->id < y->id ? -1 : x->id > y->id);
}

/* USER tokens by first byte, longest first: the leftmost longest match is the first that fits. */
static void
index_user_tokens(PdTokenizer *tok)
{
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(UserToken));
    for (guint32 id = 0; id < pd_vocab_size(&tok->vocab); id++) {
        UserToken user = {.id = id};
        user.text = pd_vocab_text(&tok->vocab, id, &user.n);
        if (pd_vocab_type(&tok->vocab, id) == PD_TOKEN_USER && user.n > 0)
            g_array_append_val(found, user);
    }
    g_array_sort(found, compare_user);
    tok->user_tokens = g_new(guint32, MAX(found->len, 1));
    for (guint i = 0; i < found->len; i++) {
        const UserToken *user = &g_array_index(found, UserToken, i);
        tok->user_tokens[i] = user->id;
        tok->user_first[(guint8)user->text[0] + 1] = i + 1;
        tok->user_bytes_max = MAX(tok->user_bytes_max, user->n);
        tok->user_byte =
            i == 0 || tok->user_byte == (guint8)user->text[0] ? (guint8)user->text[0] : -1;
    }
    for (int b = 0; b < 256; b++)
        tok->user_first[b + 1] = MAX(tok->user_first[b + 1], tok->user_first[b]);
}

/* Before which bytes a space is a safe place to cut: no token holds that byte and then a space. */
static void
index_space_joins(PdTokenizer *tok)
{
    for (guint32 id = 0; id < pd_vocab_size(&tok->vocab); id++) {
        gsize n;
        const guint8 *text = (const guint8 *)pd_vocab_text(&tok->vocab, id, &n);
        if (pd_vocab_type(&tok->vocab, id) != PD_TOKEN_NORMAL)
            continue;
        for (gsize i = 0; i + 1 < n; i++)
            if (text[i + 1] == ' ')
                tok->joins_space[text[i] / 8] |= 1u << text[i] % 8;
    }
}

static void
digest_u32(GChecksum *sum, guint32 value)
{
    value = GUINT32_TO_LE(value);
    g_checksum_update(sum, (const guchar *)&value, sizeof value);
}

/* Everything that decides which ids a text gets; tables that are derived from it are left out. */
static void
make_id(PdTokenizer *tok)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    const PdVocab *v = &tok->vocab;
    g_checksum_update(sum, (const guchar *)"pandect tokenizer 1", -1);
    digest_u32(sum, tok->kind);
    digest_u32(sum, tok->ignore_merges);
    digest_u32(sum, tok->bos);
    digest_u32(sum, tok->eos);
    digest_u32(sum, tok->adds_bos);
    digest_u32(sum, tok->user_first[256]);
    digest_u32(sum, pd_vocab_size(v));
    g_checksum_update(sum, v->types->data, v->types->len);
    for (guint i = 0; i < v->starts->len; i++)
        digest_u32(sum, g_array_index(v->starts, guint32, i));
    g_checksum_update(sum, v->bytes->data, v->bytes->len);
    for (int b = 0; b < 256; b++)
        digest_u32(sum, tok->byte_ids[b]);
    if (tok->score_ranks != NULL)
        for (guint32 i = 0; i < pd_vocab_size(v); i++)
            digest_u32(sum, tok->score_ranks[i]);
    for (guint64 i = 0; tok->pairs.slots != NULL && i <= tok->pairs.mask; i++) {
        const PdPair *pair = &tok->pairs.slots[i];
        if (pair->key == G_MAXUINT64)
            continue;
        digest_u32(sum, pair->key >> 32);
        digest_u32(sum, pair->key);
        digest_u32(sum, pair->rank);
    }
    if (tok->pre != NULL)
        pd_pretokenizer_digest(tok->pre, sum);
    tok->id = g_strdup(g_checksum_get_string(sum));
}

gboolean
pd_tokenizer_finish(PdTokenizer *tok, gboolean match_user, const char *file, GError **error)
{
    guint32 n = pd_vocab_size(&tok->vocab);
    int n_bytes = 0;
    for (int b = 0; b < 256; b++) {
        char byte = b;
        if (tok->kind == PD_TOKENIZER_BYTES)
            tok->byte_ids[b] = pd_vocab_find(&tok->vocab, &byte, 1);
        n_bytes += tok->byte_ids[b] != PD_NO_TOKEN;
    }
    /* Byte-level vocabularies with a few holes exist (SmolLM2); SentencePiece has all or none. */
    if (n_bytes == 0 || (tok->kind != PD_TOKENIZER_BYTES && n_bytes != 256)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: the vocabulary has tokens for %d of the 256 bytes, so it cannot hold any "
                    "text",
                    file, n_bytes);
        return FALSE;
    }
    if (tok->bos >= n || tok->eos >= n) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: BOS or EOS lies outside the vocabulary of %u tokens; the file is damaged",
                    file, n);
        return FALSE;
    }
    tok->adds_bos = tok->adds_bos && tok->bos >= 0;
    mark_known_texts(tok);
    if (match_user)
        index_user_tokens(tok);
    if (pd_tokenizer_spaces_are_marked(tok))
        index_space_joins(tok);
    make_id(tok);
    tok->description = g_strdup_printf(
        "%s %s, %u tokens", tok->kind == PD_TOKENIZER_SCORES ? "spm" : "bpe", tok->variant, n);
    return TRUE;
}

void
pd_tokenizer_decode(const PdTokenizer *tok, guint32 id, gboolean special, GString *out)
{
    gsize n;
    if (id >= pd_vocab_size(&tok->vocab) || (!special && pd_tokenizer_is_control(tok, id)))
        return;
    const char *text = pd_vocab_text(&tok->vocab, id, &n);
    g_string_append_len(out, text, n);
}

guint32
pd_tokenizer_n_vocab(const PdTokenizer *tok)
{
    return pd_vocab_size(&tok->vocab);
}

gint64
pd_tokenizer_special_id(const PdTokenizer *tok, const char *text)
{
    return (gint64)GPOINTER_TO_SIZE(g_hash_table_lookup(tok->specials, text)) - 1;
}

gint64
pd_tokenizer_bos(const PdTokenizer *tok)
{
    return tok->bos;
}

gint64
pd_tokenizer_eos(const PdTokenizer *tok)
{
    return tok->eos;
}

gboolean
pd_tokenizer_adds_bos(const PdTokenizer *tok)
{
    return tok->adds_bos;
}

gboolean
pd_tokenizer_is_control(const PdTokenizer *tok, guint32 id)
{
    if (id >= pd_vocab_size(&tok->vocab))
        return FALSE;
    PdTokenType type = pd_vocab_type(&tok->vocab, id);
    return type == PD_TOKEN_CONTROL || type == PD_TOKEN_UNKNOWN || type == PD_TOKEN_UNUSED;
}

gboolean
pd_tokenizer_is_end(const PdTokenizer *tok, guint32 id)
{
    return tok->is_end != NULL && id < pd_vocab_size(&tok->vocab) && tok->is_end[id];
}

gboolean
pd_tokenizer_is_lossless(const PdTokenizer *tok)
{
    for (int b = 0; b < 256; b++)
        if (tok->byte_ids[b] == PD_NO_TOKEN)
            return FALSE;
    return TRUE;
}

const char *
pd_tokenizer_id(const PdTokenizer *tok)
{
    return tok->id;
}

const char *
pd_tokenizer_describe(const PdTokenizer *tok)
{
    return tok->description;
}
