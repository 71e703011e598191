/*
 * safetensors files, memory-mapped and read-only: 8 bytes of header length, a JSON header, raw
 * little-endian data.  Header length, names, types, shapes and offsets are checked before use;
 * tensors must neither overlap nor leave holes, as the format demands.
 * Source of the format: the README of the safetensors project.
 */
#ifndef PD_SAFETENSORS_H
#define PD_SAFETENSORS_H

#include <glib.h>
#include "kernels/kernels.h"

typedef struct PdSafetensors PdSafetensors;

typedef struct {
    const char *name;
    const char *dtype; /* as in the file: "F32", "BF16", "I64" ... */
    gboolean is_float; /* F32, F16 or BF16: `type` is valid */
    PdDtype type;
    int n_dims;
    guint64 dims[8]; /* dims[n_dims - 1] is contiguous (columns) */
    const void *data;
    gsize n_bytes;
} PdSafetensor;

PdSafetensors *pd_safetensors_open(const char *path, GError **error);
/* The same from memory (for tests and the fuzz target); `bytes` is referenced. */
PdSafetensors *pd_safetensors_open_bytes(GBytes *bytes, const char *name, GError **error);
void pd_safetensors_free(PdSafetensors *st);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdSafetensors, pd_safetensors_free)

/* The path it was opened by. */
const char *pd_safetensors_name(const PdSafetensors *st);
/* The whole mapping, for PdDeviceOps.buffer_wrap. */
const void *pd_safetensors_data(const PdSafetensors *st, gsize *n_bytes);
gsize pd_safetensors_n_tensors(const PdSafetensors *st);
const PdSafetensor *pd_safetensors_tensor(const PdSafetensors *st, gsize index);
const PdSafetensor *pd_safetensors_find(const PdSafetensors *st, const char *name);

/* All shards of a folder: those that model.safetensors.index.json names, or model.safetensors
 * alone.  Returns PdSafetensors in the order of the files' names. */
GPtrArray *pd_safetensors_open_folder(const char *folder, GError **error);

#endif
