/*
 * The schema of corpus.db as numbered, forward-only steps.
 *
 * Step n takes a database of schema n-1 to n inside one transaction, which also sets user_version:
 * a kill leaves the one or the other.  Steps are never edited once released; a change is a new
 * step.
 *
 * Invariants, checked by pd_corpus_verify:
 *  - one live document for a key of a source; the earlier ones are superseded, vanished ones
 *    removed; both keep their parts, so that an old answer's citations still open;
 *  - text.sha256 is that of the uncompressed bytes, and some part refers to each text;
 *  - a part's view and its text, which is then the model's, give the original (its SHA-256);
 *  - what a live mail leaves out because other mails have it (fold), live documents have;
 *  - the segments of a text and tokenizer tile it, or there are none;
 *  - a run found what it read, skipped and failed on (n_found = n_emitted + n_skipped + n_failed),
 *    and the last run over a source has a ledger line for each that was skipped, failed or met
 *    twice.  Remarks on a document are those of its last reading, by whichever run.
 */
#include "ingest/corpus_internal.h"

static const char *const steps[] = {
    /* 1 */
    "CREATE TABLE writer("
    "  id INTEGER PRIMARY KEY CHECK (id = 1),"
    "  pid INTEGER NOT NULL) STRICT;"

    "CREATE TABLE source("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT," /* order of addition; never used twice */
    "  alias TEXT NOT NULL UNIQUE,"
    "  path TEXT NOT NULL UNIQUE," /* absolute */
    "  kind TEXT NOT NULL,"        /* as pd_detect_kind says; "unknown": not at all */
    "  git_revision TEXT,"         /* as asked for; NULL: HEAD */
    "  work_tree INTEGER NOT NULL DEFAULT 0,"
    "  added_at INTEGER NOT NULL) STRICT;"

    "CREATE TABLE run("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  source_id INTEGER NOT NULL REFERENCES source ON DELETE CASCADE,"
    "  started INTEGER NOT NULL,"
    "  ended INTEGER,"
    "  status TEXT NOT NULL"
    "    CHECK (status IN ('running','done','failed','cancelled','interrupted')),"
    "  n_emitted INTEGER NOT NULL DEFAULT 0," /* documents that the reader gave */
    "  n_new INTEGER NOT NULL DEFAULT 0,"
    "  n_unchanged INTEGER NOT NULL DEFAULT 0,"
    "  n_changed INTEGER NOT NULL DEFAULT 0,"
    "  n_duplicate INTEGER NOT NULL DEFAULT 0,"
    "  n_removed INTEGER NOT NULL DEFAULT 0,"
    "  n_skipped INTEGER NOT NULL DEFAULT 0,"
    "  n_failed INTEGER NOT NULL DEFAULT 0,"
    "  n_partial INTEGER NOT NULL DEFAULT 0,"
    "  n_dropped INTEGER NOT NULL DEFAULT 0," /* of n_emitted: removed by hand later */
    "  error TEXT) STRICT;"
    "CREATE INDEX run_source ON run(source_id);"

    "CREATE TABLE ledger("
    "  id INTEGER PRIMARY KEY,"
    "  run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    "  level TEXT NOT NULL,"
    "  key TEXT NOT NULL,"
    "  reason TEXT NOT NULL,"
    "  n_bytes INTEGER NOT NULL) STRICT;"
    "CREATE INDEX ledger_run ON ledger(run_id);"

    "CREATE TABLE text("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  sha256 BLOB NOT NULL UNIQUE,"
    "  n_bytes INTEGER NOT NULL,"
    "  data BLOB NOT NULL) STRICT;" /* one zstd frame */

    "CREATE TABLE document("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  source_id INTEGER NOT NULL REFERENCES source ON DELETE CASCADE,"
    "  key TEXT NOT NULL,"
    "  kind TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK (state IN ('live','superseded','removed')),"
    "  parent_key TEXT,"
    "  title TEXT NOT NULL,"
    "  author TEXT,"
    "  recipients TEXT,"
    "  date_utc INTEGER," /* NULL: unknown */
    "  native_id TEXT,"
    "  revision TEXT,"
    "  in_reply_to TEXT,"
    "  raw_sha256 BLOB NOT NULL,"
    "  raw_offset INTEGER NOT NULL,"
    "  raw_bytes INTEGER NOT NULL,"
    "  parts_sha256 BLOB NOT NULL," /* of paths, labels, texts and boxes: equal means unchanged */
    "  first_run INTEGER NOT NULL,"
    "  last_run INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX document_live ON document(source_id, key) WHERE state = 'live';"
    "CREATE INDEX document_key ON document(source_id, key);"
    "CREATE INDEX document_native ON document(native_id) WHERE native_id IS NOT NULL;"

    "CREATE TABLE part("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  document_id INTEGER NOT NULL REFERENCES document ON DELETE CASCADE,"
    "  ord INTEGER NOT NULL,"
    "  path TEXT NOT NULL,"
    "  label TEXT,"
    "  text_id INTEGER NOT NULL REFERENCES text,"
    "  n_boxes INTEGER NOT NULL DEFAULT 0,"
    "  boxes BLOB," /* zstd of PdBox, six little-endian 32-bit fields each */
    "  UNIQUE(document_id, ord)) STRICT;"
    "CREATE INDEX part_text ON part(text_id);"

    "CREATE TABLE tokenizer("
    "  id INTEGER PRIMARY KEY,"
    "  identity TEXT NOT NULL UNIQUE," /* pd_tokenizer_id */
    "  description TEXT NOT NULL) STRICT;"

    "CREATE TABLE segment("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  text_id INTEGER NOT NULL REFERENCES text ON DELETE CASCADE,"
    "  tokenizer_id INTEGER NOT NULL REFERENCES tokenizer,"
    "  ord INTEGER NOT NULL,"
    "  start INTEGER NOT NULL,"
    "  end INTEGER NOT NULL,"
    "  n_tokens INTEGER NOT NULL,"
    "  ids BLOB NOT NULL,"     /* zstd of numbers: see text_store.c */
    "  offsets BLOB NOT NULL," /* the same: differences, the first from `start` */
    "  UNIQUE(text_id, tokenizer_id, ord)) STRICT;",

    /* 2: what the model is not to read */
    "ALTER TABLE part ADD COLUMN n_view_bytes INTEGER NOT NULL DEFAULT 0;" /* unpacked */
    "ALTER TABLE part ADD COLUMN view BLOB;"     /* zstd of a PdTextView (view.c) */
    "ALTER TABLE document ADD COLUMN mask_rules" /* PD_MASK_RULES; 0: not masked */
    "  INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE run ADD COLUMN n_masked INTEGER NOT NULL DEFAULT 0;",

    /* 3: a row while what was purged may still be in free pages, the log or packs */
    "CREATE TABLE purge(id INTEGER PRIMARY KEY CHECK (id = 1)) STRICT;",

    /* 4: one outcome for everything that was found; remarks that stay with their document */
    "ALTER TABLE run ADD COLUMN n_found INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE run ADD COLUMN n_hidden INTEGER NOT NULL DEFAULT 0;" /* documents */
    "UPDATE run SET n_found = n_emitted + n_skipped + n_failed;"
    "UPDATE ledger SET level = 'duplicate'"
    "  WHERE level = 'note' AND reason = 'the same document was met before';"
    "ALTER TABLE ledger ADD COLUMN document_id INTEGER" /* of a remark on a document */
    "  REFERENCES document ON DELETE CASCADE;"
    "UPDATE ledger SET document_id = (SELECT d.id FROM document d JOIN run r"
    "  ON r.source_id = d.source_id WHERE r.id = ledger.run_id AND d.key = ledger.key"
    "  AND d.state = 'live' AND d.last_run = ledger.run_id)"
    "  WHERE level IN ('partial', 'note', 'masked');"
    "CREATE INDEX ledger_document ON ledger(document_id) WHERE document_id IS NOT NULL;",

    /* 5: how a source is read, beyond its path; pages read as pictures */
    "ALTER TABLE source ADD COLUMN options TEXT NOT NULL DEFAULT '';" /* source_options.h */
    "UPDATE source SET options = CASE WHEN work_tree <> 0 THEN 'work-tree' || char(10)"
    "  WHEN git_revision IS NULL THEN ''"
    "  ELSE 'rev=' || replace(git_revision, '\\', '\\\\') || char(10) END;"
    "ALTER TABLE source DROP COLUMN git_revision;"
    "ALTER TABLE source DROP COLUMN work_tree;"
    "ALTER TABLE run ADD COLUMN n_ocr INTEGER NOT NULL DEFAULT 0;",

    /* 6: what mails quote of each other is read once */
    "ALTER TABLE document ADD COLUMN fold_rules" /* see fold.h; 0: everything is read */
    "  INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE part ADD COLUMN n_folded INTEGER NOT NULL DEFAULT 0;"     /* marks of its view */
    "ALTER TABLE part ADD COLUMN folded_bytes INTEGER NOT NULL DEFAULT 0;" /* that they stand for */
    "CREATE TABLE fold(" /* a live part, and a live document that has what it leaves out */
    "  part_id INTEGER NOT NULL REFERENCES part ON DELETE CASCADE,"
    "  document_id INTEGER NOT NULL REFERENCES document ON DELETE CASCADE,"
    "  PRIMARY KEY(part_id, document_id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX fold_document ON fold(document_id);",

    /* 7: numbers as planes of bytes; those that are stored already stay words (text_store.c) */
    "",

    /* 8: lines of mails that only broke on their way */
    "ALTER TABLE part ADD COLUMN flow INTEGER NOT NULL DEFAULT 0;", /* PdFlow */
};

int
pd_corpus_schema_latest(void)
{
    return G_N_ELEMENTS(steps);
}

static gboolean
apply_step(PdCorpus *corpus, int version, GError **error)
{
    g_autofree char *mark =
        g_strdup_printf("PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
                        PD_CORPUS_APPLICATION_ID, version);
    if (pd_db_exec(corpus, "BEGIN IMMEDIATE", error) &&
        pd_db_exec(corpus, steps[version - 1], error) && pd_db_exec(corpus, mark, error))
        return TRUE;
    pd_db_rollback(corpus);
    return FALSE;
}

gboolean
pd_corpus_migrate(PdCorpus *corpus, GError **error)
{
    gint64 version;
    if (!pd_db_int(corpus, 0, &version, error, "PRAGMA user_version", ""))
        return FALSE;
    for (int next = (int)version + 1; next <= pd_corpus_schema_latest(); next++)
        if (!apply_step(corpus, next, error))
            return FALSE;
    return TRUE;
}
