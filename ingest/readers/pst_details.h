/* What an appointment, a contact, a task or a journal entry says beside its text. */
#ifndef PD_PST_DETAILS_H
#define PD_PST_DETAILS_H

#include "ingest/readers/mapi.h"
#include "ingest/readers/pst_file.h"

/* The store's numbers of properties that have names: property id -> set and number in it. */
GHashTable *pd_pst_names(PdPst *pst);

typedef struct PdPstDetails PdPstDetails;
/* `names`: of the store; NULL: none. */
PdPstDetails *pd_pst_details_new(GHashTable *names);
void pd_pst_details_free(PdPstDetails *details);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdPstDetails, pd_pst_details_free)
/* A property of the message; unknown ones are passed over. */
void pd_pst_details_set(PdPstDetails *details, const PdMapiMessage *message, guint16 id,
                        guint16 type, const guint8 *value, gsize n);
/* Into the message, if it is no mail: "Start: 2001-05-14 10:00 UTC" and so on, a line each. */
void pd_pst_details_take(PdPstDetails *details, PdMapiMessage *message);

#endif
