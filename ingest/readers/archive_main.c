/* pandect-read-archive: the files in a zip, tar or 7z archive. */
#include "ingest/readers/members.h"

#include <locale.h>

/* The parent watches the time between frames. */
static gboolean
prepare(const PdWorkerRequest *request, PdSandboxNeeds *needs, GError **error)
{
    /* libarchive gives names in the locale's encoding. */
    setlocale(LC_CTYPE, "C.UTF-8");
    needs->one_document = FALSE;
    return TRUE;
}

int
main(void)
{
    static const char *const kinds[] = {"zip", "tar", "7z", NULL};
    const PdReaderProgram program = {kinds, prepare, pd_archive_emit};
    return pd_reader_main(&program);
}
