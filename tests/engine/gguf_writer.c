/* Writes GGUF files byte by byte, from the format's description. */
#include "tests/engine/gguf_writer.h"

#include <string.h>

void
gguf_put(GByteArray *out, const void *p, gsize n)
{
    g_byte_array_append(out, p, n);
}

void
gguf_put_u32(GByteArray *out, guint32 v)
{
    v = GUINT32_TO_LE(v);
    gguf_put(out, &v, 4);
}

void
gguf_put_u64(GByteArray *out, guint64 v)
{
    v = GUINT64_TO_LE(v);
    gguf_put(out, &v, 8);
}

void
gguf_put_string(GByteArray *out, const char *s)
{
    gguf_put_u64(out, strlen(s));
    gguf_put(out, s, strlen(s));
}

void
gguf_put_header(GByteArray *out, guint32 version, guint64 n_tensors, guint64 n_kv)
{
    gguf_put(out, "GGUF", 4);
    gguf_put_u32(out, version);
    gguf_put_u64(out, n_tensors);
    gguf_put_u64(out, n_kv);
}

void
gguf_put_key(GByteArray *out, const char *key, guint32 type)
{
    gguf_put_string(out, key);
    gguf_put_u32(out, type);
}

void
gguf_put_tensor(GByteArray *out, const char *name, int n_dims, const guint64 *dims, guint32 type,
                guint64 offset)
{
    gguf_put_string(out, name);
    gguf_put_u32(out, n_dims);
    for (int d = 0; d < n_dims; d++)
        gguf_put_u64(out, dims[d]);
    gguf_put_u32(out, type);
    gguf_put_u64(out, offset);
}

void
gguf_put_padding(GByteArray *out, guint alignment)
{
    while (out->len % alignment != 0)
        gguf_put(out, "", 1);
}

void
gguf_put_zeros(GByteArray *out, gsize n)
{
    gsize at = out->len;
    g_byte_array_set_size(out, at + n);
    memset(out->data + at, 0, n);
}
