/*
 * The CPU as a device: memory, scratch, and the operation table.  A buffer is host memory, 64-byte
 * aligned when it is ours; wrapped memory (a mapped file) is used in place and never written by
 * the operations that read weights.
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/cores.h"
#include "kernels/cpu/matmul.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

struct PdBuffer {
    uint8_t *bytes;
    size_t n_bytes;
    bool owned;
};

static void *
alloc_aligned(size_t n_bytes)
{
    if (n_bytes > SIZE_MAX - ALIGNMENT)
        return NULL;
    size_t rounded = (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return aligned_alloc(ALIGNMENT, rounded > 0 ? rounded : ALIGNMENT);
}

void *
pd_cpu_ptr(PdMem mem)
{
    if (mem.buffer == NULL)
        return NULL;
    assert(mem.offset_bytes <= mem.buffer->n_bytes);
    return mem.buffer->bytes + mem.offset_bytes;
}

void *
pd_cpu_scratch(PdCpu *cpu, size_t n_bytes)
{
    if (n_bytes > cpu->scratch_bytes) {
        free(cpu->scratch);
        cpu->scratch = alloc_aligned(n_bytes);
        cpu->scratch_bytes = cpu->scratch != NULL ? n_bytes : 0;
    }
    return cpu->scratch;
}

static PdDeviceInfo
cpu_info(PdDevice *dev)
{
    PdCpu *cpu = (PdCpu *)dev;
    return (PdDeviceInfo){
        .name = "cpu", .isa = cpu->isa_name, .n_threads = pd_pool_n_threads(cpu->pool)};
}

static void
cpu_free(PdDevice *dev)
{
    PdCpu *cpu = (PdCpu *)dev;
    if (cpu == NULL)
        return;
    pd_pool_free(cpu->pool);
    free(cpu->scratch);
    free(cpu);
}

static PdBuffer *
buffer_of(uint8_t *bytes, size_t n_bytes, bool owned)
{
    PdBuffer *buffer = malloc(sizeof *buffer);
    if (buffer != NULL)
        *buffer = (PdBuffer){.bytes = bytes, .n_bytes = n_bytes, .owned = owned};
    return buffer;
}

static PdBuffer *
buffer_new(PdDevice *dev, size_t n_bytes)
{
    uint8_t *bytes = alloc_aligned(n_bytes);
    if (bytes == NULL)
        return NULL;
    PdBuffer *buffer = buffer_of(bytes, n_bytes, true);
    if (buffer == NULL)
        free(bytes);
    return buffer;
}

static PdBuffer *
buffer_wrap(PdDevice *dev, const void *host, size_t n_bytes)
{
    /* The operations write to no buffer that holds weights, so dropping const is safe. */
    return buffer_of((uint8_t *)(uintptr_t)host, n_bytes, false);
}

static void
buffer_free(PdDevice *dev, PdBuffer *buffer)
{
    if (buffer == NULL)
        return;
    if (buffer->owned)
        free(buffer->bytes);
    free(buffer);
}

static void
assert_inside(PdMem mem, size_t n_bytes)
{
    assert(mem.offset_bytes <= mem.buffer->n_bytes &&
           n_bytes <= mem.buffer->n_bytes - mem.offset_bytes);
}

static void
cpu_write(PdDevice *dev, PdMem dst, const void *src, size_t n_bytes)
{
    assert_inside(dst, n_bytes);
    if (n_bytes > 0) /* nothing may have no address */
        memcpy(pd_cpu_ptr(dst), src, n_bytes);
}

static void
cpu_read(PdDevice *dev, void *dst, PdMem src, size_t n_bytes)
{
    assert_inside(src, n_bytes);
    if (n_bytes > 0)
        memcpy(dst, pd_cpu_ptr(src), n_bytes);
}

static void
cpu_copy(PdDevice *dev, PdMem dst, PdMem src, size_t n_bytes)
{
    assert_inside(dst, n_bytes);
    assert_inside(src, n_bytes);
    if (n_bytes > 0)
        memmove(pd_cpu_ptr(dst), pd_cpu_ptr(src), n_bytes);
}

static const PdDeviceOps cpu_ops = {
    .info = cpu_info,
    .free = cpu_free,
    .buffer_new = buffer_new,
    .buffer_wrap = buffer_wrap,
    .buffer_free = buffer_free,
    .write = cpu_write,
    .read = cpu_read,
    .copy = cpu_copy,
    .embed = pd_cpu_embed,
    .rms_norm = pd_cpu_rms_norm,
    .matmul = pd_cpu_matmul,
    .add = pd_cpu_add,
    .add_row = pd_cpu_add_row,
    .glu = pd_cpu_glu,
    .rope = pd_cpu_rope,
    .kv_append = pd_cpu_kv_append,
    .attention = pd_cpu_attention,
    .attention_weights = pd_cpu_attention_weights,
    .attention_list = pd_cpu_attention_list,
    .attention_list_weights = pd_cpu_attention_list_weights,
    .block_maxima = pd_cpu_block_maxima,
    .score_keys = pd_cpu_score_keys,
    .index_select = pd_cpu_index_select,
    .attention_shared = pd_cpu_attention_shared,
};

/* The best instruction set for which both tables exist. */
static const char *
best_isa(void)
{
    static const char *const by_speed[] = {"avx512", "avx2", "reference"};
    for (size_t i = 0; i < sizeof by_speed / sizeof by_speed[0]; i++)
        if (pd_matmul_isa(by_speed[i]) != NULL && pd_vector_isa(by_speed[i]) != NULL)
            return by_speed[i];
    return NULL;
}

PdDevice *
pd_cpu_device_new(int n_threads, const char *isa)
{
    if (isa == NULL)
        isa = best_isa();
    if (isa == NULL || pd_matmul_isa(isa) == NULL || pd_vector_isa(isa) == NULL)
        return NULL;

    PdCpu *cpu = calloc(1, sizeof *cpu);
    if (cpu == NULL)
        return NULL;
    cpu->base.ops = &cpu_ops;
    cpu->matmul = pd_matmul_isa(isa);
    cpu->vector = pd_vector_isa(isa);
    cpu->isa_name = cpu->matmul->name;
    cpu->pool = pd_pool_new(n_threads > 0 ? n_threads : pd_cores());
    if (cpu->pool == NULL) {
        cpu_free(&cpu->base);
        return NULL;
    }
    return &cpu->base;
}
