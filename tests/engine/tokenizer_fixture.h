/* Tokenizers for tests: the committed vocabularies, as tokenizer.json and rewritten as GGUF. */
#ifndef PD_TEST_TOKENIZER_FIXTURE_H
#define PD_TEST_TOKENIZER_FIXTURE_H

#include "engine/tokenizer.h"

/* tests/golden/tokenizer/NAME.json.  Free with g_free. */
char *fixture_path(const char *name);

/* What a GGUF made from such a file says; changes for one test at a time. */
typedef struct {
    const char *name;  /* of the golden vocabulary */
    const char *model; /* tokenizer.ggml.model; NULL: left out */
    const char *pre;   /* NULL: left out */
    gboolean scores;   /* scores instead of merges, byte tokens typed as such */
    int n_scores;      /* 0: one a token */
    const char *extra_merge;
    const char *user;       /* this added token becomes user-defined; NULL: none */
    const char *user_token; /* one more token, user-defined, at the end; NULL: none */
    int bad_type;           /* 0: none; type of token 0 */
    gint64 bos, eos;        /* -1: left out */
    const char *chat_template;
} FixtureGguf;

GByteArray *fixture_gguf(const FixtureGguf *what);
PdTokenizer *fixture_gguf_tokenizer(const FixtureGguf *what, GError **error);

#endif
