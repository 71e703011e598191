/*
 * The charset decision: byte order mark, then the label if the bytes agree with it, then UTF-8 if
 * it is valid, then a detector whose answer is tried strictly, then windows-1252, in which every
 * byte means something.
 *
 * Labels are read as the web reads them (WHATWG Encoding Standard, "names and labels"):
 * "iso-8859-1" and "us-ascii" mean windows-1252, "shift_jis" its Windows superset, and so on, since
 * that is what mail programs write under those names.
 */
#include "ingest/readers/charset.h"

#include <errno.h>
#include <string.h>
#include <uchardet/uchardet.h>
#include "engine/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD"
/* The detector's verdict settles long before this. */
#define DETECT_BYTES_MAX (256u << 10)

/* windows-1252, 0x80 to 0x9F, from the index of the WHATWG Encoding Standard; the five bytes that
 * Windows leaves undefined map to the C1 controls of the same number. */
static const guint16 windows_1252_high[32] = {
    0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008D, 0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178,
};

typedef struct {
    const char *label;
    const char *name;
} Alias;

/* Lower case, without separators.  NULL name: no information. */
static const Alias aliases[] = {
    {"", NULL},
    {"unknown8bit", NULL},
    {"xunknown", NULL},
    {"unknown", NULL},
    {"8bit", NULL},
    {"utf8", "UTF-8"},
    {"utf7", "UTF-7"},
    {"usascii", "WINDOWS-1252"},
    {"ascii", "WINDOWS-1252"},
    {"ansix341968", "WINDOWS-1252"},
    {"iso88591", "WINDOWS-1252"},
    {"latin1", "WINDOWS-1252"},
    {"cp1252", "WINDOWS-1252"},
    {"xcp1252", "WINDOWS-1252"},
    {"windows1252", "WINDOWS-1252"},
    {"iso88599", "WINDOWS-1254"},
    {"latin5", "WINDOWS-1254"},
    {"shiftjis", "CP932"},
    {"sjis", "CP932"},
    {"xsjis", "CP932"},
    {"mskanji", "CP932"},
    {"windows31j", "CP932"},
    {"gb2312", "GB18030"},
    {"gbk", "GB18030"},
    {"eucksc56011987", "CP949"},
    {"ksc56011987", "CP949"},
    {"euckr", "CP949"},
    {"uhc", "CP949"},
    {"big5", "BIG5-HKSCS"},
    {"tis620", "CP874"},
    {"iso885911", "CP874"},
    {"unicode11utf8", "UTF-8"},
    {"unicode11utf7", "UTF-7"},
    {"iso88598i", "ISO-8859-8"},
    {"xmacroman", "MACINTOSH"},
};

/* The converter's name for a label; NULL if the label says nothing. */
static const char *
canonical_name(const char *label)
{
    char key[40];
    gsize n = 0;
    for (const char *c = label; *c && n + 1 < sizeof key; c++) {
        if (g_ascii_isalnum(*c))
            key[n++] = g_ascii_tolower(*c);
    }
    key[n] = '\0';
    for (gsize i = 0; i < G_N_ELEMENTS(aliases); i++) {
        if (strcmp(aliases[i].label, key) == 0)
            return aliases[i].name;
    }
    return label;
}

gsize
pd_charset_mark(const guint8 *bytes, gsize n, const char **name)
{
    static const struct {
        guint8 mark[4];
        gsize n;
        const char *name;
    } marks[] = {
        {{0xFF, 0xFE, 0, 0}, 4, "UTF-32LE"}, {{0, 0, 0xFE, 0xFF}, 4, "UTF-32BE"},
        {{0xEF, 0xBB, 0xBF, 0}, 3, "UTF-8"}, {{0xFF, 0xFE, 0, 0}, 2, "UTF-16LE"},
        {{0xFE, 0xFF, 0, 0}, 2, "UTF-16BE"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(marks); i++) {
        if (n >= marks[i].n && memcmp(bytes, marks[i].mark, marks[i].n) == 0) {
            *name = marks[i].name;
            return marks[i].n;
        }
    }
    *name = NULL;
    return 0;
}

static void
decode_windows_1252(const guint8 *bytes, gsize n, GString *out)
{
    for (gsize i = 0; i < n; i++) {
        if (bytes[i] < 0x80)
            g_string_append_c(out, (char)bytes[i]);
        else if (bytes[i] < 0xA0)
            g_string_append_unichar(out, windows_1252_high[bytes[i] - 0x80]);
        else
            g_string_append_unichar(out, bytes[i]);
    }
}

/* UTF-8 as it is, NULs included; bytes that are not become U+FFFD, each one counted. */
static gsize
decode_utf8(const guint8 *bytes, gsize n, GString *out)
{
    gsize n_replaced = 0;
    const char *at = (const char *)bytes;
    while (n) {
        gsize n_valid = pd_utf8_valid_bytes(at, n);
        g_string_append_len(out, at, (gssize)n_valid);
        n -= n_valid;
        at += n_valid;
        if (!n)
            break;
        if (*at == '\0') {
            g_string_append_c(out, '\0');
        } else {
            g_string_append(out, REPLACEMENT);
            n_replaced++;
        }
        at++;
        n--;
    }
    return n_replaced;
}

/* Convert with iconv.  Strict: the first byte without meaning ends it with FALSE and `out` is as
 * before.  Otherwise such bytes become U+FFFD.  FALSE also if there is no such converter. */
static gboolean
decode_iconv(const guint8 *bytes, gsize n, const char *charset, gboolean strict, GString *out,
             gsize *n_replaced)
{
    GIConv converter = g_iconv_open("UTF-8", charset);
    if (converter == (GIConv)-1)
        return FALSE;
    gsize start = out->len;
    char *at = (char *)bytes;
    gsize left = n;
    gboolean flushing = FALSE;
    gboolean ok = TRUE;
    *n_replaced = 0;
    while (ok) {
        char buffer[8192];
        char *to = buffer;
        gsize room = sizeof buffer;
        gsize rc = flushing ? g_iconv(converter, NULL, NULL, &to, &room)
                            : g_iconv(converter, &at, &left, &to, &room);
        int problem = errno;
        g_string_append_len(out, buffer, to - buffer);
        if (rc != (gsize)-1) {
            if (flushing)
                break;
            flushing = TRUE;
        } else if (problem != E2BIG) {
            ok = !strict;
            if (ok && left) {
                g_string_append(out, REPLACEMENT);
                *n_replaced += 1;
                at++;
                left--;
            } else if (ok) {
                break;
            }
        }
    }
    g_iconv_close(converter);
    if (ok && !pd_utf8_is_valid(out->str + start, out->len - start))
        ok = FALSE;
    if (!ok)
        g_string_truncate(out, start);
    return ok;
}

/* The detector's name for the bytes, written to `name`; FALSE if it has no opinion. */
static gboolean
detect(const guint8 *bytes, gsize n, char *name, gsize name_size)
{
    uchardet_t detector = uchardet_new();
    gboolean known = FALSE;
    if (uchardet_handle_data(detector, (const char *)bytes, MIN(n, DETECT_BYTES_MAX)) == 0) {
        uchardet_data_end(detector);
        const char *found = uchardet_get_charset(detector);
        known = found && *found;
        if (known)
            g_strlcpy(name, found, name_size);
    }
    uchardet_delete(detector);
    return known;
}

static gboolean
has_high_bytes(const guint8 *bytes, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        if (bytes[i] & 0x80)
            return TRUE;
    }
    return FALSE;
}

/* UTF-16 that carries no mark gives itself away by its NULs; without any it is no UTF-16. */
static gboolean
label_is_plausible(const char *charset, const guint8 *bytes, gsize n)
{
    if (g_ascii_strncasecmp(charset, "UTF-16", 6) == 0 ||
        g_ascii_strncasecmp(charset, "UTF-32", 6) == 0 ||
        g_ascii_strncasecmp(charset, "UCS", 3) == 0 ||
        g_ascii_strncasecmp(charset, "ISO-10646", 9) == 0)
        return n >= 2 && memchr(bytes, 0, n) != NULL;
    return TRUE;
}

static gboolean
use(PdCharsetInfo *info, const char *name)
{
    g_strlcpy(info->name, name, sizeof info->name);
    return TRUE;
}

/* By the label: TRUE if the bytes agree with it. */
static gboolean
decode_by_label(const guint8 *bytes, gsize n, const char *label, GString *out, PdCharsetInfo *info)
{
    const char *charset = canonical_name(label);
    if (!charset || !label_is_plausible(charset, bytes, n))
        return FALSE;
    gboolean western = strcmp(charset, "WINDOWS-1252") == 0;
    if (strcmp(charset, "UTF-8") == 0 || western) {
        /* Text that is valid UTF-8 with accents in it is not Latin-1 by chance. */
        if (pd_utf8_is_valid((const char *)bytes, n)) {
            decode_utf8(bytes, n, out);
            info->label_lied = western && has_high_bytes(bytes, n);
            return use(info, "UTF-8");
        }
        if (!western)
            return FALSE;
        decode_windows_1252(bytes, n, out);
        return use(info, charset);
    }
    gsize n_replaced;
    return decode_iconv(bytes, n, charset, TRUE, out, &n_replaced) && use(info, charset);
}

static void
decode_by_guess(const guint8 *bytes, gsize n, GString *out, PdCharsetInfo *info)
{
    char found[48];
    gsize n_replaced;
    gsize start = out->len;
    info->guessed = TRUE;
    if (detect(bytes, n, found, sizeof found)) {
        const char *charset = canonical_name(found);
        if (charset && strcmp(charset, "UTF-8") != 0 && strcmp(charset, "WINDOWS-1252") != 0 &&
            decode_iconv(bytes, n, charset, TRUE, out, &n_replaced)) {
            use(info, charset);
            return;
        }
    }
    /* Damaged UTF-8 still is UTF-8 if more of its accents are whole than broken. */
    n_replaced = decode_utf8(bytes, n, out);
    gsize n_whole = 0;
    for (gsize i = start; i < out->len; i++)
        n_whole += ((guchar)out->str[i] & 0xC0) == 0xC0;
    n_whole -= MIN(n_replaced, n_whole);
    if (n_whole > n_replaced) {
        info->n_replaced = n_replaced;
        use(info, "UTF-8");
        return;
    }
    g_string_truncate(out, start);
    decode_windows_1252(bytes, n, out);
    use(info, "WINDOWS-1252");
}

void
pd_charset_decode(const guint8 *bytes, gsize n, const char *label, GString *out,
                  PdCharsetInfo *info)
{
    memset(info, 0, sizeof *info);
    use(info, "UTF-8");
    if (!n)
        return;
    const char *marked;
    gsize n_mark = pd_charset_mark(bytes, n, &marked);
    if (n_mark) {
        use(info, marked);
        if (strcmp(marked, "UTF-8") == 0)
            info->n_replaced = decode_utf8(bytes + n_mark, n - n_mark, out);
        else
            decode_iconv(bytes + n_mark, n - n_mark, marked, FALSE, out, &info->n_replaced);
        return;
    }
    gboolean labelled = label && canonical_name(label);
    if (labelled && decode_by_label(bytes, n, label, out, info))
        return;
    info->label_lied = labelled;
    /* ESC $ and ESC ( without high bytes: ISO-2022, which is valid UTF-8 to the letter. */
    gboolean escapes = memchr(bytes, 0x1B, n) != NULL && !has_high_bytes(bytes, n);
    if (pd_utf8_is_valid((const char *)bytes, n) && !escapes) {
        decode_utf8(bytes, n, out);
        return;
    }
    gsize n_replaced;
    char found[48];
    if (escapes) {
        if (!detect(bytes, n, found, sizeof found) || !g_str_has_prefix(found, "ISO-2022") ||
            !decode_iconv(bytes, n, found, TRUE, out, &n_replaced))
            decode_utf8(bytes, n, out);
        else
            use(info, found);
        return;
    }
    decode_by_guess(bytes, n, out, info);
}

gboolean
pd_text_truncate(GString *text, gsize max)
{
    if (text->len <= max)
        return FALSE;
    while (max && ((guchar)text->str[max] & 0xC0) == 0x80)
        max--;
    g_string_truncate(text, max);
    return TRUE;
}

char *
pd_text_invisible_note(const char *text, gsize n)
{
    gsize n_bidi = 0;
    gsize n_zero = 0;
    gsize n_tags = 0;
    for (gsize i = 0; i + 2 < n; i++) {
        i += pd_utf8_ascii_bytes(text + i, n - i);
        if (i + 2 >= n)
            break;
        const guchar *c = (const guchar *)text + i;
        if (c[0] == 0xE2 && c[1] == 0x80) {
            /* U+202A-E are overrides and embeddings, U+200B and U+200C have no width. */
            n_bidi += c[2] >= 0xAA && c[2] <= 0xAE;
            n_zero += c[2] == 0x8B || c[2] == 0x8C;
        } else if (c[0] == 0xE2 && c[1] == 0x81) {
            n_bidi += c[2] >= 0xA6 && c[2] <= 0xA9; /* U+2066-9, isolates */
            n_zero += c[2] >= 0xA0 && c[2] <= 0xA4; /* U+2060-4, word joiner and the like */
        } else if (c[0] == 0xF3 && c[1] == 0xA0 && (c[2] == 0x80 || c[2] == 0x81)) {
            n_tags++; /* U+E0000-7F, tag characters */
        }
    }
    if (!n_bidi && !n_zero && !n_tags)
        return NULL;
    return g_strdup_printf("invisible characters in the text: %" G_GSIZE_FORMAT
                           " bidi controls, %" G_GSIZE_FORMAT " zero-width, %" G_GSIZE_FORMAT
                           " tag characters",
                           n_bidi, n_zero, n_tags);
}
