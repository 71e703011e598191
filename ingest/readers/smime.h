/*
 * What is wrapped in an S/MIME message (RFC 8551): a PKCS #7 structure (CMS, RFC 5652) in BER.  A
 * signed one carries what was signed, in the clear but for the wrapping; signatures are not
 * checked.
 */
#ifndef PD_SMIME_H
#define PD_SMIME_H

#include <glib.h>

typedef enum {
    PD_SMIME_UNKNOWN, /* damaged, or of another kind */
    PD_SMIME_SIGNED,
    PD_SMIME_ENCRYPTED,
    PD_SMIME_COMPRESSED,
} PdSmimeKind;

/* What n bytes of application/pkcs7-mime are.  *content, if signed: the MIME entity inside; NULL:
 * there is none (certificates alone), or it is damaged.  Free with g_byte_array_unref. */
PdSmimeKind pd_smime_open(const guint8 *bytes, gsize n, GByteArray **content);

#endif
