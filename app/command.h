/*
 * The command line's frame: what every command is given and what it may call.
 *
 * Conventions (the same in every command): results on stdout, progress and warnings on stderr (a
 * bar only on a terminal), exit codes 0 done, 1 failed, 2 usage; --json where a program may read;
 * --help with examples; Ctrl-C cancels `cancellable`, the command stops cleanly and keeps what was
 * finished.
 */
#ifndef PD_COMMAND_H
#define PD_COMMAND_H

#include <gio/gio.h>

#define PD_EXIT_OK 0
#define PD_EXIT_FAILED 1
#define PD_EXIT_USAGE 2

typedef struct {
    const char *corpus_dir;    /* -C DIR, "pandect-corpus" when absent */
    GCancellable *cancellable; /* cancelled by SIGINT and SIGTERM */
    gboolean stderr_is_tty;
    gboolean stdout_is_tty;
    gboolean color; /* stdout is a terminal and NO_COLOR is not set */
} PdApp;

/* argv[0] is the command's name ("add", "model pull"); returns an exit code. */
typedef int (*PdCommandFunc)(PdApp *app, int argc, char **argv);

typedef struct {
    const char *name;
    const char *summary; /* one line for `pandect --help` */
    PdCommandFunc run;
} PdCommand;

/* The table in main.c, ended by a NULL name; in the order of --help. */
extern const PdCommand pd_commands[];

/*
 * Parse argv with GOption.  `usage`: "SOURCE..."; `summary`: a paragraph above the options;
 * `examples`: the text below them. On --help the text is printed and *exit_code is PD_EXIT_OK; on a
 * wrong option a line on stderr and PD_EXIT_USAGE; both return FALSE.  On TRUE argc and argv hold
 * what is left ("--" removed), argv[0] still the name.
 */
gboolean pd_parse_options(const GOptionEntry *entries, const char *usage, const char *summary,
                          const char *examples, int *argc, char ***argv, int *exit_code);

/* "pandect: MESSAGE" on stderr as one line, control characters made harmless; returns
 * PD_EXIT_FAILED. */
int pd_fail(const GError *error);
/* The same for wrong usage, with a hint at `pandect COMMAND --help`; returns PD_EXIT_USAGE. */
int pd_usage(const char *command, const char *format, ...) G_GNUC_PRINTF(2, 3);
void pd_warn(const char *format, ...) G_GNUC_PRINTF(1, 2);

/*
 * One line of progress on stderr, redrawn at most ten times a second on a terminal (bar, percent,
 * rate, time left); without a terminal a line is printed when `label` changes.  total 0: unknown.
 */
typedef struct PdProgress PdProgress;
PdProgress *pd_progress_new(PdApp *app, const char *unit);
void pd_progress_update(PdProgress *progress, const char *label, guint64 done, guint64 total);
void pd_progress_free(PdProgress *progress); /* clears the line */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdProgress, pd_progress_free)

/* Text from documents and models made harmless for a terminal: control characters except \n and \t,
 * and bidirectional controls, are replaced by U+FFFD.  Free with g_free. */
char *pd_terminal_safe(const char *text, gssize n_bytes);

/* A field of a CSV line, in quotes.  Free with g_free. */
char *pd_csv_string(const char *text);

#endif
