/*
 * Weights as the device's products read them.  Types that the products have stay where they lie in
 * the mapped file; the others are repacked once, without loss where scales are powers of two:
 *
 *   FP8   BF16: an E4M3 number has 3 bits of mantissa.
 *         2 bytes a weight, where the file has 1.
 *   FP4   and MXFP4, Q5_0: twice a value is one of -12..12, and half its scale is a half float.
 *         22 bytes for 32 weights, where the file has 17.
 *
 * A scale that does not fit makes the whole matrix BF16, one that is no power of two F32.  Q5_0 is
 * multiplied as integers, with the activations rounded to 8 bits a block of 32: finer than the
 * 8-bit floats in blocks of 128 of the deployed model (section 7.1).  That is the whole difference
 * from the reference; where it turns the order of two experts or entries that are nearly alike, the
 * logits follow (tests/engine/test_deepseek_packed.c).
 */
#include <string.h>
#include "engine/deepseek/weights.h"
#include "engine/error.h"

/* Half of these scales is a half float, the smallest a subnormal one. */
#define HALF_SCALE_LEAST (127 - 23)
#define HALF_SCALE_MOST (127 + 16)
#define Q5_BYTES 22 /* of 32 values: scale, 32 fifth bits, 32 low halves */

/* Scale and codes of 32 columns of FP4 or MXFP4; codes NULL: the scale alone. */
static guint8
read_block(const PdDsMatrix *m, int row, int block, guint8 codes[32])
{
    gsize at = (gsize)row * (gsize)(m->n_cols / 32) + (gsize)block;
    if (m->format == PD_DS_MXFP4) {
        const guint8 *bytes = m->data + at * PD_DS_MXFP4_BYTES;
        for (int i = 0; codes != NULL && i < 32; i++)
            codes[i] = bytes[1 + i % 16] >> (i < 16 ? 0 : 4) & 15;
        return bytes[0];
    }
    for (int i = 0; codes != NULL && i < 32; i++)
        codes[i] = m->data[at * 16 + (gsize)i / 2] >> (i % 2 * 4) & 15;
    return m->scales[at];
}

static gboolean
scales_fit_half(const PdDsMatrix *m)
{
    for (int row = 0; row < m->n_rows; row++) {
        for (int b = 0; b < m->n_cols / 32; b++) {
            guint8 scale = read_block(m, row, b, NULL);
            if (scale < HALF_SCALE_LEAST || scale > HALF_SCALE_MOST)
                return FALSE;
        }
    }
    return TRUE;
}

/* The type that the products read, if scales are as usual. */
static PdDtype
usual_type(const PdDsMatrix *m)
{
    if (m->format == PD_DS_PLAIN)
        return m->type;
    if (m->format == PD_DS_MXFP4)
        return PD_Q5_0;
    if (!m->scale_is_e8m0)
        return PD_F32;
    return m->format == PD_DS_FP4 ? PD_Q5_0 : PD_BF16;
}

static gsize
bytes_of(const PdDsMatrix *m, PdDtype type)
{
    return (gsize)m->n_rows * pd_row_bytes(type, (gsize)m->n_cols);
}

gsize
pd_ds_matrix_packed_bytes(const PdDsMatrix *m)
{
    return bytes_of(m, usual_type(m));
}

/* The half float 2^exponent. */
static guint16
half_power(int exponent)
{
    return (guint16)(exponent >= -14 ? (exponent + 15) << 10 : 1 << (exponent + 24));
}

static void
pack_q5_row(const PdDsMatrix *m, int row, guint8 *dst)
{
    static const gint8 twice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    for (int b = 0; b < m->n_cols / 32; b++, dst += Q5_BYTES) {
        guint8 codes[32];
        guint16 half = GUINT16_TO_LE(half_power(read_block(m, row, b, codes) - 128));
        guint32 fifth = 0;
        memset(dst, 0, Q5_BYTES);
        for (int i = 0; i < 32; i++) {
            guint value = (guint)(16 + twice[codes[i]]);
            fifth |= (value >> 4) << i;
            dst[6 + i % 16] |= (guint8)((value & 15) << (i < 16 ? 0 : 4));
        }
        fifth = GUINT32_TO_LE(fifth);
        memcpy(dst, &half, sizeof half);
        memcpy(dst + 2, &fifth, sizeof fifth);
    }
}

static void
repack(const PdDsMatrix *m, PdDtype type, guint8 *row_bytes, float *row, PdDevice *device,
       PdMem mem)
{
    gsize n_bytes = pd_row_bytes(type, (gsize)m->n_cols);
    for (int r = 0; r < m->n_rows; r++) {
        if (type == PD_Q5_0) {
            pack_q5_row(m, r, row_bytes);
        } else {
            pd_ds_matrix_row(m, r, row);
            pd_quantize_row(type, row, row_bytes, (gsize)m->n_cols);
        }
        device->ops->write(device, (PdMem){mem.buffer, (gsize)r * n_bytes}, row_bytes, n_bytes);
    }
}

typedef struct {
    PdDsModel *model;
    PdDevice *device;
    const char *path;
    GMutex lock; /* of the device's memory and the list of buffers */
} Packer;

/* Tensors of safetensors may lie anywhere; products read numbers at their own alignment. */
static gboolean
lies_aligned(const PdDsMatrix *m)
{
    return pd_dtype_info[m->type].block_elems > 1 || GPOINTER_TO_SIZE(m->data) % 4 == 0;
}

/* Wrapped, or room of its own. */
static PdBuffer *
take_buffer(Packer *p, const PdDsMatrix *m, gboolean wraps, gsize n_bytes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&p->lock);
    PdBuffer *buffer = wraps ? p->device->ops->buffer_wrap(p->device, m->data, n_bytes)
                             : p->device->ops->buffer_new(p->device, n_bytes);
    (void)locker;
    if (buffer != NULL)
        g_ptr_array_add(p->model->buffers, buffer);
    return buffer;
}

static gboolean
pack_matrix(PdDsMatrix *m, gpointer user_data, GError **error)
{
    Packer *p = user_data;
    PdDtype type = usual_type(m);
    gboolean plain = m->format == PD_DS_PLAIN, wraps = plain && lies_aligned(m);
    if (type == PD_Q5_0 && !plain && !scales_fit_half(m))
        type = PD_BF16;
    gsize n_bytes = bytes_of(m, type);
    PdBuffer *buffer = take_buffer(p, m, wraps, n_bytes);
    if (buffer == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "%s: no memory to unpack tensor %s, %" G_GSIZE_FORMAT " bytes", p->path,
                    m->name, n_bytes);
        return FALSE;
    }
    m->weight = (PdWeight){{buffer, 0}, type, m->n_rows, m->n_cols};
    if (plain && !wraps)
        p->device->ops->write(p->device, m->weight.mem, m->data, n_bytes);
    if (!plain) {
        g_autofree guint8 *row_bytes = g_malloc(pd_row_bytes(type, (gsize)m->n_cols));
        g_autofree float *row = g_new(float, m->n_cols);
        repack(m, type, row_bytes, row, p->device, m->weight.mem);
    }
    return TRUE;
}

void
pd_ds_model_unpack(PdDsModel *m)
{
    if (m->device == NULL)
        return;
    for (guint i = 0; i < m->buffers->len; i++)
        m->device->ops->buffer_free(m->device, g_ptr_array_index(m->buffers, i));
    g_clear_pointer(&m->buffers, g_ptr_array_unref);
    m->device = NULL;
}

gboolean
pd_ds_model_pack(PdDsModel *m, PdDevice *device, const char *path, GError **error)
{
    static GMutex lock; /* sessions of one model may be opened at the same time */
    Packer packer = {.model = m, .device = device, .path = path};
    int n_threads = device->ops->info(device).n_threads;
    gboolean ok;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void)locker;
    if (m->device != NULL)
        return TRUE;
    m->device = device;
    m->buffers = g_ptr_array_new();
    g_mutex_init(&packer.lock);
    ok = pd_ds_model_each_matrix_by(m, n_threads, pack_matrix, &packer, error);
    g_mutex_clear(&packer.lock);
    if (!ok)
        pd_ds_model_unpack(m);
    return ok;
}

static gboolean
add_difference(PdDsMatrix *m, gpointer user_data, GError **error)
{
    gint64 *sum = user_data;
    gsize n = (gsize)m->n_rows * (gsize)m->n_cols;
    gsize codes = m->format == PD_DS_MXFP4 ? n / 32 * PD_DS_MXFP4_BYTES
                                           : n / (m->format == PD_DS_FP4 ? 2 : 1);
    (void)error;
    if (m->format != PD_DS_PLAIN)
        *sum += (gint64)pd_ds_matrix_packed_bytes(m) - (gint64)codes;
    return TRUE;
}

guint64
pd_ds_model_packed_bytes(PdDsModel *m)
{
    gint64 n = 0;
    (void)pd_ds_model_each_matrix(m, add_difference, &n, NULL);
    return m->n_bytes + (guint64)n;
}
