/*
 * The commit log as documents: who changed what, when, and why they said they did.
 *
 * "(history)" has the last commits, "(log)/PATH" those that touched one file; newest first, in the
 * form of git log: id, names that point to the commit, author, date, the paths that the commit
 * touched, message.
 *
 * The log of a file follows it through renames, as git log --follow does: before the commit that
 * renamed it, it has the commits of its former name.  So it is with a copy of a file that the same
 * commit changed; copies of others are not looked for.
 */
#include "ingest/readers/git.h"

#include <string.h>

#define PATHS_SHOWN_MAX 20

static int
collect_ref(git_reference *reference, void *user_data)
{
    GHashTable *names = user_data;
    git_object *target = NULL;
    if (git_reference_peel(&target, reference, GIT_OBJECT_COMMIT) == 0) {
        char id[GIT_OID_HEXSZ + 1];
        git_oid_tostr(id, sizeof id, git_object_id(target));
        GString *list = g_hash_table_lookup(names, id);
        if (!list) {
            list = g_string_new(NULL);
            g_hash_table_insert(names, g_strdup(id), list);
        }
        g_string_append_printf(list, "%s%s%s", list->len ? ", " : "",
                               git_reference_is_tag(reference) ? "tag: " : "",
                               git_reference_shorthand(reference));
        git_object_free(target);
    }
    git_reference_free(reference);
    return 0;
}

static void
free_string(gpointer data)
{
    g_string_free(data, TRUE);
}

void
pd_git_append_valid(GString *out, const char *text)
{
    PdCharsetInfo info;
    if (text)
        pd_charset_decode((const guint8 *)text, strlen(text), NULL, out, &info);
}

void
pd_git_append_date(GString *out, const git_time *when)
{
    g_autoptr(GTimeZone) zone = g_time_zone_new_offset(when->offset * 60);
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(when->time);
    g_autoptr(GDateTime) local = utc ? g_date_time_to_timezone(utc, zone) : NULL;
    g_autofree char *text = local ? g_date_time_format(local, "%Y-%m-%d %H:%M:%S %z") : NULL;
    g_string_append_printf(out, "Date:   %s\n", text ? text : "unknown");
}

void
pd_git_append_message(GString *out, const char *message)
{
    g_autoptr(GString) text = g_string_new(NULL);
    pd_git_append_valid(text, message);
    g_auto(GStrv) lines = g_strsplit(g_strchomp(text->str), "\n", -1);
    for (char **line = lines; *line; line++)
        g_string_append_printf(out, "%s%s\n", **line ? "    " : "", *line);
    if (lines[0])
        g_string_append_c(out, '\n');
}

/* What a commit changed against its first parent; NULL: that cannot be told. */
static git_diff *
diff_of_commit(git_repository *repository, const git_commit *commit)
{
    git_tree *tree = NULL;
    git_tree *before = NULL;
    git_commit *parent = NULL;
    git_diff *diff = NULL;
    git_diff_options options = GIT_DIFF_OPTIONS_INIT;
    options.flags = GIT_DIFF_SKIP_BINARY_CHECK;
    gboolean has_parent = git_commit_parentcount(commit) > 0;
    gboolean ok = git_commit_tree(&tree, commit) == 0;
    if (ok && has_parent)
        ok = git_commit_parent(&parent, commit, 0) == 0 && git_commit_tree(&before, parent) == 0;
    if (ok && git_diff_tree_to_tree(&diff, repository, before, tree, &options) != 0)
        diff = NULL;
    git_tree_free(before);
    git_tree_free(tree);
    git_commit_free(parent);
    return diff;
}

static const char *
delta_path(const git_diff_delta *delta)
{
    return delta->new_file.path ? delta->new_file.path : delta->old_file.path;
}

/* "Files:  a.c, b.c (+3 more)" */
static void
append_paths(GString *out, git_repository *repository, const git_commit *commit)
{
    git_diff *diff = diff_of_commit(repository, commit);
    gsize n = diff ? git_diff_num_deltas(diff) : 0;
    if (n)
        g_string_append(out, "Files:  ");
    for (gsize i = 0; i < MIN(n, PATHS_SHOWN_MAX); i++) {
        g_autofree char *path = pd_git_quote_path(delta_path(git_diff_get_delta(diff, i)));
        g_string_append_printf(out, "%s%s", i ? ", " : "", path);
    }
    if (n > PATHS_SHOWN_MAX)
        g_string_append_printf(out, " (+%" G_GSIZE_FORMAT " more)", n - PATHS_SHOWN_MAX);
    if (n)
        g_string_append_c(out, '\n');
    git_diff_free(diff);
}

void
pd_git_append_commit(GString *out, git_repository *repository, const git_commit *commit,
                     GHashTable *names, gboolean paths, const char *origin)
{
    char id[GIT_OID_HEXSZ + 1];
    git_oid_tostr(id, sizeof id, git_commit_id(commit));
    const GString *refs = names ? g_hash_table_lookup(names, id) : NULL;
    const git_signature *author = git_commit_author(commit);
    g_string_append_printf(out, "commit %s", id);
    if (refs) {
        g_string_append(out, " (");
        pd_git_append_valid(out, refs->str);
        g_string_append_c(out, ')');
    }
    g_string_append(out, "\nAuthor: ");
    if (author) {
        pd_git_append_valid(out, author->name);
        g_string_append(out, " <");
        pd_git_append_valid(out, author->email);
        g_string_append_c(out, '>');
    }
    g_string_append_c(out, '\n');
    if (author)
        pd_git_append_date(out, &author->when);
    if (paths)
        append_paths(out, repository, commit);
    if (origin)
        g_string_append_printf(out, "%s\n", origin);
    g_string_append_c(out, '\n');
    pd_git_append_message(out, git_commit_message(commit));
}

/* Commits by date, newest first.  libgit2's own walk reads the whole history before it gives the
 * first commit in order, and gives none at all where a shallow clone ends; this one reads only what
 * it gives. */
typedef struct {
    git_repository *repository;
    GPtrArray *waiting; /* git_commit, oldest first */
    GHashTable *seen;   /* ids */
    guint n_missing;
} Walk;

static void
walk_push(Walk *walk, const git_oid *oid)
{
    git_commit *commit = NULL;
    char id[GIT_OID_HEXSZ + 1];
    git_oid_tostr(id, sizeof id, oid);
    if (!g_hash_table_add(walk->seen, g_strdup(id)))
        return;
    if (git_commit_lookup(&commit, walk->repository, oid) != 0) {
        walk->n_missing++;
        return;
    }
    guint at = walk->waiting->len;
    while (at > 0 && git_commit_time(walk->waiting->pdata[at - 1]) >= git_commit_time(commit))
        at--;
    g_ptr_array_insert(walk->waiting, (gint)at, commit);
}

static void
walk_start(Walk *walk, const git_oid *tip)
{
    walk->waiting = g_ptr_array_new();
    walk->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    walk_push(walk, tip);
}

static git_commit *
walk_next(Walk *walk)
{
    if (!walk->waiting->len)
        return NULL;
    git_commit *commit = g_ptr_array_remove_index(walk->waiting, walk->waiting->len - 1);
    for (unsigned int i = 0; i < git_commit_parentcount(commit); i++)
        walk_push(walk, git_commit_parent_id(commit, i));
    return commit;
}

static void
walk_end(Walk *walk)
{
    for (guint i = 0; i < walk->waiting->len; i++)
        git_commit_free(walk->waiting->pdata[i]);
    g_ptr_array_unref(walk->waiting);
    g_hash_table_unref(walk->seen);
}

/* Nothing of it is older than the history that the repository has. */
static gboolean
tell_missing(PdGit *git, const Walk *walk, const char *key, GError **error)
{
    return !walk->n_missing || git_repository_is_shallow(git->repository) ||
           pd_emit_ledger(git->emitter, "partial", key, -1, error,
                          "missing or damaged commit objects: the history ends early");
}

gboolean
pd_git_emit_document(PdGit *git, PdDocument *document, GError **error)
{
    const GString *text = ((PdPart *)g_ptr_array_index(document->parts, 0))->text;
    pd_sha256((const guint8 *)text->str, text->len, document->raw_sha256);
    document->raw_bytes = (gint64)text->len;
    return pd_emit_document(git->emitter, document, error);
}

gboolean
pd_git_emit_history(PdGit *git, GError **error)
{
    static const char key[] = "(history)";
    g_autoptr(PdDocument) document = pd_git_document(git, key, "", "commit log");
    GString *text = ((PdPart *)g_ptr_array_index(document->parts, 0))->text;
    gboolean wanted;
    if (!pd_git_begin(git, key, &wanted, error))
        return FALSE;
    if (!wanted)
        return TRUE;
    g_autoptr(GHashTable) names =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_string);
    git_reference_foreach(git->repository, collect_ref, names);
    Walk walk = {.repository = git->repository};
    walk_start(&walk, git_commit_id(git->commit));
    git_commit *commit;
    guint n = 0;
    while (n < git->request->limits.git_commits_max &&
           text->len < git->request->limits.text_bytes_max / 2 &&
           (commit = walk_next(&walk)) != NULL) {
        pd_git_append_commit(text, git->repository, commit, names, TRUE, NULL);
        git_commit_free(commit);
        n++;
    }
    gboolean longer = walk.waiting->len > 0;
    gboolean ok = tell_missing(git, &walk, key, error);
    walk_end(&walk);
    if (ok && longer)
        ok = pd_emit_ledger(git->emitter, "note", key, -1, error,
                            "the last %u commits of a longer history", n);
    return ok && pd_git_emit_document(git, document, error);
}

/* --- of each file ----------------------------------------------------------------------------- */

typedef struct {
    git_oid oid;
    char *origin; /* "Renamed from: a.c", if it is the first under its name; or NULL */
} FileCommit;

/* Commits of one file, newest first; `more`: that are older than the last of them. */
typedef struct {
    GArray *commits; /* FileCommit */
    guint n_more;
} FileLog;

/* The logs of all files that are asked for, while the history is walked back. */
typedef struct {
    PdGit *git;
    GHashTable *by_path; /* of the commit that is read -> FileLog */
    GHashTable *by_name; /* that files have at this point of the walk -> GPtrArray of FileLog */
    guint n_unfollowed;  /* commits in which renames were not looked for */
    gboolean cut;        /* there are older commits */
} Logs;

static void
file_commit_clear(gpointer data)
{
    g_free(((FileCommit *)data)->origin);
}

static void
file_log_free(gpointer data)
{
    FileLog *log = data;
    g_array_unref(log->commits);
    g_free(log);
}

static void
logs_clear(Logs *logs)
{
    g_clear_pointer(&logs->by_path, g_hash_table_unref);
    g_clear_pointer(&logs->by_name, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Logs, logs_clear)

/* From here on this is the name of one more file. */
static void
add_name(Logs *logs, const char *name, FileLog *log)
{
    GPtrArray *list = g_hash_table_lookup(logs->by_name, name);
    if (!list) {
        list = g_ptr_array_new();
        g_hash_table_insert(logs->by_name, g_strdup(name), list);
    }
    g_ptr_array_add(list, log);
}

static void
note_commit(Logs *logs, const GPtrArray *list, const git_oid *oid)
{
    for (guint i = 0; list && i < list->len; i++) {
        FileLog *log = g_ptr_array_index(list, i);
        FileCommit commit = {*oid, NULL};
        if (log->commits->len < logs->git->request->limits.git_file_commits_max)
            g_array_append_val(log->commits, commit);
        else
            log->n_more++;
    }
}

typedef struct {
    GPtrArray *files; /* FileLog */
    const git_diff_delta *delta;
} Rename;

static void
rename_clear(gpointer data)
{
    g_ptr_array_unref(((Rename *)data)->files);
}

static void
say_origin(FileLog *log, const git_oid *oid, const git_diff_delta *delta)
{
    guint n = log->commits->len;
    FileCommit *last = n ? &g_array_index(log->commits, FileCommit, n - 1) : NULL;
    if (!last || !git_oid_equal(&last->oid, oid)) /* it was one too many */
        return;
    g_autofree char *path = pd_git_quote_path(delta->old_file.path);
    g_free(last->origin);
    last->origin = g_strdup_printf("%s from: %s",
                                   delta->status == GIT_DELTA_RENAMED ? "Renamed" : "Copied", path);
}

/* All files that a commit renamed go on under their former names, also where two change places. */
static void
follow_renames(Logs *logs, const git_diff *diff, const git_oid *oid)
{
    g_autoptr(GArray) renames = g_array_new(FALSE, FALSE, sizeof(Rename));
    g_array_set_clear_func(renames, rename_clear);
    for (gsize i = 0; i < git_diff_num_deltas(diff); i++) {
        const git_diff_delta *delta = git_diff_get_delta(diff, i);
        char *name;
        Rename rename = {NULL, delta};
        if ((delta->status != GIT_DELTA_RENAMED && delta->status != GIT_DELTA_COPIED) ||
            !g_hash_table_steal_extended(logs->by_name, delta->new_file.path, (gpointer *)&name,
                                         (gpointer *)&rename.files))
            continue;
        g_free(name);
        g_array_append_val(renames, rename);
    }
    for (guint i = 0; i < renames->len; i++) {
        const Rename *rename = &g_array_index(renames, Rename, i);
        for (guint k = 0; k < rename->files->len; k++) {
            FileLog *log = g_ptr_array_index(rename->files, k);
            say_origin(log, oid, rename->delta);
            add_name(logs, rename->delta->old_file.path, log);
        }
    }
}

/* The diff has files that appear, and others that go or change: are they the same? */
static void
find_renames(Logs *logs, git_diff *diff, const git_oid *oid)
{
    git_diff_find_options options = GIT_DIFF_FIND_OPTIONS_INIT;
    options.flags = GIT_DIFF_FIND_RENAMES | GIT_DIFF_FIND_COPIES;
    if (git_diff_num_deltas(diff) > logs->git->request->limits.git_renamed_files_max)
        logs->n_unfollowed++;
    else if (git_diff_find_similar(diff, &options) == 0)
        follow_renames(logs, diff, oid);
}

static void
walk_commit(Logs *logs, const git_commit *commit)
{
    const git_oid *oid = git_commit_id(commit);
    /* What a merge brings, the merged commits say. */
    git_diff *diff =
        git_commit_parentcount(commit) < 2 ? diff_of_commit(logs->git->repository, commit) : NULL;
    gsize n = diff ? git_diff_num_deltas(diff) : 0;
    gboolean appears = FALSE, has_others = FALSE;
    for (gsize i = 0; i < n; i++) {
        const git_diff_delta *delta = git_diff_get_delta(diff, i);
        const GPtrArray *list = g_hash_table_lookup(logs->by_name, delta_path(delta));
        note_commit(logs, list, oid);
        appears |= list && delta->status == GIT_DELTA_ADDED;
        has_others |= delta->status != GIT_DELTA_ADDED;
    }
    if (appears && has_others)
        find_renames(logs, diff, oid);
    git_diff_free(diff);
}

/* For all files that are asked for. */
static gboolean
collect_logs(Logs *logs, GError **error)
{
    PdGit *git = logs->git;
    Walk walk = {.repository = git->repository};
    git_commit *commit;
    gboolean ok = TRUE;
    for (guint i = 0; i < git->entries->len; i++) {
        const char *path = g_array_index(git->entries, PdGitEntry, i).path;
        FileLog *log = g_new0(FileLog, 1);
        log->commits = g_array_new(FALSE, FALSE, sizeof(FileCommit));
        g_array_set_clear_func(log->commits, file_commit_clear);
        g_hash_table_insert(logs->by_path, (gpointer)path, log);
        add_name(logs, path, log);
    }
    walk_start(&walk, git_commit_id(git->commit));
    for (guint n = 0; ok && n < git->request->limits.git_searched_commits_max &&
                      (commit = walk_next(&walk)) != NULL;
         n++) {
        walk_commit(logs, commit);
        git_commit_free(commit);
        /* The parent waits for a sign of life. */
        ok = n % 256 || pd_emit_progress(git->emitter, git->n_items, git->n_items + 1, error);
    }
    logs->cut = walk.waiting->len > 0;
    walk_end(&walk);
    return ok;
}

static gboolean
emit_log(PdGit *git, const char *path, const FileLog *log, gboolean cut, GError **error)
{
    g_autofree char *quoted = pd_git_quote_path(path);
    g_autofree char *key = g_strconcat("(log)/", quoted, NULL);
    gboolean wanted;
    if (!pd_git_begin(git, key, &wanted, error))
        return FALSE;
    if (!wanted)
        return TRUE;
    g_autoptr(PdDocument) document = pd_git_document(git, key, "", "commit log");
    GString *text = ((PdPart *)g_ptr_array_index(document->parts, 0))->text;
    for (guint i = 0; i < log->commits->len; i++) {
        const FileCommit *found = &g_array_index(log->commits, FileCommit, i);
        git_commit *commit = NULL;
        if (git_commit_lookup(&commit, git->repository, &found->oid) != 0)
            continue;
        pd_git_append_commit(text, git->repository, commit, NULL, FALSE, found->origin);
        git_commit_free(commit);
    }
    if ((log->n_more &&
         !pd_emit_ledger(git->emitter, "note", key, -1, error, "the last %u of %u commits",
                         log->commits->len, log->commits->len + log->n_more)) ||
        (cut && !pd_emit_ledger(git->emitter, "note", key, -1, error,
                                "of the last %u commits of the repository",
                                git->request->limits.git_searched_commits_max)))
        return FALSE;
    return pd_git_emit_document(git, document, error);
}

gboolean
pd_git_emit_logs(PdGit *git, GError **error)
{
    g_auto(Logs)
        logs = {.git = git,
                .by_path = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, file_log_free),
                .by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                 (GDestroyNotify)g_ptr_array_unref)};
    if (!collect_logs(&logs, error) ||
        (logs.n_unfollowed &&
         !pd_emit_ledger(git->emitter, "note", "", -1, error,
                         "in %u commits renames were not looked for: each touches more than the "
                         "limit of %u files",
                         logs.n_unfollowed, git->request->limits.git_renamed_files_max)))
        return FALSE;
    for (guint i = 0; i < git->entries->len; i++) {
        const char *path = g_array_index(git->entries, PdGitEntry, i).path;
        const FileLog *log = g_hash_table_lookup(logs.by_path, path);
        /* A file of the index alone has no commits. */
        if (log->commits->len && !emit_log(git, path, log, logs.cut, error))
            return FALSE;
    }
    return TRUE;
}
