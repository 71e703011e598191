/* The progress line: a bar on a terminal; elsewhere a line per stage, and one a minute. */
#include "app/command.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_US 100000
#define LOG_US (60 * G_USEC_PER_SEC)
#define BAR_CELLS 24

struct PdProgress {
    gboolean tty;
    char *unit;
    char *label;
    gint64 started_us;
    guint64 started_at; /* `done` when the label began: resumed work does not count in the rate */
    gint64 drawn_us;    /* or written to a log */
};

PdProgress *
pd_progress_new(PdApp *app, const char *unit)
{
    PdProgress *progress = g_new0(PdProgress, 1);

    progress->tty = app->stderr_is_tty;
    progress->unit = g_strdup(unit);
    return progress;
}

static int
terminal_columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

static char *
format_amount(const char *unit, guint64 n)
{
    if (g_str_equal(unit, "bytes"))
        return g_format_size(n);
    return g_strdup_printf("%" G_GUINT64_FORMAT " %s", n, unit);
}

static char *
format_line(PdProgress *progress, guint64 done, guint64 total)
{
    double seconds = (g_get_monotonic_time() - progress->started_us) / 1e6;
    double rate = seconds > 0.5 ? (done - progress->started_at) / seconds : 0;
    g_autofree char *amount = format_amount(progress->unit, done);
    GString *line = g_string_new(progress->label);

    if (total > 0 && progress->tty) {
        int full = (int)(MIN(done, total) * BAR_CELLS / total);
        g_string_append(line, "  [");
        for (int i = 0; i < BAR_CELLS; i++)
            g_string_append_c(line, i < full ? '#' : '.');
        g_string_append(line, "]");
    }
    if (total > 0)
        g_string_append_printf(line, " %3d %%", (int)(MIN(done, total) * 100 / total));
    g_string_append_printf(line, "  %s", amount);
    if (rate > 0) {
        g_autofree char *speed = format_amount(progress->unit, (guint64)rate);
        g_string_append_printf(line, ", %s/s", speed);
        if (total > done)
            g_string_append_printf(line, ", %.0f s left", (total - done) / rate);
    }
    return g_string_free(line, FALSE);
}

static void
begin_stage(PdProgress *progress, const char *label, guint64 done, gint64 now)
{
    g_free(progress->label);
    progress->label = g_strdup(label);
    progress->started_us = now;
    progress->started_at = done;
    if (!progress->tty) {
        g_autofree char *safe = pd_terminal_safe(label, -1);

        fprintf(stderr, "%s\n", safe);
        progress->drawn_us = now;
    }
}

void
pd_progress_update(PdProgress *progress, const char *label, guint64 done, guint64 total)
{
    gint64 now = g_get_monotonic_time();
    g_autofree char *line = NULL, *safe = NULL;
    gboolean fresh = g_strcmp0(label, progress->label) != 0;

    if (fresh)
        begin_stage(progress, label, done, now);
    if (!(fresh && progress->tty) &&
        now - progress->drawn_us < (progress->tty ? REDRAW_US : LOG_US))
        return;
    progress->drawn_us = now;
    line = format_line(progress, done, total);
    safe = pd_terminal_safe(line, -1);
    g_strdelimit(safe, "\n\t", ' ');
    if (progress->tty)
        fprintf(stderr, "\r\033[K%.*s", terminal_columns() - 1, safe);
    else
        fprintf(stderr, "%s\n", safe);
    fflush(stderr);
}

void
pd_progress_free(PdProgress *progress)
{
    if (progress->tty && progress->drawn_us)
        fputs("\r\033[K", stderr);
    g_free(progress->unit);
    g_free(progress->label);
    g_free(progress);
}
