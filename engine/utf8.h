/*
 * Checking UTF-8.  Nearly all text is ASCII, which is looked at eight bytes at a time; GLib's
 * check, which goes byte by byte, decides about the rest.  Without anything to link, for readers
 * too.
 */
#ifndef PD_UTF8_H
#define PD_UTF8_H

#include <glib.h>
#include <string.h>

/* How many of the first n bytes are ASCII and not NUL. */
static inline gsize
pd_utf8_ascii_bytes(const char *text, gsize n)
{
    const guint64 ones = G_GUINT64_CONSTANT(0x0101010101010101), high = ones << 7;
    gsize at = 0;
    for (guint64 bad = 0; n - at >= 32; at += 32) {
        guint64 words[4];
        memcpy(words, text + at, sizeof words);
        /* Of the bytes that are neither NUL nor beyond ASCII, none has its highest bit, nor has one
         * less; a borrow comes only out of a NUL. */
        for (int i = 0; i < 4; i++)
            bad |= words[i] | (words[i] - ones);
        if (bad & high)
            break;
    }
    while (at < n && (gint8)text[at] > 0)
        at++;
    return at;
}

/* Bytes beyond ASCII that are looked at together: what stands behind a wrong one is not looked at
 * again and again by who goes on after it. */
#define PD_UTF8_WIDE_BYTES 256
#define PD_UTF8_CHARACTER_BYTES 4 /* at most */

/* How many of the first n bytes are valid UTF-8 without NUL: as g_utf8_validate_len's `end`. */
static inline gsize
pd_utf8_valid_bytes(const char *text, gsize n)
{
    for (gsize at = 0;;) {
        at += pd_utf8_ascii_bytes(text + at, n - at);
        gsize last = at + MIN(n - at, PD_UTF8_WIDE_BYTES), wide = at;
        while (wide < last && (guint8)text[wide] >= 0x80)
            wide++;
        if (wide == at)
            return at;
        const char *end;
        gboolean valid = g_utf8_validate_len(text + at, wide - at, &end);
        gsize valid_end = (gsize)(end - text);
        /* A character that was cut there stands at the beginning next time. */
        gboolean cut = wide == last && wide < n && wide - valid_end < PD_UTF8_CHARACTER_BYTES;
        if (!valid && (!cut || valid_end == at))
            return valid_end;
        at = valid_end;
    }
}

/* Valid UTF-8, NULs allowed: mail bodies have them. */
static inline gboolean
pd_utf8_is_valid(const char *text, gsize n)
{
    for (gsize at = 0; at < n; at++) {
        at += pd_utf8_valid_bytes(text + at, n - at);
        if (at < n && text[at] != '\0')
            return FALSE;
    }
    return TRUE;
}

#endif
