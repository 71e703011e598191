/*
 * What a mail's text is made of: its own lines, what it quotes, its signature and what stands at
 * its end.
 *
 * There is no standard for any of this but the "> " of a plain text's quotes (RFC 3676,
 * section 4.5) and the "-- " above a signature (section 4.3).  Everything else is convention:
 * initials before the ">", an attribution ("On ... wrote:") or the mail's headers above a quote
 * that has no prefix. The rules here look at forms rather than words, so that they hold in any
 * language, and they are generous: a line that is taken for a quote is only left out if it stands
 * word for word in another mail (ingest/fold.h).
 */
#ifndef PD_QUOTED_H
#define PD_QUOTED_H

#include <glib.h>

typedef enum {
    PD_LINE_OWN,
    PD_LINE_PREFIXED, /* "> " before it */
    PD_LINE_HISTORY,  /* behind an attribution or headers, to the end of the text */
} PdLineKind;

typedef struct {
    guint32 start; /* bytes of the text, its LF not among them */
    guint32 end;
    guint32 first_word;
    PdLineKind kind;
} PdMailLine;

/* What stands between white space, without the prefixes of quotes. */
typedef struct {
    guint32 start; /* bytes of the text */
    guint32 end;
    guint64 hash;
} PdMailWord;

/* Lines without an empty one between them, at a place where signatures, disclaimers and the footers
 * of lists stand. */
typedef struct {
    guint32 first_line;
    guint32 last_line;
    gboolean is_signature; /* below "-- " */
    gboolean is_own;       /* not behind a quote that has no prefix */
    guint64 hash;          /* of its words */
} PdMailParagraph;

typedef struct {
    GArray *lines;      /* PdMailLine */
    GArray *words;      /* PdMailWord */
    GArray *paragraphs; /* PdMailParagraph, in order, not overlapping */
    guint signature;    /* the line "-- "; lines->len: there is none */
} PdMailText;

PdMailText *pd_mail_text_new(const char *text, gsize n_bytes);
void pd_mail_text_free(PdMailText *mail);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdMailText, pd_mail_text_free)

static inline const PdMailLine *
pd_mail_line(const PdMailText *mail, guint i)
{
    return &g_array_index(mail->lines, PdMailLine, i);
}

/* The number of the first word behind line i. */
guint pd_mail_line_words_end(const PdMailText *mail, guint i);
/* The line that a word stands on. */
guint pd_mail_line_of_word(const PdMailText *mail, guint word);

/* Does line i begin a signature or an earlier mail?  Then it answers nothing above it. */
gboolean pd_mail_is_break(const PdMailText *mail, const char *text, guint i);

/*
 * The first of the lines directly above line `first` that only say what follows: an attribution of
 * what `author` wrote ("Kay Smith <kay@example.org>"; ingest/attribution.h) or the headers of a
 * forwarded mail of theirs.  `first`: there are none.
 */
guint pd_mail_attribution(const PdMailText *mail, const char *text, guint first,
                          const char *author);

#endif
