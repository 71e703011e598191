/*
 * Mails that quote each other, of any bytes: no crash, folds that lie in their text and can be
 * undone, quotes that stand word for word in the mail they point to, and no word left out of all
 * mails.  Mails end at NUL; each is "Author <address>" on its first line and its text below.
 */
#include <string.h>

#include "fuzz_reader.h"
#include "ingest/flow.h"
#include "ingest/fold_match.h"

#define MAILS_MAX 8
#define BYTES_MAX (8 * 1024)
#define ABOVE_MAX 15 /* lines of an attribution or of headers, at most */

static GPtrArray *
split_mails(const char *data, gsize n)
{
    GPtrArray *mails = g_ptr_array_new_with_free_func((GDestroyNotify)pd_fold_text_free);
    while (n > 0 && mails->len < MAILS_MAX) {
        const char *nul = memchr(data, 0, n);
        gsize n_mail = nul ? (gsize)(nul - data) : n;
        const char *lf = memchr(data, '\n', n_mail);
        gsize n_author = lf ? (gsize)(lf - data) : n_mail, n_head = n_author + (lf != NULL);
        PdFoldText *mail = g_new0(PdFoldText, 1);
        mail->author = g_utf8_make_valid(data, (gssize)n_author);
        mail->text = g_string_new_len(data + n_head, (gssize)(n_mail - n_head));
        mail->mail = pd_mail_text_new(mail->text->str, mail->text->len);
        mail->mark = "[quoted]";
        g_ptr_array_add(mails, mail);
        n -= MIN(n, n_mail + 1);
        data += n_mail + 1;
    }
    return mails;
}

static const PdFoldText *
load_mail(guint mail, guint part, gpointer user_data, GError **error)
{
    g_assert_cmpuint(part, ==, 0);
    return g_ptr_array_index((GPtrArray *)user_data, mail);
}

static void
check_parts(const PdFoldText *mail)
{
    const PdMailText *parts = mail->mail;
    gsize at = 0;
    for (guint i = 0; i < parts->lines->len; i++) {
        const PdMailLine *line = pd_mail_line(parts, i);
        g_assert_cmpuint(line->start, ==, at);
        g_assert_cmpuint(line->end, >=, line->start);
        for (guint w = line->first_word; w < pd_mail_line_words_end(parts, i); w++) {
            const PdMailWord *word = &g_array_index(parts->words, PdMailWord, w);
            g_assert_true(line->start <= word->start && word->start < word->end &&
                          word->end <= line->end);
            g_assert_cmpuint(pd_mail_line_of_word(parts, w), ==, i);
        }
        at = line->end + 1;
    }
    g_assert_cmpuint(at, >=, mail->text->len);
    g_assert_cmpuint(parts->signature, <=, parts->lines->len);
}

static char *
word_at(const PdFoldText *mail, guint i)
{
    const PdMailWord *word = &g_array_index(mail->mail->words, PdMailWord, i);
    return g_strndup(mail->text->str + word->start, word->end - word->start);
}

/* The words of lines [first, last], a blank before each. */
static char *
words_of(const PdFoldText *mail, guint first, guint last)
{
    GString *words = g_string_new(NULL);
    guint end = pd_mail_line_words_end(mail->mail, last);
    for (guint i = pd_mail_line(mail->mail, first)->first_word; i < end; i++) {
        g_autofree char *word = word_at(mail, i);
        g_string_append_printf(words, " %s", word);
    }
    return g_string_free(words, FALSE);
}

static gboolean
stands_in(const PdFoldText *mail, const PdFold *fold, const PdFoldText *source)
{
    guint n_lines = source->mail->lines->len;
    g_autofree char *there = words_of(source, 0, n_lines - 1);
    for (guint k = fold->first_line; k <= fold->last_line && k <= fold->first_line + ABOVE_MAX;
         k++) {
        g_autofree char *here = words_of(mail, k, fold->last_line);
        if (here[0] && strstr(there, here))
            return TRUE;
        if (fold->kind == PD_MARK_FOOTER)
            break;
    }
    return FALSE;
}

static void
check_folds(GPtrArray *mails, guint number, const GArray *folds)
{
    const PdFoldText *mail = g_ptr_array_index(mails, number);
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(PdReplacement));
    for (guint i = 0; i < folds->len; i++) {
        const PdFold *fold = &g_array_index(folds, PdFold, i);
        g_assert_true(fold->first_line <= fold->last_line &&
                      fold->last_line < mail->mail->lines->len);
        g_assert_true(fold->mail < mails->len && fold->mail != number);
        g_assert_true(stands_in(mail, fold, g_ptr_array_index(mails, fold->mail)));
        PdReplacement r = {pd_mail_line(mail->mail, fold->first_line)->start,
                           pd_mail_line(mail->mail, fold->last_line)->end, fold->mark, fold->kind};
        g_array_append_val(all, r);
    }
    /* It asserts that they are in order and do not overlap. */
    for (PdFlow flow = PD_FLOW_FIXED; flow < PD_N_FLOWS; flow++) {
        g_autoptr(GString) model = g_string_new_len(mail->text->str, (gssize)mail->text->len);
        g_autoptr(PdTextView) view = pd_flow_view(model, all, flow);
        g_autoptr(GString) back = view ? pd_text_view_original(view, model->str, model->len) : NULL;
        g_assert_true(g_string_equal(view ? back : model, mail->text));
    }
}

static void
add_line(GHashTable *set, const PdFoldText *mail, guint line)
{
    for (guint w = pd_mail_line(mail->mail, line)->first_word;
         w < pd_mail_line_words_end(mail->mail, line); w++)
        g_hash_table_add(set, word_at(mail, w));
}

/* What only says who is quoted may go with the quote: what is above any line by any author. */
static void
add_attributions(GHashTable *set, GPtrArray *mails, const PdFoldText *mail)
{
    for (guint i = 0; i < mail->mail->lines->len; i++)
        for (guint m = 0; m < mails->len; m++) {
            const char *author = ((const PdFoldText *)g_ptr_array_index(mails, m))->author;
            guint top = pd_mail_attribution(mail->mail, mail->text->str, i, author);
            g_assert_cmpuint(top, <=, i);
            g_assert_cmpuint(i - top, <=, ABOVE_MAX);
            for (; top < i; top++)
                add_line(set, mail, top);
        }
}

static void
add_what_is_read(GHashTable *read, const PdFoldText *mail, const GArray *folds)
{
    guint at = 0;
    for (guint i = 0; i < mail->mail->lines->len; i++) {
        while (at < folds->len && g_array_index(folds, PdFold, at).last_line < i)
            at++;
        if (at == folds->len || i < g_array_index(folds, PdFold, at).first_line)
            add_line(read, mail, i);
    }
}

static void
check_nothing_lost(GPtrArray *mails, GHashTable *read)
{
    for (guint m = 0; m < mails->len; m++)
        add_attributions(read, mails, g_ptr_array_index(mails, m));
    for (guint m = 0; m < mails->len; m++) {
        const PdFoldText *mail = g_ptr_array_index(mails, m);
        for (guint w = 0; w < mail->mail->words->len; w++) {
            g_autofree char *word = word_at(mail, w);
            g_assert_true(g_hash_table_contains(read, word));
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GPtrArray) mails = split_mails((const char *)data, MIN(size, BYTES_MAX));
    g_autoptr(PdFoldIndex) index = pd_fold_index_new();
    g_autoptr(GHashTable) read = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint m = 0; m < mails->len; m++) {
        const PdFoldText *mail = g_ptr_array_index(mails, m);
        check_parts(mail);
        pd_fold_index_want(index, mail->mail);
    }
    for (guint m = 0; m < mails->len; m++)
        pd_fold_index_offer(index, m, 0, ((const PdFoldText *)g_ptr_array_index(mails, m))->mail);
    for (guint m = 0; m < mails->len; m++) {
        const PdFoldText *mail = g_ptr_array_index(mails, m);
        g_autoptr(GArray) folds = pd_fold_find(index, m, mail, load_mail, mails, NULL);
        check_folds(mails, m, folds);
        add_what_is_read(read, mail, folds);
    }
    check_nothing_lost(mails, read);
    return 0;
}
