/*
 * The part of multiply_rows that AVX2 and AVX-512 share: walking over a panel's columns in chunks
 * that stay in the first-level cache and over the tokens in tiles.  Included by matmul_avx2.c and
 * matmul_avx512.c after their definitions of ROWS, TILE_TOKENS, FLOAT_TILE_TOKENS, INLINE, Kind,
 * unpack, multiply_tile and multiply_float_tile, so that tiles are inlined with a constant number
 * of tokens and a constant kind.
 */

/* The sums of a tile continue where the last chunk left them in `out`. */
INLINE void
load_tile(float (*acc)[ROWS], const PdProduct *p, int first_row, int n_rows, int first_token,
          int n_tokens, bool first_chunk)
{
    for (int t = 0; t < n_tokens; t++) {
        const float *out = p->out + (size_t)(first_token + t) * (size_t)p->n_rows + first_row;
        const float *from = !first_chunk ? out : p->bias != NULL ? p->bias + first_row : NULL;
        if (from == NULL)
            for (int r = 0; r < ROWS; r += 8)
                _mm256_store_ps(acc[t] + r, _mm256_setzero_ps());
        else if (n_rows == ROWS)
            for (int r = 0; r < ROWS; r += 8)
                _mm256_store_ps(acc[t] + r, _mm256_loadu_ps(from + r));
        else
            for (int r = 0; r < ROWS; r++)
                acc[t][r] = r < n_rows ? from[r] : 0;
    }
}

INLINE void
store_tile(float (*acc)[ROWS], const PdProduct *p, int first_row, int n_rows, int first_token,
           int n_tokens)
{
    for (int t = 0; t < n_tokens; t++) {
        float *out = p->out + (size_t)(first_token + t) * (size_t)p->n_rows + first_row;
        if (n_rows == ROWS)
            for (int r = 0; r < ROWS; r += 8)
                _mm256_storeu_ps(out + r, _mm256_load_ps(acc[t] + r));
        else
            for (int r = 0; r < n_rows; r++)
                out[r] = acc[t][r];
    }
}

typedef struct {
    const PdProduct *p;
    const PdPanelBlock *panel;
    int first_row, n_rows;
    int first_block, n_blocks; /* of 32 columns */
} Chunk;

INLINE void
multiply_tokens(const Chunk *c, int first_token, int n_tokens, Kind kind)
{
    _Alignas(64) float acc[TILE_TOKENS][ROWS];
    size_t stride = (size_t)c->p->n_cols / PD_ACT_BLOCK;
    const PdActBlock *acts = c->p->acts + (size_t)first_token * stride + c->first_block;

    load_tile(acc, c->p, c->first_row, c->n_rows, first_token, n_tokens, c->first_block == 0);
    multiply_tile(acc, c->panel, c->n_blocks, acts, stride, n_tokens, kind);
    store_tile(acc, c->p, c->first_row, c->n_rows, first_token, n_tokens);
}

/* A chunk by all tokens, TILE_TOKENS at a time. */
INLINE void
multiply_chunk(const Chunk *c, Kind kind)
{
    int t = 0, n_tokens = c->p->n_tokens;
    for (; t + TILE_TOKENS <= n_tokens; t += TILE_TOKENS)
        multiply_tokens(c, t, TILE_TOKENS, kind);
    switch (n_tokens - t) { /* the tests of constants leave out what cannot occur */
    case 1:
        multiply_tokens(c, t, 1, kind);
        break;
    case 2:
        multiply_tokens(c, t, 2, kind);
        break;
    case 3:
        multiply_tokens(c, t, 3, kind);
        break;
    case 4:
        if (TILE_TOKENS > 4)
            multiply_tokens(c, t, 4, kind);
        break;
    case 5:
        if (TILE_TOKENS > 5)
            multiply_tokens(c, t, 5, kind);
        break;
    }
}

_Static_assert(TILE_TOKENS <= 6, "multiply_chunk knows remainders up to 5");

static void
multiply_chunk_min(const Chunk *c)
{
    multiply_chunk(c, KIND_MIN);
}

static void
multiply_chunk_start(const Chunk *c)
{
    multiply_chunk(c, KIND_START);
}

static void
multiply_chunk_start_min(const Chunk *c)
{
    multiply_chunk(c, KIND_START_MIN);
}

static void
multiply_chunk_q6_k(const Chunk *c)
{
    multiply_chunk(c, KIND_Q6_K);
}

static void
multiply_chunk_q8_0(const Chunk *c)
{
    multiply_chunk(c, KIND_Q8_0);
}

static void (*const chunk_of_type[PD_N_DTYPES])(const Chunk *c) = {
    [PD_Q4_1] = multiply_chunk_min,       [PD_Q4_K] = multiply_chunk_min,
    [PD_Q4_0] = multiply_chunk_start,     [PD_Q5_0] = multiply_chunk_start,
    [PD_Q5_1] = multiply_chunk_start_min, [PD_Q5_K] = multiply_chunk_start_min,
    [PD_Q6_K] = multiply_chunk_q6_k,      [PD_Q8_0] = multiply_chunk_q8_0,
};

/* --- float types: the same walk over panels of float32, (column, row) --- */

INLINE void
multiply_float_tokens(const Chunk *c, const float *panel, int first_token, int n_tokens)
{
    _Alignas(64) float acc[FLOAT_TILE_TOKENS][ROWS];
    size_t stride = (size_t)c->p->n_cols;
    const float *x = c->p->x + (size_t)first_token * stride + c->first_block;

    load_tile(acc, c->p, c->first_row, c->n_rows, first_token, n_tokens, c->first_block == 0);
    multiply_float_tile(acc, panel, c->n_blocks, x, stride, n_tokens);
    store_tile(acc, c->p, c->first_row, c->n_rows, first_token, n_tokens);
}

static void
multiply_float_chunk(const Chunk *c, const float *panel)
{
    int t = 0, n_tokens = c->p->n_tokens;
    for (; t + FLOAT_TILE_TOKENS <= n_tokens; t += FLOAT_TILE_TOKENS)
        multiply_float_tokens(c, panel, t, FLOAT_TILE_TOKENS);
    if (t + 4 <= n_tokens) {
        multiply_float_tokens(c, panel, t, 4);
        t += 4;
    }
    if (t + 2 <= n_tokens) {
        multiply_float_tokens(c, panel, t, 2);
        t += 2;
    }
    if (t < n_tokens)
        multiply_float_tokens(c, panel, t, 1);
}

/* Each chunk of columns is summed from 0 and then added to the total, which keeps rounding errors
 * of long rows small.  Here the "blocks" of a chunk are single columns. */
static void
multiply_rows_float(const PdProduct *p, int first_row, int n_rows, float *panel)
{
    const uint8_t *rows[ROWS];
    size_t row_bytes = pd_row_bytes(p->type, (size_t)p->n_cols);
    for (int i = 0; i < ROWS; i++)
        rows[i] = p->weight + (size_t)(first_row + (i < n_rows ? i : n_rows - 1)) * row_bytes;

    Chunk c = {.p = p, .first_row = first_row, .n_rows = n_rows};
    for (; c.first_block < p->n_cols; c.first_block += c.n_blocks) {
        int left = p->n_cols - c.first_block;
        c.n_blocks = left < PD_FLOAT_PANEL_COLS ? left : PD_FLOAT_PANEL_COLS;
        pd_unpack_float_avx2(p->type, panel, rows, c.first_block, c.n_blocks, ROWS * row_bytes);
        multiply_float_chunk(&c, panel);
    }
}

static size_t
workspace_bytes(int n_cols)
{
    size_t quantized = PD_PANEL_BLOCKS * sizeof(PdPanelBlock);
    return quantized > PD_FLOAT_PANEL_BYTES ? quantized : PD_FLOAT_PANEL_BYTES;
}

static void
multiply_rows(const PdProduct *p, int first_row, int n_rows, void *workspace)
{
    if (pd_is_float_type(p->type)) {
        multiply_rows_float(p, first_row, n_rows, workspace);
        return;
    }
    const uint8_t *rows[ROWS];
    size_t row_bytes = pd_row_bytes(p->type, (size_t)p->n_cols);
    for (int i = 0; i < ROWS; i++) /* a short panel repeats its last row */
        rows[i] = p->weight + (size_t)(first_row + (i < n_rows ? i : n_rows - 1)) * row_bytes;

    PdPanelBlock *panel = workspace;
    Chunk c = {.p = p, .panel = panel, .first_row = first_row, .n_rows = n_rows};
    int n_blocks = p->n_cols / PD_ACT_BLOCK;
    for (; c.first_block < n_blocks; c.first_block += c.n_blocks) {
        int left = n_blocks - c.first_block;
        c.n_blocks = left < PD_PANEL_BLOCKS ? left : PD_PANEL_BLOCKS;
        unpack(p->type, panel, rows, c.first_block, c.n_blocks, ROWS * row_bytes);
        chunk_of_type[p->type](&c);
    }
}
