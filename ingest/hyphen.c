/* Broken words: see hyphen.h. */
#include "ingest/hyphen.h"

#include <string.h>

#define SOFT_HYPHEN 0xADu
#define HYPHEN 0x2010u
#define HALF_BYTES_MAX 64 /* no word is longer */
/* Nobody breaks a word after one letter, or before the last one or two of it. */
#define LEFT_LETTERS_MIN 2
#define RIGHT_LETTERS_MIN 3

/* A hyphen at a line's end between two halves of a word.  In bytes of a part's text. */
typedef struct {
    guint part;
    guint32 left;   /* the first half begins */
    guint32 hyphen; /* and ends */
    guint32 after;  /* the hyphen ends */
    guint32 right;  /* the second half begins */
    guint32 end;    /* and ends */
    gboolean soft;
    gboolean far;      /* an empty line between the halves: a column's end */
    gboolean compound; /* there is another hyphen on either side */
} Break;

/* What the document's other words say; strings in small letters. */
typedef struct {
    const PdDocument *document;
    GArray *breaks;     /* Break, in order */
    GHashTable *counts; /* what is asked for -> how often it is there (GUINT) */
} Words;

static gboolean
is_hyphen(gunichar c)
{
    return c == '-' || c == HYPHEN || c == SOFT_HYPHEN;
}

static const char *
text_of(const PdDocument *document, guint part, gsize *n)
{
    const GString *text = ((PdPart *)g_ptr_array_index(document->parts, part))->text;
    *n = text->len;
    return text->str;
}

/* --- where words are broken ---------------------------------------------------------------- */

/* Where the letters that end at `at` begin. */
static gsize
letters_before(const char *text, gsize at)
{
    while (at > 0) {
        const char *c = g_utf8_find_prev_char(text, text + at);
        if (!c || !g_unichar_isalpha(g_utf8_get_char(c)))
            break;
        at = (gsize)(c - text);
    }
    return at;
}

static gsize
letters_after(const char *text, gsize at, gsize n)
{
    while (at < n && g_unichar_isalpha(g_utf8_get_char(text + at)))
        at = (gsize)(g_utf8_next_char(text + at) - text);
    return at;
}

/* Is what stands there more than a word: an address, a path, a number, a name with a dot in it? */
static gboolean
is_no_word(const char *text, const Break *b, gsize n)
{
    gsize from = b->left, to = b->end;
    while (from > 0 && !strchr(" \t\n", text[from - 1]))
        from--;
    while (to < n && !strchr(" \t\n", text[to]))
        to++;
    for (gsize i = from; i < to; i++) {
        if (i >= b->hyphen && i < b->right)
            continue;
        if (strchr("/@\\_=<>|", text[i]) || g_ascii_isdigit(text[i]) ||
            (strchr(".:", text[i]) && i + 1 < to && g_ascii_isalnum(text[i + 1])))
            return TRUE;
    }
    return FALSE;
}

/* Lines of a table have several cells: what follows may belong to another one. */
static gboolean
is_in_cells(const char *text, gsize n, const Break *b)
{
    const char *before = g_strrstr_len(text, b->left, "\n");
    const char *line = before ? before + 1 : text;
    const char *end = memchr(text + b->end, '\n', n - b->end);
    return memchr(line, '\t', (gsize)((end ? end : text + n) - line)) != NULL;
}

/* Fills in the break at the line's end `at`; FALSE: there is none. */
static gboolean
break_at(const char *text, gsize n, gsize at, Break *b)
{
    const char *hyphen = at > 0 ? g_utf8_find_prev_char(text, text + at) : NULL;
    gunichar c = hyphen ? g_utf8_get_char(hyphen) : 0;
    if (!is_hyphen(c))
        return FALSE;
    b->far = at + 1 < n && text[at + 1] == '\n';
    b->soft = c == SOFT_HYPHEN;
    b->hyphen = (guint32)(hyphen - text);
    b->after = (guint32)at;
    b->right = (guint32)(at + 1 + b->far);
    b->left = (guint32)letters_before(text, b->hyphen);
    b->end = (guint32)letters_after(text, b->right, n);
    if (b->left == b->hyphen || b->end == b->right || b->hyphen - b->left > HALF_BYTES_MAX ||
        b->end - b->right > HALF_BYTES_MAX || is_no_word(text, b, n) || is_in_cells(text, n, b))
        return FALSE;
    const char *before = b->left ? g_utf8_find_prev_char(text, text + b->left) : NULL;
    b->compound = (before && is_hyphen(g_utf8_get_char(before))) ||
                  (b->end < n && is_hyphen(g_utf8_get_char(text + b->end)) &&
                   g_unichar_isalpha(g_utf8_get_char(g_utf8_next_char(text + b->end))));
    return TRUE;
}

/* Only pages break words: what people wrote into comments and fields stays as it is. */
static gboolean
is_page(const PdPart *part)
{
    return g_str_has_prefix(part->path, "page/") && !strchr(part->path + strlen("page/"), '/');
}

static void
find_breaks(Words *words)
{
    for (guint i = 0; i < words->document->parts->len; i++) {
        gsize n;
        const char *text = text_of(words->document, i, &n);
        if (!is_page(g_ptr_array_index(words->document->parts, i)))
            continue;
        for (const char *at = text; (at = memchr(at, '\n', n - (gsize)(at - text))); at++) {
            Break b = {.part = i};
            if (break_at(text, n, (gsize)(at - text), &b))
                g_array_append_val(words->breaks, b);
        }
    }
}

/* --- the document's other words ------------------------------------------------------------ */

static void
append_small(GString *out, const char *at, gsize n)
{
    for (const char *end = at + n; at < end; at = g_utf8_next_char(at))
        g_string_append_unichar(out, g_unichar_tolower(g_utf8_get_char(at)));
}

/* "left" BETWEEN "right", each where it is not left out. */
static char *
word_of(const Words *words, const Break *b, gboolean left, const char *between, gboolean right)
{
    gsize n;
    const char *text = text_of(words->document, b->part, &n);
    GString *word = g_string_new(NULL);
    if (left)
        append_small(word, text + b->left, b->hyphen - b->left);
    g_string_append(word, between);
    if (right)
        append_small(word, text + b->right, b->end - b->right);
    return g_string_free(word, FALSE);
}

static guint
count_of(const Words *words, const Break *b, gboolean left, const char *between, gboolean right)
{
    g_autofree char *word = word_of(words, b, left, between, right);
    return GPOINTER_TO_UINT(g_hash_table_lookup(words->counts, word));
}

/* The word as one, with its hyphen, its halves, and the first one as the beginning of a compound.
 */
static void
ask_for(Words *words, const Break *b)
{
    char *asked[] = {word_of(words, b, TRUE, "", TRUE), word_of(words, b, TRUE, "-", TRUE),
                     word_of(words, b, TRUE, "", FALSE), word_of(words, b, FALSE, "", TRUE),
                     word_of(words, b, TRUE, "-", FALSE)};
    for (gsize i = 0; i < G_N_ELEMENTS(asked); i++)
        g_hash_table_insert(words->counts, asked[i], GUINT_TO_POINTER(0));
}

static void
count(Words *words, const GString *word)
{
    gpointer key, n;
    if (g_hash_table_lookup_extended(words->counts, word->str, &key, &n))
        g_hash_table_insert(words->counts, g_strdup(word->str),
                            GUINT_TO_POINTER(GPOINTER_TO_UINT(n) + 1));
}

/* Count the word [start, end) of a text, and the compound that it begins. */
static void
count_word(Words *words, GString *word, const char *text, gsize n, gsize start, gsize end)
{
    g_string_truncate(word, 0);
    append_small(word, text + start, end - start);
    count(words, word);
    const char *hyphen = text + end;
    gunichar c = end < n ? g_utf8_get_char(hyphen) : 0;
    gsize next = c ? (gsize)(g_utf8_next_char(hyphen) - text) : n;
    gsize next_end = c == '-' || c == HYPHEN ? letters_after(text, next, n) : next;
    if (next_end == next)
        return;
    g_string_append_c(word, '-');
    count(words, word);
    append_small(word, text + next, next_end - next);
    count(words, word);
}

/* All words of a part but the halves of broken ones, whose breaks are those from *next on. */
static void
count_part(Words *words, guint part, guint *next)
{
    gsize n;
    const char *text = text_of(words->document, part, &n);
    g_autoptr(GString) word = g_string_new(NULL);
    for (gsize at = 0; at < n;) {
        gsize end = letters_after(text, at, n);
        if (end == at) {
            at = (gsize)(g_utf8_next_char(text + at) - text);
            continue;
        }
        const Break *b =
            *next < words->breaks->len ? &g_array_index(words->breaks, Break, *next) : NULL;
        gboolean left_half = b && b->part == part && at == b->left;
        gboolean right_half = b && b->part == part && at == b->right;
        *next += right_half;
        if (!left_half && !right_half && end - at <= HALF_BYTES_MAX)
            count_word(words, word, text, n, at, end);
        at = end;
    }
}

static void
count_words(Words *words)
{
    guint next = 0;
    for (guint i = 0; i < words->breaks->len; i++)
        ask_for(words, &g_array_index(words->breaks, Break, i));
    for (guint i = 0; i < words->document->parts->len; i++)
        count_part(words, i, &next);
}

/* --- what a hyphen is ---------------------------------------------------------------------- */

typedef enum {
    LEAVE, /* the hyphen and the line's end */
    JOIN,  /* one word */
    CLOSE, /* the word has a hyphen of its own */
} Verdict;

static gboolean
is_one_of(const char *const *list, const char *word)
{
    return g_strv_contains(list, word);
}

/* "short-" "and long-term": the second half is a word that joins, and the first waits for its own.
 */
static gboolean
is_suspended(const char *right)
{
    static const char *const joining[] = {"and",   "or", "to", "und", "oder",  "bis",
                                          "sowie", "et", "ou", "og",  "eller", "och",
                                          "en",    "of", "y",  "e",   "ed",    NULL};
    return is_one_of(joining, right);
}

/* Nothing in the document has the word, whole or with its hyphen: are the halves words? */
static Verdict
judge_halves(const Words *words, const Break *b)
{
    /* These stand before a hyphen as nothing else does; those after none, though they are words. */
    static const char *const heads[] = {"non", "self", "ex", "co", "quasi", NULL};
    static const char *const tails[] = {"able", "age",  "ally", "ant",  "ate",  "form",
                                        "ful",  "hood", "ion",  "less", "most", "ness",
                                        "ship", "some", "ward", "wise", NULL};
    g_autofree char *left = word_of(words, b, TRUE, "", FALSE);
    g_autofree char *right = word_of(words, b, FALSE, "", TRUE);
    gboolean right_is_word = count_of(words, b, FALSE, "", TRUE) > 0;
    if (b->compound || g_utf8_strlen(left, -1) < LEFT_LETTERS_MIN || is_one_of(heads, left))
        return CLOSE;
    if (!right_is_word && count_of(words, b, TRUE, "-", FALSE) > 0)
        return CLOSE; /* it begins other compounds */
    if (!right_is_word || is_one_of(tails, right))
        return JOIN;
    if (g_utf8_strlen(right, -1) < RIGHT_LETTERS_MIN)
        return CLOSE;
    return count_of(words, b, TRUE, "", FALSE) > 0 || count_of(words, b, TRUE, "-", FALSE) > 0
               ? CLOSE
               : JOIN;
}

static Verdict
judge(const Words *words, const Break *b)
{
    gsize n;
    const char *text = text_of(words->document, b->part, &n);
    const char *last_left = g_utf8_find_prev_char(text, text + b->hyphen);
    gboolean left_small = g_unichar_islower(g_utf8_get_char(last_left));
    gboolean right_small = g_unichar_islower(g_utf8_get_char(text + b->right));
    /* "Anglo-" "Saxon" is no word without its hyphen. */
    guint n_joined = left_small && !right_small ? 0 : count_of(words, b, TRUE, "", TRUE);
    guint n_closed = count_of(words, b, TRUE, "-", TRUE);
    g_autofree char *right = word_of(words, b, FALSE, "", TRUE);
    if (b->soft)
        return JOIN;
    if (is_suspended(right))
        return LEAVE;
    if (n_joined != n_closed)
        return n_joined > n_closed ? JOIN : CLOSE;
    if (n_joined)
        return CLOSE;
    return b->far || !left_small || !right_small ? LEAVE : judge_halves(words, b);
}

/* --- what is replaced ---------------------------------------------------------------------- */

static void
add_range(GPtrArray *parts, const Break *b, Verdict verdict)
{
    GArray *list = g_ptr_array_index(parts, b->part);
    PdTextRange range = {verdict == JOIN ? b->hyphen : b->after, b->right};
    if (!list)
        list = parts->pdata[b->part] = g_array_new(FALSE, FALSE, sizeof(PdTextRange));
    g_array_append_val(list, range);
}

GPtrArray *
pd_hyphens_find(const PdDocument *document)
{
    if (document->kind != PD_KIND_PDF)
        return NULL;
    GPtrArray *parts = pd_part_lists_new(document);
    g_autoptr(GArray) breaks = g_array_new(FALSE, FALSE, sizeof(Break));
    g_autoptr(GHashTable) counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Words words = {document, breaks, counts};
    find_breaks(&words);
    if (breaks->len)
        count_words(&words);
    for (guint i = 0; i < breaks->len; i++) {
        const Break *b = &g_array_index(breaks, Break, i);
        Verdict verdict = judge(&words, b);
        if (verdict != LEAVE)
            add_range(parts, b, verdict);
    }
    return parts;
}
