/*
 * The state of a sequence as bytes: whole units of entries, which are written once, and snapshots
 * of what later tokens overwrite (run.h).  One walk over a layer's part writes it and reads it
 * back.
 *
 * Per compressor a snapshot holds the tokens of the incomplete window, and of the complete window
 * before it, where windows overlap, the half of the channels that the next entry pools (section
 * 4.4).  Floats and row bytes stand as in memory, the floats little-endian.
 *
 * Why units alone do not bring a sequence to any of their ends: every layer also sees the last
 * `window` raw rows, which are no part of a unit.  A row of layer l is made from the streams below
 * it, and these from the rows in the window of layer l - 1, so that l (window - 1) tokens before it
 * have a say that no entry holds.  Begun with empty windows, all rows of the last window are right
 * only after n_layers (window - 1) tokens: 5,461 of Flash, 7,747 of Pro (section 11.1, "zero SWA
 * caching").  Going on from an anchor is nearer in the mean:
 *
 *   an anchor every     run again, mean   at most    bytes a token, Flash   Pro
 *   64 units, 8,192     4,096             8,191      444 (13 % more)        631 (13 %)
 *   32 units, 4,096     2,048             4,095      888 (25 %)             1,261 (25 %)
 *   16 units, 2,048     1,024             2,047      1,777 (51 %)           2,523 (50 %)
 *    8 units, 1,024       512             1,023      3,554 (101 %)          5,045 (100 %)
 *    1 unit,    128        64               127      28,429 (810 %)         40,363 (803 %)
 *
 * (a snapshot is 3,638,912 bytes of Flash and 5,166,464 of Pro, units 3,509 and 5,024 bytes a
 * token). After an edit everything behind it is read again in any case; what an anchor farther away
 * adds is at most the 8,191 tokens before it.
 */
#include <string.h>
#include "engine/deepseek/run_internal.h"

#define UNIT_TOKENS_LEAST 128

G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN);

/* --- sizes --- */

static guint64
common_multiple(guint64 a, guint64 b)
{
    guint64 x = a, y = b;
    while (y != 0) {
        guint64 rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

int
pd_ds_unit_tokens(const PdDsShape *s)
{
    guint64 n = 1;
    for (int l = 0; l < s->n_layers && n <= G_MAXINT32; l++) {
        if (s->layers[l].ratio > 0)
            n = common_multiple(n, (guint64)s->layers[l].ratio);
    }
    n *= (UNIT_TOKENS_LEAST + n - 1) / n;
    return (int)MIN(n, G_MAXINT32); /* then no sequence completes one */
}

/* Entries of the unit that n_tokens have not completed. */
static int
n_loose(const PdDsRun *r, const PdDsLayerShape *layer, int n_tokens)
{
    return n_tokens % r->unit_tokens / layer->ratio;
}

/* The half of the channels of a complete window that the next entry pools. */
static gsize
former_bytes(const PdDsLayerShape *layer, int width)
{
    return 2 * (gsize)layer->ratio * (gsize)width * sizeof(float);
}

static gsize
pool_bytes(const PdDsLayerShape *layer, int width, int n_tokens)
{
    gsize coff = (gsize)pd_ds_coff(layer->kind), ratio = (gsize)layer->ratio;
    gsize n = 2 * ((gsize)n_tokens % ratio) * coff * (gsize)width * sizeof(float);
    if (coff == 2 && n_tokens >= layer->ratio)
        n += former_bytes(layer, width);
    return n;
}

static gsize
layer_bytes(const PdDsRun *r, int l, int n_tokens)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayerShape *layer = &s->layers[l];
    gsize n = (gsize)MIN(n_tokens, s->window) * pd_row_format_bytes(&r->row);
    if (layer->ratio > 0)
        n += pool_bytes(layer, s->head_dim, n_tokens) +
             (gsize)n_loose(r, layer, n_tokens) * pd_row_format_bytes(&r->row);
    if (layer->kind->indexed)
        n += pool_bytes(layer, s->index_dim, n_tokens) +
             (gsize)n_loose(r, layer, n_tokens) * pd_row_format_bytes(&r->key);
    return n;
}

gsize
pd_ds_run_snapshot_bytes(const PdDsRun *r, int n_tokens, gboolean drafted)
{
    gsize n = 0;
    for (int l = 0; l < r->model->shape.n_layers + (drafted ? 1 : 0); l++)
        n += layer_bytes(r, l, n_tokens);
    return n;
}

guint64
pd_ds_anchor_bytes(const PdDsRun *r)
{
    return pd_ds_run_snapshot_bytes(r, G_MAXINT32 / r->unit_tokens * r->unit_tokens,
                                    r->model->has_draft);
}

guint64
pd_ds_mark_bytes(const PdDsRun *r)
{
    const PdDsShape *s = &r->model->shape;
    guint64 n = pd_ds_anchor_bytes(r);
    for (int l = 0; l < s->n_layers; l++) {
        const PdDsLayerShape *layer = &s->layers[l];
        guint64 widths = (guint64)s->head_dim, row_bytes = pd_row_format_bytes(&r->row);
        if (layer->ratio == 0)
            continue;
        if (layer->kind->indexed) {
            widths += (guint64)s->index_dim;
            row_bytes += pd_row_format_bytes(&r->key);
        }
        n += 2 * (guint64)(layer->ratio - 1) * (guint64)pd_ds_coff(layer->kind) * widths *
                 sizeof(float) +
             (guint64)(MIN(r->unit_tokens, r->options.max_tokens) / layer->ratio) * row_bytes;
    }
    return n;
}

/* Whether a row completes a window whose tokens the next entry pools too. */
static gboolean
moves_window(const PdDsLayerShape *layer, int position)
{
    return layer->ratio > 0 && layer->kind->overlaps && (position + 1) % layer->ratio == 0;
}

/* What a row at `position` overwrites that an earlier state needs. */
static gsize
overwritten_bytes(const PdDsRun *r, int l, int position)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayerShape *layer = &s->layers[l];
    gsize n = pd_row_format_bytes(&r->row);
    if (moves_window(layer, position))
        n += former_bytes(layer, s->head_dim);
    if (moves_window(layer, position) && layer->kind->indexed)
        n += former_bytes(layer, s->index_dim);
    return n;
}

guint64
pd_ds_last_row_bytes(const PdDsRun *r)
{
    guint64 n = 0;
    for (int l = 0; l < r->model->shape.n_layers; l++)
        n += overwritten_bytes(r, l, MAX(r->model->shape.layers[l].ratio, 1) - 1);
    return n;
}

gsize
pd_ds_run_unit_bytes(const PdDsRun *r)
{
    const PdDsShape *s = &r->model->shape;
    gsize n = 0;
    for (int l = 0; l < s->n_layers; l++) {
        const PdDsLayerShape *layer = &s->layers[l];
        if (layer->ratio > 0)
            n += (gsize)(r->unit_tokens / layer->ratio) * pd_row_format_bytes(&r->row);
        if (layer->kind->indexed)
            n += (gsize)(r->unit_tokens / layer->ratio) * pd_row_format_bytes(&r->key);
    }
    return n;
}

guint64
pd_ds_kept_bytes(const PdDsModel *model, const PdDsRunOptions *options, int n_tokens)
{
    PdDsRun r = pd_ds_run_describe(model, options);
    guint64 n = (guint64)(n_tokens / r.unit_tokens) * pd_ds_run_unit_bytes(&r);
    for (int at = r.anchor_tokens; at < n_tokens; at += r.anchor_tokens)
        n += pd_ds_run_snapshot_bytes(&r, at, FALSE);
    return n + (n_tokens > 0 ? pd_ds_run_snapshot_bytes(&r, n_tokens, FALSE) : 0);
}

/* --- the walk --- */

/* Bytes go from the state to `out`, or from `in` to the state. */
typedef struct {
    guint8 *out;
    const guint8 *in;
    gsize n_bytes; /* moved */
} Mover;

static void
move(Mover *m, void *state, gsize n)
{
    if (m->out != NULL)
        memcpy(m->out + m->n_bytes, state, n);
    else
        memcpy(state, m->in + m->n_bytes, n);
    m->n_bytes += n;
}

static void
move_rows(Mover *m, const PdRowFormat *format, guint8 *rows, int first, int n)
{
    gsize row_bytes = pd_row_format_bytes(format);
    if (n > 0)
        move(m, rows + (gsize)first * row_bytes, (gsize)n * row_bytes);
}

static void
move_former(Mover *m, const PdDsLayerShape *layer, int width, PdDsPool *pool)
{
    gsize stride = (gsize)pd_ds_coff(layer->kind) * (gsize)width;
    gsize half_bytes = (gsize)width * sizeof(float);
    for (gsize i = 0; i < (gsize)layer->ratio; i++) {
        move(m, pool->values + i * stride, half_bytes);
        move(m, pool->scores + i * stride, half_bytes);
    }
}

static void
move_pool(Mover *m, const PdDsLayerShape *layer, int width, int n_tokens, PdDsPool *pool)
{
    gsize coff = (gsize)pd_ds_coff(layer->kind), ratio = (gsize)layer->ratio;
    gsize stride = coff * (gsize)width, current = (coff - 1) * ratio * stride;
    gsize tail_bytes = (gsize)n_tokens % ratio * stride * sizeof(float);
    if (m->in != NULL)
        pd_ds_pool_clear(layer, width, pool);
    if (coff == 2 && n_tokens >= layer->ratio)
        move_former(m, layer, width, pool);
    move(m, pool->values + current, tail_bytes);
    move(m, pool->scores + current, tail_bytes);
}

/* A layer's part of a snapshot at n_tokens. */
static void
move_layer(const PdDsRun *r, Mover *m, PdDsLayerState *state, int l, int n_tokens)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayerShape *layer = &s->layers[l];
    gsize before = m->n_bytes;
    for (int p = MAX(0, n_tokens - s->window); p < n_tokens; p++)
        move_rows(m, &r->row, state->window, p % s->window, 1);
    if (layer->ratio > 0) {
        int n = n_loose(r, layer, n_tokens), first = n_tokens / layer->ratio - n;
        move_pool(m, layer, s->head_dim, n_tokens, &state->pool);
        move_rows(m, &r->row, state->entries, first, n);
        if (layer->kind->indexed) {
            move_pool(m, layer, s->index_dim, n_tokens, &state->index_pool);
            move_rows(m, &r->key, state->index_keys, first, n);
        }
    }
    g_assert(m->n_bytes - before == layer_bytes(r, l, n_tokens));
}

/* A layer's part of what a row at `position` overwrites. */
static void
move_overwritten(const PdDsRun *r, Mover *m, PdDsLayerState *state, int l, int position)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayerShape *layer = &s->layers[l];
    gsize before = m->n_bytes;
    move_rows(m, &r->row, state->window, position % s->window, 1);
    if (moves_window(layer, position))
        move_former(m, layer, s->head_dim, &state->pool);
    if (moves_window(layer, position) && layer->kind->indexed)
        move_former(m, layer, s->index_dim, &state->index_pool);
    g_assert(m->n_bytes - before == overwritten_bytes(r, l, position));
}

static void
move_snapshot(const PdDsRun *r, Mover *m, PdDsSequence *seq, int n_tokens, gboolean drafted)
{
    for (int l = 0; l < r->model->shape.n_layers + (drafted ? 1 : 0); l++)
        move_layer(r, m, &seq->layers[l], l, n_tokens);
}

static void
move_unit(const PdDsRun *r, Mover *m, PdDsSequence *seq, int unit)
{
    const PdDsShape *s = &r->model->shape;
    for (int l = 0; l < s->n_layers; l++) {
        const PdDsLayerShape *layer = &s->layers[l];
        int n = layer->ratio > 0 ? r->unit_tokens / layer->ratio : 0;
        move_rows(m, &r->row, seq->layers[l].entries, unit * n, n);
        if (layer->kind->indexed)
            move_rows(m, &r->key, seq->layers[l].index_keys, unit * n, n);
    }
    g_assert(m->n_bytes == pd_ds_run_unit_bytes(r));
}

/* --- units --- */

void
pd_ds_run_save_unit(const PdDsRun *r, int sequence, int unit, guint8 *dst)
{
    Mover m = {.out = dst};
    g_assert(unit >= 0 && unit < r->sequences[sequence].n_tokens / r->unit_tokens);
    move_unit(r, &m, &r->sequences[sequence], unit);
}

void
pd_ds_run_load_unit(PdDsRun *r, int sequence, int unit, const guint8 *src)
{
    Mover m = {.in = src};
    g_assert(unit >= 0 && unit < r->options.max_tokens / r->unit_tokens);
    move_unit(r, &m, &r->sequences[sequence], unit);
}

/* --- the draft block and the latest pass --- */

/* Whether the draft block's window at n_tokens is what it would be, had the block seen all rows. */
static gboolean
draft_is_whole(const PdDsRun *r, const PdDsSequence *seq, int n_tokens)
{
    int first = seq->layers[r->model->shape.n_layers].first_row;
    return first == 0 || first <= n_tokens - r->model->shape.window;
}

void
pd_ds_run_forget_draft(const PdDsRun *r, PdDsSequence *seq)
{
    seq->n_drafted = seq->layers[r->model->shape.n_layers].first_row = 0;
}

void
pd_ds_run_forget_pass(PdDsRun *r, const PdDsSequence *seq)
{
    if (r->sequences + r->pass.sequence == seq)
        r->pass.n = 0;
}

/* --- snapshots --- */

void
pd_ds_run_keep_layer(PdDsRun *r, PdDsSequence *seq, int l, int n_tokens)
{
    const PdDsShape *s = &r->model->shape;
    if (n_tokens % r->anchor_tokens != 0)
        return;
    PdDsSnapshot *anchor = &seq->anchors[n_tokens / r->anchor_tokens - 1];
    Mover m = {.out = anchor->bytes};
    for (int before = 0; before < l; before++)
        m.n_bytes += layer_bytes(r, before, n_tokens);
    move_layer(r, &m, &seq->layers[l], l, n_tokens);
    if (l == s->n_layers && anchor->n_tokens > 0) {
        anchor->drafted = draft_is_whole(r, seq, n_tokens);
    } else if (l == s->n_layers - 1) { /* the last of those that it needs */
        anchor->n_tokens = n_tokens;
        anchor->drafted = FALSE;
    }
}

void
pd_ds_run_mark(PdDsRun *r, int sequence)
{
    PdDsSequence *seq = &r->sequences[sequence];
    Mover m = {.out = seq->mark.bytes};
    seq->mark.n_tokens = seq->n_tokens;
    seq->mark.drafted = seq->n_tokens > 0 && seq->n_drafted == seq->n_tokens &&
                        draft_is_whole(r, seq, seq->n_tokens);
    move_snapshot(r, &m, seq, seq->n_tokens, seq->mark.drafted);
}

/* The last one at or before n_tokens, or NULL; the later ones are forgotten. */
static const PdDsSnapshot *
last_snapshot(PdDsRun *r, PdDsSequence *seq, int n_tokens)
{
    const PdDsSnapshot *last = NULL;
    if (seq->mark.n_tokens > n_tokens)
        seq->mark.n_tokens = 0;
    if (seq->mark.n_tokens > 0)
        last = &seq->mark;
    for (int i = 0; i < r->n_anchors; i++) {
        PdDsSnapshot *anchor = &seq->anchors[i];
        if (anchor->n_tokens > n_tokens)
            anchor->n_tokens = 0;
        if (anchor->n_tokens > (last != NULL ? last->n_tokens : 0))
            last = anchor;
    }
    return last;
}

static void
enter_snapshot(PdDsRun *r, PdDsSequence *seq, int n_tokens, gboolean drafted, const guint8 *bytes)
{
    Mover m = {.in = bytes};
    move_snapshot(r, &m, seq, n_tokens, drafted);
    seq->n_tokens = n_tokens;
    seq->last_row.n_tokens = 0;
    pd_ds_run_forget_pass(r, seq);
    pd_ds_run_forget_draft(r, seq);
    if (!drafted)
        return;
    seq->n_drafted = n_tokens;
    seq->layers[r->model->shape.n_layers].first_row = MAX(0, n_tokens - r->model->shape.window);
}

/* To the last snapshot at or before n_tokens, or to the empty sequence. */
static void
go_back(PdDsRun *r, PdDsSequence *seq, int n_tokens)
{
    const PdDsSnapshot *last = last_snapshot(r, seq, n_tokens);
    if (last != NULL)
        enter_snapshot(r, seq, last->n_tokens, last->drafted, last->bytes);
    else
        pd_ds_run_clear(r, (int)(seq - r->sequences));
}

void
pd_ds_run_keep_overwritten(PdDsRun *r, PdDsSequence *seq, int l, int position)
{
    Mover m = {.out = seq->last_row.bytes};
    if (position != r->pass.first + r->pass.n - 1 || l == r->model->shape.n_layers)
        return;
    for (int before = 0; before < l; before++)
        m.n_bytes += overwritten_bytes(r, before, position);
    move_overwritten(r, &m, &seq->layers[l], l, position);
}

/* Without the last row; what it alone has written nobody reads. */
static void
take_back_row(PdDsRun *r, PdDsSequence *seq)
{
    Mover m = {.in = seq->last_row.bytes};
    int position = --seq->n_tokens;
    for (int l = 0; l < r->model->shape.n_layers; l++)
        move_overwritten(r, &m, &seq->layers[l], l, position);
    seq->last_row.n_tokens = 0;
    (void)last_snapshot(r, seq, position); /* forgets those that saw it */
    if (r->sequences + r->pass.sequence == seq)
        r->pass.n = MAX(position - r->pass.first, 0);
    if (seq->n_drafted > position)
        pd_ds_run_forget_draft(r, seq);
}

void
pd_ds_run_rewind(PdDsRun *r, int sequence, int n_tokens)
{
    PdDsSequence *seq = &r->sequences[sequence];
    if (seq->n_tokens == n_tokens + 1 && seq->last_row.n_tokens == seq->n_tokens)
        take_back_row(r, seq);
    else if (seq->n_tokens > n_tokens)
        go_back(r, seq, n_tokens);
}

void
pd_ds_run_fall_back(PdDsRun *r, PdDsSequence *seq)
{
    go_back(r, seq, seq->n_tokens);
}

const guint8 *
pd_ds_run_snapshot(const PdDsRun *r, int sequence, int n_tokens, gboolean *drafted)
{
    const PdDsSequence *seq = &r->sequences[sequence];
    const PdDsSnapshot *found = &seq->mark;
    if (n_tokens % r->anchor_tokens == 0 && n_tokens > 0 &&
        n_tokens / r->anchor_tokens <= r->n_anchors &&
        seq->anchors[n_tokens / r->anchor_tokens - 1].n_tokens == n_tokens)
        found = &seq->anchors[n_tokens / r->anchor_tokens - 1];
    if (n_tokens == 0 || found->n_tokens != n_tokens)
        return NULL;
    *drafted = found->drafted;
    return found->bytes;
}

void
pd_ds_run_load_snapshot(PdDsRun *r, int sequence, int n_tokens, gboolean drafted, const guint8 *src)
{
    PdDsSequence *seq = &r->sequences[sequence];
    g_assert(n_tokens > 0 && n_tokens <= r->options.max_tokens);
    g_assert(!drafted || r->model->has_draft);
    pd_ds_run_clear(r, sequence);
    enter_snapshot(r, seq, n_tokens, drafted, src);
    pd_ds_run_mark(r, sequence);
}

/* --- sharing --- */

static void
copy_pool(const PdDsLayerShape *layer, int width, PdDsPool *to, const PdDsPool *from)
{
    gsize coff = (gsize)pd_ds_coff(layer->kind);
    gsize n = coff * (gsize)layer->ratio * coff * (gsize)width;
    memcpy(to->values, from->values, n * sizeof *to->values);
    memcpy(to->scores, from->scores, n * sizeof *to->scores);
}

static void
copy_layer(const PdDsRun *r, int l, int n_tokens, PdDsLayerState *to, const PdDsLayerState *from)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayerShape *layer = &s->layers[l];
    gsize n = layer->ratio > 0 ? (gsize)(n_tokens / layer->ratio) : 0;
    to->first_row = from->first_row;
    memcpy(to->window, from->window,
           (gsize)MIN(n_tokens, s->window) * pd_row_format_bytes(&r->row));
    if (layer->ratio == 0)
        return;
    copy_pool(layer, s->head_dim, &to->pool, &from->pool);
    memcpy(to->entries, from->entries, n * pd_row_format_bytes(&r->row));
    if (!layer->kind->indexed)
        return;
    copy_pool(layer, s->index_dim, &to->index_pool, &from->index_pool);
    memcpy(to->index_keys, from->index_keys, n * pd_row_format_bytes(&r->key));
}

static void
copy_snapshot(const PdDsRun *r, PdDsSnapshot *to, const PdDsSnapshot *from)
{
    to->n_tokens = from->n_tokens;
    to->drafted = from->drafted;
    if (from->n_tokens > 0)
        memcpy(to->bytes, from->bytes, pd_ds_run_snapshot_bytes(r, from->n_tokens, from->drafted));
}

void
pd_ds_run_share(PdDsRun *r, int from, int to, int n_tokens)
{
    const PdDsSequence *source = &r->sequences[from];
    PdDsSequence *seq = &r->sequences[to];
    int n_layers = r->model->shape.n_layers + (r->model->has_draft ? 1 : 0);
    if (from == to) {
        pd_ds_run_rewind(r, to, n_tokens);
        return;
    }
    for (int l = 0; l < n_layers; l++)
        copy_layer(r, l, l < r->model->shape.n_layers ? source->n_tokens : source->n_drafted,
                   &seq->layers[l], &source->layers[l]);
    for (int i = 0; i < r->n_anchors; i++)
        copy_snapshot(r, &seq->anchors[i], &source->anchors[i]);
    copy_snapshot(r, &seq->mark, &source->mark);
    seq->n_tokens = source->n_tokens;
    seq->n_drafted = source->n_drafted;
    seq->last_row.n_tokens = 0;
    pd_ds_run_forget_pass(r, seq);
    pd_ds_run_rewind(r, to, n_tokens);
}
