/*
 * Documents "(blame)/PATH": which commit each stretch of a file's lines is from, as git blame finds
 * it, with the stretch's first line to know it by; before that the commits, each with its subject.
 *
 * libgit2 needs long for files with a long history; the parent watches over each file.
 */
#include "ingest/readers/git.h"

#include <string.h>

#define LINE_CHARS_MAX 60

/* Where the lines of a text begin; one more at the end. */
static GArray *
find_lines(const GByteArray *bytes)
{
    GArray *lines = g_array_new(FALSE, FALSE, sizeof(gsize));
    gsize at = 0;
    while (at < bytes->len) {
        g_array_append_val(lines, at);
        const guint8 *end = memchr(bytes->data + at, '\n', bytes->len - at);
        at = end ? (gsize)(end + 1 - bytes->data) : bytes->len;
    }
    g_array_append_val(lines, at);
    return lines;
}

/* The first line from `line` on (from 0) that is not blank, cut short. */
static void
append_line(GString *out, const GByteArray *bytes, const GArray *lines, gsize line, gsize n)
{
    for (gsize i = line; i < line + n && i + 1 < lines->len; i++) {
        gsize start = g_array_index(lines, gsize, i);
        g_autofree char *copy = g_strndup((const char *)bytes->data + start,
                                          g_array_index(lines, gsize, i + 1) - start);
        g_autoptr(GString) text = g_string_new(NULL);
        pd_git_append_valid(text, g_strstrip(copy));
        if (!text->len)
            continue;
        gsize n_shown =
            g_utf8_strlen(text->str, (gssize)text->len) > LINE_CHARS_MAX
                ? (gsize)(g_utf8_offset_to_pointer(text->str, LINE_CHARS_MAX) - text->str)
                : text->len;
        g_string_append_len(out, text->str, (gssize)n_shown);
        g_string_append(out, n_shown < text->len ? "..." : "");
        return;
    }
}

/* "3f2c1ab, 2024-05-14, Ann Reed"; NULL: the commit is missing.  Free with g_free. */
static char *
describe_commit(const git_commit *commit)
{
    char id[8];
    git_oid_tostr(id, sizeof id, git_commit_id(commit));
    const git_signature *author = git_commit_author(commit);
    g_autoptr(GDateTime) when =
        author ? g_date_time_new_from_unix_utc(author->when.time + author->when.offset * 60) : NULL;
    g_autofree char *date = when ? g_date_time_format(when, "%Y-%m-%d") : NULL;
    g_autoptr(GString) name = g_string_new(NULL);
    pd_git_append_valid(name, author ? author->name : "unknown");
    return g_strdup_printf("%s, %s, %s", id, date ? date : "date unknown", name->str);
}

/* What is said of the hunk's commit; the first time it is met, its subject goes to `out`. */
static const char *
find_commit(GHashTable *commits, GString *out, PdGit *git, const git_blame_hunk *hunk)
{
    char id[PD_GIT_ID_CHARS];
    git_commit *commit = NULL;
    if (git_oid_is_zero(&hunk->final_commit_id))
        return "not committed";
    git_oid_tostr(id, sizeof id, &hunk->final_commit_id);
    const char *known = g_hash_table_lookup(commits, id);
    if (known)
        return known;
    char *said = git_commit_lookup(&commit, git->repository, &hunk->final_commit_id) == 0
                     ? describe_commit(commit)
                     : g_strdup_printf("%.7s", id);
    g_hash_table_insert(commits, g_strdup(id), said);
    if (commit) {
        g_string_append_printf(out, "%s: ", said);
        pd_git_append_valid(out, git_commit_summary(commit));
        g_string_append_c(out, '\n');
    }
    git_commit_free(commit);
    return said;
}

static void
append_blame(GString *out, PdGit *git, git_blame *blame, const GByteArray *bytes)
{
    g_autoptr(GArray) lines = find_lines(bytes);
    g_autoptr(GHashTable) commits = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GString) stretches = g_string_new(NULL);
    uint32_t n_hunks = git_blame_get_hunk_count(blame);
    for (uint32_t i = 0; i < n_hunks;) {
        const git_blame_hunk *hunk = git_blame_get_hunk_byindex(blame, i);
        gsize n_lines = hunk->lines_in_hunk;
        /* Neighbours of one commit are one stretch. */
        const git_blame_hunk *next;
        while (++i < n_hunks && (next = git_blame_get_hunk_byindex(blame, i)) != NULL &&
               git_oid_equal(&next->final_commit_id, &hunk->final_commit_id))
            n_lines += next->lines_in_hunk;
        gsize first = hunk->final_start_line_number;
        if (n_lines == 1)
            g_string_append_printf(stretches, "line %" G_GSIZE_FORMAT ": ", first);
        else
            g_string_append_printf(stretches, "lines %" G_GSIZE_FORMAT "-%" G_GSIZE_FORMAT ": ",
                                   first, first + n_lines - 1);
        g_string_append_printf(stretches, "%s: ", find_commit(commits, out, git, hunk));
        append_line(stretches, bytes, lines, first - 1, n_lines);
        g_string_append_c(stretches, '\n');
    }
    g_string_append_printf(out, "\n%s", stretches->str);
}

/* Of the commit, or of the work tree; NULL: it is in neither. */
static git_blame *
find_blame(PdGit *git, const PdGitEntry *entry, const GByteArray *bytes)
{
    git_blame *blame = NULL;
    git_blame *with_changes = NULL;
    git_blame_options options = GIT_BLAME_OPTIONS_INIT;
    options.newest_commit = *git_commit_id(git->commit);
    if (git_blame_file(&blame, git->repository, entry->path, &options) != 0)
        return NULL;
    if (git->work_tree_fd < 0)
        return blame;
    int rc = git_blame_buffer(&with_changes, blame, (const char *)bytes->data, bytes->len);
    git_blame_free(blame);
    return rc == 0 ? with_changes : NULL;
}

static gboolean
emit_blame(PdGit *git, const PdGitEntry *entry, const GByteArray *bytes, GError **error)
{
    g_autofree char *quoted = pd_git_quote_path(entry->path);
    g_autofree char *key = g_strconcat("(blame)/", quoted, NULL);
    gboolean wanted;
    if (!pd_git_begin(git, key, &wanted, error))
        return FALSE;
    if (!wanted)
        return TRUE;
    git_blame *blame = find_blame(git, entry, bytes);
    if (!blame) {
        const git_error *last = git_error_last();
        return pd_emit_ledger(git->emitter, "skipped", key, -1, error, "no blame: %s",
                              last && last->message ? last->message : "unknown error of libgit2");
    }
    g_autoptr(PdDocument) document = pd_git_document(git, key, "", "blame");
    append_blame(((PdPart *)g_ptr_array_index(document->parts, 0))->text, git, blame, bytes);
    git_blame_free(blame);
    return pd_git_emit_document(git, document, error);
}

gboolean
pd_git_emit_blames(PdGit *git, GError **error)
{
    for (guint i = 0; i < git->entries->len; i++) {
        const PdGitEntry *entry = &g_array_index(git->entries, PdGitEntry, i);
        g_autoptr(GByteArray) bytes = pd_git_text_bytes(git, entry);
        if (bytes && bytes->len && !emit_blame(git, entry, bytes, error))
            return FALSE;
    }
    return TRUE;
}
