/* The parts of a mail's text: see quoted.h. */
#include "ingest/quoted.h"

#include <string.h>
#include "ingest/attribution.h"

#define INDENT_MAX 3       /* spaces before the first ">" */
#define INITIALS_MAX 4     /* letters before a ">" */
#define SIGNATURE_LINES 15 /* a longer one is none */
#define TAIL_PARAGRAPHS 4  /* at the end of what a mail says, where footers are looked for */
#define LIST_PARAGRAPHS 2  /* likewise behind a quote without prefix */
#define HEADER_LINES 10    /* of a forwarded mail */
#define HEADER_NAME_BYTES 27
#define ATTRIBUTION_LINES 3
#define EMPTY_LINES 3 /* between these and the quote */

/* FNV-1a, 64 bits. */
#define HASH_BASIS 0xcbf29ce484222325u
#define HASH_PRIME 0x100000001b3u

void
pd_mail_text_free(PdMailText *mail)
{
    if (!mail)
        return;
    g_array_unref(mail->lines);
    g_array_unref(mail->words);
    g_array_unref(mail->paragraphs);
    g_free(mail);
}

guint
pd_mail_line_words_end(const PdMailText *mail, guint i)
{
    return i + 1 < mail->lines->len ? pd_mail_line(mail, i + 1)->first_word : mail->words->len;
}

guint
pd_mail_line_of_word(const PdMailText *mail, guint word)
{
    guint low = 0, high = mail->lines->len;
    while (low < high) {
        guint middle = (low + high) / 2;
        if (pd_mail_line(mail, middle)->first_word <= word)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

/* --- lines and words ----------------------------------------------------------------------- */

static gboolean
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* The bytes of a blank between words, also of one that does not break, as HTML has many; 0: it is
 * none. */
static gsize
blank_length(const char *at, gsize n)
{
    static const char no_break[] = "\xc2\xa0";
    gsize length = strlen(no_break);
    return is_blank(*at) ? 1 : n >= length && memcmp(at, no_break, length) == 0 ? length : 0;
}

/* The length of one ">" with what may stand before it; 0: there is none. */
static gsize
prefix_length(const char *at, gsize n, gsize indent_max)
{
    gsize i = 0, letters;
    while (i < n && is_blank(at[i]) && i < indent_max)
        i++;
    for (letters = 0; i + letters < n && g_ascii_isalpha(at[i + letters]);)
        letters++;
    i += letters <= INITIALS_MAX ? letters : 0;
    return i < n && at[i] == '>' ? i + 1 : 0;
}

/* The length of all prefixes of a quoted line; 0: it is not quoted. */
static gsize
prefixes_length(const char *at, gsize n)
{
    gsize length = prefix_length(at, n, INDENT_MAX), more = length;
    while (more > 0) {
        more = prefix_length(at + length, n - length, G_MAXSIZE);
        length += more;
    }
    return length;
}

static void
add_words(PdMailText *mail, const char *text, gsize at, gsize end)
{
    while (at < end) {
        PdMailWord word = {.hash = HASH_BASIS};
        for (gsize n; at < end && (n = blank_length(text + at, end - at)) > 0;)
            at += n;
        word.start = (guint32)at;
        for (; at < end && !blank_length(text + at, end - at); at++)
            word.hash = (word.hash ^ (guchar)text[at]) * HASH_PRIME;
        word.end = (guint32)at;
        if (word.end > word.start)
            g_array_append_val(mail->words, word);
    }
}

static void
add_lines(PdMailText *mail, const char *text, gsize n_bytes)
{
    for (gsize at = 0; at < n_bytes;) {
        const char *lf = memchr(text + at, '\n', n_bytes - at);
        gsize end = lf ? (gsize)(lf - text) : n_bytes;
        gsize prefix = prefixes_length(text + at, end - at);
        PdMailLine line = {(guint32)at, (guint32)end, mail->words->len,
                           prefix ? PD_LINE_PREFIXED : PD_LINE_OWN};
        g_array_append_val(mail->lines, line);
        add_words(mail, text, at + prefix, end);
        at = end + 1;
    }
}

/* --- what lines look like ------------------------------------------------------------------ */

static gboolean
is_empty(const PdMailText *mail, guint i)
{
    return pd_mail_line(mail, i)->first_word == pd_mail_line_words_end(mail, i);
}

/* A line from its first word to its last. */
static const char *
content_of(const PdMailText *mail, const char *text, guint i, gsize *n)
{
    guint first = pd_mail_line(mail, i)->first_word, end = pd_mail_line_words_end(mail, i);
    *n = 0;
    if (first == end)
        return text;
    gsize start = g_array_index(mail->words, PdMailWord, first).start;
    *n = g_array_index(mail->words, PdMailWord, end - 1).end - start;
    return text + start;
}

/* Do the n bytes end in a colon, also a Chinese one?  Its length; 0: they do not. */
static gsize
colon_length(const char *at, gsize n)
{
    static const char wide[] = "：";
    gsize length = strlen(wide);
    if (n > 0 && at[n - 1] == ':')
        return 1;
    return n >= length && memcmp(at + n - length, wide, length) == 0 ? length : 0;
}

/* What ends in a colon says what follows: an attribution. */
static gboolean
ends_in_colon(const PdMailText *mail, const char *text, guint i)
{
    gsize n;
    const char *at = content_of(mail, text, i, &n);
    return colon_length(at, n) > 0;
}

static gsize
run_of(const char *at, gsize n, char c)
{
    gsize i = 0;
    while (i < n && at[i] == c)
        i++;
    return i;
}

/* "-----Original Message-----" */
static gboolean
is_separator(const PdMailText *mail, const char *text, guint i)
{
    gsize n;
    const char *at = content_of(mail, text, i, &n);
    gsize left = run_of(at, n, '-'), right = 0;
    while (right < n && at[n - 1 - right] == '-')
        right++;
    return left >= 3 && right >= 3 && left + right + 4 < n;
}

/* "Sent: Monday, May 14, 2001 10:21 AM", "*Von:* Kay Smith", "De : Kay Smith": the length of the
 * name with its colon; 0: it is no header. */
static gsize
header_name_length(const char *at, gsize n)
{
    gsize name = run_of(at, n, '*');
    for (gsize k = name; k < n && k < HEADER_NAME_BYTES; k++) {
        gsize colon = colon_length(at + name, k + 1 - name);
        if (colon)
            return k + 1 - colon > name + 1 ? k + 1 : 0;
        gboolean inside =
            k > name && (at[k] == '-' || (at[k] == ' ' && k + 1 < n && at[k + 1] == ':'));
        if (!inside && !g_ascii_isalpha(at[k]) && (guchar)at[k] < 0x80)
            return 0;
    }
    return 0;
}

static gboolean
is_header(const PdMailText *mail, const char *text, guint i)
{
    gsize n;
    const char *at = content_of(mail, text, i, &n);
    return header_name_length(at, n) > 0;
}

static gboolean
has_digits(const char *at, gsize n, const char *pattern)
{
    gsize length = strlen(pattern);
    for (gsize i = 0; i + length <= n; i++) {
        gsize k = 0;
        while (k < length &&
               (pattern[k] == '0' ? g_ascii_isdigit(at[i + k]) != 0 : at[i + k] == pattern[k]))
            k++;
        if (k == length)
            return TRUE;
    }
    return FALSE;
}

/* A year and a time of day. */
static gboolean
has_date(const char *at, gsize n)
{
    return has_digits(at, n, "0000") && (has_digits(at, n, "0:00") || has_digits(at, n, "0.00"));
}

/* Three headers in a row, one of them with a date. */
static gboolean
is_header_block(const PdMailText *mail, const char *text, guint i)
{
    gboolean dated = FALSE;
    guint k;
    for (k = i; k < mail->lines->len && k < i + 5 && is_header(mail, text, k); k++) {
        gsize n;
        const char *at = content_of(mail, text, k, &n);
        dated |= has_date(at, n);
    }
    return k >= i + 3 && dated;
}

/* "On Mon, 14 May 2001 at 10:21, Kay Smith <kay@example.org> wrote:" over at most three lines, and
 * what follows has no prefix. */
static gboolean
is_attribution(const PdMailText *mail, const char *text, guint i)
{
    guint last = i, next;
    while (last < mail->lines->len && last < i + ATTRIBUTION_LINES && !is_empty(mail, last) &&
           !ends_in_colon(mail, text, last))
        last++;
    if (last >= mail->lines->len || last >= i + ATTRIBUTION_LINES || is_empty(mail, last))
        return FALSE;
    for (next = last + 1; next < mail->lines->len && is_empty(mail, next);)
        next++;
    if (next == mail->lines->len || pd_mail_line(mail, next)->kind == PD_LINE_PREFIXED)
        return FALSE;
    gsize start = pd_mail_line(mail, i)->start;
    return has_date(text + start, pd_mail_line(mail, last)->end - start);
}

/* From the first attribution or header block on, everything is an earlier mail's. */
static void
find_history(PdMailText *mail, const char *text)
{
    for (guint i = 0; i < mail->lines->len; i++) {
        if (pd_mail_line(mail, i)->kind != PD_LINE_OWN || is_empty(mail, i))
            continue;
        guint next = i + 1;
        while (next < mail->lines->len && is_empty(mail, next))
            next++;
        gboolean begins =
            is_header_block(mail, text, i) || is_attribution(mail, text, i) ||
            (is_separator(mail, text, i) && next < mail->lines->len && is_header(mail, text, next));
        if (!begins)
            continue;
        for (; i < mail->lines->len; i++)
            if (pd_mail_line(mail, i)->kind == PD_LINE_OWN)
                g_array_index(mail->lines, PdMailLine, i).kind = PD_LINE_HISTORY;
    }
}

/* --- the end of a text --------------------------------------------------------------------- */

static gboolean
is_delimiter(const PdMailText *mail, const char *text, guint i)
{
    const PdMailLine *line = pd_mail_line(mail, i);
    gsize n = line->end - line->start;
    return n >= 2 && n <= 4 && memcmp(text + line->start, "--", 2) == 0 &&
           pd_mail_line_words_end(mail, i) == line->first_word + 1 &&
           g_array_index(mail->words, PdMailWord, line->first_word).end == line->start + 2;
}

static guint64
hash_words(const PdMailText *mail, guint from, guint to)
{
    guint64 hash = HASH_BASIS;
    for (guint i = from; i < to; i++)
        hash = (hash ^ g_array_index(mail->words, PdMailWord, i).hash) * HASH_PRIME;
    return hash;
}

/* The last paragraphs, at most n, of lines [from, to). */
static void
add_paragraphs(PdMailText *mail, const char *text, guint from, guint to, guint n,
               gboolean is_signature)
{
    guint first_new = mail->paragraphs->len;
    for (guint i = from; i < to; i++) {
        if (is_empty(mail, i))
            continue;
        PdMailParagraph p = {.first_line = i, .is_signature = is_signature};
        while (i + 1 < to && !is_empty(mail, i + 1))
            i++;
        p.last_line = i;
        p.is_own = pd_mail_line(mail, i)->kind == PD_LINE_OWN;
        p.hash = hash_words(mail, pd_mail_line(mail, p.first_line)->first_word,
                            pd_mail_line_words_end(mail, i));
        if (!ends_in_colon(mail, text, i))
            g_array_append_val(mail->paragraphs, p);
    }
    guint n_new = mail->paragraphs->len - first_new;
    if (n_new > n)
        g_array_remove_range(mail->paragraphs, first_new, n_new - n);
}

/* The first of the lines before `to` that are of this kind; empty ones are of any. */
static guint
same_kind_before(const PdMailText *mail, guint to, PdLineKind kind)
{
    while (to > 0 && (is_empty(mail, to - 1) || pd_mail_line(mail, to - 1)->kind == kind))
        to--;
    return to;
}

/* Signature and footers stand at the end, or above the quote that ends the text; what a list adds
 * stands behind that. */
static void
find_tail(PdMailText *mail, const char *text)
{
    guint end = mail->lines->len, history = same_kind_before(mail, end, PD_LINE_HISTORY);
    guint own_end = same_kind_before(mail, history, PD_LINE_PREFIXED);
    guint from = same_kind_before(mail, own_end, PD_LINE_OWN), i = from;
    while (i < own_end && !(is_delimiter(mail, text, i) && own_end - i <= SIGNATURE_LINES))
        i++;
    add_paragraphs(mail, text, from, i, TAIL_PARAGRAPHS, FALSE);
    if (i < own_end) {
        mail->signature = i;
        add_paragraphs(mail, text, i + 1, own_end, TAIL_PARAGRAPHS, TRUE);
    }
    add_paragraphs(mail, text, history, end, LIST_PARAGRAPHS, FALSE);
}

PdMailText *
pd_mail_text_new(const char *text, gsize n_bytes)
{
    PdMailText *mail = g_new0(PdMailText, 1);
    mail->lines = g_array_new(FALSE, FALSE, sizeof(PdMailLine));
    mail->words = g_array_new(FALSE, FALSE, sizeof(PdMailWord));
    mail->paragraphs = g_array_new(FALSE, FALSE, sizeof(PdMailParagraph));
    add_lines(mail, text, n_bytes);
    mail->signature = mail->lines->len;
    find_history(mail, text);
    find_tail(mail, text);
    return mail;
}

gboolean
pd_mail_is_break(const PdMailText *mail, const char *text, guint i)
{
    return is_delimiter(mail, text, i) || is_separator(mail, text, i) ||
           is_header_block(mail, text, i) || is_attribution(mail, text, i);
}

/* --- attributions -------------------------------------------------------------------------- */

/* What the lines [top, last] are, without the prefixes of quotes. */
static PdAttribution
attribution_of(const PdMailText *mail, const char *text, guint top, guint last, const char *author)
{
    g_autoptr(GString) lines = g_string_new(NULL);
    for (guint i = top; i <= last; i++) {
        gsize n;
        const char *at = content_of(mail, text, i, &n);
        g_string_append_len(lines, at, (gssize)n);
        g_string_append_c(lines, '\n');
    }
    return pd_attribution_of(lines->str, lines->len, author);
}

/* The first of the lines that end in `last`, which ends in a colon: as few as are an attribution,
 * and one with the date above them. */
static guint
attribution_above(const PdMailText *mail, const char *text, guint last, const char *author)
{
    PdLineKind kind = pd_mail_line(mail, last)->kind;
    PdAttribution best = PD_ATTRIBUTION_NONE;
    guint top = last + 1;
    for (guint i = last + 1; i > 0 && last + 1 - i < ATTRIBUTION_LINES; i--) {
        if (is_empty(mail, i - 1) || pd_mail_line(mail, i - 1)->kind != kind)
            break;
        PdAttribution found = attribution_of(mail, text, i - 1, last, author);
        if (found <= best)
            continue;
        best = found;
        top = i - 1;
    }
    return top;
}

/* "From: Kay Smith" */
static gboolean
names_sender(const PdMailText *mail, const char *text, guint i, const char *author)
{
    gsize n;
    const char *at = content_of(mail, text, i, &n);
    gsize name = header_name_length(at, n);
    return pd_names_author_only(at + name, n - name, author);
}

/* The first of the headers directly above `end` that say who wrote what follows; `end`: there are
 * none.  Below a separator, which goes with them, all do; otherwise there must be three, the
 * sender's first, and a date. */
static guint
headers_above(const PdMailText *mail, const char *text, guint end, const char *author)
{
    gboolean dated = FALSE, sender_dated = FALSE;
    guint sender = end, i = end;
    for (; i > 0 && end - i < HEADER_LINES && is_header(mail, text, i - 1); i--) {
        gsize n;
        const char *at = content_of(mail, text, i - 1, &n);
        dated |= has_date(at, n);
        if (!names_sender(mail, text, i - 1, author))
            continue;
        sender = i - 1;
        sender_dated = dated;
    }
    if (sender < end && i > 0 && is_empty(mail, i - 1))
        i--;
    if (sender < end && i > 0 && is_separator(mail, text, i - 1))
        return i - 1;
    return sender_dated && end - sender >= 3 ? sender : end;
}

guint
pd_mail_attribution(const PdMailText *mail, const char *text, guint first, const char *author)
{
    guint end = first; /* behind the last line of what stands above */
    while (end > 0 && first - end < EMPTY_LINES && is_empty(mail, end - 1))
        end--;
    if (end == 0 || is_empty(mail, end - 1))
        return first;
    guint top = end;
    if (ends_in_colon(mail, text, end - 1))
        top = attribution_above(mail, text, end - 1, author);
    if (top == end)
        top = headers_above(mail, text, end, author);
    return top < end ? top : first;
}
