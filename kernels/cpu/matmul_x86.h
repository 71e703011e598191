/*
 * The part of the products that AVX2 and AVX-512 share: rounding activations, and walking over a
 * panel's columns in chunks that stay in the first-level cache and over the tokens in tiles.
 * Included by matmul_avx2.c and matmul_avx512.c after their definitions of ROWS, PANELS (that are
 * multiplied together), TILE_TOKENS, FLOAT_TILE_TOKENS, set_starts, copy_row, unpack, multiply_tile
 * and multiply_float_tile, so that tiles are inlined with a constant number of tokens and a
 * constant kind.
 */

/* As the reference does (ref_matmul.c), 8 values a time. */
static void
quantize(PdActBlock *dst, size_t stride, const float *x, int n_cols)
{
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    for (int c = 0; c < n_cols; c += PD_ACT_BLOCK, dst += stride) {
        __m256 v[4], max = _mm256_setzero_ps();
        for (int i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + c + 8 * i);
            max = _mm256_max_ps(max, _mm256_and_ps(v[i], magnitude));
        }
        __m128 m = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps(max, 1));
        m = _mm_max_ps(m, _mm_movehl_ps(m, m));
        float top = _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
        float inverse = top > PD_ACT_TINY ? 127 / top : 0;

        __m256i word[4];
        for (int i = 0; i < 4; i++)
            word[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(inverse)));
        __m256i q = _mm256_packs_epi16(_mm256_packs_epi32(word[0], word[1]),
                                       _mm256_packs_epi32(word[2], word[3]));
        q = _mm256_permutevar8x32_epi32(q, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((__m256i *)dst->q, q);

        /* Per 16 columns, a pair: the sum of columns 0, 1 and that of columns 2, 3 of all words. */
        __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
        pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0x4e));
        pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0xb1));
        __m128i low = _mm256_castsi256_si128(pairs), high = _mm256_extracti128_si256(pairs, 1);
        __m128i total = _mm_madd_epi16(_mm_add_epi16(low, high), _mm_set1_epi16(1));
        dst->d = top > PD_ACT_TINY ? top / 127 : 0;
        dst->sum = dst->d * (float)_mm_cvtsi128_si32(total);
        set_starts(dst, low, high);
    }
}

/* Columns of the panels from first_block on, by every token. */
typedef struct {
    const PdProduct *p;
    const void *panels;  /* (PANELS, PD_PANEL_BLOCKS); of float types f32 (n_blocks, ROWS) */
    float (*sums)[ROWS]; /* (PANELS, n_tokens): where chunks leave them for the next */
    int first_row, n_rows;
    int first_block, n_blocks; /* of 32 columns; of float types single columns */
    int n_all_blocks;
} Chunk;

INLINE void
begin_sums(const Chunk *c, int first_token, int n_tokens)
{
    for (int at = 0; at < c->n_rows; at += ROWS) {
        _Alignas(64) float begin[ROWS] = {0};
        int n = c->n_rows - at < ROWS ? c->n_rows - at : ROWS;
        float(*sums)[ROWS] = c->sums + at / ROWS * c->p->n_tokens + first_token;

        if (c->p->bias != NULL)
            memcpy(begin, c->p->bias + c->first_row + at, (size_t)n * sizeof *begin);
        for (int t = 0; t < n_tokens; t++)
            copy_row(sums[t], begin);
    }
}

INLINE void
put_out(const Chunk *c, int first_token, int n_tokens)
{
    for (int t = first_token; t < first_token + n_tokens; t++)
        for (int at = 0; at < c->n_rows; at += ROWS) {
            const float *sums = c->sums[at / ROWS * c->p->n_tokens + t];
            float *out = c->p->out + (size_t)t * (size_t)c->p->n_rows + c->first_row + at;
            if (c->n_rows - at >= ROWS)
                copy_row(out, sums);
            else
                memcpy(out, sums, (size_t)(c->n_rows - at) * sizeof *out);
        }
}

INLINE bool
is_last(const Chunk *c)
{
    return c->first_block + c->n_blocks == c->n_all_blocks;
}

INLINE void
multiply_tokens(const Chunk *c, int first_token, int n_tokens, int tile, Kind kind)
{
    int first_block = first_token / tile * c->n_all_blocks + c->first_block;
    const PdActBlock *acts = c->p->acts + (size_t)first_block * (size_t)tile + first_token % tile;

    if (c->first_block == 0)
        begin_sums(c, first_token, n_tokens);
    multiply_tile(c->sums + first_token, (size_t)c->p->n_tokens, c->panels, c->n_blocks, acts,
                  (size_t)tile, n_tokens, kind);
    if (is_last(c))
        put_out(c, first_token, n_tokens);
}

/* A chunk by all tokens: whole tiles first, then smaller ones. */
INLINE void
multiply_chunk(const Chunk *c, Kind kind)
{
    int t = 0, n_tokens = c->p->n_tokens;
    int tile = n_tokens < TILE_TOKENS ? n_tokens : TILE_TOKENS;
    for (; t + TILE_TOKENS <= n_tokens; t += TILE_TOKENS)
        multiply_tokens(c, t, TILE_TOKENS, TILE_TOKENS, kind);
    if (TILE_TOKENS > 4)
        for (; t + 4 <= n_tokens; t += 4)
            multiply_tokens(c, t, 4, tile, kind);
    for (; t + 2 <= n_tokens; t += 2)
        multiply_tokens(c, t, 2, tile, kind);
    if (t < n_tokens)
        multiply_tokens(c, t, 1, tile, kind);
}

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
multiply_float_tokens(const Chunk *c, int first_token, int n_tokens)
{
    size_t stride = (size_t)c->p->n_cols;
    const float *x = c->p->x + (size_t)first_token * stride + c->first_block;

    if (c->first_block == 0)
        begin_sums(c, first_token, n_tokens);
    multiply_float_tile(c->sums + first_token, c->panels, c->n_blocks, x, stride, n_tokens);
    if (is_last(c))
        put_out(c, first_token, n_tokens);
}

static void
multiply_float_chunk(const Chunk *c)
{
    int t = 0, n_tokens = c->p->n_tokens;
    for (; t + FLOAT_TILE_TOKENS <= n_tokens; t += FLOAT_TILE_TOKENS)
        multiply_float_tokens(c, t, FLOAT_TILE_TOKENS);
    for (; t + 4 <= n_tokens; t += 4)
        multiply_float_tokens(c, t, 4);
    for (; t + 2 <= n_tokens; t += 2)
        multiply_float_tokens(c, t, 2);
    if (t < n_tokens)
        multiply_float_tokens(c, t, 1);
}

/* Each chunk of columns is summed from 0 and then added to the total, which keeps rounding errors
 * of long rows small.  Here the "blocks" of a chunk are single columns. */
static void
multiply_rows_float(const PdProduct *p, int first_row, int n_rows, float *panel,
                    float (*sums)[ROWS])
{
    const uint8_t *rows[ROWS];
    size_t row_bytes = pd_row_bytes(p->type, (size_t)p->n_cols);
    for (int i = 0; i < ROWS; i++)
        rows[i] = p->weight + (size_t)(first_row + (i < n_rows ? i : n_rows - 1)) * row_bytes;

    const uint8_t *next = rows[0] + ROWS * row_bytes;
    Chunk c = {.p = p,
               .panels = panel,
               .sums = sums,
               .first_row = first_row,
               .n_rows = n_rows,
               .n_all_blocks = p->n_cols};
    for (; c.first_block < p->n_cols; c.first_block += c.n_blocks) {
        int left = p->n_cols - c.first_block;
        c.n_blocks = left < PD_FLOAT_PANEL_COLS ? left : PD_FLOAT_PANEL_COLS;
        pd_unpack_float_avx2(p->type, panel, rows, c.first_block, c.n_blocks, next);
        next += ROWS * pd_row_bytes(p->type, (size_t)c.n_blocks);
        multiply_float_chunk(&c);
    }
}

enum {
    QUANTIZED_BYTES = PANELS * PD_PANEL_BLOCKS * (int)sizeof(PdPanelBlock),
    PANEL_BYTES = QUANTIZED_BYTES > PD_FLOAT_PANEL_BYTES ? QUANTIZED_BYTES : PD_FLOAT_PANEL_BYTES,
};

/* The panels and, behind them, the sums of all tokens. */
static size_t
workspace_bytes(int n_cols, int n_tokens)
{
    (void)n_cols;
    return PANEL_BYTES + (size_t)n_tokens * PANELS * ROWS * sizeof(float);
}

static void
multiply_rows(const PdProduct *p, int first_row, int n_rows, void *workspace)
{
    float(*sums)[ROWS] = (void *)((char *)workspace + PANEL_BYTES);
    if (pd_is_float_type(p->type)) {
        for (int at = 0; at < n_rows; at += ROWS)
            multiply_rows_float(p, first_row + at, n_rows - at < ROWS ? n_rows - at : ROWS,
                                workspace, sums);
        return;
    }
    const uint8_t *rows[PANELS * ROWS];
    size_t row_bytes = pd_row_bytes(p->type, (size_t)p->n_cols);
    for (int i = 0; i < PANELS * ROWS; i++) /* a short panel repeats its last row */
        rows[i] = p->weight + (size_t)(first_row + (i < n_rows ? i : n_rows - 1)) * row_bytes;

    PdPanelBlock *panels = workspace;
    /* The rows of the next panels, which follow in memory; a prefetch beyond the end does no harm.
     */
    const uint8_t *next = rows[0] + PANELS * ROWS * row_bytes;
    int n_blocks = p->n_cols / PD_ACT_BLOCK;
    Chunk c = {.p = p,
               .panels = panels,
               .sums = sums,
               .first_row = first_row,
               .n_rows = n_rows,
               .n_all_blocks = n_blocks};
    for (; c.first_block < n_blocks; c.first_block += c.n_blocks) {
        int left = n_blocks - c.first_block;
        c.n_blocks = left < PD_PANEL_BLOCKS ? left : PD_PANEL_BLOCKS;
        for (int i = 0; i < PANELS; i++) {
            unpack(p->type, panels + i * PD_PANEL_BLOCKS, rows + i * ROWS, c.first_block,
                   c.n_blocks, next);
            next += ROWS * pd_row_bytes(p->type, (size_t)c.n_blocks * PD_ACT_BLOCK);
        }
        chunk_of_type[p->type](&c);
    }
}
