/* Characters of RTF: the code pages of its fonts, and its own words for some (RTF 1.9.1). */
#ifndef PD_RTF_CHARS_H
#define PD_RTF_CHARS_H

#include <glib.h>

/* Windows' symbol fonts have no code page. */
#define PD_RTF_SYMBOLS (-1)

/* The code page of \fcharsetN, PD_RTF_SYMBOLS, or 0: that of the document. */
int pd_rtf_code_page_of_charset(int charset);

/* Append bytes in a code page as UTF-8; those without a meaning become U+FFFD.  Returns their
 * number.
 */
guint pd_rtf_append_bytes(GString *out, const guint8 *bytes, gsize n, int code_page);

/* What a control word like "emdash" stands for, or NULL. */
const char *pd_rtf_symbol(const char *word);

#endif
