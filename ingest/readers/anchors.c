/* See anchors.h. */
#include "ingest/readers/anchors.h"

#include "ingest/readers/charset.h"

/* So much of the text is quoted. */
#define QUOTE_BYTES_MAX 200

typedef struct {
    GString *text;
    guint block; /* where it begins */
    gboolean open;
} Anchor;

struct PdAnchors {
    GHashTable *by_id;
    guint n_open;
};

static void
anchor_free(gpointer data)
{
    g_string_free(((Anchor *)data)->text, TRUE);
    g_free(data);
}

PdAnchors *
pd_anchors_new(void)
{
    PdAnchors *anchors = g_new0(PdAnchors, 1);
    anchors->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, anchor_free);
    return anchors;
}

void
pd_anchors_free(PdAnchors *anchors)
{
    if (!anchors)
        return;
    g_hash_table_unref(anchors->by_id);
    g_free(anchors);
}

void
pd_anchors_close(PdAnchors *anchors, const char *id)
{
    Anchor *anchor = id ? g_hash_table_lookup(anchors->by_id, id) : NULL;
    if (!anchor || !anchor->open)
        return;
    anchor->open = FALSE;
    anchors->n_open--;
}

void
pd_anchors_open(PdAnchors *anchors, char *id, guint block)
{
    Anchor *anchor = g_new0(Anchor, 1);
    anchor->text = g_string_new(NULL);
    anchor->block = block;
    anchor->open = TRUE;
    id = id ? id : g_strdup("");
    pd_anchors_close(anchors, id);
    g_hash_table_replace(anchors->by_id, id, anchor);
    anchors->n_open++;
}

void
pd_anchors_append(PdAnchors *anchors, const char *text)
{
    GHashTableIter iter;
    gpointer value;
    if (!anchors->n_open)
        return;
    g_hash_table_iter_init(&iter, anchors->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Anchor *anchor = value;
        if (!anchor->open)
            continue;
        g_string_append(anchor->text, text);
        if (anchor->text->len >
            QUOTE_BYTES_MAX) { /* enough; a comment without an end costs no more */
            anchor->open = FALSE;
            anchors->n_open--;
        }
    }
}

char *
pd_anchors_head(const PdAnchors *anchors, const char *id, const char *author, const char *date)
{
    const Anchor *anchor = id ? g_hash_table_lookup(anchors->by_id, id) : NULL;
    g_autoptr(GString) head = g_string_new(author && *author ? author : "unknown");
    if (date && g_str_is_ascii(date))
        g_string_append_printf(head, ", %.10s", date);
    if (anchor) {
        g_autoptr(GString) about = g_string_new(anchor->text->str);
        if (pd_text_truncate(about, QUOTE_BYTES_MAX))
            g_string_append(about, " ...");
        g_strdelimit(about->str, "\n\t", ' ');
        g_string_append_printf(head, ", on \xC2\xB6 %u", anchor->block);
        if (about->len)
            g_string_append_printf(head, " \"%s\"", about->str);
    }
    g_string_append(head, ": ");
    return g_strdup(head->str);
}
