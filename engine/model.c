/*
 * Loading a model: a GGUF file or a Hugging Face folder becomes PdModelShape, PdLayer and a handful
 * of wrapped mappings.  Matrices stay where the file is mapped; norms and biases that are not
 * aligned F32 in the file (or must have 1 added) are converted once into small device buffers.
 *
 * Invariant: after pd_model_open every weight that the architecture uses is present with exactly
 * the shape that PdModelShape implies.
 */
#include "engine/model.h"
#include <math.h>
#include <string.h>
#include "engine/arch.h"
#include "engine/error.h"
#include "engine/json_bounded.h"
#include "engine/model_internal.h"
#include "engine/safetensors.h"

/* A tensor of either format. */
typedef struct {
    const char *dtype; /* as the file calls it */
    PdDtype type;
    gboolean loadable;
    int n_dims;
    guint64 n_rows, n_cols; /* of a matrix; a vector has one row */
    const guint8 *data;
    gsize n_bytes;
    PdBuffer *buffer; /* the wrapped mapping that holds it */
    gsize offset;
} Found;

typedef struct {
    PdModel *model;
    PdModelConfig config;
    const char *hf_prefix; /* before "embed_tokens.weight" */
} Loader;

/* --- finding tensors --- */

static gboolean
find_gguf(const Loader *l, const char *name, Found *found)
{
    const PdGgufTensor *t = pd_gguf_find_tensor(l->model->gguf, name);
    if (t == NULL)
        return FALSE;
    gsize n_bytes;
    const guint8 *base = pd_gguf_data(l->model->gguf, t->file, &n_bytes);
    *found = (Found){.dtype = t->dtype,
                     .type = t->type,
                     .loadable = t->is_float,
                     .n_dims = t->n_dims,
                     .n_cols = t->dims[0],
                     .n_rows = t->n_dims > 1 ? t->dims[1] : 1,
                     .data = t->data,
                     .n_bytes = t->n_bytes,
                     .buffer = g_ptr_array_index(l->model->buffers, t->file),
                     .offset = (gsize)((const guint8 *)t->data - base)};
    return TRUE;
}

static gboolean
find_hf(const Loader *l, const char *name, Found *found)
{
    for (guint i = 0; i < l->model->shards->len; i++) {
        const PdSafetensors *st = g_ptr_array_index(l->model->shards, i);
        const PdSafetensor *t = pd_safetensors_find(st, name);
        if (t == NULL)
            continue;
        gsize n_bytes;
        const guint8 *base = pd_safetensors_data(st, &n_bytes);
        *found = (Found){.dtype = t->dtype,
                         .type = t->type,
                         .loadable = t->is_float,
                         .n_dims = t->n_dims,
                         .n_cols = t->n_dims > 0 ? t->dims[t->n_dims - 1] : 1,
                         .n_rows = t->n_dims > 1 ? t->dims[0] : 1,
                         .data = t->data,
                         .n_bytes = t->n_bytes,
                         .buffer = g_ptr_array_index(l->model->buffers, i),
                         .offset = (gsize)((const guint8 *)t->data - base)};
        return TRUE;
    }
    return FALSE;
}

static gboolean
find_tensor(const Loader *l, const char *name, Found *found)
{
    return l->model->gguf != NULL ? find_gguf(l, name, found) : find_hf(l, name, found);
}

/* --- placing weights --- */

static gboolean
no_memory(const Loader *l, const char *name, gsize n_bytes, GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                "%s: no memory for the %" G_GSIZE_FORMAT " bytes of %s", l->model->path, n_bytes,
                name);
    return FALSE;
}

/* Copies into a buffer of the model's own. */
static gboolean
own_copy(Loader *l, const char *name, const void *src, gsize n_bytes, PdMem *mem, GError **error)
{
    PdDevice *dev = l->model->device;
    PdBuffer *buffer = dev->ops->buffer_new(dev, n_bytes);
    if (buffer == NULL)
        return no_memory(l, name, n_bytes, error);
    g_ptr_array_add(l->model->buffers, buffer);
    *mem = (PdMem){buffer, 0};
    dev->ops->write(dev, *mem, src, n_bytes);
    return TRUE;
}

/* A vector in F32, 1 added if asked for. */
static gboolean
place_vector(Loader *l, const char *name, const Found *found, gboolean plus_1, PdMem *mem,
             GError **error)
{
    gsize n = (gsize)found->n_cols;
    if (found->type == PD_F32 && !plus_1 && found->offset % sizeof(float) == 0) {
        *mem = (PdMem){found->buffer, found->offset};
        return TRUE;
    }
    g_autofree float *values = g_try_new(float, n);
    if (values == NULL)
        return no_memory(l, name, n * sizeof *values, error);
    pd_dequantize_row(found->type, found->data, values, n);
    for (gsize i = 0; plus_1 && i < n; i++)
        values[i] += 1;
    return own_copy(l, name, values, n * sizeof *values, mem, error);
}

/* Looks one weight up, checks it against (n_rows, n_cols) and places it. */
static gboolean
load_weight(Loader *l, const char *name, int n_rows, int n_cols, gboolean is_vector,
            gboolean plus_1, gboolean required, PdWeight *weight, GError **error)
{
    Found found;
    if (!find_tensor(l, name, &found)) {
        if (!required)
            return TRUE;
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: tensor %s is missing",
                    l->model->path, name);
        return FALSE;
    }
    if (!found.loadable) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: tensor %s is of %s, which this build cannot multiply with", l->model->path,
                    name, found.dtype);
        return FALSE;
    }
    if (found.n_dims != (is_vector ? 1 : 2) || found.n_rows != (guint64)n_rows ||
        found.n_cols != (guint64)n_cols) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: tensor %s has %d dimensions (%" G_GUINT64_FORMAT " x %" G_GUINT64_FORMAT
                    "), the configuration says %d x %d",
                    l->model->path, name, found.n_dims, found.n_rows, found.n_cols, n_rows, n_cols);
        return FALSE;
    }
    *weight =
        (PdWeight){.type = is_vector ? PD_F32 : found.type, .n_rows = n_rows, .n_cols = n_cols};
    l->model->weight_bytes += found.n_bytes;
    if (is_vector)
        return place_vector(l, name, &found, plus_1, &weight->mem, error);
    /* safetensors data may start anywhere; kernels read matrices at their element's alignment. */
    if (found.offset % 4 != 0 && pd_dtype_info[found.type].block_elems == 1)
        return own_copy(l, name, found.data, found.n_bytes, &weight->mem, error);
    weight->mem = (PdMem){found.buffer, found.offset};
    return TRUE;
}

static gboolean
load_layer(Loader *l, int layer, GError **error)
{
    PdModel *m = l->model;
    guint flags = l->config.arch->flags;
    m->layers[layer].local = l->config.layer_local[layer];
    for (gsize i = 0; i < pd_n_layer_tensors; i++) {
        const PdLayerTensor *t = &pd_layer_tensors[i];
        if ((t->needs & flags) != t->needs || (t->never & flags) != 0)
            continue;
        g_autofree char *name = m->gguf != NULL
                                    ? g_strdup_printf("blk.%d.%s", layer, t->gguf)
                                    : g_strdup_printf("%slayers.%d.%s", l->hf_prefix, layer, t->hf);
        gboolean is_o = t->offset == G_STRUCT_OFFSET(PdLayer, bo);
        gboolean required = !t->is_bias || (is_o ? l->config.o_bias : l->config.qkv_bias);
        gboolean plus_1 = t->is_norm && m->gguf == NULL && (flags & PD_ARCH_HF_NORM_PLUS_1);
        PdWeight *weight = G_STRUCT_MEMBER_P(&m->layers[layer], t->offset);
        if (!load_weight(l, name, pd_dim_extent(&m->shape, t->rows),
                         pd_dim_extent(&m->shape, t->cols), t->is_vector, plus_1, required, weight,
                         error))
            return FALSE;
    }
    /* With a norm after it the key bias could not be kept apart from the rows. */
    if (m->layers[layer].bk.mem.buffer != NULL && m->layers[layer].k_norm.mem.buffer != NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: layer %d has both a key bias and a key norm", m->path, layer);
        return FALSE;
    }
    return TRUE;
}

static gboolean
load_ends(Loader *l, GError **error)
{
    PdModel *m = l->model;
    const PdModelShape *s = &m->shape;
    gboolean gguf = m->gguf != NULL;
    g_autofree char *embd = gguf ? g_strdup("token_embd.weight")
                                 : g_strconcat(l->hf_prefix, "embed_tokens.weight", NULL);
    g_autofree char *norm =
        gguf ? g_strdup("output_norm.weight") : g_strconcat(l->hf_prefix, "norm.weight", NULL);
    const char *output = gguf ? "output.weight" : "lm_head.weight";
    gboolean plus_1 = !gguf && (l->config.arch->flags & PD_ARCH_HF_NORM_PLUS_1);
    if (!load_weight(l, embd, s->n_vocab, s->n_embd, FALSE, FALSE, TRUE, &m->token_embd, error) ||
        !load_weight(l, norm, 1, s->n_embd, TRUE, plus_1, TRUE, &m->output_norm, error))
        return FALSE;
    if (!l->config.tied && !load_weight(l, output, s->n_vocab, s->n_embd, FALSE, FALSE,
                                        l->config.untied, &m->output, error))
        return FALSE;
    if (m->output.mem.buffer == NULL)
        m->output = m->token_embd;
    return TRUE;
}

static gboolean
load_tensors(Loader *l, GError **error)
{
    PdModel *m = l->model;
    m->shape = l->config.shape;
    m->rope_factors = g_steal_pointer(&l->config.rope_factors);
    m->layers = g_new0(PdLayer, m->shape.n_layers);
    if (!load_ends(l, error))
        return FALSE;
    for (int i = 0; i < m->shape.n_layers; i++) {
        if (!load_layer(l, i, error))
            return FALSE;
    }
    return TRUE;
}

/* --- the two formats --- */

static gboolean
wrap(PdModel *m, const void *data, gsize n_bytes, GError **error)
{
    PdBuffer *buffer = m->device->ops->buffer_wrap(m->device, data, n_bytes);
    if (buffer == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "%s: the device has no room for its %" G_GSIZE_FORMAT " bytes", m->path,
                    n_bytes);
        return FALSE;
    }
    g_ptr_array_add(m->buffers, buffer);
    return TRUE;
}

static void
set_tokenizer(PdModel *m, PdTokenizer *tokenizer, const char *template_text, const GError *problem)
{
    m->tokenizer = tokenizer;
    if (tokenizer != NULL)
        m->chat = pd_chat_recognise(template_text, tokenizer);
    else
        m->tokenizer_problem = g_strdup(problem->message);
}

/* chat_template.jinja, or "chat_template" of tokenizer_config.json; NULL if there is none. */
static char *
hf_chat_template(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "chat_template.jinja", NULL);
    char *text = NULL;
    gsize n_bytes;
    if (g_file_get_contents(path, &text, &n_bytes, NULL))
        return text;
    g_autofree char *config_path = g_build_filename(folder, "tokenizer_config.json", NULL);
    g_autoptr(JsonParser) parser = pd_json_read_object(config_path, NULL);
    if (parser == NULL)
        return NULL;
    JsonNode *node = json_object_get_member(pd_json_object(parser), "chat_template");
    if (node == NULL || !JSON_NODE_HOLDS_VALUE(node))
        return NULL;
    return g_strdup(json_node_get_string(node));
}

/* tokenizer.json and the chat template, if they are there. */
static void
read_hf_tokenizer(PdModel *m)
{
    g_autofree char *tokenizer_path = g_build_filename(m->path, "tokenizer.json", NULL);
    g_autofree char *template_text = hf_chat_template(m->path);
    g_autoptr(GError) problem = NULL;
    PdTokenizer *tokenizer = pd_tokenizer_new_from_json(tokenizer_path, &problem);
    set_tokenizer(m, tokenizer, template_text, problem);
}

/* DeepSeek-V4 has weights, state and passes of its own (engine/deepseek/); what all models have in
 * common is said of it in PdModelShape too. */
static gboolean
take_deepseek(PdModel *m, PdDsShape *shape, GError **error)
{
    m->deepseek = pd_ds_model_new(shape, m->shards, m->gguf, m->path, error);
    if (m->deepseek == NULL)
        return FALSE;
    const PdDsShape *s = &m->deepseek->shape;
    m->shape = (PdModelShape){.n_layers = s->n_layers,
                              .n_embd = s->n_embd,
                              .n_ff = s->n_ff,
                              .n_heads = s->n_heads,
                              .n_kv_heads = 1,
                              .head_dim = s->head_dim,
                              .n_vocab = s->n_vocab,
                              .n_ctx_train = s->max_positions,
                              .window = s->window,
                              .rms_eps = s->rms_eps,
                              .rope_theta = s->rope_far.theta,
                              .rope_theta_local = s->rope.theta,
                              .rope_kind = PD_ROPE_PAIRS,
                              .embd_scale = 1,
                              .attn_scale = (float)(1 / sqrt(s->head_dim)),
                              .activation = PD_ACT_SILU};
    g_strlcpy(m->shape.arch, s->family->arch, sizeof m->shape.arch);
    m->layers = g_new0(PdLayer, s->n_layers);
    for (int i = 0; i < s->n_layers; i++)
        m->layers[i].local = s->layers[i].ratio == 0;
    m->weight_bytes = pd_ds_model_packed_bytes(m->deepseek);
    return TRUE;
}

static gboolean
open_deepseek_folder(PdModel *m, JsonObject *config, const char *config_path, GError **error)
{
    g_auto(PdDsShape) shape = {0};
    if (!pd_ds_config_take(config, config_path, &shape, error))
        return FALSE;
    m->shards = pd_safetensors_open_folder(m->path, error);
    if (m->shards == NULL || !take_deepseek(m, &shape, error))
        return FALSE;
    read_hf_tokenizer(m);
    return TRUE;
}

static gboolean
open_deepseek_gguf(PdModel *m, GError **error)
{
    g_auto(PdDsShape) shape = {0};
    return pd_ds_config_from_gguf(m->gguf, m->path, &shape, error) &&
           take_deepseek(m, &shape, error);
}

/* A model of one of the other architectures. */
static gboolean
load_gguf(Loader *l, GError **error)
{
    PdModel *m = l->model;
    for (guint i = 0; i < pd_gguf_n_files(m->gguf); i++) {
        gsize n_bytes;
        const void *data = pd_gguf_data(m->gguf, i, &n_bytes);
        if (!wrap(m, data, n_bytes, error))
            return FALSE;
    }
    return pd_gguf_config_read(m->gguf, m->path, &l->config, error) && load_tensors(l, error);
}

static gboolean
open_gguf(Loader *l, GError **error)
{
    PdModel *m = l->model;
    m->gguf = pd_gguf_open(m->path, error);
    if (m->gguf == NULL)
        return FALSE;
    const char *arch = pd_gguf_get_string(m->gguf, "general.architecture", NULL);
    if (!(pd_ds_family_of_arch(arch) != NULL ? open_deepseek_gguf(m, error) : load_gguf(l, error)))
        return FALSE;
    const char *name = pd_gguf_get_string(m->gguf, "general.name", NULL);
    if (name != NULL && name[0] != '\0')
        m->name = g_strdup(name);
    g_autoptr(GError) problem = NULL;
    PdTokenizer *tokenizer = pd_tokenizer_new_from_gguf(m->gguf, &problem);
    set_tokenizer(m, tokenizer, pd_gguf_get_string(m->gguf, "tokenizer.chat_template", NULL),
                  problem);
    return TRUE;
}

static gboolean
open_folder(Loader *l, GError **error)
{
    PdModel *m = l->model;
    static const char *const prefixes[] = {"model.", "language_model.model.",
                                           "model.language_model.", ""};
    g_autofree char *config_path = g_build_filename(m->path, "config.json", NULL);
    g_autoptr(JsonParser) parser = pd_json_read_object(config_path, error);
    if (parser == NULL)
        return FALSE;
    JsonObject *config = pd_json_object(parser);
    if (pd_ds_family(pd_hf_model_type(config)) != NULL)
        return open_deepseek_folder(m, config, config_path, error);
    if (!pd_hf_config_take(config, config_path, &l->config, error))
        return FALSE;
    m->shards = pd_safetensors_open_folder(m->path, error);
    if (m->shards == NULL)
        return FALSE;
    for (guint i = 0; i < m->shards->len; i++) {
        gsize n_bytes;
        const void *data = pd_safetensors_data(g_ptr_array_index(m->shards, i), &n_bytes);
        if (!wrap(m, data, n_bytes, error))
            return FALSE;
    }
    l->hf_prefix = prefixes[0];
    for (gsize i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        g_autofree char *embd = g_strconcat(prefixes[i], "embed_tokens.weight", NULL);
        Found found;
        if (find_hf(l, embd, &found)) {
            l->hf_prefix = prefixes[i];
            break;
        }
    }
    if (!load_tensors(l, error))
        return FALSE;
    read_hf_tokenizer(m);
    return TRUE;
}

PdModel *
pd_model_open(const char *path, const PdModelOptions *options, GError **error)
{
    g_autoptr(PdModel) m = g_new0(PdModel, 1);
    g_ref_count_init(&m->ref_count);
    g_mutex_init(&m->id_lock);
    m->path = g_strdup(path);
    m->buffers = g_ptr_array_new();
    const char *isa = options != NULL ? options->isa : NULL;
    m->device = pd_cpu_device_new(options != NULL ? options->n_threads : 0, isa);
    if (m->device == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "this CPU or build has no instruction set %s", isa != NULL ? isa : "to run on");
        return NULL;
    }
    Loader l = {.model = m};
    gboolean is_folder = g_file_test(path, G_FILE_TEST_IS_DIR);
    gboolean ok = is_folder ? open_folder(&l, error) : open_gguf(&l, error);
    pd_model_config_clear(&l.config);
    if (!ok)
        return NULL;
    if (m->name == NULL)
        m->name = g_path_get_basename(path);
    return g_steal_pointer(&m);
}

PdModel *
pd_model_ref(PdModel *model)
{
    g_ref_count_inc(&model->ref_count);
    return model;
}

void
pd_model_unref(PdModel *model)
{
    if (model == NULL || !g_ref_count_dec(&model->ref_count))
        return;
    g_clear_pointer(&model->deepseek, pd_ds_model_free); /* has buffers of the device */
    for (guint i = 0; i < model->buffers->len; i++)
        model->device->ops->buffer_free(model->device, g_ptr_array_index(model->buffers, i));
    g_ptr_array_unref(model->buffers);
    if (model->device != NULL)
        model->device->ops->free(model->device);
    g_clear_pointer(&model->gguf, pd_gguf_free);
    g_clear_pointer(&model->shards, g_ptr_array_unref);
    g_clear_pointer(&model->tokenizer, pd_tokenizer_unref);
    g_mutex_clear(&model->id_lock);
    g_free(model->tokenizer_problem);
    g_free(model->rope_factors);
    g_free(model->layers);
    g_free(model->name);
    g_free(model->path);
    g_free(model->id);
    g_free(model);
}

const PdModelShape *
pd_model_shape(const PdModel *model)
{
    return &model->shape;
}

const PdDsShape *
pd_model_deepseek(const PdModel *model)
{
    return model->deepseek != NULL ? &model->deepseek->shape : NULL;
}

const PdLayer *
pd_model_layer(const PdModel *model, int layer)
{
    g_assert(layer >= 0 && layer < model->shape.n_layers);
    return &model->layers[layer];
}

PdDevice *
pd_model_device(const PdModel *model)
{
    return model->device;
}

PdTokenizer *
pd_model_tokenizer(const PdModel *model)
{
    return model->tokenizer;
}

const char *
pd_model_tokenizer_problem(const PdModel *model)
{
    return model->tokenizer_problem;
}

PdChatFamily
pd_model_chat(const PdModel *model)
{
    return model->chat;
}

const char *
pd_model_name(const PdModel *model)
{
    return model->name;
}

const char *
pd_model_path(const PdModel *model)
{
    return model->path;
}

guint64
pd_model_weight_bytes(const PdModel *model)
{
    return model->weight_bytes;
}
