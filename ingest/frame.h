/*
 * The wire between a reader process and us: length-prefixed frames.
 *
 * A frame is 8 bytes of head (payload length u32, type u8, three zero bytes) and a payload of
 * fields in a fixed order for its type.  Numbers are little-endian; a string is a u32 length and
 * UTF-8 bytes, length 0xFFFFFFFF means NULL.  The parent takes nothing on trust: lengths are
 * checked before memory is asked for, strings must be UTF-8 without NUL, a payload must be used up
 * exactly, and the order of frames must make sense (PdAssembler).
 */
#ifndef PD_FRAME_H
#define PD_FRAME_H

#include "ingest/reader.h"

#define PD_FRAME_HEAD_BYTES 8
#define PD_FRAME_STRING_BYTES_MAX (64u << 10) /* keys, titles, reasons */
#define PD_FRAME_DATA_BYTES_MAX (1u << 20)    /* one slice of an attachment */

typedef enum {
    PD_FRAME_REQUEST = 1,    /* parent to reader, once */
    PD_FRAME_BEGIN,          /* reader: about to work on item N of the source */
    PD_FRAME_DOCUMENT,       /* head of a document; then PARTs, then DOCUMENT_END or PARTS_END */
    PD_FRAME_PART,           /* path, label, text, flow, boxes */
    PD_FRAME_PARTS_END,      /* empty; then HIDDENs, then DOCUMENT_END */
    PD_FRAME_HIDDEN,         /* number of a part, ranges of its text */
    PD_FRAME_DOCUMENT_END,   /* empty */
    PD_FRAME_LEDGER,         /* level, key, reason, bytes */
    PD_FRAME_PROGRESS,       /* done, total */
    PD_FRAME_ATTACHMENT,     /* name or NULL, media type, commit; then DATAs, then ATTACHMENT_END */
    PD_FRAME_DATA,           /* bytes */
    PD_FRAME_ATTACHMENT_END, /* empty */
    PD_FRAME_DROP,           /* empty; instead of ATTACHMENT_END: take it back */
    PD_FRAME_RESULT,         /* last: 0 or 1 + error code, message, processor time, peak memory */
} PdFrameType;

/* Building: begin, put fields in order, end (fills in the length). */
void pd_frame_begin(GByteArray *frame, PdFrameType type);
void pd_frame_put_u32(GByteArray *frame, guint32 value);
void pd_frame_put_u64(GByteArray *frame, guint64 value);
void pd_frame_put_bytes(GByteArray *frame, const void *bytes, gsize n);
/* n: -1 for a C string. */
void pd_frame_put_string(GByteArray *frame, const char *string, gssize n);
void pd_frame_end(GByteArray *frame);

/* Taking apart.  The first field that does not fit sets `bad`; later reads then give zeros. */
typedef struct {
    const guint8 *at;
    const guint8 *end;
    gboolean bad;
} PdFrameCursor;
guint32 pd_frame_get_u32(PdFrameCursor *cursor);
guint64 pd_frame_get_u64(PdFrameCursor *cursor);
const guint8 *pd_frame_get_bytes(PdFrameCursor *cursor, gsize *n); /* borrowed */
/* NULL for NULL; checked to be UTF-8 without NUL and no longer than `max`. */
char *pd_frame_get_string(PdFrameCursor *cursor, gsize max);

/* One of several small files that a reader gets in one input, one after the other. */
typedef struct {
    char *kind;
    char *key; /* of its document, and its title if it has no other */
    guint64 n_bytes;
} PdWorkerFile;

/* What a reader is asked to do. */
typedef struct {
    char *kind;          /* as pd_detect_kind names them */
    char *name;          /* for titles: file name or path inside a folder */
    char *path;          /* git, Maildir: the folder; NULL where descriptor 3 is the input */
    char *git_revision;  /* NULL: HEAD */
    char *git_diff;      /* NULL: none */
    char *temp_dir;      /* git bundles: an empty folder that may be written to */
    char *ocr_languages; /* NULL: "eng" */
    char *key_prefix;    /* git: the repository's folder inside the source with a slash, or "" */
    char **include;      /* never NULL after decoding; as `exclude` */
    char **exclude;
    PdOcrMode ocr;
    gboolean work_tree;
    gboolean git_diff_only;
    gboolean git_history;
    gboolean git_blame;
    gboolean insecure;
    guint64 resume_item; /* leave out items before this one: they were read before a crash */
    guint64 resume_offset;
    PdReadLimits limits;
    GHashTable *known; /* set of strings, never NULL after decoding */
    GPtrArray *files;  /* PdWorkerFile: each an item; empty: the input is one file.  As `known`. */
} PdWorkerRequest;
PdWorkerFile *pd_worker_file_new(const char *kind, const char *key, guint64 n_bytes);
void pd_worker_file_free(PdWorkerFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdWorkerFile, pd_worker_file_free)
void pd_worker_request_free(PdWorkerRequest *request);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdWorkerRequest, pd_worker_request_free)
void pd_worker_request_encode(const PdWorkerRequest *request, GByteArray *frame);
/* `bytes`: a whole frame. */
PdWorkerRequest *pd_worker_request_decode(const guint8 *bytes, gsize n, GError **error);

/* What comes out of a reader, checked.  Returning FALSE stops. */
typedef struct {
    gboolean (*begin)(guint64 item, guint64 offset, const char *key, gpointer user_data,
                      GError **error);
    gboolean (*document)(PdDocument *document, gpointer user_data, GError **error); /* owned */
    gboolean (*ledger)(const PdLedgerLine *line, gpointer user_data, GError **error);
    void (*progress)(guint64 done, guint64 total, gpointer user_data);
    /* A file that came out of the input: an attachment of the document sent last, a member of an
     * archive, or (`name` NULL) what a compressed file holds.  `revision`: the commit that it is
     * of, or NULL.  `fd` stays with the caller. */
    gboolean (*attachment)(const char *name, const char *media_type, const char *revision, int fd,
                           guint64 n_bytes, gpointer user_data, GError **error);
    gpointer user_data;
} PdAssemblerSink;

typedef struct PdAssembler PdAssembler;
PdAssembler *pd_assembler_new(const PdReadLimits *limits, const PdAssemblerSink *sink);
void pd_assembler_free(PdAssembler *assembler);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdAssembler, pd_assembler_free)
/* Take in bytes as they come.  Sets *n_frames to the number of frames completed (may be NULL). */
gboolean pd_assembler_feed(PdAssembler *assembler, const guint8 *bytes, gsize n, guint *n_frames,
                           GError **error);
/* TRUE after the RESULT frame; then *worker_error is what the reader reported (or NULL), and of
 * *usage (may be NULL) the first two fields are set. */
gboolean pd_assembler_done(PdAssembler *assembler, PdReaderUsage *usage, GError **worker_error);
/* After a crash: the document that was under way, with the parts that came whole; or NULL. */
PdDocument *pd_assembler_take_unfinished(PdAssembler *assembler);

/* The reader's side. */
typedef struct {
    int fd;
    const PdReadLimits *limits;
    GByteArray *frame;    /* reused */
    const char *revision; /* goes with attachments; may be NULL */
} PdEmitter;
gboolean pd_emit_begin(PdEmitter *emitter, guint64 item, guint64 offset, const char *key,
                       GError **error);
/* Head only, parts one by one, end; or all at once. */
gboolean pd_emit_document_head(PdEmitter *emitter, const PdDocument *document, GError **error);
gboolean pd_emit_part(PdEmitter *emitter, const PdPart *part, GError **error);
/* Between parts and end: what is found by looking at the parts once more.  If that brings the
 * reader down the document is whole all the same.  `ranges`: PdTextRange. */
gboolean pd_emit_parts_end(PdEmitter *emitter, GError **error);
gboolean pd_emit_hidden(PdEmitter *emitter, guint part, const GArray *ranges, GError **error);
gboolean pd_emit_document_end(PdEmitter *emitter, GError **error);
gboolean pd_emit_document(PdEmitter *emitter, const PdDocument *document, GError **error);
gboolean pd_emit_ledger(PdEmitter *emitter, const char *level, const char *key, gint64 n_bytes,
                        GError **error, const char *format, ...) G_GNUC_PRINTF(6, 7);
gboolean pd_emit_progress(PdEmitter *emitter, guint64 done, guint64 total, GError **error);
gboolean pd_emit_attachment(PdEmitter *emitter, const char *name, const char *media_type,
                            const guint8 *bytes, gsize n, GError **error);
/* The same piece by piece: head, data any number of times, end.  In place of the end, `drop` or a
 * result that is an error takes the attachment back. */
gboolean pd_emit_attachment_head(PdEmitter *emitter, const char *name, const char *media_type,
                                 GError **error);
gboolean pd_emit_attachment_data(PdEmitter *emitter, const guint8 *bytes, gsize n, GError **error);
gboolean pd_emit_attachment_end(PdEmitter *emitter, GError **error);
gboolean pd_emit_attachment_drop(PdEmitter *emitter, GError **error);
/* `usage`: the first two fields. */
gboolean pd_emit_result(PdEmitter *emitter, const GError *result, const PdReaderUsage *usage,
                        GError **error);

#endif
