/* What targets share that read one document from memory: limits, an emitter whose frames go
 * nowhere, and what holds for the texts of every kind. */
#ifndef PD_FUZZ_READER_H
#define PD_FUZZ_READER_H

#include <fcntl.h>
#include <stdint.h>

#include "ingest/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    PdReadLimits limits;
    PdEmitter emitter;
} FuzzReader;

static inline void
fuzz_reader_init(FuzzReader *reader, guint64 text_bytes_max)
{
    static int null_fd = -1;
    if (null_fd < 0)
        null_fd = open("/dev/null", O_WRONLY);
    reader->limits = pd_read_limits_default;
    reader->limits.text_bytes_max = text_bytes_max;
    reader->emitter =
        (PdEmitter){.fd = null_fd, .limits = &reader->limits, .frame = g_byte_array_new()};
}

static inline void
fuzz_reader_clear(FuzzReader *reader)
{
    g_byte_array_unref(reader->emitter.frame);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FuzzReader, fuzz_reader_clear)

/* Texts are UTF-8 and within the limit. */
static inline void
fuzz_check_texts(const FuzzReader *reader, const PdDocument *document)
{
    gsize n_text = 0;
    for (guint i = 0; i < document->parts->len; i++) {
        const GString *text = ((PdPart *)g_ptr_array_index(document->parts, i))->text;
        g_assert_true(g_utf8_validate(text->str, (gssize)text->len, NULL));
        n_text += text->len;
    }
    g_assert_cmpuint(n_text, <=, reader->limits.text_bytes_max);
}

#endif
