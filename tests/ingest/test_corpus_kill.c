/*
 * SIGKILL during `add`: the corpus opens, verifies, holds what was committed, and the next run ends
 * with the content of a run that was never interrupted.
 *
 * A child adds and kills itself, between two documents or before an SQL statement chosen at random
 * (fixed seed) among all that the run executes, the making of the database included.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "corpus_fixture.h"

enum { N_DOCUMENTS = 180, N_POINTS = 10 };

static guint n_statements;
static guint kill_at_statement; /* 0: never */

static int
on_statement(unsigned type, void *context, void *stmt, void *sql)
{
    if (++n_statements == kill_at_statement)
        raise(SIGKILL);
    return 0;
}

/* Called by SQLite for every new connection: the first statements are seen too. */
static int
trace_connection(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_statement, NULL);
}

static void
add_all(const char *path)
{
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    add_fake(corpus, "/s");
}

/* TRUE if the child was killed; FALSE if it had finished before its point came. */
static gboolean
add_in_child(const char *path)
{
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        n_statements = 0;
        add_all(path);
        _exit(0);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (WIFSIGNALED(status)) {
        g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
        return TRUE;
    }
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    return FALSE;
}

static void
never_die(void)
{
    kill_at_statement = 0;
    fake_source.kill = FALSE;
    fake_source.at = G_MAXSIZE;
}

/* After a kill: sound, and complete after one more run. */
static void
check_and_finish(const char *path, gint64 n_documents_min, const char *expected)
{
    never_die();
    if (n_documents_min > 0)
        assert_sound(path); /* a reader is the first to come: it recovers the log */
    pd_corpus_free(open_corpus(path, PD_CORPUS_CREATE)); /* may not have been made yet */
    assert_sound(path);
    {
        g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_READ);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document"), >=, n_documents_min);
    }
    add_all(path);
    assert_sound(path);
    g_autofree char *content = dump_content(path);
    g_assert_cmpstr(content, ==, expected);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_READ);
    g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document WHERE state = 'live'"), ==,
                    N_DOCUMENTS);
    g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM run WHERE status = 'running'"), ==, 0);
}

static char *
uninterrupted(FakeDocument *first, FakeDocument *then)
{
    char *dir = make_folder();
    g_autofree char *path = g_build_filename(dir, "c", NULL);
    fake_source = (FakeSource){.documents = first, .n_documents = N_DOCUMENTS, .at = G_MAXSIZE};
    if (!then)
        n_statements = 0;
    add_all(path);
    if (then) {
        fake_source.documents = then;
        n_statements = 0;
        add_all(path);
    }
    char *content = dump_content(path);
    remove_folder(dir);
    return content;
}

static void
test_between_documents(void)
{
    FakeDocument *documents = fake_documents(N_DOCUMENTS, 3000, 1);
    g_autofree char *expected = uninterrupted(documents, NULL);
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);
    for (int i = 0; i < N_POINTS; i++) {
        char *dir = make_folder();
        g_autofree char *path = g_build_filename(dir, "c", NULL);
        fake_source.at = (gsize)g_rand_int_range(rand, 0, N_DOCUMENTS);
        fake_source.kill = TRUE;
        /* A transaction holds at most 50 documents; on a slow machine the clock ends it sooner. */
        gint64 n_min = MAX((gint64)fake_source.at - 50, 0);
        g_assert_true(add_in_child(path));
        check_and_finish(path, n_min, expected);
        remove_folder(dir);
    }
    fake_documents_free(documents, N_DOCUMENTS);
}

static void
test_at_statements(void)
{
    FakeDocument *documents = fake_documents(N_DOCUMENTS, 3000, 2);
    g_autofree char *expected = uninterrupted(documents, NULL);
    guint n_all = n_statements;
    g_test_message("%u statements", n_all);
    g_assert_cmpuint(n_all, >, 1000);
    g_autoptr(GRand) rand = g_rand_new_with_seed(12);
    for (int i = 0; i < N_POINTS; i++) {
        char *dir = make_folder();
        g_autofree char *path = g_build_filename(dir, "c", NULL);
        /* The first statements, where the file is made, are worth a few of the points. */
        kill_at_statement =
            1 + (guint)g_rand_int_range(rand, 0, i < 4 ? 20 : (gint32)n_all * 2 / 3);
        g_assert_true(add_in_child(path));
        /* And once more: the run after a kill may be killed as well. */
        kill_at_statement = 1 + (guint)g_rand_int_range(rand, 0, (gint32)n_all / 4);
        add_in_child(path);
        check_and_finish(path, 0, expected);
        remove_folder(dir);
    }
    fake_documents_free(documents, N_DOCUMENTS);
}

/* Bringing a source up to date: changed, vanished and new documents. */
static void
test_update(void)
{
    FakeDocument *before = fake_documents(N_DOCUMENTS, 2000, 3);
    FakeDocument *after = fake_documents(N_DOCUMENTS, 2000, 3 + N_DOCUMENTS / 2);
    for (int i = 0; i < N_DOCUMENTS; i += 5) {
        g_free((char *)after[i].key);
        after[i].key = g_strdup_printf("new/%d", i);
    }
    g_autofree char *expected = uninterrupted(before, after);
    guint n_all = n_statements;
    g_autoptr(GRand) rand = g_rand_new_with_seed(13);
    for (int i = 0; i < N_POINTS; i++) {
        char *dir = make_folder();
        g_autofree char *path = g_build_filename(dir, "c", NULL);
        never_die();
        fake_source.documents = before;
        add_all(path);
        fake_source.documents = after;
        /* The last statements, where what vanished is removed, are worth half of the points. */
        kill_at_statement = i % 2 ? n_all - (guint)g_rand_int_range(rand, 0, 60)
                                  : 1 + (guint)g_rand_int_range(rand, 0, (gint32)n_all);
        add_in_child(path);
        check_and_finish(path, N_DOCUMENTS, expected);
        remove_folder(dir);
    }
    fake_documents_free(before, N_DOCUMENTS);
    fake_documents_free(after, N_DOCUMENTS);
}

/* Mails that quote each other: what was folded, too, is that of a run that nobody stopped. */
static void
test_mails(void)
{
    FakeDocument *documents = fake_documents(N_DOCUMENTS, 200, 4);
    for (int i = N_DOCUMENTS; i-- > 0;) {
        documents[i].kind = PD_KIND_MAIL;
        documents[i].date_utc = 1000 + i;
        g_auto(GStrv) lines = g_strsplit(documents[i ? i - 1 : 0].text, "\n", -1);
        g_autofree char *quote = g_strjoinv("\n> ", lines);
        char *text = g_strdup_printf("%d\n%s\n> %s\n", i, documents[i].text, i ? quote : "");
        g_free((char *)documents[i].text);
        documents[i].text = text;
    }
    g_autofree char *expected = uninterrupted(documents, NULL);
    guint n_all = n_statements;
    g_autoptr(GRand) rand = g_rand_new_with_seed(14);
    for (int i = 0; i < N_POINTS / 2; i++) {
        char *dir = make_folder();
        g_autofree char *path = g_build_filename(dir, "c", NULL);
        /* The last third, where mails are folded, is worth most of the points. */
        guint from = i < 2 ? 1 : n_all * 2 / 3;
        kill_at_statement = (guint)g_rand_int_range(rand, (gint32)from, (gint32)n_all);
        add_in_child(path);
        check_and_finish(path, 0, expected);
        g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_READ);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM fold"), >, N_DOCUMENTS / 2);
        remove_folder(dir);
    }
    fake_documents_free(documents, N_DOCUMENTS);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(sqlite3_auto_extension((void (*)(void))trace_connection), ==, SQLITE_OK);
    g_test_add_func("/corpus-kill/between-documents", test_between_documents);
    g_test_add_func("/corpus-kill/at-statements", test_at_statements);
    g_test_add_func("/corpus-kill/update", test_update);
    g_test_add_func("/corpus-kill/mails", test_mails);
    return g_test_run();
}
