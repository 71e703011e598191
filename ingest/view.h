/*
 * What the model reads of a text where that is not what the source says, and the way back.
 *
 * A view is a list of marks.  Each is a stretch of the model's text ("[secret:jwt#1]") that stands
 * for a stretch of the original; outside of marks both texts have the same bytes.  The view keeps
 * what the marks replaced, so that the original can be built from the model's text, and every place
 * in the one is found in the other.
 */
#ifndef PD_VIEW_H
#define PD_VIEW_H

#include <gio/gio.h>

typedef enum {
    PD_MARK_SECRET, /* key, token, password: ingest/secrets.h */
    PD_MARK_HIDDEN, /* text that nobody sees on the page */
    PD_MARK_QUOTE,  /* what a mail quotes and another one has: ingest/fold.h */
    PD_MARK_FOOTER, /* signature, disclaimer or list footer that another mail has */
    PD_MARK_BREAK,  /* what only broke a line, nothing in its place: ingest/model_text.h */
    PD_N_MARKS
} PdMarkKind;

typedef struct {
    guint32 start; /* bytes in the model's text */
    guint32 end;
    guint32 original_start; /* bytes in the original */
    guint32 original_end;
    guint32 kind; /* PdMarkKind */
} PdMark;

/* Does it keep what it stands for from models?  What the others stand for they read elsewhere, or
 * it is nothing. */
static inline gboolean
pd_mark_is_mask(const PdMark *mark)
{
    return mark->kind == PD_MARK_SECRET || mark->kind == PD_MARK_HIDDEN;
}

typedef struct {
    GArray *marks;     /* PdMark, in order, not overlapping */
    GString *replaced; /* the original bytes of all marks, one after the other */
    guint8 sha256[32]; /* of the whole original */
    guint32 n_original_bytes;
} PdTextView;
void pd_text_view_free(PdTextView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdTextView, pd_text_view_free)

/* Half-open, in bytes of a text. */
typedef struct {
    guint32 start;
    guint32 end;
} PdTextRange;

/* A stretch of a text that the model is not to read, and the mark that it reads instead. */
typedef struct {
    guint32 start;
    guint32 end;
    const char *mark;
    PdMarkKind kind;
} PdReplacement;

/* Makes `text` the model's text: the replacements (n > 0, in order, not overlapping) take place. */
PdTextView *pd_text_view_new(GString *text, const PdReplacement *replacements, guint n);

/* The same, and what only broke lines (`breaks`: PdTextRange, in order, not touching) goes where no
 * replacement touches it.  NULL: nothing of both, the text is as it was.  `replacements`: NULL, or
 * PdReplacement as above. */
PdTextView *pd_text_view_new_joined(GString *text, const GArray *replacements,
                                    const GArray *breaks);

/* Where a byte of the model's text lies in the original.  Inside a mark that is the whole of what
 * it stands for: the start of a range goes to its first byte, the end behind its last.  With view
 * NULL both texts are the same. */
guint32 pd_text_view_start(const PdTextView *view, guint32 at);
guint32 pd_text_view_end(const PdTextView *view, guint32 at);

/* The original of the model's text; NULL: they do not belong together.  Free with g_string_free. */
GString *pd_text_view_original(const PdTextView *view, const char *text, gsize n_bytes);

/* As it lies in corpus.db (before compression), and back; damaged bytes give an error. */
GByteArray *pd_text_view_encode(const PdTextView *view);
PdTextView *pd_text_view_decode(const guint8 *bytes, gsize n_bytes, GError **error);

#endif
