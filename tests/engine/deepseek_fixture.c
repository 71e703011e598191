/* See deepseek_fixture.h.  Names and shapes are those of section 8.1 of the design, written down
 * here once more: the loader's table must not vouch for itself. */
#include "tests/engine/deepseek_fixture.h"
#include <math.h>
#include <string.h>

enum { D = 64, VOCAB = 40, HEADS = 4, HEAD = 32, RANK = 32, GROUPS = 2, O_RANK = 16 };
enum { INDEX_HEADS = 3, INDEX_DIM = 32, EXPERTS = 4, USED = 2, FF = 32, HC = 2 };

static const char config[] =
    "{\"model_type\": \"deepseek_v4\", \"vocab_size\": 40, \"hidden_size\": 64, "
    "\"num_hidden_layers\": 4, \"num_attention_heads\": 4, \"head_dim\": 32, "
    "\"qk_rope_head_dim\": 16, \"q_lora_rank\": 32, \"o_lora_rank\": 16, \"o_groups\": 2, "
    "\"sliding_window\": 8, \"max_position_embeddings\": 512, \"index_n_heads\": 3, "
    "\"index_head_dim\": 32, \"index_topk\": 5, \"hc_mult\": 2, \"n_routed_experts\": 4, "
    "\"num_experts_per_tok\": 2, \"moe_intermediate_size\": 32, \"num_hash_layers\": 1, "
    "\"swiglu_limit\": 2.0, \"compress_ratios\": [0, 4, 128, 4, 0], "
    "\"quantization_config\": {\"quant_method\": \"fp8\", \"weight_block_size\": [16, 32]}}";

static void
tensor_free(gpointer data)
{
    FixtureTensor *t = data;
    g_free(t->name);
    g_free(t->data);
    g_free(t);
}

static gsize
element_bytes(const char *dtype)
{
    if (g_str_equal(dtype, "I64"))
        return 8;
    if (g_str_equal(dtype, "F32") || g_str_equal(dtype, "I32"))
        return 4;
    return g_str_equal(dtype, "BF16") || g_str_equal(dtype, "F16") ? 2 : 1;
}

FixtureTensor *
fixture_add(Fixture *f, const char *name, const char *dtype, gsize n_rows, gsize n_cols)
{
    FixtureTensor *t = g_new0(FixtureTensor, 1);
    t->name = g_strdup(name);
    t->dtype = dtype;
    t->n_dims = n_cols > 0 ? 2 : 1;
    t->dims[0] = n_rows;
    t->dims[1] = n_cols;
    t->n_bytes = n_rows * MAX(n_cols, 1) * element_bytes(dtype);
    t->data = g_malloc0(t->n_bytes);
    g_ptr_array_add(f->tensors, t);
    return t;
}

/* Random floats of this size around `middle`. */
static void
add(Fixture *f, const char *prefix, const char *name, gsize n_rows, gsize n_cols, double middle,
    double size)
{
    g_autofree char *full = g_strconcat(prefix, name, NULL);
    FixtureTensor *t = fixture_add(f, full, "F32", n_rows, n_cols);
    for (gsize i = 0; i < t->n_bytes / sizeof(float); i++)
        ((float *)t->data)[i] = (float)(middle + g_rand_double_range(f->rand, -size, size));
}

static void
add_compressor(Fixture *f, const char *prefix, gsize ratio, gsize coff, gsize width)
{
    add(f, prefix, "wkv.weight", coff * width, D, 0, 0.3);
    add(f, prefix, "wgate.weight", coff * width, D, 0, 0.3);
    add(f, prefix, "ape", ratio, coff * width, 0, 0.5);
    add(f, prefix, "norm.weight", width, 0, 1, 0.3);
}

static void
add_attention(Fixture *f, const char *prefix, gsize ratio)
{
    add(f, prefix, "attn.attn_sink", HEADS, 0, 0, 1);
    add(f, prefix, "attn.wq_a.weight", RANK, D, 0, 0.3);
    add(f, prefix, "attn.q_norm.weight", RANK, 0, 1, 0.3);
    add(f, prefix, "attn.wq_b.weight", HEADS * HEAD, RANK, 0, 0.3);
    add(f, prefix, "attn.wkv.weight", HEAD, D, 0, 0.3);
    add(f, prefix, "attn.kv_norm.weight", HEAD, 0, 1, 0.3);
    add(f, prefix, "attn.wo_a.weight", GROUPS * O_RANK, HEADS / GROUPS * HEAD, 0, 0.3);
    add(f, prefix, "attn.wo_b.weight", D, GROUPS * O_RANK, 0, 0.3);
    g_autofree char *compressor = g_strconcat(prefix, "attn.compressor.", NULL);
    g_autofree char *indexer = g_strconcat(prefix, "attn.indexer.compressor.", NULL);
    if (ratio > 0)
        add_compressor(f, compressor, ratio, ratio == 4 ? 2 : 1, HEAD);
    if (ratio != 4)
        return;
    add(f, prefix, "attn.indexer.wq_b.weight", INDEX_HEADS * INDEX_DIM, RANK, 0, 0.3);
    add(f, prefix, "attn.indexer.weights_proj.weight", INDEX_HEADS, D, 0, 0.3);
    add_compressor(f, indexer, ratio, 2, INDEX_DIM);
}

static void
add_experts(Fixture *f, const char *prefix, gboolean hash)
{
    add(f, prefix, "ffn.gate.weight", EXPERTS, D, 0, 0.3);
    if (hash) {
        g_autofree char *name = g_strconcat(prefix, "ffn.gate.tid2eid", NULL);
        FixtureTensor *t = fixture_add(f, name, "I64", VOCAB, USED);
        for (gint64 i = 0; i < VOCAB; i++) {
            ((gint64 *)t->data)[i * USED] = i % EXPERTS;
            ((gint64 *)t->data)[i * USED + 1] = (i / 4 + i + 1) % EXPERTS;
        }
    } else {
        add(f, prefix, "ffn.gate.bias", EXPERTS, 0, 0, 0.3);
    }
    for (int e = 0; e <= EXPERTS; e++) {
        g_autofree char *expert = e < EXPERTS ? g_strdup_printf("%sffn.experts.%d.", prefix, e)
                                              : g_strconcat(prefix, "ffn.shared_experts.", NULL);
        add(f, expert, "w1.weight", FF, D, 0, 0.3);
        add(f, expert, "w3.weight", FF, D, 0, 0.3);
        add(f, expert, "w2.weight", D, FF, 0, 0.3);
    }
}

Fixture *
fixture_new(void)
{
    static const gsize ratios[] = {0, 4, 128, 4};
    Fixture *f = g_new0(Fixture, 1);
    f->config = g_string_new(config);
    f->rand = g_rand_new_with_seed(4);
    f->tensors = g_ptr_array_new_with_free_func(tensor_free);
    add(f, "", "embed.weight", VOCAB, D, 0, 1);
    add(f, "", "head.weight", VOCAB, D, 0, 0.3);
    add(f, "", "norm.weight", D, 0, 1, 0.3);
    add(f, "", "hc_head_fn", HC, HC * D, 0, 0.2);
    add(f, "", "hc_head_base", HC, 0, 0, 0.5);
    add(f, "", "hc_head_scale", 1, 0, 0.7, 0.2);
    for (gsize l = 0; l < G_N_ELEMENTS(ratios); l++) {
        g_autofree char *prefix = g_strdup_printf("layers.%" G_GSIZE_FORMAT ".", l);
        static const char *const sites[] = {"attn", "ffn"};
        for (int s = 0; s < 2; s++) {
            g_autofree char *norm = g_strconcat(sites[s], "_norm.weight", NULL);
            g_autofree char *fn = g_strconcat("hc_", sites[s], "_fn", NULL);
            g_autofree char *base = g_strconcat("hc_", sites[s], "_base", NULL);
            g_autofree char *scale = g_strconcat("hc_", sites[s], "_scale", NULL);
            add(f, prefix, norm, D, 0, 1, 0.3);
            add(f, prefix, fn, (2 + HC) * HC, HC * D, 0, 0.2);
            add(f, prefix, base, (2 + HC) * HC, 0, 0, 0.5);
            add(f, prefix, scale, 3, 0, 0.7, 0.2);
        }
        add_attention(f, prefix, ratios[l]);
        add_experts(f, prefix, l == 0);
    }
    return f;
}

void
fixture_free(Fixture *f)
{
    g_string_free(f->config, TRUE);
    g_ptr_array_unref(f->tensors);
    g_rand_free(f->rand);
    g_free(f);
}

FixtureTensor *
fixture_find(Fixture *f, const char *name)
{
    for (guint i = 0; i < f->tensors->len; i++) {
        FixtureTensor *t = g_ptr_array_index(f->tensors, i);
        if (g_str_equal(t->name, name))
            return t;
    }
    g_error("the fixture has no tensor %s", name);
}

void
fixture_remove(Fixture *f, const char *name)
{
    g_assert_true(g_ptr_array_remove(f->tensors, fixture_find(f, name)));
}

/* The values of the formats, from their definitions. */
static float
e4m3(guint8 code)
{
    int e = code >> 3 & 15;
    double value = e > 0 ? ldexp(1 + (code & 7) / 8.0, e - 7) : ldexp((code & 7) / 8.0, -6);
    return (float)(code & 128 ? -value : value);
}

static float
e2m1(guint8 code)
{
    int e = code >> 1 & 3;
    double value = e > 0 ? ldexp(1 + (code & 1) / 2.0, e - 1) : (code & 1) / 2.0;
    return (float)(code & 8 ? -value : value);
}

/* Random codes and scales take the place of a weight in `quantised`; what they stand for, of the
 * one in `plain`.  rows, cols: block of a scale. */
static void
quantise(Fixture *quantised, Fixture *plain, const char *name, gboolean fp4, gsize rows, gsize cols)
{
    FixtureTensor *p = fixture_find(plain, name);
    gsize n_rows = p->dims[0], n_cols = p->dims[1], n_blocks = (n_cols + cols - 1) / cols;
    g_autoptr(GString) scale_name = g_string_new(name);
    g_string_replace(scale_name, ".weight", ".scale", 0);
    fixture_remove(quantised, name);
    FixtureTensor *q =
        fixture_add(quantised, name, fp4 ? "I8" : "F8_E4M3", n_rows, fp4 ? n_cols / 2 : n_cols);
    FixtureTensor *s =
        fixture_add(quantised, scale_name->str, "F8_E8M0", (n_rows + rows - 1) / rows, n_blocks);
    for (gsize i = 0; i < s->n_bytes; i++)
        s->data[i] = (guint8)(fp4 ? g_rand_int_range(plain->rand, 122, 125)
                                  : g_rand_int_range(plain->rand, 116, 120));
    for (gsize i = 0; i < n_rows * n_cols; i++) {
        gsize r = i / n_cols, c = i % n_cols;
        guint8 code = (guint8)g_rand_int_range(plain->rand, 0, fp4 ? 16 : 256);
        if (!fp4 && (code & 127) == 127) /* NaN */
            code ^= 1;
        if (fp4)
            q->data[i / 2] |= (guint8)(c % 2 == 0 ? code : code << 4);
        else
            q->data[i] = code;
        float scale = (float)ldexp(1, s->data[r / rows * n_blocks + c / cols] - 127);
        ((float *)p->data)[i] = (fp4 ? e2m1(code) : e4m3(code)) * scale;
    }
}

void
fixture_quantise(Fixture *quantised, Fixture *plain)
{
    static const char *const fp8[] = {"attn.wq_a",
                                      "attn.wq_b",
                                      "attn.wkv",
                                      "attn.wo_a",
                                      "attn.wo_b",
                                      "ffn.shared_experts.w1",
                                      "ffn.shared_experts.w2"};
    for (int l = 0; l < 4; l++) {
        for (gsize i = 0; i < G_N_ELEMENTS(fp8); i++) {
            g_autofree char *name = g_strdup_printf("layers.%d.%s.weight", l, fp8[i]);
            quantise(quantised, plain, name, FALSE, 16, 32);
        }
        for (int e = 0; e < 12; e++) {
            g_autofree char *name =
                g_strdup_printf("layers.%d.ffn.experts.%d.w%d.weight", l, e / 3, e % 3 + 1);
            quantise(quantised, plain, name, TRUE, 1, 32);
        }
    }
}

/* Every n-th tensor from `first` on. */
static void
write_shard(Fixture *f, const char *path, guint first, guint n)
{
    g_autoptr(GString) header = g_string_new("{");
    g_autoptr(GByteArray) data = g_byte_array_new();
    for (guint i = first; i < f->tensors->len; i += n) {
        const FixtureTensor *t = g_ptr_array_index(f->tensors, i);
        g_string_append_printf(header, "%s\"%s\": {\"dtype\": \"%s\", \"shape\": [",
                               i > first ? ", " : "", t->name, t->dtype);
        for (int d = 0; d < t->n_dims; d++)
            g_string_append_printf(header, "%s%" G_GSIZE_FORMAT, d > 0 ? ", " : "", t->dims[d]);
        g_string_append_printf(header, "], \"data_offsets\": [%u, %" G_GSIZE_FORMAT "]}", data->len,
                               data->len + t->n_bytes);
        g_byte_array_append(data, t->data, (guint)t->n_bytes);
    }
    g_string_append(header, "}");
    guint64 n_bytes = GUINT64_TO_LE((guint64)header->len);
    g_byte_array_prepend(data, (const guint8 *)header->str, (guint)header->len);
    g_byte_array_prepend(data, (const guint8 *)&n_bytes, sizeof n_bytes);
    g_assert_true(g_file_set_contents(path, (const char *)data->data, data->len, NULL));
}

char *
fixture_write(Fixture *f, int n_shards)
{
    char *folder = g_dir_make_tmp("pandect-XXXXXX", NULL);
    g_autofree char *config_path = g_build_filename(folder, "config.json", NULL);
    g_autoptr(GString) index = g_string_new("{\"weight_map\": {");
    g_assert_true(g_file_set_contents(config_path, f->config->str, -1, NULL));
    for (int i = 0; i < n_shards; i++) {
        g_autofree char *name =
            n_shards == 1 ? g_strdup("model.safetensors")
                          : g_strdup_printf("model-%05d-of-%05d.safetensors", i + 1, n_shards);
        g_autofree char *path = g_build_filename(folder, name, NULL);
        write_shard(f, path, (guint)i, (guint)n_shards);
        for (guint t = (guint)i; t < f->tensors->len; t += (guint)n_shards) {
            const FixtureTensor *tensor = g_ptr_array_index(f->tensors, t);
            g_string_append_printf(index, "%s\"%s\": \"%s\"", t > 0 ? ", " : "", tensor->name,
                                   name);
        }
    }
    g_string_append(index, "}}");
    g_autofree char *index_path = g_build_filename(folder, "model.safetensors.index.json", NULL);
    if (n_shards > 1)
        g_assert_true(g_file_set_contents(index_path, index->str, -1, NULL));
    return folder;
}
