/* How deep a JSON text is nested, for a parser that calls itself for each level. */
#ifndef PD_JSON_DEPTH_H
#define PD_JSON_DEPTH_H

#include <glib.h>

#define PD_JSON_DEPTH_MAX 200

/* Brackets that are open at most, strings left out. */
guint pd_json_depth(const guint8 *bytes, gsize n);

#endif
