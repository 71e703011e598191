/* Attributions: see attribution.h. */
#include "ingest/attribution.h"

#include <string.h>

#define TOKENS_MAX 48               /* an attribution has fewer */
#define OTHER_MAX 2                 /* words beside a date's numbers: day and month */
#define OTHER_WITH_WHOLE_DATE_MAX 1 /* beside "14.05.2001": the day */
#define IN_BRACKETS_MAX 3           /* words of a name: "(Tidelog Limited)" */

typedef enum {
    NAME,    /* of the author */
    ADDRESS, /* or a Message-ID */
    NUMBER,
    VERB,
    JOINT,
    BRACKETED, /* another word in brackets */
    OTHER,
} TokenKind;

typedef struct {
    char *word; /* case folded */
    guint n_numbers;
    gboolean bracketed;
    gboolean author; /* it is the author's name or address */
    TokenKind kind;
} Token;

/* Case folded, by language. */
static const char *const verbs[] = {
    "wrote",     "writes",   "said",        "says",      "quoting",  "according", "spake",
    "schrieb",   "schreibt", "geschrieben", "zitat",     "sprach",   "écrit",     "ecrit",
    "écrivait",  "escribió", "escribio",    "escribía",  "escriure", "citando",   "citat",
    "scritto",   "scrive",   "escreveu",    "schreef",   "schrijft", "skrev",     "skreiv",
    "kirjoitti", "skrifaði", "kirjutas",    "rakstīja",  "rašė",     "parašė",    "pisze",
    "napisał",   "napisała", "napisał(a",   "cytowanie", "napsal",   "napsala",   "napsal(a",
    "napísal",   "napísala", "napísal(a",   "napisao",   "napisala", "napisal",   "írta",
    "scris",     "yazdı",    "yazmış",      "έγραψε",    "пишет",    "писал",     "писала",
    "написал",   "написала", "написал(а",   "пише",      "написав",  "написа",    "כתב",
    "כתבה",      "כתב/ה",    "كتب",         "menulis",   "viết",     "เขียนว่า",    NULL};

/* In scripts without blanks: the verb ends a word, or is one. */
static const char *const verb_ends[] = {"写道", "寫道", "写到", "書きました",
                                        "作成", "작성", "씀",   NULL};

static const char *const joints[] = {
    "on",          "at",   "in",       "of",         "to",        "am",      "pm",
    "a.m",         "p.m",  "th",       "via",        "behalf",    "article", "message",
    "mailto",      "thus", "also",     "previously", "has",       "gmt",     "utc",
    "cet",         "cest", "bst",      "edt",        "est",       "cdt",     "cst",
    "mdt",         "mst",  "pdt",      "pst",        "met",       "mez",     "mesz",
    "msk",         "jst",  "z",        "den",        "dem",       "um",      "uhr",
    "von",         "vom",  "hat",      "im",         "auftrag",   "le",      "à",
    "a",           "de",   "du",       "h",          "el",        "las",     "la",
    "los",         "va",   "ha",       "il",         "giorno",    "alle",    "ore",
    "di",          "em",   "às",       "as",         "dia",       "op",      "om",
    "heeft",       "het",  "volgende", "kl",         "klo",       "det",     "følgende",
    "følgjande",   "w",    "dniu",     "o",          "godz",      "dne",     "v",
    "dňa",         "u",    "dana",     "je",         "ezt",       "r",       "następująco",
    "keltezéssel", "în",   "data",     "ora",        "tarihinde", "şunu",    "saat",
    "στισ",        "ο",    "η",        "χρήστησ",    "π.μ",       "μ.μ",     "в",
    "г",           "р",    "ч",        "года",       "о",         "на",      "בתאריך",
    "מאת",         "في",   "pada",     "tanggal",    "pukul",     "vào",     "lúc",
    "đã",          "於",   "在",       "年",         "月",        "日",      "님이",
    "さん",        NULL};

/* What may stand between the numbers of a date and the word beside them. */
static const char *const date_joints[] = {"de", "of", "di", NULL};

static void
token_clear(gpointer data)
{
    g_free(((Token *)data)->word);
}

static gboolean
splits(gunichar c)
{
    static const char ascii[] = ",;\"'*_|=<>`~#";
    if (c < 0x80)
        return c <= ' ' || strchr(ascii, (char)c) != NULL;
    return g_unichar_isspace(c) || (g_unichar_ispunct(c) && c != 0x2019 && c != 0x2011);
}

static guint
count_numbers(const char *word)
{
    guint n = 0;
    for (gboolean inside = FALSE; *word; word = g_utf8_next_char(word)) {
        gboolean digit = g_unichar_isdigit(g_utf8_get_char(word));
        n += digit && !inside;
        inside = digit;
    }
    return n;
}

/* The word from `start` to `end` without the stops around it; nothing if there is nothing else. */
static void
add_token(GArray *tokens, const char *start, const char *end, gboolean bracketed)
{
    static const char stops[] = ".:-+/(&";
    while (start < end && strchr(stops, *start))
        start++;
    while (end > start && strchr(stops, end[-1]))
        end--;
    if (start == end)
        return;
    g_autofree char *word = g_strndup(start, (gsize)(end - start));
    Token token = {.word = g_utf8_casefold(word, -1), .bracketed = bracketed};
    token.n_numbers = count_numbers(token.word);
    g_array_append_val(tokens, token);
}

/* The words of a text, at most TOKENS_MAX + 1.  A bracket that begins a word begins a remark; the
 * one in "napisał(a)" does not. */
static GArray *
split(const char *text, gsize n)
{
    GArray *tokens = g_array_new(FALSE, FALSE, sizeof(Token));
    g_autofree char *valid = g_utf8_make_valid(text, (gssize)n);
    const char *start = valid, *at = valid;
    guint depth = 0;
    g_array_set_clear_func(tokens, token_clear);
    for (; tokens->len <= TOKENS_MAX; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        gboolean opens = c == '[' || (c == '(' && at == start);
        gboolean closes = depth > 0 && (c == ']' || c == ')');
        if (c && !opens && !closes && c != ')' && !splits(c))
            continue;
        add_token(tokens, start, at, depth > 0);
        if (!c)
            break;
        depth = depth + opens - closes;
        start = g_utf8_next_char(at);
    }
    return tokens;
}

/* "smith" of "smith/tidelog" and of "smith님이"; a single letter stands for itself only. */
static gboolean
is_authors(const Token *token, const GArray *names)
{
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_array_index(names, Token, i).word;
        gsize n = strlen(name);
        if (strncmp(token->word, name, n) != 0)
            continue;
        char next = token->word[n];
        if (!next || (n > 1 && !g_ascii_isalnum(next) && next != '@' && next != '.'))
            return TRUE;
    }
    return FALSE;
}

static TokenKind
kind_of(const Token *token)
{
    if (strchr(token->word, '@'))
        return ADDRESS;
    for (guint i = 0; verb_ends[i]; i++)
        if (g_str_has_suffix(token->word, verb_ends[i]))
            return VERB;
    if (token->n_numbers)
        return NUMBER;
    if (token->author)
        return NAME;
    if (g_strv_contains(verbs, token->word))
        return VERB;
    return g_strv_contains(joints, token->word) ? JOINT : token->bracketed ? BRACKETED : OTHER;
}

static TokenKind
kind_at(const GArray *tokens, guint i)
{
    return i < tokens->len ? g_array_index(tokens, Token, i).kind : JOINT;
}

/* One word between two of a name is a name too: "Kay Lou Smith". */
static void
join_names(GArray *tokens)
{
    for (guint i = 1; i + 1 < tokens->len; i++) {
        TokenKind after = kind_at(tokens, i + 1);
        if (kind_at(tokens, i) == OTHER && kind_at(tokens, i - 1) == NAME &&
            (after == NAME || after == ADDRESS))
            g_array_index(tokens, Token, i).kind = NAME;
    }
}

static GArray *
classify(const char *text, gsize n, const char *author)
{
    GArray *tokens = split(text, n);
    g_autoptr(GArray) names = split(author ? author : "", author ? strlen(author) : 0);
    for (guint i = 0; i < tokens->len; i++) {
        Token *token = &g_array_index(tokens, Token, i);
        token->author = is_authors(token, names);
        token->kind = kind_of(token);
    }
    join_names(tokens);
    return tokens;
}

/* Does a date's number stand next to word i, or next to the word next to it? */
static gboolean
is_beside_number(const GArray *tokens, guint i)
{
    for (int step = -1; step <= 1; step += 2) {
        guint n_others = 0;
        for (guint k = i + (guint)step; k < tokens->len; k += (guint)step) {
            const Token *token = &g_array_index(tokens, Token, k);
            if (token->kind == NUMBER)
                return TRUE;
            if (g_strv_contains(date_joints, token->word))
                continue;
            if (token->kind != OTHER || ++n_others == OTHER_MAX)
                break;
        }
    }
    return FALSE;
}

typedef struct {
    guint n[OTHER + 1]; /* of each kind */
    guint n_numbers;
    gboolean whole_date; /* "14.05.2001" */
    gboolean named;
    gboolean others_fit; /* each beside a number, and none at the end */
} Counts;

static Counts
count(const GArray *tokens)
{
    Counts counts = {.others_fit = TRUE};
    for (guint i = 0; i < tokens->len; i++) {
        const Token *token = &g_array_index(tokens, Token, i);
        counts.n[token->kind]++;
        counts.n_numbers += token->n_numbers;
        counts.whole_date |=
            token->kind == NUMBER && token->n_numbers >= 3 && !strchr(token->word, ':');
        counts.named |= token->author && !g_strv_contains(joints, token->word);
        if (token->kind == OTHER && (i + 1 == tokens->len || !is_beside_number(tokens, i)))
            counts.others_fit = FALSE;
    }
    return counts;
}

PdAttribution
pd_attribution_of(const char *text, gsize n, const char *author)
{
    g_autoptr(GArray) tokens = classify(text, n, author);
    Counts counts = count(tokens);
    gboolean dated = counts.n_numbers >= 2;
    guint others_max = counts.whole_date ? OTHER_WITH_WHOLE_DATE_MAX : dated ? OTHER_MAX : 0;
    if (tokens->len > TOKENS_MAX || !counts.named || !counts.others_fit ||
        counts.n[OTHER] > others_max || counts.n[BRACKETED] > IN_BRACKETS_MAX)
        return PD_ATTRIBUTION_NONE;
    /* Some programs write date, name and address only. */
    if (!counts.n[VERB] && !(dated && counts.n[ADDRESS]))
        return PD_ATTRIBUTION_NONE;
    return dated ? PD_ATTRIBUTION_DATED : PD_ATTRIBUTION_UNDATED;
}

gboolean
pd_names_author_only(const char *text, gsize n, const char *author)
{
    g_autoptr(GArray) tokens = classify(text, n, author);
    Counts counts = count(tokens);
    return tokens->len <= TOKENS_MAX && counts.named && counts.n[OTHER] == 0 &&
           counts.n[VERB] == 0 && counts.n[BRACKETED] <= IN_BRACKETS_MAX;
}
