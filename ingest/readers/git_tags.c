/*
 * The document "(tags)": every tag, the commit it names, and of annotated ones who made it, when
 * and with what message; in the form of git show, newest first.
 */
#include "ingest/readers/git.h"

#include <string.h>

#include "ingest/natural.h"

typedef struct {
    char *name;
    git_commit *commit;
    git_tag *tag; /* NULL: a name without more */
    gint64 time;
} Tag;

static void
tag_free(gpointer data)
{
    Tag *tag = data;
    g_free(tag->name);
    git_tag_free(tag->tag);
    git_commit_free(tag->commit);
    g_free(tag);
}

typedef struct {
    git_repository *repository;
    GPtrArray *tags; /* Tag */
} Search;

static int
on_tag(const char *name, git_oid *oid, void *user_data)
{
    Search *search = user_data;
    git_object *object = NULL;
    git_object *commit = NULL;
    if (git_object_lookup(&object, search->repository, oid, GIT_OBJECT_ANY) != 0)
        return 0;
    if (git_object_peel(&commit, object, GIT_OBJECT_COMMIT) != 0) { /* of a file, or damaged */
        git_object_free(object);
        return 0;
    }
    Tag *tag = g_new0(Tag, 1);
    tag->name = g_strdup(g_str_has_prefix(name, "refs/tags/") ? name + 10 : name);
    tag->commit = (git_commit *)commit;
    tag->time = git_commit_time(tag->commit);
    if (git_object_type(object) == GIT_OBJECT_TAG)
        tag->tag = (git_tag *)object;
    else
        git_object_free(object);
    if (tag->tag && git_tag_tagger(tag->tag))
        tag->time = git_tag_tagger(tag->tag)->when.time;
    g_ptr_array_add(search->tags, tag);
    return 0;
}

static gint
newest_first(gconstpointer a, gconstpointer b)
{
    const Tag *tag_a = *(const Tag *const *)a, *tag_b = *(const Tag *const *)b;
    if (tag_a->time != tag_b->time)
        return tag_a->time < tag_b->time ? 1 : -1;
    return -pd_natural_compare_paths(tag_a->name, tag_b->name);
}

static void
append_tag(GString *out, const Tag *tag)
{
    char id[PD_GIT_ID_CHARS];
    const git_signature *tagger = tag->tag ? git_tag_tagger(tag->tag) : NULL;
    const char *message = tag->tag ? git_tag_message(tag->tag) : NULL;
    git_oid_tostr(id, sizeof id, git_commit_id(tag->commit));
    g_string_append(out, "tag ");
    pd_git_append_valid(out, tag->name);
    g_string_append_printf(out, "\ncommit %s\n", id);
    if (tagger) {
        g_string_append(out, "Tagger: ");
        pd_git_append_valid(out, tagger->name);
        g_string_append(out, " <");
        pd_git_append_valid(out, tagger->email);
        g_string_append(out, ">\n");
        pd_git_append_date(out, &tagger->when);
    }
    g_string_append_c(out, '\n');
    pd_git_append_message(out, message ? message : "");
}

gboolean
pd_git_emit_tags(PdGit *git, GError **error)
{
    static const char key[] = "(tags)";
    g_autoptr(PdDocument) document = pd_git_document(git, key, "", "tags");
    g_autoptr(GPtrArray) tags = g_ptr_array_new_with_free_func(tag_free);
    GString *text = ((PdPart *)g_ptr_array_index(document->parts, 0))->text;
    Search search = {git->repository, tags};
    gboolean wanted;
    git_tag_foreach(git->repository, on_tag, &search);
    if (!tags->len)
        return TRUE;
    if (!pd_git_begin(git, key, &wanted, error))
        return FALSE;
    if (!wanted)
        return TRUE;
    g_ptr_array_sort(tags, newest_first);
    guint n = MIN(tags->len, git->request->limits.git_tags_max);
    for (guint i = 0; i < n && text->len < git->request->limits.text_bytes_max / 2; i++)
        append_tag(text, g_ptr_array_index(tags, i));
    return (tags->len == n || pd_emit_ledger(git->emitter, "note", key, -1, error,
                                             "the last %u of %u tags", n, tags->len)) &&
           pd_git_emit_document(git, document, error);
}
