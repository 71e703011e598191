/*
 * Secrets in a text: keys, tokens and passwords in the formats that their issuers publish.
 *
 * A false alarm hides words that somebody may ask about, a missed secret is one that the reader's
 * own files held anyway: rules are made to be precise.  What they look for, and where each is
 * documented, stands in secrets.c.
 */
#ifndef PD_SECRETS_H
#define PD_SECRETS_H

#include <glib.h>

typedef struct {
    guint32 start; /* bytes in the text; never inside a character */
    guint32 end;
    const char *kind; /* static: "github-token" */
} PdSecret;

/*
 * Appends what is found (PdSecret, in order, not overlapping).  The text is any bytes, shorter than
 * 4 GiB.  Time is linear in its length: a run of characters is looked at once for each rule, and no
 * rule looks further than a fixed number of bytes.
 */
void pd_secrets_find(const char *text, gsize n_bytes, GArray *secrets);

#endif
