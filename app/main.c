/*
 * pandect: the command line.  Finds the command, sets up cancellation, and nothing else: each
 * command is a file (cmd_*.c), and what a second front end would need too lives below app/.
 */
#include "app/command.h"
#include "app/commands.h"

#include <glib-unix.h>
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help_text[] =
    "Usage: pandect [-C CORPUS] COMMAND [OPTION...]\n"
    "\n"
    "Read repositories, PDFs and mail once; ask about all of it; check every answer\n"
    "against the source.\n"
    "\n"
    "Commands:\n";

static const char help_tail[] =
    "\n"
    "Options:\n"
    "  -C CORPUS     the corpus folder (default: ./pandect-corpus)\n"
    "  -h, --help    this text; `pandect COMMAND --help` for a command\n"
    "  --version\n"
    "\n"
    "Examples:\n"
    "  pandect model pull                          fetch the default model, once\n"
    "  pandect -C case add src.git lease.pdf mail.mbox\n"
    "  pandect -C case ask \"Who approved the change of the default?\"\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.\n";

static void
print_help(FILE *out)
{
    fputs(help_text, out);
    for (const PdCommand *c = pd_commands; c->name; c++)
        fprintf(out, "  %-10s    %s\n", c->name, c->summary);
    fputs(help_tail, out);
}

/* A second Ctrl-C ends the program at once; what was committed stays. */
static void
on_signal(int signal_number)
{
    static volatile sig_atomic_t seen;

    if (seen)
        _exit(128 + signal_number);
    seen = 1;
    pd_interrupted();
}

static void
catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* writes past a file size limit fail with EFBIG instead */
}

/* What a library has to say (a damaged record that is read again) looks like our own warnings. */
static void
on_log(const char *domain, GLogLevelFlags level, const char *message, gpointer unused)
{
    if (level &
        (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING | G_LOG_LEVEL_MESSAGE))
        pd_warn("%s", message);
}

static const PdCommand *
find_command(const char *name)
{
    for (const PdCommand *c = pd_commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

/* Take -C, --help and --version off the front.  Returns the index of the command, 0: none, -1:
 * handled, -2: wrong usage. */
static int
parse_front(PdApp *app, int argc, char **argv)
{
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (g_str_equal(argv[i], "-C") || g_str_equal(argv[i], "--corpus")) {
            if (++i >= argc)
                return -2;
            app->corpus_dir = argv[i];
        } else if (g_str_equal(argv[i], "--version")) {
            printf("pandect %s\n", PD_VERSION);
            return -1;
        } else if (g_str_equal(argv[i], "-h") || g_str_equal(argv[i], "--help")) {
            print_help(stdout);
            return -1;
        } else {
            return -2;
        }
    }
    return i < argc ? i : 0;
}

int
main(int argc, char **argv)
{
    g_autoptr(GCancellable) cancellable = NULL;
    PdApp app = {.corpus_dir = "pandect-corpus"};
    const PdCommand *command;
    int at, code;

    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* numbers we print are read by programs */
    g_set_prgname("pandect");
    g_log_set_default_handler(on_log, NULL);
    at = parse_front(&app, argc, argv);
    if (at == -1)
        return PD_EXIT_OK;
    if (at == -2)
        return pd_usage(NULL, "unknown option, or -C without a folder");
    if (at == 0) {
        print_help(stderr);
        return PD_EXIT_USAGE;
    }
    command = find_command(argv[at]);
    if (!command)
        return pd_usage(NULL, "there is no command '%s'", argv[at]);

    cancellable = g_cancellable_new();
    app.cancellable = cancellable;
    app.stderr_is_tty = isatty(STDERR_FILENO);
    app.stdout_is_tty = isatty(STDOUT_FILENO);
    app.color = app.stdout_is_tty && !g_getenv("NO_COLOR");
    pd_watch_interrupts(cancellable);
    catch_signals();
    code = command->run(&app, argc - at, argv + at);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (errno != EPIPE) /* `pandect ls | head` is no failure worth a line */
            pd_warn("cannot write to standard output: %s", g_strerror(errno));
        code = code ? code : PD_EXIT_FAILED;
    }
    return code;
}
