/* Finding what stands elsewhere: see fold_match.h. */
#include "ingest/fold_match.h"

#include <stdlib.h>
#include <string.h>

#define PLACES_MAX 8    /* of the same words: the first so many mails */
#define KEPT_LINES 4    /* of a quote, above its answer */
#define FOOTER_MAILS 3  /* a paragraph at the end of so many is a footer */
#define FOOTER_BYTES 40 /* a shorter one stays */
#define FILTER_BITS 20  /* of a hash: most words of a mail are nowhere quoted */
#define SORT_MIN 65536  /* so many hashes are sorted, to find those that are there twice */
#define GRAM_BASE 0x9e3779b97f4a7c15u

typedef struct {
    guint32 next; /* + 1, of the same words; 0: none */
    guint32 mail;
    guint32 part;
    guint32 word;
} Place;

typedef struct {
    guint32 first; /* + 1, in `places` */
    guint32 last;
    guint32 n;
} Chain;

typedef struct {
    guint32 n_mails;
    guint32 first_mail;
    guint32 first_part;
    guint32 first_word; /* in it */
    guint32 last_mail;
} Paragraph;

struct PdFoldIndex {
    GArray *grams;      /* guint64, sorted and each once when `sealed` */
    GArray *chains;     /* Chain, of each gram */
    GArray *places;     /* Place */
    GArray *hashes;     /* guint64 of paragraphs, likewise */
    GArray *paragraphs; /* Paragraph, of each hash */
    guint32 *filter;    /* a bit for the low bits of each gram */
    guint64 base_power; /* GRAM_BASE to the PD_FOLD_WORDS - 1 */
    gsize n_sorted;     /* hashes wanted, each once, when they were last counted */
    gboolean sealed;
};

PdFoldIndex *
pd_fold_index_new(void)
{
    PdFoldIndex *index = g_new0(PdFoldIndex, 1);
    index->grams = g_array_new(FALSE, FALSE, sizeof(guint64));
    index->chains = g_array_new(FALSE, TRUE, sizeof(Chain));
    index->places = g_array_new(FALSE, FALSE, sizeof(Place));
    index->hashes = g_array_new(FALSE, FALSE, sizeof(guint64));
    index->paragraphs = g_array_new(FALSE, TRUE, sizeof(Paragraph));
    index->filter = g_new0(guint32, (1u << FILTER_BITS) / 32);
    index->base_power = 1;
    for (guint i = 1; i < PD_FOLD_WORDS; i++)
        index->base_power *= GRAM_BASE;
    return index;
}

void
pd_fold_index_free(PdFoldIndex *index)
{
    if (!index)
        return;
    g_array_unref(index->grams);
    g_array_unref(index->chains);
    g_array_unref(index->places);
    g_array_unref(index->hashes);
    g_array_unref(index->paragraphs);
    g_free(index->filter);
    g_free(index);
}

void
pd_fold_text_free(PdFoldText *text)
{
    if (!text)
        return;
    if (text->text)
        g_string_free(text->text, TRUE);
    pd_mail_text_free(text->mail);
    g_free(text->author);
    g_free(text);
}

/* --- hashes -------------------------------------------------------------------------------- */

static guint64
word_hash(const PdMailText *text, guint i)
{
    return g_array_index(text->words, PdMailWord, i).hash;
}

static guint64
gram_at(const PdMailText *text, guint word)
{
    guint64 gram = 0;
    for (guint i = 0; i < PD_FOLD_WORDS; i++)
        gram = gram * GRAM_BASE + word_hash(text, word + i);
    return gram;
}

static int
compare_hashes(const void *a, const void *b)
{
    guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
    return (x > y) - (x < y);
}

static void
sort_once(GArray *hashes)
{
    guint64 *list = (guint64 *)(gpointer)hashes->data;
    guint n = 0;
    if (hashes->len > 1)
        qsort(list, hashes->len, sizeof *list, compare_hashes);
    for (guint i = 0; i < hashes->len; i++)
        if (i == 0 || list[i] != list[i - 1])
            list[n++] = list[i];
    g_array_set_size(hashes, n);
}

/* The place of a hash in the list; -1: it is not there. */
static gint64
find_hash(const GArray *hashes, guint64 hash)
{
    const guint64 *list = (const guint64 *)(gconstpointer)hashes->data;
    const guint64 *at =
        hashes->len ? bsearch(&hash, list, hashes->len, sizeof hash, compare_hashes) : NULL;
    return at ? at - list : -1;
}

/* --- what is wanted ------------------------------------------------------------------------ */

static gboolean
is_empty(const PdMailText *text, guint i)
{
    return pd_mail_line(text, i)->first_word == pd_mail_line_words_end(text, i);
}

/* Behind the last word of the quote that line i is part of. */
static guint
quote_words_end(const PdMailText *text, guint i)
{
    while (i < text->lines->len &&
           (pd_mail_line(text, i)->kind != PD_LINE_OWN || is_empty(text, i)))
        i++;
    return i < text->lines->len ? pd_mail_line(text, i)->first_word : text->words->len;
}

gsize
pd_fold_index_n_wanted(const PdFoldIndex *index)
{
    return index->grams->len + index->hashes->len;
}

/* Mails quote the same ones over and over: what is wanted twice is kept once. */
static void
want_once(PdFoldIndex *index)
{
    if (pd_fold_index_n_wanted(index) < MAX(2 * index->n_sorted, SORT_MIN))
        return;
    sort_once(index->grams);
    sort_once(index->hashes);
    index->n_sorted = pd_fold_index_n_wanted(index);
}

void
pd_fold_index_want(PdFoldIndex *index, const PdMailText *text)
{
    guint quote_end = 0;
    g_assert(!index->sealed);
    for (guint i = 0; i < text->lines->len; i++) {
        const PdMailLine *line = pd_mail_line(text, i);
        if (line->kind == PD_LINE_OWN || is_empty(text, i))
            continue;
        if (line->first_word >= quote_end)
            quote_end = quote_words_end(text, i);
        if (line->first_word + PD_FOLD_WORDS > quote_end)
            continue;
        guint64 gram = gram_at(text, line->first_word);
        g_array_append_val(index->grams, gram);
    }
    for (guint i = 0; i < text->paragraphs->len; i++)
        g_array_append_val(index->hashes, g_array_index(text->paragraphs, PdMailParagraph, i).hash);
    want_once(index);
}

static void
seal(PdFoldIndex *index)
{
    sort_once(index->grams);
    sort_once(index->hashes);
    g_array_set_size(index->chains, index->grams->len);
    g_array_set_size(index->paragraphs, index->hashes->len);
    for (guint i = 0; i < index->grams->len; i++) {
        guint64 gram = g_array_index(index->grams, guint64, i) & ((1u << FILTER_BITS) - 1);
        index->filter[gram / 32] |= 1u << (gram % 32);
    }
    index->sealed = TRUE;
}

/* --- where it stands ----------------------------------------------------------------------- */

static void
offer_gram(PdFoldIndex *index, guint64 gram, guint mail, guint part, guint word)
{
    guint64 low = gram & ((1u << FILTER_BITS) - 1);
    if (!(index->filter[low / 32] & (1u << (low % 32))))
        return;
    gint64 at = find_hash(index->grams, gram);
    Chain *chain = at < 0 ? NULL : &g_array_index(index->chains, Chain, at);
    if (!chain || chain->n == PLACES_MAX)
        return;
    Place place = {0, mail, part, word};
    g_array_append_val(index->places, place);
    if (chain->n++)
        g_array_index(index->places, Place, chain->last - 1).next = index->places->len;
    else
        chain->first = index->places->len;
    chain->last = index->places->len;
}

void
pd_fold_index_offer(PdFoldIndex *index, guint mail, guint part, const PdMailText *text)
{
    guint64 gram = 0;
    if (!index->sealed)
        seal(index);
    for (guint i = 0; i < text->words->len; i++) {
        if (i >= PD_FOLD_WORDS)
            gram -= word_hash(text, i - PD_FOLD_WORDS) * index->base_power;
        gram = gram * GRAM_BASE + word_hash(text, i);
        if (i + 1 >= PD_FOLD_WORDS)
            offer_gram(index, gram, mail, part, i + 1 - PD_FOLD_WORDS);
    }
    for (guint i = 0; i < text->paragraphs->len; i++) {
        const PdMailParagraph *p = &g_array_index(text->paragraphs, PdMailParagraph, i);
        gint64 at = p->is_own ? find_hash(index->hashes, p->hash) : -1;
        Paragraph *known = at < 0 ? NULL : &g_array_index(index->paragraphs, Paragraph, at);
        if (!known || (known->n_mails && known->last_mail == mail))
            continue;
        if (known->n_mails++ == 0) {
            known->first_mail = mail;
            known->first_part = part;
            known->first_word = pd_mail_line(text, p->first_line)->first_word;
        }
        known->last_mail = mail;
    }
}

/* --- folds --------------------------------------------------------------------------------- */

typedef struct {
    const PdFoldIndex *index;
    guint mail;
    const PdFoldText *text;
    PdFoldLoad load;
    gpointer user_data;
    GArray *folds; /* PdFold: footers, then quotes */
    guint n_footers;
} Search;

static gboolean
same_word(const PdFoldText *a, guint i, const PdFoldText *b, guint j)
{
    const PdMailWord *x = &g_array_index(a->mail->words, PdMailWord, i);
    const PdMailWord *y = &g_array_index(b->mail->words, PdMailWord, j);
    return x->hash == y->hash && x->end - x->start == y->end - y->start &&
           memcmp(a->text->str + x->start, b->text->str + y->start, x->end - x->start) == 0;
}

/* How many words from `word` on stand at a place; up to `end`. */
static guint
match_length(const Search *search, guint word, guint end, const Place *place,
             const PdFoldText *source)
{
    guint n = 0, n_max = MIN(end - word, source->mail->words->len - place->word);
    gboolean own_only = place->mail > search->mail;
    while (n < n_max && same_word(search->text, word + n, source, place->word + n)) {
        guint line = own_only ? pd_mail_line_of_word(source->mail, place->word + n) : 0;
        if (own_only && pd_mail_line(source->mail, line)->kind != PD_LINE_OWN)
            break;
        n++;
    }
    return n;
}

/* The place with most of the words from `word` to `end`; of several the first that is no quote
 * itself, or else the first; *n 0: there is none. */
static gboolean
best_place(const Search *search, guint word, guint end, guint *n, Place *best, GError **error)
{
    const PdFoldIndex *index = search->index;
    gint64 at = word + PD_FOLD_WORDS <= end
                    ? find_hash(index->grams, gram_at(search->text->mail, word))
                    : -1;
    gboolean best_is_own = FALSE;
    *n = 0;
    for (guint32 next = at < 0 ? 0 : g_array_index(index->chains, Chain, at).first; next > 0;) {
        const Place *place = &g_array_index(index->places, Place, next - 1);
        next = place->next;
        if (place->mail == search->mail)
            continue;
        const PdFoldText *source = search->load(place->mail, place->part, search->user_data, error);
        if (!source)
            return FALSE;
        guint length = match_length(search, word, end, place, source);
        guint line = pd_mail_line_of_word(source->mail, place->word);
        gboolean own = pd_mail_line(source->mail, line)->kind == PD_LINE_OWN;
        if (length > *n || (length == *n && own && !best_is_own)) {
            *n = length;
            *best = *place;
            best_is_own = own;
        }
    }
    return TRUE;
}

/* Is one of the lines [first, end) part of a footer that is left out? */
static gboolean
is_footer(const Search *search, guint first, guint end)
{
    for (guint k = 0; k < search->n_footers; k++) {
        const PdFold *fold = &g_array_index(search->folds, PdFold, k);
        if (fold->first_line < end && first <= fold->last_line)
            return TRUE;
    }
    return FALSE;
}

/* Does the mail's own text go on behind line i, other than with its signature?  Then what stands
 * there answers the quote. */
static gboolean
is_answered(const Search *search, guint i)
{
    const PdMailText *mail = search->text->mail;
    PdLineKind kind = pd_mail_line(mail, i)->kind;
    for (i++; i < mail->lines->len && is_empty(mail, i);)
        i++;
    if (i >= mail->signature)
        return FALSE;
    if (is_footer(search, i, i + 1) || pd_mail_is_break(mail, search->text->text->str, i))
        return FALSE;
    PdLineKind next = pd_mail_line(mail, i)->kind;
    return next == PD_LINE_OWN || (next == PD_LINE_HISTORY && kind == PD_LINE_HISTORY);
}

static void
add_quote(Search *search, guint first, guint last, guint top_min, const Place *place,
          const PdFoldText *source)
{
    const PdMailText *mail = search->text->mail;
    guint top = pd_mail_attribution(mail, search->text->text->str, first, source->author);
    PdFold fold = {MAX(top, top_min), last, PD_MARK_QUOTE, place->mail, source->mark};
    if (is_footer(search, fold.first_line, first))
        fold.first_line = first;
    if (is_answered(search, last)) {
        for (guint n = 0; n < KEPT_LINES && fold.last_line > first; n++, fold.last_line--)
            if (is_empty(mail, fold.last_line))
                break;
        if (fold.last_line == first)
            return; /* all of it is kept */
    }
    while (is_empty(mail, fold.last_line))
        fold.last_line--;
    gsize n_bytes = pd_mail_line(mail, fold.last_line)->end - pd_mail_line(mail, first)->start;
    if (n_bytes >= 2 * strlen(source->mark))
        g_array_append_val(search->folds, fold);
}

/* The first word of the footer that comes next behind line i. */
static guint
footer_words(const Search *search, guint i)
{
    for (guint k = 0; k < search->n_footers; k++) {
        const PdFold *fold = &g_array_index(search->folds, PdFold, k);
        if (fold->first_line > i)
            return pd_mail_line(search->text->mail, fold->first_line)->first_word;
    }
    return search->text->mail->words->len;
}

static gboolean
find_quotes(Search *search, GError **error)
{
    const PdMailText *mail = search->text->mail;
    guint top_min = 0, quote_end = 0;
    for (guint i = 0; i < mail->lines->len; i++) {
        const PdMailLine *line = pd_mail_line(mail, i);
        if (line->kind == PD_LINE_OWN || is_empty(mail, i) || is_footer(search, i, i + 1))
            continue;
        if (line->first_word >= quote_end)
            quote_end = quote_words_end(mail, i);
        guint n, end = MIN(quote_end, footer_words(search, i));
        Place place = {0};
        if (!best_place(search, line->first_word, end, &n, &place, error))
            return FALSE;
        guint last = i;
        while (last < mail->lines->len &&
               pd_mail_line_words_end(mail, last) <= line->first_word + n)
            last++;
        if (last == i)
            continue;
        for (last--; is_empty(mail, last);)
            last--;
        const PdFoldText *source = search->load(place.mail, place.part, search->user_data, error);
        if (!source)
            return FALSE;
        add_quote(search, i, last, top_min, &place, source);
        top_min = last + 1;
        i = last;
    }
    return TRUE;
}

static gboolean
find_footers(Search *search, GError **error)
{
    const PdMailText *mail = search->text->mail;
    for (guint i = 0; i < mail->paragraphs->len; i++) {
        const PdMailParagraph *p = &g_array_index(mail->paragraphs, PdMailParagraph, i);
        gint64 at = find_hash(search->index->hashes, p->hash);
        const Paragraph *known =
            at < 0 ? NULL : &g_array_index(search->index->paragraphs, Paragraph, at);
        gsize n_bytes =
            pd_mail_line(mail, p->last_line)->end - pd_mail_line(mail, p->first_line)->start;
        if (!known || known->first_mail == search->mail || n_bytes < FOOTER_BYTES ||
            known->n_mails < (p->is_signature ? 2 : FOOTER_MAILS))
            continue;
        Place place = {0, known->first_mail, known->first_part, known->first_word};
        const PdFoldText *source = search->load(place.mail, place.part, search->user_data, error);
        if (!source)
            return FALSE;
        guint word = pd_mail_line(mail, p->first_line)->first_word;
        guint end = pd_mail_line_words_end(mail, p->last_line);
        if (match_length(search, word, end, &place, source) < end - word)
            continue;
        PdFold fold = {p->first_line, p->last_line, PD_MARK_FOOTER, known->first_mail,
                       p->is_signature ? "[signature]" : "[footer]"};
        g_array_append_val(search->folds, fold);
    }
    search->n_footers = search->folds->len;
    return TRUE;
}

static gint
by_line(gconstpointer a, gconstpointer b)
{
    guint x = ((const PdFold *)a)->first_line, y = ((const PdFold *)b)->first_line;
    return (x > y) - (x < y);
}

GArray *
pd_fold_find(PdFoldIndex *index, guint mail, const PdFoldText *text, PdFoldLoad load,
             gpointer user_data, GError **error)
{
    g_autoptr(GArray) folds = g_array_new(FALSE, FALSE, sizeof(PdFold));
    Search search = {index, mail, text, load, user_data, folds, 0};
    if (!index->sealed)
        seal(index);
    if (!find_footers(&search, error) || !find_quotes(&search, error))
        return NULL;
    g_array_sort(folds, by_line);
    return g_steal_pointer(&folds);
}
