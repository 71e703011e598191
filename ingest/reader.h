/*
 * Readers: foreign bytes in, documents out.
 *
 * A reader runs in a process of its own (pandect-read-KIND, sandboxed: rlimits, Landlock, seccomp,
 * no network, no file but the one it was handed) and talks to us in length-prefixed frames, which
 * the parent treats as hostile input.  A crash, a hang or a limit costs one source or document,
 * never the corpus.
 */
#ifndef PD_READER_H
#define PD_READER_H

#include <gio/gio.h>
#include "ingest/document.h"

/* One line of the ledger: something that was not read, or was read with a remark. */
typedef struct {
    /* What became of it: "skipped", "failed", "duplicate" (read already, under another name or in
     * another place).  Or a remark on a document: "partial" (not all of it was read), "hidden"
     * (text that a reader of the original does not see), "masked" (ours: what the model does not
     * see), "ocr" (pages that were read as pictures: the reason begins with their number),
     * "note". */
    const char *level;
    const char *key; /* the document's key, or "" for the whole source */
    const char
        *reason;    /* one line for people: "binary", "no text layer on pages 1-3; OCR it first" */
    gint64 n_bytes; /* -1: unknown */
} PdLedgerLine;

/* What a reader process took. */
typedef struct {
    gint64 cpu_us;      /* of the process, as it says itself; 0: it died */
    guint64 peak_bytes; /* the most memory it held, likewise; 0: not known */
    gint64 wait_us;     /* how long we had nothing to do but wait for it */
} PdReaderUsage;

/* What a reader says.  Remarks on a document come after it.  `document`: ownership passes to the
 * callee.  Returning FALSE stops the reader. */
typedef struct {
    gboolean (*document)(PdDocument *document, gpointer user_data, GError **error);
    gboolean (*ledger)(const PdLedgerLine *line, gpointer user_data, GError **error);
    void (*progress)(guint64 done, guint64 total, gpointer user_data); /* may be NULL */
    /* Something was found that a document is to be made of: its one outcome, a document or a line,
     * is the next call.  May be NULL. */
    void (*found)(gpointer user_data);
    gpointer user_data;
    /* A reader process has ended.  May be NULL. */
    void (*usage)(const PdReaderUsage *usage, gpointer user_data);
} PdReadSink;

/* Limits, all in one table, all reported when hit. */
typedef struct {
    guint64 file_bytes_max;     /* 256 MiB for one document; a mailbox may be larger */
    guint64 git_file_bytes_max; /* 1 MiB: larger tracked files are skipped as oversized */
    guint64 text_bytes_max;     /* 64 MiB a document */
    guint depth_max;            /* files inside files (attachments, archives): 5 */
    guint mime_parts_max;       /* 10,000 */
    guint mime_depth_max;       /* 64: parts inside parts of one mail */
    guint pdf_pages_max;        /* 50,000 */
    guint html_depth_max;       /* 2,000 */
    guint document_seconds_max; /* 120 */
    guint64 worker_bytes_max;   /* 1 GiB address space */
    guint64 unpacked_bytes_max; /* 4 GiB out of one compressed file or archive, however deep; only
                                   an mbox or archive may come to more than file_bytes_max alone */
    guint unpack_ratio_max;     /* 100: bytes out for a byte in, after the first MiB */
    guint archive_entries_max;  /* 100,000 files in one archive, however deep */
    guint ocr_pages_max;        /* 2,000 pages of a document: they take seconds each */
    guint ink_seconds_max;      /* 20, of the processor: for looking a document's pages through for
                                   hidden text */
    guint header_bytes_max;     /* 16 KiB: one field of a mail's header */
    guint folder_depth_max;     /* 100: folders inside folders */
    guint rtf_depth_max;        /* 2,000: groups inside groups */
    guint section_depth_max; /* 20: sections inside sections of a clinical document, components of a
                                calendar */
    guint json_depth_max;    /* 200: of a notebook or FHIR file, which nest far less */
    guint64 rtf_bytes_max;   /* 64 MiB: an Outlook message's formatted text, unpacked */
    guint restarts_max;      /* 50: readers that one file kills, before its rest is given up */
    /* Of a page of a PDF, while it is looked through for hidden text. */
    guint pdf_outside_bytes_max; /* 4,096: text beyond its edge, of which words are counted */
    guint pdf_false_glyphs_max;  /* 100,000: they show another letter than the PDF says */
    guint pdf_font_glyphs_max;   /* 70,000 characters of a font, to tell those by */
    guint pdf_outline_max;       /* 20,000 entries of a PDF's outline */
    guint pdf_outline_depth_max; /* 100 inside each other */
    guint pdf_links_max;         /* 5,000 links of one page */
    /* Of a list of properties, or a table, of an Outlook store. */
    guint64 pst_list_bytes_max; /* 16 MiB */
    guint pst_rows_max;         /* 1,048,576 */
    guint pst_pieces_max;       /* 65,536: pieces of its sorted list */
    guint pst_contacts_max;     /* 400 that a list of them refers to (one has at most 333) */
    /* Of a repository. */
    guint git_depth_max;            /* 200: folders inside folders of a tree */
    guint git_files_max;            /* 2,000,000 */
    guint git_commits_max;          /* 500: the newest, of the history */
    guint git_range_commits_max;    /* 2,000 in a range (--diff) */
    guint git_file_commits_max;     /* 100: the newest, of a file */
    guint git_searched_commits_max; /* 20,000: the newest, looked through for those */
    guint git_renamed_files_max;    /* 20,000: of a commit that touches more, no renames */
    guint git_tags_max;             /* 2,000: the newest */
    guint git_tree_lines_max;       /* 1,500: files and folders that are listed */
} PdReadLimits;
extern const PdReadLimits pd_read_limits_default;

/* Which pages of a PDF are read as pictures. */
typedef enum {
    PD_OCR_UNSAID, /* as PD_OCR_AUTO */
    PD_OCR_AUTO,   /* those without a text layer, where tesseract is installed */
    PD_OCR_OFF,    /* none */
    PD_OCR_FORCE,  /* all; without tesseract that is an error */
    PD_N_OCR_MODES
} PdOcrMode;

typedef struct {
    const char *path;         /* file or folder */
    const char *git_revision; /* NULL: HEAD */
    gboolean work_tree;       /* git: files as they lie in the work tree instead of a commit's */
    const char *git_diff;     /* "BASE..REV": what changed, and the files of REV; or NULL */
    gboolean git_diff_only;   /* without the files */
    gboolean git_history;     /* the log of each file as a document */
    gboolean git_blame;       /* who wrote which lines, likewise */
    /* Repositories and folders: pathspecs (pathspec.h), NULL-terminated; NULL: none. */
    const char *const *include;
    const char *const *exclude;
    GHashTable *known; /* set of native_ids already read, for incremental runs; may be NULL */
    PdOcrMode ocr;
    const char *ocr_languages; /* as tesseract names them, "nor+eng"; NULL: "eng" */
    gboolean insecure; /* run the parsers without seccomp (only where the kernel lacks it) */
} PdReadRequest;

/* "git", "pdf", "mbox", "maildir", "eml", "html", "markdown", "text", "gzip", "xz", "zstd",
 * "bzip2", "zip", "tar", "7z", "rtf", "notebook", "clinical", "msg", "pst", "tnef", "folder", or
 * NULL with an error that says what the file is.
 */
const char *pd_detect_kind(const char *path, GError **error);

/* Read one source of the given kind ("folder" walks it and dispatches).  Attachments are dispatched
 * to the reader of their kind. */
gboolean pd_read_source(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
                        const PdReadSink *sink, GCancellable *cancellable, GError **error);

/* Where the reader programs are, if not beside the running program, in its build tree or where they
 * were installed.  For tests; call before threads start. */
void pd_reader_set_dir(const char *dir);

#endif
