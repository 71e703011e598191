/* See item.h. */
#include "ingest/item.h"

#include <string.h>

/* A reader that says more about one item than this is not waited for. */
#define HELD_BYTES_MAX (16u << 20)

typedef struct {
    char *level;
    char *key;
    char *reason;
    gint64 n_bytes;
} Remark;

static void
remark_free(gpointer data)
{
    Remark *remark = data;
    g_free(remark->level);
    g_free(remark->key);
    g_free(remark->reason);
    g_free(remark);
}

gboolean
pd_ledger_is_outcome(const char *level)
{
    static const char *const outcomes[] = {"skipped", "failed", "duplicate", NULL};
    return g_strv_contains(outcomes, level);
}

gboolean
pd_ledger_say(const PdReadSink *sink, gboolean *stop, const PdLedgerLine *line, GError **error)
{
    if (sink->found && pd_ledger_is_outcome(line->level))
        sink->found(sink->user_data);
    if (sink->ledger(line, sink->user_data, error))
        return TRUE;
    *stop = TRUE;
    return FALSE;
}

void
pd_item_init(PdItem *item, const PdReadSink *sink, gboolean *stop, const char *key)
{
    memset(item, 0, sizeof *item);
    item->sink = sink;
    item->stop = stop;
    item->key = g_strdup(key);
    item->held = g_ptr_array_new_with_free_func(remark_free);
}

static void
forget(PdItem *item)
{
    g_clear_pointer(&item->key, g_free);
    g_clear_pointer(&item->given_key, g_free);
    g_clear_pointer(&item->document_key, g_free);
    item->has_document = FALSE;
    item->settled = FALSE;
}

void
pd_item_clear(PdItem *item)
{
    forget(item);
    g_clear_pointer(&item->held, g_ptr_array_unref);
}

void
pd_item_begin(PdItem *item, const char *key)
{
    g_assert(item->held->len == 0);
    forget(item);
    item->key = g_strdup(key);
}

static void
settle(PdItem *item)
{
    item->settled = TRUE;
    item->n_outcomes++;
}

/* Is this key that of the item, by its own name or by that of its document? */
static gboolean
is_own_key(const PdItem *item, const char *key)
{
    return g_strcmp0(key, item->key) == 0 || g_strcmp0(key, item->given_key) == 0;
}

/* Does this key stand for something that hangs on the document ("id!/attachment")? */
static gboolean
is_below(const PdItem *item, const char *key)
{
    return item->given_key && *item->given_key && g_str_has_prefix(key, item->given_key) &&
           g_str_has_prefix(key + strlen(item->given_key), "!/");
}

/* The key under which the sink knows what a reader means.  Free with g_free. */
static char *
key_as_sent(const PdItem *item, const char *key)
{
    if (!item->document_key)
        return g_strdup(key);
    if (is_own_key(item, key))
        return g_strdup(item->document_key);
    if (is_below(item, key))
        return g_strconcat(item->document_key, key + strlen(item->given_key), NULL);
    return g_strdup(key);
}

static gboolean
send(PdItem *item, const char *level, const PdLedgerLine *line, GError **error)
{
    g_autofree char *key = key_as_sent(item, line->key);
    const PdLedgerLine sent = {level, key, line->reason, line->n_bytes};
    return pd_ledger_say(item->sink, item->stop, &sent, error);
}

static gboolean
send_held(PdItem *item, GError **error)
{
    g_autoptr(GPtrArray) held = g_steal_pointer(&item->held);
    item->held = g_ptr_array_new_with_free_func(remark_free);
    item->n_held_bytes = 0;
    for (guint i = 0; i < held->len; i++) {
        const Remark *remark = g_ptr_array_index(held, i);
        const PdLedgerLine line = {remark->level, remark->key, remark->reason, remark->n_bytes};
        if (!pd_item_line(item, &line, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
pd_item_end(PdItem *item, const char *level, const char *reason, GError **error)
{
    if (item->key && !item->settled && level) {
        const PdLedgerLine line = {level, item->key, reason, -1};
        if (!pd_item_line(item, &line, error))
            return FALSE;
    }
    item->settled = TRUE;
    return send_held(item, error);
}

static void
name_document(PdItem *item, const char *given_key, const char *document_key)
{
    g_free(item->given_key);
    g_free(item->document_key);
    item->given_key = g_strdup(given_key);
    item->document_key = g_strdup(document_key);
    item->has_document = TRUE;
}

gboolean
pd_item_document(PdItem *item, PdDocument *document, const char *given_key, GError **error)
{
    settle(item);
    name_document(item, given_key, document->key);
    if (item->sink->found)
        item->sink->found(item->sink->user_data);
    if (!item->sink->document(document, item->sink->user_data, error)) {
        *item->stop = TRUE;
        return FALSE;
    }
    return send_held(item, error);
}

gboolean
pd_item_duplicate(PdItem *item, const char *given_key, gint64 n_bytes, const char *reason,
                  GError **error)
{
    const PdLedgerLine line = {"duplicate", given_key, reason, n_bytes};
    settle(item);
    name_document(item, given_key, NULL);
    g_ptr_array_set_size(item->held, 0); /* the same was said the first time */
    return pd_ledger_say(item->sink, item->stop, &line, error);
}

static void
hold(PdItem *item, const PdLedgerLine *line)
{
    Remark *remark = g_new0(Remark, 1);
    remark->level = g_strdup(line->level);
    remark->key = g_strdup(line->key);
    remark->reason = g_strdup(line->reason);
    remark->n_bytes = line->n_bytes;
    g_ptr_array_add(item->held, remark);
    item->n_held_bytes += sizeof *remark + strlen(line->key) + strlen(line->reason);
}

gboolean
pd_item_line(PdItem *item, const PdLedgerLine *line, GError **error)
{
    gboolean own = is_own_key(item, line->key);
    gboolean dropped = item->has_document && !item->document_key;
    if (!pd_ledger_is_outcome(line->level)) {
        if (dropped && (own || is_below(item, line->key)))
            return TRUE;
        if (item->key && !item->settled && item->n_held_bytes < HELD_BYTES_MAX) {
            hold(item, line);
            return TRUE;
        }
        return send(item, line->level, line, error);
    }
    if (own && item->settled)
        return dropped || send(item, item->document_key ? "partial" : "note", line, error);
    if (own)
        settle(item);
    else
        item->n_outcomes++;
    return send(item, dropped && is_below(item, line->key) ? "duplicate" : line->level, line,
                error);
}

void
pd_item_hand_over(PdItem *item)
{
    settle(item);
}
