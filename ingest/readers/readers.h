/*
 * What the reader programs share: the frame of a reader's main function, its input, its text.
 *
 * A reader gets its request as a frame on descriptor 0, the input file on descriptor 3 (unless the
 * request names a folder), writes frames to descriptor 1, and enters the sandbox before it looks at
 * the first byte of input.
 */
#ifndef PD_READERS_H
#define PD_READERS_H

#include "ingest/frame.h"
#include "ingest/readers/charset.h"
#include "ingest/sha256.h"

#define PD_READER_INPUT_FD 3
/* Kept open in the sandbox: the process's own status (proc(5)). */
#define PD_READER_STATUS_FD 4

/* What a reader must still be able to do inside the sandbox. */
typedef struct {
    GPtrArray *read_paths;  /* folders and files (char *) that may be read; NULL: none */
    const char *write_path; /* a folder that may be written to; NULL: none */
    guint64 write_bytes_max;
    gboolean one_document; /* limit processor time to that of one document */
} PdSandboxNeeds;

/* Lock the process in: resource limits, no new privileges, Landlock, seccomp.  What the kernel
 * lacks is appended to `notes` (char *); without seccomp it is an error unless `insecure`. */
gboolean pd_sandbox_enter(const PdSandboxNeeds *needs, const PdReadLimits *limits,
                          gboolean insecure, GPtrArray *notes, GError **error);

typedef struct {
    const char *const *kinds; /* NULL-terminated: what this program reads */
    /* May be NULL.  Runs before the sandbox: say what is needed.  Must not parse anything. */
    gboolean (*prepare)(const PdWorkerRequest *request, PdSandboxNeeds *needs, GError **error);
    gboolean (*run)(const PdWorkerRequest *request, PdEmitter *emitter, GError **error);
} PdReaderProgram;
int pd_reader_main(const PdReaderProgram *program);

/* The whole input, at most `max` bytes; an error names `name` and the limit. */
GByteArray *pd_read_input(int fd, guint64 max, const char *name, GError **error);

/* Decode text of a document into `part`, cut it to the limit, and write to the ledger what a reader
 * should know (encoding, bytes without meaning, invisible characters). `label`: as declared. */
gboolean pd_decode_text(PdEmitter *emitter, const char *key, const guint8 *bytes, gsize n,
                        const char *label, GString *out, GError **error);

/* HTML to text: blocks become lines, scripts, styles and hidden elements are left out. */
typedef struct {
    char *title;            /* may be NULL; free with g_free */
    gsize n_hidden;         /* characters in elements that a browser would not show */
    gboolean depth_reached; /* something lay deeper than the limit and was not read */
} PdHtmlInfo;
/* `html` is UTF-8.  mark_quotes: lines of a <blockquote> begin with "> ", as in a mail. */
gboolean pd_html_to_text(const char *html, gsize n, guint depth_max, gboolean mark_quotes,
                         GString *out, PdHtmlInfo *info, GError **error);
/* The encoding that a page declares in its first kilobyte, or NULL.  Free with g_free. */
char *pd_html_declared_charset(const guint8 *bytes, gsize n);
/* Bytes of a page to text in `out`; ledger lines for hidden text and the like. */
gboolean pd_decode_html(PdEmitter *emitter, const char *key, const guint8 *bytes, gsize n,
                        const char *label, gboolean mark_quotes, GString *out, char **title,
                        GError **error);

#endif
