/* See owner.h. */
#include "prompts/owner.h"

#include <string.h>
#include "prompts/layout.h"

static void
finish(GChecksum *sum, guint8 owner[PD_KV_KEY_BYTES])
{
    gsize n = PD_KV_KEY_BYTES;

    g_checksum_get_digest(sum, owner, &n);
}

void
pd_owner_segment(const char *header, const guint32 *ids, guint n_ids, guint8 owner[PD_KV_KEY_BYTES])
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);

    g_checksum_update(sum, (const guchar *)PD_LAYOUT_VERSION, sizeof PD_LAYOUT_VERSION);
    g_checksum_update(sum, (const guchar *)header, (gssize)strlen(header) + 1);
    for (guint i = 0; i < n_ids; i++) {
        guint32 id = GUINT32_TO_LE(ids[i]);
        g_checksum_update(sum, (const guchar *)&id, sizeof id);
    }
    finish(sum, owner);
}

GChecksum *
pd_owner_chain(void)
{
    GChecksum *chain = g_checksum_new(G_CHECKSUM_SHA256);

    g_checksum_update(chain, (const guchar *)PD_LAYOUT_VERSION, sizeof PD_LAYOUT_VERSION);
    return chain;
}

void
pd_owner_chain_add(GChecksum *chain, const guint8 segment[PD_KV_KEY_BYTES])
{
    g_checksum_update(chain, segment, PD_KV_KEY_BYTES);
}

void
pd_owner_chain_get(const GChecksum *chain, gboolean at_end, guint8 owner[PD_KV_KEY_BYTES])
{
    g_autoptr(GChecksum) sum = g_checksum_copy(chain);

    if (at_end)
        g_checksum_update(sum, (const guchar *)"end", 3);
    finish(sum, owner);
}
