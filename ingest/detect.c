/*
 * What the user handed us.  Our own rules decide (readers/sniff.c); libmagic only puts a name to
 * what we cannot read.
 */
#include "ingest/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <magic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/error.h"
#include "ingest/readers/sniff.h"

static gboolean
has(const char *folder, const char *name, GFileTest test)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return g_file_test(path, test);
}

const char *
pd_detect_folder(const char *path)
{
    /* A file .git points to the repository of a linked work tree or a submodule. */
    if (has(path, ".git/HEAD", G_FILE_TEST_EXISTS) || has(path, ".git", G_FILE_TEST_IS_REGULAR))
        return "git";
    if (has(path, "HEAD", G_FILE_TEST_IS_REGULAR) && has(path, "objects", G_FILE_TEST_IS_DIR) &&
        (has(path, "refs", G_FILE_TEST_IS_DIR) || has(path, "packed-refs", G_FILE_TEST_EXISTS)))
        return "git";
    if (has(path, "cur", G_FILE_TEST_IS_DIR) && has(path, "new", G_FILE_TEST_IS_DIR))
        return "maildir";
    return "folder";
}

static char *
describe(const guint8 *bytes, gsize n)
{
    char *text = NULL;
    magic_t magic = magic_open(MAGIC_NONE);
    if (magic && magic_load(magic, NULL) == 0) {
        const char *found = magic_buffer(magic, bytes, n);
        if (found) {
            text = g_utf8_make_valid(found, -1);
            /* "Zip archive data, at least v2.0 to extract": the first words are enough. */
            text[strcspn(text, ",\n")] = '\0';
        }
    }
    if (magic)
        magic_close(magic);
    return text ? text : g_strdup("data");
}

const char *
pd_detect_fd(int fd, const char *name, GError **error)
{
    guint8 bytes[PD_SNIFF_BYTES];
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    if (n < 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_IO, "cannot read %s: %s", name,
                    g_strerror(errno));
        return NULL;
    }
    if (n == 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED, "%s is empty (0 bytes)",
                    name);
        return NULL;
    }
    const char *kind = pd_sniff(bytes, (gsize)n, name);
    if (kind)
        return kind;
    g_autofree char *what = describe(bytes, (gsize)n);
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                "%s is binary (%s): what can be read are git repositories and bundles, PDFs, mail "
                "(mbox, Maildir, .eml, .msg, .pst, winmail.dat), office documents (.docx, .odt, "
                ".rtf, .xlsx, .pptx), books "
                "(.epub), notebooks (.ipynb), HTML, Markdown and text, also compressed (.gz, .xz, "
                ".zst, .bz2) and in archives (.zip, .tar, .7z)",
                name, what);
    return NULL;
}

const char *
pd_detect_kind(const char *path, GError **error)
{
    struct stat status;
    g_autofree char *name = g_filename_display_name(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        gboolean missing = errno == ENOENT || errno == ENOTDIR;
        g_set_error(error, PD_INGEST_ERROR,
                    missing ? PD_INGEST_ERROR_NOT_FOUND : PD_INGEST_ERROR_IO,
                    missing ? "%s: no such file or folder" : "%s: cannot be opened (%s)", name,
                    g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    const char *kind = NULL;
    if (S_ISDIR(status.st_mode))
        kind = pd_detect_folder(path);
    else if (S_ISREG(status.st_mode))
        kind = pd_detect_fd(fd, name, error);
    else
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                    "%s is neither a file nor a folder", name);
    close(fd);
    return kind;
}
