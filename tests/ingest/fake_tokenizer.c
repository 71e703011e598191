/*
 * A tokenizer small enough to reason about, in place of the engine's: two neighbouring letters are
 * one token, every other byte is one.  It stands for the few functions that the corpus calls; the
 * linker then never looks for the real ones.
 */
#include "corpus_fixture.h"

struct PdTokenizer {
    int n_references;
};
static PdTokenizer only;

PdTokenizer *
test_tokenizer(void)
{
    only.n_references++;
    return &only;
}

void
pd_tokenizer_unref(PdTokenizer *tok)
{
    tok->n_references--;
}

const char *
pd_tokenizer_id(const PdTokenizer *tok)
{
    return "letter-pairs";
}

const char *
pd_tokenizer_describe(const PdTokenizer *tok)
{
    return "letter pairs, 65792 tokens";
}

guint32
pd_tokenizer_n_vocab(const PdTokenizer *tok)
{
    return 256 + 65536;
}

void
pd_tokenizer_decode(const PdTokenizer *tok, guint32 id, gboolean special, GString *out)
{
    if (id >= 256)
        g_string_append_c(out, (char)((id - 256) >> 8));
    g_string_append_c(out, (char)((id >= 256 ? id - 256 : id) & 0xff));
}

void
pd_tokenizer_encode(const PdTokenizer *tok, const char *bytes, gsize n, GArray *ids,
                    GArray *offsets)
{
    for (gsize i = 0; i < n;) {
        guint32 id = (guint8)bytes[i], at = (guint32)i;
        gboolean pair = i + 1 < n && g_ascii_isalpha(bytes[i]) && g_ascii_isalpha(bytes[i + 1]);
        if (pair)
            id = 256 + (id << 8) + (guint8)bytes[i + 1];
        i += pair ? 2 : 1;
        g_array_append_val(ids, id);
        if (offsets)
            g_array_append_val(offsets, at);
    }
}
