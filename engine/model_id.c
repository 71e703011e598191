/*
 * The identity of a model: what its numbers depend on.
 *
 *   digest of a tensor = SHA-256(name, 0, type, 0, n_dims, dims, data)
 *   digest of a file   = SHA-256(the tensors' digests, in the order of the file)
 *   id                 = SHA-256(layout word, the shape as text, RoPE factors, the files' digests)
 *
 * Tensors are hashed in parallel, since SHA-256 without special instructions makes a few hundred
 * MB/s.  File digests are cached in pandect/model-ids/ of the XDG cache folder under a hash of
 * path, size, modification time and inode; a cache that cannot be read or written costs time only.
 */
#include <glib/gstdio.h>
#include <string.h>
#include "engine/error.h"
#include "engine/model_internal.h"
#include "engine/safetensors.h"

#define DIGEST_BYTES 32
#define CHUNK_BYTES (8u << 20)

typedef struct {
    const char *name;
    const char *type;
    guint32 n_dims;
    const guint64 *dims;
    const guint8 *data;
    gsize n_bytes;
} Tensor;

typedef struct {
    const Tensor *tensors;
    guint n_tensors;
    guint8 (*digests)[DIGEST_BYTES];
    gint next; /* atomic */
    GCancellable *cancellable;
} HashJob;

static void
hash_tensor(const Tensor *t, GCancellable *cancellable, guint8 digest[DIGEST_BYTES])
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (const guint8 *)t->name, (gssize)strlen(t->name) + 1);
    g_checksum_update(sum, (const guint8 *)t->type, (gssize)strlen(t->type) + 1);
    guint32 n_dims = GUINT32_TO_LE(t->n_dims);
    g_checksum_update(sum, (const guint8 *)&n_dims, sizeof n_dims);
    for (guint32 i = 0; i < t->n_dims; i++) {
        guint64 dim = GUINT64_TO_LE(t->dims[i]);
        g_checksum_update(sum, (const guint8 *)&dim, sizeof dim);
    }
    for (gsize at = 0; at < t->n_bytes && !g_cancellable_is_cancelled(cancellable);
         at += CHUNK_BYTES)
        g_checksum_update(sum, t->data + at, (gssize)MIN(CHUNK_BYTES, t->n_bytes - at));
    gsize n = DIGEST_BYTES;
    g_checksum_get_digest(sum, digest, &n);
}

static gpointer
hash_worker(gpointer data)
{
    HashJob *job = data;
    for (;;) {
        guint i = (guint)g_atomic_int_add(&job->next, 1);
        if (i >= job->n_tensors || g_cancellable_is_cancelled(job->cancellable))
            return NULL;
        hash_tensor(&job->tensors[i], job->cancellable, job->digests[i]);
    }
}

/* Hex digest of one file's tensors. */
static char *
hash_tensors(const Tensor *tensors, guint n_tensors, int n_threads, GCancellable *cancellable,
             GError **error)
{
    g_autofree guint8(*digests)[DIGEST_BYTES] = g_malloc0_n(MAX(n_tensors, 1), DIGEST_BYTES);
    HashJob job = {tensors, n_tensors, digests, 0, cancellable};
    g_autoptr(GPtrArray) threads = g_ptr_array_new();
    for (int i = 1; i < n_threads; i++) {
        GThread *thread = g_thread_try_new("model-id", hash_worker, &job, NULL);
        if (thread != NULL) /* else this thread does its share */
            g_ptr_array_add(threads, thread);
    }
    hash_worker(&job);
    for (guint i = 0; i < threads->len; i++)
        g_thread_join(g_ptr_array_index(threads, i));
    if (g_cancellable_is_cancelled(cancellable)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED, "stopped");
        return NULL;
    }
    return g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)digests,
                                       (gsize)n_tensors * DIGEST_BYTES);
}

static GArray *
gguf_tensors(const PdGguf *gguf, guint file)
{
    GArray *tensors = g_array_new(FALSE, FALSE, sizeof(Tensor));
    for (gsize i = 0; i < pd_gguf_n_tensors(gguf); i++) {
        const PdGgufTensor *t = pd_gguf_tensor(gguf, i);
        Tensor tensor = {t->name, t->dtype, (guint32)t->n_dims, t->dims, t->data, t->n_bytes};
        if (t->file == file)
            g_array_append_val(tensors, tensor);
    }
    return tensors;
}

static GArray *
safetensors_tensors(const PdSafetensors *st)
{
    GArray *tensors = g_array_new(FALSE, FALSE, sizeof(Tensor));
    for (gsize i = 0; i < pd_safetensors_n_tensors(st); i++) {
        const PdSafetensor *t = pd_safetensors_tensor(st, i);
        Tensor tensor = {t->name, t->dtype, (guint32)t->n_dims, t->dims, t->data, t->n_bytes};
        g_array_append_val(tensors, tensor);
    }
    return tensors;
}

/* Where the digest of this file is cached; NULL if the file cannot be examined. */
static char *
cache_path(const char *path)
{
    GStatBuf st;
    g_autofree char *absolute = g_canonicalize_filename(path, NULL);
    if (g_stat(absolute, &st) != 0)
        return NULL;
    g_autofree char *identity = g_strdup_printf(
        "1\n%s\n%" G_GINT64_FORMAT "\n%" G_GINT64_FORMAT ".%09ld\n%" G_GUINT64_FORMAT, absolute,
        (gint64)st.st_size, (gint64)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec,
        (guint64)st.st_ino);
    g_autofree char *key = g_compute_checksum_for_string(G_CHECKSUM_SHA256, identity, -1);
    return g_build_filename(g_get_user_cache_dir(), "pandect", "model-ids", key, NULL);
}

static char *
read_cached(const char *cached)
{
    g_autofree char *text = NULL;
    if (cached == NULL || !g_file_get_contents(cached, &text, NULL, NULL))
        return NULL;
    g_strchomp(text);
    if (strlen(text) != 2 * DIGEST_BYTES || strspn(text, "0123456789abcdef") != 2 * DIGEST_BYTES)
        return NULL;
    return g_steal_pointer(&text);
}

static void
write_cached(const char *cached, const char *digest)
{
    g_autofree char *folder = cached != NULL ? g_path_get_dirname(cached) : NULL;
    if (folder != NULL && g_mkdir_with_parents(folder, 0755) == 0)
        g_file_set_contents(cached, digest, -1, NULL);
}

static gboolean
add_file(const PdModel *model, const char *path, GArray *tensors, GChecksum *sum,
         GCancellable *cancellable, GError **error)
{
    g_autofree char *cached = path != NULL ? cache_path(path) : NULL;
    g_autofree char *digest = read_cached(cached);
    if (digest == NULL) {
        int n_threads = model->device->ops->info(model->device).n_threads;
        digest = hash_tensors((const Tensor *)tensors->data, tensors->len, n_threads, cancellable,
                              error);
        if (digest == NULL)
            return FALSE;
        write_cached(cached, digest);
    }
    g_checksum_update(sum, (const guint8 *)digest, -1);
    return TRUE;
}

/* The shape, every number exact. */
static void
add_shape(const PdModel *model, GChecksum *sum)
{
    const PdModelShape *s = &model->shape;
    g_autoptr(GString) text = g_string_new("pandect-model 1\n");
    g_string_append_printf(text, "%s %d %d %d %d %d %d %d %d %d %d %a %a %a %a %a\n", s->arch,
                           s->n_layers, s->n_embd, s->n_ff, s->n_heads, s->n_kv_heads, s->head_dim,
                           s->n_vocab, s->window, (int)s->rope_kind, (int)s->activation, s->rms_eps,
                           s->rope_theta, s->rope_theta_local, s->embd_scale, s->attn_scale);
    for (int i = 0; i < s->n_layers; i++)
        g_string_append_c(text, model->layers[i].local ? 'l' : 'g');
    for (int i = 0; model->rope_factors != NULL && i < s->head_dim / 2; i++)
        g_string_append_printf(text, " %a", model->rope_factors[i]);
    gboolean tied = model->output.mem.buffer == model->token_embd.mem.buffer &&
                    model->output.mem.offset_bytes == model->token_embd.mem.offset_bytes;
    g_string_append(text, tied ? " tied\n" : " untied\n");
    if (model->deepseek != NULL)
        pd_ds_shape_describe(&model->deepseek->shape, text);
    g_checksum_update(sum, (const guint8 *)text->str, (gssize)text->len);
}

static char *
compute_id(const PdModel *model, GCancellable *cancellable, GError **error)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    add_shape(model, sum);
    for (guint i = 0; model->gguf != NULL && i < pd_gguf_n_files(model->gguf); i++) {
        g_autoptr(GArray) tensors = gguf_tensors(model->gguf, i);
        if (!add_file(model, pd_gguf_name(model->gguf, i), tensors, sum, cancellable, error))
            return NULL;
    }
    for (guint i = 0; model->shards != NULL && i < model->shards->len; i++) {
        const PdSafetensors *st = g_ptr_array_index(model->shards, i);
        g_autoptr(GArray) tensors = safetensors_tensors(st);
        if (!add_file(model, pd_safetensors_name(st), tensors, sum, cancellable, error))
            return NULL;
    }
    return g_strdup(g_checksum_get_string(sum));
}

const char *
pd_model_id(PdModel *model, GCancellable *cancellable, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&model->id_lock);
    if (model->id == NULL)
        model->id = compute_id(model, cancellable, error);
    return model->id;
}
