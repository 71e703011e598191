/*
 * pandect-read-git: the tracked files of a commit, or of the work tree, through libgit2; what
 * changed since another commit; and, on request, the log and the blame of each file.
 *
 * Reads objects, never a checkout, so that .gitignore, filters and symbolic links play no part;
 * runs nothing that a repository asks for.  The folders that Landlock must leave open (git folder,
 * common folder of a linked work tree, alternates) are found by reading three small files before
 * the sandbox closes.  Every file that is not read gets a ledger line with the reason.
 */
#include "ingest/readers/git.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALTERNATES_DEPTH_MAX 5

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
open_repository(PdGit *git, GError **error)
{
    const PdWorkerRequest *request = git->request;
    if (!request->path) {
        git->repository = pd_git_open_bundle(request, git->emitter, error);
        return git->repository != NULL;
    }
    /* Bare: attributes then come from the commit, not from what lies in the work tree. */
    g_autofree char *git_dir = find_git_dir(request->path);
    unsigned int flags = GIT_REPOSITORY_OPEN_NO_SEARCH;
    if (!request->work_tree)
        flags |= GIT_REPOSITORY_OPEN_BARE;
    if (git_repository_open_ext(&git->repository, request->work_tree ? request->path : git_dir,
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

/* The commit that `revision` (NULL: HEAD) leads to. */
static git_commit *
find_commit(const PdGit *git, const char *revision, GError **error)
{
    const char *name = git->request->name;
    git_object *object = NULL;
    git_object *commit = NULL;
    if (git_revparse_single(&object, git->repository, revision ? revision : "HEAD") != 0) {
        if (revision)
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                        "%s has no branch, tag or commit \"%s\"", name, revision);
        else
            pd_git_fail(error, PD_INGEST_ERROR_FORMAT, name);
        return NULL;
    }
    if (git_object_peel(&commit, object, GIT_OBJECT_COMMIT) != 0)
        pd_git_fail(error, PD_INGEST_ERROR_FORMAT, name);
    git_object_free(object);
    return (git_commit *)commit;
}

/* "A..B" as both, "A...B" as what they have in common and B; without an end, or with none said,
 * that is HEAD. */
static gboolean
find_range(PdGit *git, GError **error)
{
    const char *range = git->request->git_diff;
    const char *dots = strstr(range, "..");
    gboolean common = dots && dots[2] == '.';
    g_autofree char *from = dots ? g_strndup(range, (gsize)(dots - range)) : g_strdup(range);
    const char *to = dots ? dots + (common ? 3 : 2) : "";
    git_oid oid;
    git->commit = find_commit(git, *to ? to : NULL, error);
    git->base = git->commit ? find_commit(git, *from ? from : NULL, error) : NULL;
    if (!git->base || !common)
        return git->base != NULL;
    int rc =
        git_merge_base(&oid, git->repository, git_commit_id(git->base), git_commit_id(git->commit));
    git_commit_free(git->base);
    git->base = NULL;
    if (rc == 0 && git_commit_lookup(&git->base, git->repository, &oid) == 0)
        return TRUE;
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                "%s: the two sides of \"%s\" have no commit in common here", git->request->name,
                range);
    return FALSE;
}

static gboolean
find_commits(PdGit *git, GError **error)
{
    const PdWorkerRequest *request = git->request;
    if (!request->git_revision && !request->git_diff &&
        git_repository_head_unborn(git->repository) == 1) {
        if (git->work_tree_fd >= 0)
            return TRUE;
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                    "%s has no commit yet: an empty repository", request->name);
        return FALSE;
    }
    if (request->git_diff ? !find_range(git, error)
                          : !(git->commit = find_commit(git, request->git_revision, error)))
        return FALSE;
    git_oid_tostr(git->commit_id, sizeof git->commit_id, git_commit_id(git->commit));
    const git_signature *author = git_commit_author(git->commit);
    if (author)
        git->author = g_strdup_printf("%s <%s>", author->name, author->email);
    return TRUE;
}

/* --- items ------------------------------------------------------------------------------------ */

gboolean
pd_git_wants(const PdGit *git, const char *path)
{
    g_autofree char *whole = g_strconcat(git->request->key_prefix, path, NULL);
    return pd_pathspec_wants(git->pathspec, whole);
}

gboolean
pd_git_begin(PdGit *git, const char *key, gboolean *wanted, GError **error)
{
    guint64 number = git->n_items++;
    *wanted = number >= git->request->resume_item;
    return !*wanted || pd_emit_begin(git->emitter, number, 0, key, error);
}

PdDocument *
pd_git_document(const PdGit *git, const char *key, const char *path, const char *label)
{
    PdDocument *document = pd_document_new(PD_KIND_GIT_FILE, key);
    document->title = g_strdup(key);
    if (git->commit) {
        document->revision = g_strdup(git->commit_id);
        document->date_utc = git_commit_time(git->commit);
    }
    pd_document_add_part(document, path, label);
    return document;
}

static gboolean
emit_all(PdGit *git, GError **error)
{
    const PdWorkerRequest *request = git->request;
    if (!request->git_diff_only &&
        (!pd_git_list_files(git, error) || !pd_git_emit_files(git, error) ||
         !pd_git_emit_tree(git, error)))
        return FALSE;
    if (git->commit && !request->git_diff_only &&
        (!pd_git_emit_history(git, error) || !pd_git_emit_tags(git, error)))
        return FALSE;
    if (git->commit && request->git_history && !pd_git_emit_logs(git, error))
        return FALSE;
    if (git->commit && request->git_blame && !pd_git_emit_blames(git, error))
        return FALSE;
    return (!git->base || pd_git_emit_diff(git, error)) &&
           pd_emit_progress(git->emitter, git->n_items, git->n_items, error);
}

static gboolean
open_work_tree(PdGit *git, GError **error)
{
    const char *folder = git_repository_workdir(git->repository);
    git->work_tree_fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (git->work_tree_fd >= 0)
        return TRUE;
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                "%s has no work tree: read a commit of it instead", git->request->name);
    return FALSE;
}

static gboolean
run_job(PdGit *git, GError **error)
{
    const PdWorkerRequest *request = git->request;
    git->pathspec = pd_pathspec_new((const char *const *)request->include,
                                    (const char *const *)request->exclude, error);
    if (!git->pathspec || !open_repository(git, error) ||
        (request->work_tree && !open_work_tree(git, error)) || !find_commits(git, error))
        return FALSE;
    if (git_repository_odb(&git->odb, git->repository) != 0)
        return pd_git_fail(error, PD_INGEST_ERROR_FORMAT, request->name);
    if (request->path && git_repository_is_shallow(git->repository) && !request->resume_item &&
        !pd_emit_ledger(git->emitter, "note", "", -1, error,
                        "shallow clone: older history is not here"))
        return FALSE;
    return emit_all(git, error);
}

static void
entry_clear(gpointer data)
{
    g_free(((PdGitEntry *)data)->path);
}

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    PdGit git = {.request = request, .emitter = emitter, .work_tree_fd = -1};
    set_up_libgit2();
    git.entries = g_array_new(FALSE, FALSE, sizeof(PdGitEntry));
    g_array_set_clear_func(git.entries, entry_clear);
    gboolean ok = run_job(&git, error);
    g_array_unref(git.entries);
    g_free(git.author);
    pd_pathspec_free(git.pathspec);
    git_odb_free(git.odb);
    git_commit_free(git.commit);
    git_commit_free(git.base);
    git_repository_free(git.repository);
    if (git.work_tree_fd >= 0)
        close(git.work_tree_fd);
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
