/*
 * Folding the mails that wait for it, at the end of a run: see fold.h and fold_match.h.
 *
 * Every mail of the corpus is read for it, but not kept: what is looked for are hashes, and of a
 * large corpus only as many at a time as fit.  A copy of a mail that another mailbox holds too is
 * not read by models (duplicate.c): it is left as it is, and nothing points to it.
 */
#include <string.h>
#include "ingest/add_run.h"
#include "ingest/flow.h"
#include "ingest/fold.h"
#include "ingest/fold_match.h"
#include "ingest/place.h"

#define WANTED_MAX (512u * 1024)        /* hashes at a time: some 60 MB with their places */
#define CACHE_BYTES (16u * 1024 * 1024) /* of texts that others quote */
#define NAME_CHARS 60

typedef struct {
    gint64 id;
    gboolean waits;
} Mail;

typedef struct {
    PdAddRun *run;
    GArray *mails;     /* Mail, in the order of fold.h */
    GHashTable *cache; /* mail and part (gint64) -> PdFoldText */
    gsize cached_bytes;
    GStringChunk *marks; /* each once */
} Folder;

static void
folder_clear(Folder *folder)
{
    g_clear_pointer(&folder->mails, g_array_unref);
    g_clear_pointer(&folder->cache, g_hash_table_unref);
    g_clear_pointer(&folder->marks, g_string_chunk_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Folder, folder_clear)

/* A mail that another one stands for has a twin with a smaller number. */
#define MAILS_SQL                                                                                  \
    "SELECT d.id, d.fold_rules = -1 FROM document d WHERE d.kind = 'mail' AND d.state = 'live'"    \
    " AND NOT EXISTS (SELECT 1 FROM document t WHERE t.native_id = d.native_id"                    \
    "  AND t.kind = 'mail' AND t.state = 'live' AND t.id < d.id"                                   \
    "  AND t.parts_sha256 = d.parts_sha256 AND t.parts_sha256 <> zeroblob(32)"                     \
    "  AND t.native_id <> '') ORDER BY 2, d.source_id, d.date_utc, d.id"

static gboolean
list_mails(Folder *folder, GError **error)
{
    PdCorpus *corpus = folder->run->corpus;
    g_autoptr(PdStmt) stmt = pd_db_query(corpus, error, MAILS_SQL, "");
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        Mail mail = {sqlite3_column_int64(stmt, 0), sqlite3_column_int(stmt, 1) != 0};
        g_array_append_val(folder->mails, mail);
    }
    return rc == SQLITE_DONE;
}

/* --- texts --------------------------------------------------------------------------------- */

static const Mail *
mail_at(const Folder *folder, guint i)
{
    return &g_array_index(folder->mails, Mail, i);
}

static gboolean
is_body(const PdPartRow *part)
{
    return !g_str_equal(part->path, "headers");
}

/* Lines that are masked are neither a quote nor a footer. */
static void
spare_masked_lines(PdMailText *mail, const GArray *masked)
{
    guint at = 0;
    for (guint i = 0; masked && i < mail->lines->len; i++) {
        PdMailLine *line = &g_array_index(mail->lines, PdMailLine, i);
        while (at < masked->len && g_array_index(masked, PdReplacement, at).end <= line->start)
            at++;
        if (at == masked->len || g_array_index(masked, PdReplacement, at).start > line->end)
            continue;
        line->kind = PD_LINE_OWN;
        for (guint k = mail->paragraphs->len; k-- > 0;) {
            const PdMailParagraph *p = &g_array_index(mail->paragraphs, PdMailParagraph, k);
            if (p->first_line <= i && i <= p->last_line)
                g_array_remove_index(mail->paragraphs, k);
        }
    }
}

static PdFoldText *
text_of(const PdPartRow *part, GError **error)
{
    g_autoptr(PdFoldText) text = g_new0(PdFoldText, 1);
    text->text = pd_part_row_original(part, error);
    if (!text->text)
        return NULL;
    g_autoptr(GStringChunk) names = g_string_chunk_new(256);
    g_autoptr(GArray) masked = pd_fold_kept_marks(part, names);
    text->mail = pd_mail_text_new(text->text->str, text->text->len);
    spare_masked_lines(text->mail, masked);
    return g_steal_pointer(&text);
}

/* Calls func for each body part; stops at the first that returns FALSE. */
static gboolean
each_body(Folder *folder, guint mail, PdFoldIndex *index,
          gboolean (*func)(Folder *folder, guint mail, guint part, const PdPartRow *row,
                           const PdFoldText *text, PdFoldIndex *index, GError **error),
          GError **error)
{
    if (g_cancellable_is_cancelled(folder->run->cancellable)) {
        g_set_error_literal(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }
    g_autoptr(GPtrArray) parts =
        pd_corpus_parts(folder->run->corpus, mail_at(folder, mail)->id, error);
    for (guint i = 0; parts && i < parts->len; i++) {
        const PdPartRow *row = g_ptr_array_index(parts, i);
        if (!is_body(row))
            continue;
        g_autoptr(PdFoldText) text = text_of(row, error);
        if (!text || !func(folder, mail, i, row, text, index, error))
            return FALSE;
    }
    return parts != NULL;
}

/* --- who wrote it -------------------------------------------------------------------------- */

/* "[quoted: Kay Smith, 2001-05-14]": nothing in it that could end the mark, or a line. */
static char *
mark_for(const char *author, gint64 date_utc)
{
    g_autofree char *person = author && author[0] ? pd_place_person(author) : NULL;
    g_autofree char *name =
        person ? g_utf8_substring(person, 0, MIN(g_utf8_strlen(person, -1), NAME_CHARS))
               : g_strdup("a mail");
    g_autofree char *date = pd_place_date(date_utc);
    for (char *c = name; *c; c++)
        if (g_ascii_iscntrl(*c) || *c == '[' || *c == ']')
            *c = ' ';
    return g_strdup_printf("[quoted: %s%s%s]", g_strstrip(name), date ? ", " : "",
                           date ? date : "");
}

static gboolean
name_source(Folder *folder, guint mail, PdFoldText *text, GError **error)
{
    PdCorpus *corpus = folder->run->corpus;
    g_autoptr(PdStmt) stmt =
        pd_db_query(corpus, error, "SELECT author, date_utc FROM document WHERE id = ?", "i",
                    mail_at(folder, mail)->id);
    int rc = stmt ? pd_db_step(corpus, stmt, error) : -1;
    if (rc == SQLITE_DONE)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                    "%s: a mail is missing; run: pandect verify", corpus->db_path);
    if (rc != SQLITE_ROW)
        return FALSE;
    gboolean dated = sqlite3_column_type(stmt, 1) != SQLITE_NULL;
    text->author = pd_db_text(stmt, 0);
    g_autofree char *mark =
        mark_for(text->author, dated ? sqlite3_column_int64(stmt, 1) : G_MININT64);
    text->mark = g_string_chunk_insert_const(folder->marks, mark);
    return TRUE;
}

/* --- one mail after the other -------------------------------------------------------------- */

static gboolean
want_text(Folder *folder, guint mail, guint part, const PdPartRow *row, const PdFoldText *text,
          PdFoldIndex *index, GError **error)
{
    pd_fold_index_want(index, text->mail);
    return TRUE;
}

static gboolean
offer_text(Folder *folder, guint mail, guint part, const PdPartRow *row, const PdFoldText *text,
           PdFoldIndex *index, GError **error)
{
    pd_fold_index_offer(index, mail, part, text->mail);
    return TRUE;
}

static const PdFoldText *
load_text(guint mail, guint part, gpointer user_data, GError **error)
{
    Folder *folder = user_data;
    gint64 key = (gint64)mail << 32 | part;
    const PdFoldText *known = g_hash_table_lookup(folder->cache, &key);
    if (known)
        return known;
    if (folder->cached_bytes > CACHE_BYTES) {
        g_hash_table_remove_all(folder->cache);
        folder->cached_bytes = 0;
    }
    g_autoptr(GPtrArray) parts =
        pd_corpus_parts(folder->run->corpus, mail_at(folder, mail)->id, error);
    if (!parts)
        return NULL;
    g_assert(part < parts->len); /* it was offered in this transaction's run */
    g_autoptr(PdFoldText) text = text_of(g_ptr_array_index(parts, part), error);
    if (!text || !name_source(folder, mail, text, error))
        return NULL;
    /* A word's hash and places are three times as long as the word. */
    folder->cached_bytes += 4 * text->text->len;
    const PdFoldText *loaded = text;
    g_hash_table_insert(folder->cache, g_memdup2(&key, sizeof key), g_steal_pointer(&text));
    return loaded;
}

static gint
by_start(gconstpointer a, gconstpointer b)
{
    guint32 x = ((const PdReplacement *)a)->start, y = ((const PdReplacement *)b)->start;
    return (x > y) - (x < y);
}

static gboolean
store_folds(Folder *folder, const PdPartRow *row, const PdFoldText *text, const GArray *folds,
            GError **error)
{
    PdAddRun *run = folder->run;
    gsize n_bytes = 0;
    g_autoptr(GStringChunk) names = g_string_chunk_new(1024);
    g_autoptr(GArray) all = pd_fold_kept_marks(row, names);
    for (guint i = 0; i < folds->len; i++) {
        const PdFold *fold = &g_array_index(folds, PdFold, i);
        PdReplacement r = {pd_mail_line(text->mail, fold->first_line)->start,
                           pd_mail_line(text->mail, fold->last_line)->end, fold->mark, fold->kind};
        n_bytes += r.end - r.start;
        g_array_append_val(all, r);
    }
    g_array_sort(all, by_start);
    g_autoptr(GString) model = g_string_new_len(text->text->str, (gssize)text->text->len);
    g_autoptr(PdTextView) view = pd_flow_view(model, all, row->flow);
    gint64 part_id;
    if (!pd_fold_store(run->corpus, row, model, view, folds->len, n_bytes, run->run_id, error) ||
        !pd_db_int(run->corpus, 0, &part_id, error,
                   "SELECT p.id FROM part p JOIN part o ON o.ord = p.ord"
                   " WHERE p.document_id = ? AND o.id = ?",
                   "ii", row->document_id, row->id))
        return FALSE;
    for (guint i = 0; i < folds->len; i++)
        if (!pd_db_run(run->corpus, error, "INSERT OR IGNORE INTO fold VALUES (?, ?)", "ii",
                       part_id, mail_at(folder, g_array_index(folds, PdFold, i).mail)->id))
            return FALSE;
    return TRUE;
}

static gboolean
fold_text(Folder *folder, guint mail, guint part, const PdPartRow *row, const PdFoldText *text,
          PdFoldIndex *index, GError **error)
{
    g_autoptr(GArray) folds = pd_fold_find(index, mail, text, load_text, folder, error);
    return folds && (folds->len == 0 || store_folds(folder, row, text, folds, error));
}

static gboolean
fold_mail(Folder *folder, guint mail, PdFoldIndex *index, GError **error)
{
    return pd_add_begin(folder->run, error) && each_body(folder, mail, index, fold_text, error) &&
           pd_db_run(folder->run->corpus, error, "UPDATE document SET fold_rules = ? WHERE id = ?",
                     "ii", (gint64)PD_FOLD_RULES, mail_at(folder, mail)->id) &&
           pd_add_grow(folder->run, 0, error);
}

/* The mails from `first` on, as many as the index has room for; returns the next one; 0: failed. */
static guint
fold_some(Folder *folder, guint first, GError **error)
{
    g_autoptr(PdFoldIndex) index = pd_fold_index_new();
    guint n = folder->mails->len, end = first;
    for (gsize n_wanted = 0; end < n && n_wanted < WANTED_MAX; end++) {
        if (!each_body(folder, end, index, want_text, error))
            return 0;
        n_wanted = pd_fold_index_n_wanted(index);
    }
    for (guint i = 0; i < n && pd_fold_index_n_wanted(index) > 0; i++)
        if (!each_body(folder, i, index, offer_text, error))
            return 0;
    for (guint i = first; i < end; i++)
        if (!fold_mail(folder, i, index, error))
            return 0;
    g_hash_table_remove_all(folder->cache);
    g_string_chunk_clear(folder->marks);
    folder->cached_bytes = 0;
    return end;
}

gboolean
pd_add_fold(PdAddRun *run, GError **error)
{
    g_auto(Folder) folder = {run, g_array_new(FALSE, FALSE, sizeof(Mail)),
                             g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                                   (GDestroyNotify)pd_fold_text_free),
                             0, g_string_chunk_new(4096)};
    guint first = 0;
    if (!list_mails(&folder, error))
        return FALSE;
    while (first < folder.mails->len && !mail_at(&folder, first)->waits)
        first++;
    while (first < folder.mails->len) {
        first = fold_some(&folder, first, error);
        if (!first)
            return FALSE;
    }
    return !run->in_batch || pd_add_commit(run, "running", NULL, error);
}
