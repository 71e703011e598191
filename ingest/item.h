/*
 * One outcome for each item that a reader finds.
 *
 * An item is what a source holds: a file, a message, a member of an archive, an attachment.  It
 * ends as a document or as a ledger line of a level that is an outcome ("skipped", "failed",
 * "duplicate"), or it holds files that are items themselves.  Readers are not relied upon for that:
 * a second outcome of an item becomes a remark, and an item that ends without one is "failed".
 *
 * Remarks (the other levels) wait for the item's document, so that they follow it, under its key.
 */
#ifndef PD_ITEM_H
#define PD_ITEM_H

#include "ingest/reader.h"

typedef struct {
    const PdReadSink *sink;
    gboolean *stop;     /* set when the sink refuses */
    char *key;          /* of the item under way; NULL: none is */
    gboolean settled;   /* it has its outcome */
    guint64 n_outcomes; /* of this and all items before it */
    /* the item's document */
    gboolean has_document;
    char *given_key;    /* as its reader named it */
    char *document_key; /* as it was sent; NULL: it was a duplicate */
    GPtrArray *held;    /* remarks that came before it */
    gsize n_held_bytes;
} PdItem;

/* `key` NULL: none begins yet. */
void pd_item_init(PdItem *item, const PdReadSink *sink, gboolean *stop, const char *key);
void pd_item_clear(PdItem *item);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdItem, pd_item_clear)

/* The next item begins; the one before must have been ended. */
void pd_item_begin(PdItem *item, const char *key);
/* Nothing more comes of the item.  Without an outcome it gets this one; `level` NULL: none. */
gboolean pd_item_end(PdItem *item, const char *level, const char *reason, GError **error);

/* The item's document; taken.  `given_key`: as its reader named it. */
gboolean pd_item_document(PdItem *item, PdDocument *document, const char *given_key,
                          GError **error);
/* The item's document was met before; `reason`: where. */
gboolean pd_item_duplicate(PdItem *item, const char *given_key, gint64 n_bytes, const char *reason,
                           GError **error);
/* A line about the item, or about another one that has none of its own. */
gboolean pd_item_line(PdItem *item, const PdLedgerLine *line, GError **error);
/* A file came out of the item: it is accounted for by itself. */
void pd_item_hand_over(PdItem *item);

/* Is this level an outcome? */
gboolean pd_ledger_is_outcome(const char *level);
/* A line to the sink, counted as found if it is an outcome. */
gboolean pd_ledger_say(const PdReadSink *sink, gboolean *stop, const PdLedgerLine *line,
                       GError **error);

#endif
