/* Little-endian numbers of Microsoft's formats, wherever they lie. */
#ifndef PD_LITTLE_ENDIAN_H
#define PD_LITTLE_ENDIAN_H

#include <glib.h>

static inline guint16
pd_le_u16(const guint8 *at)
{
    return (guint16)(at[0] | at[1] << 8);
}

static inline guint32
pd_le_u32(const guint8 *at)
{
    return (guint32)pd_le_u16(at) | (guint32)pd_le_u16(at + 2) << 16;
}

#endif
