/* Masking documents: see mask.h. */
#include "ingest/mask.h"

#include <string.h>
#include "ingest/secrets.h"

#define MARK_HEAD "[secret:"
#define HIDDEN_MARK "[hidden text]"

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

static void
add_secrets(const GString *text, GStringChunk *marks, GArray *replacements)
{
    g_autoptr(GArray) secrets = g_array_new(FALSE, FALSE, sizeof(PdSecret));
    g_autoptr(GHashTable) numbers =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
    pd_secrets_find(text->str, text->len, secrets);
    for (guint i = 0; i < secrets->len; i++) {
        const PdSecret *secret = &g_array_index(secrets, PdSecret, i);
        guint number = number_of(numbers, text->str + secret->start, secret->end - secret->start);
        g_autofree char *mark = g_strdup_printf(MARK_HEAD "%s#%u]", secret->kind, number);
        PdReplacement replacement = {secret->start, secret->end, g_string_chunk_insert(marks, mark),
                                     PD_MARK_SECRET};
        g_array_append_val(replacements, replacement);
    }
}

/* Hidden text between the secrets; a secret that it touches goes with it. */
static GArray *
merge_hidden(const GArray *secrets, const GArray *hidden)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(PdReplacement));
    guint next = 0;
    for (guint i = 0; i < hidden->len; i++) {
        const PdTextRange *range = &g_array_index(hidden, PdTextRange, i);
        PdReplacement whole = {range->start, range->end, HIDDEN_MARK, PD_MARK_HIDDEN};
        for (; next < secrets->len; next++) {
            const PdReplacement *secret = &g_array_index(secrets, PdReplacement, next);
            if (secret->start >= whole.end)
                break;
            if (secret->end <= whole.start) {
                g_array_append_val(all, *secret);
                continue;
            }
            whole.start = MIN(whole.start, secret->start);
            whole.end = MAX(whole.end, secret->end);
        }
        PdReplacement *last = all->len ? &g_array_index(all, PdReplacement, all->len - 1) : NULL;
        if (last && last->end > whole.start) /* one secret reached over two */
            last->end = MAX(last->end, whole.end);
        else
            g_array_append_val(all, whole);
    }
    if (next < secrets->len)
        g_array_append_vals(all, &g_array_index(secrets, PdReplacement, next), secrets->len - next);
    return all;
}

GArray *
pd_mask_find(const PdPart *part, GStringChunk *marks)
{
    g_autoptr(GArray) secrets = g_array_new(FALSE, FALSE, sizeof(PdReplacement));
    add_secrets(part->text, marks, secrets);
    return part->hidden ? merge_hidden(secrets, part->hidden) : g_steal_pointer(&secrets);
}

void
pd_mask_title(PdDocument *document)
{
    g_autoptr(GStringChunk) marks = g_string_chunk_new(1024);
    g_autoptr(GArray) secrets = g_array_new(FALSE, FALSE, sizeof(PdReplacement));
    g_autoptr(GString) title = g_string_new(document->title);
    add_secrets(title, marks, secrets);
    if (!secrets->len)
        return;
    g_autoptr(PdTextView) view =
        pd_text_view_new(title, (const PdReplacement *)(gpointer)secrets->data, secrets->len);
    g_free(document->title);
    document->title = g_strdup(title->str);
}

gboolean
pd_mask_is_any(const PdTextView *view)
{
    for (guint i = 0; i < view->marks->len; i++)
        if (pd_mark_is_mask(&g_array_index(view->marks, PdMark, i)))
            return TRUE;
    return FALSE;
}

guint
pd_mask_count(const PdTextView *view, const char *text, gsize n_bytes, GHashTable *kinds,
              gsize *n_masked_bytes)
{
    const gsize n_head = strlen(MARK_HEAD);
    guint n_secrets = 0;
    for (guint i = 0; i < view->marks->len; i++) {
        const PdMark *mark = &g_array_index(view->marks, PdMark, i);
        if (pd_mark_is_mask(mark))
            *n_masked_bytes += mark->original_end - mark->original_start;
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
