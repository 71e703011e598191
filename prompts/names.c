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

/* German writes every noun with a capital: its words that join are enough to know it by. */
static gboolean
capitals_are_nouns(const char *text)
{
    static const char *const joints[] = {"der",   "die", "das",  "dem",    "ist",     "und",
                                         "wie",   "wer", "wann", "welche", "welcher", "welches",
                                         "vom",   "zum", "zur",  "ein",    "eine",    "einen",
                                         "nicht", "bei", "auf",  NULL};
    g_autoptr(GPtrArray) words = pd_words(text, strlen(text));
    guint n = 0;

    for (guint i = 0; i < words->len; i++)
        n += g_strv_contains(joints, words->pdata[i]);
    return n >= 2;
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
is_name(const char *text, const char *word, const char *end, gboolean first_capitals)
{
    gboolean has_digit = FALSE, has_inner_capital = FALSE;

    for (const char *p = word; p < end; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        has_digit |= g_unichar_isdigit(c);
        has_inner_capital |= p > word && g_unichar_isupper(c);
    }
    if (has_digit)
        return !is_part_of_number(text, word, end);
    return has_inner_capital || (first_capitals && g_unichar_isupper(g_utf8_get_char(word)) &&
                                 g_utf8_next_char(word) < end && !begins_sentence(text, word));
}

/* `seen`: the lower-case names so far. */
static void
add_name(GPtrArray *names, GHashTable *seen, const char *word, const char *end)
{
    g_autofree char *lower = g_utf8_strdown(word, end - word);

    if (!pd_word_is_empty(lower) && !is_date_word(lower) &&
        g_hash_table_add(seen, g_steal_pointer(&lower)))
        g_ptr_array_add(names, g_strndup(word, (gsize)(end - word)));
}

GPtrArray *
pd_names(const char *question)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *text = g_utf8_make_valid(question, -1);
    gboolean first_capitals = !capitals_are_nouns(text);

    for (const char *p = text, *end; *p; p = end) {
        end = pd_word_end(p);
        if (end == p)
            end = g_utf8_next_char(p);
        else if (is_name(text, p, end, first_capitals))
            add_name(names, seen, p, end);
    }
    return names;
}

/* --- in the passages --- */

typedef struct {
    char *lower;
    gboolean is_read;
} Name;

static void
clear_name(gpointer name)
{
    g_free(((Name *)name)->lower);
}

static GArray *
look_for(GPtrArray *names)
{
    GArray *wanted = g_array_new(FALSE, FALSE, sizeof(Name));

    g_array_set_clear_func(wanted, clear_name);
    for (guint i = 0; i < names->len; i++) {
        Name name = {.lower = g_utf8_strdown(names->pdata[i], -1)};
        g_array_append_val(wanted, name);
    }
    return wanted;
}

static void
mark_read(GArray *wanted, const char *text, gsize n_bytes)
{
    g_autoptr(GPtrArray) words = pd_words(text, n_bytes);

    for (guint i = 0; i < words->len; i++) {
        for (guint j = 0; j < wanted->len; j++) {
            Name *name = &g_array_index(wanted, Name, j);
            name->is_read |= pd_word_is_form(words->pdata[i], name->lower);
        }
    }
}

GPtrArray *
pd_names_unread(const PdContext *context, GArray *passages, const char *question, GError **error)
{
    g_autoptr(GPtrArray) names = pd_names(question);
    g_autoptr(GArray) wanted = look_for(names);

    for (guint i = 0; i < passages->len && names->len > 0; i++) {
        const PdPassage *passage = &g_array_index(passages, PdPassage, i);
        const char *header =
            g_array_index(context->segments, PdContextSegment, passage->segment).header;
        guint32 start, end;
        g_autoptr(PdPartRow) part = pd_passage_part(context, passage, &start, &end, error);

        if (!part)
            return NULL;
        mark_read(wanted, part->text + start, end - start);
        mark_read(wanted, header, strlen(header));
    }
    for (guint i = names->len; i-- > 0;)
        if (g_array_index(wanted, Name, i).is_read)
            g_ptr_array_remove_index(names, i);
    return g_steal_pointer(&names);
}
