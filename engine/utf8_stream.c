/*
 * Streaming decode: tokens end inside characters, a terminal must not see that.
 *
 * Bytes are held back while they can still become one character.  Bytes that cannot are replaced:
 * one U+FFFD for each maximal part of a character, the practice of the Unicode Standard, section
 * 3.9 (U+FFFD Substitution of Maximal Subparts), whose table 3-7 is `accepts`.
 */
#include <string.h>

#include "engine/tokenizer.h"

struct PdUtf8Stream {
    guint8 held[4];
    int n_held;
    int n_wanted; /* bytes of the character that `held` begins */
};

PdUtf8Stream *
pd_utf8_stream_new(void)
{
    return g_new0(PdUtf8Stream, 1);
}

void
pd_utf8_stream_free(PdUtf8Stream *s)
{
    g_free(s);
}

/* Bytes of the character that begins with b; 0: none does. */
static int
character_bytes(guint8 b)
{
    if (b < 0x80)
        return 1;
    if (b >= 0xc2 && b <= 0xdf)
        return 2;
    if (b >= 0xe0 && b <= 0xef)
        return 3;
    if (b >= 0xf0 && b <= 0xf4)
        return 4;
    return 0;
}

/* Whether b may follow what is held. */
static gboolean
accepts(const PdUtf8Stream *s, guint8 b)
{
    if (s->n_held == 1) {
        switch (s->held[0]) {
        case 0xe0:
            return b >= 0xa0 && b <= 0xbf;
        case 0xed:
            return b >= 0x80 && b <= 0x9f;
        case 0xf0:
            return b >= 0x90 && b <= 0xbf;
        case 0xf4:
            return b >= 0x80 && b <= 0x8f;
        }
    }
    return b >= 0x80 && b <= 0xbf;
}

static void
replace_held(PdUtf8Stream *s, GString *out)
{
    if (s->n_held > 0)
        g_string_append(out, "\xef\xbf\xbd");
    s->n_held = 0;
}

void
pd_utf8_stream_push(PdUtf8Stream *s, const char *bytes, gsize n, GString *out)
{
    for (gsize i = 0; i < n; i++) {
        guint8 b = bytes[i];
        if (s->n_held > 0 && accepts(s, b)) {
            s->held[s->n_held++] = b;
        } else {
            replace_held(s, out);
            s->held[s->n_held++] = b;
            s->n_wanted = character_bytes(b);
            if (s->n_wanted == 0)
                replace_held(s, out);
        }
        if (s->n_held > 0 && s->n_held == s->n_wanted) {
            g_string_append_len(out, (const char *)s->held, s->n_held);
            s->n_held = 0;
        }
    }
}

void
pd_utf8_stream_finish(PdUtf8Stream *s, GString *out)
{
    replace_held(s, out);
}
