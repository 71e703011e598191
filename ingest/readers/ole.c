/* Embedded objects: see ole.h. */
#include "ingest/readers/ole.h"

#include <string.h>

#include "ingest/readers/charset.h"
#include "ingest/readers/little_endian.h"

const char *const pd_ole_files[] = {"Package", "EmbeddedOdf", "CONTENTS", NULL};

typedef struct {
    const guint8 *at;
    gsize n;
} Rest;

static gboolean
skip(Rest *rest, gsize n)
{
    if (n > rest->n)
        return FALSE;
    rest->at += n;
    rest->n -= n;
    return TRUE;
}

static gboolean
next_u32(Rest *rest, guint32 *value)
{
    const guint8 *at = rest->at;
    if (!skip(rest, 4))
        return FALSE;
    *value = pd_le_u32(at);
    return TRUE;
}

/* n bytes of whatever code page, up to a NUL; NULL: there are none. */
static char *
text_of(const guint8 *bytes, gsize n)
{
    PdCharsetInfo info;
    g_autoptr(GString) text = g_string_new(NULL);
    const guint8 *nul = memchr(bytes, 0, n);
    pd_charset_decode(bytes, nul ? (gsize)(nul - bytes) : n, NULL, text, &info);
    return text->len ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

/* A text that ends in a NUL. */
static gboolean
next_text(Rest *rest, char **text)
{
    const guint8 *start = rest->at, *nul = memchr(rest->at, 0, rest->n);
    if (!nul)
        return FALSE;
    if (text)
        *text = text_of(start, (gsize)(nul - start));
    return skip(rest, (gsize)(nul - start) + 1);
}

/* CompObjStream, 2.3.8: 28 bytes, then the name that people see. */
char *
pd_ole_kind(const guint8 *bytes, gsize n)
{
    enum { HEAD_BYTES = 28, NAME_BYTES_MAX = 200 };
    Rest rest = {bytes, n};
    guint32 length;
    if (!skip(&rest, HEAD_BYTES) || !next_u32(&rest, &length) || length > rest.n ||
        length > NAME_BYTES_MAX)
        return NULL;
    return text_of(rest.at, length);
}

const char *
pd_ole_kind_of_stream(const char *name)
{
    static const char *const kinds[][2] = {
        {"WordDocument", "Microsoft Word document"},
        {"Workbook", "Microsoft Excel workbook"},
        {"Book", "Microsoft Excel workbook"},
        {"PowerPoint Document", "Microsoft PowerPoint presentation"},
        {"VisioDocument", "Microsoft Visio drawing"},
        {"Equation Native", "equation"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(name, kinds[i][0]) == 0)
            return kinds[i][1];
    return NULL;
}

/* What the packager of Windows puts before a file: 2, two names, two numbers, where the file was.
 */
static gboolean
unpack(Rest *rest, guint32 *n_file, char **name)
{
    enum { IS_PACKAGE = 2, NUMBERS_BYTES = 4 };
    guint32 n_path;
    if (rest->n < 2 || rest->at[0] != IS_PACKAGE || rest->at[1])
        return FALSE;
    return skip(rest, 2) && next_text(rest, name) && next_text(rest, NULL) &&
           skip(rest, NUMBERS_BYTES) && next_u32(rest, &n_path) && skip(rest, n_path) &&
           next_u32(rest, n_file) && *n_file <= rest->n;
}

gboolean
pd_ole_native(const guint8 *bytes, gsize n, gsize *start, gsize *n_file, char **name)
{
    Rest all = {bytes, n};
    guint32 length;
    *name = NULL;
    if (!next_u32(&all, &length))
        return FALSE;
    Rest packed = all;
    if (!unpack(&packed, &length, name)) {
        g_clear_pointer(name, g_free);
        packed = all; /* of another program: the data alone */
        length = (guint32)MIN(length, packed.n);
    }
    *start = (gsize)(packed.at - bytes);
    *n_file = length;
    return length > 0;
}
