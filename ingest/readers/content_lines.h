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

/* Decodes a file to `out`, its lines in one piece with LF at the end of each.  *sound FALSE: the
 * calendars in it are not whole, something else stands between them, or a line is none of the
 * grammar; then it is kept as it is, and a note says where. */
gboolean pd_content_decode(const guint8 *bytes, gsize n, const char *label, PdEmitter *emitter,
                           const char *key, GString *out, gboolean *sound, GError **error);

#endif
