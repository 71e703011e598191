/* See resume.h. */
#include "engine/resume.h"
#include <string.h>
#include "engine/error.h"
#include "engine/session_internal.h"

#define VERSION 2
#define MAGIC "PDDSROWS"
/* Records that are written with one sync. */
#define GROUP_BYTES ((gsize)16 << 20)

enum { UNIT, SNAPSHOT };

/* --- identity --- */

typedef struct {
    PdModel *model;
    PdDsRun *run; /* NULL: only keys are wanted */
    PdKvStore *store;
    int sequence;
    gboolean mixed;
    int unit_tokens;
    guint8 model_hash[32];
    GPtrArray *chain; /* GChecksum of the tokens before every unit */
} Resume;

static void
resume_clear(Resume *r)
{
    g_clear_pointer(&r->chain, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Resume, resume_clear)

static void
digest(GChecksum *sum, guint8 bytes[32])
{
    gsize n = 32;
    g_checksum_get_digest(sum, bytes, &n);
}

static void
add_tokens(GChecksum *sum, const gint32 *tokens, int n)
{
    for (int i = 0; i < n; i++) {
        guint32 id = GUINT32_TO_LE((guint32)tokens[i]);
        g_checksum_update(sum, (const guchar *)&id, sizeof id);
    }
}

static gboolean
begin(Resume *r, PdModel *model, PdDtype kv_type, const gint32 *tokens, int n_tokens,
      GCancellable *cancellable, GError **error)
{
    const char *id = pd_model_id(model, cancellable, error);
    g_autoptr(GChecksum) hash = g_checksum_new(G_CHECKSUM_SHA256);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    if (id == NULL)
        return FALSE;
    g_assert(model->deepseek != NULL);
    *r = (Resume){.model = model,
                  .mixed = kv_type == PD_Q8_0,
                  .unit_tokens = pd_ds_unit_tokens(&model->deepseek->shape),
                  .chain = g_ptr_array_new_with_free_func((GDestroyNotify)g_checksum_free)};
    g_checksum_update(hash, (const guchar *)id, -1);
    digest(hash, r->model_hash);
    g_ptr_array_add(r->chain, g_checksum_copy(sum));
    for (int unit = 0; unit < n_tokens / r->unit_tokens; unit++) {
        add_tokens(sum, tokens + unit * r->unit_tokens, r->unit_tokens);
        g_ptr_array_add(r->chain, g_checksum_copy(sum));
    }
    return TRUE;
}

static gboolean
begin_session(Resume *r, PdSession *session, int sequence, PdKvStore *store, const gint32 *tokens,
              int n_tokens, GCancellable *cancellable, GError **error)
{
    if (!begin(r, session->model, session->options.kv_type, tokens, n_tokens, cancellable, error))
        return FALSE;
    r->run = session->deepseek;
    r->store = store;
    r->sequence = sequence;
    return TRUE;
}

/* The head of the record of this kind at n_tokens. */
static PdResumeHead
make_head(const Resume *r, int kind, const gint32 *tokens, int n_tokens)
{
    int unit = n_tokens / r->unit_tokens, before = unit * r->unit_tokens;
    g_autoptr(GChecksum) sum = g_checksum_copy(g_ptr_array_index(r->chain, (guint)unit));
    PdResumeHead head = {.version = VERSION,
                         .kind = (guint32)kind,
                         .mixed = (guint32)r->mixed,
                         .n_tokens = (guint32)n_tokens};
    memcpy(head.magic, MAGIC, sizeof head.magic);
    memcpy(head.model, r->model_hash, sizeof head.model);
    add_tokens(sum, tokens + before, n_tokens - before);
    digest(sum, head.tokens);
    return head;
}

/* Everything in the head but what only the record knows. */
static void
make_key(const PdResumeHead *head, guint8 key[PD_KV_KEY_BYTES])
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    PdResumeHead known = *head;
    known.drafted = 0;
    g_checksum_update(sum, (const guchar *)&known, sizeof known);
    digest(sum, key);
}

/* --- saving --- */

/* What is to be written, and what waits to be written together. */
typedef struct {
    const PdResumeOptions *options;
    PdResumeReport *report;
    int end;                            /* of the sequence */
    guint8 superseded[PD_KV_KEY_BYTES]; /* of options->superseded */
    GPtrArray *blocks;                  /* key, then the record */
    GArray *records;                    /* PdKvRecord */
    gsize n_bytes;
} Group;

static void
group_clear(Group *g)
{
    g_clear_pointer(&g->blocks, g_ptr_array_unref);
    g_clear_pointer(&g->records, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Group, group_clear)

static gboolean
flush(const Resume *r, Group *g, GError **error)
{
    gboolean ok = pd_kv_store_put_many(r->store, (const PdKvRecord *)(gpointer)g->records->data,
                                       g->records->len, error);
    g_array_set_size(g->records, 0);
    g_ptr_array_set_size(g->blocks, 0);
    g->n_bytes = 0;
    return ok;
}

/* Room for the n_bytes behind the head of a new record of the group, or NULL. */
static guint8 *
add_record(const Resume *r, Group *g, const guint8 *key, const PdResumeHead *head, gsize n_bytes,
           GError **error)
{
    gsize n = sizeof *head + n_bytes, unit = (head->n_tokens - 1) / (gsize)r->unit_tokens;
    guint8 *block = g_try_malloc(PD_KV_KEY_BYTES + n), *data;
    PdKvRecord record = {.kind = head->kind == UNIT ? "unit" : "snapshot", .n_bytes = n};
    if (g->options->owners != NULL)
        record.owner = g->options->owners + unit * PD_KV_KEY_BYTES;
    if (head->kind == SNAPSHOT && head->n_tokens == (guint32)g->end && g->options->superseded > 0)
        record.replaces = g->superseded;
    if (block == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "no memory for a record of %" G_GSIZE_FORMAT " bytes", n);
        return NULL;
    }
    data = block + PD_KV_KEY_BYTES;
    memcpy(block, key, PD_KV_KEY_BYTES);
    memcpy(data, head, sizeof *head);
    record.key = block;
    record.data = data;
    g_ptr_array_add(g->blocks, block);
    g_array_append_val(g->records, record);
    g->n_bytes += n;
    return data + sizeof *head;
}

static gboolean
save_unit(const Resume *r, Group *g, const gint32 *tokens, int unit, GError **error)
{
    PdResumeHead head = make_head(r, UNIT, tokens, (unit + 1) * r->unit_tokens);
    gsize n_bytes = pd_ds_run_unit_bytes(r->run);
    guint8 key[PD_KV_KEY_BYTES], *place;
    make_key(&head, key);
    if (pd_kv_store_has(r->store, key))
        return TRUE;
    place = add_record(r, g, key, &head, n_bytes, error);
    if (place == NULL)
        return FALSE;
    pd_ds_run_save_unit(r->run, r->sequence, unit, place);
    g->report->n_units++;
    g->report->n_unit_bytes += sizeof head + n_bytes;
    return g->n_bytes < GROUP_BYTES || flush(r, g, error);
}

static gboolean
save_snapshot(const Resume *r, Group *g, const gint32 *tokens, int n_tokens, GError **error)
{
    gboolean drafted;
    const guint8 *bytes = pd_ds_run_snapshot(r->run, r->sequence, n_tokens, &drafted);
    guint8 key[PD_KV_KEY_BYTES], *place;
    if (bytes == NULL)
        return TRUE;
    PdResumeHead head = make_head(r, SNAPSHOT, tokens, n_tokens);
    gsize n_bytes = pd_ds_run_snapshot_bytes(r->run, n_tokens, drafted);
    head.drafted = (guint32)drafted;
    make_key(&head, key);
    if (pd_kv_store_has(r->store, key))
        return TRUE;
    place = add_record(r, g, key, &head, n_bytes, error);
    if (place == NULL)
        return FALSE;
    memcpy(place, bytes, n_bytes);
    g->report->n_snapshots++;
    g->report->n_snapshot_bytes += sizeof head + n_bytes;
    return g->n_bytes < GROUP_BYTES || flush(r, g, error);
}

static gboolean
save_all(const Resume *r, Group *g, const gint32 *tokens, int n_tokens, GCancellable *cancellable,
         GError **error)
{
    /* Units first: a snapshot without them is of no use. */
    for (int unit = 0; unit < n_tokens / r->unit_tokens; unit++) {
        if (g_cancellable_set_error_if_cancelled(cancellable, error) ||
            !save_unit(r, g, tokens, unit, error))
            return FALSE;
    }
    for (int unit = 1; unit <= (n_tokens - 1) / r->unit_tokens; unit++) {
        if (!save_snapshot(r, g, tokens, unit * r->unit_tokens, error))
            return FALSE;
    }
    return save_snapshot(r, g, tokens, n_tokens, error) && flush(r, g, error);
}

gboolean
pd_resume_save(PdSession *session, int sequence, PdKvStore *store, const PdResumeOptions *options,
               PdResumeReport *report, GCancellable *cancellable, GError **error)
{
    static const PdResumeOptions none;
    const gint32 *tokens = pd_session_tokens(session, sequence);
    int n_tokens = pd_session_n_tokens(session, sequence);
    PdResumeReport unused;
    g_auto(Resume) r = {0};
    g_auto(Group) g = {.options = options != NULL ? options : &none,
                       .report = report != NULL ? report : &unused,
                       .end = n_tokens,
                       .blocks = g_ptr_array_new_with_free_func(g_free),
                       .records = g_array_new(FALSE, FALSE, sizeof(PdKvRecord))};
    *g.report = (PdResumeReport){0};
    if (!begin_session(&r, session, sequence, store, tokens, n_tokens, cancellable, error))
        return FALSE;
    if (g.options->superseded > 0) {
        PdResumeHead head = make_head(&r, SNAPSHOT, tokens, g.options->superseded);
        make_key(&head, g.superseded);
    }
    if (!pd_session_mark(session, sequence, error))
        return FALSE;
    return save_all(&r, &g, tokens, n_tokens, cancellable, error);
}

/* --- loading --- */

static gboolean
has_record(const Resume *r, int kind, const gint32 *tokens, int n_tokens)
{
    PdResumeHead head = make_head(r, kind, tokens, n_tokens);
    guint8 key[PD_KV_KEY_BYTES];
    make_key(&head, key);
    return pd_kv_store_has(r->store, key);
}

/* The last token with a snapshot whose units are all there; 0: none. */
static int
find_snapshot(const Resume *r, const gint32 *tokens, int n_tokens)
{
    int n_units = 0, last;
    while (n_units < n_tokens / r->unit_tokens &&
           has_record(r, UNIT, tokens, (n_units + 1) * r->unit_tokens))
        n_units++;
    last = n_units < n_tokens / r->unit_tokens ? (n_units + 1) * r->unit_tokens - 1 : n_tokens;
    while (last > 0 && !has_record(r, SNAPSHOT, tokens, last))
        last--;
    return last;
}

/* What is wrong with a record that must begin with `head`, but for `drafted`; NULL: nothing. */
static const char *
find_fault(const PdResumeHead *got, gsize n_bytes, const PdResumeHead *head)
{
    if (n_bytes < sizeof *head || memcmp(got->magic, head->magic, sizeof head->magic) != 0 ||
        got->version != head->version || got->kind != head->kind || got->zero != 0)
        return "is no record of a DeepSeek model's state";
    if (memcmp(got->model, head->model, sizeof head->model) != 0)
        return "was made by other weights";
    if (got->mixed != head->mixed)
        return "was made in another precision";
    if (got->n_tokens != head->n_tokens)
        return "is of another position";
    if (memcmp(got->tokens, head->tokens, sizeof head->tokens) != 0)
        return "was made from other tokens";
    return NULL;
}

/* The checked record of this kind at n_tokens. */
static GBytes *
get_record(const Resume *r, int kind, const gint32 *tokens, int n_tokens, gboolean *drafted,
           guint8 *damaged, GError **error)
{
    PdResumeHead head = make_head(r, kind, tokens, n_tokens);
    guint8 key[PD_KV_KEY_BYTES];
    make_key(&head, key);
    if (damaged != NULL)
        memcpy(damaged, key, sizeof key);
    g_autoptr(GBytes) bytes = pd_kv_store_get(r->store, key, error);
    if (bytes == NULL)
        return NULL;
    gsize n_bytes;
    const PdResumeHead *got = g_bytes_get_data(bytes, &n_bytes);
    const char *fault = find_fault(got, n_bytes, &head);
    if (fault == NULL && (got->drafted > (guint32)r->model->deepseek->has_draft ||
                          (kind == UNIT && got->drafted != 0)))
        fault = "speaks of a draft block that is not there";
    *drafted = fault == NULL && got->drafted != 0;
    if (fault == NULL && n_bytes - sizeof head !=
                             (kind == UNIT ? pd_ds_run_unit_bytes(r->run)
                                           : pd_ds_run_snapshot_bytes(r->run, n_tokens, *drafted)))
        fault = "has another size than the model's state";
    if (fault != NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT,
                    "%s: the kept %s at token %d %s; nothing was changed, reading the text again "
                    "does without it",
                    r->model->name, kind == UNIT ? "rows" : "snapshot", n_tokens, fault);
        return NULL;
    }
    return g_steal_pointer(&bytes);
}

static const guint8 *
payload(GBytes *bytes)
{
    return (const guint8 *)g_bytes_get_data(bytes, NULL) + sizeof(PdResumeHead);
}

static gboolean
load_state(const Resume *r, const gint32 *tokens, int n_tokens, guint8 *damaged,
           GCancellable *cancellable, GError **error)
{
    gboolean drafted, unused;
    g_autoptr(GBytes) snapshot =
        get_record(r, SNAPSHOT, tokens, n_tokens, &drafted, damaged, error);
    if (snapshot == NULL)
        return FALSE;
    for (int unit = 0; unit < n_tokens / r->unit_tokens; unit++) {
        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return FALSE;
        g_autoptr(GBytes) rows =
            get_record(r, UNIT, tokens, (unit + 1) * r->unit_tokens, &unused, damaged, error);
        if (rows == NULL)
            return FALSE;
        pd_ds_run_load_unit(r->run, r->sequence, unit, payload(rows));
    }
    pd_ds_run_load_snapshot(r->run, r->sequence, n_tokens, drafted, payload(snapshot));
    return TRUE;
}

static gboolean
check_place(const PdSession *s, int sequence, int n_tokens, GError **error)
{
    g_assert(sequence >= 0 && sequence < s->options.n_sequences);
    if (s->n_tokens[sequence] == 0 && n_tokens >= 0 && n_tokens <= s->options.max_tokens)
        return TRUE;
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                "sequence %d holds %d of at most %d tokens; %d are restored into an empty one only",
                sequence, s->n_tokens[sequence], s->options.max_tokens, n_tokens);
    return FALSE;
}

gboolean
pd_resume_load(PdSession *s, int sequence, const gint32 *tokens, int n_tokens, PdKvStore *store,
               int *n_restored, guint8 damaged[PD_KV_KEY_BYTES], GCancellable *cancellable,
               GError **error)
{
    g_auto(Resume) r = {0};
    int found;
    if (!check_place(s, sequence, n_tokens, error) ||
        !begin_session(&r, s, sequence, store, tokens, n_tokens, cancellable, error))
        return FALSE;
    found = find_snapshot(&r, tokens, n_tokens);
    if (n_restored == NULL && found != n_tokens) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND,
                    "%s: there is no snapshot of these weights at token %d of this text; the last "
                    "one before is at %d",
                    s->model->name, n_tokens, found);
        return FALSE;
    }
    pd_ds_run_clear(r.run, sequence);
    if (found > 0 && !load_state(&r, tokens, found, damaged, cancellable, error))
        return FALSE;
    if (found > 0)
        memcpy(s->tokens + (gsize)sequence * (gsize)s->options.max_tokens, tokens,
               (gsize)found * sizeof *tokens);
    s->n_tokens[sequence] = found;
    if (n_restored != NULL)
        *n_restored = found;
    return TRUE;
}

gboolean
pd_resume_find(PdModel *model, PdDtype kv_type, const gint32 *tokens, int n_tokens,
               PdKvStore *store, int *n_found, GCancellable *cancellable, GError **error)
{
    g_auto(Resume) r = {0};
    if (!begin(&r, model, kv_type, tokens, n_tokens, cancellable, error))
        return FALSE;
    r.store = store;
    *n_found = find_snapshot(&r, tokens, n_tokens);
    return TRUE;
}

/* --- keys and sizes --- */

static void
add_key(const Resume *r, int kind, const gint32 *tokens, int n_tokens, GByteArray *keys)
{
    PdResumeHead head = make_head(r, kind, tokens, n_tokens);
    guint8 key[PD_KV_KEY_BYTES];
    make_key(&head, key);
    g_byte_array_append(keys, key, sizeof key);
}

GByteArray *
pd_resume_keys(PdModel *model, PdDtype kv_type, const gint32 *tokens, int n_tokens,
               GCancellable *cancellable, GError **error)
{
    g_auto(Resume) r = {0};
    if (!begin(&r, model, kv_type, tokens, n_tokens, cancellable, error))
        return NULL;
    GByteArray *keys = g_byte_array_new();
    for (int unit = 1; unit <= n_tokens / r.unit_tokens; unit++) {
        add_key(&r, UNIT, tokens, unit * r.unit_tokens, keys);
        add_key(&r, SNAPSHOT, tokens, unit * r.unit_tokens, keys);
    }
    if (n_tokens % r.unit_tokens != 0)
        add_key(&r, SNAPSHOT, tokens, n_tokens, keys);
    return keys;
}

guint64
pd_resume_bytes(const PdModel *model, const PdSessionOptions *options, int n_tokens)
{
    PdDsRunOptions run = pd_session_deepseek_options(model, options);
    int unit_tokens = pd_ds_unit_tokens(&model->deepseek->shape);
    gint64 anchor_tokens = (gint64)unit_tokens * run.anchor_units;
    guint64 n_records = (guint64)(n_tokens / unit_tokens + n_tokens / anchor_tokens +
                                  (n_tokens % anchor_tokens != 0 ? 1 : 0));
    return n_records * sizeof(PdResumeHead) + pd_ds_kept_bytes(model->deepseek, &run, n_tokens);
}
