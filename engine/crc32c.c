/*
 * CRC-32C: polynomial 0x1EDC6F41 (reflected 0x82F63B78), initial and final inversion, as in RFC
 * 3720 appendix B.4, where the test vectors are.
 *
 * A CRC is linear over GF(2), so a buffer can be checked as independent streams whose registers
 * are then shifted over the bytes that follow them and added (the method of M. Adler's public
 * crc32c note).  Three streams hide the instruction's latency of three cycles.
 */
#include "engine/crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82F63B78u /* reflected */
#define STREAM_BYTES 4096      /* of each of the three streams */

static guint32 byte_table[8][256];   /* byte_table[k][b]: b followed by k zero bytes */
static guint32 stream_shift[4][256]; /* register byte k, value b, over STREAM_BYTES zero bytes */

static guint32
shift_register(guint32 reg, gsize n_zero_bytes)
{
    for (gsize i = 0; i < n_zero_bytes; i++)
        reg = byte_table[0][reg & 0xff] ^ (reg >> 8);
    return reg;
}

static void
build_tables(void)
{
    for (guint32 b = 0; b < 256; b++) {
        guint32 reg = b;
        for (int bit = 0; bit < 8; bit++)
            reg = (reg >> 1) ^ (POLYNOMIAL & (0u - (reg & 1)));
        byte_table[0][b] = reg;
    }
    for (guint32 b = 0; b < 256; b++)
        for (int k = 1; k < 8; k++)
            byte_table[k][b] = shift_register(byte_table[k - 1][b], 1);

    /* The shift is linear: the image of each single bit gives that of every register value. */
    for (int k = 0; k < 4; k++) {
        for (int bit = 0; bit < 8; bit++)
            stream_shift[k][1 << bit] = shift_register(1u << (8 * k + bit), STREAM_BYTES);
        for (int b = 1; b < 256; b++)
            stream_shift[k][b] = stream_shift[k][b & (b - 1)] ^ stream_shift[k][b & -b];
    }
}

static void
ensure_tables(void)
{
    static gsize once = 0;

    if (g_once_init_enter(&once)) {
        build_tables();
        g_once_init_leave(&once, 1);
    }
}

guint32
pd_crc32c_table(guint32 crc, const void *data, gsize n)
{
    const guint8 *p = data;
    guint32 reg = ~crc;

    ensure_tables();
    for (; n >= 8; n -= 8, p += 8) {
        guint32 low = reg ^ (p[0] | (guint32)p[1] << 8 | (guint32)p[2] << 16 | (guint32)p[3] << 24);
        reg = byte_table[7][low & 0xff] ^ byte_table[6][low >> 8 & 0xff] ^
              byte_table[5][low >> 16 & 0xff] ^ byte_table[4][low >> 24] ^ byte_table[3][p[4]] ^
              byte_table[2][p[5]] ^ byte_table[1][p[6]] ^ byte_table[0][p[7]];
    }
    for (; n > 0; n--, p++)
        reg = byte_table[0][(reg ^ *p) & 0xff] ^ (reg >> 8);
    return ~reg;
}

#if defined(__x86_64__)
#include <immintrin.h>

static guint64
load_u64(const guint8 *p)
{
    guint64 value;

    memcpy(&value, p, sizeof value);
    return value;
}

static guint32
shift_stream(guint32 reg)
{
    return stream_shift[0][reg & 0xff] ^ stream_shift[1][reg >> 8 & 0xff] ^
           stream_shift[2][reg >> 16 & 0xff] ^ stream_shift[3][reg >> 24];
}

__attribute__((target("sse4.2"))) static guint32
crc32c_sse42(guint32 crc, const void *data, gsize n)
{
    const guint8 *p = data;
    guint64 a = (guint32)~crc;

    for (; n >= 3 * STREAM_BYTES; n -= 3 * STREAM_BYTES, p += 3 * STREAM_BYTES) {
        guint64 b = 0, c = 0;
        for (gsize i = 0; i < STREAM_BYTES; i += 8) {
            a = _mm_crc32_u64(a, load_u64(p + i));
            b = _mm_crc32_u64(b, load_u64(p + STREAM_BYTES + i));
            c = _mm_crc32_u64(c, load_u64(p + 2 * STREAM_BYTES + i));
        }
        a = shift_stream(shift_stream((guint32)a) ^ (guint32)b) ^ c;
    }
    for (; n >= 8; n -= 8, p += 8)
        a = _mm_crc32_u64(a, load_u64(p));
    for (; n > 0; n--, p++)
        a = _mm_crc32_u8((guint32)a, *p);
    return ~(guint32)a;
}

guint32
pd_crc32c(guint32 crc, const void *data, gsize n)
{
    ensure_tables();
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, data, n)
                                            : pd_crc32c_table(crc, data, n);
}
#else
guint32
pd_crc32c(guint32 crc, const void *data, gsize n)
{
    return pd_crc32c_table(crc, data, n);
}
#endif
