/* See words.h. */
#include "prompts/words.h"

#include <string.h>

gboolean
pd_word_is_empty(const char *lower)
{
    static const char *const words[] = {
        "a",    "an",   "and",  "are",  "as",    "at",   "be",   "by",    "did",   "do",
        "does", "for",  "from", "had",  "has",   "have", "how",  "in",    "is",    "it",
        "its",  "many", "much", "of",   "on",    "or",   "that", "the",   "their", "there",
        "they", "this", "to",   "was",  "were",  "what", "when", "where", "which", "who",
        "whom", "why",  "will", "with", "would", NULL};

    return g_strv_contains(words, lower);
}

static gboolean
in_word(const char *p)
{
    return *p == '_' || g_unichar_isalnum(g_utf8_get_char(p));
}

const char *
pd_word_end(const char *p)
{
    while (*p && in_word(p))
        p = g_utf8_next_char(p);
    return p;
}

GPtrArray *
pd_words(const char *text, gsize n_bytes)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *valid = g_utf8_make_valid(text, (gssize)n_bytes);
    g_autofree char *lower = g_utf8_strdown(valid, -1);

    for (const char *p = lower; *p;) {
        const char *start = p;

        p = pd_word_end(p);
        if (p > start)
            g_ptr_array_add(words, g_strndup(start, (gsize)(p - start)));
        else
            p = g_utf8_next_char(p);
    }
    return words;
}

/* Letters at the end of a word in which its forms may differ. */
#define ENDING_LETTERS 2
#define STEM_LETTERS 3

gboolean
pd_word_is_form(const char *word, const char *of)
{
    static const char *const endings[] = {"", "s", "d", "es", "ed", NULL};
    glong n = g_utf8_strlen(of, -1);
    gsize stem;

    if (strpbrk(of, "0123456789_"))
        return g_str_equal(word, of);
    if (n < STEM_LETTERS + ENDING_LETTERS)
        return g_str_has_prefix(word, of) && g_strv_contains(endings, word + strlen(of));
    stem = (gsize)(g_utf8_offset_to_pointer(of, n - ENDING_LETTERS) - of);
    return strncmp(word, of, stem) == 0;
}

GHashTable *
pd_content_words(const char *text, gsize n_bytes)
{
    GHashTable *content = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) words = pd_words(text, n_bytes);

    for (guint i = 0; i < words->len; i++) {
        const char *word = words->pdata[i];

        if (strpbrk(word, "0123456789") || g_utf8_strlen(word, -1) >= 3)
            g_hash_table_add(content, g_strdup(word));
    }
    return content;
}

float
pd_words_overlap(GHashTable *wanted, GHashTable *words)
{
    GHashTableIter iter;
    gpointer word;
    guint found = 0;

    if (g_hash_table_size(wanted) == 0)
        return 0;
    g_hash_table_iter_init(&iter, wanted);
    while (g_hash_table_iter_next(&iter, &word, NULL))
        found += g_hash_table_contains(words, word);
    return (float)found / g_hash_table_size(wanted);
}
