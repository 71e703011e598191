/*
 * Changing a stored text in place, and making a smaller corpus out of a copy of another.
 *
 * Both exist for measuring: `pandect eval` works on a copy of the user's corpus in which it plants
 * sentences.  The documents that are not touched keep their rows, segments and KV keys; a touched
 * text gets a row of its own and is tokenized when it is next needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>
#include "engine/private_mode.h"
#include "ingest/corpus_internal.h"

/* --- editing ------------------------------------------------------------------------------- */

static gint
compare_edits(gconstpointer a, gconstpointer b)
{
    guint32 x = ((const PdTextEdit *)a)->start, y = ((const PdTextEdit *)b)->start;

    return x < y ? -1 : x > y;
}

/* Sorted, inside the text and apart from each other? */
static gboolean
check_edits(PdCorpus *corpus, gint64 part_id, const GArray *edits, gsize n_bytes, GError **error)
{
    guint32 end = 0;

    for (guint i = 0; i < edits->len; i++) {
        const PdTextEdit *edit = &g_array_index(edits, PdTextEdit, i);
        if (edit->start < end || edit->end < edit->start || edit->end > n_bytes) {
            g_set_error(
                error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                "%s: bytes %u-%u of part %" G_GINT64_FORMAT
                " cannot be replaced: they overlap others or lie outside its %" G_GSIZE_FORMAT
                " bytes",
                corpus->dir, edit->start, edit->end, part_id, n_bytes);
            return FALSE;
        }
        end = edit->end;
    }
    return TRUE;
}

guint32
pd_text_edits_map(const GArray *edits, guint32 at)
{
    gint64 shift = 0;

    for (guint i = 0; i < edits->len; i++) {
        const PdTextEdit *edit = &g_array_index(edits, PdTextEdit, i);
        if (edit->start > at || (edit->start == at && edit->end > at))
            break;
        if (edit->end > at) /* a byte that is gone: the end of what took its place */
            return (guint32)(edit->start + shift + (gint64)edit->n_bytes);
        shift += (gint64)edit->n_bytes - (edit->end - edit->start);
    }
    return (guint32)(at + shift);
}

/* The same edits in bytes of the original; one that touches a mark takes all it stands for. */
static GArray *
edits_of_original(const PdTextView *view, const GArray *edits)
{
    GArray *list = g_array_sized_new(FALSE, FALSE, sizeof(PdTextEdit), edits->len);
    guint32 last_end = 0;

    for (guint i = 0; i < edits->len; i++) {
        PdTextEdit edit = g_array_index(edits, PdTextEdit, i);
        gboolean insertion = edit.start == edit.end;
        edit.start = MAX(last_end, pd_text_view_start(view, edit.start));
        edit.end = insertion ? edit.start : MAX(edit.start, pd_text_view_end(view, edit.end));
        last_end = edit.end;
        g_array_append_val(list, edit);
    }
    return list;
}

static gboolean
is_replaced(const GArray *edits, guint32 start, guint32 end)
{
    gboolean replaced = FALSE;

    for (guint i = 0; i < edits->len; i++) {
        const PdTextEdit *edit = &g_array_index(edits, PdTextEdit, i);
        replaced |= edit->start < end && edit->end > start;
    }
    return replaced;
}

/* Marks move with what they stand for; those of replaced bytes go.  `text`: the edited original,
 * which becomes the model's text.  `part`: as it was.  NULL: no mark is left. */
static PdTextView *
move_marks(const PdPartRow *part, const GArray *edits, GString *text)
{
    g_autoptr(GArray) moved = g_array_new(FALSE, FALSE, sizeof(PdReplacement));
    g_autoptr(GStringChunk) names = g_string_chunk_new(1024);

    for (guint i = 0; i < part->view->marks->len; i++) {
        const PdMark *mark = &g_array_index(part->view->marks, PdMark, i);
        PdReplacement r = {.kind = mark->kind};
        if (is_replaced(edits, mark->original_start, mark->original_end))
            continue;
        r.start = pd_text_edits_map(edits, mark->original_start);
        r.end = r.start + (mark->original_end - mark->original_start);
        r.mark = g_string_chunk_insert_len(names, part->text + mark->start,
                                           (gssize)(mark->end - mark->start));
        g_array_append_val(moved, r);
    }
    if (moved->len == 0)
        return NULL;
    return pd_text_view_new(text, (const PdReplacement *)(gpointer)moved->data, moved->len);
}

/* Boxes move with their words; those of replaced words go. */
static GArray *
move_boxes(const GArray *boxes, const GArray *edits)
{
    GArray *moved = g_array_new(FALSE, FALSE, sizeof(PdBox));

    for (guint i = 0; i < boxes->len; i++) {
        PdBox box = g_array_index(boxes, PdBox, i);
        if (is_replaced(edits, box.start, box.end))
            continue;
        guint32 n = box.end - box.start;
        box.start = pd_text_edits_map(edits, box.start);
        box.end = box.start + n;
        g_array_append_val(moved, box);
    }
    return moved;
}

static GString *
apply_edits(const GString *from, const GArray *edits)
{
    GString *text = g_string_sized_new(from->len + 256);
    gsize at = 0;

    for (guint i = 0; i < edits->len; i++) {
        const PdTextEdit *edit = &g_array_index(edits, PdTextEdit, i);
        g_string_append_len(text, from->str + at, (gssize)(edit->start - at));
        g_string_append_len(text, edit->text, (gssize)edit->n_bytes);
        at = edit->end;
    }
    g_string_append_len(text, from->str + at, (gssize)(from->len - at));
    return text;
}

/* The document no longer has the parts that its last reading gave: a later `add` of the source
 * must see that, so the hash of its parts becomes one that no document has. */
static gboolean
store_part(PdCorpus *corpus, const PdPartRow *part, const GString *text, const PdTextView *view,
           GArray *boxes, GError **error)
{
    static const guint8 edited[PD_SHA256_BYTES] = {0};
    guint8 sha256[PD_SHA256_BYTES];
    g_autoptr(GBytes) packed = NULL, packed_view = NULL;
    gsize n_view = 0;
    gint64 text_id;

    pd_sha256(text->str, text->len, sha256);
    text_id = pd_text_put(corpus, text->str, text->len, sha256, NULL, error);
    if (!text_id || (boxes && !(packed = pd_boxes_pack(boxes, error))) ||
        (view && !(packed_view = pd_view_pack(view, &n_view, error))))
        return FALSE;
    return pd_db_run(corpus, error,
                     "UPDATE part SET text_id = ?, n_boxes = ?, boxes = ?, n_view_bytes = ?,"
                     " view = ? WHERE id = ?",
                     "iibibi", text_id, (gint64)(boxes ? boxes->len : 0),
                     packed ? g_bytes_get_data(packed, NULL) : NULL,
                     packed ? g_bytes_get_size(packed) : (gsize)0, (gint64)n_view,
                     packed_view ? g_bytes_get_data(packed_view, NULL) : NULL,
                     packed_view ? g_bytes_get_size(packed_view) : (gsize)0, part->id) &&
           pd_db_run(corpus, error, "UPDATE document SET parts_sha256 = ? WHERE id = ?", "bi",
                     edited, (gsize)PD_SHA256_BYTES, part->document_id) &&
           pd_db_run(corpus, error,
                     "DELETE FROM text WHERE NOT EXISTS"
                     " (SELECT 1 FROM part WHERE part.text_id = text.id)",
                     "");
}

gboolean
pd_corpus_edit_part(PdCorpus *corpus, gint64 part_id, GArray *edits, GError **error)
{
    g_autoptr(PdPartRow) part = NULL;
    g_autoptr(GString) original = NULL, text = NULL;
    g_autoptr(GArray) boxes = NULL, original_edits = NULL;
    g_autoptr(PdTextView) view = NULL;

    g_return_val_if_fail(corpus->mode != PD_CORPUS_READ, FALSE);
    part = pd_corpus_part(corpus, part_id, error);
    if (!part)
        return FALSE;
    g_array_sort(edits, compare_edits);
    if (!check_edits(corpus, part_id, edits, part->n_bytes, error))
        return FALSE;
    original = pd_part_row_original(part, error);
    if (!original)
        return FALSE;
    original_edits = edits_of_original(part->view, edits);
    text = apply_edits(original, original_edits);
    if (text->len > G_MAXUINT32) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "%s: part %" G_GINT64_FORMAT " would pass 4 GiB", corpus->dir, part_id);
        return FALSE;
    }
    boxes = part->boxes ? move_boxes(part->boxes, original_edits) : NULL;
    view = part->view ? move_marks(part, original_edits, text) : NULL;
    if (!pd_db_exec(corpus, "BEGIN IMMEDIATE", error))
        return FALSE;
    if (store_part(corpus, part, text, view, boxes, error) && pd_db_exec(corpus, "COMMIT", error))
        return TRUE;
    pd_db_rollback(corpus);
    return FALSE;
}

/* --- copying ------------------------------------------------------------------------------- */

static gboolean
copy_database(PdCorpus *corpus, const char *path, GError **error)
{
    sqlite3 *to = NULL;
    sqlite3_backup *backup = NULL;
    int rc = pd_create_private(path) ? sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE, NULL)
                                     : SQLITE_CANTOPEN;

    if (rc == SQLITE_OK && (backup = sqlite3_backup_init(to, "main", corpus->db, "main"))) {
        do
            rc = sqlite3_backup_step(backup, 4096);
        while (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED);
        sqlite3_backup_finish(backup);
    }
    if (rc == SQLITE_DONE)
        rc = sqlite3_exec(to, "DELETE FROM writer", NULL, NULL, NULL); /* nobody writes the copy */
    else if (rc == SQLITE_OK)
        rc = SQLITE_ERROR;
    if (rc != SQLITE_OK)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                    "%s: cannot copy the corpus here: %s; choose another folder", path,
                    to ? sqlite3_errmsg(to) : sqlite3_errstr(rc));
    sqlite3_close_v2(to);
    return rc == SQLITE_OK;
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static GPtrArray *
packs_of(const char *kv_dir)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(kv_dir, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        if (g_str_has_suffix(name, ".pack"))
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    return names;
}

/* A second name for a pack that is full; a copy of the last one, to which the copy's writer would
 * add, and where the folder lies on another file system. */
static gboolean
copy_packs(const char *from_dir, const char *to_dir, GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) names = packs_of(from_dir);

    if (names->len > 0 && g_mkdir(to_dir, PD_PRIVATE_DIR_MODE) != 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS, "%s: cannot make: %s", to_dir,
                    g_strerror(errno));
        return FALSE;
    }
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *from = g_build_filename(from_dir, name, NULL);
        g_autofree char *to = g_build_filename(to_dir, name, NULL);
        g_autoptr(GFile) a = g_file_new_for_path(from), b = g_file_new_for_path(to);

        if ((i + 1 == names->len || link(from, to) != 0) &&
            !g_file_copy(a, b, G_FILE_COPY_NONE, cancellable, NULL, NULL, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
pd_corpus_copy(PdCorpus *corpus, const char *dir, GCancellable *cancellable, GError **error)
{
    g_autofree char *db_path = g_build_filename(dir, "corpus.db", NULL);
    g_autofree char *from_kv = g_build_filename(corpus->dir, "kv", NULL);
    g_autofree char *to_kv = g_build_filename(dir, "kv", NULL);

    if (g_mkdir_with_parents(dir, PD_PRIVATE_DIR_MODE) != 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS, "%s: cannot make: %s", dir,
                    g_strerror(errno));
        return FALSE;
    }
    if (g_file_test(db_path, G_FILE_TEST_EXISTS) || g_file_test(to_kv, G_FILE_TEST_EXISTS)) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                    "%s holds a corpus already; remove it or choose another folder", dir);
        return FALSE;
    }
    return copy_database(corpus, db_path, error) && copy_packs(from_kv, to_kv, cancellable, error);
}

/* --- shortening ---------------------------------------------------------------------------- */

/* A document with all that hangs on it (attachments), which stay or go together. */
typedef struct {
    gint64 id;
    guint64 n_tokens;
    guint64 order; /* drawn */
} Family;

static gint
compare_families(gconstpointer a, gconstpointer b)
{
    const Family *x = a, *y = b;

    return x->order < y->order ? -1 : x->order > y->order ? 1 : x->id < y->id ? -1 : x->id > y->id;
}

/* SplitMix64 of the seed and of the document's name in its source: the draw depends on nothing
 * else, so that adding a source moves no other document. */
static guint64
draw(guint64 seed, const char *source, const char *key)
{
    guint64 z = seed + 0x9e3779b97f4a7c15u * (g_str_hash(source) + 1u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u + g_str_hash(key);
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    return z ^ (z >> 31);
}

#define FAMILIES_SQL                                                                               \
    "WITH tokens AS (SELECT text_id, sum(n_tokens) AS n FROM segment WHERE tokenizer_id = ?1"      \
    "  GROUP BY text_id),"                                                                         \
    " counted AS (SELECT d.id, d.source_id, d.key, d.parent_key, coalesce(sum(k.n), 0) AS n"       \
    "  FROM document d LEFT JOIN part p ON p.document_id = d.id"                                   \
    "  LEFT JOIN tokens k ON k.text_id = p.text_id WHERE d.state = 'live' GROUP BY d.id)"          \
    "SELECT d.id, s.alias, d.key, d.n + coalesce((SELECT sum(c.n) FROM counted c"                  \
    "  WHERE c.source_id = d.source_id AND c.parent_key = d.key), 0)"                              \
    " FROM counted d JOIN source s ON s.id = d.source_id"                                          \
    " WHERE d.parent_key IS NULL OR NOT EXISTS (SELECT 1 FROM counted c"                           \
    "  WHERE c.source_id = d.source_id AND c.key = d.parent_key)"

static GArray *
families(PdCorpus *corpus, gint64 tokenizer_row, guint64 seed, GError **error)
{
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(Family));
    g_autoptr(PdStmt) stmt = pd_db_query(corpus, error, FAMILIES_SQL, "i", tokenizer_row);
    int rc = stmt ? SQLITE_ROW : -1;

    while (rc == SQLITE_ROW && (rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        Family family = {sqlite3_column_int64(stmt, 0), (guint64)sqlite3_column_int64(stmt, 3),
                         draw(seed, (const char *)sqlite3_column_text(stmt, 1),
                              (const char *)sqlite3_column_text(stmt, 2))};
        g_array_append_val(list, family);
    }
    if (rc != SQLITE_DONE)
        return NULL;
    g_array_sort(list, compare_families);
    return g_steal_pointer(&list);
}

gboolean
pd_corpus_shorten(PdCorpus *corpus, PdTokenizer *tokenizer, guint64 n_tokens, guint64 seed,
                  guint64 *n_kept, GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) tokenized = NULL;
    g_autoptr(GArray) list = NULL, gone = g_array_new(FALSE, FALSE, sizeof(gint64));
    gint64 tokenizer_row;

    *n_kept = 0;
    tokenized = pd_corpus_segments(corpus, tokenizer, cancellable, error);
    if (!tokenized)
        return FALSE;
    tokenizer_row = pd_tokenizer_row(corpus, tokenizer, TRUE, error);
    list = tokenizer_row < 0 ? NULL : families(corpus, tokenizer_row, seed, error);
    if (!list)
        return FALSE;
    for (guint i = 0; i < list->len; i++) {
        const Family *family = &g_array_index(list, Family, i);
        /* One that does not fit is left out, smaller ones after it may fit. */
        if (*n_kept + family->n_tokens <= n_tokens)
            *n_kept += family->n_tokens;
        else
            g_array_append_val(gone, family->id);
    }
    return pd_corpus_remove_documents(corpus, (const gint64 *)(gpointer)gone->data, gone->len,
                                      error);
}
