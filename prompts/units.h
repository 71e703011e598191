/* Units of a text: the sentences and lines that can be quoted. */
#ifndef PD_UNITS_H
#define PD_UNITS_H

#include <glib.h>

typedef struct {
    guint32 start; /* bytes of the text */
    guint32 end;
} PdUnit;

/* One that is longer is cut at a space. */
#define PD_UNIT_BYTES_MAX 400

/* The units of bytes [start, end) of a text, in order, without the blanks around them: PdUnit, none
 * where there is nothing but blanks.  With `lines` a unit is a line, else a sentence, paragraph or
 * item of a list.  Free with g_array_unref. */
GArray *pd_units_split(const char *text, guint32 start, guint32 end, gboolean lines);

#endif
