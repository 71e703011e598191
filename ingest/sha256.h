/* The hash by which texts are found again and sources recognised. */
#ifndef PD_INGEST_SHA256_H
#define PD_INGEST_SHA256_H

#include <glib.h>

#define PD_SHA256_BYTES 32

/* SHA-256 (FIPS 180-4) of n bytes. */
void pd_sha256(const void *data, gsize n_bytes, guint8 digest[PD_SHA256_BYTES]);

#endif
