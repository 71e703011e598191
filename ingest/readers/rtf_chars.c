/* See rtf_chars.h. */
#include "ingest/readers/rtf_chars.h"

#include <errno.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

int
pd_rtf_code_page_of_charset(int charset)
{
    static const int pages[][2] = {
        {0, 1252},   {2, PD_RTF_SYMBOLS}, {77, 10000}, {128, 932},  {129, 949},
        {130, 1361}, {134, 936},          {136, 950},  {161, 1253}, {162, 1254},
        {163, 1258}, {177, 1255},         {178, 1256}, {186, 1257}, {204, 1251},
        {222, 874},  {238, 1250},         {254, 437},  {255, 850},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(pages); i++) {
        if (pages[i][0] == charset)
            return pages[i][1];
    }
    return 0;
}

/* Bullets are what symbol fonts are used for. */
static guint
append_symbols(GString *out, const guint8 *bytes, gsize n)
{
    guint n_replaced = 0;
    for (gsize i = 0; i < n; i++) {
        if (bytes[i] < 0x80) {
            g_string_append_c(out, (char)bytes[i]);
        } else if (bytes[i] == 0xB7 || bytes[i] == 0xA7) {
            g_string_append(out, "\xE2\x80\xA2");
        } else {
            g_string_append(out, REPLACEMENT);
            n_replaced++;
        }
    }
    return n_replaced;
}

static GIConv
open_converter(int code_page)
{
    g_autofree char *name = code_page == 10000   ? g_strdup("MACINTOSH")
                            : code_page == 65001 ? g_strdup("UTF-8")
                            : code_page == 1361  ? g_strdup("JOHAB")
                                                 : g_strdup_printf("CP%d", code_page);
    GIConv converter = g_iconv_open("UTF-8", name);
    return converter != (GIConv)-1 ? converter : g_iconv_open("UTF-8", "CP1252");
}

static gboolean
is_ascii(const guint8 *bytes, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        if (bytes[i] >= 0x80)
            return FALSE;
    }
    return TRUE;
}

guint
pd_rtf_append_bytes(GString *out, const guint8 *bytes, gsize n, int code_page)
{
    if (code_page == PD_RTF_SYMBOLS)
        return append_symbols(out, bytes, n);
    if (is_ascii(bytes, n)) {
        g_string_append_len(out, (const char *)bytes, (gssize)n);
        return 0;
    }
    GIConv converter = open_converter(code_page ? code_page : 1252);
    char *in = (char *)bytes;
    guint n_replaced = 0;
    while (n && converter != (GIConv)-1) {
        char piece[512];
        char *to = piece;
        gsize left = sizeof piece;
        gsize rc = g_iconv(converter, &in, &n, &to, &left);
        gboolean bad = rc == (gsize)-1 && errno != E2BIG;
        g_string_append_len(out, piece, to - piece);
        if (bad && n) { /* no character, or half of one */
            g_string_append(out, REPLACEMENT);
            n_replaced++;
            in++;
            n--;
        }
    }
    if (converter != (GIConv)-1)
        g_iconv_close(converter);
    return n_replaced;
}

const char *
pd_rtf_symbol(const char *word)
{
    static const char *const symbols[][2] = {
        {"emdash", "\xE2\x80\x94"},
        {"endash", "\xE2\x80\x93"},
        {"bullet", "\xE2\x80\xA2"},
        {"lquote", "\xE2\x80\x98"},
        {"rquote", "\xE2\x80\x99"},
        {"ldblquote", "\xE2\x80\x9C"},
        {"rdblquote", "\xE2\x80\x9D"},
        {"emspace", "\xE2\x80\x83"},
        {"enspace", "\xE2\x80\x82"},
        {"qmspace", "\xE2\x80\x85"},
        {"tab", "\t"},
        {"line", "\n"},
        {"lbr", "\n"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(symbols); i++) {
        if (strcmp(symbols[i][0], word) == 0)
            return symbols[i][1];
    }
    return NULL;
}
