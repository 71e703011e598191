/*
 * pandect-read-git: the tracked files of a commit, or of the work tree, through libgit2.
 *
 * Reads objects, never a checkout, so that .gitignore, filters and symbolic links play no part;
 * runs nothing that a repository asks for.  The folders that Landlock must leave open (git folder,
 * common folder of a linked work tree, alternates) are found by reading three small files before
 * the sandbox closes.  Every file that is not read gets a ledger line with the reason.
 */
#include "ingest/readers/git.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_DEPTH_MAX 200
#define ENTRIES_MAX 2000000
#define ALTERNATES_DEPTH_MAX 5
#define NUL_TEST_BYTES 8000 /* as git's buffer_is_binary */
#define LFS_MARK "version https://git-lfs.github.com/spec/"

typedef struct {
    char *path;
    git_oid oid;
    guint32 mode;
} Entry;

typedef struct {
    const PdWorkerRequest *request;
    PdEmitter *emitter;
    git_repository *repository;
    git_odb *odb;
    git_commit *commit; /* NULL: a work tree without a commit */
    char commit_id[GIT_OID_HEXSZ + 1];
    char *author;
    int work_tree_fd; /* -1: read objects */
    GArray *entries;
} Job;

gboolean
pd_git_fail(GError **error, PdIngestError code, const char *what)
{
    const git_error *last = git_error_last();
    g_set_error(error, PD_INGEST_ERROR, code, "%s: %s", what,
                last && last->message ? last->message : "unknown error of libgit2");
    return FALSE;
}

char *
pd_git_quote_path(const char *path)
{
    gboolean plain = g_utf8_validate(path, -1, NULL);
    for (const char *c = path; plain && *c; c++)
        plain = (guchar)*c >= 0x20 && *c != 0x7f;
    if (plain)
        return g_strdup(path);
    g_autofree char *escaped = g_strescape(path, NULL);
    return g_strdup_printf("\"%s\"", escaped);
}

/* --- what Landlock must leave open ------------------------------------------------------------ */

/* The first line of a small file below `folder`, without `prefix`; relative to `folder`. */
static char *
read_pointer(const char *folder, const char *file, const char *prefix)
{
    g_autofree char *path = g_build_filename(folder, file, NULL);
    g_autofree char *text = NULL;
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > 65536 ||
        !g_file_get_contents(path, &text, NULL, NULL) || !g_str_has_prefix(text, prefix))
        return NULL;
    char *line = text + strlen(prefix);
    line[strcspn(line, "\r\n")] = '\0';
    return *line ? g_canonicalize_filename(line, folder) : NULL;
}

/* The folder with HEAD: the path itself, its .git, or what its file .git points to. */
static char *
find_git_dir(const char *path)
{
    g_autofree char *inner = g_build_filename(path, ".git", NULL);
    char *pointed = read_pointer(path, ".git", "gitdir: ");
    if (pointed)
        return pointed;
    return g_file_test(inner, G_FILE_TEST_IS_DIR) ? g_steal_pointer(&inner) : g_strdup(path);
}

static void
add_alternates(GPtrArray *paths, const char *git_dir, guint depth)
{
    g_autofree char *objects = g_build_filename(git_dir, "objects", NULL);
    g_autofree char *list = g_build_filename(objects, "info", "alternates", NULL);
    g_autofree char *text = NULL;
    struct stat status;
    if (depth >= ALTERNATES_DEPTH_MAX || stat(list, &status) != 0 || status.st_size > 65536 ||
        !g_file_get_contents(list, &text, NULL, NULL))
        return;
    g_auto(GStrv) lines = g_strsplit(text, "\n", 16);
    for (char **line = lines; *line; line++) {
        if (!**line || **line == '#')
            continue;
        g_autofree char *path = g_canonicalize_filename(*line, objects);
        g_autofree char *base = g_path_get_basename(path);
        /* Only what is an object folder by name: an alternates file must not open up the disk. */
        if (strcmp(base, "objects") != 0)
            continue;
        g_autofree char *other = g_path_get_dirname(path);
        g_ptr_array_add(paths, g_steal_pointer(&path));
        add_alternates(paths, other, depth + 1);
    }
}

static gboolean
prepare(const PdWorkerRequest *request, PdSandboxNeeds *needs, GError **error)
{
    needs->one_document = FALSE;
    if (!request->path) {
        struct stat status;
        needs->write_path = request->temp_dir;
        /* The pack is copied once and an index written: at most a few hundred bytes an object. */
        if (fstat(PD_READER_INPUT_FD, &status) == 0)
            needs->write_bytes_max = (guint64)MAX(status.st_size, 0) * 4 + (64u << 20);
        return TRUE;
    }
    g_autofree char *git_dir = find_git_dir(request->path);
    g_autofree char *common = read_pointer(git_dir, "commondir", "");
    g_ptr_array_add(needs->read_paths, g_strdup(request->path));
    g_ptr_array_add(needs->read_paths, g_strdup(git_dir));
    if (common)
        g_ptr_array_add(needs->read_paths, g_strdup(common));
    add_alternates(needs->read_paths, common ? common : git_dir, 0);
    return TRUE;
}

/* --- opening ---------------------------------------------------------------------------------- */

static void
set_up_libgit2(void)
{
    static const char *extensions[] = {"partialclone", "worktreeconfig"};
    git_libgit2_init();
    /* The user's and the system's settings are not part of the source. */
    for (int level = GIT_CONFIG_LEVEL_PROGRAMDATA; level <= GIT_CONFIG_LEVEL_GLOBAL; level++)
        git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "/nonexistent");
    git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions, G_N_ELEMENTS(extensions));
    /* Safe here: nothing of the repository is executed and the process is confined. */
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    /* The default windows (1 GiB each) do not fit the worker's memory limit. */
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, (size_t)32 << 20);
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, (size_t)192 << 20);
    git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, (ssize_t)32 << 20);
}

static gboolean
open_repository(Job *job, GError **error)
{
    const PdWorkerRequest *request = job->request;
    if (!request->path) {
        job->repository = pd_git_open_bundle(request, job->emitter, error);
        return job->repository != NULL;
    }
    /* Bare: attributes then come from the commit, not from what lies in the work tree. */
    g_autofree char *git_dir = find_git_dir(request->path);
    unsigned int flags = GIT_REPOSITORY_OPEN_NO_SEARCH;
    if (!request->work_tree)
        flags |= GIT_REPOSITORY_OPEN_BARE;
    if (git_repository_open_ext(&job->repository, request->work_tree ? request->path : git_dir,
                                flags, NULL) == 0)
        return TRUE;
    const git_error *last = git_error_last();
    if (last && last->message && strstr(last->message, "objectformat")) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                    "%s is a SHA-256 repository: only SHA-1 repositories can be read",
                    request->name);
        return FALSE;
    }
    return pd_git_fail(error, PD_INGEST_ERROR_FORMAT, request->name);
}

static gboolean
find_commit(Job *job, GError **error)
{
    const char *revision = job->request->git_revision;
    const char *name = job->request->name;
    git_object *object = NULL;
    git_object *commit = NULL;
    if (!revision && git_repository_head_unborn(job->repository) == 1) {
        if (job->work_tree_fd >= 0)
            return TRUE;
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                    "%s has no commit yet: an empty repository", name);
        return FALSE;
    }
    if (git_revparse_single(&object, job->repository, revision ? revision : "HEAD") != 0) {
        if (revision)
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                        "%s has no branch, tag or commit \"%s\"", name, revision);
        else
            pd_git_fail(error, PD_INGEST_ERROR_FORMAT, name);
        return FALSE;
    }
    gboolean ok = git_object_peel(&commit, object, GIT_OBJECT_COMMIT) == 0;
    git_object_free(object);
    if (!ok)
        return pd_git_fail(error, PD_INGEST_ERROR_FORMAT, name);
    job->commit = (git_commit *)commit;
    git_oid_tostr(job->commit_id, sizeof job->commit_id, git_commit_id(job->commit));
    const git_signature *author = git_commit_author(job->commit);
    if (author)
        job->author = g_strdup_printf("%s <%s>", author->name, author->email);
    return TRUE;
}

/* --- listing ---------------------------------------------------------------------------------- */

static void
entry_clear(gpointer data)
{
    g_free(((Entry *)data)->path);
}

static gboolean
collect_tree(Job *job, const git_oid *tree_oid, const char *prefix, guint depth, GError **error)
{
    git_tree *tree = NULL;
    if (depth > TREE_DEPTH_MAX || job->entries->len >= ENTRIES_MAX)
        return pd_emit_ledger(job->emitter, "skipped", prefix, -1, error,
                              "limit: more than %u levels or %u files", TREE_DEPTH_MAX,
                              ENTRIES_MAX);
    if (git_tree_lookup(&tree, job->repository, tree_oid) != 0) {
        char id[GIT_OID_HEXSZ + 1];
        git_oid_tostr(id, sizeof id, tree_oid);
        const git_error *last = git_error_last();
        return pd_emit_ledger(job->emitter, "failed", prefix, -1, error,
                              "missing or damaged object: folder %s: %s", id,
                              last ? last->message : "");
    }
    gboolean ok = TRUE;
    for (size_t i = 0; ok && i < git_tree_entrycount(tree); i++) {
        const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
        const char *name = git_tree_entry_name(entry);
        g_autofree char *path = g_strconcat(prefix, *prefix ? "/" : "", name, NULL);
        if (git_tree_entry_filemode_raw(entry) == GIT_FILEMODE_TREE) {
            ok = collect_tree(job, git_tree_entry_id(entry), path, depth + 1, error);
        } else {
            Entry item = {g_steal_pointer(&path), *git_tree_entry_id(entry),
                          git_tree_entry_filemode_raw(entry)};
            g_array_append_val(job->entries, item);
        }
    }
    git_tree_free(tree);
    return ok;
}

static gboolean
collect_index(Job *job, GError **error)
{
    git_index *index = NULL;
    if (git_repository_index(&index, job->repository) != 0)
        return pd_git_fail(error, PD_INGEST_ERROR_FORMAT, job->request->name);
    size_t n = MIN(git_index_entrycount(index), ENTRIES_MAX);
    for (size_t i = 0; i < n; i++) {
        const git_index_entry *entry = git_index_get_byindex(index, i);
        Entry item = {g_strdup(entry->path), entry->id, entry->mode};
        if (git_index_entry_stage(entry) == 0)
            g_array_append_val(job->entries, item);
        else
            g_free(item.path);
    }
    git_index_free(index);
    return TRUE;
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

/* Why the repository itself says, or its folders say, that this file is not to be read. */
static const char *
reason_by_attributes(Job *job, const char *path)
{
    static const char *names[] = {"linguist-vendored", "linguist-generated", "binary"};
    const char *values[G_N_ELEMENTS(names)] = {NULL};
    git_attr_options options = GIT_ATTR_OPTIONS_INIT;
    if (job->work_tree_fd < 0 && job->commit) {
        options.flags = GIT_ATTR_CHECK_NO_SYSTEM | GIT_ATTR_CHECK_INCLUDE_COMMIT;
        options.attr_commit_id = *git_commit_id(job->commit);
    }
    if (git_attr_get_many_ext(values, job->repository, &options, path, G_N_ELEMENTS(names),
                              names) != 0)
        memset(values, 0, sizeof values);
    git_attr_value_t vendored = attribute_state(values[0]);
    if (vendored == GIT_ATTR_VALUE_TRUE)
        return "vendored (linguist-vendored attribute)";
    if (attribute_state(values[1]) == GIT_ATTR_VALUE_TRUE)
        return "generated (linguist-generated attribute)";
    if (attribute_state(values[2]) == GIT_ATTR_VALUE_TRUE)
        return "binary (attribute)";
    if (vendored != GIT_ATTR_VALUE_FALSE) {
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
load_object(Job *job, const Entry *entry, const char *key, GByteArray **bytes, GError **error)
{
    size_t size = 0;
    git_object_t type;
    git_odb_object *object = NULL;
    guint64 max = job->request->limits.git_file_bytes_max;
    int rc = git_odb_read_header(&size, &type, job->odb, &entry->oid);
    if (rc == 0 && size > max)
        return pd_emit_ledger(
            job->emitter, "skipped", key, (gint64)size, error,
            "too large: %" G_GSIZE_FORMAT " bytes, the limit is %" G_GUINT64_FORMAT, size, max);
    if (rc == 0)
        rc = git_odb_read(&object, job->odb, &entry->oid);
    if (rc != 0) {
        char id[GIT_OID_HEXSZ + 1];
        git_oid_tostr(id, sizeof id, &entry->oid);
        const git_error *last = git_error_last();
        return pd_emit_ledger(job->emitter, "failed", key, -1, error, "%s object %s: %s",
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
           pd_emit_ledger(job->emitter, "failed", key, -1, error, "damaged object: no blob");
}

static gboolean
load_file(Job *job, const Entry *entry, const char *key, GByteArray **bytes, GError **error)
{
    g_autoptr(GError) problem = NULL;
    struct stat status;
    int fd = open_below(job->work_tree_fd, entry->path);
    if (fd < 0)
        return pd_emit_ledger(job->emitter, "skipped", key, -1, error, "%s in the work tree: %s",
                              errno == ENOENT ? "deleted" : "cannot be opened", g_strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return pd_emit_ledger(job->emitter, "skipped", key, -1, error, "not a regular file");
    }
    *bytes = pd_read_input(fd, job->request->limits.git_file_bytes_max, key, &problem);
    close(fd);
    return *bytes || pd_emit_ledger(job->emitter, "skipped", key, (gint64)status.st_size, error,
                                    "%s", problem->message);
}

static gboolean
skip_by_content(Job *job, const char *key, const GByteArray *bytes, gboolean *skip, GError **error)
{
    const char *marked;
    *skip = TRUE;
    gsize n = bytes->len;
    if (n >= strlen(LFS_MARK) && memcmp(bytes->data, LFS_MARK, strlen(LFS_MARK)) == 0) {
        g_autofree char *text = g_strndup((const char *)bytes->data, MIN(n, 1024));
        const char *size = strstr(text, "\nsize ");
        return pd_emit_ledger(
            job->emitter, "skipped", key, (gint64)n, error,
            "Git LFS pointer: the file itself (%.*s bytes) is not in the "
            "repository; fetch it with git lfs pull and add it from the work tree",
            size ? (int)strcspn(size + 6, "\n") : 1, size ? size + 6 : "?");
    }
    if (!pd_charset_mark(bytes->data, n, &marked) && memchr(bytes->data, 0, MIN(n, NUL_TEST_BYTES)))
        return pd_emit_ledger(job->emitter, "skipped", key, (gint64)n, error, "binary");
    *skip = FALSE;
    return TRUE;
}

static gboolean
read_link_entry(Job *job, const Entry *entry, const char *key, GError **error)
{
    g_autoptr(GByteArray) bytes = NULL;
    if (job->work_tree_fd >= 0)
        return pd_emit_ledger(job->emitter, "skipped", key, -1, error,
                              "symbolic link, not followed");
    if (!load_object(job, entry, key, &bytes, error))
        return FALSE;
    if (!bytes)
        return TRUE;
    return pd_emit_ledger(job->emitter, "skipped", key, bytes->len, error,
                          "symbolic link to \"%.*s\", not followed", (int)MIN(bytes->len, 200u),
                          (const char *)bytes->data);
}

static void
fill_document(Job *job, PdDocument *document, const Entry *entry, const git_oid *oid)
{
    char id[GIT_OID_HEXSZ + 1];
    git_oid_tostr(id, sizeof id, oid);
    document->title = g_strdup(document->key);
    document->author = g_strdup(job->author);
    document->native_id = g_strdup(id);
    if (job->commit) {
        document->date_utc = git_commit_time(job->commit);
        /* A changed file of the work tree is in no commit. */
        if (job->work_tree_fd < 0 || git_oid_equal(oid, &entry->oid))
            document->revision = g_strdup(job->commit_id);
    }
}

static gboolean
read_blob_entry(Job *job, const Entry *entry, const char *key, GError **error)
{
    g_autoptr(GByteArray) bytes = NULL;
    g_autoptr(PdDocument) document = pd_document_new(PD_KIND_GIT_FILE, key);
    git_oid oid = entry->oid;
    gboolean skip;
    const char *reason = reason_by_attributes(job, entry->path);
    if (reason)
        return pd_emit_ledger(job->emitter, "skipped", key, -1, error, "%s", reason);
    if (job->work_tree_fd >= 0) {
        if (!load_file(job, entry, key, &bytes, error))
            return FALSE;
        if (!bytes)
            return TRUE;
        git_odb_hash(&oid, bytes->data, bytes->len, GIT_OBJECT_BLOB);
    }
    fill_document(job, document, entry, &oid);
    if (g_hash_table_contains(job->request->known, document->native_id)) {
        document->unchanged = TRUE;
        document->raw_bytes = bytes ? bytes->len : 0;
        return pd_emit_document(job->emitter, document, error);
    }
    if (!bytes && !load_object(job, entry, key, &bytes, error))
        return FALSE;
    if (!bytes)
        return TRUE;
    if (!skip_by_content(job, key, bytes, &skip, error))
        return FALSE;
    if (skip)
        return TRUE;
    PdPart *part = pd_document_add_part(document, "", NULL);
    pd_sha256(bytes->data, bytes->len, document->raw_sha256);
    document->raw_bytes = bytes->len;
    return pd_decode_text(job->emitter, key, bytes->data, bytes->len, NULL, part->text, error) &&
           pd_emit_document(job->emitter, document, error);
}

static gboolean
read_entry(Job *job, const Entry *entry, GError **error)
{
    g_autofree char *key = pd_git_quote_path(entry->path);
    switch (entry->mode & S_IFMT) {
    case GIT_FILEMODE_COMMIT &S_IFMT: {
        char id[GIT_OID_HEXSZ + 1];
        git_oid_tostr(id, sizeof id, &entry->oid);
        return pd_emit_ledger(job->emitter, "skipped", key, -1, error,
                              "submodule at commit %s: add its repository as a source of its own",
                              id);
    }
    case S_IFLNK:
        return read_link_entry(job, entry, key, error);
    default:
        return read_blob_entry(job, entry, key, error);
    }
}

static gboolean
read_all(Job *job, GError **error)
{
    guint n = job->entries->len;
    for (guint i = (guint)MIN(job->request->resume_item, n); i < n; i++) {
        const Entry *entry = &g_array_index(job->entries, Entry, i);
        g_autofree char *key = pd_git_quote_path(entry->path);
        if (!pd_emit_begin(job->emitter, i, 0, key, error) || !read_entry(job, entry, error))
            return FALSE;
        if (i % 64 == 63 && !pd_emit_progress(job->emitter, i + 1, n + 1, error))
            return FALSE;
    }
    if (job->commit && job->request->resume_item <= n) {
        if (!pd_emit_begin(job->emitter, n, 0, "(history)", error) ||
            !pd_git_emit_history(job->repository, job->commit, job->request, job->emitter, error))
            return FALSE;
    }
    return pd_emit_progress(job->emitter, n + 1, n + 1, error);
}

static gboolean
run_job(Job *job, GError **error)
{
    if (!open_repository(job, error))
        return FALSE;
    if (job->request->work_tree) {
        const char *folder = git_repository_workdir(job->repository);
        job->work_tree_fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (job->work_tree_fd < 0) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                        "%s has no work tree: read a commit of it instead", job->request->name);
            return FALSE;
        }
    }
    if (!find_commit(job, error))
        return FALSE;
    if (git_repository_odb(&job->odb, job->repository) != 0)
        return pd_git_fail(error, PD_INGEST_ERROR_FORMAT, job->request->name);
    if (job->request->path && git_repository_is_shallow(job->repository) &&
        !job->request->resume_item &&
        !pd_emit_ledger(job->emitter, "note", "", -1, error,
                        "shallow clone: older history is not here"))
        return FALSE;
    if (job->work_tree_fd >= 0 ? !collect_index(job, error)
                               : !collect_tree(job, git_commit_tree_id(job->commit), "", 0, error))
        return FALSE;
    return read_all(job, error);
}

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    Job job = {.request = request, .emitter = emitter, .work_tree_fd = -1};
    set_up_libgit2();
    job.entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    g_array_set_clear_func(job.entries, entry_clear);
    gboolean ok = run_job(&job, error);
    g_array_unref(job.entries);
    g_free(job.author);
    git_odb_free(job.odb);
    git_commit_free(job.commit);
    git_repository_free(job.repository);
    if (job.work_tree_fd >= 0)
        close(job.work_tree_fd);
    git_libgit2_shutdown();
    return ok;
}

int
main(void)
{
    static const char *const kinds[] = {"git", NULL};
    const PdReaderProgram program = {kinds, prepare, run};
    return pd_reader_main(&program);
}
