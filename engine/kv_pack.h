/*
 * One pack file of the KV store: the bytes on disk, nothing of the index.  A reader maps the file
 * and checks what it hands out; a writer holds an exclusive lock on its pack and only appends.
 * Layout: kv_pack.c.
 */
#ifndef PD_KV_PACK_H
#define PD_KV_PACK_H

#include <gio/gio.h>
#include "engine/kv_store_private.h"

#define PD_KV_PACK_CAP ((guint64)1 << 30)
#define PD_KV_PACK_HEADER_BYTES 512
#define PD_KV_KIND_BYTES 16 /* of a record's kind, terminating NUL included */

/* Where a record lies and what it is, as the index remembers it. */
typedef struct {
    guint32 pack;
    guint64 offset; /* of the record's header */
    guint64 n_bytes;
    guint32 crc; /* CRC-32C of the payload */
    char kind[PD_KV_KIND_BYTES];
    guint8 owner[PD_KV_KEY_BYTES]; /* zeros: none */
} PdKvPlace;

/* "<dir>/000001.pack" */
char *pd_kv_pack_path(const char *dir, guint32 number);
/* The number in a pack's file name, or 0. */
guint32 pd_kv_pack_number(const char *file_name);

typedef struct PdKvPackReader PdKvPackReader;
PdKvPackReader *pd_kv_pack_reader_open(const char *dir, guint32 number, GError **error);
PdKvPackReader *pd_kv_pack_reader_ref(PdKvPackReader *reader);
void pd_kv_pack_reader_unref(PdKvPackReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdKvPackReader, pd_kv_pack_reader_unref)
/* The mapping reaches as far as this place (a pack may have grown since it was mapped). */
gboolean pd_kv_pack_reader_reaches(const PdKvPackReader *reader, const PdKvPlace *place);
/* The checked payload; it keeps the mapping alive.  CORRUPT if a byte of the record, of its padding
 * or of the pack's header is not what was written, or the place is not what was committed. */
GBytes *pd_kv_pack_reader_get(PdKvPackReader *reader, const PdKvPlace *place,
                              const guint8 key[PD_KV_KEY_BYTES], GError **error);

typedef struct PdKvPackWriter PdKvPackWriter;
/* Go on with a pack that ends exactly at `end`; NULL without an error if it cannot be used (another
 * writer has it, it has a tail that was never committed, its header is damaged). */
PdKvPackWriter *pd_kv_pack_writer_adopt(const char *dir, guint32 number);
/* The first free number from `number` on. */
PdKvPackWriter *pd_kv_pack_writer_create(const char *dir, guint32 number, const PdKvIo *io,
                                         GError **error);
/* Gives up the lock. */
void pd_kv_pack_writer_free(PdKvPackWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdKvPackWriter, pd_kv_pack_writer_free)

guint32 pd_kv_pack_writer_number(const PdKvPackWriter *writer);
/* Bytes of the file: the end of its last record. */
guint64 pd_kv_pack_writer_end(const PdKvPackWriter *writer);
/* Bytes that a record of n_bytes takes in the pack. */
guint64 pd_kv_pack_record_bytes(guint64 n_bytes);
/* Write one record of place->kind and place->owner, whose other fields are filled in; the pack's
 * end moves only if that succeeds, else the pack is cut back and `writer` must not be used again.
 */
gboolean pd_kv_pack_writer_append(PdKvPackWriter *writer, const guint8 key[PD_KV_KEY_BYTES],
                                  const void *data, gsize n_bytes, const PdKvIo *io,
                                  PdKvPlace *place, GError **error);
/* Everything since `start` is on the disk afterwards; on failure the pack is cut back to it, and
 * `writer` must not be used again. */
gboolean pd_kv_pack_writer_sync(PdKvPackWriter *writer, guint64 start, const PdKvIo *io,
                                GError **error);
/* Take back everything after `end`; FALSE if the file could not be cut (do not go on with it). */
gboolean pd_kv_pack_writer_cut(PdKvPackWriter *writer, guint64 end);

/* Delete a pack, or cut off what lies after `end`, unless a writer has it. */
gboolean pd_kv_pack_cut_unlocked(const char *dir, guint32 number, guint64 end);
void pd_kv_pack_remove_unlocked(const char *dir, guint32 number);

#endif
