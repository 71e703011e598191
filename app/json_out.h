/* JSON on the terminal; its members are written with ingest/json_text.h. */
#ifndef PD_JSON_OUT_H
#define PD_JSON_OUT_H

#include "ingest/json_text.h"

/* The finished tree on stdout, one line. */
void pd_json_print(JsonBuilder *json);

#endif
