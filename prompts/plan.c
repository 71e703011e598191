/* See plan.h. */
#include "prompts/plan.h"
#include "ingest/json_text.h"

#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include "prompts/ask.h"
#include "engine/deepseek/cost.h"
#include "engine/resume.h"
#include "prompts/layout.h"
#include "prompts/native.h"
#include "prompts/rerank.h"
#include "prompts/segment_kv.h"
#include "prompts/whole.h"

#define MEASURED_LAYERS 3
#define MEASURED_ROWS 2048
#define MEASURED_CHUNK 512
#define MEASURED_DECODES 4
#define NATIVE_ROWS 256            /* of the longest measured prompt */
#define NATIVE_ENOUGH_SECONDS 0.25 /* then no longer one is measured */
#define DISK_BYTES_PER_SECOND 1.5e9
#define PLAN_SEGMENT_TOKENS 2048
#define PLAN_ANSWER_TOKENS 100
#define PLAN_UNSURE_TOKENS 32   /* of an answer that is not shown */
#define PLAN_QUESTION_TOKENS 96 /* with the instruction and the turn around it */
#define PLAN_RERANK_TOKENS 20   /* of the question alone */

/* Time n rows appended to sequence 0. */
static gboolean
time_rows(PdSession *session, const gint32 *tokens, int n, double *seconds,
          GCancellable *cancellable, GError **error)
{
    PdRun run = {.tokens = tokens, .n_tokens = n};
    gint64 started_us = g_get_monotonic_time();

    if (!pd_session_run(session, &run, 1, cancellable, NULL, NULL, error))
        return FALSE;
    *seconds = (g_get_monotonic_time() - started_us) / 1e6;
    return TRUE;
}

/* All layers over prompts of 1, 2, 4 ... rows, as long as they take no time, then single rows. */
static gboolean
measure_native(PdModel *model, PdRates *rates, GCancellable *cancellable, GError **error)
{
    const PdModelShape *shape = pd_model_shape(model);
    int room = MIN(2 * NATIVE_ROWS + MEASURED_DECODES, shape->n_ctx_train);
    PdSessionOptions options = pd_native_session(model, room);
    g_autoptr(PdSession) session = pd_session_new(model, &options, error);
    g_autofree gint32 *tokens = g_new0(gint32, NATIVE_ROWS);
    double seconds = 0, decode = 0;

    if (!session)
        return FALSE;
    for (int i = 0; i < NATIVE_ROWS; i++)
        tokens[i] = (gint32)((i * 7919) % shape->n_vocab);
    *rates = (PdRates){.disk_bytes_per_second = DISK_BYTES_PER_SECOND};
    room -= MEASURED_DECODES + 1;
    if (!time_rows(session, tokens, 1, &seconds, cancellable, error)) /* pays for page faults */
        return FALSE;
    seconds = 0;
    for (int n = 1; n <= MIN(NATIVE_ROWS, room) && seconds < NATIVE_ENOUGH_SECONDS; n *= 2) {
        if (!time_rows(session, tokens, n, &seconds, cancellable, error))
            return FALSE;
        rates->row_seconds = MAX(seconds / n, 1e-9);
        room -= n;
    }
    for (int i = 0; i < MEASURED_DECODES; i++) {
        if (!time_rows(session, tokens, 1, &seconds, cancellable, error))
            return FALSE;
        decode = i == 0 ? seconds : MIN(decode, seconds);
    }
    rates->decode_seconds = decode;
    return TRUE;
}

static gboolean
measure_ordinary(PdModel *model, PdRates *rates, GCancellable *cancellable, GError **error)
{
    const PdModelShape *shape = pd_model_shape(model);
    int n_layers = MIN(MEASURED_LAYERS, shape->n_layers);
    PdSessionOptions options = {.n_sequences = 1,
                                .max_tokens = MEASURED_ROWS + MEASURED_DECODES,
                                .kv_type = PD_F16,
                                .n_layers = n_layers};
    g_autoptr(PdSession) session = pd_session_new(model, &options, error);
    g_autofree gint32 *tokens = g_new0(gint32, MEASURED_ROWS);
    /* Of the last layer only keys and values are computed: it counts as none. */
    double scale = (double)shape->n_layers / MAX(n_layers - 1, 1);
    double first = 0, last = 0, decode = 0, head_bytes, layer_bytes;

    if (!session)
        return FALSE;
    for (int i = 0; i < MEASURED_ROWS; i++)
        tokens[i] = (gint32)(1 + (i * 7919) % MIN(shape->n_vocab - 1, 20000));
    for (int at = 0; at < MEASURED_ROWS; at += MEASURED_CHUNK) {
        double seconds;
        if (!time_rows(session, tokens + at, MEASURED_CHUNK, &seconds, cancellable, error))
            return FALSE;
        if (at == MEASURED_CHUNK) /* the first chunk pays for page faults */
            first = seconds / MEASURED_CHUNK;
        last = seconds / MEASURED_CHUNK;
    }
    for (int i = 0; i < MEASURED_DECODES; i++) {
        double seconds;
        if (!time_rows(session, tokens, 1, &seconds, cancellable, error))
            return FALSE;
        decode = i == 0 ? seconds : MIN(decode, seconds);
    }
    rates->position_seconds = MAX(0, (last - first) / (MEASURED_ROWS - 2 * MEASURED_CHUNK)) * scale;
    rates->row_seconds = MAX(first * scale - rates->position_seconds * 1.5 * MEASURED_CHUNK, 1e-9);
    /* The output matrix is read once a token, at the rate of the layers' weights. */
    head_bytes = (double)shape->n_vocab * shape->n_embd * 0.6;
    layer_bytes = (double)pd_model_weight_bytes(model) - head_bytes;
    rates->decode_seconds = decode * scale * (1 + MAX(0, head_bytes / MAX(layer_bytes, 1)));
    rates->disk_bytes_per_second = DISK_BYTES_PER_SECOND;
    return TRUE;
}

gboolean
pd_measure_rates(PdModel *model, PdRates *rates, GCancellable *cancellable, GError **error)
{
    return pd_model_deepseek(model) ? measure_native(model, rates, cancellable, error)
                                    : measure_ordinary(model, rates, cancellable, error);
}

static guint64
available_memory(void)
{
    g_autofree char *text = NULL;
    const char *at;
    guint64 kib = 0;

    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL))
        return 0;
    at = strstr(text, "MemAvailable:");
    if (at)
        sscanf(at, "MemAvailable: %" G_GUINT64_FORMAT, &kib);
    return kib * 1024;
}

/* What a row sees at once: everything, when read whole. */
static double
visible_rows(const PdAttentionPolicy *policy)
{
    if (policy->kind == PD_ATTENTION_DENSE)
        return G_MAXINT;
    return policy->sink_rows + (double)policy->budget_blocks * PD_SCORE_BLOCK + policy->window_rows;
}

/* The positions that rows [0, n) see, summed. */
static double
seen(double n, double visible)
{
    return n <= visible ? n * n / 2 : visible * visible / 2 + visible * (n - visible);
}

/* The cost of scoring one row's key in units of all heads' attention to it (scores and values), for
 * each of n_rows appended together: the index heads score the pooled queries of these rows and of
 * the voting ones before them. */
static double
scan_share(PdModel *model, const PdAttentionPolicy *policy, int n_rows)
{
    const PdModelShape *shape = pd_model_shape(model);
    double queries;

    if (policy->kind == PD_ATTENTION_DENSE)
        return 0;
    queries = 2 + (double)(n_rows + policy->chunk_rows) / policy->pool_rows;
    return policy->n_heads * queries / n_rows / 2 / ((double)shape->n_heads * shape->n_layers);
}

/* The session that reads the corpus as one text. */
static PdSessionOptions
one_text_session(PdModel *model, const PdPlan *plan)
{
    PdProfile profile = pd_profile_for(pd_model_shape(model));
    g_autoptr(GArray) prefix = pd_model_tokenizer(model) ? pd_layout_prefix(model) : NULL;
    guint64 max_tokens = MIN(plan->n_tokens + PD_ANSWER_RESERVE_TOKENS, G_MAXINT32 / 2);

    return pd_whole_session(model, &profile, plan->mode, prefix ? prefix->len : 0, (int)max_tokens);
}

/* Read as one text, whole or sparse. */
static void
plan_whole(PdModel *model, const PdRates *rates, PdPlan *plan)
{
    const PdModelShape *shape = pd_model_shape(model);
    PdSessionOptions options = one_text_session(model, plan);
    const PdAttentionPolicy *policy = &options.attention;
    double n = plan->n_tokens, warm = plan->n_warm_tokens, visible = visible_rows(policy);
    double at_end = MIN(n, visible), scan = n > visible ? n : 0; /* rows seen, rows scored */

    /* A sparse session keeps the queries of its index heads beside keys and values. */
    plan->kv_disk_bytes =
        plan->dense_bytes + plan->n_tokens * (guint64)policy->n_heads *
                                pd_row_bytes(options.kv_type, (gsize)shape->head_dim);
    plan->session_bytes = pd_session_bytes(model, &options);
    plan->warm_seconds =
        (n - warm) * rates->row_seconds +
        rates->position_seconds * (seen(n, visible) - seen(warm, visible) +
                                   scan_share(model, policy, MEASURED_CHUNK) *
                                       (scan * scan - MIN(warm, scan) * MIN(warm, scan)) / 2);
    /* A decode row makes new lists once in pool_rows. */
    plan->first_token_seconds =
        plan->kv_disk_bytes / rates->disk_bytes_per_second +
        PLAN_QUESTION_TOKENS *
            (rates->row_seconds +
             rates->position_seconds *
                 (at_end + scan_share(model, policy, PLAN_QUESTION_TOKENS) * scan)) +
        rates->decode_seconds;
    plan->answer_seconds =
        plan->first_token_seconds +
        PLAN_ANSWER_TOKENS * (rates->decode_seconds +
                              rates->position_seconds *
                                  (at_end + scan_share(model, policy, policy->pool_rows) * scan));
}

/* Read as one text by a DeepSeek-V4 model: time grows as the operations of the cost model do from
 * those of the measured prompt, of a decoded token as the bytes that it reads. */
static void
plan_native(PdModel *model, const PdRates *rates, PdPlan *plan)
{
    const PdCostMachine unknown = {0};
    PdSessionOptions options = one_text_session(model, plan);
    PdDsStore store = options.kv_type == PD_Q8_0 ? PD_DS_STORE_DEPLOYED : PD_DS_STORE_32BIT;
    PdCost cost;
    PdCostAt start, warm, all;
    double flop_seconds, decode_seconds;

    pd_ds_cost(pd_model_deepseek(model), store, &cost);
    pd_cost_at(&cost, &unknown, NATIVE_ROWS, &start);
    pd_cost_at(&cost, &unknown, (double)plan->n_warm_tokens, &warm);
    pd_cost_at(&cost, &unknown, (double)plan->n_tokens, &all);
    flop_seconds = rates->row_seconds * NATIVE_ROWS / start.prefill_flops;
    decode_seconds = rates->decode_seconds * all.decode_bytes / start.decode_bytes;
    plan->kv_disk_bytes =
        pd_resume_bytes(model, &options, (int)MIN(plan->n_tokens, G_MAXINT32 / 2));
    plan->session_bytes = pd_session_bytes(model, &options);
    plan->warm_seconds =
        (all.prefill_flops - (plan->n_warm_tokens > 0 ? warm.prefill_flops : 0)) * flop_seconds;
    plan->first_token_seconds = plan->kv_disk_bytes / rates->disk_bytes_per_second +
                                PLAN_QUESTION_TOKENS * all.decode_flops * flop_seconds +
                                decode_seconds;
    plan->answer_seconds = plan->first_token_seconds + PLAN_ANSWER_TOKENS * decode_seconds;
}

/* Seconds to encode n tokens in segments of `length` for a tier. */
static double
encode_seconds(PdModel *model, const PdKvFormat *format, const PdRates *rates, double n,
               double length)
{
    int n_layers = pd_model_shape(model)->n_layers;
    double share = pd_kv_row_ops(model, format->n_layers) / pd_kv_row_ops(model, n_layers);
    /* of the last layer only keys and values are made */
    double attending = (double)(format->n_layers - 1) / MAX(n_layers - 1, 1);

    return n * (rates->row_seconds * share + rates->position_seconds * length / 2 * attending);
}

/* Memory while warming or asking, the larger. */
static guint64
swept_session_bytes(PdModel *model, const PdProfile *profile, const PdKvFormat *format,
                    guint longest)
{
    const PdModelShape *shape = pd_model_shape(model);
    guint64 rerank = profile->n_rerank ? pd_rerank_bytes(model, PLAN_QUESTION_TOKENS) : 0;
    PdSessionOptions warm = {
        .n_sequences = PD_WARM_SEQUENCES, .max_tokens = (int)longest, .kv_type = PD_F16};
    PdSessionOptions read = {.n_sequences = 1,
                             .max_tokens = PD_ASK_BUDGET_TOKENS + PD_ANSWER_RESERVE_TOKENS,
                             .kv_type = PD_F16};

    if (format->tier == PD_KV_INDEX)
        warm.n_layers = format->n_layers;
    return MAX(pd_session_bytes(model, &warm) +
                   pd_segment_kv_bytes(shape, format, PD_WARM_GROUP_ROWS, PD_KV_HEADER_TOKENS),
               MAX(pd_session_bytes(model, &read), rerank));
}

/* `read` tokens of passages, `run` of them through the model, and the question. */
static double
reading_seconds(const PdRates *rates, double read, double run)
{
    run += PLAN_QUESTION_TOKENS;
    read += PLAN_QUESTION_TOKENS;
    return run * (rates->row_seconds + rates->position_seconds * read) + rates->decode_seconds;
}

/* The answer of a reading that another one follows, and its check. */
static double
unsure_seconds(const PdRates *rates, double read)
{
    return PLAN_UNSURE_TOKENS * (rates->decode_seconds + rates->position_seconds * read) +
           reading_seconds(rates, read, 0);
}

/* Reading the best blocks one by one, for their order. */
static double
rerank_seconds(const PdProfile *profile, const PdRates *rates, const PdPlan *plan)
{
    double rows = PD_RERANK_TASK_TOKENS + PLAN_RERANK_TOKENS;

    if (plan->tier == PD_KV_FULL)
        return profile->n_rerank * rows * rates->row_seconds;
    return profile->n_rerank_run * (rows + PD_RERANK_BLOCK_TOKENS) * rates->row_seconds;
}

/* From the sweep to the first token that is shown. */
static void
plan_readings(const PdProfile *profile, const PdRates *rates, PdPlan *plan)
{
    double read = MIN(plan->n_tokens, PD_ASK_BUDGET_TOKENS);
    double run = plan->tier == PD_KV_INDEX ? read : MIN(read, PD_ASK_FRESH_TOKENS);
    const PdReadings *readings = plan->tier == PD_KV_INDEX ? &profile->run : &profile->kept;

    plan->first_token_seconds = plan->kv_disk_bytes / rates->disk_bytes_per_second +
                                PLAN_QUESTION_TOKENS * rates->row_seconds + /* to sweep with */
                                rerank_seconds(profile, rates, plan);
    for (guint i = 0; i + 1 < readings->n; i++) {
        double few = readings->of[i].tokens ? MIN(readings->of[i].tokens, read) : read;

        plan->first_token_seconds += reading_seconds(rates, few, MIN(few, run));
        if (i == 0)
            plan->sure_token_seconds = plan->first_token_seconds;
        plan->first_token_seconds += unsure_seconds(rates, few);
    }
    plan->first_token_seconds += reading_seconds(rates, read, run);
    plan->answer_seconds =
        plan->first_token_seconds +
        PLAN_ANSWER_TOKENS * (rates->decode_seconds + rates->position_seconds * read);
}

static void
plan_swept(PdModel *model, guint length, guint longest, const PdRates *rates, PdPlan *plan)
{
    const PdModelShape *shape = pd_model_shape(model);
    PdProfile profile = pd_profile_for(shape);
    double missing = plan->n_tokens - plan->n_warm_tokens;
    PdKvFormat format = pd_kv_format(shape, &profile, plan->tier);

    for (PdKvTier tier = PD_KV_INDEX; tier <= PD_KV_FULL; tier++) {
        PdKvFormat of_tier = pd_kv_format(shape, &profile, tier);
        if (plan->tier_bytes[tier - PD_KV_INDEX] == 0)
            plan->tier_bytes[tier - PD_KV_INDEX] =
                pd_kv_bytes_of_corpus(shape, &of_tier, plan->n_tokens, length);
        plan->tier_seconds[tier - PD_KV_INDEX] =
            encode_seconds(model, &of_tier, rates, plan->n_tokens, length);
    }
    plan->kv_disk_bytes = plan->tier_bytes[plan->tier - PD_KV_INDEX];
    plan->session_bytes = swept_session_bytes(model, &profile, &format, longest);
    plan->warm_seconds = encode_seconds(model, &format, rates, missing, length);
    plan_readings(&profile, rates, plan);
}

/* A row of dense 16-bit KV; DeepSeek-V4's keys are its values. */
static guint64
dense_row_bytes(PdModel *model)
{
    const PdModelShape *shape = pd_model_shape(model);

    if (pd_model_deepseek(model))
        return (guint64)shape->n_layers * pd_row_bytes(PD_F16, (gsize)shape->head_dim);
    return pd_kv_dense_row_bytes(shape);
}

static void
fill(PdModel *model, guint length, guint longest, const PdRates *rates, PdPlan *plan)
{
    plan->weight_bytes = pd_model_weight_bytes(model);
    plan->memory_bytes_available = available_memory();
    plan->dense_bytes = plan->n_tokens * dense_row_bytes(model);
    if (pd_model_deepseek(model))
        plan_native(model, rates, plan);
    else if (plan->mode != PD_READ_SWEPT)
        plan_whole(model, rates, plan);
    else
        plan_swept(model, length, longest, rates, plan);
    plan->fits = plan->memory_bytes_available == 0 ||
                 plan->session_bytes + plan->weight_bytes < plan->memory_bytes_available;
}

void
pd_plan_tokens(PdModel *model, guint64 n_tokens, PdReadMode mode, PdKvTier tier,
               const PdRates *rates, PdPlan *plan)
{
    PdProfile profile = pd_profile_for(pd_model_shape(model));

    memset(plan, 0, sizeof *plan);
    plan->n_tokens = n_tokens;
    plan->mode = mode;
    if (mode == PD_READ_AUTO)
        plan->mode = pd_model_deepseek(model) || n_tokens <= (guint64)profile.read_whole_tokens
                         ? PD_READ_WHOLE
                         : PD_READ_SWEPT;
    if (plan->mode == PD_READ_SWEPT)
        plan->tier =
            pd_kv_choose(model, &profile, tier, n_tokens, PLAN_SEGMENT_TOKENS, 0, &plan->tier_why);
    fill(model, PLAN_SEGMENT_TOKENS, PLAN_SEGMENT_TOKENS + PD_HEADER_TOKENS_MAX, rates, plan);
}

gboolean
pd_plan_context(PdContext *context, const PdRates *rates, PdPlan *plan, GCancellable *cancellable,
                GError **error)
{
    const PdModelShape *shape = pd_model_shape(context->model);
    PdKvFormat formats[] = {pd_kv_format(shape, &context->profile, PD_KV_INDEX),
                            pd_kv_format(shape, &context->profile, PD_KV_FULL)};
    guint longest = 0;

    memset(plan, 0, sizeof *plan);
    plan->n_tokens = context->n_tokens;
    plan->mode = context->mode;
    plan->tier = context->tier;
    if (!pd_context_count_warm(context, &plan->n_warm_tokens, cancellable, error))
        return FALSE;
    plan->n_warm_tokens = MIN(plan->n_warm_tokens, plan->n_tokens);
    for (guint i = 0; context->mode == PD_READ_SWEPT && i < context->segments->len; i++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, i);
        guint n_header = segment->header_ids->len, n_rows = n_header + segment->row->n_tokens;

        longest = MAX(longest, n_rows);
        for (gsize t = 0; t < G_N_ELEMENTS(formats); t++)
            plan->tier_bytes[t] += pd_segment_kv_bytes(shape, &formats[t], n_rows, n_header);
    }
    plan->tier_why = g_strdup(context->tier_why);
    fill(context->model, (guint)(context->n_tokens / context->segments->len),
         context->prefix->len + longest, rates, plan);
    return TRUE;
}

void
pd_plan_clear(PdPlan *plan)
{
    g_clear_pointer(&plan->tier_why, g_free);
}

static void
add_tiers(JsonBuilder *json, const PdPlan *plan)
{
    pd_json_string(json, "tier", pd_kv_tier_name(plan->tier));
    pd_json_string(json, "tier_why", plan->tier_why);
    for (PdKvTier tier = PD_KV_INDEX; tier <= PD_KV_FULL; tier++) {
        json_builder_set_member_name(json, pd_kv_tier_name(tier));
        json_builder_begin_object(json);
        pd_json_int(json, "kv_disk_bytes", (gint64)plan->tier_bytes[tier - PD_KV_INDEX]);
        pd_json_double(json, "warm_seconds", plan->tier_seconds[tier - PD_KV_INDEX]);
        json_builder_end_object(json);
    }
}

char *
pd_plan_to_json(PdModel *model, const PdPlan *plan)
{
    g_autoptr(JsonBuilder) json = json_builder_new();

    json_builder_begin_object(json);
    pd_json_string(json, "model", pd_model_name(model));
    pd_json_string(json, "mode", pd_read_mode_name(plan->mode));
    if (plan->mode == PD_READ_SWEPT)
        add_tiers(json, plan);
    pd_json_int(json, "tokens", (gint64)plan->n_tokens);
    pd_json_int(json, "warm_tokens", (gint64)plan->n_warm_tokens);
    pd_json_int(json, "weight_bytes", (gint64)plan->weight_bytes);
    pd_json_int(json, "session_bytes", (gint64)plan->session_bytes);
    pd_json_int(json, "kv_disk_bytes", (gint64)plan->kv_disk_bytes);
    pd_json_int(json, "kv_dense_bytes", (gint64)plan->dense_bytes);
    pd_json_int(json, "memory_available_bytes", (gint64)plan->memory_bytes_available);
    pd_json_bool(json, "fits", plan->fits);
    pd_json_double(json, "warm_seconds", plan->warm_seconds);
    pd_json_double(json, "first_token_seconds", plan->first_token_seconds);
    if (plan->sure_token_seconds > 0)
        pd_json_double(json, "sure_token_seconds", plan->sure_token_seconds);
    pd_json_double(json, "answer_seconds", plan->answer_seconds);
    json_builder_end_object(json);
    return pd_json_built(json);
}
