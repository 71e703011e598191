/* Counts over the tensors of a model's file; see model_info.h. */
#include "engine/model_info.h"

#include <string.h>
#include "engine/deepseek/cost.h"
#include "engine/model_internal.h"
#include "engine/safetensors.h"

void
pd_model_info_free(PdModelInfo *info)
{
    g_array_unref(info->types);
    g_free(info);
}

static PdTypeCount *
find_type(PdModelInfo *info, const char *name)
{
    PdTypeCount fresh = {.n_tensors = 0};

    for (guint i = 0; i < info->types->len; i++) {
        PdTypeCount *count = &g_array_index(info->types, PdTypeCount, i);
        if (strcmp(count->name, name) == 0)
            return count;
    }
    g_strlcpy(fresh.name, name, sizeof fresh.name);
    g_array_append_val(info->types, fresh);
    return &g_array_index(info->types, PdTypeCount, info->types->len - 1);
}

/* The product of dims fits: the file's reader has checked it against n_bytes. */
static void
count_tensor(PdModelInfo *info, const char *type, int n_dims, const guint64 *dims, gsize n_bytes)
{
    PdTypeCount *count = find_type(info, type);
    guint64 n_values = 1;

    for (int i = 0; i < n_dims; i++)
        n_values *= dims[i];
    count->n_tensors++;
    count->n_values += n_values;
    count->n_bytes += n_bytes;
    info->n_tensors++;
    info->n_values += n_values;
    info->n_bytes += n_bytes;
}

static void
count_gguf(PdModelInfo *info, const PdGguf *gguf)
{
    for (gsize i = 0; i < pd_gguf_n_tensors(gguf); i++) {
        const PdGgufTensor *t = pd_gguf_tensor(gguf, i);
        count_tensor(info, t->dtype, t->n_dims, t->dims, t->n_bytes);
    }
}

static void
count_shard(PdModelInfo *info, const PdSafetensors *shard)
{
    for (gsize i = 0; i < pd_safetensors_n_tensors(shard); i++) {
        const PdSafetensor *t = pd_safetensors_tensor(shard, i);
        count_tensor(info, t->dtype, t->n_dims, t->dims, t->n_bytes);
    }
}

static gint
by_bytes_descending(gconstpointer a, gconstpointer b)
{
    const guint64 x = ((const PdTypeCount *)a)->n_bytes, y = ((const PdTypeCount *)b)->n_bytes;

    return (x < y) - (x > y);
}

PdModelInfo *
pd_model_info_new(const PdModel *model)
{
    PdModelInfo *info = g_new0(PdModelInfo, 1);
    const PdModelShape *s = &model->shape;
    const guint64 n_kv = (guint64)s->n_layers * 2 * s->n_kv_heads;

    info->types = g_array_new(FALSE, TRUE, sizeof(PdTypeCount));
    info->format = model->gguf ? "GGUF" : "safetensors";
    if (model->gguf)
        count_gguf(info, model->gguf);
    for (guint i = 0; model->shards && i < model->shards->len; i++)
        count_shard(info, g_ptr_array_index(model->shards, i));
    g_array_sort(info->types, by_bytes_descending);
    if (model->deepseek != NULL) {
        info->kv_bytes_16bit =
            (guint64)(pd_ds_token_bytes(&model->deepseek->shape, PD_DS_STORE_16BIT) + 0.5);
        return info;
    }
    info->kv_bytes_16bit = (guint64)s->n_layers * pd_cost_row_bytes(s->n_kv_heads, s->head_dim);
    if (s->head_dim % pd_dtype_info[PD_Q8_0].block_elems == 0)
        info->kv_bytes_8bit = n_kv * pd_row_bytes(PD_Q8_0, s->head_dim);
    return info;
}
