/* Inside the mail reader: one message to one document, and its attachments. */
#ifndef PD_MAIL_H
#define PD_MAIL_H

#include "ingest/readers/mapi.h"
#include "ingest/readers/readers.h"

/* Once a process. */
void pd_mail_init(void);

typedef struct {
    const guint8 *raw; /* as it lies in the source: what is hashed */
    gsize n_raw;
    gint64 raw_offset; /* -1: not in an mbox */
    gint64 raw_bytes;
    GByteArray *message; /* without envelope line and quoting */
    const char *name; /* key of a message that is a file of its own (""), or NULL: by Message-ID */
    const char *folder;   /* then: in which folder of its store it lies; NULL or "": none */
    const char *item_key; /* as it was begun: for what is said of a message that is none */
} PdMailInput;

/* What of a reader's limits holds for a message of Outlook's. */
PdMapiLimits pd_mail_mapi_limits(const PdReadLimits *limits);

/* Parse a message and send it: document, ledger lines, attachments. */
gboolean pd_mail_emit(const PdMailInput *input, PdEmitter *emitter, GError **error);

#endif
