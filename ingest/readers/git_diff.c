/*
 * What changed between two commits: "(diff)", the commits that are in the later one and not in the
 * earlier, and "(diff)/PATH", the change of each file as git diff shows it.
 *
 * The part's path is "diff" and its label "BASE..COMMIT", ids in full: with the lines of the hunks'
 * heads every place in it leads to lines of both commits (place.c).
 */
#include "ingest/readers/git.h"

#include <string.h>

/* "BASE..COMMIT"; free with g_free. */
static char *
range_label(const PdGit *git)
{
    char base[PD_GIT_ID_CHARS];
    git_oid_tostr(base, sizeof base, git_commit_id(git->base));
    return g_strdup_printf("%s..%s", base, git->commit_id);
}

/* --- the commits ------------------------------------------------------------------------------ */

static gboolean
append_commits(PdGit *git, GString *out, const char *key, GError **error)
{
    git_revwalk *walk = NULL;
    git_oid oid;
    guint n = 0, max = git->request->limits.git_range_commits_max;
    int rc = git_revwalk_new(&walk, git->repository);
    if (rc == 0)
        rc = git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME);
    if (rc == 0)
        rc = git_revwalk_push(walk, git_commit_id(git->commit));
    if (rc == 0)
        rc = git_revwalk_hide(walk, git_commit_id(git->base));
    while (rc == 0 && n < max && (rc = git_revwalk_next(&oid, walk)) == 0) {
        git_commit *commit = NULL;
        if (git_commit_lookup(&commit, git->repository, &oid) != 0)
            continue;
        pd_git_append_commit(out, git->repository, commit, NULL, TRUE, NULL);
        git_commit_free(commit);
        n++;
    }
    git_revwalk_free(walk);
    if (rc != 0 && rc != GIT_ITEROVER)
        return pd_emit_ledger(git->emitter, "partial", key, -1, error,
                              "missing or damaged commit objects: not all commits of the range are "
                              "listed");
    return n < max || pd_emit_ledger(git->emitter, "partial", key, -1, error,
                                     "the last %u commits of a longer range", n);
}

static gboolean
emit_commits(PdGit *git, git_diff *diff, GError **error)
{
    static const char key[] = "(diff)";
    g_autofree char *label = range_label(git);
    g_autoptr(PdDocument) document = pd_git_document(git, key, "", label);
    GString *text = ((PdPart *)g_ptr_array_index(document->parts, 0))->text;
    git_diff_stats *stats = NULL;
    gboolean wanted;
    if (!pd_git_begin(git, key, &wanted, error))
        return FALSE;
    if (!wanted)
        return TRUE;
    g_string_append_printf(text, "changes %s\n", label);
    if (git_diff_get_stats(&stats, diff) == 0)
        g_string_append_printf(text,
                               "%" G_GSIZE_FORMAT " files changed, %" G_GSIZE_FORMAT
                               " lines added, %" G_GSIZE_FORMAT " removed\n",
                               git_diff_stats_files_changed(stats),
                               git_diff_stats_insertions(stats), git_diff_stats_deletions(stats));
    git_diff_stats_free(stats);
    g_string_append_c(text, '\n');
    return append_commits(git, text, key, error) && pd_git_emit_document(git, document, error);
}

/* --- the files -------------------------------------------------------------------------------- */

static gboolean
emit_patch(PdGit *git, git_diff *diff, gsize number, const char *key, GError **error)
{
    g_autofree char *label = range_label(git);
    g_autoptr(PdDocument) document = pd_git_document(git, key, "diff", label);
    GString *text = ((PdPart *)g_ptr_array_index(document->parts, 0))->text;
    git_patch *patch = NULL;
    git_buf buffer = GIT_BUF_INIT;
    gboolean ok = git_patch_from_diff(&patch, diff, number) == 0 && patch &&
                  git_patch_to_buf(&buffer, patch) == 0;
    git_patch_free(patch);
    if (!ok) {
        const git_error *last = git_error_last();
        return pd_emit_ledger(git->emitter, "failed", key, -1, error,
                              "missing or damaged object: %s", last ? last->message : "");
    }
    pd_sha256((const guint8 *)buffer.ptr, buffer.size, document->raw_sha256);
    document->raw_bytes = (gint64)buffer.size;
    ok = pd_decode_text(git->emitter, key, (const guint8 *)buffer.ptr, buffer.size, NULL, text,
                        error) &&
         pd_emit_document(git->emitter, document, error);
    git_buf_dispose(&buffer);
    return ok;
}

static gboolean
emit_delta(PdGit *git, git_diff *diff, gsize number, GError **error)
{
    const git_diff_delta *delta = git_diff_get_delta(diff, number);
    const char *path = delta->new_file.path ? delta->new_file.path : delta->old_file.path;
    g_autofree char *quoted = pd_git_quote_path(path);
    g_autofree char *key = g_strconcat("(diff)/", quoted, NULL);
    gboolean wanted;
    if (!pd_git_wants(git, path) &&
        !(delta->old_file.path && pd_git_wants(git, delta->old_file.path)))
        return TRUE;
    if (!pd_git_begin(git, key, &wanted, error))
        return FALSE;
    if (!wanted)
        return TRUE;
    const char *reason = pd_git_reason_by_attributes(git, path);
    if (reason)
        return pd_emit_ledger(git->emitter, "skipped", key, -1, error, "%s", reason);
    return emit_patch(git, diff, number, key, error);
}

static git_diff *
find_diff(PdGit *git, GError **error)
{
    git_tree *before = NULL;
    git_tree *after = NULL;
    git_diff *diff = NULL;
    git_diff_options options = GIT_DIFF_OPTIONS_INIT;
    options.max_size = (git_off_t)git->request->limits.git_file_bytes_max;
    if (git_commit_tree(&before, git->base) != 0 || git_commit_tree(&after, git->commit) != 0 ||
        git_diff_tree_to_tree(&diff, git->repository, before, after, &options) != 0 ||
        git_diff_find_similar(diff, NULL) != 0) {
        pd_git_fail(error, PD_INGEST_ERROR_FORMAT, git->request->name);
        git_diff_free(diff);
        diff = NULL;
    }
    git_tree_free(before);
    git_tree_free(after);
    return diff;
}

gboolean
pd_git_emit_diff(PdGit *git, GError **error)
{
    git_diff *diff = find_diff(git, error);
    gboolean ok = diff && emit_commits(git, diff, error);
    gsize n = diff ? git_diff_num_deltas(diff) : 0;
    for (gsize i = 0; ok && i < n; i++)
        ok = emit_delta(git, diff, i, error);
    git_diff_free(diff);
    return ok;
}
