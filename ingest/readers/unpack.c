/*
 * gzip through GLib (zlib), since libarchive 3.6 does not check the CRC-32 of a gzip member
 * (RFC 1952 2.3.1); xz, zstd and bzip2 through libarchive, whose libraries check theirs.
 *
 * Several members or frames in a row are one content, as their programs have it.  Damage is told
 * apart from the sink's refusal: what came out before it is good to have.
 */
#include "ingest/readers/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (64u << 10)

/* --- gzip ------------------------------------------------------------------------------------- */

typedef struct {
    int fd;
    guint8 in[PIECE_BYTES];
    gsize n; /* bytes in `in` */
    gboolean at_end;
    char **damage;
} Input;

/* Fill up behind what is left; FALSE: it cannot be read. */
static gboolean
fill(Input *input, gsize used)
{
    input->n -= used;
    memmove(input->in, input->in + used, input->n);
    while (!input->at_end && input->n < sizeof input->in) {
        ssize_t got = read(input->fd, input->in + input->n, sizeof input->in - input->n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            *input->damage = g_strdup_printf("it cannot be read on: %s", g_strerror(errno));
            return FALSE;
        }
        input->at_end = got == 0;
        input->n += (gsize)got;
    }
    return TRUE;
}

static gboolean
is_member(const Input *input)
{
    return input->n >= 3 && memcmp(input->in, "\x1f\x8b\x08", 3) == 0;
}

/* Zeros are padding of tapes; other bytes are told. */
static void
check_trailer(Input *input)
{
    for (gsize i = 0; i < input->n; i++) {
        if (input->in[i]) {
            *input->damage = g_strdup("bytes that are not gzip follow it");
            return;
        }
    }
}

/* One round of the decompressor.  FALSE: it is over; then *refused tells whether the sink said so.
 */
static gboolean
inflate_piece(GConverter *converter, Input *input, PdUnpackSink sink, gpointer user_data,
              gboolean *refused, GError **error)
{
    guint8 out[PIECE_BYTES];
    gsize used = 0;
    gsize n_out = 0;
    g_autoptr(GError) problem = NULL;
    GConverterResult result = g_converter_convert(
        converter, input->in, input->n, out, sizeof out,
        input->at_end ? G_CONVERTER_INPUT_AT_END : G_CONVERTER_NO_FLAGS, &used, &n_out, &problem);
    if (result == G_CONVERTER_ERROR) {
        gboolean cut = g_error_matches(problem, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT);
        *input->damage = g_strdup(cut ? "it is cut short" : problem->message);
        return FALSE;
    }
    *refused = n_out && !sink(out, n_out, user_data, error);
    if (*refused || !fill(input, used))
        return FALSE;
    if (result != G_CONVERTER_FINISHED)
        return TRUE;
    if (!is_member(input)) {
        check_trailer(input);
        return FALSE;
    }
    g_converter_reset(converter);
    return TRUE;
}

static gboolean
unpack_gzip(int fd, PdUnpackSink sink, gpointer user_data, char **damage, GError **error)
{
    g_autofree Input *input = g_new0(Input, 1);
    g_autoptr(GZlibDecompressor) decompressor =
        g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP);
    gboolean refused = FALSE;
    input->fd = fd;
    input->damage = damage;
    if (!fill(input, 0))
        return TRUE;
    while (inflate_piece(G_CONVERTER(decompressor), input, sink, user_data, &refused, error)) {
    }
    return !refused;
}

/* --- the others ------------------------------------------------------------------------------- */

static gboolean
unpack_by_archive(struct archive *archive, int fd, PdUnpackSink sink, gpointer user_data,
                  char **damage, GError **error)
{
    struct archive_entry *entry;
    g_autofree guint8 *out = g_malloc(PIECE_BYTES);
    int rc = archive_read_open_fd(archive, fd, PIECE_BYTES);
    if (rc == ARCHIVE_OK)
        rc = archive_read_next_header(archive, &entry);
    if (rc == ARCHIVE_EOF)
        return TRUE; /* nothing in it */
    while (rc == ARCHIVE_OK || rc == ARCHIVE_WARN) {
        la_ssize_t n = archive_read_data(archive, out, PIECE_BYTES);
        if (n == 0)
            return TRUE;
        if (n > 0 && !sink(out, (gsize)n, user_data, error))
            return FALSE;
        if (n < 0 && n != ARCHIVE_RETRY)
            rc = (int)n;
    }
    const char *text = archive_error_string(archive);
    *damage = g_strdup(text ? text : "it cannot be unpacked");
    return TRUE;
}

gboolean
pd_unpack(const char *kind, int fd, PdUnpackSink sink, gpointer user_data, char **damage,
          GError **error)
{
    *damage = NULL;
    if (strcmp(kind, "gzip") == 0)
        return unpack_gzip(fd, sink, user_data, damage, error);
    struct archive *archive = archive_read_new();
    archive_read_support_format_raw(archive);
    if (strcmp(kind, "xz") == 0)
        archive_read_support_filter_xz(archive);
    else if (strcmp(kind, "zstd") == 0)
        archive_read_support_filter_zstd(archive);
    else
        archive_read_support_filter_bzip2(archive);
    gboolean ok = unpack_by_archive(archive, fd, sink, user_data, damage, error);
    archive_read_free(archive);
    return ok;
}
