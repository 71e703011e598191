/*
 * Tokenizers from GGUF files: tokenizer.ggml.* as the GGUF specification lists them.
 *
 *   model "gpt2"   byte-level BPE, `pre` names the pre-tokenizer, merges are "left right"
 *   model "llama"  SentencePiece: a score per token, byte tokens "<0x00>" ... "<0xFF>"
 *
 * A SentencePiece file may ask for a space in front of the text (add_space_prefix).  Segments of
 * documents are no beginnings of texts and must come back byte for byte, so it is not added.
 *
 * Tokens of type USER_DEFINED are looked for in text, as llama.cpp does.  Not so in DeepSeek's
 * files: there that type is the one of the markers of turns and of reasoning ("<｜User｜>",
 * "</think>"), and a document that holds such a text must not make them.
 */
#include <math.h>
#include <string.h>

#include "engine/error.h"
#include "engine/tokenizer_private.h"

#define KEY "tokenizer.ggml."

static gboolean G_GNUC_PRINTF(3, 4) refuse(int code, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, PD_ENGINE_ERROR, code, "tokenizer: %s", what);
    return FALSE;
}

static gboolean
token_type(const PdGguf *g, guint32 id, PdTokenType *type, GError **error)
{
    gint64 value = PD_TOKEN_NORMAL;
    if (pd_gguf_array_len(g, KEY "token_type") > 0 &&
        (!pd_gguf_array_i64(g, KEY "token_type", id, &value) || value < PD_TOKEN_NORMAL ||
         value > PD_TOKEN_BYTE))
        return refuse(PD_ENGINE_ERROR_FORMAT, error,
                      "token %u has no valid type; the file is damaged", id);
    *type = value;
    return TRUE;
}

/* "<0x0A>" -> 10, or -1. */
static int
byte_token(const char *text, gsize n)
{
    if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>' || !g_ascii_isxdigit(text[3]) ||
        !g_ascii_isxdigit(text[4]))
        return -1;
    return g_ascii_xdigit_value(text[3]) * 16 + g_ascii_xdigit_value(text[4]);
}

/* Whether the markers of turns are tokens that the file does not call special. */
static gboolean
has_plain_markers(const PdGguf *g)
{
    const char *pre = pd_gguf_get_string(g, KEY "pre", NULL);
    return pre != NULL && (g_str_equal(pre, "joyai-llm") || g_str_equal(pre, "deepseek-v3"));
}

/* One of two markers that are written in letters of the alphabet of bytes. */
static gboolean
is_reasoning_marker(const PdGguf *g, const char *text, gsize n)
{
    return ((n == 7 && memcmp(text, "<think>", n) == 0) ||
            (n == 8 && memcmp(text, "</think>", n) == 0)) &&
           has_plain_markers(g);
}

static gboolean
add_token(PdTokenizer *tok, const PdGguf *g, guint32 id, GByteArray *scratch, GError **error)
{
    gsize n;
    PdTokenType type = PD_TOKEN_NORMAL;
    const char *text = pd_gguf_array_string(g, KEY "tokens", id, &n);
    if (text == NULL || !token_type(g, id, &type, error))
        return text != NULL ? FALSE
                            : refuse(PD_ENGINE_ERROR_FORMAT, error,
                                     "tokens are no strings; the file is damaged");
    g_byte_array_set_size(scratch, 0);
    if (tok->kind == PD_TOKENIZER_BYTES) {
        /* Special tokens are written plainly; a NORMAL one outside the alphabet is one as well.
         * Some converters call all that the file does not call special NORMAL. */
        if (type == PD_TOKEN_NORMAL &&
            (!pd_text_from_byte_level(text, n, scratch) || is_reasoning_marker(g, text, n)))
            type = PD_TOKEN_USER;
        if (type != PD_TOKEN_NORMAL) {
            g_byte_array_set_size(scratch, 0);
            g_byte_array_append(scratch, (const guint8 *)text, n);
        }
    } else if (type == PD_TOKEN_BYTE) {
        int byte = byte_token(text, n);
        if (byte < 0)
            return refuse(PD_ENGINE_ERROR_FORMAT, error,
                          "byte token %u is not of the form <0x0A>; the file is damaged", id);
        guint8 b = byte;
        g_byte_array_append(scratch, &b, 1);
    } else {
        pd_text_from_marked_spaces(text, n, scratch);
    }
    if (!pd_tokenizer_add_token(tok, (const char *)scratch->data, scratch->len, type))
        return refuse(PD_ENGINE_ERROR_FORMAT, error, "the vocabulary is absurdly large");
    return TRUE;
}

static gboolean
add_tokens(PdTokenizer *tok, const PdGguf *g, GError **error)
{
    gsize n = pd_gguf_array_len(g, KEY "tokens");
    gsize n_types = pd_gguf_array_len(g, KEY "token_type");
    g_autoptr(GByteArray) scratch = g_byte_array_new();
    if (n == 0 || n > PD_VOCAB_TOKENS_MAX || (n_types != 0 && n_types != n))
        return refuse(PD_ENGINE_ERROR_FORMAT, error,
                      "%" G_GSIZE_FORMAT " tokens and %" G_GSIZE_FORMAT
                      " types do not make a vocabulary; the file is damaged",
                      n, n_types);
    for (gsize id = 0; id < n; id++)
        if (!add_token(tok, g, id, scratch, error))
            return FALSE;
    pd_vocab_index(&tok->vocab);
    return TRUE;
}

static gboolean
add_merges(PdTokenizer *tok, const PdGguf *g, GError **error)
{
    gsize n_merges = pd_gguf_array_len(g, KEY "merges");
    g_autoptr(GByteArray) left = g_byte_array_new();
    g_autoptr(GByteArray) right = g_byte_array_new();
    if (n_merges == 0 || n_merges > PD_VOCAB_TOKENS_MAX)
        return refuse(PD_ENGINE_ERROR_FORMAT, error,
                      "%" G_GSIZE_FORMAT " merges cannot be; the file is damaged", n_merges);
    if (!pd_pairs_init(&tok->pairs, n_merges))
        return refuse(PD_ENGINE_ERROR_NO_MEMORY, error, "no memory for the merges");
    for (gsize i = 0; i < n_merges; i++) {
        gsize n = 0;
        const char *text = pd_gguf_array_string(g, KEY "merges", i, &n);
        const char *space = text == NULL ? NULL : memchr(text, ' ', n);
        g_byte_array_set_size(left, 0);
        g_byte_array_set_size(right, 0);
        if (space == NULL || !pd_text_from_byte_level(text, space - text, left) ||
            !pd_text_from_byte_level(space + 1, text + n - space - 1, right) ||
            !pd_tokenizer_add_merge(tok, (const char *)left->data, left->len,
                                    (const char *)right->data, right->len, i))
            return refuse(PD_ENGINE_ERROR_FORMAT, error,
                          "merge %" G_GSIZE_FORMAT " is not made of two tokens that make a third; "
                          "the file is damaged",
                          i);
    }
    return TRUE;
}

/* Scores to ranks: equal scores must stay equal, since then the leftmost pair joins first. */
static gboolean
add_scores(PdTokenizer *tok, const PdGguf *g, GError **error)
{
    guint32 n = pd_vocab_size(&tok->vocab);
    if (pd_gguf_array_len(g, KEY "scores") != n)
        return refuse(PD_ENGINE_ERROR_FORMAT, error,
                      "there is no score for each token; the file is damaged");
    tok->score_ranks = g_new(guint32, n);
    for (guint32 id = 0; id < n; id++) {
        double score;
        if (!pd_gguf_array_f64(g, KEY "scores", id, &score) || isnan(score))
            return refuse(PD_ENGINE_ERROR_FORMAT, error,
                          "token %u has no score; the file is damaged", id);
        /* Positive floats order like their bits, negative ones the other way round. */
        float value = score == 0 ? 0 : -score;
        guint32 bits;
        memcpy(&bits, &value, sizeof bits);
        tok->score_ranks[id] = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    }
    return TRUE;
}

static void
read_special_ids(PdTokenizer *tok, const PdGguf *g, gboolean default_adds_bos)
{
    guint64 id;
    tok->adds_bos = default_adds_bos;
    pd_gguf_get_bool(g, KEY "add_bos_token", &tok->adds_bos);
    if (pd_gguf_get_u64(g, KEY "bos_token_id", &id))
        tok->bos = MIN(id, G_MAXUINT32);
    if (pd_gguf_get_u64(g, KEY "eos_token_id", &id))
        tok->eos = MIN(id, G_MAXUINT32);
    if (pd_gguf_get_u64(g, KEY "eot_token_id", &id))
        pd_tokenizer_add_end(tok, id);
    if (pd_gguf_get_u64(g, KEY "eom_token_id", &id))
        pd_tokenizer_add_end(tok, id);
}

static gboolean
load_byte_level(PdTokenizer *tok, const PdGguf *g, GError **error)
{
    const char *pre = pd_gguf_get_string(g, KEY "pre", NULL);
    if (pre == NULL)
        return refuse(PD_ENGINE_ERROR_UNSUPPORTED, error,
                      "the file does not name its pre-tokenizer (" KEY "pre); convert the model "
                      "again with a current converter");
    gboolean llama3 =
        g_str_equal(pre, "llama-bpe") || g_str_equal(pre, "llama3") || g_str_equal(pre, "llama-v3");
    tok->variant = g_strdup(llama3 ? "llama-bpe" : pre);
    tok->pre = pd_pretokenizer_new();
    if (!pd_pretokenizer_add_named(tok->pre, pre, error) || !add_tokens(tok, g, error) ||
        !add_merges(tok, g, error))
        return FALSE;
    /* Llama 3's tokenizer.json says so; GGUF has no key for it. */
    tok->ignore_merges = llama3;
    read_special_ids(tok, g, llama3);
    return TRUE;
}

static gboolean
load_scores(PdTokenizer *tok, const PdGguf *g, GError **error)
{
    tok->variant = g_strdup("sentencepiece");
    if (!add_tokens(tok, g, error) || !add_scores(tok, g, error))
        return FALSE;
    read_special_ids(tok, g, TRUE);
    return TRUE;
}

PdTokenizer *
pd_tokenizer_new_from_gguf(const PdGguf *g, GError **error)
{
    const char *model = pd_gguf_get_string(g, KEY "model", NULL);
    if (model == NULL) {
        g_set_error_literal(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND,
                            "tokenizer: the model file holds none");
        return NULL;
    }
    gboolean byte_level = g_str_equal(model, "gpt2");
    if (!byte_level && !g_str_equal(model, "llama")) {
        g_autofree char *shown = g_strescape(model, NULL);
        refuse(PD_ENGINE_ERROR_UNSUPPORTED, error,
               "kind '%.100s' is not known here (known: gpt2, llama)", shown);
        return NULL;
    }
    g_autoptr(PdTokenizer) tok =
        pd_tokenizer_alloc(byte_level ? PD_TOKENIZER_BYTES : PD_TOKENIZER_SCORES);
    if (!(byte_level ? load_byte_level(tok, g, error) : load_scores(tok, g, error)) ||
        !pd_tokenizer_finish(tok, !has_plain_markers(g), "tokenizer", error))
        return NULL;
    return g_steal_pointer(&tok);
}
