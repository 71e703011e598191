/* See names.h. */
#include "prompts/names.h"

#include <string.h>
#include "prompts/words.h"

/* --- in the question --- */

static gboolean
is_date_word(const char *lower)
{
    static const char *const words[] = {
        "january",   "february",  "march",   "april",    "may",      "june",   "july",
        "august",    "september", "october", "november", "december", "monday", "tuesday",
        "wednesday", "thursday",  "friday",  "saturday", "sunday",   NULL};

    return g_strv_contains(words, lower);
}

/* Does a sentence or quotation begin at `word`? */
static gboolean
begins_sentence(const char *text, const char *word)
{
    while (word > text) {
        gunichar c = g_utf8_get_char(word = g_utf8_prev_char(word));

        if (c == '(' || c == '[' || (g_unichar_isspace(c) && c != '\n'))
            continue;
        return strchr(".?!:;\"'`\n", (int)MIN(c, 0x7f)) != NULL || c == 0x201c || c == 0x201e ||
               c == 0xab;
    }
    return TRUE;
}

/* A number that goes on behind a point or stroke, or begins before one. */
static gboolean
is_part_of_number(const char *text, const char *word, const char *end)
{
    for (const char *p = word; p < end; p++)
        if (!g_ascii_isdigit(*p))
            return FALSE;
    return (strchr(".,:/-", *end) && *end && g_ascii_isdigit(end[1])) ||
           (word - text >= 2 && strchr(".,:/-", word[-1]) && g_ascii_isdigit(word[-2]));
}

static gboolean
is_name(const char *text, const char *word, const char *end)
{
    gboolean has_digit = FALSE, has_inner_capital = FALSE;

    for (const char *p = word; p < end; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        has_digit |= g_unichar_isdigit(c);
        has_inner_capital |= p > word && g_unichar_isupper(c);
    }
    if (has_digit)
        return !is_part_of_number(text, word, end);
    return has_inner_capital || (g_unichar_isupper(g_utf8_get_char(word)) &&
                                 g_utf8_next_char(word) < end && !begins_sentence(text, word));
}

static gboolean
is_lower_of(gconstpointer word, gconstpointer lower)
{
    g_autofree char *lowered = g_utf8_strdown(word, -1);

    return g_str_equal(lowered, lower);
}

static void
add_name(GPtrArray *names, const char *word, const char *end)
{
    g_autofree char *lower = g_utf8_strdown(word, end - word);

    if (!pd_word_is_empty(lower) && !is_date_word(lower) &&
        !g_ptr_array_find_with_equal_func(names, lower, is_lower_of, NULL))
        g_ptr_array_add(names, g_strndup(word, (gsize)(end - word)));
}

GPtrArray *
pd_names(const char *question)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *text = g_utf8_make_valid(question, -1);

    for (const char *p = text, *end; *p; p = end) {
        end = pd_word_end(p);
        if (end == p)
            end = g_utf8_next_char(p);
        else if (is_name(text, p, end))
            add_name(names, p, end);
    }
    return names;
}

/* --- in the passages --- */

/* Letters at the end of a word in which its forms may differ. */
#define ENDING_LETTERS 2
#define STEM_LETTERS 3

/* How many bytes of a name a word must share with it; 0: all of it. */
static gsize
stem_bytes(const char *name)
{
    glong n = g_utf8_strlen(name, -1);

    if (n < STEM_LETTERS + ENDING_LETTERS || strpbrk(name, "0123456789_"))
        return 0;
    return (gsize)(g_utf8_offset_to_pointer(name, n - ENDING_LETTERS) - name);
}

/* Forget the names that stand in a text. */
static void
remove_read(GPtrArray *names, const char *text, gsize n_bytes)
{
    g_autoptr(GPtrArray) words = names->len > 0 ? pd_words(text, n_bytes) : NULL;

    for (guint i = 0; words && i < words->len; i++) {
        const char *word = words->pdata[i];

        for (guint j = names->len; j-- > 0;) {
            g_autofree char *name = g_utf8_strdown(names->pdata[j], -1);
            gsize stem = stem_bytes(name);

            if (stem ? strncmp(name, word, stem) == 0 : g_str_equal(name, word))
                g_ptr_array_remove_index(names, j);
        }
    }
}

GPtrArray *
pd_names_unread(const PdContext *context, GArray *passages, const char *question, GError **error)
{
    g_autoptr(GPtrArray) names = pd_names(question);

    for (guint i = 0; i < passages->len && names->len > 0; i++) {
        const PdPassage *passage = &g_array_index(passages, PdPassage, i);
        const char *header =
            g_array_index(context->segments, PdContextSegment, passage->segment).header;
        guint32 start, end;
        g_autoptr(PdPartRow) part = pd_passage_part(context, passage, &start, &end, error);

        if (!part)
            return NULL;
        remove_read(names, part->text + start, end - start);
        remove_read(names, header, strlen(header));
    }
    return g_steal_pointer(&names);
}
