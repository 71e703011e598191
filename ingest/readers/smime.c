/* PKCS #7: see smime.h.  BER is X.690, section 8. */
#include "ingest/readers/smime.h"

#include <string.h>

#define DEPTH_MAX 32 /* elements in elements: what we look for lies seven deep */

enum {
    INTEGER = 0x02,
    OCTETS = 0x04,
    OID = 0x06,
    CONSTRUCTED = 0x20,
    SEQUENCE = 0x30,
    SET = 0x31,
    EXPLICIT_0 = 0xA0,
    LONG_TAG = 0x1F,
    INDEFINITE = 0x80,
};

/* What of a structure is still to be read. */
typedef struct {
    const guint8 *at;
    gsize n;
} Ber;

/* The next element; *content: what is in it.  FALSE: there is none, or it is damaged. */
static gboolean
next_element(Ber *ber, guint8 *tag, Ber *content, guint depth)
{
    if (ber->n < 2 || depth > DEPTH_MAX || (ber->at[0] & LONG_TAG) == LONG_TAG)
        return FALSE;
    gsize head = 2, length = ber->at[1];
    *tag = ber->at[0];
    if (length == INDEFINITE) {
        Ber rest = {ber->at + head, ber->n - head}, inner;
        guint8 inner_tag;
        while (rest.n < 2 || rest.at[0] || rest.at[1]) /* two zeros end it */
            if (!next_element(&rest, &inner_tag, &inner, depth + 1))
                return FALSE;
        *content = (Ber){ber->at + head, (gsize)(rest.at - ber->at) - head};
        *ber = (Ber){rest.at + 2, rest.n - 2};
        return (*tag & CONSTRUCTED) != 0;
    }
    if (length > INDEFINITE) {
        gsize n_bytes = length - INDEFINITE;
        if (n_bytes > 4 || n_bytes > ber->n - head)
            return FALSE;
        for (length = 0; n_bytes > 0; n_bytes--)
            length = length << 8 | ber->at[head++];
    }
    if (length > ber->n - head)
        return FALSE;
    *content = (Ber){ber->at + head, length};
    *ber = (Ber){ber->at + head + length, ber->n - head - length};
    return TRUE;
}

/* The next element, which must have that tag. */
static gboolean
expect(Ber *ber, guint8 tag, Ber *content)
{
    guint8 found;
    return next_element(ber, &found, content, 0) && found == tag;
}

/* A string of bytes, in one piece or in several. */
static gboolean
append_octets(Ber *ber, GByteArray *out, guint depth)
{
    guint8 tag;
    Ber content;
    if (depth > DEPTH_MAX || !next_element(ber, &tag, &content, depth) ||
        (tag & ~CONSTRUCTED) != OCTETS)
        return FALSE;
    if (!(tag & CONSTRUCTED)) {
        g_byte_array_append(out, content.at, (guint)content.n);
        return TRUE;
    }
    while (content.n > 0)
        if (!append_octets(&content, out, depth + 1))
            return FALSE;
    return TRUE;
}

/* SignedData, RFC 5652 section 5.1: version, digest algorithms, content. */
static GByteArray *
signed_content(Ber *ber)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    Ber data, part, type, wrapped;
    if (expect(ber, SEQUENCE, &data) && expect(&data, INTEGER, &part) &&
        expect(&data, SET, &part) && expect(&data, SEQUENCE, &part) && expect(&part, OID, &type) &&
        expect(&part, EXPLICIT_0, &wrapped) && append_octets(&wrapped, out, 0))
        return g_steal_pointer(&out);
    return NULL;
}

static PdSmimeKind
kind_of(const Ber *oid)
{
    static const struct {
        PdSmimeKind kind;
        guint n;
        guint8 bytes[11];
    } known[] = {
        /* 1.2.840.113549.1.7.2, .3 and, with authentication or compressed, 1.9.16.1.23 and .9 */
        {PD_SMIME_SIGNED, 9, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2}},
        {PD_SMIME_ENCRYPTED, 9, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3}},
        {PD_SMIME_ENCRYPTED, 11, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 1, 23}},
        {PD_SMIME_COMPRESSED, 11, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 1, 9}},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
        if (oid->n == known[i].n && memcmp(oid->at, known[i].bytes, oid->n) == 0)
            return known[i].kind;
    return PD_SMIME_UNKNOWN;
}

PdSmimeKind
pd_smime_open(const guint8 *bytes, gsize n, GByteArray **content)
{
    Ber ber = {bytes, n}, info, type, wrapped;
    *content = NULL;
    if (!expect(&ber, SEQUENCE, &info) || !expect(&info, OID, &type))
        return PD_SMIME_UNKNOWN;
    PdSmimeKind kind = kind_of(&type);
    if (kind == PD_SMIME_SIGNED && expect(&info, EXPLICIT_0, &wrapped))
        *content = signed_content(&wrapped);
    return kind;
}
