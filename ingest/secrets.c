/*
 * The rules for secrets, and one pass over a text that applies them.
 *
 * Every rule begins with at least four fixed bytes.  The pass hashes the four bytes at each place,
 * letters in lower case, and compares only where some rule's bytes have that hash; everything
 * behind the prefix is matched by hand, without going back.  A token must not continue a longer
 * word of its own alphabet on either side: base64 is full of accidental prefixes.
 *
 * Sources of the formats, by kind:
 *   private-key            RFC 7468 sections 10 and 11 and the older labels of PEM (RFC 1421,
 *                          OpenSSL), OpenSSH's PROTOCOL.key, RFC 9580 section 6.2 (OpenPGP)
 *   aws-access-key-id      AWS IAM User Guide, "IAM identifiers": AKIA, ASIA; 20 characters
 *   aws-secret-access-key  AWS Security Credentials: 40 characters, told by the name before them
 *   github-token           GitHub, "Behind GitHub's new authentication token formats" (2021)
 *   gitlab-token           GitLab documentation, "Token overview": prefixes
 *   slack-token, -webhook  Slack documentation, "Tokens" and "Sending messages using incoming
 *                          webhooks"
 *   stripe-key             Stripe documentation, "API keys" and "Webhooks"
 *   google-api-key, -oauth Google Cloud documentation, "API keys", OAuth 2.0 client secrets and
 *                          access tokens
 *   npm-token, pypi-token  npm, "Announcing npm's new access token format" (2021); PyPI, "API
 *                          tokens" (a macaroon whose first bytes name the site)
 *   jwt                    RFC 7515 section 7.1: three base64url parts, the first an object with
 *                          "alg"
 *   url-password           RFC 3986 section 3.2.1: user:password@ in an authority
 *   password, api-key      a literal assigned to such a name; see check_password and check_key
 */
#include "ingest/secrets.h"

#include <string.h>

/* Alphabets: bits of a character's class. */
enum {
    LOWER = 1,
    UPPER = 2,
    DIGIT = 4,
    BASE32 = 8, /* A-Z, 2-7 */
    LINE = 16,  /* _ */
    DASH = 32,
    DOT = 64,
    BASE64 = 128, /* + / = */
};
#define ALNUM (LOWER | UPPER | DIGIT)
#define WORD (ALNUM | LINE)
#define URL64 (WORD | DASH)

#define PEM_BYTES_MAX (32u << 10) /* the body; 16,384-bit RSA takes 13 KB */
#define PEM_LINE_BYTES_MIN 40     /* without such a run it is an example, not a key */
#define JWT_PART_BYTES_MAX (16u << 10)
#define NAME_BYTES_MAX 48
#define VALUE_BYTES_MAX 200
#define BLANKS_BYTES_MAX 8

typedef struct {
    const char *text;
    gsize n;
} Text;

typedef struct Rule Rule;
/* Is there a secret of this rule, whose prefix stands at `at`?  Then its bytes. */
typedef gboolean (*Match)(const Text *text, const Rule *rule, gsize at, PdSecret *secret);

struct Rule {
    const char *prefix; /* at least four bytes, letters as they stand unless `fold` */
    const char *kind;
    Match match;
    guint8 alphabet; /* of what follows a token's prefix */
    guint16 n_min, n_max;
    gboolean fold;
};

static guint8
class_of(char c)
{
    if (c >= 'a' && c <= 'z')
        return LOWER;
    if (c >= 'A' && c <= 'Z')
        return UPPER | BASE32;
    if (c >= '0' && c <= '9')
        return c >= '2' && c <= '7' ? DIGIT | BASE32 : DIGIT;
    return c == '_' ? LINE : c == '-' ? DASH : c == '.' ? DOT : c && strchr("+/=", c) ? BASE64 : 0;
}

/* The end of the run of `alphabet` from `at` on, at most `max` characters. */
static gsize
run_end(const Text *text, gsize at, guint8 alphabet, gsize max)
{
    gsize end = MIN(text->n, at + max);

    while (at < end && (class_of(text->text[at]) & alphabet))
        at++;
    return at;
}

static gboolean
is_in(const Text *text, gsize at, guint8 alphabet)
{
    return at < text->n && (class_of(text->text[at]) & alphabet);
}

static gboolean
stands_at(const Text *text, gsize at, const char *what)
{
    gsize n = strlen(what);

    return at <= text->n && text->n - at >= n && memcmp(text->text + at, what, n) == 0;
}

typedef struct {
    guint n_lower, n_upper, n_digits, n_other;
    guint n_distinct;
    guint n_changes; /* from one of these kinds to another */
} Profile;

static Profile
profile_of(const char *s, gsize n)
{
    Profile profile = {0};
    gboolean seen[256] = {FALSE};
    guint8 last = 0;

    for (gsize i = 0; i < n; i++) {
        guint8 kind = class_of(s[i]) & ALNUM;

        *(kind == LOWER   ? &profile.n_lower
          : kind == UPPER ? &profile.n_upper
          : kind == DIGIT ? &profile.n_digits
                          : &profile.n_other) += 1;
        profile.n_distinct += !seen[(guchar)s[i]];
        seen[(guchar)s[i]] = TRUE;
        profile.n_changes += i > 0 && kind != last;
        last = kind;
    }
    return profile;
}

/* Nobody's token is "xxxxxxxx" or one word. */
static gboolean
is_varied(const char *s, gsize n)
{
    Profile p = profile_of(s, n);

    return p.n_distinct >= 8 && (p.n_lower > 0) + (p.n_upper > 0) + (p.n_digits > 0) >= 2;
}

static gboolean
found(PdSecret *secret, const char *kind, gsize start, gsize end)
{
    *secret = (PdSecret){(guint32)start, (guint32)end, kind};
    return TRUE;
}

/* --- tokens with a prefix ------------------------------------------------------------------ */

static gboolean
match_token(const Text *text, const Rule *rule, gsize at, PdSecret *secret)
{
    gsize start = at + strlen(rule->prefix), end;

    if (at > 0 && is_in(text, at - 1, rule->alphabet | ALNUM))
        return FALSE; /* first: so no run is looked at twice */
    end = run_end(text, start, rule->alphabet, (gsize)rule->n_max + 1);
    /* A dot ends a sentence more often than a token. */
    while (end > start && text->text[end - 1] == '.')
        end--;
    if (end - start < rule->n_min || end - start > rule->n_max || is_in(text, end, ALNUM) ||
        !is_varied(text->text + start, end - start) ||
        memcmp(text->text + end - 7, "EXAMPLE", 7) == 0)
        return FALSE;
    return found(secret, rule->kind, at, end);
}

/* The path behind the host is the secret. */
static gboolean
match_webhook(const Text *text, const Rule *rule, gsize at, PdSecret *secret)
{
    gsize start = at + strlen(rule->prefix);
    gsize end = run_end(text, start, ALNUM | BASE64, (gsize)rule->n_max + 1);

    if (end - start < rule->n_min || end - start > rule->n_max ||
        !is_varied(text->text + start, end - start))
        return FALSE;
    return found(secret, rule->kind, start, end);
}

/* Does this base64url decode to a JSON object that names its algorithm? */
static gboolean
is_jose_header(const char *s, gsize n)
{
    char copy[1024 + 4];
    gsize n_bytes;
    g_autofree guchar *bytes = NULL;

    if (n > 1024 || n % 4 == 1)
        return FALSE;
    for (gsize i = 0; i < n; i++)
        copy[i] = s[i] == '-' ? '+' : s[i] == '_' ? '/' : s[i];
    while (n % 4)
        copy[n++] = '=';
    copy[n] = 0;
    bytes = g_base64_decode(copy, &n_bytes);
    return n_bytes > 0 && g_strstr_len((const char *)bytes, (gssize)n_bytes, "\"alg\"");
}

static gboolean
match_jwt(const Text *text, const Rule *rule, gsize at, PdSecret *secret)
{
    gsize header, payload, end;

    if (at > 0 && is_in(text, at - 1, URL64 | DOT))
        return FALSE;
    header = run_end(text, at, URL64, JWT_PART_BYTES_MAX);
    if (!stands_at(text, header, ".eyJ"))
        return FALSE;
    payload = run_end(text, header + 1, URL64, JWT_PART_BYTES_MAX);
    if (!stands_at(text, payload, "."))
        return FALSE;
    end = run_end(text, payload + 1, URL64, JWT_PART_BYTES_MAX);
    if (end - payload - 1 < rule->n_min || !is_jose_header(text->text + at, header - at))
        return FALSE;
    return found(secret, rule->kind, at, end);
}

/* --- private keys -------------------------------------------------------------------------- */

/* "-----BEGIN RSA PRIVATE KEY-----": the end of the line of dashes; 0: another label. */
static gsize
private_label_end(const Text *text, gsize at)
{
    gsize start = at + strlen("-----BEGIN "), end = start;

    while (end < text->n && end - start < 48 &&
           (is_in(text, end, UPPER | DIGIT) || text->text[end] == ' '))
        end++;
    if (!stands_at(text, end, "-----"))
        return 0;
    g_autofree char *label = g_strndup(text->text + start, end - start);
    if (!g_str_has_suffix(label, "PRIVATE KEY") && !g_str_equal(label, "PGP PRIVATE KEY BLOCK"))
        return 0;
    return end + 5;
}

/* Where the body ends: at the next dashes, or, if they are missing, after the lines of base64. */
static gsize
pem_body_end(const Text *text, gsize start)
{
    gsize limit = MIN(text->n, start + PEM_BYTES_MAX), at = start;

    while (at < limit && !stands_at(text, at, "-----") && (guchar)text->text[at] < 0x80 &&
           text->text[at])
        at++;
    if (stands_at(text, at, "-----END "))
        return at;
    limit = at;
    for (at = start; at < limit;) {
        gsize line = at;
        while (at < limit && text->text[at] != '\n')
            at++;
        if (line > start && run_end(text, line, ALNUM | BASE64, at - line) != at)
            return line;
        at += at < limit;
    }
    return at;
}

/* Without the line ends at its borders, real ones and those of a string in a program. */
static void
trim_pem_body(const Text *text, gsize *start, gsize *end)
{
    const guint8 body = ALNUM | BASE64;

    while (*start < *end && (text->text[*start] == '\\' || !is_in(text, *start, body)))
        *start += text->text[*start] == '\\' && *start + 1 < *end ? 2 : 1;
    while (*end > *start) {
        if (*end - *start >= 2 && text->text[*end - 2] == '\\')
            *end -= 2;
        else if (!is_in(text, *end - 1, body))
            *end -= 1;
        else
            break;
    }
}

static gboolean
match_pem(const Text *text, const Rule *rule, gsize at, PdSecret *secret)
{
    gsize start = private_label_end(text, at), end;
    gsize longest = 0;

    if (start == 0)
        return FALSE;
    end = pem_body_end(text, start);
    trim_pem_body(text, &start, &end);
    for (gsize i = start; i < end;) {
        gsize stop = run_end(text, i, ALNUM | BASE64, end - i);
        longest = MAX(longest, stop - i);
        i = stop + 1;
    }
    return longest >= PEM_LINE_BYTES_MIN && is_varied(text->text + start, end - start) &&
           found(secret, rule->kind, start, end);
}

/* --- passwords and keys that a name tells of ----------------------------------------------- */

/* What stands where a secret would, in documentation and tests. */
static gboolean
is_placeholder(const char *s, gsize n)
{
    static const char *const words[] = {
        "pass",    "secret", "example", "placeholder", "change", "your", "xxxx",
        "test",    "dummy",  "fake",    "sample",      "todo",   "user", "redacted",
        "default", "foobar", "token",   "1234",        "abcd",   "****", "...."};
    g_autofree char *lower = g_ascii_strdown(s, (gssize)n);

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        if (strstr(lower, words[i]))
            return TRUE;
    return FALSE;
}

static gboolean
is_userinfo(char c)
{
    return (class_of(c) & (URL64 | DOT)) || (c && strchr("~%!$&'()*+,;=:", c));
}

/* `at`: the last letter of the scheme. */
static gboolean
match_url(const Text *text, const Rule *rule, gsize at, PdSecret *secret)
{
    gsize start = at + strlen(rule->prefix), limit = MIN(text->n, start + VALUE_BYTES_MAX);
    gsize colon, end;

    for (colon = start; colon < limit && text->text[colon] != ':'; colon++)
        if (!is_userinfo(text->text[colon]))
            return FALSE;
    for (end = colon; end < limit && is_userinfo(text->text[end]);)
        end++;
    if (colon >= limit || end >= limit || text->text[end] != '@' ||
        !(is_in(text, end + 1, ALNUM) || stands_at(text, end + 1, "[")))
        return FALSE;
    start = colon + 1;
    if (end - start < rule->n_min || strchr("$%(&", text->text[start]) ||
        profile_of(text->text + start, end - start).n_distinct < 3 ||
        is_placeholder(text->text + start, end - start))
        return FALSE;
    return found(secret, rule->kind, start, end);
}

/* A literal that may be a password: neither words nor a path nor something to be filled in. */
static gboolean
check_password(const char *s, gsize n)
{
    Profile p = profile_of(s, n);

    return n >= 8 && p.n_digits > 0 && p.n_lower + p.n_upper > 0 && p.n_distinct >= 6 &&
           s[0] != '/' && s[0] != '.' && !g_strstr_len(s, (gssize)n, "://") &&
           !is_placeholder(s, n);
}

/* A literal that may be an API key: long, and not made of words. */
static gboolean
check_key(const char *s, gsize n)
{
    Profile p = profile_of(s, n);

    return n >= 16 && p.n_digits >= 3 && p.n_distinct >= 8 && p.n_changes >= 6 &&
           !memchr(s, '.', n) && s[0] != '/' && !g_strstr_len(s, (gssize)n, "//") &&
           !is_placeholder(s, n);
}

/* The same without quotes, where it may be a program's identifier. */
static gboolean
check_bare_key(const char *s, gsize n)
{
    Profile p = profile_of(s, n);

    return check_key(s, n) && (n >= 32 || (p.n_lower > 0 && p.n_upper > 0)) && p.n_changes >= 8;
}

typedef enum { NAME_OTHER, NAME_PASSWORD, NAME_KEY, NAME_AWS } NameKind;

/* What a name like "db_password", "X-Api-Key" or "aws_secret_access_key" says it holds. */
static NameKind
kind_of_name(const char *s, gsize n)
{
    char name[2 * NAME_BYTES_MAX + 1];
    gsize n_name = 0;

    for (gsize i = 0; i < n && n_name < sizeof name - 1; i++)
        if (class_of(s[i]) & ALNUM)
            name[n_name++] = g_ascii_tolower(s[i]);
    name[n_name] = 0;
    if (g_str_has_suffix(name, "secretaccesskey") ||
        (strstr(name, "aws") && g_str_has_suffix(name, "secretkey")))
        return NAME_AWS;
    if (g_str_has_suffix(name, "password") || g_str_has_suffix(name, "passwd") ||
        g_str_has_suffix(name, "passphrase"))
        return NAME_PASSWORD;
    if (g_str_has_suffix(name, "secret") || g_str_has_suffix(name, "secretkey") ||
        g_str_has_suffix(name, "apikey") || g_str_has_suffix(name, "accesskey") ||
        g_str_has_suffix(name, "token"))
        return NAME_KEY;
    return NAME_OTHER;
}

static gsize
skip_blanks(const Text *text, gsize at)
{
    gsize limit = MIN(text->n, at + BLANKS_BYTES_MAX);

    while (at < limit && (text->text[at] == ' ' || text->text[at] == '\t'))
        at++;
    return at;
}

static gboolean
is_quote(const Text *text, gsize at)
{
    return at < text->n && text->text[at] && strchr("\"'`", text->text[at]);
}

/* Behind a name, perhaps quoted: "=", ":", ":=" or "=>".  0: nothing is assigned. */
static gsize
skip_assignment(const Text *text, gsize at)
{
    at += stands_at(text, at, "\\\""); /* JSON inside a string */
    at += is_quote(text, at);
    at += stands_at(text, at, "]");
    at = skip_blanks(text, at);
    if (stands_at(text, at, ":=") || stands_at(text, at, "=>"))
        at += 2;
    else if ((stands_at(text, at, "=") && !stands_at(text, at, "==")) ||
             (stands_at(text, at, ":") && !stands_at(text, at, "::")))
        at += 1;
    else
        return 0;
    return skip_blanks(text, at);
}

static gboolean
is_value(char c, gboolean literal)
{
    return (class_of(c) & (URL64 | DOT | BASE64)) || (c && strchr("!#%*@^~", c)) ||
           (literal && (c == '&' || c == '?'));
}

/* NAME=value on a line of its own, as in an .env file: a literal though no quotes say so. */
static gboolean
is_env_line(const Text *text, gsize name, gsize name_end, gsize value)
{
    if (value != name_end + 1 || text->text[name_end] != '=')
        return FALSE;
    for (gsize i = name; i < name_end; i++)
        if (!is_in(text, i, UPPER | DIGIT | LINE))
            return FALSE;
    return name == 0 || text->text[name - 1] == '\n' ||
           (name >= 7 && memcmp(text->text + name - 7, "export ", 7) == 0);
}

static const Rule *token_rule_at(const Text *text, gsize at, PdSecret *secret);

/* `at`: somewhere in a name, on one of the words of kind_of_name. */
static gboolean
match_assignment(const Text *text, const Rule *rule, gsize at, PdSecret *secret)
{
    gsize name = at, name_end = run_end(text, at, URL64, NAME_BYTES_MAX);
    gsize start = skip_assignment(text, name_end), end;

    if (start == 0 || start >= text->n)
        return FALSE;
    while (name > 0 && at - name < NAME_BYTES_MAX && is_in(text, name - 1, URL64 | DOT))
        name--;
    NameKind kind = kind_of_name(text->text + name, name_end - name);
    gboolean bare = !is_quote(text, start + stands_at(text, start, "\\"));
    gboolean literal = !bare || is_env_line(text, name, name_end, start);

    start += bare ? 0 : stands_at(text, start, "\\") ? 2 : 1;
    for (end = start;
         end < text->n && end - start <= VALUE_BYTES_MAX && is_value(text->text[end], literal);)
        end++;
    while (bare && end > start && strchr(".!", text->text[end - 1]))
        end--;
    if (kind == NAME_OTHER || end - start > VALUE_BYTES_MAX || end == start)
        return FALSE;
    if (!bare && !is_quote(text, end + stands_at(text, end, "\\")))
        return FALSE;
    if (bare && end < text->n && !strchr(" \t\r\n,;&?\"'`<}", text->text[end]))
        return FALSE;
    if (token_rule_at(text, start, secret)) /* the more exact name for it */
        return TRUE;
    const char *s = text->text + start;
    gsize n = end - start;
    if (kind == NAME_AWS)
        return n == 40 && is_varied(s, n) && memcmp(s + n - 10, "EXAMPLEKEY", 10) != 0 &&
               found(secret, "aws-secret-access-key", start, end);
    if (kind == NAME_PASSWORD)
        return (literal ? check_password(s, n) : check_bare_key(s, n)) &&
               found(secret, "password", start, end);
    return (literal ? check_key(s, n) : check_bare_key(s, n)) &&
           found(secret, "api-key", start, end);
}

/* --- the table ----------------------------------------------------------------------------- */

#define TOKEN(prefix, kind, alphabet, n_min, n_max)                                                \
    {                                                                                              \
        prefix, kind, match_token, alphabet, n_min, n_max, FALSE                                   \
    }
#define NAME(word)                                                                                 \
    {                                                                                              \
        word, NULL, match_assignment, 0, 0, 0, TRUE                                                \
    }

static const Rule rules[] = {
    {"-----BEGIN ", "private-key", match_pem, 0, 0, 0, FALSE},
    TOKEN("AKIA", "aws-access-key-id", BASE32, 16, 16),
    TOKEN("ASIA", "aws-access-key-id", BASE32, 16, 16),
    TOKEN("ghp_", "github-token", ALNUM, 36, 255),
    TOKEN("gho_", "github-token", ALNUM, 36, 255),
    TOKEN("ghu_", "github-token", ALNUM, 36, 255),
    TOKEN("ghs_", "github-token", ALNUM, 36, 255),
    TOKEN("ghr_", "github-token", ALNUM, 36, 255),
    TOKEN("github_pat_", "github-token", WORD, 82, 255),
    TOKEN("glpat-", "gitlab-token", URL64 | DOT, 20, 512),
    TOKEN("gldt-", "gitlab-token", URL64 | DOT, 20, 512),
    TOKEN("glrt-", "gitlab-token", URL64 | DOT, 20, 512),
    TOKEN("glcbt-", "gitlab-token", URL64 | DOT, 20, 512),
    TOKEN("glptt-", "gitlab-token", URL64 | DOT, 20, 512),
    TOKEN("glft-", "gitlab-token", URL64 | DOT, 20, 512),
    TOKEN("glimt-", "gitlab-token", URL64 | DOT, 20, 512),
    TOKEN("glagent-", "gitlab-token", URL64 | DOT, 20, 512),
    TOKEN("gloas-", "gitlab-token", URL64 | DOT, 20, 512),
    TOKEN("glsoat-", "gitlab-token", URL64 | DOT, 20, 512),
    TOKEN("xoxb-", "slack-token", ALNUM | DASH, 20, 512),
    TOKEN("xoxp-", "slack-token", ALNUM | DASH, 20, 512),
    TOKEN("xoxa-", "slack-token", ALNUM | DASH, 20, 512),
    TOKEN("xoxr-", "slack-token", ALNUM | DASH, 20, 512),
    TOKEN("xoxs-", "slack-token", ALNUM | DASH, 20, 512),
    TOKEN("xoxe-", "slack-token", ALNUM | DASH, 20, 512),
    TOKEN("xoxe.xoxp-", "slack-token", ALNUM | DASH, 20, 512),
    TOKEN("xoxe.xoxb-", "slack-token", ALNUM | DASH, 20, 512),
    TOKEN("xapp-", "slack-token", ALNUM | DASH, 20, 512),
    {"hooks.slack.com/services/", "slack-webhook", match_webhook, 0, 30, 100, FALSE},
    TOKEN("sk_live_", "stripe-key", ALNUM, 16, 255),
    TOKEN("sk_test_", "stripe-key", ALNUM, 16, 255),
    TOKEN("rk_live_", "stripe-key", ALNUM, 16, 255),
    TOKEN("rk_test_", "stripe-key", ALNUM, 16, 255),
    TOKEN("whsec_", "stripe-key", ALNUM | BASE64, 24, 255),
    TOKEN("AIza", "google-api-key", URL64, 35, 35),
    TOKEN("GOCSPX-", "google-oauth", URL64, 28, 28),
    TOKEN("ya29.", "google-oauth", URL64 | DOT, 30, 2048),
    TOKEN("npm_", "npm-token", ALNUM, 36, 36),
    TOKEN("pypi-AgEIcHlwaS5vcmc", "pypi-token", URL64, 50, 1000),
    TOKEN("pypi-AgENdGVzdC5weXBpLm9yZ", "pypi-token", URL64, 50, 1000),
    NAME("passw"),
    NAME("passphrase"),
    NAME("secret"),
    NAME("token"),
    NAME("apikey"),
    NAME("api_key"),
    NAME("api-key"),
    NAME("access_key"),
    NAME("access-key"),
    NAME("accesskey"),
};

/* Rules whose prefixes a program writes out: base64 of {"a to {"z, and the end of any scheme. */
#define N_JWT 26
#define N_URL 36
#define N_RULES (G_N_ELEMENTS(rules) + N_JWT + N_URL)

#define HASH_BITS 12

typedef struct {
    Rule rules[N_RULES];
    char prefixes[N_JWT + N_URL][8];
    guint8 first[1 << HASH_BITS]; /* 1 + index into rules, 0: none */
    guint8 next[N_RULES];         /* the same, of the next rule with this hash */
} Table;
G_STATIC_ASSERT(N_RULES < 255);

/* Four bytes with letters in lower case (and some other pairs made one), to HASH_BITS bits. */
static inline guint32
hash4(const char *at)
{
    guint32 bytes;

    memcpy(&bytes, at, sizeof bytes);
    return ((bytes | 0x20202020u) * 0x9E3779B1u) >> (32 - HASH_BITS);
}

static const Table *
make_table(void)
{
    static const char url64[] = "hijklmnopqrstuvwxyz0123456";
    static const char scheme[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    Table *table = g_new0(Table, 1);
    gsize n = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(rules); i++)
        table->rules[n++] = rules[i];
    for (gsize i = 0; i < N_JWT + N_URL; i++) {
        gboolean jwt = i < N_JWT;
        char *prefix = table->prefixes[i];
        g_snprintf(prefix, sizeof table->prefixes[i], jwt ? "eyJ%c" : "%c://",
                   jwt ? url64[i] : scheme[i - N_JWT]);
        table->rules[n++] = jwt ? (Rule){prefix, "jwt", match_jwt, 0, 16, 0, FALSE}
                                : (Rule){prefix, "url-password", match_url, 0, 5, 0, TRUE};
    }
    for (gsize i = 0; i < N_RULES; i++) {
        guint32 hash = hash4(table->rules[i].prefix);
        table->next[i] = table->first[hash];
        table->first[hash] = (guint8)(i + 1);
    }
    return table;
}

static const Table *
get_table(void)
{
    static gsize once;

    if (g_once_init_enter(&once))
        g_once_init_leave(&once, (gsize)make_table());
    return (const Table *)once;
}

static gboolean
has_prefix(const Text *text, gsize at, const Rule *rule)
{
    gsize n = strlen(rule->prefix);

    if (text->n - at < n)
        return FALSE;
    return rule->fold ? g_ascii_strncasecmp(text->text + at, rule->prefix, n) == 0
                      : memcmp(text->text + at, rule->prefix, n) == 0;
}

/* The rule that finds a secret at `at`; `tokens`: only one that knows it by itself. */
static const Rule *
rule_at(const Text *text, gsize at, gboolean tokens, PdSecret *secret)
{
    const Table *table = get_table();

    for (guint8 i = table->first[hash4(text->text + at)]; i; i = table->next[i - 1]) {
        const Rule *rule = &table->rules[i - 1];
        if (!(tokens && rule->match == match_assignment) && has_prefix(text, at, rule) &&
            rule->match(text, rule, at, secret))
            return rule;
    }
    return NULL;
}

static const Rule *
token_rule_at(const Text *text, gsize at, PdSecret *secret)
{
    return text->n - at >= 4 ? rule_at(text, at, TRUE, secret) : NULL;
}

void
pd_secrets_find(const char *text, gsize n_bytes, GArray *secrets)
{
    const guint8 *first = get_table()->first;
    const Text all = {text, n_bytes};
    PdSecret secret;

    g_return_if_fail(n_bytes <= G_MAXUINT32);
    for (gsize at = 0; at + 4 <= n_bytes;) {
        if (!first[hash4(text + at)] || !rule_at(&all, at, FALSE, &secret)) {
            at++;
            continue;
        }
        g_array_append_val(secrets, secret);
        at = secret.end;
    }
}
