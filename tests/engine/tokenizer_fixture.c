/* The golden vocabularies rewritten as GGUF, by the format's description. */
#include "tests/engine/tokenizer_fixture.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "tests/engine/gguf_writer.h"

#define KEY "tokenizer.ggml."

char *
fixture_path(const char *name)
{
    g_autofree char *file = g_strconcat(name, ".json", NULL);
    return g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "tokenizer", file, NULL);
}

typedef struct {
    JsonParser *parser;
    JsonObject *model;
    GPtrArray *tokens; /* by id; borrowed */
    guint n_plain;     /* the rest is added */
} Vocabulary;

static void
vocabulary_load(Vocabulary *v, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = fixture_path(name);
    v->parser = json_parser_new();
    json_parser_load_from_file(v->parser, path, &error);
    g_assert_no_error(error);
    JsonObject *root = json_node_get_object(json_parser_get_root(v->parser));
    JsonArray *added = json_object_get_array_member(root, "added_tokens");
    v->model = json_object_get_object_member(root, "model");
    JsonObject *vocab = json_object_get_object_member(v->model, "vocab");
    JsonObjectIter iter;
    const char *text;
    JsonNode *node;
    v->n_plain = json_object_get_size(vocab);
    v->tokens = g_ptr_array_new();
    g_ptr_array_set_size(v->tokens, v->n_plain + json_array_get_length(added));
    json_object_iter_init(&iter, vocab);
    while (json_object_iter_next(&iter, &text, &node))
        v->tokens->pdata[json_node_get_int(node)] = (gpointer)text;
    for (guint i = 0; i < json_array_get_length(added); i++) {
        JsonObject *o = json_array_get_object_element(added, i);
        gint64 id = json_object_get_int_member(o, "id");
        g_assert_cmpint(id, ==, v->n_plain + i);
        v->tokens->pdata[id] = (gpointer)json_object_get_string_member(o, "content");
    }
}

static void
put_string_key(GByteArray *f, const char *key, const char *value, int *n_kv)
{
    if (value == NULL)
        return;
    gguf_put_key(f, key, GGUF_STRING);
    gguf_put_string(f, value);
    ++*n_kv;
}

static void
put_id_key(GByteArray *f, const char *key, gint64 value, int *n_kv)
{
    if (value < 0)
        return;
    gguf_put_key(f, key, GGUF_U32);
    gguf_put_u32(f, value);
    ++*n_kv;
}

static void
put_array_key(GByteArray *f, const char *key, guint32 type, guint64 n, int *n_kv)
{
    gguf_put_key(f, key, GGUF_ARRAY);
    gguf_put_u32(f, type);
    gguf_put_u64(f, n);
    ++*n_kv;
}

static void
put_types(GByteArray *f, const FixtureGguf *what, const Vocabulary *v)
{
    for (guint id = 0; id < v->tokens->len; id++) {
        const char *text = v->tokens->pdata[id];
        int type = id < v->n_plain ? 1 : 3;
        if (what->scores && g_str_has_prefix(text, "<0x"))
            type = 6;
        if (g_strcmp0(text, what->user) == 0 || (what->user_token && id + 1 == v->tokens->len))
            type = 4;
        if (id == 0 && what->bad_type != 0)
            type = what->bad_type;
        gguf_put_u32(f, type);
    }
}

static void
put_merges(GByteArray *f, const FixtureGguf *what, const Vocabulary *v, int *n_kv)
{
    JsonArray *merges = json_object_get_array_member(v->model, "merges");
    guint n = json_array_get_length(merges);
    put_array_key(f, KEY "merges", GGUF_STRING, n + (what->extra_merge != NULL), n_kv);
    for (guint i = 0; i < n; i++) {
        JsonArray *pair = json_array_get_array_element(merges, i);
        g_autofree char *text = g_strdup_printf("%s %s", json_array_get_string_element(pair, 0),
                                                json_array_get_string_element(pair, 1));
        gguf_put_string(f, text);
    }
    if (what->extra_merge != NULL)
        gguf_put_string(f, what->extra_merge);
}

GByteArray *
fixture_gguf(const FixtureGguf *what)
{
    Vocabulary v;
    g_autoptr(GByteArray) f = g_byte_array_new();
    int n_kv = 0;
    vocabulary_load(&v, what->name);
    if (what->user_token != NULL)
        g_ptr_array_add(v.tokens, (gpointer)what->user_token);
    guint n = v.tokens->len;

    put_string_key(f, KEY "model", what->model, &n_kv);
    put_string_key(f, KEY "pre", what->pre, &n_kv);
    put_string_key(f, "tokenizer.chat_template", what->chat_template, &n_kv);
    put_id_key(f, KEY "bos_token_id", what->bos, &n_kv);
    put_id_key(f, KEY "eos_token_id", what->eos, &n_kv);
    put_array_key(f, KEY "tokens", GGUF_STRING, n, &n_kv);
    for (guint id = 0; id < n; id++)
        gguf_put_string(f, v.tokens->pdata[id]);
    put_array_key(f, KEY "token_type", GGUF_I32, n, &n_kv);
    put_types(f, what, &v);
    if (what->scores) {
        guint n_scores = what->n_scores ? (guint)what->n_scores : n;
        put_array_key(f, KEY "scores", GGUF_F32, n_scores, &n_kv);
        for (guint id = 0; id < n_scores; id++) {
            float score = -(float)id;
            gguf_put(f, &score, 4);
        }
    } else {
        put_merges(f, what, &v, &n_kv);
    }
    g_ptr_array_unref(v.tokens);
    g_object_unref(v.parser);

    GByteArray *file = g_byte_array_new();
    gguf_put_header(file, 3, 0, n_kv);
    gguf_put(file, f->data, f->len);
    return file;
}

PdTokenizer *
fixture_gguf_tokenizer(const FixtureGguf *what, GError **error)
{
    g_autoptr(GByteArray) file = fixture_gguf(what);
    g_autoptr(GBytes) bytes = g_bytes_new(file->data, file->len);
    g_autoptr(PdGguf) gguf = pd_gguf_open_bytes(bytes, "fixture.gguf", error);
    return gguf == NULL ? NULL : pd_tokenizer_new_from_gguf(gguf, error);
}
