/* What the tests of the KV store replace: the two system calls through which bytes reach a pack. */
#ifndef PD_KV_STORE_PRIVATE_H
#define PD_KV_STORE_PRIVATE_H

#include <sys/types.h>
#include "engine/kv_store.h"

typedef struct {
    ssize_t (*pwrite)(int fd, const void *data, size_t n, off_t offset);
    int (*fdatasync)(int fd);
} PdKvIo;

/* `io` must outlive the store. */
void pd_kv_store_set_io(PdKvStore *store, const PdKvIo *io);
/* Packs end at this size (a larger record has one to itself); 1 GiB by default. */
void pd_kv_store_set_pack_cap(PdKvStore *store, guint64 n_bytes);

#endif
