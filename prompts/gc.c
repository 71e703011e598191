/* See gc.h. */
#include "prompts/gc.h"

#include <string.h>
#include "prompts/layout.h"
#include "prompts/owner.h"
#include "prompts/segment_kv.h"
#include "prompts/whole.h"

/* ---- sets of 32-byte hashes ---- */

static guint
hash32(gconstpointer key)
{
    guint hash;

    memcpy(&hash, key, sizeof hash); /* it is a hash already */
    return hash;
}

static gboolean
equal32(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, PD_KV_KEY_BYTES) == 0;
}

static GHashTable *
new_set(void)
{
    return g_hash_table_new_full(hash32, equal32, g_free, NULL);
}

static void
add_to_set(GHashTable *set, const guint8 hash[PD_KV_KEY_BYTES])
{
    g_hash_table_add(set, g_memdup2(hash, PD_KV_KEY_BYTES));
}

/* ---- by what the corpus holds ---- */

typedef struct {
    GHashTable *owners;
    GChecksum *chain;
    gint64 tokenizer; /* of the chain */
} Owners;

static void
end_chain(Owners *owners)
{
    guint8 owner[PD_KV_KEY_BYTES];

    if (!owners->chain)
        return;
    pd_owner_chain_get(owners->chain, TRUE, owner);
    add_to_set(owners->owners, owner);
    g_clear_pointer(&owners->chain, g_checksum_free);
}

static void
add_owner(gint64 tokenizer, const PdDocumentRow *document, const PdPartRow *part,
          const PdSegmentRow *segment, gpointer user_data)
{
    Owners *owners = user_data;
    g_autofree char *header = NULL;
    guint8 owner[PD_KV_KEY_BYTES];

    if (segment->n_tokens == 0)
        return;
    if (owners->tokenizer != tokenizer)
        end_chain(owners);
    owners->tokenizer = tokenizer;
    if (!owners->chain)
        owners->chain = pd_owner_chain();
    header = pd_layout_header_text(document, part);
    pd_owner_segment(header, segment->ids, segment->n_tokens, owner);
    add_to_set(owners->owners, owner);
    pd_owner_chain_add(owners->chain, owner);
    pd_owner_chain_get(owners->chain, FALSE, owner);
    add_to_set(owners->owners, owner);
}

static gboolean
owner_is_live(const guint8 *key, const char *kind, const guint8 *owner, gpointer owners)
{
    return !owner || g_hash_table_contains(owners, owner);
}

static gboolean
owner_is_known_live(const guint8 *key, const char *kind, const guint8 *owner, gpointer owners)
{
    return owner && g_hash_table_contains(owners, owner);
}

static gboolean
collect(PdCorpus *corpus, gboolean dry_run, gboolean erase, PdKvGcReport *report,
        GCancellable *cancellable, GError **error)
{
    g_autofree char *dir = g_build_filename(pd_corpus_dir(corpus), "kv", NULL);
    g_autoptr(GHashTable) set = new_set();
    Owners owners = {.owners = set};
    g_autoptr(PdKvStore) store = NULL;
    gboolean ok;

    *report = (PdKvGcReport){0};
    if (!g_file_test(dir, G_FILE_TEST_IS_DIR))
        return TRUE; /* no model has read anything yet */
    ok = pd_corpus_each_segment(corpus, add_owner, &owners, cancellable, error);
    end_chain(&owners);
    if (!ok)
        return FALSE;
    store = pd_kv_store_open(pd_corpus_db(corpus), dir, dry_run, error);
    if (!store)
        return FALSE;
    return erase ? pd_kv_store_erase(store, owner_is_known_live, set, report, cancellable, error)
                 : pd_kv_store_gc(store, owner_is_live, set, dry_run, report, cancellable, error);
}

gboolean
pd_corpus_gc(PdCorpus *corpus, gboolean dry_run, PdKvGcReport *report, GCancellable *cancellable,
             GError **error)
{
    return collect(corpus, dry_run, FALSE, report, cancellable, error);
}

gboolean
pd_corpus_erase_kv(PdCorpus *corpus, PdKvGcReport *report, GCancellable *cancellable,
                   GError **error)
{
    return collect(corpus, FALSE, TRUE, report, cancellable, error);
}

/* ---- by what a model can use ---- */

static gboolean
add_segment_keys(PdContext *context, GHashTable *keys, GCancellable *cancellable, GError **error)
{
    for (guint i = 0; i < context->segments->len; i++) {
        guint8 key[PD_KV_KEY_BYTES];
        if (!pd_segment_kv_key(context, &g_array_index(context->segments, PdContextSegment, i), key,
                               cancellable, error))
            return FALSE;
        add_to_set(keys, key);
    }
    return TRUE;
}

/* Of the corpus read as one text in `mode`. */
static gboolean
add_chunk_keys(PdContext *context, PdReadMode mode, GHashTable *keys, GCancellable *cancellable,
               GError **error)
{
    const PdReadMode own = context->mode;
    g_autoptr(GByteArray) chunks = NULL;

    context->mode = mode;
    chunks = pd_whole_keys(context, cancellable, error);
    context->mode = own;
    for (guint i = 0; chunks && i < chunks->len; i += PD_KV_KEY_BYTES)
        add_to_set(keys, chunks->data + i);
    return chunks != NULL;
}

static gboolean
add_all_keys(PdContext *context, GHashTable *keys, GCancellable *cancellable, GError **error)
{
    static const PdKvTier tiers[] = {PD_KV_INDEX, PD_KV_FULL};
    const PdKvTier tier = context->tier;
    gboolean ok = TRUE;

    if (pd_model_deepseek(context->model))
        return add_chunk_keys(context, PD_READ_WHOLE, keys, cancellable, error);
    for (gsize i = 0; ok && i < G_N_ELEMENTS(tiers); i++) {
        context->tier = tiers[i];
        ok = add_segment_keys(context, keys, cancellable, error);
    }
    context->tier = tier;
    if (!ok || !add_chunk_keys(context, PD_READ_SPARSE, keys, cancellable, error))
        return FALSE;
    if (context->n_tokens > (guint64)pd_model_shape(context->model)->n_ctx_train)
        return TRUE; /* never read whole */
    return add_chunk_keys(context, PD_READ_WHOLE, keys, cancellable, error);
}

static gboolean
key_is_live(const guint8 *key, const char *kind, const guint8 *owner, gpointer keys)
{
    return g_hash_table_contains(keys, key);
}

gboolean
pd_context_gc(PdContext *context, gboolean dry_run, PdKvGcReport *report, GCancellable *cancellable,
              GError **error)
{
    g_autoptr(GHashTable) keys = new_set();

    return add_all_keys(context, keys, cancellable, error) &&
           pd_kv_store_gc(context->store, key_is_live, keys, dry_run, report, cancellable, error);
}
