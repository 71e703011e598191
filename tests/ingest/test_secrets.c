/*
 * Which bytes of a text are taken for a secret.  The formats are those of the documents named in
 * secrets.c, the keys are made up; a text is written in pieces so that no scanner of repositories
 * takes this file for a leak.
 */
#include <string.h>
#include "ingest/secrets.h"

/* Text before, the secret (NULL: there is none to be found), text after, its kind. */
typedef struct {
    const char *before;
    const char *secret;
    const char *after;
    const char *kind;
} Case;

#define PEM_BODY                                                                                   \
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDHn4bWm7TqZkOa\n"                           \
    "y1w6Yt0s8pQmLr5cXuV2JdKf9hGeRiBzNoTqWvEaUxSbClPyMkDjHgFnZt3w7I4r\n"                           \
    "q8Kf=="
/* RFC 7515, appendix A.1, as printed there but for the line breaks. */
#define RFC7515_JWT                                                                                \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."                                                    \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"     \
    "cnVlfQ."                                                                                      \
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

static const Case found_cases[] = {
    {"k: -----BEGIN RSA PRIVATE"
     " KEY-----\n",
     PEM_BODY,
     "\n-----END RSA PRIVATE"
     " KEY-----\n",
     "private-key"},
    {"-----BEGIN OPENSSH PRIVATE"
     " KEY-----\n",
     PEM_BODY, "\n-----END OPENSSH PRIVATE KEY-----", "private-key"},
    {"-----BEGIN PGP PRIVATE"
     " KEY BLOCK-----\n\n",
     PEM_BODY "\n=njUN", "\n-----END PGP PRIVATE KEY BLOCK-----", "private-key"},
    /* in a program's string, on one line */
    {"\"-----BEGIN PRIVATE"
     " KEY-----\\n",
     "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\\nAgEAAoIBAQDHn4bWm7TqZkOaQ==",
     "\\n-----END PRIVATE KEY-----\\n\"", "private-key"},
    /* cut off: the lines of base64 are masked, what follows is not */
    {"-----BEGIN PRIVATE"
     " KEY-----\n",
     PEM_BODY, "\n\nRegards, Kay. The key is cut.\n", "private-key"},
    {"id = ",
     "AKI"
     "AQ3EGTB7XZ52LMWVK",
     "\n", "aws-access-key-id"},
    {"AWS_SESSION=",
     "ASI"
     "AQ3EGTB7XZ52LMWVK",
     ";", "aws-access-key-id"},
    {"aws_secret_access_key = ",
     "q7Lw2/ZbT9xK+mVc4RfNp8sYhD1uJ6gEaXiW"
     "0o3B",
     "\n", "aws-secret-access-key"},
    {"\"SecretAccessKey\": \"",
     "q7Lw2/ZbT9xK+mVc4RfNp8sYhD1uJ6gEaXiW"
     "0o3B",
     "\",", "aws-secret-access-key"},
    {"curl -H 'Authorization: token ",
     "ghp"
     "_q7Lw2ZbT9xKmVc4RfNp8sYhD1uJ6gEaXiW0o",
     "'", "github-token"},
    {"",
     "github"
     "_pat_11ABCDEFG0q7Lw2ZbT9xKm_Vc4RfNp8sYhD1uJ6gEaXiW0oq7Lw2ZbT9xKmVc4RfNp8sYhD"
     "1uJ6gEaXiW0o",
     "", "github-token"},
    {"use ",
     "glpat"
     "-q7Lw2ZbT9xKm_c4RfNp8",
     ".", "gitlab-token"},
    {"",
     "glrt"
     "-t3_q7Lw2ZbT9xKm-c4RfNp8.01.1z0abcdef",
     "\n", "gitlab-token"},
    {"SLACK=",
     "xoxb"
     "-158213044-9822331-q7Lw2ZbT9xKmVc4R",
     "\n", "slack-token"},
    {"https://hooks.slack.com/services/",
     "T0A1B2C3D/B0E1F2G3H/"
     "q7Lw2ZbT9xKmVc4RfNp8sYhD",
     ">", "slack-webhook"},
    {"stripe.api_key = \"",
     "sk"
     "_live_q7Lw2ZbT9xKmVc4RfNp8",
     "\"", "stripe-key"},
    {"key=",
     "AIz"
     "aSyq7Lw2ZbT9xKmVc4RfNp8sYhD1uJ-gEaX3",
     "&", "google-api-key"},
    {"",
     "GOCS"
     "PX-q7Lw2ZbT9xKmVc4RfNp8sYhD1u_J",
     " ", "google-oauth"},
    {"//registry.npmjs.org/:_authToken=",
     "npm"
     "_q7Lw2ZbT9xKmVc4RfNp8sYhD1uJ6gEaXiW0o",
     "\n", "npm-token"},
    {"Bearer ", RFC7515_JWT, "\r\n", "jwt"},
    {"postgres://app:", "h0rse-Batt3ry", "@db.internal:5432/app", "url-password"},
    {"redis://:", "k3%2FQz9", "@10.0.0.7/0", "url-password"},
    {"  password: \"", "Tr0ub4dor&3", "\"\n", "password"},
    {"{\\\"db_password\\\":\\\"", "Tr0ub4dor&3", "\\\"}", "password"},
    {"DB_PASSWORD=", "Tr0ub4dor&3", "\n", "password"},
    {"export SMTP_PASSWD=", "Tr0ub4dor", "\n", "password"},
    {"env['API_KEY'] = '", "4f9d1c7a2e8b60357fd2", "'", "api-key"},
    {"X-Api-Key: ", "q7Lw2ZbT9xKmVc4RfNp8sYhD", "\r\n", "api-key"},
    {"client_secret := `", "q7Lw2ZbT9xKmVc4RfNp8", "`", "api-key"},
    {"token = \"",
     "ghp"
     "_q7Lw2ZbT9xKmVc4RfNp8sYhD1uJ6gEaXiW0o",
     "\"", "github-token"},
};

/* Nothing is to be found in these. */
static const char *const clean[] = {
    "-----BEGIN PUBLIC KEY-----\n" PEM_BODY "\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----\n" PEM_BODY "\n-----END CERTIFICATE-----",
    "-----BEGIN RSA PRIVATE"
    " KEY-----\n...\n-----END RSA PRIVATE KEY-----",
    "Files that begin with -----BEGIN PRIVATE"
    " KEY----- hold a key.",
    "AKI"
    "AIOSFODNN7EXAMPLE", /* AWS's own example */
    "xAKI"
    "AQ3EGTB7XZ52LMWVK", /* inside a word */
    "AKI"
    "AQ3EGTB7XZ52LMWVKT",                          /* too long */
    "sha256:q7Lw2ZbT9xKmVc4RfNp8sYhD1uJ6gEaXiW0o", /* no name says it is a secret */
    "commit 3f2c1ab9d5a1c8e6b7f8091a2b3c4d5e6f708192",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xoxb-your-token-goes-here-please",
    "sk_live_...",
    "a header eyJhbGciOiJub25lIn0 alone",
    "eyJmb28iOiJiYXIifQ.eyJmb28iOiJiYXIifQ.c2lnbmF0dXJlc2lnbmF0dXJl", /* no "alg" */
    "https://example.org:8080/a@b",
    "https://user:password@example.org/",
    "https://user:$TOKEN@example.org/",
    "git@github.com:lua/lua.git and ssh://git@host/x",
    "http://[2001:db8::1]:8080/",
    "password = get_password(user1)",
    "password: str = None",
    "passwordField1 = \"input_field_2\"",
    "password=\"%(pass1)s\"",
    "if (token == \"q7Lw2ZbT9xKmVc4RfNp8\")",
    "token = next_token2(lexer3)",
    "secret: \"the key under the mat 1\"",
    "the password is in the vault, box 12",
    "api_key = \"YOUR_API_KEY_123\"",
    "token_count = 12345678901234567890",
    "PASSWORD_FILE=/run/secrets/db1",
    "key = \"com.example.Token2Key3Value4Name5\"",
};

static GArray *
find(const char *text, gsize n)
{
    /* A copy of exactly n bytes: reading behind its end is then an error that sanitizers see. */
    g_autofree char *copy = g_memdup2(text, MAX(n, 1));
    GArray *secrets = g_array_new(FALSE, FALSE, sizeof(PdSecret));
    pd_secrets_find(copy, n, secrets);
    return secrets;
}

static void
test_found(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(found_cases); i++) {
        const Case *c = &found_cases[i];
        g_autofree char *text = g_strconcat(c->before, c->secret, c->after, NULL);
        g_autoptr(GArray) secrets = find(text, strlen(text));
        g_test_message("%s", text);
        g_assert_cmpuint(secrets->len, ==, 1);
        const PdSecret *secret = &g_array_index(secrets, PdSecret, 0);
        g_assert_cmpstr(secret->kind, ==, c->kind);
        g_assert_cmpuint(secret->start, ==, strlen(c->before));
        g_assert_cmpuint(secret->end, ==, strlen(c->before) + strlen(c->secret));
    }
}

static void
test_clean(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(clean); i++) {
        g_autoptr(GArray) secrets = find(clean[i], strlen(clean[i]));
        g_test_message("%s", clean[i]);
        g_assert_cmpuint(secrets->len, ==, 0);
    }
}

/* All of them in one text, one after the other: each is found, in order, and nothing else. */
static void
test_together(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(found_cases); i++)
        g_string_append_printf(text, "\n\xc3\xa9 prose, %s%s%s\n", found_cases[i].before,
                               found_cases[i].secret, found_cases[i].after);
    g_autoptr(GArray) secrets = find(text->str, text->len);
    /* an .env line must begin its line */
    guint k = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(found_cases); i++) {
        if (g_str_has_prefix(found_cases[i].before, "DB_PASSWORD"))
            continue;
        const PdSecret *secret = &g_array_index(secrets, PdSecret, k++);
        g_assert_cmpstr(secret->kind, ==, found_cases[i].kind);
        g_assert_cmpmem(text->str + secret->start, secret->end - secret->start,
                        found_cases[i].secret, strlen(found_cases[i].secret));
    }
    g_assert_cmpuint(secrets->len, ==, k);
}

/* Cut anywhere, nothing is read behind the end and what is found lies inside. */
static void
test_cut(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(found_cases); i++) {
        const Case *c = &found_cases[i];
        g_autofree char *text = g_strconcat(c->before, c->secret, c->after, NULL);
        for (gsize n = 0; n < strlen(text); n++) {
            g_autoptr(GArray) secrets = find(text, n);
            for (guint k = 0; k < secrets->len; k++)
                g_assert_cmpuint(g_array_index(secrets, PdSecret, k).end, <=, n);
        }
    }
}

/* Texts that would cost a rule which goes back the square of their length: a megabyte of each would
 * then take hours. */
static void
test_hostile(void)
{
    static const char *const units[] = {"-----BEGIN PRIVATE"
                                        " KEY-----",
                                        "ghp_",
                                        "xoxb-",
                                        "eyJh",
                                        "eyJh.",
                                        "a://",
                                        "a://b:",
                                        "token=",
                                        "AKIA",
                                        "glpat-a",
                                        "secret",
                                        "password:'",
                                        "-----",
                                        "\\",
                                        "\xff"};
    for (gsize i = 0; i < G_N_ELEMENTS(units); i++) {
        g_autoptr(GString) text = g_string_new(NULL);
        while (text->len < (1u << 20))
            g_string_append(text, units[i]);
        g_autoptr(GArray) secrets = find(text->str, text->len);
        g_assert_cmpuint(secrets->len, ==, 0);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/secrets/found", test_found);
    g_test_add_func("/secrets/clean", test_clean);
    g_test_add_func("/secrets/together", test_together);
    g_test_add_func("/secrets/cut", test_cut);
    g_test_add_func("/secrets/hostile", test_hostile);
    return g_test_run();
}
