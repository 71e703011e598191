/* One message of an Outlook store, with all in it, to MAPI's properties. */
#ifndef PD_PST_MESSAGE_H
#define PD_PST_MESSAGE_H

#include "ingest/readers/mapi.h"
#include "ingest/readers/pst_file.h"

/* The store's numbers of properties that have names, as pd_mapi_names. */
GHashTable *pd_pst_names(PdPst *pst);

/* FALSE: its properties cannot be read.  What else is missing is remarked.  `names`: as
 * pd_pst_names, or NULL; `limits`: bytes_max holds for the message with all that lies in it. */
gboolean pd_pst_read_message(PdPst *pst, GHashTable *names, const PdPstNode *node,
                             const PdMapiLimits *limits, PdMapiMessage *message);

#endif
