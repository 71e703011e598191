/*
 * Bytes of unknown or wrongly labelled encoding to UTF-8, without losing any.
 *
 * A tool that checks quotations cannot afford a converter that drops bytes: what has no meaning in
 * the chosen encoding becomes U+FFFD and is counted.
 */
#ifndef PD_CHARSET_H
#define PD_CHARSET_H

#include <glib.h>

typedef struct {
    char name[48];       /* the encoding used: "UTF-8", "WINDOWS-1252", "SHIFT_JIS" ... */
    gboolean guessed;    /* neither the label nor a byte order mark nor valid UTF-8 settled it */
    gboolean label_lied; /* there was a label, and another encoding was used */
    gsize n_replaced;    /* bytes that became U+FFFD */
} PdCharsetInfo;

/* Append the text to `out`; LF and other line ends stay as they are, a byte order mark goes.
 * `label`: what the source calls the encoding, may be NULL or nonsense. */
void pd_charset_decode(const guint8 *bytes, gsize n, const char *label, GString *out,
                       PdCharsetInfo *info);

/* Number of UTF-16 or UTF-32 mark bytes at the start and the encoding's name, or 0. */
gsize pd_charset_mark(const guint8 *bytes, gsize n, const char **name);

/* Cut `text` to at most `max` bytes, at a character's border. TRUE if it was longer. */
gboolean pd_text_truncate(GString *text, gsize max);

/* What a careful reader should be told of invisible characters in a text (bidirectional controls,
 * zero-width and tag characters), as one line; NULL if there are none.  Free with g_free. */
char *pd_text_invisible_note(const char *text, gsize n);

#endif
