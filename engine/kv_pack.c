/*
 * Pack files of KV records.
 *
 * Layout, all numbers little-endian, everything aligned to 512 bytes:
 *
 *   pack    = pack header (512), records
 *   record  = record header (512), payload (n_bytes), zeros up to the next multiple of 512
 *
 * Both headers are the structs below; the last four bytes of each are the CRC-32C of the bytes
 * before them.  Every byte of a record is covered: the header and the payload by their checksums,
 * the padding because it must be zero.  A record's header repeats its key and offset, so that bytes
 * copied to the wrong place are found as well.
 *
 * Bytes are only ever appended, and by one writer at a time (flock on the pack); what follows the
 * last record that the index knows means nothing.
 */
#include "engine/kv_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/crc32c.h"
#include "engine/error.h"
#include "engine/private_mode.h"

#define ALIGN PD_KV_PACK_HEADER_BYTES
#define VERSION 1

static const char PACK_MAGIC[8] = "PDKVPACK";
static const char RECORD_MAGIC[8] = "PDKVREC\n";

typedef struct {
    char magic[8];
    guint32 version;
    guint32 number;
    guint8 zero[492];
    guint32 crc;
} PackHeader;
G_STATIC_ASSERT(sizeof(PackHeader) == ALIGN);
G_STATIC_ASSERT(G_STRUCT_OFFSET(PackHeader, crc) == ALIGN - 4);

typedef struct {
    char magic[8];
    guint32 version;
    guint32 payload_crc;
    guint64 n_bytes; /* of the payload */
    guint64 offset;  /* of this header in the pack */
    guint8 key[PD_KV_KEY_BYTES];
    char kind[PD_KV_KIND_BYTES];
    guint8 owner[PD_KV_KEY_BYTES]; /* zeros: none */
    guint8 zero[396];
    guint32 crc;
} RecordHeader;
G_STATIC_ASSERT(sizeof(RecordHeader) == ALIGN);
G_STATIC_ASSERT(G_STRUCT_OFFSET(RecordHeader, key) == 32);
G_STATIC_ASSERT(G_STRUCT_OFFSET(RecordHeader, kind) == 64);
G_STATIC_ASSERT(G_STRUCT_OFFSET(RecordHeader, owner) == 80);
G_STATIC_ASSERT(G_STRUCT_OFFSET(RecordHeader, crc) == ALIGN - 4);

struct PdKvPackReader {
    gint refs;
    char *path;
    guint32 number;
    int fd;
    const guint8 *map;
    gsize map_bytes; /* may exceed the file: pages past its end are touched only after fstat */
};

struct PdKvPackWriter {
    char *path;
    guint32 number;
    int fd;
    guint64 end;
};

static guint64
round_up(guint64 n)
{
    return (n + ALIGN - 1) & ~(guint64)(ALIGN - 1);
}

guint64
pd_kv_pack_record_bytes(guint64 n_bytes)
{
    return ALIGN + round_up(n_bytes);
}

char *
pd_kv_pack_path(const char *dir, guint32 number)
{
    g_autofree char *name = g_strdup_printf("%06u.pack", number);

    return g_build_filename(dir, name, NULL);
}

guint32
pd_kv_pack_number(const char *file_name)
{
    guint64 number = 0;
    gsize n_digits = strspn(file_name, "0123456789");

    if (n_digits < 6 || n_digits > 9 || strcmp(file_name + n_digits, ".pack") != 0)
        return 0;
    for (gsize i = 0; i < n_digits; i++)
        number = number * 10 + (file_name[i] - '0');
    return (guint32)number;
}

static PackHeader
make_pack_header(guint32 number)
{
    PackHeader header = {.version = GUINT32_TO_LE(VERSION), .number = GUINT32_TO_LE(number)};

    memcpy(header.magic, PACK_MAGIC, sizeof header.magic);
    header.crc = GUINT32_TO_LE(pd_crc32c(0, &header, ALIGN - 4));
    return header;
}

static RecordHeader
make_record_header(const guint8 *key, const PdKvPlace *place)
{
    RecordHeader header = {
        .version = GUINT32_TO_LE(VERSION),
        .payload_crc = GUINT32_TO_LE(place->crc),
        .n_bytes = GUINT64_TO_LE(place->n_bytes),
        .offset = GUINT64_TO_LE(place->offset),
    };

    memcpy(header.magic, RECORD_MAGIC, sizeof header.magic);
    memcpy(header.key, key, sizeof header.key);
    g_strlcpy(header.kind, place->kind, sizeof header.kind);
    memcpy(header.owner, place->owner, sizeof header.owner);
    header.crc = GUINT32_TO_LE(pd_crc32c(0, &header, ALIGN - 4));
    return header;
}

/* ---- reading ---- */

PdKvPackReader *
pd_kv_pack_reader_open(const char *dir, guint32 number, GError **error)
{
    g_autoptr(PdKvPackReader) reader = g_new0(PdKvPackReader, 1);
    struct stat st;
    void *map;

    reader->refs = 1;
    reader->number = number;
    reader->path = pd_kv_pack_path(dir, number);
    reader->fd = open(reader->path, O_RDONLY | O_CLOEXEC);
    if (reader->fd < 0 && errno == ENOENT) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT, "%s is missing", reader->path);
        return NULL;
    }
    if (reader->fd < 0 || fstat(reader->fd, &st) != 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: %s", reader->path,
                    g_strerror(errno));
        return NULL;
    }
    /* Room to grow, so that a pack that is being written need not be mapped again and again. */
    reader->map_bytes = MAX((guint64)st.st_size, PD_KV_PACK_CAP);
    map = mmap(NULL, reader->map_bytes, PROT_READ, MAP_SHARED, reader->fd, 0);
    if (map == MAP_FAILED) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: cannot map: %s", reader->path,
                    g_strerror(errno));
        return NULL;
    }
    reader->map = map;
    return g_steal_pointer(&reader);
}

PdKvPackReader *
pd_kv_pack_reader_ref(PdKvPackReader *reader)
{
    g_atomic_int_inc(&reader->refs);
    return reader;
}

void
pd_kv_pack_reader_unref(PdKvPackReader *reader)
{
    if (!reader || !g_atomic_int_dec_and_test(&reader->refs))
        return;
    if (reader->map)
        munmap((void *)reader->map, reader->map_bytes);
    if (reader->fd >= 0)
        close(reader->fd);
    g_free(reader->path);
    g_free(reader);
}

/* The byte after the record, or 0 if the place makes no sense (a damaged index). */
static guint64
place_end(const PdKvPlace *place)
{
    const guint64 limit = (guint64)1 << 62;

    if (place->offset < ALIGN || place->offset % ALIGN != 0 || place->offset > limit ||
        place->n_bytes > limit)
        return 0;
    return place->offset + pd_kv_pack_record_bytes(place->n_bytes);
}

gboolean
pd_kv_pack_reader_reaches(const PdKvPackReader *reader, const PdKvPlace *place)
{
    return place_end(place) <= reader->map_bytes;
}

static gboolean
all_zero(const guint8 *p, gsize n)
{
    guint8 any = 0;

    for (gsize i = 0; i < n; i++)
        any |= p[i];
    return any == 0;
}

/* What is wrong with the record, or NULL. */
static const char *
find_damage(const PdKvPackReader *reader, const PdKvPlace *place, const guint8 *key)
{
    const PackHeader pack = make_pack_header(reader->number);
    const guint8 *record = reader->map + place->offset;
    const guint8 *payload = record + ALIGN;
    const RecordHeader expected = make_record_header(key, place);

    if (memcmp(reader->map, &pack, sizeof pack) != 0)
        return "the pack's header is damaged";
    if (memcmp(record, &expected, sizeof expected) != 0)
        return "the record's header is damaged";
    if (pd_crc32c(0, payload, place->n_bytes) != place->crc)
        return "its checksum does not match";
    if (!all_zero(payload + place->n_bytes, round_up(place->n_bytes) - place->n_bytes))
        return "its padding is damaged";
    return NULL;
}

GBytes *
pd_kv_pack_reader_get(PdKvPackReader *reader, const PdKvPlace *place,
                      const guint8 key[PD_KV_KEY_BYTES], GError **error)
{
    const guint64 end = place_end(place);
    const char *damage = NULL;
    struct stat st;

    if (fstat(reader->fd, &st) != 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: %s", reader->path,
                    g_strerror(errno));
        return NULL;
    }
    if (end == 0 || end > reader->map_bytes)
        damage = "the index points outside the pack";
    else if (end > (guint64)st.st_size)
        damage = "the pack is cut short";
    else
        damage = find_damage(reader, place, key);
    if (damage) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT,
                    "%s: record at byte %" G_GUINT64_FORMAT ": %s", reader->path, place->offset,
                    damage);
        return NULL;
    }
    return g_bytes_new_with_free_func(reader->map + place->offset + ALIGN, place->n_bytes,
                                      (GDestroyNotify)pd_kv_pack_reader_unref,
                                      pd_kv_pack_reader_ref(reader));
}

/* ---- writing ---- */

void
pd_kv_pack_writer_free(PdKvPackWriter *writer)
{
    if (!writer)
        return;
    if (writer->fd >= 0)
        close(writer->fd);
    g_free(writer->path);
    g_free(writer);
}

guint32
pd_kv_pack_writer_number(const PdKvPackWriter *writer)
{
    return writer->number;
}

guint64
pd_kv_pack_writer_end(const PdKvPackWriter *writer)
{
    return writer->end;
}

static PdKvPackWriter *
writer_open(const char *dir, guint32 number, int extra_flags)
{
    g_autoptr(PdKvPackWriter) writer = g_new0(PdKvPackWriter, 1);

    writer->number = number;
    writer->path = pd_kv_pack_path(dir, number);
    writer->fd = open(writer->path, O_RDWR | O_CLOEXEC | extra_flags, PD_PRIVATE_FILE_MODE);
    if (writer->fd < 0)
        return NULL;
    return g_steal_pointer(&writer);
}

PdKvPackWriter *
pd_kv_pack_writer_adopt(const char *dir, guint32 number)
{
    g_autoptr(PdKvPackWriter) writer = writer_open(dir, number, 0);
    const PackHeader expected = make_pack_header(number);
    PackHeader header;
    struct stat st;

    if (!writer || flock(writer->fd, LOCK_EX | LOCK_NB) != 0 || fstat(writer->fd, &st) != 0 ||
        st.st_nlink == 0)
        return NULL;
    if (pread(writer->fd, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        memcmp(&header, &expected, sizeof header) != 0)
        return NULL;
    writer->end = st.st_size;
    return g_steal_pointer(&writer);
}

static gboolean
write_all(const PdKvIo *io, int fd, const void *data, gsize n, guint64 offset)
{
    const guint8 *p = data;

    while (n > 0) {
        ssize_t written = io->pwrite(fd, p, n, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written == 0)
            errno = ENOSPC;
        if (written <= 0)
            return FALSE;
        p += written;
        n -= written;
        offset += written;
    }
    return TRUE;
}

static const char *
advice(int why)
{
    return why == ENOSPC || why == EDQUOT
               ? "; free some space and run the same command again, what was finished is kept"
               : "";
}

/* A new file's name is only durable once its folder is. */
static gboolean
sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static gboolean
write_pack_header(PdKvPackWriter *writer, const char *dir, const PdKvIo *io, GError **error)
{
    const PackHeader header = make_pack_header(writer->number);

    if (!write_all(io, writer->fd, &header, sizeof header, 0) || !sync_dir(dir)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: cannot begin a pack: %s%s",
                    writer->path, g_strerror(errno), advice(errno));
        g_unlink(writer->path);
        return FALSE;
    }
    writer->end = sizeof header;
    return TRUE;
}

PdKvPackWriter *
pd_kv_pack_writer_create(const char *dir, guint32 number, const PdKvIo *io, GError **error)
{
    for (;; number++) {
        g_autoptr(PdKvPackWriter) writer = writer_open(dir, number, O_CREAT | O_EXCL);
        struct stat st;

        if (!writer && errno == EEXIST)
            continue;
        if (!writer) {
            g_autofree char *path = pd_kv_pack_path(dir, number);
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: cannot create: %s%s", path,
                        g_strerror(errno), advice(errno));
            return NULL;
        }
        /* Between its creation and its lock another writer may have taken it for an orphan. */
        if (flock(writer->fd, LOCK_EX | LOCK_NB) != 0 || fstat(writer->fd, &st) != 0 ||
            st.st_nlink == 0)
            continue;
        if (!write_pack_header(writer, dir, io, error))
            return NULL;
        return g_steal_pointer(&writer);
    }
}

gboolean
pd_kv_pack_writer_cut(PdKvPackWriter *writer, guint64 end)
{
    if (ftruncate(writer->fd, (off_t)end) != 0)
        return FALSE;
    writer->end = end;
    return TRUE;
}

/* The reason is in errno. */
static gboolean
fail_write(PdKvPackWriter *writer, guint64 start, guint64 n_bytes, GError **error)
{
    const int why = errno;

    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO,
                "%s: cannot store a record of %" G_GUINT64_FORMAT " bytes: %s%s", writer->path,
                n_bytes, g_strerror(why), advice(why));
    pd_kv_pack_writer_cut(writer, start);
    return FALSE;
}

gboolean
pd_kv_pack_writer_append(PdKvPackWriter *writer, const guint8 key[PD_KV_KEY_BYTES],
                         const void *data, gsize n_bytes, const PdKvIo *io, PdKvPlace *place,
                         GError **error)
{
    static const guint8 zeros[ALIGN];
    const guint64 start = writer->end, payload = start + ALIGN;
    const guint64 n_padding = round_up(n_bytes) - n_bytes;
    RecordHeader header;

    place->pack = writer->number;
    place->offset = start;
    place->n_bytes = n_bytes;
    place->crc = pd_crc32c(0, data, n_bytes);
    header = make_record_header(key, place);
    if (!write_all(io, writer->fd, &header, sizeof header, start) ||
        !write_all(io, writer->fd, data, n_bytes, payload) ||
        !write_all(io, writer->fd, zeros, n_padding, payload + n_bytes))
        return fail_write(writer, start, pd_kv_pack_record_bytes(n_bytes), error);
    writer->end = start + pd_kv_pack_record_bytes(n_bytes);
    return TRUE;
}

gboolean
pd_kv_pack_writer_sync(PdKvPackWriter *writer, guint64 start, const PdKvIo *io, GError **error)
{
    return io->fdatasync(writer->fd) == 0 || fail_write(writer, start, writer->end - start, error);
}

gboolean
pd_kv_pack_cut_unlocked(const char *dir, guint32 number, guint64 end)
{
    g_autoptr(PdKvPackWriter) writer = writer_open(dir, number, 0);

    return writer && flock(writer->fd, LOCK_EX | LOCK_NB) == 0 &&
           pd_kv_pack_writer_cut(writer, end);
}

void
pd_kv_pack_remove_unlocked(const char *dir, guint32 number)
{
    g_autoptr(PdKvPackWriter) writer = writer_open(dir, number, 0);

    if (writer && flock(writer->fd, LOCK_EX | LOCK_NB) == 0)
        g_unlink(writer->path);
}
