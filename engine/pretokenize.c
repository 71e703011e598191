/*
 * Cutting text into pieces across which no two tokens join.
 *
 * The patterns are those of the models' own tokenizer.json files, run by PCRE2 in UTF and Unicode
 * property mode.  The originals are written for Oniguruma or Rust's regex, whose \s is the Unicode
 * property White_Space; PCRE2's \s has U+180E besides, so \s and \S are spelled out before
 * compiling.  Stages follow one another: each cuts the pieces of the stage before, and no pattern
 * looks across a cut.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "engine/error.h"
#include "engine/tokenizer_private.h"

#define PATTERN_BYTES_MAX 16384
#define STAGES_MAX 16

typedef struct {
    pcre2_code *code;
    PdSplitBehaviour behaviour;
    char *pattern;
    gboolean known; /* it is one of those below, and isolated */
    guint digits;   /* most digits in a piece, where scan_ascii knows the pattern; 0: it does not */
} Stage;

struct PdPretokenizer {
    Stage stages[STAGES_MAX];
    int n_stages;
};

const char pd_pattern_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

#define TAIL " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORDS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"

#define DEEPSEEK                                                                                   \
    {                                                                                              \
        "\\p{N}{1,3}", "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",             \
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"                                \
            "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*"              \
            "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"                                                      \
    }

/* The names are those of llama.cpp's converter; the patterns are the tokenizer.json's of Qwen2,
 * Llama 3, SmolLM2 (digits one by one, then GPT-2's), DeepSeek-V3 and V4. */
static const struct {
    const char *name;
    const char *patterns[4];
} named[] = {
    {"qwen2", {WORDS "\\p{N}|" TAIL}},
    {"deepseek-r1-qwen", {WORDS "\\p{N}|" TAIL}},
    {"llama-bpe", {WORDS "\\p{N}{1,3}|" TAIL}},
    {"llama3", {WORDS "\\p{N}{1,3}|" TAIL}},
    {"llama-v3", {WORDS "\\p{N}{1,3}|" TAIL}},
    {"smollm", {"\\p{N}", pd_pattern_gpt2}},
    {"gpt-2", {pd_pattern_gpt2}},
    {"deepseek-v3", DEEPSEEK},
    {"joyai-llm", DEEPSEEK}, /* of DeepSeek-V4's GGUF files */
};

/* Those of them that scan_ascii knows: with pieces of one digit, of three. */
static const char *const scanned[] = {WORDS "\\p{N}|" TAIL, WORDS "\\p{N}{1,3}|" TAIL};

static void
recognise(Stage *stage)
{
    if (stage->behaviour != PD_SPLIT_ISOLATED)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(named); i++)
        for (int k = 0; k < 4 && named[i].patterns[k]; k++)
            stage->known |= strcmp(stage->pattern, named[i].patterns[k]) == 0;
    for (guint i = 0; i < G_N_ELEMENTS(scanned); i++)
        if (strcmp(stage->pattern, scanned[i]) == 0)
            stage->digits = 1 + 2 * i;
}

gboolean
pd_pretokenizer_is_local(const PdPretokenizer *pre)
{
    for (int i = 0; i < pre->n_stages; i++)
        if (!pre->stages[i].known)
            return FALSE;
    return TRUE;
}

PdPretokenizer *
pd_pretokenizer_new(void)
{
    return g_new0(PdPretokenizer, 1);
}

void
pd_pretokenizer_free(PdPretokenizer *pre)
{
    if (pre == NULL)
        return;
    for (int i = 0; i < pre->n_stages; i++) {
        pcre2_code_free(pre->stages[i].code);
        g_free(pre->stages[i].pattern);
    }
    g_free(pre);
}

/* \s and \S as White_Space; inside a class only \s can be spelled out. */
static char *
spell_out_space(const char *pattern)
{
    static const char space[] = "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}"
                                "\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";
    GString *out = g_string_new(NULL);
    gboolean in_class = FALSE;
    for (const char *p = pattern; *p != '\0'; p++) {
        if (p[0] == '\\' && p[1] != '\0') {
            p++;
            if (*p == 's' && in_class)
                g_string_append(out, space);
            else if ((*p == 's' || *p == 'S') && !in_class)
                g_string_append_printf(out, "[%s%s]", *p == 'S' ? "^" : "", space);
            else
                g_string_append_printf(out, "\\%c", *p);
            continue;
        }
        if (*p == '[')
            in_class = TRUE;
        else if (*p == ']')
            in_class = FALSE;
        g_string_append_c(out, *p);
    }
    return g_string_free(out, FALSE);
}

gboolean
pd_pretokenizer_add(PdPretokenizer *pre, const char *pattern, PdSplitBehaviour behaviour,
                    GError **error)
{
    int code;
    PCRE2_SIZE offset;
    if (pre->n_stages == STAGES_MAX || strlen(pattern) > PATTERN_BYTES_MAX) {
        g_set_error_literal(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                            "the pre-tokenizer has too many stages or too long a pattern");
        return FALSE;
    }
    g_autofree char *spelled = spell_out_space(pattern);
    Stage *stage = &pre->stages[pre->n_stages];
    stage->code =
        pcre2_compile((PCRE2_SPTR)spelled, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, NULL);
    if (stage->code == NULL) {
        char why[128];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "the pre-tokenizer's pattern cannot be compiled: %s", why);
        return FALSE;
    }
    /* Without JIT the interpreter does the same work more slowly. */
    (void)pcre2_jit_compile(stage->code, PCRE2_JIT_COMPLETE);
    stage->behaviour = behaviour;
    stage->pattern = g_strdup(pattern);
    recognise(stage);
    pre->n_stages++;
    return TRUE;
}

gboolean
pd_pretokenizer_add_named(PdPretokenizer *pre, const char *name, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(named); i++) {
        if (strcmp(name, named[i].name) != 0)
            continue;
        for (int k = 0; named[i].patterns[k] != NULL; k++)
            if (!pd_pretokenizer_add(pre, named[i].patterns[k], PD_SPLIT_ISOLATED, error))
                return FALSE;
        return TRUE;
    }
    g_autofree char *shown = g_strescape(name, NULL);
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                "pre-tokenizer '%.100s' is not known here (known: qwen2, llama-bpe, smollm, gpt-2, "
                "deepseek-v3, joyai-llm)",
                shown);
    return FALSE;
}

void
pd_pretokenizer_digest(const PdPretokenizer *pre, GChecksum *sum)
{
    for (int i = 0; i < pre->n_stages; i++) {
        guchar behaviour = pre->stages[i].behaviour;
        g_checksum_update(sum, &behaviour, 1);
        g_checksum_update(sum, (const guchar *)pre->stages[i].pattern,
                          strlen(pre->stages[i].pattern) + 1);
    }
}

/* --- ASCII by hand -----------------------------------------------------------------------------
 * Nearly all text is ASCII, and for a few bytes at a time calling PCRE2 takes longer than matching.
 * The alternatives of WORDS, the digits and TAIL, in their order; 0 where a byte beyond ASCII could
 * have a say: then PCRE2 is asked. */

typedef enum { CLASS_OTHER, CLASS_LETTER, CLASS_DIGIT, CLASS_SPACE, CLASS_WIDE } Class;

enum { O = CLASS_OTHER, L = CLASS_LETTER, D = CLASS_DIGIT, S = CLASS_SPACE, W = CLASS_WIDE };
/* clang-format off */
static const guint8 classes[256] = {
    O, O, O, O, O, O, O, O, O, S, S, S, S, S, O, O,
    O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    D, D, D, D, D, D, D, D, D, D, O, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W,
    W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W,
    W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W,
    W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W,
    W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W,
    W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W,
    W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W,
    W, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W,
};
/* clang-format on */

static inline Class
class_of(char c)
{
    return classes[(guint8)c];
}

static inline gboolean
is_line_end(char c)
{
    return c == '\r' || c == '\n';
}

/* How many of the eight bytes at `text` are letters of ASCII before the first that is none.  To
 * seven bits of each byte, in lower case, is added what carries into the eighth from 'a' on, and
 * from behind 'z' on; no sum leaves its byte. */
static inline guint
letters_of_eight(const char *text)
{
    const guint64 ones = G_GUINT64_CONSTANT(0x0101010101010101), high = ones << 7;
    guint64 bytes;
    memcpy(&bytes, text, sizeof bytes);
    bytes = GUINT64_FROM_LE(bytes);
    guint64 lower = (bytes | ones * 0x20) & ~high;
    guint64 from_a = lower + ones * (0x80 - 'a'), behind_z = lower + ones * (0x7f - 'z');
    guint64 others = ~(from_a & ~behind_z & ~bytes) & high;
    return others ? (guint)__builtin_ctzll(others) / 8 : 8;
}

/* Where the letters end that begin at `at`; 0: at a byte beyond ASCII. */
static inline gsize
letters_end(const char *text, gsize n, gsize at)
{
    guint step = 8;
    while (step == 8 && n - at >= 8) {
        step = letters_of_eight(text + at);
        at += step;
    }
    while (at < n && class_of(text[at]) == CLASS_LETTER)
        at++;
    return at < n && class_of(text[at]) == CLASS_WIDE ? 0 : at;
}

/* Where the bytes of a class end, at most `limit` of them; 0: at one beyond ASCII. */
static gsize
run_end(const char *text, gsize n, gsize at, Class class, gsize limit)
{
    gsize stop = MIN(n, at + MIN(limit, n - at));
    while (at < stop && class_of(text[at]) == class)
        at++;
    return at < stop && class_of(text[at]) == CLASS_WIDE ? 0 : at;
}

/* What (?i:'s|'t|'re|'ve|'m|'ll|'d) takes of these bytes. */
static gsize
contraction(const char *at, gsize n)
{
    char a = n > 1 ? at[1] | 0x20 : 0, b = n > 2 ? at[2] | 0x20 : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    return 0;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static gsize
scan_space(const char *text, gsize n, gsize at)
{
    gsize end = run_end(text, n, at, CLASS_SPACE, n);
    for (gsize last = end; last > at; last--)
        if (is_line_end(text[last - 1]))
            return last;
    return end == n || end == 0 || end == at + 1 ? end : end - 1;
}

/* The end of the match that begins at `at`; 0: ask PCRE2. */
static gsize
scan_ascii(const char *text, gsize n, gsize at, guint digits)
{
    Class class = class_of(text[at]);
    Class next = at + 1 < n ? class_of(text[at + 1]) : CLASS_OTHER;
    gsize end = text[at] == '\'' ? contraction(text + at, n - at) : 0;
    if (class == CLASS_WIDE || (next == CLASS_WIDE && class != CLASS_DIGIT))
        return 0;
    if (end)
        return at + end;
    if (class == CLASS_LETTER)
        return letters_end(text, n, at + 1);
    if (class == CLASS_DIGIT)
        return run_end(text, n, at, CLASS_DIGIT, digits);
    if (next == CLASS_LETTER && !is_line_end(text[at]))
        return letters_end(text, n, at + 1);
    gboolean blank = text[at] == ' ' && at + 1 < n && next == CLASS_OTHER;
    if (class == CLASS_SPACE && !blank)
        return scan_space(text, n, at);
    end = run_end(text, n, at + blank, CLASS_OTHER, n);
    while (end && end < n && is_line_end(text[end]))
        end++;
    return end;
}

/* --- stages ------------------------------------------------------------------------------------
 */

typedef struct {
    const PdPretokenizer *pre;
    pcre2_match_data *match[STAGES_MAX];
    const char *text; /* all of it */
    gsize start;      /* of the first piece in `ends` */
    guint32 ends[PD_PIECES_MAX];
    guint n_ends;
    PdPiecesFunc func;
    gpointer user_data;
} Split;

static void
hand_over(Split *s)
{
    if (s->n_ends == 0)
        return;
    s->func(s->text, s->start, s->ends, s->n_ends, s->user_data);
    s->start = s->ends[s->n_ends - 1];
    s->n_ends = 0;
}

static inline void
add_piece(Split *s, gsize end)
{
    if (s->n_ends == PD_PIECES_MAX)
        hand_over(s);
    s->ends[s->n_ends++] = (guint32)end;
}

/* Where the next match lies: FALSE if there is none. */
static gboolean
next_match(Split *s, int stage, const char *text, gsize n, gsize from, gsize *begin, gsize *end)
{
    const pcre2_code *code = s->pre->stages[stage].code;
    const guint32 options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int rc = pcre2_match(code, (PCRE2_SPTR)text, n, from, options, s->match[stage], NULL);
    /* The interpreter keeps its backtracking on the heap, where there is more of it. */
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        rc = pcre2_match(code, (PCRE2_SPTR)text, n, from, options | PCRE2_NO_JIT, s->match[stage],
                         NULL);
    if (rc == PCRE2_ERROR_NOMATCH)
        return FALSE;
    if (rc < 0) {
        /* Out of its limits: go on character by character rather than lose text. */
        *begin = from;
        *end = MIN(n, from + g_utf8_skip[(guint8)text[from]]);
        return TRUE;
    }
    const PCRE2_SIZE *ovector = pcre2_get_ovector_pointer(s->match[stage]);
    *begin = ovector[0];
    *end = ovector[1];
    /* \K and lookbehind can report odd spans; pieces must move forward. */
    return *begin >= from && *end > *begin && *end <= n;
}

static void split_stage(Split *s, int stage, const char *text, gsize n);

static inline void
emit(Split *s, int stage, const char *text, gsize from, gsize to)
{
    if (to <= from)
        return;
    if (stage + 1 == s->pre->n_stages)
        add_piece(s, (gsize)(text - s->text) + to);
    else
        split_stage(s, stage + 1, text + from, to - from);
}

static void
split_stage(Split *s, int stage, const char *text, gsize n)
{
    PdSplitBehaviour behaviour = s->pre->stages[stage].behaviour;
    gsize open = 0; /* start of what has not been given on yet */
    gsize at = 0;
    gsize begin, end;
    guint digits = s->pre->stages[stage].digits;
    while (at < n) {
        begin = at;
        end = digits ? scan_ascii(text, n, at, digits) : 0;
        if (!end && !next_match(s, stage, text, n, at, &begin, &end))
            break;
        if (behaviour == PD_SPLIT_MERGED_WITH_PREVIOUS) {
            emit(s, stage, text, open, end);
            open = end;
        } else if (behaviour == PD_SPLIT_MERGED_WITH_NEXT) {
            emit(s, stage, text, open, begin);
            open = begin;
        } else {
            emit(s, stage, text, open, begin);
            emit(s, stage, text, begin, end);
            open = end;
        }
        at = end;
    }
    emit(s, stage, text, open, n);
}

void
pd_pretokenizer_split(const PdPretokenizer *pre, const char *text, gsize n, PdPiecesFunc func,
                      gpointer user_data)
{
    Split s;
    if (n == 0)
        return;
    s.pre = pre;
    s.text = text;
    s.start = s.n_ends = 0;
    s.func = func;
    s.user_data = user_data;
    for (int i = 0; i < pre->n_stages; i++)
        s.match[i] = pcre2_match_data_create(1, NULL);
    if (pre->n_stages == 0)
        add_piece(&s, n);
    else
        split_stage(&s, 0, text, n);
    hand_over(&s);
    for (int i = 0; i < pre->n_stages; i++)
        pcre2_match_data_free(s.match[i]);
}
