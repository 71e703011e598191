/*
 * The two ways in which vocabulary files write bytes as text, undone.
 *
 * Byte-level files (GPT-2, Radford et al. 2019, encoder.py) write each byte as one printable
 * character: bytes that are printable in Latin-1 as themselves, the others, in order, as U+0100
 * and up.  SentencePiece files write a space as U+2581.
 */
#include <string.h>

#include "engine/tokenizer_private.h"

/* The byte that a character of the alphabet stands for, or -1. */
static int
byte_of(gunichar c)
{
    if ((c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff))
        return c;
    if (c >= 0x100 && c <= 0x120)
        return c - 0x100; /* 0x00-0x20 */
    if (c >= 0x121 && c <= 0x142)
        return c - 0x121 + 0x7f; /* 0x7f-0xa0 */
    return c == 0x143 ? 0xad : -1;
}

gboolean
pd_text_from_byte_level(const char *text, gsize n, GByteArray *out)
{
    if (!g_utf8_validate_len(text, n, NULL))
        return FALSE;
    for (const char *p = text; p < text + n; p = g_utf8_next_char(p)) {
        int byte = byte_of(g_utf8_get_char(p));
        guint8 b = byte;
        if (byte < 0)
            return FALSE;
        g_byte_array_append(out, &b, 1);
    }
    return TRUE;
}

void
pd_text_from_marked_spaces(const char *text, gsize n, GByteArray *out)
{
    static const char mark[] = "\xe2\x96\x81";
    for (gsize i = 0; i < n;) {
        gboolean is_mark = n - i >= 3 && memcmp(text + i, mark, 3) == 0;
        g_byte_array_append(out, is_mark ? (const guint8 *)" " : (const guint8 *)text + i, 1);
        i += is_mark ? 3 : 1;
    }
}
