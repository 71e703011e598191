/* Who is on a list of contacts ([MS-OXOCNTC] 2.2.2.2). */
#ifndef PD_MAPI_MEMBERS_H
#define PD_MAPI_MEMBERS_H

#include "ingest/readers/mapi.h"

/* A contact, or a list of them, of the store `key` ([MS-PST] 2.4.3.2).  `email`: which of its
 * addresses, from 0.  NULL: it is not there.  Free with g_free. */
typedef char *(*PdMapiContactFunc)(const guint8 key[16], guint32 node, guint email,
                                   gpointer user_data);

typedef struct PdMapiMembers PdMapiMembers;
PdMapiMembers *pd_mapi_members_new(void);
void pd_mapi_members_free(PdMapiMembers *members);

/* The next value of one of the two properties, of which each has one for each member: who it was
 * (`kept` FALSE), and where it is kept.  Either may be missing. */
void pd_mapi_members_add(PdMapiMembers *members, const PdMapiMessage *message, gboolean kept,
                         const guint8 *value, gsize n);

/* "Member: Ann Lee <ann@example.org>" and so on into the message's details, a line each, and a
 * remark on those of whom nothing is known.  `contact`: NULL: none can be looked up. */
void pd_mapi_members_take(const PdMapiMembers *members, PdMapiContactFunc contact,
                          gpointer user_data, PdMapiMessage *message);

#endif
