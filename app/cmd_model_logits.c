/*
 * pandect model logits: the numbers a model gives for a list of token ids, for comparing with
 * another implementation.  KV is kept in float32 here, so that nothing but the weights' own types
 * is rounded.
 */
#include "app/cmd_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/catalogue.h"
#include "engine/error.h"
#include "engine/session.h"

static const char summary[] =
    "Write the logits at chosen positions of a sequence of token ids, one JSON line "
    "{\"position\": p, \"logits\": [...]} each.";

static const char examples[] =
    "Examples:\n"
    "  pandect model logits --model smollm2-135m --tokens ids.txt --at \"0 5 63\"\n"
    "\n"
    "FILE holds ids separated by white space.  Position 0 is the first id; the logits at a\n"
    "position are those of the id that follows it.";

/* Positions asked for together, to share the passes over the weights. */
#define GROUP_MAX 32

typedef struct {
    char *model;
    char *tokens;
    char *at;
    char *device;
    int threads;
} Flags;

static void
flags_clear(Flags *flags)
{
    g_free(flags->model);
    g_free(flags->tokens);
    g_free(flags->at);
    g_free(flags->device);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Flags, flags_clear)

/* Whole numbers >= 0 separated by white space; `what` names them in the error. */
static GArray *
parse_numbers(const char *text, const char *what, GError **error)
{
    g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(gint32));
    const char *at = text;
    for (;;) {
        while (g_ascii_isspace(*at))
            at++;
        if (*at == '\0')
            break;
        char *end = NULL;
        guint64 value = g_ascii_isdigit(*at) ? g_ascii_strtoull(at, &end, 10) : G_MAXUINT64;
        if (value > G_MAXINT32 || (end != NULL && *end != '\0' && !g_ascii_isspace(*end))) {
            g_autofree char *word = g_strndup(at, MIN(strcspn(at, " \t\r\n"), 40));
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: '%s' is no number",
                        what, word);
            return NULL;
        }
        gint32 number = (gint32)value;
        g_array_append_val(numbers, number);
        at = end;
    }
    if (numbers->len == 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: no numbers", what);
        return NULL;
    }
    return g_steal_pointer(&numbers);
}

static GArray *
read_tokens(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize n_bytes;
    if (!g_file_get_contents(path, &text, &n_bytes, error))
        return NULL;
    if (strlen(text) != n_bytes) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: not a text file", path);
        return NULL;
    }
    return parse_numbers(text, path, error);
}

static gboolean
check_ranges(const GArray *tokens, const GArray *positions, int n_vocab, GError **error)
{
    for (guint i = 0; i < tokens->len; i++) {
        gint32 id = g_array_index(tokens, gint32, i);
        if (id >= n_vocab) {
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                        "token %d at position %u is outside the vocabulary of %d", id, i, n_vocab);
            return FALSE;
        }
    }
    for (guint i = 0; i < positions->len; i++) {
        gint32 p = g_array_index(positions, gint32, i);
        if ((guint)p >= tokens->len) {
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                        "position %d is beyond the %u tokens", p, tokens->len);
            return FALSE;
        }
    }
    return TRUE;
}

static void
print_line(int position, const float *logits, int n_vocab)
{
    printf("{\"position\": %d, \"logits\": [", position);
    for (int i = 0; i < n_vocab; i++) {
        fputs(i > 0 ? ", " : "", stdout);
        if (isfinite(logits[i]))
            printf("%.9g", (double)logits[i]);
        else
            fputs("null", stdout); /* JSON has no word for it */
    }
    puts("]}");
}

/* Ascending positions from positions[first] on go together; returns how many. */
static int
group_at(const GArray *positions, guint first)
{
    guint n = 1;
    while (first + n < positions->len && n < GROUP_MAX &&
           g_array_index(positions, gint32, first + n) >
               g_array_index(positions, gint32, first + n - 1))
        n++;
    return (int)n;
}

/* A position that was passed already is run again: its sequence is cut before it. */
static gboolean
print_logits(PdApp *app, PdSession *session, const GArray *tokens, const GArray *positions,
             GError **error)
{
    int n_vocab = pd_model_shape(pd_session_model(session))->n_vocab;
    g_autofree float *logits = g_try_new(float, (gsize)n_vocab *GROUP_MAX);
    if (logits == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY, "no memory for the logits");
        return FALSE;
    }
    for (guint i = 0; i < positions->len;) {
        PdRun runs[GROUP_MAX];
        int n = group_at(positions, i);
        pd_session_truncate(session, 0, g_array_index(positions, gint32, i));
        int next = pd_session_n_tokens(session, 0);
        for (int r = 0; r < n; r++) {
            int p = g_array_index(positions, gint32, i + (guint)r);
            runs[r] = (PdRun){.tokens = &g_array_index(tokens, gint32, next),
                              .n_tokens = p + 1 - next,
                              .logits = logits + (gsize)r * (gsize)n_vocab};
            next = p + 1;
        }
        if (!pd_session_run(session, runs, n, app->cancellable, NULL, NULL, error))
            return FALSE;
        for (int r = 0; r < n; r++)
            print_line(g_array_index(positions, gint32, i + (guint)r),
                       logits + (gsize)r * (gsize)n_vocab, n_vocab);
        i += (guint)n;
    }
    if (fflush(stdout) != 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "cannot write to stdout");
        return FALSE;
    }
    return TRUE;
}

static gboolean
run(PdApp *app, const Flags *flags, GError **error)
{
    g_autoptr(GArray) tokens = read_tokens(flags->tokens, error);
    if (tokens == NULL)
        return FALSE;
    g_autoptr(GArray) positions = parse_numbers(flags->at, "--at", error);
    if (positions == NULL)
        return FALSE;
    g_autofree char *path = pd_catalogue_resolve(flags->model, error);
    if (path == NULL)
        return FALSE;
    PdModelOptions options = {.n_threads = flags->threads};
    g_autoptr(PdModel) model = pd_model_open(path, &options, error);
    if (model == NULL || !check_ranges(tokens, positions, pd_model_shape(model)->n_vocab, error))
        return FALSE;
    int last = 0;
    for (guint i = 0; i < positions->len; i++)
        last = MAX(last, g_array_index(positions, gint32, i));
    PdSessionOptions session_options = {
        .n_sequences = 1, .max_tokens = last + 1, .kv_type = PD_F32};
    g_autoptr(PdSession) session = pd_session_new(model, &session_options, error);
    return session != NULL && print_logits(app, session, tokens, positions, error);
}

int
pd_cmd_model_logits(PdApp *app, int argc, char **argv)
{
    g_auto(Flags) flags = {0};
    int exit_code;
    const GOptionEntry entries[] = {
        {"model", 'm', 0, G_OPTION_ARG_FILENAME, &flags.model, "Model name, GGUF file or folder",
         "NAME|FILE|DIR"},
        {"tokens", 0, 0, G_OPTION_ARG_FILENAME, &flags.tokens, "File of token ids", "FILE"},
        {"at", 0, 0, G_OPTION_ARG_STRING, &flags.at, "Positions, separated by blanks", "\"P...\""},
        {"device", 0, 0, G_OPTION_ARG_STRING, &flags.device, "cpu (default) or cuda", "DEVICE"},
        {"threads", 't', 0, G_OPTION_ARG_INT, &flags.threads, "Threads (default: one a core)", "N"},
        G_OPTION_ENTRY_NULL};
    g_autoptr(GError) error = NULL;

    if (!pd_parse_options(entries, NULL, summary, examples, &argc, &argv, &exit_code))
        return exit_code;
    if (argc > 1)
        return pd_usage("model logits", "unexpected argument '%s'", argv[1]);
    if (flags.tokens == NULL || flags.at == NULL)
        return pd_usage("model logits", "--tokens FILE and --at \"P...\" are needed");
    if (flags.threads < 0)
        return pd_usage("model logits", "--threads is a number from 1 on");
    if (flags.device != NULL && g_str_equal(flags.device, "cuda")) {
        g_set_error(&error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "this build has no CUDA; leave out --device or say --device cpu");
        return pd_fail(error);
    }
    if (flags.device != NULL && !g_str_equal(flags.device, "cpu"))
        return pd_usage("model logits", "--device is cpu or cuda, not '%s'", flags.device);
    return run(app, &flags, &error) ? PD_EXIT_OK : pd_fail(error);
}
