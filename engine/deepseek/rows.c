/* See rows.h. */
#include "engine/deepseek/rows.h"
#include <math.h>

PdRowFormat
pd_ds_row_format(const PdDsShape *s, gboolean mixed)
{
    return (PdRowFormat){mixed ? PD_ROW_FP8 : PD_ROW_F32, s->head_dim, s->rope_dim};
}

PdRowFormat
pd_ds_key_format(const PdDsShape *s, gboolean mixed)
{
    return (PdRowFormat){mixed ? PD_ROW_FP4 : PD_ROW_F32, s->index_dim, s->rope_dim};
}

const char *
pd_ds_mixed_problem(const PdDsShape *s)
{
    for (int l = 0; l < s->n_layers; l++) {
        if (s->layers[l].kind->indexed && (s->index_dim & (s->index_dim - 1)) != 0)
            return "index_head_dim is no power of two, so its keys cannot be kept in 4 bits";
    }
    return NULL;
}

const float *
pd_ds_rows_at(const PdRowFormat *f, const guint8 *rows, int first, int n, float *room)
{
    gsize row_bytes = pd_row_format_bytes(f);
    rows += (gsize)first * row_bytes;
    if (f->kind == PD_ROW_F32)
        return (const float *)(const void *)rows;
    for (gsize i = 0; i < (gsize)n; i++)
        pd_row_unpack(f, rows + i * row_bytes, room + i * (gsize)f->width);
    return room;
}

void
pd_ds_hadamard(float *x, int n)
{
    g_assert(n > 0 && (n & (n - 1)) == 0);
    for (int half = 1; half < n; half *= 2) {
        for (int i = 0; i < n; i++) {
            if (i & half)
                continue;
            float a = x[i], b = x[i + half];
            x[i] = a + b;
            x[i + half] = a - b;
        }
    }
    for (int i = 0; i < n; i++)
        x[i] = (float)(x[i] / sqrt(n));
}
