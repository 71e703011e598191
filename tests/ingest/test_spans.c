/*
 * From a stored span back to the source: for a thousand spans of each kind, drawn with a fixed
 * seed, the place that the corpus names holds these bytes, as other programs read it: the file
 * itself, git cat-file, Python's email package on the bytes at the message's offset, and
 * pdftotext's words on the page.  Over the sample case, and the shared real data where that is
 * here.
 */
#include "collect.h"
#include "ingest/corpus.h"

#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>

#define N_SPANS 1000

/* A part, and the source as another program gives it. */
typedef struct {
    gint64 part_id;
    GString *stored;  /* unmasked */
    GBytes *source;   /* NULL: PDF */
    GArray *boxes;    /* PdBox; PDF */
    GPtrArray *words; /* SourceWord; PDF */
} Pair;

typedef struct {
    double x0, y0, x1, y1;
    char *text;
} SourceWord;

typedef struct {
    char *dir;
    PdCorpus *corpus;
    GPtrArray *pairs;
    GRand *rand;
} Fixture;

static void
word_free(gpointer data)
{
    g_free(((SourceWord *)data)->text);
    g_free(data);
}

static void
pair_free(gpointer data)
{
    Pair *pair = data;
    g_string_free(pair->stored, TRUE);
    g_clear_pointer(&pair->source, g_bytes_unref);
    g_clear_pointer(&pair->boxes, g_array_unref);
    g_clear_pointer(&pair->words, g_ptr_array_unref);
    g_free(pair);
}

static void
set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    f->dir = g_dir_make_tmp("pandect-spans-XXXXXX", NULL);
    g_autofree char *corpus = g_build_filename(f->dir, "c", NULL);
    f->corpus = pd_corpus_open(corpus, PD_CORPUS_CREATE, &error);
    g_assert_no_error(error);
    f->pairs = g_ptr_array_new_with_free_func(pair_free);
    f->rand = g_rand_new_with_seed(20261130);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_ptr_array_unref(f->pairs);
    g_rand_free(f->rand);
    g_clear_pointer(&f->corpus, pd_corpus_free);
    remove_folder(f->dir);
    g_free(f->dir);
}

/* FALSE: there is no such file. */
static gboolean
add(Fixture *f, const char *path)
{
    g_autoptr(GError) error = NULL;
    const PdAddOptions options = {.read = {.ocr = PD_OCR_OFF}};
    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return FALSE;
    pd_corpus_add(f->corpus, path, NULL, &options, NULL, NULL, &error);
    g_assert_no_error(error);
    return TRUE;
}

static char *
real(const char *name)
{
    return g_build_filename(PD_SOURCE_ROOT, "..", "shared", "data", "real", name, NULL);
}

/* Calls func for every part of the corpus's documents of a kind. */
typedef void (*PartFunc)(Fixture *f, const PdDocumentRow *document, const PdPartRow *part,
                         gpointer user_data);
static void
each_part(Fixture *f, PdDocumentKind kind, PartFunc func, gpointer user_data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) rows = pd_corpus_documents(f->corpus, NULL, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < rows->len; i++) {
        const PdDocumentRow *row = g_ptr_array_index(rows, i);
        if (row->kind != kind)
            continue;
        g_autoptr(GPtrArray) parts = pd_corpus_parts(f->corpus, row->id, &error);
        g_assert_no_error(error);
        for (guint k = 0; k < parts->len; k++)
            func(f, row, g_ptr_array_index(parts, k), user_data);
    }
}

static Pair *
add_pair(Fixture *f, const PdPartRow *part)
{
    Pair *pair = g_new0(Pair, 1);
    g_autoptr(GError) error = NULL;
    pair->part_id = part->id;
    pair->stored = pd_part_row_original(part, &error);
    g_assert_no_error(error);
    g_ptr_array_add(f->pairs, pair);
    return pair;
}

/* A part for the next span: one of those with text, by turns and by chance. */
static const Pair *
draw_pair(Fixture *f)
{
    g_assert_cmpuint(f->pairs->len, >, 0);
    for (;;) {
        const Pair *pair =
            g_ptr_array_index(f->pairs, g_rand_int_range(f->rand, 0, (gint)f->pairs->len));
        if (pair->stored->len)
            return pair;
    }
}

static gint
line_of(const guint8 *bytes, gsize at)
{
    gint line = 1;
    for (gsize i = 0; i < at; i++)
        line += bytes[i] == '\n';
    return line;
}

/* The corpus names these lines of the source. */
static void
check_lines(Fixture *f, const Pair *pair, const guint8 *source, gsize start, gsize end)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *json =
        pd_corpus_locate_json(f->corpus, pair->part_id, (guint32)start, (guint32)end, &error);
    g_assert_no_error(error);
    g_autoptr(JsonNode) root = json_from_string(json, NULL);
    JsonObject *place = json_node_get_object(root);
    if (!json_object_has_member(place, "lines"))
        return;
    JsonArray *lines = json_object_get_array_member(place, "lines");
    g_assert_cmpint(json_array_get_int_element(lines, 0), ==, line_of(source, start));
    g_assert_cmpint(json_array_get_int_element(lines, 1), ==, line_of(source, end - 1));
}

static void
check_spans(Fixture *f, gboolean lines)
{
    for (guint i = 0; i < N_SPANS; i++) {
        const Pair *pair = draw_pair(f);
        gsize n_source, n = pair->stored->len;
        const guint8 *source = g_bytes_get_data(pair->source, &n_source);
        gsize start = (gsize)g_rand_int_range(f->rand, 0, (gint)n);
        gsize end = start + 1 + (gsize)g_rand_int_range(f->rand, 0, (gint)MIN(n - start, 400));
        g_assert_cmpuint(end, <=, n_source);
        g_assert_cmpmem(pair->stored->str + start, end - start, source + start, end - start);
        /* Lines are those of whole characters. */
        if (lines && i % 8 == 0 && g_utf8_validate((const char *)source + start, end - start, NULL))
            check_lines(f, pair, source, start, end);
    }
}

/* --- files ------------------------------------------------------------------------------------ */

static void
pair_file(Fixture *f, const PdDocumentRow *document, const PdPartRow *part, gpointer user_data)
{
    g_autofree char *path = g_build_filename(user_data, document->key, NULL);
    char *bytes;
    gsize n;
    g_assert_true(g_file_get_contents(path, &bytes, &n, NULL));
    /* Other encodings are transcoded; the text is then not the file's bytes. */
    if (g_utf8_validate(bytes, (gssize)n, NULL))
        add_pair(f, part)->source = g_bytes_new_take(bytes, n);
    else
        g_free(bytes);
}

static void
test_text(Fixture *f, gconstpointer data)
{
    g_autofree char *folder = g_build_filename(f->dir, "texts", NULL);
    g_autofree char *legal = real("legal");
    const char *const ours[] = {"cp", "-r", PD_SOURCE_ROOT "/ingest", folder, NULL};
    const char *const theirs[] = {"sh", "-c", "cp \"$0\"/*.txt \"$1\"", legal, folder, NULL};
    g_free(run_program("/", ours, NULL));
    g_free(run_program("/", theirs, NULL)); /* where they are */
    add(f, folder);
    each_part(f, PD_KIND_TEXT, pair_file, folder);
    g_assert_cmpuint(f->pairs->len, >, 50);
    check_spans(f, TRUE);
}

/* --- repositories ----------------------------------------------------------------------------- */

static void
pair_blob(Fixture *f, const PdDocumentRow *document, const PdPartRow *part, gpointer user_data)
{
    const char *const argv[] = {"git", "cat-file", "blob", document->native_id, NULL};
    gsize n;
    /* The log, the tags and the tree are made of many objects. */
    char *bytes = document->native_id ? run_program(user_data, argv, &n) : NULL;
    if (bytes && g_utf8_validate(bytes, (gssize)n, NULL))
        add_pair(f, part)->source = g_bytes_new_take(bytes, n);
    else
        g_free(bytes);
}

static void
add_bundle(Fixture *f, const char *bundle, const char *name)
{
    g_autofree char *clone = g_build_filename(f->dir, name, NULL);
    const char *const argv[] = {"git", "clone", "-q", "--bare", bundle, clone, NULL};
    if (!add(f, bundle))
        return;
    g_free(run_program("/", argv, NULL));
}

static void
test_git(Fixture *f, gconstpointer data)
{
    g_autofree char *git = g_find_program_in_path("git");
    g_autofree char *lua = real("git/lua-releases.bundle");
    g_autofree char *clone = g_build_filename(f->dir, "a", NULL);
    if (!git) {
        g_test_skip("the program git is not installed");
        return;
    }
    gboolean is_here = g_file_test(lua, G_FILE_TEST_EXISTS);
    add_bundle(f, is_here ? lua : PD_SOURCE_ROOT "/samples/tidelog.bundle", "a");
    each_part(f, PD_KIND_GIT_FILE, pair_blob, clone);
    g_assert_cmpuint(f->pairs->len, >, 10);
    check_spans(f, TRUE);
}

/* --- mail ------------------------------------------------------------------------------------- */

/* Text parts of the messages at these places of an mbox, as Python decodes them, with LF line ends:
 * "offset path bytes", newline, the bytes.  Quoted "From " lines lose one mark, as the mbox asks.
 */
static const char python_mails[] =
    "import email, re, sys\n"
    "def leaves(m, path=''):\n"
    "    if m.is_multipart():\n"
    "        for i, part in enumerate(m.get_payload(), 1):\n"
    "            yield from leaves(part, f'{path}.{i}' if path else str(i))\n"
    "    else:\n"
    "        yield path or '1', m\n"
    "data = open(sys.argv[1], 'rb').read()\n"
    "for line in open(sys.argv[2]):\n"
    "    offset, n = map(int, line.split())\n"
    "    raw = data[offset:offset + n]\n"
    "    raw = raw.split(b'\\n', 1)[1] if raw.startswith(b'From ') else raw\n"
    "    head, gap, body = raw.partition(b'\\n\\n')\n"
    "    body = re.sub(rb'(?m)^>(>*From )', rb'\\1', body)\n"
    "    for path, part in leaves(email.message_from_bytes(head + gap + body)):\n"
    "        if part.get_content_type() != 'text/plain': continue\n"
    "        try:\n"
    "            text = part.get_payload(decode=True).decode(part.get_content_charset('ascii'))\n"
    "        except (UnicodeError, LookupError):\n"
    "            continue\n"
    "        out = text.replace('\\r\\n', '\\n').encode()\n"
    "        sys.stdout.buffer.write(b'%d %s %d\\n' % (offset, path.encode(), len(out)) + out)\n";

typedef struct {
    GHashTable *offsets; /* id of a document -> "offset bytes" */
    GHashTable *texts;   /* "offset path" -> GBytes */
} Mails;

static void
unref_bytes(gpointer data)
{
    g_bytes_unref(data);
}

/* Where the corpus says that its mails lie. */
static GHashTable *
mail_places(Fixture *f)
{
    GHashTable *places = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    sqlite3_stmt *stmt;
    g_assert_cmpint(sqlite3_prepare_v2(pd_corpus_db(f->corpus),
                                       "SELECT id, raw_offset, raw_bytes FROM document"
                                       " WHERE kind = 'mail' AND raw_offset >= 0",
                                       -1, &stmt, NULL),
                    ==, SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW)
        g_hash_table_insert(places, GINT_TO_POINTER(sqlite3_column_int(stmt, 0)),
                            g_strdup_printf("%lld %lld", (long long)sqlite3_column_int64(stmt, 1),
                                            (long long)sqlite3_column_int64(stmt, 2)));
    sqlite3_finalize(stmt);
    return places;
}

static GHashTable *
parse_mails(char *at, gsize n)
{
    GHashTable *texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_bytes);
    for (char *end = at + n; at < end;) {
        char *newline = memchr(at, '\n', (gsize)(end - at));
        g_assert_nonnull(newline);
        *newline = 0;
        char *space = strrchr(at, ' ');
        gsize n_text = g_ascii_strtoull(space + 1, NULL, 10);
        *space = 0;
        g_hash_table_insert(texts, g_strdup(at), g_bytes_new(newline + 1, n_text));
        at = newline + 1 + n_text;
    }
    return texts;
}

static void
pair_mail(Fixture *f, const PdDocumentRow *document, const PdPartRow *part, gpointer user_data)
{
    const Mails *mails = user_data;
    const char *place = g_hash_table_lookup(mails->offsets, GINT_TO_POINTER((gint)document->id));
    g_autofree char *offset = place ? g_strndup(place, strcspn(place, " ")) : g_strdup("");
    g_autofree char *name = g_strconcat(offset, " ", part->path, NULL);
    GBytes *source = g_hash_table_lookup(mails->texts, name);
    if (source)
        add_pair(f, part)->source = g_bytes_ref(source);
}

static void
test_mail(Fixture *f, gconstpointer data)
{
    g_autofree char *python = g_find_program_in_path("python3");
    g_autofree char *lists = real("mail/lists-2002.mbox");
    const char *mbox =
        g_file_test(lists, G_FILE_TEST_EXISTS) ? lists : PD_SOURCE_ROOT "/samples/mail.mbox";
    g_autofree char *list = g_build_filename(f->dir, "places", NULL);
    if (!python) {
        g_test_skip("python3 is not installed");
        return;
    }
    add(f, mbox);
    g_autoptr(GHashTable) offsets = mail_places(f);
    g_autoptr(GString) lines = g_string_new(NULL);
    GHashTableIter iter;
    gpointer place;
    g_hash_table_iter_init(&iter, offsets);
    while (g_hash_table_iter_next(&iter, NULL, &place))
        g_string_append_printf(lines, "%s\n", (char *)place);
    g_assert_true(g_file_set_contents(list, lines->str, -1, NULL));
    const char *const argv[] = {"python3", "-c", python_mails, mbox, list, NULL};
    gsize n;
    g_autofree char *output = run_program("/", argv, &n);
    g_assert_nonnull(output);
    g_autoptr(GHashTable) texts = parse_mails(output, n);
    Mails mails = {offsets, texts};
    each_part(f, PD_KIND_MAIL, pair_mail, &mails);
    g_test_message("%u parts of %u mails", f->pairs->len, g_hash_table_size(offsets));
    g_assert_cmpuint(f->pairs->len, >=, g_hash_table_size(offsets) / 2);
    check_spans(f, FALSE);
}

/* --- PDF -------------------------------------------------------------------------------------- */

/* The words of `pdftotext -bbox`, a list a page. */
static GPtrArray *
words_of_pdf(const char *path)
{
    const char *const argv[] = {"pdftotext", "-bbox", path, "-", NULL};
    g_autofree char *output = run_program("/", argv, NULL);
    g_auto(GStrv) lines = g_strsplit(output ? output : "", "\n", -1);
    GPtrArray *pages = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
    for (char **line = lines; *line; line++) {
        char *at = g_strstrip(*line);
        SourceWord word;
        if (g_str_has_prefix(at, "<page "))
            g_ptr_array_add(pages, g_ptr_array_new_with_free_func(word_free));
        if (!pages->len || sscanf(at, "<word xMin=\"%lf\" yMin=\"%lf\" xMax=\"%lf\" yMax=\"%lf\">",
                                  &word.x0, &word.y0, &word.x1, &word.y1) != 4)
            continue;
        const char *text = strchr(at, '>') + 1;
        g_autofree char *xml = g_strndup(text, strcspn(text, "<"));
        g_auto(GStrv) amp = g_strsplit(xml, "&amp;", -1);
        word.text = g_strjoinv("&", amp);
        g_ptr_array_add(g_ptr_array_index(pages, pages->len - 1), g_memdup2(&word, sizeof word));
    }
    return pages;
}

static void
pair_page(Fixture *f, const PdDocumentRow *document, const PdPartRow *part, gpointer user_data)
{
    GPtrArray *pages = user_data;
    guint page = (guint)g_ascii_strtoull(part->path + strlen("page/"), NULL, 10);
    g_assert_cmpuint(page, <=, pages->len);
    Pair *pair = part->boxes && part->boxes->len ? add_pair(f, part) : NULL;
    if (!pair)
        return;
    pair->boxes = g_array_ref(part->boxes);
    pair->words = g_ptr_array_ref(g_ptr_array_index(pages, page - 1));
}

/* Plain ASCII letters and digits of a text: other characters may be written in several ways. */
static char *
plain(const char *text, gsize n)
{
    GString *out = g_string_new(NULL);
    for (gsize i = 0; i < n; i++)
        if (g_ascii_isalnum(text[i]))
            g_string_append_c(out, text[i]);
    return g_string_free(out, FALSE);
}

/* A word of the page lies at the middle of this box, and one of the two is part of the other: words
 * are cut at other gaps. */
static gboolean
word_is_there(const Pair *pair, const PdBox *box)
{
    double x = ((double)box->x0 + (double)box->x1) / 2, y = ((double)box->y0 + (double)box->y1) / 2;
    g_autofree char *ours = plain(pair->stored->str + box->start, box->end - box->start);
    if (!*ours)
        return TRUE;
    for (guint i = 0; i < pair->words->len; i++) {
        const SourceWord *word = g_ptr_array_index(pair->words, i);
        if (x < word->x0 || x > word->x1 || y < word->y0 || y > word->y1)
            continue;
        g_autofree char *theirs = plain(word->text, strlen(word->text));
        if (*theirs && (strstr(ours, theirs) || strstr(theirs, ours)))
            return TRUE;
    }
    return FALSE;
}

static void
add_pdf(Fixture *f, const char *path)
{
    g_autofree char *dir = g_build_filename(f->dir, "one", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) pages = words_of_pdf(path);
    /* A corpus of its own: parts are those of this file. */
    g_clear_pointer(&f->corpus, pd_corpus_free);
    remove_folder(dir);
    f->corpus = pd_corpus_open(dir, PD_CORPUS_CREATE, &error);
    g_assert_no_error(error);
    add(f, path);
    each_part(f, PD_KIND_PDF, pair_page, pages);
}

static void
test_pdf(Fixture *f, gconstpointer data)
{
    static const char *const samples[] = {"services-agreement.pdf", "test-report.pdf",
                                          "incident-report.pdf"};
    g_autofree char *program = g_find_program_in_path("pdftotext");
    g_autofree char *legal = real("legal");
    g_autoptr(GDir) dir = g_dir_open(legal, 0, NULL);
    guint n_wrong = 0, n_words = 0;
    if (!program) {
        g_test_skip("pdftotext is not installed");
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(samples); i++) {
        g_autofree char *path = g_build_filename(PD_SOURCE_ROOT, "samples", samples[i], NULL);
        add_pdf(f, path);
    }
    for (const char *name; dir && (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(legal, name, NULL);
        if (g_str_has_suffix(name, ".pdf") || g_str_has_suffix(name, ".PDF"))
            add_pdf(f, path);
    }
    for (guint i = 0; i < N_SPANS; i++) {
        const Pair *pair = draw_pair(f);
        guint from = (guint)g_rand_int_range(f->rand, 0, (gint)pair->boxes->len);
        guint n = (guint)g_rand_int_range(f->rand, 1, 30);
        guint to = MIN(pair->boxes->len, from + n);
        for (guint k = from; k < to; k++, n_words++)
            n_wrong += !word_is_there(pair, &g_array_index(pair->boxes, PdBox, k));
    }
    g_test_message("%u of %u words are not where pdftotext has them", n_wrong, n_words);
    g_assert_cmpuint(n_wrong * 1000, <=, n_words);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/spans/text", Fixture, NULL, set_up, test_text, tear_down);
    g_test_add("/spans/git", Fixture, NULL, set_up, test_git, tear_down);
    g_test_add("/spans/mail", Fixture, NULL, set_up, test_mail, tear_down);
    g_test_add("/spans/pdf", Fixture, NULL, set_up, test_pdf, tear_down);
    return g_test_run();
}
