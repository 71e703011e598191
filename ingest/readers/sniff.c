/*
 * Rules of recognition.  Order matters: signatures first, then the shapes of mail (RFC 4155 and RFC
 * 5322), then names, then "it is text".
 */
#include "ingest/readers/sniff.h"

#include <string.h>

#include "ingest/readers/charset.h"

/* As git decides (buffer_is_binary): a NUL in the first 8,000 bytes is no text. */
#define NUL_TEST_BYTES 8000

gboolean
pd_is_header_line(const char *line, gsize n)
{
    gsize i = 0;
    while (i < n && line[i] > 0x20 && line[i] < 0x7f && line[i] != ':')
        i++;
    return i > 0 && i < n && line[i] == ':' && i < 128;
}

gboolean
pd_is_mail_header_line(const char *line, gsize n)
{
    static const char *const fields[] = {
        "From",         "To",
        "Cc",           "Date",
        "Subject",      "Received",
        "Return-Path",  "Message-ID",
        "MIME-Version", "Delivered-To",
        "Reply-To",     "Sender",
        "In-Reply-To",  "References",
        "Content-Type", "Content-Transfer-Encoding",
        "Status",       "X-Mozilla-Status",
    };
    if (!pd_is_header_line(line, n))
        return FALSE;
    gsize n_name = (gsize)((const char *)memchr(line, ':', n) - line);
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (strlen(fields[i]) == n_name && g_ascii_strncasecmp(line, fields[i], n_name) == 0)
            return TRUE;
    }
    /* Headers of transports and lists that open many a message. */
    static const char *const prefixes[] = {"X-", "DKIM-", "ARC-", "List-", "Resent-", "Envelope-"};
    for (gsize i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        gsize n_prefix = strlen(prefixes[i]);
        if (n_name > n_prefix && g_ascii_strncasecmp(line, prefixes[i], n_prefix) == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean
is_one_of(const char *word, gsize n, const char *list)
{
    for (const char *at = list; *at; at += 3) {
        if (n == 3 && g_ascii_strncasecmp(word, at, 3) == 0)
            return TRUE;
    }
    return FALSE;
}

gboolean
pd_is_envelope_line(const char *line, gsize n)
{
    if (n < 10 || memcmp(line, "From ", 5) != 0 || n > 1000)
        return FALSE;
    gboolean day = FALSE;
    gboolean month = FALSE;
    gboolean clock = FALSE;
    gboolean year = FALSE;
    gsize i = 5;
    while (i < n) {
        while (i < n && g_ascii_isspace(line[i]))
            i++;
        gsize start = i;
        while (i < n && !g_ascii_isspace(line[i]))
            i++;
        const char *word = line + start;
        gsize n_word = i - start;
        if (n_word && word[n_word - 1] == ',')
            n_word--;
        if (is_one_of(word, n_word, "MonTueWedThuFriSatSun"))
            day = TRUE;
        else if (is_one_of(word, n_word, "JanFebMarAprMayJunJulAugSepOctNovDec"))
            month = TRUE;
        else if (n_word >= 4 && g_ascii_isdigit(word[0]) && memchr(word, ':', n_word))
            clock = TRUE;
        else if (n_word == 4 && g_ascii_isdigit(word[0]) && g_ascii_isdigit(word[1]) &&
                 g_ascii_isdigit(word[2]) && g_ascii_isdigit(word[3]))
            year = TRUE;
    }
    return day && month && clock && year;
}

static gsize
line_length(const char *at, gsize n)
{
    const char *end = memchr(at, '\n', n);
    gsize length = end ? (gsize)(end - at) : n;
    return length && at[length - 1] == '\r' ? length - 1 : length;
}

static const char *
next_line(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (gsize)(end - at));
    return newline ? newline + 1 : end;
}

static gboolean
looks_like_mbox(const char *at, const char *end)
{
    if (end - at < 6 || memcmp(at, "From ", 5) != 0)
        return FALSE;
    gboolean envelope = pd_is_envelope_line(at, line_length(at, (gsize)(end - at)));
    const char *second = next_line(at, end);
    if (second < end && *second == '>')
        second = next_line(second, end);
    gsize n_second = line_length(second, (gsize)(end - second));
    return envelope ? second >= end || pd_is_header_line(second, n_second)
                    : pd_is_mail_header_line(second, n_second);
}

/* A header block with at least two fields of mail, of which one is not also found on top of notes
 * and Markdown files. */
static gboolean
looks_like_mail(const char *at, const char *end, gboolean named_so)
{
    guint n_fields = 0;
    guint n_sure = 0;
    for (const char *line = at; line < end; line = next_line(line, end)) {
        gsize n = line_length(line, (gsize)(end - line));
        if (n == 0)
            break;
        if (line > at && (*line == ' ' || *line == '\t'))
            continue;
        if (!pd_is_header_line(line, n))
            return named_so && n_fields > 0;
        if (pd_is_mail_header_line(line, n)) {
            n_fields++;
            static const char *const sure[] = {
                "Received:",     "Return-Path:",  "Message-ID:",  "From:",
                "MIME-Version:", "Delivered-To:", "Content-Type:"};
            for (gsize i = 0; i < G_N_ELEMENTS(sure); i++)
                n_sure +=
                    n > strlen(sure[i]) && g_ascii_strncasecmp(line, sure[i], strlen(sure[i])) == 0;
        }
    }
    return n_fields >= (named_so ? 1 : 2) && (named_so || n_sure > 0);
}

/* ISO 32000 puts the header first; readers accept it within the first 1,024 bytes, at a line. */
static gboolean
looks_like_pdf(const char *at, gsize n)
{
    static const char mark[] = {'%', 'P', 'D', 'F', '-'};
    for (gsize i = 0; i + sizeof mark < n; i++) {
        if (memcmp(at + i, mark, sizeof mark) == 0 && g_ascii_isdigit(at[i + sizeof mark]) &&
            (i == 0 || at[i - 1] == '\n' || at[i - 1] == '\r' || at[i - 1] == '\0'))
            return TRUE;
    }
    return FALSE;
}

static gboolean
has_suffix(const char *name, const char *const *suffixes)
{
    const char *dot = name ? strrchr(name, '.') : NULL;
    for (; dot && *suffixes; suffixes++) {
        if (g_ascii_strcasecmp(dot + 1, *suffixes) == 0)
            return TRUE;
    }
    return FALSE;
}

/* After white space, in any case. */
static gboolean
starts_with_one_of(const char *at, const char *end, const char *const *words)
{
    while (at < end && g_ascii_isspace(*at))
        at++;
    for (; *words; words++) {
        gsize n = strlen(*words);
        if ((gsize)(end - at) >= n && g_ascii_strncasecmp(at, *words, n) == 0)
            return TRUE;
    }
    return FALSE;
}

/* RFC 1952, RFC 8878, the .xz file format 1.0.4, and bzip2's header with its block's mark. */
static const char *
compression_of(const guint8 *bytes, gsize n)
{
    static const struct {
        const char *kind;
        const char *mark;
        gsize n;
    } marks[] = {
        {"gzip", "\x1f\x8b\x08", 3},
        {"xz", "\xfd\x37zXZ\x00", 6},
        {"zstd", "\x28\xb5\x2f\xfd", 4},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(marks); i++) {
        if (n >= marks[i].n && memcmp(bytes, marks[i].mark, marks[i].n) == 0)
            return marks[i].kind;
    }
    /* "BZh", a level, and the first digits of pi (a block) or of its root (an empty file). */
    if (n >= 10 && memcmp(bytes, "BZh", 3) == 0 && bytes[3] >= '1' && bytes[3] <= '9' &&
        (memcmp(bytes + 4, "1AY&SY", 6) == 0 || memcmp(bytes + 4, "\x17rE8P\x90", 6) == 0))
        return "bzip2";
    return NULL;
}

/* The head of a tar file begins with a name and holds the sum of its own bytes (POSIX pax; the
 * oldest tars have that too, and no other mark). */
static gboolean
looks_like_tar(const guint8 *bytes, gsize n)
{
    enum { HEAD_BYTES = 512, SUM_AT = 148, SUM_BYTES = 8 };
    if (n < HEAD_BYTES || !bytes[0])
        return FALSE;
    guint64 sum = 0;
    for (gsize i = 0; i < HEAD_BYTES; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_BYTES ? ' ' : bytes[i];
    g_autofree char *digits = g_strndup((const char *)bytes + SUM_AT, SUM_BYTES);
    char *end;
    return g_ascii_strtoull(g_strchug(digits), &end, 8) == sum && end > digits;
}

/* PKWARE's APPNOTE.TXT 4.3 (a member, the end of an empty archive, a piece of a split one) and
 * 7zFormat.txt. */
static const char *
archive_of(const guint8 *bytes, gsize n)
{
    static const char *const zip[] = {"PK\3\4", "PK\5\6", "PK\7\b"};
    for (gsize i = 0; i < G_N_ELEMENTS(zip); i++) {
        if (n >= 22 && memcmp(bytes, zip[i], 4) == 0)
            return "zip";
    }
    if (n >= 6 && memcmp(bytes, "7z\xBC\xAF\x27\x1C", 6) == 0)
        return "7z";
    return looks_like_tar(bytes, n) ? "tar" : NULL;
}

gboolean
pd_is_archive(const char *kind)
{
    static const char *const archives[] = {"zip", "tar", "7z", NULL};
    return g_strv_contains(archives, kind);
}

gboolean
pd_is_packed(const char *kind)
{
    static const char *const packed[] = {"gzip", "xz", "zstd", "bzip2", NULL};
    return g_strv_contains(packed, kind) || pd_is_archive(kind);
}

guint64
pd_unpacked_bytes_max(const PdReadLimits *limits, const guint8 *bytes, gsize n, const char *name)
{
    const char *kind = pd_sniff(bytes, MIN(n, PD_SNIFF_BYTES), name);
    gboolean piecemeal =
        kind && (strcmp(kind, "mbox") == 0 || strcmp(kind, "pst") == 0 || pd_is_packed(kind));
    return piecemeal ? limits->unpacked_bytes_max
                     : MIN(limits->unpacked_bytes_max, limits->file_bytes_max);
}

char *
pd_unpacked_name(const char *name)
{
    static const char *const suffixes[][2] = {
        {".gz", ""}, {".xz", ""},      {".zst", ""},     {".bz2", ""},
        {".bz", ""}, {".tgz", ".tar"}, {".txz", ".tar"}, {".tbz", ".tar"},
    };
    gsize n = strlen(name);
    for (gsize i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        gsize n_suffix = strlen(suffixes[i][0]);
        if (n > n_suffix && g_ascii_strcasecmp(name + n - n_suffix, suffixes[i][0]) == 0) {
            g_autofree char *base = g_strndup(name, n - n_suffix);
            return g_strconcat(base, suffixes[i][1], NULL);
        }
    }
    return g_strdup(name);
}

static gboolean
is_text(const guint8 *bytes, gsize n)
{
    const char *marked;
    if (pd_charset_mark(bytes, n, &marked))
        return TRUE;
    if (memchr(bytes, 0, MIN(n, NUL_TEST_BYTES)))
        return FALSE;
    /* Controls that no text has: formats without NULs in their first kilobytes are rare. */
    gsize n_controls = 0;
    for (gsize i = 0; i < n; i++)
        n_controls += bytes[i] < 0x20 && !strchr("\t\n\r\f\v\b\033", bytes[i]);
    return n_controls * 20 <= n;
}

static gboolean
holds(const char *at, const char *end, const char *word)
{
    return g_strstr_len(at, end - at, word) != NULL;
}

/* A JSON object whose cells have types: nbformat writes its keys in order, "cells" first. */
static gboolean
looks_like_notebook(const char *at, const char *end, gboolean named_so)
{
    const char *start = at;
    while (start < end && g_ascii_isspace(*start))
        start++;
    if (start == end || *start != '{')
        return FALSE;
    return (holds(start, end, "\"cells\"") && holds(start, end, "\"cell_type\"")) ||
           (named_so && (holds(start, end, "\"cells\"") || holds(start, end, "\"nbformat\"") ||
                         holds(start, end, "\"worksheets\"")));
}

/* C-CDA's root element, or a FHIR resource's first key; in a bundle others come first. */
static gboolean
looks_clinical(const char *at, const char *end)
{
    while (at < end && g_ascii_isspace(*at))
        at++;
    if (at < end && *at == '<')
        return holds(at, end, "ClinicalDocument") && holds(at, end, "urn:hl7-org:v3");
    return at < end && *at == '{' && holds(at, MIN(end, at + 1024), "\"resourceType\"");
}

/* RFC 5545, section 3.4: a stream of calendars begins with one. */
static gboolean
looks_like_calendar(const char *at, const char *end)
{
    static const char *const begin[] = {"BEGIN:VCALENDAR", NULL};
    if (end - at >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    return starts_with_one_of(at, end, begin);
}

/* [MS-CFB] with the names of [MS-OXMSG] in its directory, which is mostly near the start; where it
 * is not, the file's name must say it. */
static gboolean
looks_like_msg(const guint8 *bytes, gsize n, gboolean named_so)
{
    static const char folder[] = "_\0_\0s\0u\0b\0s\0t\0g\0001\0.\0000\0_";
    static const char stream[] = "_\0_\0p\0r\0o\0p\0e\0r\0t\0i\0e\0s\0_";
    if (!bytes || n < 512 || memcmp(bytes, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8) != 0)
        return FALSE;
    return named_so || memmem(bytes, n, folder, sizeof folder - 1) ||
           memmem(bytes, n, stream, sizeof stream - 1);
}

/* [MS-PST] 2.2.2.6: stores of mail; address books ("AB") are others. */
static gboolean
looks_like_pst(const guint8 *bytes, gsize n)
{
    return n > 12 && memcmp(bytes, "!BDN", 4) == 0 &&
           (memcmp(bytes + 8, "SM", 2) == 0 || memcmp(bytes + 8, "SO", 2) == 0);
}

const char *
pd_sniff(const guint8 *bytes, gsize n, const char *name)
{
    static const char *const html[] = {"html", "htm", "xhtml", NULL};
    static const char *const tags[] = {"<!doctype html", "<html", "<head>", "<body", NULL};
    static const char *const markdown[] = {"md", "markdown", "mdown", "mkd", NULL};
    static const char *const mail[] = {"eml", NULL};
    static const char *const notebook[] = {"ipynb", NULL};
    static const char *const outlook[] = {"msg", NULL};
    const char *at = (const char *)bytes;
    const char *end = at + n;
    if (!n)
        return NULL;
    if (looks_like_pdf(at, MIN(n, 1024)))
        return "pdf";
    if (n > 16 &&
        (memcmp(at, "# v2 git bundle\n", 16) == 0 || memcmp(at, "# v3 git bundle\n", 16) == 0))
        return "git";
    const char *compression = compression_of(bytes, n);
    if (compression)
        return compression;
    const char *archive = archive_of(bytes, n);
    if (archive)
        return archive;
    if (n > 6 && memcmp(at, "{\\rtf", 5) == 0)
        return "rtf";
    if (looks_like_msg(bytes, n, has_suffix(name, outlook)))
        return "msg";
    if (looks_like_pst(bytes, n))
        return "pst";
    if (n > 8 && memcmp(bytes, "\x78\x9f\x3e\x22", 4) == 0) /* [MS-OXTNEF] 2.1.1 */
        return "tnef";
    if (looks_like_mbox(at, end))
        return "mbox";
    if (looks_like_mail(at, end, has_suffix(name, mail)))
        return "eml";
    if (!is_text(bytes, n))
        return NULL;
    if (looks_like_notebook(at, end, has_suffix(name, notebook)))
        return "notebook";
    if (looks_clinical(at, end))
        return "clinical";
    if (looks_like_calendar(at, end))
        return "calendar";
    if (has_suffix(name, html) || starts_with_one_of(at, end, tags))
        return "html";
    if (has_suffix(name, markdown))
        return "markdown";
    return "text";
}
