/* See json_out.h. */
#include "app/json_out.h"

#include <stdio.h>

void
pd_json_print(JsonBuilder *json)
{
    g_autofree char *text = pd_json_built(json);

    puts(text);
}
