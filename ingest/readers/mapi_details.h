/* What an appointment, a contact, a list of contacts, a task or a journal entry says beside its
 * text. */
#ifndef PD_MAPI_DETAILS_H
#define PD_MAPI_DETAILS_H

#include "ingest/readers/mapi_members.h"

/* A file's numbers of properties that have names, property id -> set and number in it, from its
 * lists of sets and of entries ([MS-PST] 2.4.7, [MS-OXMSG] 2.2.3).  Free with g_hash_table_unref.
 */
GHashTable *pd_mapi_names(const GByteArray *guids, const GByteArray *entries);

typedef struct PdMapiDetails PdMapiDetails;
/* `names`: of the file; NULL: none. */
PdMapiDetails *pd_mapi_details_new(GHashTable *names);
void pd_mapi_details_free(PdMapiDetails *details);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdMapiDetails, pd_mapi_details_free)
/* A property of the message; unknown ones are passed over.  One of several values comes as
 * PD_MAPI_BINARIES, or each of them alone as PD_MAPI_BINARY. */
void pd_mapi_details_set(PdMapiDetails *details, const PdMapiMessage *message, guint16 id,
                         guint16 type, const guint8 *value, gsize n);
/* Of a contact or list: its name, with the address of this number (from 0) if it has that; NULL:
 * neither.  Free with g_free. */
char *pd_mapi_details_person(const PdMapiDetails *details, guint email);
/* Into the message, if it is no mail: "Start: 2001-05-14 10:00 UTC" and so on, a line each.
 * `contact`: as for pd_mapi_members_take. */
void pd_mapi_details_take(PdMapiDetails *details, PdMapiContactFunc contact, gpointer user_data,
                          PdMapiMessage *message);

#endif
