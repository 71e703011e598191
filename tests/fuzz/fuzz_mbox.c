/* The mbox splitter: messages must tile the file, whatever its bytes and however they arrive. */
#include <stdint.h>
#include <string.h>

#include "ingest/readers/mbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const uint8_t *data;
    size_t size;
    size_t at;
    size_t slice;
} Source;

static gssize
read_slice(guint8 *buffer, gsize n, gpointer user_data)
{
    Source *source = user_data;
    gsize got = MIN(MIN(n, source->slice), source->size - source->at);
    memcpy(buffer, source->data + source->at, got);
    source->at += got;
    return (gssize)got;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    Source source = {data + 2, size - 2, 0, 1 + (size_t)data[0] * 64};
    /* The smallest maximum that the splitter accepts: oversized messages are common then. */
    gsize max = data[1] & 1 ? 1 : 1 << 20;
    g_autoptr(PdMboxSplitter) splitter = pd_mbox_splitter_new(read_slice, &source, 0, max);
    PdMboxMessage message;
    gboolean failed;
    guint64 at = 0;
    while (pd_mbox_splitter_next(splitter, &message, &failed)) {
        g_assert_cmpuint(message.offset, ==, at);
        g_assert_cmpuint(message.n_raw, >, 0);
        g_assert_cmpuint(message.n, <=, message.n_raw);
        g_assert_true(memcmp(message.bytes, data + 2 + at, message.n) == 0);
        g_autoptr(GByteArray) plain = pd_mbox_unquote(message.bytes, message.n);
        g_assert_cmpuint(plain->len, <=, message.n);
        at += message.n_raw;
    }
    g_assert_cmpuint(at, ==, size - 2);
    return 0;
}
