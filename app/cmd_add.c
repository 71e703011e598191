/* pandect add: read sources into the corpus, and account for everything that was met. */
#include <stdio.h>
#include <string.h>
#include "app/commands.h"
#include "app/ledger_out.h"
#include "app/load_tokenizer.h"
#include "ingest/corpus.h"
#include "prompts/choice.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case add ~/src/lua                     a repository, at HEAD\n"
    "  pandect -C case add lua.bundle lease.pdf mail.mbox\n"
    "  pandect -C case add ~/src/lua --rev v5.4.6        at another commit\n"
    "  pandect -C case add ~/src/lua --diff v5.4.5..v5.4.6    and what changed since then\n"
    "  pandect -C case add ~/src/lua --include '*.[ch]' --exclude ltests.c\n"
    "  pandect -C case add papers/ --json | jq .\n"
    "\n"
    "Adding a source again brings it up to date: only what changed is read and stored.  What was\n"
    "left out, and why, is told here and by `pandect ledger`.  Ctrl-C keeps what is done.\n"
    "How it was read is remembered too: options that are not given again hold as before (--rev,\n"
    "--diff and --work-tree take each other's place; --no-mask and --no-fold never are), and\n"
    "which those are is said.  --reset forgets them.\n"
    "\n"
    "A repository is read at HEAD, or as --rev, --work-tree or --diff say: files that are text, "
    "as\n"
    "text; PDFs, office files, notebooks, compressed files and archives as anywhere else; a tree "
    "of\n"
    "its files, the messages of its last commits, its tags.  BASE..REV compares two commits,\n"
    "BASE...REV the second with what both have in common, BASE the two being BASE and HEAD.\n"
    "Patterns are git's pathspecs, from the top of the source: src, '*.c', ':(glob)src/*.c',\n"
    "':(icase)readme*'.\n"
    "\n"
    "Keys, tokens and passwords in well-known formats are masked in what models read and in every\n"
    "quote; `pandect show --unmask` has them.  With --no-mask nothing is.\n"
    "What mails quote of each other models read once; --no-fold leaves the quotes where they are.\n"
    "The exit code is 1 if a source or document failed or was read only in part; the rest is kept.";

/* Lines of one kind that are printed one by one; the rest is counted. */
#define LINES_SHOWN_MAX 20

typedef struct {
    char *level;
    char *key;
    char *reason;
    gint64 n_bytes;
} Line;

static void
line_free(gpointer data)
{
    Line *line = data;
    g_free(line->level);
    g_free(line->key);
    g_free(line->reason);
    g_free(line);
}

typedef struct {
    char *revision;
    char *model;
    char **sources;
    char *diff;
    char **include;
    char **exclude;
    gboolean work_tree;
    gboolean diff_only;
    gboolean history;
    gboolean blame;
    gboolean reset;
    gboolean insecure;
    char *ocr;
    char *ocr_languages;
    PdOcrMode ocr_mode; /* `ocr` */
    gboolean no_mask;
    gboolean no_fold;
    gboolean json;
    gboolean verbose;
} AddFlags;

static void
add_flags_clear(AddFlags *flags)
{
    g_free(flags->revision);
    g_free(flags->diff);
    g_strfreev(flags->include);
    g_strfreev(flags->exclude);
    g_free(flags->model);
    g_free(flags->ocr);
    g_free(flags->ocr_languages);
    g_strfreev(flags->sources);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AddFlags, add_flags_clear)

static void
on_progress(const char *source, guint64 done, guint64 total, guint64 n_documents,
            gpointer user_data)
{
    /* Where the reader cannot tell how much there is, documents are what can be counted. */
    pd_progress_update(user_data, source, total == 0 ? n_documents : done, total);
}

/* A reason without what differs from file to file, names in quotes, details in brackets, numbers:
 * only so can a thousand of them be told in a line. */
static char *
general_reason(const char *reason)
{
    GString *text = g_string_new(NULL);
    gboolean quoted = FALSE;
    int depth = 0;
    for (const char *at = reason; *at; at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (!quoted && *at == '(')
            depth++;
        else if (!quoted && *at == ')' && depth > 0)
            depth--;
        else if (quoted || depth > 0)
            continue;
        else if (g_ascii_isdigit(*at))
            g_string_append(text, g_ascii_isdigit(at[1]) ? "" : "N");
        else if (*at == ' ' && text->len && text->str[text->len - 1] == ' ')
            continue;
        else if (strchr(":,;.", *at) && text->len && text->str[text->len - 1] == ' ')
            text->str[text->len - 1] = *at;
        else
            g_string_append_c(text, *at);
    }
    g_strchomp(text->str);
    return g_string_free(text, FALSE);
}

static void
count_reason(GHashTable *counts, const char *reason)
{
    g_autofree char *general = general_reason(reason);
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(counts, general));
    g_hash_table_insert(counts, g_steal_pointer(&general), GUINT_TO_POINTER(n + 1));
}

/* What is told of the ledger's lines: only what is shown is kept, a mailbox may have a million. */
typedef struct {
    gboolean every;       /* each line is shown, else the first failed and partial documents */
    gboolean error_tells; /* what is said of the source as a whole */
    GPtrArray *lines;     /* Line: what is shown */
    guint n_problems;     /* failed and partial documents */
    GHashTable *skipped;  /* reason in general -> how many lines (GUINT) */
} Told;

static void
told_clear(Told *told)
{
    g_clear_pointer(&told->lines, g_ptr_array_unref);
    g_clear_pointer(&told->skipped, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Told, told_clear)

static void
on_ledger(const char *source, const PdLedgerLine *line, gpointer user_data)
{
    Told *told = user_data;
    gboolean problem = g_str_equal(line->level, "failed") || g_str_equal(line->level, "partial");
    if (g_str_equal(line->level, "skipped"))
        count_reason(told->skipped, line->reason);
    if (told->error_tells && !line->key[0])
        return;
    told->n_problems += problem;
    if (!told->every && (!problem || told->n_problems > LINES_SHOWN_MAX))
        return;
    Line *copy = g_new0(Line, 1);
    copy->level = g_strdup(line->level);
    copy->key = g_strdup(line->key);
    copy->reason = g_strdup(line->reason);
    copy->n_bytes = line->n_bytes;
    g_ptr_array_add(told->lines, copy);
}

/* What was not said now and holds all the same, and what holds no longer. */
static void
on_options(const char *source, const char *now, const char *before, gpointer user_data)
{
    if (before && g_str_equal(now, before) && !g_str_equal(now, "no options"))
        pd_warn("%s: read with %s, as before", source, now);
    else if (before && !g_str_equal(now, before))
        pd_warn("%s: read with %s; before: %s", source, now, before);
}

static void
print_report_json(JsonBuilder *json, const char *path, const PdAddReport *r, GPtrArray *lines,
                  const GError *error)
{
    json_builder_begin_object(json);
    pd_json_string(json, "source", path);
    pd_json_string(json, "error", error ? error->message : NULL);
    pd_ledger_json_counts(json, r);
    pd_json_int(json, "tokens", (gint64)r->n_tokens);
    pd_json_int(json, "new_text_bytes", (gint64)r->n_new_text_bytes);
    json_builder_set_member_name(json, "ledger");
    json_builder_begin_array(json);
    for (guint i = 0; i < lines->len; i++) {
        const Line *line = g_ptr_array_index(lines, i);
        const PdLedgerLine shown = {line->level, line->key, line->reason, line->n_bytes};
        pd_ledger_json_line(json, &shown);
    }
    json_builder_end_array(json);
    json_builder_end_object(json);
}

/* Failed and partial documents one by one: they are what a person must look at. */
static void
print_problems(const char *name, const Told *told)
{
    for (guint i = 0; i < told->lines->len; i++) {
        const Line *line = g_ptr_array_index(told->lines, i);
        pd_warn("%s: %s%s%s: %s", name, line->level, line->key[0] ? " " : "", line->key,
                line->reason);
    }
    if (told->n_problems > LINES_SHOWN_MAX && !told->every)
        pd_warn("%s: %u more; see: pandect ledger", name, told->n_problems - LINES_SHOWN_MAX);
}

static gint
by_count(gconstpointer a, gconstpointer b, gpointer counts)
{
    guint n_a = GPOINTER_TO_UINT(g_hash_table_lookup(counts, *(char *const *)a));
    guint n_b = GPOINTER_TO_UINT(g_hash_table_lookup(counts, *(char *const *)b));
    return n_a != n_b ? (n_a < n_b) - (n_a > n_b) : strcmp(*(char *const *)a, *(char *const *)b);
}

/* "8 binary, 4 larger than 1 MiB" */
static char *
skipped_by_reason(GHashTable *counts)
{
    guint n_reasons;
    g_autofree char **reasons = (char **)g_hash_table_get_keys_as_array(counts, &n_reasons);
    g_qsort_with_data(reasons, (gint)n_reasons, sizeof *reasons, by_count, counts);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < MIN(n_reasons, 5); i++)
        g_string_append_printf(text, "%s%u %s", i ? ", " : "",
                               GPOINTER_TO_UINT(g_hash_table_lookup(counts, reasons[i])),
                               reasons[i]);
    if (n_reasons > 5)
        g_string_append_printf(text, ", and %u more reasons", n_reasons - 5);
    return g_string_free(text, FALSE);
}

/* "files: 3 found, 2 read (2 new), 1 skipped (1 binary); 812 tokens" */
static void
print_report(const char *name, const PdAddReport *r, const Told *told)
{
    g_autofree char *skipped = r->n_skipped ? skipped_by_reason(told->skipped) : NULL;
    g_autofree char *counts = pd_ledger_counts(r, TRUE, skipped);
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "%s: %s", name, counts);
    if (r->n_removed)
        g_string_append_printf(text, "; %" G_GUINT64_FORMAT " removed", r->n_removed);
    if (r->n_tokens)
        g_string_append_printf(text, "; %" G_GUINT64_FORMAT " tokens", r->n_tokens);
    g_autofree char *safe = pd_terminal_safe(text->str, -1);
    puts(safe);
}

/* The source's name and what its ledger says now; a path that leads nowhere is no source and has
 * neither. */
static gboolean
read_ledger(PdCorpus *corpus, gint64 source_id, char **name, Told *told, GError **error)
{
    g_autoptr(GPtrArray) runs = pd_corpus_runs(corpus, NULL, error);
    for (guint i = 0; runs && i < runs->len; i++) {
        const PdRunRow *run = g_ptr_array_index(runs, i);
        if (run->source_id != source_id)
            continue;
        g_free(*name);
        *name = g_strdup(run->source);
        return pd_corpus_ledger(corpus, run->source, on_ledger, told, error);
    }
    return runs != NULL;
}

/* FALSE if this source could not be added, or not all of it; the others still are. */
static gboolean
add_one(PdApp *app, PdCorpus *corpus, PdTokenizer *tokenizer, const AddFlags *flags,
        const char *path, PdAddReport *sum, JsonBuilder *json)
{
    g_auto(Told) told = {.every = flags->json || flags->verbose,
                         .lines = g_ptr_array_new_with_free_func(line_free),
                         .skipped = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
    g_autoptr(PdProgress) progress = pd_progress_new(app, "documents");
    g_autoptr(GError) error = NULL;
    PdAddOptions options = {.read = {.git_revision = flags->revision,
                                     .work_tree = flags->work_tree,
                                     .git_diff = flags->diff,
                                     .git_diff_only = flags->diff_only,
                                     .git_history = flags->history,
                                     .git_blame = flags->blame,
                                     .include = (const char *const *)flags->include,
                                     .exclude = (const char *const *)flags->exclude,
                                     .ocr = flags->ocr_mode,
                                     .ocr_languages = flags->ocr_languages,
                                     .insecure = flags->insecure},
                            .forget = flags->reset,
                            .no_mask = flags->no_mask,
                            .options = on_options,
                            .no_fold = flags->no_fold,
                            .progress = on_progress,
                            .user_data = progress};
    PdAddReport report = {0};
    g_autofree char *absolute = g_canonicalize_filename(path, NULL);
    g_autofree char *name = g_path_get_basename(absolute); /* "." has a name too */
    gboolean ok =
        pd_corpus_add(corpus, path, tokenizer, &options, &report, app->cancellable, &error);
    g_clear_pointer(&progress, pd_progress_free);
    /* The corpus may be what failed: then there is that to tell. */
    told.error_tells = !ok && !json;
    if (!read_ledger(corpus, report.source_id, &name, &told, ok ? &error : NULL))
        ok = FALSE;
    pd_ledger_add_counts(sum, &report);
    gboolean complete = ok && report.n_failed == 0 && report.n_partial == 0;
    if (json) {
        print_report_json(json, path, &report, told.lines, error);
        return complete;
    }
    print_problems(name, &told);
    if (ok)
        print_report(name, &report, &told);
    else
        pd_fail(error);
    return complete;
}

static int
add_all(PdApp *app, const AddFlags *flags)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tokenizer = pd_load_tokenizer(flags->model, &error);
    if (!tokenizer)
        return pd_fail(error);
    g_autoptr(PdCorpus) corpus = pd_corpus_open(app->corpus_dir, PD_CORPUS_CREATE, &error);
    if (!corpus)
        return pd_fail(error);
    g_autoptr(JsonBuilder) json = flags->json ? json_builder_new() : NULL;
    PdAddReport sum = {0};
    gboolean ok = TRUE;
    if (json)
        json_builder_begin_array(json);
    for (char **source = flags->sources; *source; source++) {
        ok &= add_one(app, corpus, tokenizer, flags, *source, &sum, json);
        if (g_cancellable_is_cancelled(app->cancellable))
            break;
    }
    if (json) {
        json_builder_end_array(json);
        pd_json_print(json);
    } else if (flags->sources[1]) {
        g_autofree char *counts = pd_ledger_counts(&sum, TRUE, NULL);
        printf("all: %s\n", counts);
    }
    return ok ? PD_EXIT_OK : PD_EXIT_FAILED;
}

static gboolean
parse_ocr(const char *word, PdOcrMode *mode)
{
    static const char *const names[PD_N_OCR_MODES] = {"", "auto", "off", "force"};
    guint value;
    gboolean ok = pd_parse_choice(word, names, PD_N_OCR_MODES, &value);

    *mode = (PdOcrMode)value;
    return ok;
}

int
pd_cmd_add(PdApp *app, int argc, char **argv)
{
    g_auto(AddFlags) flags = {0};
    int exit_code;
    const GOptionEntry entries[] = {
        {"rev", 0, 0, G_OPTION_ARG_STRING, &flags.revision,
         "Repositories: this commit, tag or branch instead of HEAD", "REV"},
        {"work-tree", 0, 0, G_OPTION_ARG_NONE, &flags.work_tree,
         "Repositories: the files as they lie in the work tree", NULL},
        {"diff", 0, 0, G_OPTION_ARG_STRING, &flags.diff,
         "Repositories: what changed from BASE to REV, with its commits, beside the files of REV",
         "BASE..REV"},
        {"diff-only", 0, 0, G_OPTION_ARG_NONE, &flags.diff_only, "With --diff: without the files",
         NULL},
        {"include", 0, 0, G_OPTION_ARG_STRING_ARRAY, &flags.include,
         "Repositories and folders: only files that fit; may be given several times", "PATTERN"},
        {"exclude", 0, 0, G_OPTION_ARG_STRING_ARRAY, &flags.exclude, "Likewise: not those that fit",
         "PATTERN"},
        {"history", 0, 0, G_OPTION_ARG_NONE, &flags.history,
         "Repositories: the log of each file as a document", NULL},
        {"blame", 0, 0, G_OPTION_ARG_NONE, &flags.blame,
         "Repositories: which commit the lines of each file are from, likewise", NULL},
        {"reset", 0, 0, G_OPTION_ARG_NONE, &flags.reset,
         "Forget the options with which the source was read before", NULL},
        {"model", 'm', 0, G_OPTION_ARG_FILENAME, &flags.model,
         "Whose tokenizer to use: a model name, GGUF file, folder or tokenizer.json", "NAME|FILE"},
        {"ocr", 0, 0, G_OPTION_ARG_STRING, &flags.ocr,
         "PDF pages without text, read by tesseract: auto (default; if it is installed), off, or "
         "force: all pages",
         "MODE"},
        {"ocr-language", 0, 0, G_OPTION_ARG_STRING, &flags.ocr_languages,
         "What such pages are written in, as tesseract names it: eng (default), deu, nor+eng",
         "NAME"},
        {"no-mask", 0, 0, G_OPTION_ARG_NONE, &flags.no_mask,
         "Keep secrets and hidden text in what models read", NULL},
        {"no-fold", 0, 0, G_OPTION_ARG_NONE, &flags.no_fold,
         "Keep in what models read what mails quote of each other, signatures and footers", NULL},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &flags.verbose,
         "Tell of everything that was left out, one line each", NULL},
        {"insecure", 0, 0, G_OPTION_ARG_NONE, &flags.insecure,
         "Run the parsers without a sandbox, where the kernel lacks seccomp", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags.json, "The reports as a JSON array", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &flags.sources, NULL, NULL},
        G_OPTION_ENTRY_NULL};
    if (!pd_parse_options(entries, "SOURCE...",
                          "Read git repositories and bundles, PDFs, mailboxes, office files, web "
                          "pages, texts, and archives and folders of them into the corpus.",
                          examples, &argc, &argv, &exit_code))
        return exit_code;
    if (!parse_ocr(flags.ocr, &flags.ocr_mode))
        return pd_usage("add", "--ocr is auto, off or force");
    if (!flags.sources)
        return pd_usage("add", "what should be added? give a file or a folder");
    if (!!flags.revision + flags.work_tree + !!flags.diff > 1)
        return pd_usage("add", "--rev, --work-tree and --diff say what is read: give one of them");
    if (flags.diff_only && !flags.diff)
        return pd_usage("add", "--diff-only says what of --diff is read: give both");
    return add_all(app, &flags);
}
