/* Content lines, of which calendars are made (iCalendar, RFC 5545, section 3.1): a name, parameters
 * and a value. */
#ifndef PD_CONTENT_LINES_H
#define PD_CONTENT_LINES_H

#include "ingest/readers/readers.h"

typedef struct {
    char *name;        /* upper case */
    GPtrArray *params; /* char *: a name in upper case and its value, in turn */
    char *value;       /* as it stands there */
} PdContentLine;
void pd_content_line_free(PdContentLine *line);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdContentLine, pd_content_line_free)

/* The lines in one piece, LF at the end of each.  Before characters are decoded, since a line may
 * be folded inside of one. */
GByteArray *pd_content_unfold(const guint8 *bytes, gsize n);

/* The end of the line at `at`: its LF, or `end`. */
const char *pd_content_line_end(const char *at, const char *end);
/* The name of an unfolded line, up to the ":" or ";" behind it; 0: it is no content line. */
gsize pd_content_name_length(const char *at, const char *line_end);
/* NULL: it is no content line. */
PdContentLine *pd_content_line_parse(const char *at, const char *line_end);
/* The first value of a parameter; NULL: it has none. */
const char *pd_content_param(const PdContentLine *line, const char *name);
gboolean pd_content_param_is(const PdContentLine *line, const char *name, const char *value);

/* Appends a text without its escapes (RFC 5545, section 3.3.11); between its lines stands
 * `between`.
 */
void pd_content_text(GString *out, const char *value, const char *between);

/* Are the calendars in it whole, with nothing between them, and all lines of the grammar?
 * `unfolded`: of a file; *line: the first one, from 1, that is not.  Components in components,
 * deeper than `depth_max`, are not. */
gboolean pd_content_is_sound(const GByteArray *unfolded, guint depth_max, guint *line);

/* Decodes a file to `out`, unfolded.  *sound FALSE: it is not, and is kept as it is; a note says
 * where. */
gboolean pd_content_decode(const guint8 *bytes, gsize n, const char *label, PdEmitter *emitter,
                           const char *key, GString *out, gboolean *sound, GError **error);

#endif
