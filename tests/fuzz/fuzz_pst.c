/* Outlook's stores of any bytes: no crash, no endless walk, limits that hold, messages that are
 * MIME. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz_compound.h"
#include "ingest/readers/pst_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    GArray *messages; /* PdPstNode */
    guint32 last;
} Nodes;

/* Numbers grow; of a store that is made up a few messages are enough. */
static gboolean
on_node(const PdPstNode *node, gpointer user_data)
{
    enum { MESSAGES_MAX = 8 };
    Nodes *nodes = user_data;
    g_assert_true(node->id > nodes->last || nodes->last == 0);
    nodes->last = node->id;
    if ((node->id & PD_PST_TYPE_MASK) == PD_PST_MESSAGE)
        g_array_append_val(nodes->messages, *node);
    return nodes->messages->len < MESSAGES_MAX;
}

static gboolean
on_lost(guint64 offset, gpointer user_data)
{
    return TRUE;
}

static void
check_message(PdPst *pst, GHashTable *names, const PdPstNode *node)
{
    const PdMapiLimits limits = {
        .depth_max = 2, .attachments_max = 10, .bytes_max = 1u << 18, .rtf_bytes_max = 1u << 18};
    g_autoptr(PdMapiMessage) message = pd_mapi_message_new();
    pd_pst_read_message(pst, names, node, &limits, message);
    g_assert_cmpuint(message->attachments->len, <=, limits.attachments_max);
    g_autoptr(GByteArray) mime = pd_mapi_to_mime(message);
    g_assert_nonnull(g_strstr_len((const char *)mime->data, mime->len,
                                  "MIME-Version: 1.0\nContent-Type: multi"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    fuzz_quiet_compound();
    if (fd < 0)
        fd = memfd_create("store", 0);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    const PdPstLimits limits = {1u << 20, 1000, 1000, 400};
    g_autoptr(PdPst) pst = pd_pst_open(fd, &limits, NULL);
    if (!pst)
        return 0;
    g_autoptr(GArray) messages = g_array_new(FALSE, FALSE, sizeof(PdPstNode));
    g_autoptr(GHashTable) names = pd_pst_names(pst);
    Nodes nodes = {messages, 0};
    pd_pst_each_node(pst, on_node, on_lost, &nodes);
    for (guint i = 0; i < messages->len; i++)
        check_message(pst, names, &g_array_index(messages, PdPstNode, i));
    return 0;
}
