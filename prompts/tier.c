/* See tier.h. */
#include "prompts/tier.h"
#include "engine/cost.h"

#include <string.h>
#include "prompts/choice.h"
#include "prompts/segment_kv.h"

/* Operations a second that one thread is taken to make: about two thirds of what a core with AVX2
 * makes of 4-bit weights (pandect bench).  A fixed number, so that plan, warm and ask decide alike
 * on every run. */
#define OPS_PER_THREAD_SECOND 150e9

static const char *const tier_names[] = {
    [PD_KV_AUTO] = "auto", [PD_KV_INDEX] = "index", [PD_KV_FULL] = "full"};

const char *
pd_kv_tier_name(PdKvTier tier)
{
    return tier_names[tier];
}

PD_DEFINE_CHOICE_PARSER(pd_parse_kv_tier, PdKvTier, tier_names)

/* Insert in order of layer, then KV head; each once. */
static void
add_key(PdKvFormat *format, PdHead key)
{
    int at = 0;

    while (at < format->n_keys &&
           (format->keys[at].layer < key.layer ||
            (format->keys[at].layer == key.layer && format->keys[at].head < key.head)))
        at++;
    if (at < format->n_keys && format->keys[at].layer == key.layer &&
        format->keys[at].head == key.head)
        return;
    memmove(format->keys + at + 1, format->keys + at,
            (gsize)(format->n_keys - at) * sizeof *format->keys);
    format->keys[at] = key;
    format->n_keys++;
}

PdKvFormat
pd_kv_format(const PdModelShape *shape, const PdProfile *profile, PdKvTier tier)
{
    PdKvFormat format = {.tier = PD_KV_FULL,
                         .key_bits = profile->kv_key_bits,
                         .value_bits = profile->kv_value_bits,
                         .n_layers = shape->n_layers};

    if (tier != PD_KV_INDEX)
        return format;
    format.tier = PD_KV_INDEX;
    format.key_bits = PD_KV_INDEX_BITS;
    format.value_bits = 0;
    format.n_layers = 1;
    for (int i = 0; i < profile->n_retrieval; i++) {
        PdHead head = profile->retrieval[i];

        add_key(&format, (PdHead){head.layer, pd_head_kv(shape, &head)});
        format.n_layers = MAX(format.n_layers, head.layer + 1);
    }
    return format;
}

guint64
pd_kv_dense_row_bytes(const PdModelShape *shape)
{
    return (guint64)shape->n_layers * pd_cost_row_bytes(shape->n_kv_heads, shape->head_dim);
}

static double
weights_of(const PdWeight *weight)
{
    return (double)weight->n_rows * weight->n_cols;
}

double
pd_kv_row_ops(PdModel *model, int n_layers)
{
    double weights = 0;

    for (int l = 0; l < n_layers; l++) {
        const PdLayer *layer = pd_model_layer(model, l);

        weights += weights_of(&layer->wk) + weights_of(&layer->wv);
        if (l == n_layers - 1)
            break; /* what comes after the last layer's keys and values is not made */
        weights += weights_of(&layer->wq) + weights_of(&layer->wo) + weights_of(&layer->w_gate) +
                   weights_of(&layer->w_up) + weights_of(&layer->w_down);
    }
    return 2 * weights;
}

/* What the full tier's widths are and rest on. */
static char *
describe_widths(const PdProfile *profile)
{
    if (profile->kv_measured)
        return g_strdup_printf("keys %d bits, values %d: mean KL %.4f nats", profile->kv_key_bits,
                               profile->kv_value_bits, profile->kv_mean_kl);
    return g_strdup_printf("keys %d bits, values %d: fewer were not measured on this model",
                           profile->kv_key_bits, profile->kv_value_bits);
}

static double
extra_seconds(PdModel *model, int n_index_layers, guint64 n_tokens)
{
    PdDevice *device = pd_model_device(model);
    double ops = pd_kv_row_ops(model, pd_model_shape(model)->n_layers) -
                 pd_kv_row_ops(model, n_index_layers);

    return (double)n_tokens * ops /
           (OPS_PER_THREAD_SECOND * MAX(device->ops->info(device).n_threads, 1));
}

PdKvTier
pd_kv_choose(PdModel *model, const PdProfile *profile, PdKvTier wanted, guint64 n_tokens,
             guint segment_tokens, guint64 disk_free_bytes, char **why)
{
    const PdModelShape *shape = pd_model_shape(model);
    PdKvFormat index = pd_kv_format(shape, profile, PD_KV_INDEX);
    PdKvFormat full = pd_kv_format(shape, profile, PD_KV_FULL);
    double seconds = extra_seconds(model, index.n_layers, n_tokens);
    guint64 full_bytes = pd_kv_bytes_of_corpus(shape, &full, n_tokens, segment_tokens);
    guint64 limit = PD_KV_FULL_BYTES_MAX;
    g_autofree char *size = g_format_size(full_bytes), *widths = describe_widths(profile);
    PdKvTier tier = wanted;

    if (disk_free_bytes > 0)
        limit = MIN(limit, disk_free_bytes / 4);
    if (wanted == PD_KV_AUTO)
        tier = full_bytes <= limit && seconds <= PD_KV_FULL_SECONDS_MAX ? PD_KV_FULL : PD_KV_INDEX;
    if (wanted != PD_KV_AUTO)
        *why = tier == PD_KV_FULL ? g_strdup_printf("as asked for; %s", widths)
                                  : g_strdup("as asked for");
    else if (tier == PD_KV_FULL)
        *why = g_strdup_printf("all rows cost little here, %s and about %.0f min of reading more "
                               "than the index; %s",
                               size, seconds / 60, widths);
    else
        *why = g_strdup_printf("all rows would take %s and about %.0f min of reading more than the "
                               "index; passages that win are run again instead",
                               size, seconds / 60);
    return tier;
}

guint64
pd_kv_bytes_of_corpus(const PdModelShape *shape, const PdKvFormat *format, guint64 n_tokens,
                      guint segment_tokens)
{
    guint length = MAX(segment_tokens, 1), header = MIN(PD_KV_HEADER_TOKENS, length - 1);

    return n_tokens / length * pd_segment_kv_bytes(shape, format, length, header) +
           (n_tokens % length ? pd_segment_kv_bytes(shape, format, (guint)(n_tokens % length),
                                                    MIN(header, (guint)(n_tokens % length) - 1))
                              : 0);
}
