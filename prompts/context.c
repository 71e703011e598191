/* See context.h. */
#include "prompts/context.h"

#include "prompts/choice.h"
#include "prompts/error.h"
#include "prompts/layout.h"
#include "prompts/lexical.h"
#include "prompts/segment_kv.h"

static void
clear_segment(gpointer data)
{
    PdContextSegment *segment = data;

    g_free(segment->header);
    g_clear_pointer(&segment->header_ids, g_array_unref);
}

static GHashTable *
index_documents(GPtrArray *documents)
{
    GHashTable *by_id = g_hash_table_new(g_int64_hash, g_int64_equal);

    for (guint i = 0; i < documents->len; i++) {
        PdDocumentRow *document = g_ptr_array_index(documents, i);
        g_hash_table_insert(by_id, &document->id, document);
    }
    return by_id;
}

/* Join rows with their documents and write their headers; parts are read once each. */
static gboolean
add_segments(PdContext *context, GError **error)
{
    g_autoptr(GHashTable) by_id = index_documents(context->documents);
    g_autofree char *header = NULL;
    gint64 part_id = -1;

    for (guint i = 0; i < context->rows->len; i++) {
        PdSegmentRow *row = g_ptr_array_index(context->rows, i);
        PdContextSegment segment = {.row = row,
                                    .document = g_hash_table_lookup(by_id, &row->document_id)};

        if (!segment.document || row->n_tokens == 0)
            continue;
        if (row->part_id != part_id) {
            g_autoptr(PdPartRow) part = pd_corpus_part(context->corpus, row->part_id, error);
            if (!part)
                return FALSE;
            g_free(header);
            header = pd_layout_header_text(segment.document, part);
            part_id = row->part_id;
        }
        segment.header = g_strdup(header);
        segment.header_ids = pd_layout_header(context->model, header);
        context->n_tokens += row->n_tokens + segment.header_ids->len;
        g_array_append_val(context->segments, segment);
    }
    return TRUE;
}

static gboolean
load(PdContext *context, GCancellable *cancellable, GError **error)
{
    PdTokenizer *tokenizer = pd_model_tokenizer(context->model);
    g_autofree char *kv_dir = NULL;

    if (!tokenizer) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND,
                    "%s has no tokenizer; put tokenizer.json beside its weights",
                    pd_model_path(context->model));
        return FALSE;
    }
    context->rows = pd_corpus_segments(context->corpus, tokenizer, cancellable, error);
    if (!context->rows)
        return FALSE;
    context->documents = pd_corpus_documents(context->corpus, tokenizer, error);
    if (!context->documents)
        return FALSE;
    if (!add_segments(context, error))
        return FALSE;
    if (context->segments->len == 0) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_EMPTY,
                    "%s holds no text yet; add a source: pandect -C %s add FILE-OR-FOLDER",
                    pd_corpus_dir(context->corpus), pd_corpus_dir(context->corpus));
        return FALSE;
    }
    kv_dir = g_build_filename(pd_corpus_dir(context->corpus), "kv", NULL);
    context->store =
        pd_kv_store_open(pd_corpus_db(context->corpus), kv_dir,
                         sqlite3_db_readonly(pd_corpus_db(context->corpus), "main") == 1, error);
    return context->store != NULL;
}

static const char *const mode_names[] = {[PD_READ_AUTO] = "auto",
                                         [PD_READ_WHOLE] = "whole",
                                         [PD_READ_SWEPT] = "swept",
                                         [PD_READ_SPARSE] = "sparse"};

const char *
pd_read_mode_name(PdReadMode mode)
{
    return mode_names[mode];
}

PD_DEFINE_CHOICE_PARSER(pd_parse_read_mode, PdReadMode, mode_names)

/* Blocks of KV are made for heads of 32 to 256 numbers. */
static gboolean
can_be_swept(PdModel *model, GError **error)
{
    int head_dim = pd_model_shape(model)->head_dim;

    if (head_dim % 32 == 0 && head_dim <= 256)
        return TRUE;
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                "%s has heads of %d numbers; a corpus can be swept with heads of a multiple of 32 "
                "up to 256",
                pd_model_name(model), head_dim);
    return FALSE;
}

static gboolean
fits_window(PdModel *model, guint64 n_tokens, GError **error)
{
    int window = pd_model_shape(model)->n_ctx_train;

    if (n_tokens + PD_ANSWER_RESERVE_TOKENS <= (guint64)window)
        return TRUE;
    if (pd_model_deepseek(model))
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_TOO_LONG,
                    "the corpus has %" G_GUINT64_FORMAT " tokens, %s has positions for %d, %d of "
                    "them for question and answer; remove documents, or use a model of another "
                    "family, which can sweep",
                    n_tokens, pd_model_name(model), window, PD_ANSWER_RESERVE_TOKENS);
    else
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_TOO_LONG,
                    "the corpus has %" G_GUINT64_FORMAT
                    " tokens, the model was trained on %d; use --mode swept, or --mode sparse",
                    n_tokens, window);
    return FALSE;
}

gboolean
pd_context_choose_mode(PdModel *model, PdReadMode wanted, guint64 n_tokens, PdReadMode *mode,
                       GError **error)
{
    PdProfile profile = pd_profile_for(pd_model_shape(model));
    gboolean native = pd_model_deepseek(model) != NULL;

    *mode = wanted;
    if (wanted == PD_READ_AUTO)
        *mode = native || n_tokens <= (guint64)profile.read_whole_tokens ? PD_READ_WHOLE
                                                                         : PD_READ_SWEPT;
    if (native && *mode != PD_READ_WHOLE) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s is a DeepSeek-V4 model: its own attention chooses what a question sees, so "
                    "a corpus is not %s; leave --mode out",
                    pd_model_name(model), *mode == PD_READ_SWEPT ? "swept" : "read sparsely");
        return FALSE;
    }
    return *mode == PD_READ_WHOLE   ? fits_window(model, n_tokens, error)
           : *mode == PD_READ_SWEPT ? can_be_swept(model, error)
                                    : TRUE;
}

/* --- the tier --- */

#define TIER_SAMPLES 64

/* The tier that most of the segments looked at are kept in; AUTO: neither. */
static gboolean
kept_tier(PdContext *context, PdKvTier *tier, GCancellable *cancellable, GError **error)
{
    guint n = MIN(context->segments->len, TIER_SAMPLES), n_kept[PD_KV_FULL + 1] = {0};

    for (guint i = 0; i < n; i++) {
        guint at = (guint)((guint64)i * context->segments->len / n);
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, at);

        for (PdKvTier t = PD_KV_INDEX; t <= PD_KV_FULL; t++) {
            guint8 key[PD_KV_KEY_BYTES];
            if (!pd_segment_kv_key_of_tier(context, segment, t, key, cancellable, error))
                return FALSE;
            if (pd_kv_store_has(context->store, key))
                n_kept[t]++;
        }
    }
    *tier = 2 * n_kept[PD_KV_FULL] > n    ? PD_KV_FULL
            : 2 * n_kept[PD_KV_INDEX] > n ? PD_KV_INDEX
                                          : PD_KV_AUTO;
    return TRUE;
}

/* Free bytes where the corpus lies; 0: unknown. */
static guint64
disk_free_bytes(PdCorpus *corpus)
{
    g_autoptr(GFile) folder = g_file_new_for_path(pd_corpus_dir(corpus));
    g_autoptr(GFileInfo) info =
        g_file_query_filesystem_info(folder, G_FILE_ATTRIBUTE_FILESYSTEM_FREE, NULL, NULL);

    return info ? g_file_info_get_attribute_uint64(info, G_FILE_ATTRIBUTE_FILESYSTEM_FREE) : 0;
}

gboolean
pd_context_set_tier(PdContext *context, PdKvTier wanted, GCancellable *cancellable, GError **error)
{
    g_autofree char *why = NULL;
    PdKvTier tier = PD_KV_FULL;

    if (context->mode != PD_READ_SWEPT) {
        why = g_strdup(pd_model_deepseek(context->model)
                           ? "the corpus is read as one text: the model's own compressed state is "
                             "kept"
                           : "the corpus is read as one text: all rows are kept at 16 bits");
    } else {
        if (wanted == PD_KV_AUTO && !kept_tier(context, &tier, cancellable, error))
            return FALSE;
        if (wanted == PD_KV_AUTO && tier != PD_KV_AUTO)
            why = g_strdup("most of the corpus is kept so already");
        else
            tier = pd_kv_choose(context->model, &context->profile, wanted, context->n_tokens,
                                (guint)(context->n_tokens / context->segments->len),
                                disk_free_bytes(context->corpus), &why);
    }
    context->tier = tier;
    g_free(context->tier_why);
    context->tier_why = g_steal_pointer(&why);
    return TRUE;
}

gboolean
pd_context_keeps_rows(const PdContext *context)
{
    return context->tier != PD_KV_INDEX;
}

const PdReadings *
pd_context_readings(const PdContext *context)
{
    return pd_context_keeps_rows(context) ? &context->profile.kept : &context->profile.run;
}

PdContext *
pd_context_new(PdCorpus *corpus, PdModel *model, PdReadMode mode, GCancellable *cancellable,
               GError **error)
{
    g_autoptr(PdContext) context = g_new0(PdContext, 1);

    context->corpus = corpus;
    context->model = pd_model_ref(model);
    context->profile = pd_profile_for(pd_model_shape(model));
    context->segments = g_array_new(FALSE, FALSE, sizeof(PdContextSegment));
    g_array_set_clear_func(context->segments, clear_segment);
    if (!load(context, cancellable, error))
        return NULL;
    context->prefix = pd_layout_prefix(model);
    if (!pd_context_choose_mode(model, mode, context->n_tokens, &context->mode, error) ||
        !pd_context_set_tier(context, PD_KV_AUTO, cancellable, error))
        return NULL;
    return g_steal_pointer(&context);
}

gboolean
pd_context_run_prefix(const PdContext *context, PdSession *session, int n,
                      GCancellable *cancellable, GError **error)
{
    PdRun run = {.tokens = (const gint32 *)context->prefix->data,
                 .n_tokens = (int)context->prefix->len};

    if (!pd_session_run(session, &run, 1, cancellable, NULL, NULL, error))
        return FALSE;
    for (int i = 1; i < n; i++)
        if (!pd_session_share_rows(session, 0, i, run.n_tokens, error))
            return FALSE;
    return TRUE;
}

void
pd_context_free(PdContext *context)
{
    g_clear_pointer(&context->lexical, pd_lexical_free);
    g_free(context->tier_why);
    g_clear_pointer(&context->store, pd_kv_store_free);
    g_clear_pointer(&context->segments, g_array_unref);
    g_clear_pointer(&context->rows, g_ptr_array_unref);
    g_clear_pointer(&context->documents, g_ptr_array_unref);
    g_clear_pointer(&context->prefix, g_array_unref);
    g_clear_pointer(&context->model, pd_model_unref);
    g_free(context);
}
