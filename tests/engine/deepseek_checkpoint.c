/* For the tests through the command line: makes the checkpoint of deepseek_small.h that reads text,
 * of this many positions, in a new temporary folder and prints its path. */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/engine/deepseek_small.h"

int
main(int argc, char **argv)
{
    g_autofree char *folder = NULL;
    if (argc != 2)
        return 2;
    folder = small_text_checkpoint(atoi(argv[1]));
    puts(folder);
    return 0;
}
