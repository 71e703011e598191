/*
 * The part of the products that AVX2 and AVX-512 share: rounding activations, and walking over a
 * panel's columns in chunks that stay in the first-level cache and over the tokens in tiles.
 * Included by matmul_avx2.c and matmul_avx512.c after their definitions of ROWS, TILE_TOKENS,
 * FLOAT_TILE_TOKENS, set_starts, unpack, multiply_tile and multiply_float_tile, so that tiles are
 * inlined with a constant number of tokens and a constant kind.
 */

/* As the reference does (ref_matmul.c), 8 values a time. */
static void
quantize(PdActBlock *dst, const float *x, int n_cols)
{
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    for (int c = 0; c < n_cols; c += PD_ACT_BLOCK, dst++) {
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

/* A chunk by all tokens: whole tiles first, then smaller ones. */
INLINE void
multiply_chunk(const Chunk *c, Kind kind)
{
    int t = 0, n_tokens = c->p->n_tokens;
    for (; t + TILE_TOKENS <= n_tokens; t += TILE_TOKENS)
        multiply_tokens(c, t, TILE_TOKENS, kind);
    if (TILE_TOKENS > 4)
        for (; t + 4 <= n_tokens; t += 4)
            multiply_tokens(c, t, 4, kind);
    for (; t + 2 <= n_tokens; t += 2)
        multiply_tokens(c, t, 2, kind);
    if (t < n_tokens)
        multiply_tokens(c, t, 1, kind);
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
    for (; t + 4 <= n_tokens; t += 4)
        multiply_float_tokens(c, panel, t, 4);
    for (; t + 2 <= n_tokens; t += 2)
        multiply_float_tokens(c, panel, t, 2);
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

    const uint8_t *next = rows[0] + ROWS * row_bytes;
    Chunk c = {.p = p, .first_row = first_row, .n_rows = n_rows};
    for (; c.first_block < p->n_cols; c.first_block += c.n_blocks) {
        int left = p->n_cols - c.first_block;
        c.n_blocks = left < PD_FLOAT_PANEL_COLS ? left : PD_FLOAT_PANEL_COLS;
        pd_unpack_float_avx2(p->type, panel, rows, c.first_block, c.n_blocks, next);
        next += ROWS * pd_row_bytes(p->type, (size_t)c.n_blocks);
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
    /* The rows of the next panel, which follow in memory; a prefetch beyond the end does no harm.
     */
    const uint8_t *next = rows[0] + ROWS * row_bytes;
    /* With few tokens, short chunks: unpacking waits for memory, multiplying does not. */
    int max_blocks = p->n_tokens < 8 ? PD_PANEL_BLOCKS : PD_PANEL_BLOCKS;
    Chunk c = {.p = p, .panel = panel, .first_row = first_row, .n_rows = n_rows};
    int n_blocks = p->n_cols / PD_ACT_BLOCK;
    for (; c.first_block < n_blocks; c.first_block += c.n_blocks) {
        int left = n_blocks - c.first_block;
        c.n_blocks = left < max_blocks ? left : max_blocks;
        unpack(p->type, panel, rows, c.first_block, c.n_blocks, next);
        next += ROWS * pd_row_bytes(p->type, (size_t)c.n_blocks * PD_ACT_BLOCK);
        chunk_of_type[p->type](&c);
    }
}
