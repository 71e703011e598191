/* pandect-read-mail: mbox files, Maildir folders, Outlook's stores, and single messages, also those
 * of Outlook. */
#include "ingest/readers/mail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/error.h"
#include "ingest/readers/mbox.h"
#include "ingest/readers/pst.h"
#include "ingest/readers/sniff.h"

/* One message is held raw, unquoted and decoded at the same time. */
#define MEMORY_SHARE 10

static gboolean
prepare(const PdWorkerRequest *request, PdSandboxNeeds *needs, GError **error)
{
    static const char *const holders[] = {"mbox", "maildir", "pst", NULL};
    needs->one_document = !g_strv_contains(holders, request->kind);
    if (request->path)
        g_ptr_array_add(needs->read_paths, g_strdup(request->path));
    return TRUE;
}

static gsize
message_bytes_max(const PdWorkerRequest *request)
{
    guint64 max = request->limits.file_bytes_max;
    if (request->limits.worker_bytes_max)
        max = MIN(max, request->limits.worker_bytes_max / MEMORY_SHARE);
    return (gsize)max;
}

/* A single message, perhaps with an envelope line on top. */
static gboolean
emit_bytes(const GByteArray *bytes, const char *name, const char *item_key, PdEmitter *emitter,
           GError **error)
{
    gboolean envelope = bytes->len >= 5 && memcmp(bytes->data, "From ", 5) == 0;
    g_autoptr(GByteArray) message =
        envelope ? pd_mbox_unquote(bytes->data, bytes->len) : g_byte_array_ref((GByteArray *)bytes);
    const PdMailInput input = {.raw = bytes->data,
                               .n_raw = bytes->len,
                               .raw_offset = -1,
                               .raw_bytes = bytes->len,
                               .message = message,
                               .name = name,
                               .item_key = item_key};
    return pd_mail_emit(&input, emitter, error);
}

/* --- mbox ------------------------------------------------------------------------------------- */

static gssize
read_fd(guint8 *buffer, gsize n, gpointer user_data)
{
    ssize_t got;
    do
        got = read(PD_READER_INPUT_FD, buffer, n);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Text before the first message, or an empty file end: nothing that a mail could be made of. */
static gboolean
is_blank(const PdMboxMessage *message)
{
    for (gsize i = 0; i < message->n; i++) {
        if (!g_ascii_isspace(message->bytes[i]))
            return FALSE;
    }
    return TRUE;
}

static gboolean
emit_mbox_message(const PdMboxMessage *raw, guint64 item, PdEmitter *emitter, GError **error)
{
    g_autofree char *key = g_strdup_printf("message %" G_GUINT64_FORMAT, item + 1);
    if (is_blank(raw))
        return TRUE;
    if (!pd_emit_begin(emitter, item, raw->offset, key, error))
        return FALSE;
    if (raw->oversized && !pd_emit_ledger(emitter, "partial", key, (gint64)raw->n_raw, error,
                                          "too large: %" G_GUINT64_FORMAT
                                          " bytes, only the first %" G_GSIZE_FORMAT " were read",
                                          raw->n_raw, raw->n))
        return FALSE;
    if (raw->truncated && !pd_emit_ledger(emitter, "partial", key, (gint64)raw->n_raw, error,
                                          "the file ends in the middle of a line of this message: "
                                          "it may be truncated; add the whole file again"))
        return FALSE;
    if (raw->n_unescaped &&
        !pd_emit_ledger(emitter, "note", key, (gint64)raw->n_raw, error,
                        "%u unescaped \"From \" lines taken as text, the first at byte "
                        "%" G_GUINT64_FORMAT,
                        raw->n_unescaped, raw->first_unescaped))
        return FALSE;
    g_autoptr(GByteArray) message = pd_mbox_unquote(raw->bytes, raw->n);
    const PdMailInput input = {.raw = raw->bytes,
                               .n_raw = raw->n,
                               .raw_offset = (gint64)raw->offset,
                               .raw_bytes = (gint64)raw->n_raw,
                               .message = message,
                               .item_key = key};
    return pd_mail_emit(&input, emitter, error);
}

static gboolean
read_mbox(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    struct stat status;
    guint64 total = fstat(PD_READER_INPUT_FD, &status) == 0 ? (guint64)status.st_size : 0;
    guint64 item = 0;
    guint64 skip = G_MAXUINT64;
    if (request->resume_item) {
        skip = item = request->resume_item - 1;
        if (lseek(PD_READER_INPUT_FD, (off_t)request->resume_offset, SEEK_SET) < 0) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_IO, "cannot seek in %s",
                        request->name);
            return FALSE;
        }
    }
    g_autoptr(PdMboxSplitter) splitter =
        pd_mbox_splitter_new(read_fd, NULL, request->resume_offset, message_bytes_max(request));
    PdMboxMessage message;
    gboolean failed;
    for (; pd_mbox_splitter_next(splitter, &message, &failed); item++) {
        if (item != skip && !emit_mbox_message(&message, item, emitter, error))
            return FALSE;
        if (item % 32 == 31 &&
            !pd_emit_progress(emitter, message.offset + message.n_raw, total, error))
            return FALSE;
    }
    if (failed) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_IO, "%s cannot be read to its end: %s",
                    request->name, g_strerror(errno));
        return FALSE;
    }
    return TRUE;
}

/* --- Maildir ---------------------------------------------------------------------------------- */

static int
compare_paths(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Files below `folder`; deliveries under way (tmp) and files of indexes (.name) left out.  Folders
 * that cannot be listed are among them: opening them will say why. */
static void
list_files(const char *folder, guint depth, guint depth_max, GPtrArray *paths)
{
    DIR *dir = depth <= depth_max ? opendir(folder) : NULL;
    struct dirent *entry;
    if (!dir && depth > 0)
        g_ptr_array_add(paths, g_strdup(folder));
    while (dir && (entry = readdir(dir)) != NULL) {
        struct stat status;
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (lstat(path, &status) != 0)
            continue;
        if (S_ISDIR(status.st_mode)) {
            if (strcmp(name, "tmp") != 0)
                list_files(path, depth + 1, depth_max, paths);
        } else if (name[0] != '.')
            g_ptr_array_add(paths, g_steal_pointer(&path));
    }
    if (dir)
        closedir(dir);
}

static gboolean
read_maildir_file(const PdWorkerRequest *request, const char *path, const char *shown,
                  PdEmitter *emitter, GError **error)
{
    g_autoptr(GError) problem = NULL;
    g_autoptr(GByteArray) bytes = NULL;
    struct stat status = {0};
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return pd_emit_ledger(emitter, "skipped", shown, -1, error, "%s",
                              errno == ELOOP ? "symbolic link, not followed" : g_strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return pd_emit_ledger(emitter, "skipped", shown, -1, error,
                              S_ISDIR(status.st_mode) ? "folders nested too deep"
                                                      : "not a regular file");
    }
    bytes = pd_read_input(fd, message_bytes_max(request), shown, &problem);
    close(fd);
    if (!bytes)
        return pd_emit_ledger(emitter, "skipped", shown, -1, error, "%s", problem->message);
    const char *kind = pd_sniff(bytes->data, MIN(bytes->len, PD_SNIFF_BYTES), "x.eml");
    if (!kind || (strcmp(kind, "eml") != 0 && strcmp(kind, "mbox") != 0))
        return pd_emit_ledger(emitter, "skipped", shown, bytes->len, error,
                              bytes->len ? "not a mail: it does not start with header fields"
                                         : "empty");
    return emit_bytes(bytes, NULL, shown, emitter, error);
}

static gboolean
read_maildir(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    gsize n_prefix = strlen(request->path) + 1;
    DIR *top = opendir(request->path);
    if (!top) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_IO, "%s cannot be listed: %s",
                    request->name, g_strerror(errno));
        return FALSE;
    }
    closedir(top);
    list_files(request->path, 0, request->limits.folder_depth_max, paths);
    g_ptr_array_sort(paths, compare_paths);
    for (guint i = (guint)MIN(request->resume_item, paths->len); i < paths->len; i++) {
        const char *path = g_ptr_array_index(paths, i);
        g_autofree char *shown = g_utf8_make_valid(path + n_prefix, -1);
        if (!pd_emit_begin(emitter, i, 0, shown, error) ||
            !read_maildir_file(request, path, shown, emitter, error))
            return FALSE;
        if (i % 32 == 31 && !pd_emit_progress(emitter, i + 1, paths->len, error))
            return FALSE;
    }
    return TRUE;
}

/* A message as Outlook keeps or sends it: made one of RFC 5322 first. */
static gboolean
emit_mapi(const PdWorkerRequest *request, const GByteArray *bytes, PdEmitter *emitter,
          GError **error)
{
    const PdMapiLimits limits = pd_mail_mapi_limits(emitter->limits);
    g_autoptr(PdMapiMessage) mapi = pd_mapi_message_new();
    gboolean ok = strcmp(request->kind, "msg") == 0
                      ? pd_msg_read(bytes->data, bytes->len, &limits, mapi)
                      : pd_tnef_read(bytes->data, bytes->len, &limits, mapi);
    if (!ok) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                    "%s is no message that can be read: damaged, or of another kind of program",
                    request->name);
        return FALSE;
    }
    for (guint i = 0; i < mapi->remarks->len; i++)
        if (!pd_emit_ledger(emitter, "partial", "", bytes->len, error, "%s",
                            (const char *)g_ptr_array_index(mapi->remarks, i)))
            return FALSE;
    g_autoptr(GByteArray) message = pd_mapi_to_mime(mapi);
    const PdMailInput input = {.raw = bytes->data,
                               .n_raw = bytes->len,
                               .raw_offset = -1,
                               .raw_bytes = bytes->len,
                               .message = message,
                               .name = "",
                               .item_key = ""};
    return pd_mail_emit(&input, emitter, error);
}

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    pd_mail_init();
    if (strcmp(request->kind, "mbox") == 0)
        return read_mbox(request, emitter, error);
    if (strcmp(request->kind, "maildir") == 0 && request->path)
        return read_maildir(request, emitter, error);
    if (strcmp(request->kind, "pst") == 0)
        return pd_pst_read(request, message_bytes_max(request), emitter, error);
    g_autoptr(GByteArray) bytes =
        pd_read_input(PD_READER_INPUT_FD, message_bytes_max(request), request->name, error);
    if (!bytes)
        return FALSE;
    return strcmp(request->kind, "eml") == 0 ? emit_bytes(bytes, "", "", emitter, error)
                                             : emit_mapi(request, bytes, emitter, error);
}

int
main(void)
{
    static const char *const kinds[] = {"mbox", "maildir", "pst", "eml", "msg", "tnef", NULL};
    const PdReaderProgram program = {kinds, prepare, run};
    return pd_reader_main(&program);
}
