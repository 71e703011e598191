/* See deepseek_small.h. */
#include "tests/engine/deepseek_small.h"
#include <string.h>
#include "engine/safetensors.h"

enum { VOCAB = 48, EXPERTS = 5, POSITIONS = 4096 };
/* Of the tokenizer. */
enum { TEXT_VOCAB = 907, BOS = 900, EOS = 901 };

static char *
golden(const char *folder, const char *name)
{
    return g_build_filename(PD_SOURCE_ROOT, "tests", "golden", folder, name, NULL);
}

static void
copy_file(const char *from, const char *folder, const char *name)
{
    g_autofree char *to = g_build_filename(folder, name, NULL), *data = NULL;
    gsize n_bytes;
    g_assert_true(g_file_get_contents(from, &data, &n_bytes, NULL));
    g_assert_true(g_file_set_contents(to, data, (gssize)n_bytes, NULL));
}

static void
replace(GString *text, const char *from, char *to)
{
    g_assert_cmpint(g_string_replace(text, from, to, 0), ==, 1);
    g_free(to);
}

static void
write_config(const char *folder, int n_positions, int n_vocab)
{
    g_autofree char *from = golden("deepseek", "config.json"), *text = NULL;
    g_autofree char *to = g_build_filename(folder, "config.json", NULL);
    g_assert_true(g_file_get_contents(from, &text, NULL, NULL));
    g_autoptr(GString) json = g_string_new(text);
    replace(json, "\"max_position_embeddings\": 256",
            g_strdup_printf("\"max_position_embeddings\": %d", n_positions));
    replace(json, "\"vocab_size\": 48",
            g_strdup_printf("\"vocab_size\": %d, \"bos_token_id\": %d, \"eos_token_id\": %d",
                            n_vocab, BOS, EOS));
    g_assert_true(g_file_set_contents(to, json->str, -1, NULL));
}

char *
small_checkpoint(void)
{
    g_autofree char *weights = golden("deepseek", "model.safetensors");
    char *folder = g_dir_make_tmp("pandect-XXXXXX", NULL);
    write_config(folder, POSITIONS, VOCAB);
    copy_file(weights, folder, "model.safetensors");
    return folder;
}

/* Row i of a grown table is row i mod VOCAB, turned by as many places as the table was gone
 * through, so that no two tokens are alike; expert ids are turned among the experts. */
static void
add_grown(GByteArray *data, const PdSafetensor *t)
{
    gsize n_cols = (gsize)t->dims[1];
    for (gsize i = 0; i < TEXT_VOCAB; i++) {
        gsize from = i % VOCAB * n_cols, turn = i / VOCAB;
        for (gsize c = 0; c < n_cols; c++) {
            gsize n = t->is_float ? sizeof(float) : sizeof(gint64);
            gsize at = t->is_float ? (c + turn) % n_cols : c;
            gint64 id;
            g_byte_array_append(data, (const guint8 *)t->data + (from + at) * n, (guint)n);
            if (t->is_float)
                continue;
            memcpy(&id, data->data + data->len - n, sizeof id);
            id = (id + (gint64)turn) % EXPERTS;
            memcpy(data->data + data->len - n, &id, sizeof id);
        }
    }
}

static gboolean
is_of_vocabulary(const PdSafetensor *t)
{
    return g_str_equal(t->name, "embed.weight") || g_str_equal(t->name, "head.weight") ||
           g_str_has_suffix(t->name, ".tid2eid");
}

static void
write_grown(const char *folder)
{
    g_autofree char *from = golden("deepseek", "model.safetensors");
    g_autofree char *to = g_build_filename(folder, "model.safetensors", NULL);
    g_autoptr(PdSafetensors) st = pd_safetensors_open(from, NULL);
    g_autoptr(GString) header = g_string_new("{");
    g_autoptr(GByteArray) data = g_byte_array_new(), file = g_byte_array_new();
    for (gsize i = 0; i < pd_safetensors_n_tensors(st); i++) {
        const PdSafetensor *t = pd_safetensors_tensor(st, i);
        guint first = data->len;
        gboolean grows = is_of_vocabulary(t);
        if (grows)
            add_grown(data, t);
        else
            g_byte_array_append(data, t->data, (guint)t->n_bytes);
        g_string_append_printf(header, "%s\"%s\": {\"dtype\": \"%s\", \"shape\": [",
                               i > 0 ? ", " : "", t->name, t->dtype);
        for (int d = 0; d < t->n_dims; d++)
            g_string_append_printf(header, "%s%" G_GUINT64_FORMAT, d > 0 ? ", " : "",
                                   grows && d == 0 ? TEXT_VOCAB : t->dims[d]);
        g_string_append_printf(header, "], \"data_offsets\": [%u, %u]}", first, data->len);
    }
    g_string_append(header, "}");
    guint64 n_header = GUINT64_TO_LE((guint64)header->len);
    g_byte_array_append(file, (const guint8 *)&n_header, sizeof n_header);
    g_byte_array_append(file, (const guint8 *)header->str, (guint)header->len);
    g_byte_array_append(file, data->data, data->len);
    g_assert_true(g_file_set_contents(to, (const char *)file->data, file->len, NULL));
}

char *
small_text_checkpoint(int n_positions)
{
    g_autofree char *tokenizer = golden("tokenizer", "deepseek-v4.json");
    char *folder = g_dir_make_tmp("pandect-XXXXXX", NULL);
    write_config(folder, n_positions, TEXT_VOCAB);
    write_grown(folder);
    copy_file(tokenizer, folder, "tokenizer.json");
    return folder;
}
