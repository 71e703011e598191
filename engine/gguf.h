/*
 * GGUF files, versions 2 and 3, memory-mapped and read-only.  Every count, offset, size and type
 * is checked against the file before it is used.  Source of the format: the GGUF specification
 * in the ggml project's documentation.
 *
 * A large model may be split: the first of its files, NAME-00001-of-00003.gguf, has the metadata,
 * and all have tensors.  Opened by the first one they are read as one.
 */
#ifndef PD_GGUF_H
#define PD_GGUF_H

#include <glib.h>
#include "kernels/kernels.h"

typedef struct PdGguf PdGguf;

typedef struct {
    const char *name;
    const char *dtype; /* ggml's name: "Q4_K", "MXFP4", "I32" */
    gboolean is_float; /* a type that products read: `type` is valid */
    PdDtype type;
    int n_dims;
    guint64 dims[4]; /* dims[0] is contiguous (columns) */
    const void *data;
    gsize n_bytes;
    guint file; /* that holds it: 0, or of a split model's others */
} PdGgufTensor;

/* With the other files of a split model, which must lie beside the first one. */
PdGguf *pd_gguf_open(const char *path, GError **error);
/* One file from memory (for tests and the fuzz target); `bytes` is referenced. */
PdGguf *pd_gguf_open_bytes(GBytes *bytes, const char *name, GError **error);
void pd_gguf_free(PdGguf *gguf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdGguf, pd_gguf_free)

/* Its files, by number: path and whole mapping, for PdDeviceOps.buffer_wrap. */
guint pd_gguf_n_files(const PdGguf *gguf);
const char *pd_gguf_name(const PdGguf *gguf, guint file);
const void *pd_gguf_data(const PdGguf *gguf, guint file, gsize *n_bytes);

/* Metadata.  Integers of any width and signedness convert if the value fits; FALSE if the key is
 * absent or of another kind. */
gboolean pd_gguf_get_u64(const PdGguf *gguf, const char *key, guint64 *value);
gboolean pd_gguf_get_f64(const PdGguf *gguf, const char *key, double *value);
gboolean pd_gguf_get_bool(const PdGguf *gguf, const char *key, gboolean *value);
/* Strings are not NUL-terminated in the file: a copy owned by gguf is returned; `len` may be NULL.
 */
const char *pd_gguf_get_string(const PdGguf *gguf, const char *key, gsize *len);
/* Arrays: the number of elements (0 if absent). */
gsize pd_gguf_array_len(const PdGguf *gguf, const char *key);
/* Element of a string array; bytes inside the mapping, not NUL-terminated. */
const char *pd_gguf_array_string(const PdGguf *gguf, const char *key, gsize index, gsize *len);
gboolean pd_gguf_array_i64(const PdGguf *gguf, const char *key, gsize index, gint64 *value);
gboolean pd_gguf_array_f64(const PdGguf *gguf, const char *key, gsize index, double *value);

/* Tensors of all files, in their order. */
gsize pd_gguf_n_tensors(const PdGguf *gguf);
const PdGgufTensor *pd_gguf_tensor(const PdGguf *gguf, gsize index);
const PdGgufTensor *pd_gguf_find_tensor(const PdGguf *gguf, const char *name);

#endif
