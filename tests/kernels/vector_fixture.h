/*
 * What the tests of the vector operations share: a device of each instruction set, buffers filled
 * with numbers that are the same in every run, and halves through the compiler's own _Float16, so
 * that nothing here comes from the code under test.
 */
#ifndef PD_VECTOR_FIXTURE_H
#define PD_VECTOR_FIXTURE_H

#include <glib.h>
#include <math.h>
#include <string.h>
#include "kernels/kernels.h"

static const char *const fixture_isas[] = {"reference", "avx2", "avx512", "avx512-emulated"};

/* NULL after g_test_skip where this machine or build lacks the instruction set. */
static inline PdDevice *
fixture_device(const char *isa, int n_threads)
{
    PdDevice *dev = pd_cpu_device_new(n_threads, isa);

    if (!dev) {
        g_assert_cmpstr(isa, !=, "reference");
        g_autofree char *reason = g_strdup_printf("no %s on this machine or in this build", isa);
        g_test_skip(reason);
    }
    return dev;
}

/* Register func once per instruction set; its data is the name. */
static inline void
fixture_add(const char *name, GTestDataFunc func)
{
    for (gsize i = 0; i < G_N_ELEMENTS(fixture_isas); i++) {
        g_autofree char *path = g_strdup_printf("/kernels/%s/%s", name, fixture_isas[i]);
        g_test_add_data_func(path, fixture_isas[i], func);
    }
}

static inline float *
fixture_random(GRand *rand, gsize n, double amplitude)
{
    float *x = g_new(float, n);

    for (gsize i = 0; i < n; i++)
        x[i] = (float)g_rand_double_range(rand, -amplitude, amplitude);
    return x;
}

static inline PdMem
fixture_mem(PdDevice *dev, const void *data, gsize n_bytes)
{
    PdMem mem = {dev->ops->buffer_new(dev, MAX(n_bytes, 1)), 0};

    g_assert_nonnull(mem.buffer);
    if (data)
        dev->ops->write(dev, mem, data, n_bytes);
    return mem;
}

static inline PdWeight
fixture_weight(PdDevice *dev, const float *data, int n)
{
    return (PdWeight){fixture_mem(dev, data, (gsize)n * sizeof(float)), PD_F32, 1, n};
}

/* The bytes of mem; frees its buffer. */
static inline void *
fixture_take(PdDevice *dev, PdMem mem, gsize n_bytes)
{
    void *data = g_malloc(n_bytes);

    dev->ops->read(dev, data, mem, n_bytes);
    dev->ops->buffer_free(dev, mem.buffer);
    return data;
}

static inline float
fixture_half(guint16 bits)
{
    _Float16 h;

    memcpy(&h, &bits, sizeof h);
    return (float)h;
}

static inline guint16
fixture_to_half(float x)
{
    _Float16 h = (_Float16)x;
    guint16 bits;

    memcpy(&bits, &h, sizeof bits);
    return bits;
}

/* Value d of a row of a cache. */
static inline double
fixture_cache_value(PdDtype type, const guint8 *row, int d)
{
    guint16 half;
    float value;

    if (type == PD_F32) {
        memcpy(&value, row + 4 * d, sizeof value);
        return (double)value;
    }
    if (type == PD_F16) {
        memcpy(&half, row + 2 * d, sizeof half);
        return (double)fixture_half(half);
    }
    const guint8 *block = row + d / 32 * 34;
    memcpy(&half, block, sizeof half);
    return (double)fixture_half(half) * (gint8)block[2 + d % 32];
}

#endif
