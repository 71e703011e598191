/* GGUF files for tests, written without the reader's help; lies are possible. */
#ifndef PD_TEST_GGUF_WRITER_H
#define PD_TEST_GGUF_WRITER_H

#include <glib.h>

enum {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
};

void gguf_put(GByteArray *out, const void *p, gsize n);
void gguf_put_u32(GByteArray *out, guint32 v);
void gguf_put_u64(GByteArray *out, guint64 v);
void gguf_put_string(GByteArray *out, const char *s);
void gguf_put_header(GByteArray *out, guint32 version, guint64 n_tensors, guint64 n_kv);
void gguf_put_key(GByteArray *out, const char *key, guint32 type);
void gguf_put_tensor(GByteArray *out, const char *name, int n_dims, const guint64 *dims,
                     guint32 type, guint64 offset);
void gguf_put_padding(GByteArray *out, guint alignment);
void gguf_put_zeros(GByteArray *out, gsize n);

#endif
