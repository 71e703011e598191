/*
 * The commit log as a document: who changed what, when, and why they said they did.
 *
 * One part, newest first, in the form of git log: id, names that point to the commit, author, date,
 * the paths that the commit touched, message.
 */
#include "ingest/readers/git.h"

#include <string.h>

#define COMMITS_MAX 500
#define PATHS_SHOWN_MAX 20
/* A commit that touches more (an import) is not compared in full. */
#define DELTAS_MAX 20000

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

static void
append_valid(GString *out, const char *text)
{
    PdCharsetInfo info;
    if (text)
        pd_charset_decode((const guint8 *)text, strlen(text), NULL, out, &info);
}

static void
append_date(GString *out, const git_time *when)
{
    g_autoptr(GTimeZone) zone = g_time_zone_new_offset(when->offset * 60);
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(when->time);
    g_autoptr(GDateTime) local = utc ? g_date_time_to_timezone(utc, zone) : NULL;
    g_autofree char *text = local ? g_date_time_format(local, "%Y-%m-%d %H:%M:%S %z") : NULL;
    g_string_append_printf(out, "Date:   %s\n", text ? text : "unknown");
}

/* "Files:  a.c, b.c (+3 more)", against the first parent. */
static void
append_paths(GString *out, git_repository *repository, const git_commit *commit)
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
    if (ok && git_diff_tree_to_tree(&diff, repository, before, tree, &options) == 0) {
        gsize n = git_diff_num_deltas(diff);
        if (n)
            g_string_append(out, "Files:  ");
        for (gsize i = 0; i < MIN(n, PATHS_SHOWN_MAX); i++) {
            const git_diff_delta *delta = git_diff_get_delta(diff, i);
            g_autofree char *path = pd_git_quote_path(delta->new_file.path ? delta->new_file.path
                                                                           : delta->old_file.path);
            g_string_append_printf(out, "%s%s", i ? ", " : "", path);
        }
        if (n > PATHS_SHOWN_MAX)
            g_string_append_printf(out, " (+%" G_GSIZE_FORMAT " more)", n - PATHS_SHOWN_MAX);
        if (n)
            g_string_append_c(out, '\n');
    }
    git_diff_free(diff);
    git_tree_free(before);
    git_tree_free(tree);
    git_commit_free(parent);
}

static void
append_commit(GString *out, git_repository *repository, const git_commit *commit, GHashTable *names)
{
    char id[GIT_OID_HEXSZ + 1];
    git_oid_tostr(id, sizeof id, git_commit_id(commit));
    const GString *refs = g_hash_table_lookup(names, id);
    const git_signature *author = git_commit_author(commit);
    g_string_append_printf(out, "commit %s", id);
    if (refs) {
        g_string_append(out, " (");
        append_valid(out, refs->str);
        g_string_append_c(out, ')');
    }
    g_string_append(out, "\nAuthor: ");
    if (author) {
        append_valid(out, author->name);
        g_string_append(out, " <");
        append_valid(out, author->email);
        g_string_append_c(out, '>');
    }
    g_string_append_c(out, '\n');
    if (author)
        append_date(out, &author->when);
    append_paths(out, repository, commit);
    g_string_append_c(out, '\n');
    g_autoptr(GString) message = g_string_new(NULL);
    append_valid(message, git_commit_message(commit));
    g_auto(GStrv) lines = g_strsplit(g_strchomp(message->str), "\n", -1);
    for (char **line = lines; *line; line++)
        g_string_append_printf(out, "%s%s\n", **line ? "    " : "", *line);
    g_string_append_c(out, '\n');
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
    while (at > 0 && git_commit_time(walk->waiting->pdata[at - 1]) > git_commit_time(commit))
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

gboolean
pd_git_emit_history(git_repository *repository, const git_commit *tip,
                    const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    char id[GIT_OID_HEXSZ + 1];
    git_oid_tostr(id, sizeof id, git_commit_id(tip));
    g_autoptr(PdDocument) document = pd_document_new(PD_KIND_GIT_FILE, "(history)");
    document->title = g_strdup("(history)");
    document->native_id = g_strdup_printf("log:%s", id);
    document->revision = g_strdup(id);
    document->date_utc = git_commit_time(tip);
    if (g_hash_table_contains(request->known, document->native_id)) {
        document->unchanged = TRUE;
        return pd_emit_document(emitter, document, error);
    }
    g_autoptr(GHashTable) names =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_string);
    git_reference_foreach(repository, collect_ref, names);
    PdPart *part = pd_document_add_part(document, "", "commit log");
    Walk walk = {.repository = repository};
    walk_start(&walk, git_commit_id(tip));
    git_commit *commit;
    guint n = 0;
    while (n < COMMITS_MAX && part->text->len < request->limits.text_bytes_max / 2 &&
           (commit = walk_next(&walk)) != NULL) {
        append_commit(part->text, repository, commit, names);
        git_commit_free(commit);
        n++;
    }
    gboolean longer = walk.waiting->len > 0;
    gboolean damaged = walk.n_missing > 0 && !git_repository_is_shallow(repository);
    walk_end(&walk);
    pd_sha256((const guint8 *)part->text->str, part->text->len, document->raw_sha256);
    document->raw_bytes = (gint64)part->text->len;
    if (longer && !pd_emit_ledger(emitter, "note", "(history)", -1, error,
                                  "the last %u commits of a longer history", n))
        return FALSE;
    if (damaged && !pd_emit_ledger(emitter, "partial", "(history)", -1, error,
                                   "missing or damaged commit objects: the history ends early"))
        return FALSE;
    return pd_emit_document(emitter, document, error);
}
