/* winmail.dat and .msg of any bytes: no crash, limits that hold, and a message that is MIME. */
#include <stdint.h>
#include <string.h>

#include "fuzz_compound.h"
#include "ingest/readers/mapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const PdMapiMessage *message, const PdMapiLimits *limits, guint depth)
{
    g_assert_cmpuint(depth, <=, limits->depth_max);
    g_assert_cmpuint(message->attachments->len, <=, limits->attachments_max);
    for (guint i = 0; i < message->attachments->len; i++) {
        const PdMapiAttachment *attachment = g_ptr_array_index(message->attachments, i);
        g_assert_true(!attachment->name || g_utf8_validate(attachment->name, -1, NULL));
        if (attachment->message)
            check(attachment->message, limits, depth + 1);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_quiet_compound();
    const PdMapiLimits limits = {
        .depth_max = 3, .attachments_max = 20, .bytes_max = 1u << 20, .rtf_bytes_max = 1u << 20};
    g_autoptr(PdMapiMessage) message = pd_mapi_message_new();
    gboolean compound = size > 8 && memcmp(data, "\xd0\xcf\x11\xe0", 4) == 0;
    if (!(compound ? pd_msg_read(data, size, &limits, message)
                   : pd_tnef_read(data, size, &limits, message)))
        return 0;
    check(message, &limits, 0);
    g_autoptr(GByteArray) mime = pd_mapi_to_mime(message);
    g_assert_nonnull(g_strstr_len((const char *)mime->data, mime->len,
                                  "MIME-Version: 1.0\nContent-Type: multi"));
    return 0;
}
