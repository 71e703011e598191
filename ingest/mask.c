/* Masking documents: see mask.h. */
#include "ingest/mask.h"

#include <string.h>
#include "ingest/secrets.h"

#define MARK_HEAD "[secret:"

/* The number of a secret among the different ones of its text, from 1. */
static guint
number_of(GHashTable *numbers, const char *secret, gsize n)
{
    g_autoptr(GBytes) key = g_bytes_new(secret, n);
    guint number = GPOINTER_TO_UINT(g_hash_table_lookup(numbers, key));
    if (!number) {
        number = g_hash_table_size(numbers) + 1;
        g_hash_table_insert(numbers, g_steal_pointer(&key), GUINT_TO_POINTER(number));
    }
    return number;
}

/* NULL: there is no secret in it, the text is as it was. */
static PdTextView *
mask_text(GString *text)
{
    g_autoptr(GArray) secrets = g_array_new(FALSE, FALSE, sizeof(PdSecret));
    pd_secrets_find(text->str, text->len, secrets);
    if (secrets->len == 0)
        return NULL;
    g_autoptr(GHashTable) numbers =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
    g_autoptr(GStringChunk) marks = g_string_chunk_new(1024);
    g_autofree PdReplacement *replacements = g_new(PdReplacement, secrets->len);
    for (guint i = 0; i < secrets->len; i++) {
        const PdSecret *secret = &g_array_index(secrets, PdSecret, i);
        guint number = number_of(numbers, text->str + secret->start, secret->end - secret->start);
        g_autofree char *mark = g_strdup_printf(MARK_HEAD "%s#%u]", secret->kind, number);
        replacements[i] = (PdReplacement){secret->start, secret->end,
                                          g_string_chunk_insert(marks, mark), PD_MARK_SECRET};
    }
    return pd_text_view_new(text, replacements, secrets->len);
}

void
pd_mask_document(PdDocument *document)
{
    for (guint i = 0; i < document->parts->len; i++) {
        PdPart *part = g_ptr_array_index(document->parts, i);
        part->view = mask_text(part->text);
    }
    if (document->title) {
        g_autoptr(GString) title = g_string_new(document->title);
        g_autoptr(PdTextView) view = mask_text(title);
        if (view) {
            g_free(document->title);
            document->title = g_strdup(title->str);
        }
    }
}

guint
pd_mask_count(const PdTextView *view, const char *text, gsize n_bytes, GHashTable *kinds)
{
    const gsize n_head = strlen(MARK_HEAD);
    guint n_secrets = 0;
    for (guint i = 0; i < view->marks->len; i++) {
        const PdMark *mark = &g_array_index(view->marks, PdMark, i);
        if (mark->kind != PD_MARK_SECRET || mark->end > n_bytes || mark->end - mark->start < n_head)
            continue;
        g_autofree char *kind =
            g_strndup(text + mark->start + n_head, mark->end - mark->start - n_head);
        kind[strcspn(kind, "#")] = 0;
        guint n = GPOINTER_TO_UINT(g_hash_table_lookup(kinds, kind));
        g_hash_table_insert(kinds, g_steal_pointer(&kind), GUINT_TO_POINTER(n + 1));
        n_secrets++;
    }
    return n_secrets;
}
