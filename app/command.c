/* What all commands share: options, messages, harmless text, interrupts. */
#include "app/command.h"
#include "app/commands.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* --- interrupts --- */

static int interrupt_pipe[2] = {-1, -1};

static gpointer
wait_for_interrupt(gpointer data)
{
    g_autoptr(GCancellable) cancellable = data;
    char byte;

    if (read(interrupt_pipe[0], &byte, 1) == 1)
        g_cancellable_cancel(cancellable);
    return NULL;
}

void
pd_watch_interrupts(GCancellable *cancellable)
{
    if (pipe(interrupt_pipe) != 0)
        return;
    g_thread_unref(g_thread_new("interrupts", wait_for_interrupt, g_object_ref(cancellable)));
}

void
pd_interrupted(void)
{
    ssize_t written = write(interrupt_pipe[1], "!", 1);

    (void)written;
}

/* --- options --- */

gboolean
pd_parse_options(const GOptionEntry *entries, const char *usage, const char *summary,
                 const char *examples, int *argc, char ***argv, int *exit_code)
{
    g_autoptr(GOptionContext) context = g_option_context_new(usage);
    g_autoptr(GError) error = NULL;
    g_autofree char *prgname = g_strdup_printf("pandect %s", (*argv)[0]);
    gboolean help = FALSE;
    GOptionEntry help_entries[] = {
        {"help", 'h', 0, G_OPTION_ARG_NONE, &help, "Show this text", NULL}, G_OPTION_ENTRY_NULL};

    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_set_summary(context, summary);
    g_option_context_set_description(context, examples);
    if (entries)
        g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_add_main_entries(context, help_entries, NULL);
    g_set_prgname(prgname);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        *exit_code = pd_usage((*argv)[0], "%s", error->message);
        return FALSE;
    }
    if (help) {
        g_autofree char *text = g_option_context_get_help(context, TRUE, NULL);
        fputs(text, stdout);
        *exit_code = PD_EXIT_OK;
        return FALSE;
    }
    if (*argc > 1 && g_str_equal((*argv)[1], "--")) {
        for (int i = 1; i + 1 < *argc; i++)
            (*argv)[i] = (*argv)[i + 1];
        (*argc)--;
    }
    return TRUE;
}

/* --- messages --- */

static gboolean
is_harmful(gunichar c)
{
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) || c == 0x061c ||
           c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

char *
pd_terminal_safe(const char *text, gssize n_bytes)
{
    g_autofree char *valid = g_utf8_make_valid(text, n_bytes);
    GString *safe = g_string_new(NULL);

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        g_string_append_unichar(safe, is_harmful(c) ? 0xfffd : c);
    }
    return g_string_free(safe, FALSE);
}

static void
print_line(const char *message)
{
    g_autofree char *safe = pd_terminal_safe(message, -1);

    g_strdelimit(safe, "\n", ' ');
    fprintf(stderr, "pandect: %s\n", safe);
}

int
pd_fail(const GError *error)
{
    print_line(error ? error->message : "failed");
    return PD_EXIT_FAILED;
}

int
pd_usage(const char *command, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    print_line(message);
    fprintf(stderr, "Try: pandect %s%s--help\n", command ? command : "", command ? " " : "");
    return PD_EXIT_USAGE;
}

void
pd_warn(const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    print_line(message);
}

char *
pd_csv_string(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "\"", -1);
    g_autofree char *doubled = g_strjoinv("\"\"", parts);

    return g_strdup_printf("\"%s\"", doubled);
}
