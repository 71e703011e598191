/* The rows of an embedding table, dequantized: out[i] = scale * table[ids[i]]. */
#include "kernels/cpu/cpu.h"

#include <assert.h>

void
pd_cpu_embed(PdDevice *dev, PdMem out, PdWeight table, const int32_t *ids, int n, float scale)
{
    float *dst = pd_cpu_ptr(out);
    const uint8_t *rows = pd_cpu_ptr(table.mem);
    size_t n_cols = (size_t)table.n_cols;
    size_t row_bytes = pd_row_bytes(table.type, n_cols);

    for (int i = 0; i < n; i++, dst += n_cols) {
        assert(ids[i] >= 0 && ids[i] < table.n_rows);
        pd_dequantize_row(table.type, rows + (size_t)ids[i] * row_bytes, dst, n_cols);
        if (scale != 1)
            for (size_t c = 0; c < n_cols; c++)
                dst[c] *= scale;
    }
}
