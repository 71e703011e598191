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

typedef struct {
    const PdPretokenizer *pre;
    pcre2_match_data *match[STAGES_MAX];
    PdPieceFunc func;
    gpointer user_data;
} Split;

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

static void
emit(Split *s, int stage, const char *text, gsize from, gsize to)
{
    if (to > from)
        split_stage(s, stage + 1, text + from, to - from);
}

static void
split_stage(Split *s, int stage, const char *text, gsize n)
{
    if (stage == s->pre->n_stages) {
        s->func(text, n, s->user_data);
        return;
    }
    PdSplitBehaviour behaviour = s->pre->stages[stage].behaviour;
    gsize open = 0; /* start of what has not been given on yet */
    gsize at = 0;
    gsize begin, end;
    while (at < n && next_match(s, stage, text, n, at, &begin, &end)) {
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
pd_pretokenizer_split(const PdPretokenizer *pre, const char *text, gsize n, PdPieceFunc func,
                      gpointer user_data)
{
    Split s = {.pre = pre, .func = func, .user_data = user_data};
    if (n == 0)
        return;
    for (int i = 0; i < pre->n_stages; i++)
        s.match[i] = pcre2_match_data_create(1, NULL);
    split_stage(&s, 0, text, n);
    for (int i = 0; i < pre->n_stages; i++)
        pcre2_match_data_free(s.match[i]);
}
