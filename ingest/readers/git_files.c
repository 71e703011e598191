/*
 * The files of a commit or work tree: which there are, which of them are text, and their text.
 *
 * A file that is read as text is a document whose text is the file's, so that its lines are the
 * file's lines.  One that holds something else (a PDF, a compressed file, an archive, a notebook)
 * is handed to the reader of its kind, with the commit.  What is neither gets a ledger line.
 */
#include "ingest/readers/git.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/readers/sniff.h"

#define NUL_TEST_BYTES 8000 /* as git's buffer_is_binary */
#define LFS_MARK "version https://git-lfs.github.com/spec/"

/* --- listing ---------------------------------------------------------------------------------- */

/* Takes the path. */
static void
add_entry(PdGit *git, char *path, const git_oid *oid, guint32 mode)
{
    PdGitEntry entry = {path, *oid, mode};
    if (pd_git_wants(git, path)) {
        g_array_append_val(git->entries, entry);
        return;
    }
    git->n_unwanted++;
    g_free(path);
}

static gboolean
say_folder(PdGit *git, const char *level, const char *path, const char *reason, GError **error)
{
    g_autofree char *key = pd_git_quote_path(path);
    /* Listed again after a crash: it was said. */
    return git->request->resume_item ||
           pd_emit_ledger(git->emitter, level, key, -1, error, "%s", reason);
}

/* The rest of a folder, or of the index, is not listed. */
static gboolean
say_limit(PdGit *git, const char *path, GError **error)
{
    const PdReadLimits *limits = &git->request->limits;
    g_autofree char *reason = g_strdup_printf("limit: more than %u levels or %u files",
                                              limits->git_depth_max, limits->git_files_max);
    return say_folder(git, "skipped", path, reason, error);
}

static gboolean
is_full(const PdGit *git)
{
    return git->entries->len >= git->request->limits.git_files_max;
}

static gboolean
collect_tree(PdGit *git, const git_oid *tree_oid, const char *prefix, guint depth, GError **error)
{
    git_tree *tree = NULL;
    if (depth > git->request->limits.git_depth_max)
        return say_limit(git, prefix, error);
    if (git_tree_lookup(&tree, git->repository, tree_oid) != 0) {
        char id[PD_GIT_ID_CHARS];
        git_oid_tostr(id, sizeof id, tree_oid);
        const git_error *last = git_error_last();
        g_autofree char *reason = g_strdup_printf("missing or damaged object: folder %s: %s", id,
                                                  last ? last->message : "");
        return say_folder(git, "failed", prefix, reason, error);
    }
    gboolean ok = TRUE;
    for (size_t i = 0; ok && i < git_tree_entrycount(tree); i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
        const char *name = git_tree_entry_name(entry);
        g_autofree char *path = g_strconcat(prefix, *prefix ? "/" : "", name, NULL);
        if (is_full(git)) {
            ok = say_limit(git, prefix, error);
            break;
        }
        if (git_tree_entry_filemode_raw(entry) == GIT_FILEMODE_TREE) {
            ok = collect_tree(git, git_tree_entry_id(entry), path, depth + 1, error);
        } else {
            add_entry(git, g_steal_pointer(&path), git_tree_entry_id(entry),
                      git_tree_entry_filemode_raw(entry));
        }
    }
    git_tree_free(tree);
    return ok;
}

static gboolean
collect_index(PdGit *git, GError **error)
{
    git_index *index = NULL;
    if (git_repository_index(&index, git->repository) != 0)
        return pd_git_fail(error, PD_INGEST_ERROR_FORMAT, git->request->name);
    gboolean ok = TRUE;
    for (size_t i = 0; i < git_index_entrycount(index); i++) {
        if (is_full(git)) {
            ok = say_limit(git, "", error);
            break;
        }
        const git_index_entry *entry = git_index_get_byindex(index, i);
        if (git_index_entry_stage(entry) == 0)
            add_entry(git, g_strdup(entry->path), &entry->id, entry->mode);
    }
    git_index_free(index);
    return ok;
}

gboolean
pd_git_list_files(PdGit *git, GError **error)
{
    gboolean ok = git->work_tree_fd >= 0
                      ? collect_index(git, error)
                      : collect_tree(git, git_commit_tree_id(git->commit), "", 0, error);
    if (!ok || !git->n_unwanted || git->request->resume_item)
        return ok;
    return pd_emit_ledger(git->emitter, "note", "", -1, error,
                          "%" G_GUINT64_FORMAT " files were not asked for (--include, --exclude)",
                          git->n_unwanted);
}

/* --- one file --------------------------------------------------------------------------------- */

/* Set ("attr" or "attr=true"), unset ("-attr" or "attr=false"), or neither. */
static git_attr_value_t
attribute_state(const char *value)
{
    git_attr_value_t state = git_attr_value(value);
    if (state != GIT_ATTR_VALUE_STRING)
        return state;
    return strcmp(value, "true") == 0    ? GIT_ATTR_VALUE_TRUE
           : strcmp(value, "false") == 0 ? GIT_ATTR_VALUE_FALSE
                                         : GIT_ATTR_VALUE_UNSPECIFIED;
}

/* The state of each of `n` attributes of a path, as the commit or the work tree sets them. */
static void
get_attributes(const PdGit *git, const char *path, const char **names, gsize n,
               git_attr_value_t *states)
{
    const char *values[4] = {NULL};
    git_attr_options options = GIT_ATTR_OPTIONS_INIT;
    g_assert(n <= G_N_ELEMENTS(values));
    if (git->work_tree_fd < 0 && git->commit) {
        options.flags = GIT_ATTR_CHECK_NO_SYSTEM | GIT_ATTR_CHECK_INCLUDE_COMMIT;
        options.attr_commit_id = *git_commit_id(git->commit);
    }
    if (git_attr_get_many_ext(values, git->repository, &options, path, n, names) != 0)
        memset(values, 0, sizeof values);
    for (gsize i = 0; i < n; i++)
        states[i] = attribute_state(values[i]);
}

const char *
pd_git_reason_by_attributes(const PdGit *git, const char *path)
{
    static const char *names[] = {"linguist-vendored", "linguist-generated"};
    git_attr_value_t states[G_N_ELEMENTS(names)];
    get_attributes(git, path, names, G_N_ELEMENTS(names), states);
    if (states[0] == GIT_ATTR_VALUE_TRUE)
        return "vendored (linguist-vendored attribute)";
    if (states[1] == GIT_ATTR_VALUE_TRUE)
        return "generated (linguist-generated attribute)";
    if (states[0] != GIT_ATTR_VALUE_FALSE) {
        static const char *const folders[] = {"vendor", "node_modules", "third_party"};
        g_auto(GStrv) steps = g_strsplit(path, "/", -1);
        for (guint i = 0; steps[0] && steps[i + 1]; i++) {
            for (gsize k = 0; k < G_N_ELEMENTS(folders); k++) {
                if (strcmp(steps[i], folders[k]) == 0)
                    return "vendored (by its folder's name)";
            }
        }
    }
    return NULL;
}

static gboolean
is_binary_by_attribute(const PdGit *git, const char *path)
{
    static const char *names[] = {"binary"};
    git_attr_value_t state;
    get_attributes(git, path, names, 1, &state);
    return state == GIT_ATTR_VALUE_TRUE;
}

static gboolean
ends_with_one_of(const char *path, const char *const *extensions)
{
    const char *dot = strrchr(path, '.');
    g_autofree char *lower = dot ? g_ascii_strdown(dot + 1, -1) : NULL;
    return lower && g_strv_contains(extensions, lower);
}

/* How large a file may be.  Names only decide whether a large one is looked at. */
static guint64
bytes_max(const PdGit *git, const char *path)
{
    static const char *const holders[] = {"pdf",   "docx", "odt", "xlsx", "pptx", "epub", "rtf",
                                          "ipynb", "zip",  "tar", "tgz",  "txz",  "tbz",  "7z",
                                          "gz",    "xz",   "zst", "bz2",  NULL};
    const PdReadLimits *limits = &git->request->limits;
    return ends_with_one_of(path, holders) ? MAX(limits->git_file_bytes_max, limits->file_bytes_max)
                                           : limits->git_file_bytes_max;
}

/* Is this something that another reader makes more of than its bytes as text?  Source code, pages,
 * patches and mails stay text: people cite their lines. */
static gboolean
has_own_reader(const GByteArray *bytes, const char *path)
{
    static const char *const pdf[] = {"pdf", NULL};
    static const char *const kinds[] = {"pdf", "rtf", "notebook", "msg", NULL};
    const char *kind = pd_sniff(bytes->data, MIN(bytes->len, PD_SNIFF_BYTES), path);
    if (!kind || (!pd_is_packed(kind) && !g_strv_contains(kinds, kind)))
        return FALSE;
    /* The mark may stand a little into a file; in a program that writes PDFs it does. */
    return strcmp(kind, "pdf") != 0 || memcmp(bytes->data, "%PDF-", 5) == 0 ||
           ends_with_one_of(path, pdf);
}

/* Open a file below the work tree without following a link anywhere on the way. */
static int
open_below(int folder, const char *path)
{
    g_auto(GStrv) steps = g_strsplit(path, "/", -1);
    int fd = dup(folder);
    for (guint i = 0; steps[i] && fd >= 0; i++) {
        int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
        int next = openat(fd, steps[i], steps[i + 1] ? flags | O_DIRECTORY : flags);
        close(fd);
        fd = next;
    }
    return fd;
}

/* The bytes of an entry.  Nothing and a ledger line if it cannot or should not be read: then
 * *bytes is NULL and TRUE is returned. */
static gboolean
load_object(PdGit *git, const PdGitEntry *entry, const char *key, GByteArray **bytes,
            GError **error)
{
    guint64 max = bytes_max(git, entry->path);
    size_t size = 0;
    git_object_t type;
    git_odb_object *object = NULL;
    int rc = git_odb_read_header(&size, &type, git->odb, &entry->oid);
    if (rc == 0 && size > max)
        return pd_emit_ledger(
            git->emitter, "skipped", key, (gint64)size, error,
            "too large: %" G_GSIZE_FORMAT " bytes, the limit is %" G_GUINT64_FORMAT, size, max);
    if (rc == 0)
        rc = git_odb_read(&object, git->odb, &entry->oid);
    if (rc != 0) {
        char id[PD_GIT_ID_CHARS];
        git_oid_tostr(id, sizeof id, &entry->oid);
        const git_error *last = git_error_last();
        return pd_emit_ledger(git->emitter, "failed", key, -1, error, "%s object %s: %s",
                              rc == GIT_ENOTFOUND ? "missing" : "damaged", id,
                              last ? last->message : "");
    }
    if (git_odb_object_type(object) == GIT_OBJECT_BLOB) {
        *bytes = g_byte_array_new();
        g_byte_array_append(*bytes, git_odb_object_data(object),
                            (guint)git_odb_object_size(object));
    }
    git_odb_object_free(object);
    return *bytes ||
           pd_emit_ledger(git->emitter, "failed", key, -1, error, "damaged object: no blob");
}

static gboolean
load_file(PdGit *git, const PdGitEntry *entry, const char *key, GByteArray **bytes, GError **error)
{
    g_autoptr(GError) problem = NULL;
    struct stat status;
    int fd = open_below(git->work_tree_fd, entry->path);
    if (fd < 0)
        return pd_emit_ledger(git->emitter, "skipped", key, -1, error, "%s in the work tree: %s",
                              errno == ENOENT ? "deleted" : "cannot be opened", g_strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return pd_emit_ledger(git->emitter, "skipped", key, -1, error, "not a regular file");
    }
    *bytes = pd_read_input(fd, bytes_max(git, entry->path), key, &problem);
    close(fd);
    return *bytes || pd_emit_ledger(git->emitter, "skipped", key, (gint64)status.st_size, error,
                                    "%s", problem->message);
}

/* Why bytes are not read as text; NULL: they are.  Free with g_free. */
static char *
reason_by_content(const PdGit *git, const GByteArray *bytes)
{
    const char *marked;
    guint64 max = git->request->limits.git_file_bytes_max;
    gsize n = bytes->len;
    if (n > max)
        return g_strdup_printf(
            "too large: %" G_GSIZE_FORMAT " bytes, the limit is %" G_GUINT64_FORMAT, n, max);
    if (n >= strlen(LFS_MARK) && memcmp(bytes->data, LFS_MARK, strlen(LFS_MARK)) == 0) {
        g_autofree char *text = g_strndup((const char *)bytes->data, MIN(n, 1024));
        const char *size = strstr(text, "\nsize ");
        return g_strdup_printf("Git LFS pointer: the file itself (%.*s bytes) is not in the "
                               "repository; fetch it with git lfs pull and add it from the work "
                               "tree",
                               size ? (int)strcspn(size + 6, "\n") : 1, size ? size + 6 : "?");
    }
    if (!pd_charset_mark(bytes->data, n, &marked) && memchr(bytes->data, 0, MIN(n, NUL_TEST_BYTES)))
        return g_strdup("binary");
    return NULL;
}

static gboolean
read_link_entry(PdGit *git, const PdGitEntry *entry, const char *key, GError **error)
{
    g_autoptr(GByteArray) bytes = NULL;
    if (git->work_tree_fd >= 0)
        return pd_emit_ledger(git->emitter, "skipped", key, -1, error,
                              "symbolic link, not followed");
    if (!load_object(git, entry, key, &bytes, error))
        return FALSE;
    if (!bytes)
        return TRUE;
    return pd_emit_ledger(git->emitter, "skipped", key, bytes->len, error,
                          "symbolic link to \"%.*s\", not followed", (int)MIN(bytes->len, 200u),
                          (const char *)bytes->data);
}

/* The document of a file with this content. */
static PdDocument *
file_document(PdGit *git, const PdGitEntry *entry, const char *key, const git_oid *oid)
{
    char id[PD_GIT_ID_CHARS];
    PdDocument *document = pd_git_document(git, key, "", NULL);
    git_oid_tostr(id, sizeof id, oid);
    document->author = g_strdup(git->author);
    document->native_id = g_strdup(id);
    /* A changed file of the work tree is in no commit. */
    if (!git_oid_equal(oid, &entry->oid))
        g_clear_pointer(&document->revision, g_free);
    return document;
}

static gboolean
emit_text(PdGit *git, const PdGitEntry *entry, PdDocument *document, const GByteArray *bytes,
          GError **error)
{
    const char *key = document->key;
    g_autofree char *reason = is_binary_by_attribute(git, entry->path)
                                  ? g_strdup("binary (attribute)")
                                  : reason_by_content(git, bytes);
    if (reason)
        return pd_emit_ledger(git->emitter, "skipped", key, bytes->len, error, "%s", reason);
    PdPart *part = g_ptr_array_index(document->parts, 0);
    pd_sha256(bytes->data, bytes->len, document->raw_sha256);
    document->raw_bytes = bytes->len;
    return pd_decode_text(git->emitter, key, bytes->data, bytes->len, NULL, part->text, error) &&
           pd_emit_document(git->emitter, document, error);
}

static gboolean
read_blob_entry(PdGit *git, const PdGitEntry *entry, const char *key, GError **error)
{
    g_autoptr(GByteArray) bytes = NULL;
    git_oid oid = entry->oid;
    const char *reason = pd_git_reason_by_attributes(git, entry->path);
    if (reason)
        return pd_emit_ledger(git->emitter, "skipped", key, -1, error, "%s", reason);
    if (git->work_tree_fd >= 0) {
        if (!load_file(git, entry, key, &bytes, error))
            return FALSE;
        if (!bytes)
            return TRUE;
        git_odb_hash(&oid, bytes->data, bytes->len, GIT_OBJECT_BLOB);
    }
    g_autoptr(PdDocument) document = file_document(git, entry, key, &oid);
    /* What is known was read as text, before the attribute was there. */
    if (g_hash_table_contains(git->request->known, document->native_id) &&
        !is_binary_by_attribute(git, entry->path)) {
        document->unchanged = TRUE;
        document->raw_bytes = bytes ? bytes->len : 0;
        g_ptr_array_set_size(document->parts, 0);
        return pd_emit_document(git->emitter, document, error);
    }
    if (!bytes && !load_object(git, entry, key, &bytes, error))
        return FALSE;
    if (!bytes)
        return TRUE;
    if (!has_own_reader(bytes, entry->path))
        return emit_text(git, entry, document, bytes, error);
    git->emitter->revision = document->revision;
    gboolean ok = pd_emit_attachment(git->emitter, key, NULL, bytes->data, bytes->len, error);
    git->emitter->revision = NULL;
    return ok;
}

static gboolean
read_entry(PdGit *git, const PdGitEntry *entry, GError **error)
{
    g_autofree char *key = pd_git_quote_path(entry->path);
    switch (entry->mode & S_IFMT) {
    case GIT_FILEMODE_COMMIT &S_IFMT: {
        char id[PD_GIT_ID_CHARS];
        git_oid_tostr(id, sizeof id, &entry->oid);
        return pd_emit_ledger(git->emitter, "skipped", key, -1, error,
                              "submodule at commit %s: add its repository as a source of its own",
                              id);
    }
    case S_IFLNK:
        return read_link_entry(git, entry, key, error);
    default:
        return read_blob_entry(git, entry, key, error);
    }
}

gboolean
pd_git_emit_files(PdGit *git, GError **error)
{
    for (guint i = 0; i < git->entries->len; i++) {
        const PdGitEntry *entry = &g_array_index(git->entries, PdGitEntry, i);
        g_autofree char *key = pd_git_quote_path(entry->path);
        gboolean wanted;
        if (!pd_git_begin(git, key, &wanted, error) || (wanted && !read_entry(git, entry, error)) ||
            (i % 64 == 63 && !pd_emit_progress(git->emitter, i + 1, git->entries->len + 1, error)))
            return FALSE;
    }
    return TRUE;
}

GByteArray *
pd_git_text_bytes(PdGit *git, const PdGitEntry *entry)
{
    g_autoptr(GByteArray) bytes = NULL;
    guint32 type = entry->mode & S_IFMT;
    if (type == (GIT_FILEMODE_COMMIT & S_IFMT) || type == S_IFLNK ||
        pd_git_reason_by_attributes(git, entry->path) || is_binary_by_attribute(git, entry->path))
        return NULL;
    if (git->work_tree_fd >= 0) {
        int fd = open_below(git->work_tree_fd, entry->path);
        if (fd < 0)
            return NULL;
        bytes = pd_read_input(fd, git->request->limits.git_file_bytes_max, entry->path, NULL);
        close(fd);
    } else {
        git_odb_object *object = NULL;
        size_t size;
        git_object_t kind;
        if (git_odb_read_header(&size, &kind, git->odb, &entry->oid) != 0 ||
            kind != GIT_OBJECT_BLOB || size > git->request->limits.git_file_bytes_max ||
            git_odb_read(&object, git->odb, &entry->oid) != 0)
            return NULL;
        bytes = g_byte_array_new();
        g_byte_array_append(bytes, git_odb_object_data(object), (guint)git_odb_object_size(object));
        git_odb_object_free(object);
    }
    g_autofree char *reason = bytes ? reason_by_content(git, bytes) : NULL;
    return bytes && !reason && !has_own_reader(bytes, entry->path) ? g_steal_pointer(&bytes) : NULL;
}
