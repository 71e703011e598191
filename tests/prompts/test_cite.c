/*
 * Citations: the passage with most attention, and quotes that are the part's own bytes, whole
 * characters, at most 400 bytes.  A token of the tiny model is a byte, so attention can be put on
 * any byte by hand.
 */
#include "prompts_fixture.h"

#include <string.h>
#include "prompts/cite.h"
#include "prompts/whole.h"

#define QUOTE_BYTES_MAX 400

/* --- the choice of the passage --- */

static void
test_by_attention(void)
{
    g_autoptr(GArray) passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    const PdPassage rows[] = {{.number = 1, .n_tokens = 3, .first_row = 2},
                              {.number = 2, .n_tokens = 2, .first_row = 6},
                              {.number = 3, .n_tokens = 5, .first_row = 9}};
    /* rows 0, 1, 5 and 8 are headers: however much they get, they are no passage's */
    float attention[14] = {9, 9, 1, 1, 1, 9, 2, 2.5f, 9, 0, 0, 1, 0, 0};
    float share = -1;

    g_array_append_vals(passages, rows, G_N_ELEMENTS(rows));
    g_assert_cmpuint(pd_cite_by_attention(passages, attention, 14, &share), ==, 1);
    g_assert_cmpfloat_with_epsilon(share, 4.5f / 8.5f, 1e-6f);
    /* rows beyond n_rows do not count */
    attention[13] = 100;
    g_assert_cmpuint(pd_cite_by_attention(passages, attention, 13, &share), ==, 1);
    g_assert_cmpuint(pd_cite_by_attention(passages, attention, 14, &share), ==, 2);
    /* a tie goes to the first, no attention at all is no share */
    memset(attention, 0, sizeof attention);
    g_assert_cmpuint(pd_cite_by_attention(passages, attention, 14, &share), ==, 0);
    g_assert_cmpfloat(share, ==, 0);
}

/* --- the quote --- */

typedef struct {
    char *dir;
    PdModel *model;
    World world;
    GArray *passages; /* of the whole reading: one per segment */
    guint n_rows;
} Fixture;

static void
fixture_clear(Fixture *f)
{
    world_close(&f->world);
    g_clear_pointer(&f->passages, g_array_unref);
    g_clear_pointer(&f->model, pd_model_unref);
    if (f->dir)
        fixture_remove(f->dir);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_clear)

static void
start(Fixture *f, PdDocumentKind kind, const char *key, const char *text, gssize n_bytes)
{
    const TestDocument document = {kind, key, text, n_bytes};
    g_autoptr(GArray) tokens = NULL;

    f->dir = fixture_folder();
    f->model = fixture_model();
    fixture_add(f->dir, f->model, "/cite", &document, 1);
    world_open(&f->world, f->dir, f->model, PD_CORPUS_READ, PD_READ_SWEPT);
    f->passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    tokens = pd_whole_tokens(f->world.context, f->passages);
    f->n_rows = tokens->len;
}

static const PdContextSegment *
segment_of(const Fixture *f, const PdPassage *passage)
{
    return &g_array_index(f->world.context->segments, PdContextSegment, passage->segment);
}

/* Cite with attention on the bytes [at, at + n) of the part; check all that holds of every quote.
 */
static char *
quote_at(Fixture *f, const PdPassage *passage, guint at, guint n, const char *sentence,
         const char *question)
{
    g_autofree float *attention = g_new0(float, f->n_rows);
    const PdSegmentRow *row = segment_of(f, passage)->row;
    g_autoptr(GError) error = NULL;
    g_autoptr(PdPartRow) part = pd_corpus_part(f->world.corpus, row->part_id, &error);
    PdCitation citation = {0};
    guint32 from, to;
    const char *stop;

    for (guint i = 0; i < passage->n_tokens; i++) {
        guint offset = row->offsets[passage->first_token + i];
        if (offset >= at && offset < at + n)
            attention[passage->first_row + i] = 1;
    }
    pd_cite_quote(f->world.context, passage, attention, sentence, question, &citation, &error);
    g_assert_no_error(error);
    pd_segment_bytes(row, passage->first_token, passage->n_tokens, &from, &to);
    g_assert_cmpint(citation.part_id, ==, part->id);
    g_assert_cmpint(citation.document_id, ==, part->document_id);
    g_assert_cmpuint(citation.start, >=, from);
    g_assert_cmpuint(citation.end, <=, to);
    g_assert_cmpuint(citation.end - citation.start, <=, QUOTE_BYTES_MAX);
    g_assert_cmpmem(citation.quote, strlen(citation.quote), part->text + citation.start,
                    citation.end - citation.start);
    if (!g_utf8_validate(citation.quote, -1, &stop))
        g_error("half a character at byte %d of the quote", (int)(stop - citation.quote));
    g_assert_cmpfloat(citation.support, >=, 0);
    g_assert_cmpfloat(citation.support, <=, 1);
    return citation.quote;
}

/* A passage of blanks has nothing to quote; every other quote has words. */
static gboolean
is_blank(const char *text, gsize n)
{
    for (gsize i = 0; i < n; i++)
        if (text[i] && !g_ascii_isspace(text[i]))
            return FALSE;
    return TRUE;
}

static char *
quote_in(Fixture *f, const char *text, const char *looked_at, const char *sentence)
{
    const char *found = strstr(text, looked_at);

    g_assert_nonnull(found);
    return quote_at(f, &g_array_index(f->passages, PdPassage, 0), (guint)(found - text),
                    (guint)strlen(looked_at), sentence, "?");
}

static void
test_prose(void)
{
    static const char text[] =
        "The gauge was read twice. It stood at\n4.0 mm on Monday! Who wrote that down?\n\n"
        "A second paragraph without any end\n\n- a point of a list\n- another point; with more\n";
    g_auto(Fixture) f = {0};
    const struct {
        const char *looked_at, *quote;
    } rows[] = {
        {"read", "The gauge was read twice."},
        {"Monday", "It stood at\n4.0 mm on Monday!"},
        {"wrote", "Who wrote that down?"},
        {"second", "A second paragraph without any end"},
        {"of a list", "- a point of a list"},
        {"another", "- another point;"},
        {"with more", "with more"},
    };

    start(&f, PD_KIND_MAIL, "m@x", text, -1);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *quote = quote_in(&f, text, rows[i].looked_at, "nothing alike");
        g_assert_cmpstr(quote, ==, rows[i].quote);
    }
}

/* The words that answer and source share decide where attention does not. */
static void
test_words(void)
{
    static const char text[] = "Oslo has a port. The notice period is 60 days. Bergen is wet.\n";
    g_auto(Fixture) f = {0};
    g_autofree char *quote = NULL;

    start(&f, PD_KIND_PDF, "", text, -1);
    quote = quote_at(&f, &g_array_index(f.passages, PdPassage, 0), 0, 0,
                     "It is 60 days, in writing.", "How long is the notice period?");
    g_assert_cmpstr(quote, ==, "The notice period is 60 days.");
}

static void
test_code(void)
{
    static const char text[] = "int a = 1; /* one. Two */\n\n    return a;\n}\n";
    g_auto(Fixture) f = {0};
    g_autofree char *first = NULL, *second = NULL;

    start(&f, PD_KIND_GIT_FILE, "src/a.c", text, -1);
    first = quote_in(&f, text, "one", "nothing alike");
    second = quote_in(&f, text, "return", "nothing alike");
    g_assert_cmpstr(first, ==, "int a = 1; /* one. Two */");
    g_assert_cmpstr(second, ==, "return a;");
}

/* Prose in a repository is prose; CRLF is space at the borders and kept inside. */
static void
test_crlf(void)
{
    static const char text[] = "One sentence\r\nover two lines. Another one.\r\n\r\nThird\r\n";
    g_auto(Fixture) f = {0};
    g_autofree char *first = NULL, *third = NULL;

    start(&f, PD_KIND_GIT_FILE, "README.md", text, -1);
    first = quote_in(&f, text, "over", "nothing alike");
    third = quote_in(&f, text, "Third", "nothing alike");
    g_assert_cmpstr(first, ==, "One sentence\r\nover two lines.");
    g_assert_nonnull(strstr(third, "Third"));
    g_assert_null(strchr(third, '\r'));
}

/* Texts that offer no place to cut, looked at everywhere: quote_at checks the rules. */
static void
look_everywhere(PdDocumentKind kind, const char *key, const char *text, gsize n)
{
    g_auto(Fixture) f = {0};

    start(&f, kind, key, text, (gssize)n);
    for (guint p = 0; p < f.passages->len; p++) {
        const PdPassage *passage = &g_array_index(f.passages, PdPassage, p);
        const PdSegmentRow *row = segment_of(&f, passage)->row;
        for (guint at = row->start; at < row->end; at += 97) {
            g_autofree char *quote = quote_at(&f, passage, at, 1, "nothing alike", "?");
            g_assert_true((*quote == '\0') == is_blank(text, n));
        }
    }
}

static char *
repeat(const char *unit, gsize n_bytes)
{
    GString *text = g_string_new(NULL);

    while (text->len + strlen(unit) <= n_bytes)
        g_string_append(text, unit);
    return g_string_free(text, FALSE);
}

static void
test_no_spaces(void)
{
    g_autofree char *word = g_strnfill(10 * 1024, 'w');
    g_autofree char *kanji = repeat("\xe6\x97\xa5", 10 * 1024);
    g_autofree char *smileys = repeat("\xf0\x9f\x99\x82", 5000);

    look_everywhere(PD_KIND_TEXT, "word.txt", word, strlen(word));
    look_everywhere(PD_KIND_GIT_FILE, "word.c", word, strlen(word));
    look_everywhere(PD_KIND_TEXT, "kanji.txt", kanji, strlen(kanji));
    look_everywhere(PD_KIND_MAIL, "smileys@x", smileys, strlen(smileys));
}

/* NULs are legal in a part; a quote ends before one, it is a C string. */
static void
test_nul(void)
{
    static const char text[] = "before\0after. \0\0 Next sentence\0here.";

    look_everywhere(PD_KIND_TEXT, "nul.txt", text, sizeof text - 1);
    look_everywhere(PD_KIND_GIT_FILE, "nul.c", text, sizeof text - 1);
}

static void
test_blank(void)
{
    g_autofree char *blank = g_strnfill(1000, ' ');

    look_everywhere(PD_KIND_TEXT, "blank.txt", blank, strlen(blank));
    look_everywhere(PD_KIND_TEXT, "one.txt", "x", 1);
    look_everywhere(PD_KIND_TEXT, "line.txt", "\n", 1);
}

/* A passage may start and end inside a character (a token is a byte): the quote does not. */
static void
test_inside_characters(void)
{
    g_autofree char *kanji = repeat("\xe6\x97\xa5\xe6\x9c\xac. ", 600);
    g_auto(Fixture) f = {0};

    start(&f, PD_KIND_TEXT, "kanji.txt", kanji, -1);
    for (guint first = 0; first < 12; first++)
        for (guint n = 4; n < 40; n++) {
            PdPassage passage = g_array_index(f.passages, PdPassage, 0);
            passage.first_token += first;
            passage.first_row += first;
            passage.n_tokens = n;
            g_free(quote_at(&f, &passage, first + n / 2, 2, "nothing alike", "?"));
        }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cite/by-attention", test_by_attention);
    g_test_add_func("/cite/prose", test_prose);
    g_test_add_func("/cite/words", test_words);
    g_test_add_func("/cite/code", test_code);
    g_test_add_func("/cite/crlf", test_crlf);
    g_test_add_func("/cite/no-spaces", test_no_spaces);
    g_test_add_func("/cite/nul", test_nul);
    g_test_add_func("/cite/blank", test_blank);
    g_test_add_func("/cite/inside-characters", test_inside_characters);
    return g_test_run();
}
