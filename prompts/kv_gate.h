/*
 * The KL gate: what compressed rows cost a model.
 *
 * A text is read behind the prompts' prefix as ever; then once more with the rows of its first part
 * put in from a record of the widths in question (the prefix, which holds the attention sink, is
 * exact in both, as in use).  Compared are the next-token distributions over the rest: mean
 * KL(exact || compressed) in nats, and how often the most likely token is the same.  Widths whose
 * mean KL is above PD_KV_GATE_NATS are refused: they do not come into profile.c.
 */
#ifndef PD_KV_GATE_H
#define PD_KV_GATE_H

#include <gio/gio.h>
#include "engine/model.h"

#define PD_KV_GATE_NATS 0.01
#define PD_KV_GATE_TOKENS 4096
#define PD_KV_GATE_SCORED 512
#define PD_KV_GATE_TOKENS_MIN 128

typedef struct {
    int key_bits;
    int value_bits;
    double share; /* bytes of a record of these widths, of dense 16-bit KV */
    double mean_kl;
    double top1;
    guint n_scored;
    gboolean passed;
} PdKvGateRow;

typedef struct PdKvGate PdKvGate;

/* Reads the text exactly: the first PD_KV_GATE_TOKENS of n_tokens, the last eighth of them scored.
 * At least PD_KV_GATE_TOKENS_MIN. */
PdKvGate *pd_kv_gate_new(PdModel *model, const gint32 *tokens, gsize n_tokens,
                         GCancellable *cancellable, GError **error);
void pd_kv_gate_free(PdKvGate *gate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdKvGate, pd_kv_gate_free)

/* Widths as kv_block.h has them; more than max_nats (PD_KV_GATE_NATS) does not pass. */
gboolean pd_kv_gate_measure(PdKvGate *gate, int key_bits, int value_bits, double max_nats,
                            PdKvGateRow *row, GCancellable *cancellable, GError **error);

#endif
