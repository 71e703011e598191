/*
 * See lexical.h.
 *
 *   lexical_text    one row a segment and header: the same text under two headers comes twice
 *   lexical_index   FTS5, contentless; rowid = lexical_text.id * LEXICAL_BLOCKS + block
 *
 * The rows of a segment leave with it (ON DELETE CASCADE); what they had in the index stays until
 * it is more than half of it, then the index is made anew.  Ids are never used twice, so such rows
 * name nothing.
 */
#include "prompts/lexical.h"

#include <string.h>
#include "prompts/error.h"
#include "prompts/passages.h"
#include "prompts/words.h"

/* Segments have at most 2048 tokens, 32 blocks; the number is part of the rowids. */
#define LEXICAL_BLOCKS 4096

#define SCHEMA(references)                                                                         \
    "CREATE TABLE IF NOT EXISTS lexical_text("                                                     \
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"                                                      \
    "  segment_id INTEGER NOT NULL " references ","                                                \
    "  n_blocks INTEGER NOT NULL,"                                                                 \
    "  header TEXT NOT NULL,"                                                                      \
    "  UNIQUE(segment_id, header)) STRICT;"                                                        \
    "CREATE VIRTUAL TABLE IF NOT EXISTS lexical_index USING fts5("                                 \
    "  header, body, content='', tokenize='porter unicode61 remove_diacritics 2');"

#define FORGET                                                                                     \
    "INSERT INTO lexical_index(lexical_index) VALUES('delete-all');"                               \
    "DELETE FROM lexical_text;"

struct PdLexical {
    sqlite3 *db;
    gboolean own;         /* in memory, closed with us: the corpus cannot be written */
    GHashTable *segments; /* id of lexical_text -> index of the first such segment + 1 */
    gboolean is_up_to_date;
};

void
pd_lexical_free(PdLexical *lexical)
{
    if (!lexical)
        return;
    g_clear_pointer(&lexical->segments, g_hash_table_unref);
    if (lexical->own)
        sqlite3_close(lexical->db);
    g_free(lexical);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdLexical, pd_lexical_free)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sqlite3_stmt, sqlite3_finalize)

static gboolean
fail_in(PdCorpus *corpus, sqlite3 *db, GError **error)
{
    g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_CORPUS, "%s: the index of words: %s",
                pd_corpus_dir(corpus), db ? sqlite3_errmsg(db) : "out of memory");
    return FALSE;
}

static gboolean
fail(PdContext *context, sqlite3 *db, GError **error)
{
    return fail_in(context->corpus, db, error);
}

static gboolean
run_sql(PdContext *context, sqlite3 *db, const char *sql, GError **error)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK || fail(context, db, error);
}

static sqlite3_stmt *
prepare(PdContext *context, sqlite3 *db, const char *sql, GError **error)
{
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail(context, db, error);
    return stmt;
}

static PdLexical *
lexical_open(PdContext *context, gboolean own, GError **error)
{
    g_autoptr(PdLexical) lexical = g_new0(PdLexical, 1);
    sqlite3 *db = pd_corpus_db(context->corpus);

    lexical->own = own;
    if (!own)
        lexical->db = db;
    else if (sqlite3_open_v2(":memory:", &lexical->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                             NULL) != SQLITE_OK) {
        fail(context, lexical->db, error);
        return NULL;
    }
    if (!run_sql(context, lexical->db,
                 own ? SCHEMA("") : SCHEMA("REFERENCES segment ON DELETE CASCADE"), error))
        return NULL;
    return g_steal_pointer(&lexical);
}

/* --- filling --- */

/* Empty an index that is mostly of segments which are gone. */
static gboolean
drop_stale(PdContext *context, PdLexical *lexical, GError **error)
{
    g_autoptr(sqlite3_stmt) stmt = prepare(context, lexical->db,
                                           "SELECT (SELECT count(*) FROM lexical_index_docsize),"
                                           " (SELECT coalesce(sum(n_blocks), 0) FROM lexical_text)",
                                           error);
    gint64 n_index, n_live;

    if (!stmt)
        return FALSE;
    if (sqlite3_step(stmt) != SQLITE_ROW)
        return fail(context, lexical->db, error);
    n_index = sqlite3_column_int64(stmt, 0);
    n_live = sqlite3_column_int64(stmt, 1);
    sqlite3_reset(stmt);
    if (n_index <= 2 * n_live)
        return TRUE;
    return run_sql(context, lexical->db, FORGET, error);
}

gboolean
pd_lexical_forget(PdCorpus *corpus, GError **error)
{
    sqlite3 *db = pd_corpus_db(corpus);
    g_autoptr(sqlite3_stmt) stmt = NULL;
    int rc;

    if (sqlite3_prepare_v2(db, "SELECT 1 FROM sqlite_schema WHERE name = 'lexical_index'", -1,
                           &stmt, NULL) != SQLITE_OK)
        return fail_in(corpus, db, error);
    rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    if (rc == SQLITE_DONE)
        return TRUE; /* nobody has searched yet */
    return (rc == SQLITE_ROW && sqlite3_exec(db, FORGET, NULL, NULL, NULL) == SQLITE_OK) ||
           fail_in(corpus, db, error);
}

typedef struct {
    PdContext *context;
    PdLexical *lexical;
    sqlite3_stmt *find;
    sqlite3_stmt *add_text;
    sqlite3_stmt *add_block;
    PdPartRow *part; /* the last one read */
} Filler;

static void
filler_clear(Filler *filler)
{
    sqlite3_finalize(filler->find);
    sqlite3_finalize(filler->add_text);
    sqlite3_finalize(filler->add_block);
    pd_part_row_free(filler->part);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Filler, filler_clear)

static gboolean
step_done(Filler *filler, sqlite3_stmt *stmt, GError **error)
{
    gboolean ok =
        sqlite3_step(stmt) == SQLITE_DONE || fail(filler->context, filler->lexical->db, error);

    sqlite3_reset(stmt);
    return ok;
}

/* The id of a segment with its header; 0: not in the index. */
static gint64
find_text(Filler *filler, const PdContextSegment *segment)
{
    gint64 id = 0;

    sqlite3_bind_int64(filler->find, 1, segment->row->id);
    sqlite3_bind_text(filler->find, 2, segment->header, -1, SQLITE_STATIC);
    if (sqlite3_step(filler->find) == SQLITE_ROW)
        id = sqlite3_column_int64(filler->find, 0);
    sqlite3_reset(filler->find);
    return id;
}

static gboolean
add_blocks(Filler *filler, const PdContextSegment *segment, gint64 id, GError **error)
{
    const PdSegmentRow *row = segment->row;
    const PdPartRow *part = filler->part;

    for (guint b = 0; b < pd_sweep_count_blocks(segment); b++) {
        guint first = b * PD_SWEEP_BLOCK_TOKENS, last = first + PD_SWEEP_BLOCK_TOKENS;
        guint32 start, end;
        g_autofree char *body = NULL;

        first -= MIN(first, PD_LEXICAL_MARGIN_TOKENS);
        last = MIN(last + PD_LEXICAL_MARGIN_TOKENS, row->n_tokens);
        pd_segment_bytes(row, first, last - first, &start, &end);
        end = (guint32)MIN(end, part->n_bytes);
        start = MIN(start, end);
        body = g_utf8_make_valid(part->text + start, (gssize)(end - start));
        sqlite3_bind_int64(filler->add_block, 1, id * LEXICAL_BLOCKS + b);
        sqlite3_bind_text(filler->add_block, 2, segment->header, -1, SQLITE_STATIC);
        sqlite3_bind_text(filler->add_block, 3, body, -1, SQLITE_STATIC);
        if (!step_done(filler, filler->add_block, error))
            return FALSE;
    }
    return TRUE;
}

static gint64
add_text(Filler *filler, const PdContextSegment *segment, GError **error)
{
    gint64 id;

    if (!filler->part || filler->part->id != segment->row->part_id) {
        g_clear_pointer(&filler->part, pd_part_row_free);
        filler->part = pd_corpus_part(filler->context->corpus, segment->row->part_id, error);
        if (!filler->part)
            return 0;
    }
    sqlite3_bind_int64(filler->add_text, 1, segment->row->id);
    sqlite3_bind_int64(filler->add_text, 2, pd_sweep_count_blocks(segment));
    sqlite3_bind_text(filler->add_text, 3, segment->header, -1, SQLITE_STATIC);
    if (!step_done(filler, filler->add_text, error))
        return 0;
    id = sqlite3_last_insert_rowid(filler->lexical->db);
    return add_blocks(filler, segment, id, error) ? id : 0;
}

static gboolean
fill(PdContext *context, PdLexical *lexical, GCancellable *cancellable, GError **error)
{
    g_auto(Filler) filler = {.context = context, .lexical = lexical};
    sqlite3 *db = lexical->db;

    filler.find = prepare(context, db,
                          "SELECT id FROM lexical_text WHERE segment_id = ? AND header = ?", error);
    if (!filler.find)
        return FALSE;
    filler.add_text =
        prepare(context, db,
                "INSERT INTO lexical_text(segment_id, n_blocks, header) VALUES(?, ?, ?)", error);
    if (!filler.add_text)
        return FALSE;
    filler.add_block = prepare(
        context, db, "INSERT INTO lexical_index(rowid, header, body) VALUES(?, ?, ?)", error);
    if (!filler.add_block)
        return FALSE;
    g_hash_table_remove_all(lexical->segments);
    for (guint s = 0; s < context->segments->len; s++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);
        gint64 id = find_text(&filler, segment);

        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return FALSE;
        if (id == 0 && (id = add_text(&filler, segment, error)) == 0)
            return FALSE;
        if (!g_hash_table_contains(lexical->segments, &id))
            g_hash_table_insert(lexical->segments, g_memdup2(&id, sizeof id),
                                GUINT_TO_POINTER(s + 1));
    }
    return TRUE;
}

static gboolean
bring_up_to_date(PdContext *context, PdLexical *lexical, GCancellable *cancellable, GError **error)
{
    if (!lexical->segments)
        lexical->segments = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    if (!run_sql(context, lexical->db, "SAVEPOINT lexical", error))
        return FALSE;
    lexical->is_up_to_date = drop_stale(context, lexical, error) &&
                             fill(context, lexical, cancellable, error) &&
                             run_sql(context, lexical->db, "RELEASE lexical", error);
    if (!lexical->is_up_to_date)
        sqlite3_exec(lexical->db, "ROLLBACK TO lexical; RELEASE lexical", NULL, NULL, NULL);
    return lexical->is_up_to_date;
}

/* Opened and filled, in the corpus or in memory. */
static gboolean
make_index(PdContext *context, gboolean own, GCancellable *cancellable, GError **error)
{
    if (!context->lexical)
        context->lexical = lexical_open(context, own, error);
    return context->lexical && (context->lexical->is_up_to_date ||
                                bring_up_to_date(context, context->lexical, cancellable, error));
}

/* The index holds every segment of the context; opened and filled at the first search.  What cannot
 * be written (a full disk) is made in memory. */
static PdLexical *
up_to_date(PdContext *context, GCancellable *cancellable, GError **error)
{
    sqlite3 *db = pd_corpus_db(context->corpus);
    gboolean read_only = sqlite3_db_readonly(db, "main") == 1;
    g_autoptr(GError) local = NULL;

    if (make_index(context, read_only, cancellable, &local))
        return context->lexical;
    if (!read_only && g_error_matches(local, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_CORPUS)) {
        g_clear_pointer(&context->lexical, pd_lexical_free);
        return make_index(context, TRUE, cancellable, error) ? context->lexical : NULL;
    }
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
}

/* --- searching --- */

/* "word" OR "word": each a string of FTS5, in which nothing is an operator.  Words hold no quote.
 */
static char *
make_query(const char *question)
{
    g_autoptr(GPtrArray) words = pd_words(question, strlen(question));
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GString) query = g_string_new(NULL);
    gboolean any = FALSE;

    for (guint i = 0; i < words->len; i++)
        any |= !pd_word_is_empty(words->pdata[i]);
    for (guint i = 0; i < words->len; i++) {
        const char *word = words->pdata[i];

        if ((any && pd_word_is_empty(word)) || !g_hash_table_add(seen, (gpointer)word))
            continue;
        g_string_append_printf(query, "%s\"%s\"", query->len ? " OR " : "", word);
    }
    return g_string_free(g_steal_pointer(&query), FALSE);
}

static void
add_found(PdContext *context, PdLexical *lexical, sqlite3_stmt *stmt, GArray *blocks)
{
    gint64 rowid = sqlite3_column_int64(stmt, 0);
    gint64 id = rowid / LEXICAL_BLOCKS;
    guint s = GPOINTER_TO_UINT(g_hash_table_lookup(lexical->segments, &id));
    guint first = (guint)(rowid % LEXICAL_BLOCKS) * PD_SWEEP_BLOCK_TOKENS;
    PdBlock block = {.segment = s - 1,
                     .first_token = first,
                     .best_head = -1,
                     .found_by = PD_FOUND_FTS,
                     .lexical = (float)-sqlite3_column_double(stmt, 1)};
    const PdSegmentRow *row;

    if (s == 0) /* of another model's tokens, or of a text that is gone */
        return;
    row = g_array_index(context->segments, PdContextSegment, s - 1).row;
    if (first >= row->n_tokens)
        return;
    block.n_tokens = MIN(PD_SWEEP_BLOCK_TOKENS, row->n_tokens - first);
    block.score = block.lexical;
    g_array_append_val(blocks, block);
}

GArray *
pd_lexical_search(PdContext *context, const char *question, guint n, GCancellable *cancellable,
                  GError **error)
{
    PdLexical *lexical = up_to_date(context, cancellable, error);
    g_autofree char *query = make_query(question);
    g_autoptr(GArray) blocks = g_array_new(FALSE, FALSE, sizeof(PdBlock));
    g_autoptr(sqlite3_stmt) stmt = NULL;
    int rc = SQLITE_DONE;

    if (!lexical)
        return NULL;
    if (!*query)
        return g_steal_pointer(&blocks);
    stmt = prepare(context, lexical->db,
                   "SELECT rowid, bm25(lexical_index) AS rank FROM lexical_index"
                   " WHERE lexical_index MATCH ? ORDER BY rank, rowid",
                   error);
    if (!stmt)
        return NULL;
    sqlite3_bind_text(stmt, 1, query, -1, SQLITE_STATIC);
    while (blocks->len < n && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        add_found(context, lexical, stmt, blocks);
    if (blocks->len < n && rc != SQLITE_DONE) {
        fail(context, lexical->db, error);
        return NULL;
    }
    return g_steal_pointer(&blocks);
}

/* --- beside the sweep --- */

static guint64
place(const PdBlock *block)
{
    return (guint64)block->segment << 32 | block->first_token;
}

/* The blocks of `found` as they stand in `blocks`; NULL: not there. */
static GPtrArray *
find_in(GArray *blocks, GArray *found)
{
    g_autoptr(GHashTable) wanted = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    GPtrArray *places = g_ptr_array_new();

    for (guint i = 0; i < found->len; i++) {
        guint64 at = place(&g_array_index(found, PdBlock, i));
        g_hash_table_insert(wanted, g_memdup2(&at, sizeof at), GUINT_TO_POINTER(i));
    }
    g_ptr_array_set_size(places, (int)found->len);
    for (guint i = 0; i < blocks->len; i++) {
        PdBlock *block = &g_array_index(blocks, PdBlock, i);
        guint64 at = place(block);
        gpointer index;
        if (!g_hash_table_lookup_extended(wanted, &at, NULL, &index))
            continue;
        places->pdata[GPOINTER_TO_UINT(index)] = block;
    }
    return places;
}

/* `places`: of find_in. */
static void
mix(GArray *blocks, GPtrArray *places, guint every, guint most, guint mark)
{
    g_autofree PdBlock *mixed = g_new(PdBlock, blocks->len);
    g_autofree gboolean *taken = g_new0(gboolean, blocks->len);
    guint n = 0, next = 0, n_inserted = 0;

    for (guint i = 0; i < blocks->len; i++) {
        if (taken[i])
            continue;
        mixed[n++] = g_array_index(blocks, PdBlock, i);
        taken[i] = TRUE;
        if ((n - n_inserted) % every != 0 || n_inserted == most)
            continue;
        for (; next < places->len; next++) {
            PdBlock *block = places->pdata[next];
            guint at = block ? (guint)(block - (PdBlock *)(gpointer)blocks->data) : 0;
            if (!block || taken[at])
                continue;
            mixed[n] = *block;
            mixed[n++].found_by |= mark;
            taken[at] = TRUE;
            n_inserted++;
            break;
        }
    }
    g_assert(n == blocks->len);
    memcpy(blocks->data, mixed, n * sizeof *mixed);
}

void
pd_lexical_mix(GArray *blocks, GArray *found, guint every, guint most, guint mark)
{
    g_autoptr(GPtrArray) places = find_in(blocks, found);

    mix(blocks, places, every, most, mark);
}

void
pd_lexical_insure(GArray *blocks, GArray *found)
{
    g_autoptr(GPtrArray) places = find_in(blocks, found);

    for (guint i = 0; i < places->len; i++) {
        PdBlock *block = places->pdata[i];
        if (!block)
            continue;
        block->found_by |= PD_FOUND_FTS;
        block->lexical = g_array_index(found, PdBlock, i).lexical;
    }
    mix(blocks, places, PD_LEXICAL_EVERY, PD_LEXICAL_INSURANCE, PD_FOUND_FTS);
}
