/*
 * Fields of one JSON object of a configuration.  Reading goes on after a bad field, so that a
 * reader needs no ladder of checks; the first bad one wins and is named in `problem`.
 */
#ifndef PD_JSON_FIELDS_H
#define PD_JSON_FIELDS_H

#include <json-glib/json-glib.h>

typedef struct {
    JsonObject *object;
    GString *problem; /* empty: none so far */
} PdFields;

/* "FIELD WHAT", unless something is wrong already. */
void pd_fields_complain(PdFields *f, const char *field, const char *what);
/* NULL if absent or null. */
JsonNode *pd_fields_get(PdFields *f, const char *field);
gboolean pd_fields_holds(JsonNode *node, GType type);
/* A whole number of 31 bits; a negative fallback: the field must be there. */
int pd_fields_int(PdFields *f, const char *field, int fallback);
double pd_fields_number(PdFields *f, const char *field, double fallback);
gboolean pd_fields_bool(PdFields *f, const char *field, gboolean fallback);
const char *pd_fields_text(PdFields *f, const char *field);
JsonObject *pd_fields_object(PdFields *f, const char *field);

#endif
