/* See calendar_words.h. */
#include "ingest/readers/calendar_words.h"

#include <stdlib.h>
#include <string.h>

/* --- times --------------------------------------------------------------------------------- */

static gboolean
is_shaped(const char *at, gsize n, const char *shape)
{
    if (strlen(shape) != n)
        return FALSE;
    for (gsize i = 0; i < n; i++)
        if (shape[i] == '0' ? !g_ascii_isdigit(at[i]) : g_ascii_toupper(at[i]) != shape[i])
            return FALSE;
    return TRUE;
}

static void
append_time(GString *out, const char *value, gsize n, const char *tzid)
{
    gboolean utc = is_shaped(value, n, "00000000T000000Z");
    gboolean timed = utc || is_shaped(value, n, "00000000T000000");
    if (!timed && !is_shaped(value, n, "00000000")) {
        g_string_append_len(out, value, (gssize)n);
        return;
    }
    g_string_append_printf(out, "%.4s-%.2s-%.2s", value, value + 4, value + 6);
    if (timed)
        g_string_append_printf(out, " %.2s:%.2s", value + 9, value + 11);
    if (timed && memcmp(value + 13, "00", 2) != 0)
        g_string_append_printf(out, ":%.2s", value + 13);
    if (utc)
        g_string_append(out, " UTC");
    else if (timed && tzid)
        g_string_append_printf(out, " (%s)", tzid);
}

void
pd_calendar_time(GString *out, const char *value, gsize n, const char *tzid)
{
    const char *slash = memchr(value, '/', n);
    append_time(out, value, slash ? (gsize)(slash - value) : n, tzid);
    if (!slash)
        return;
    g_string_append(out, " to ");
    append_time(out, slash + 1, (gsize)(value + n - slash - 1), tzid);
}

/* --- rules --------------------------------------------------------------------------------- */

enum { FREQ, INTERVAL, BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS, COUNT, UNTIL, WKST, N_PARTS };
static const char *const part_names[N_PARTS] = {
    "FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "COUNT", "UNTIL", "WKST"};

/* Appends one item of a list; FALSE: it has no words. */
typedef gboolean (*ItemFunc)(GString *out, const char *item);

static gboolean
append_list(GString *out, const char *list, ItemFunc append)
{
    g_auto(GStrv) items = g_strsplit(list, ",", 400);
    guint n = g_strv_length(items);
    for (guint i = 0; i < n; i++) {
        g_string_append(out, i == 0 ? "" : i + 1 < n ? ", " : " and ");
        if (!append(out, items[i]))
            return FALSE;
    }
    return n > 0;
}

#define NUMBER_MAX 1000000

static gboolean
number_of(const char *text, int *number)
{
    char *end;
    long value = strtol(text, &end, 10);
    *number = (int)value;
    return end > text && !*end && value >= -NUMBER_MAX && value <= NUMBER_MAX && value != 0;
}

/* "first", "last", "second to last", "12th" */
static gboolean
append_ordinal(GString *out, int number)
{
    static const char *const names[] = {"first", "second", "third", "fourth", "fifth"};
    int n = ABS(number);
    if (number == -1)
        g_string_append(out, "last");
    else if (n <= (int)G_N_ELEMENTS(names))
        g_string_append(out, names[n - 1]);
    else
        g_string_append_printf(out, "no. %d", n);
    if (number < -1)
        g_string_append(out, " to last");
    return TRUE;
}

static gboolean
append_weekday(GString *out, const char *item)
{
    static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                       "Friday", "Saturday", "Sunday"};
    gsize n = strlen(item);
    g_autofree char *ordinal = n > 2 ? g_strndup(item, n - 2) : NULL;
    int number;
    if (n < 2 || (ordinal && !number_of(ordinal, &number)))
        return FALSE;
    if (ordinal) {
        g_string_append(out, "the ");
        append_ordinal(out, number);
        g_string_append_c(out, ' ');
    }
    for (gsize i = 0; i < G_N_ELEMENTS(days); i++)
        if (g_ascii_strncasecmp(item + n - 2, days[i], 2) == 0) {
            g_string_append(out, days[i]);
            return TRUE;
        }
    return FALSE;
}

static gboolean
append_month_day(GString *out, const char *item)
{
    int number;
    if (!number_of(item, &number) || ABS(number) > 31)
        return FALSE;
    if (number > 0)
        g_string_append_printf(out, "day %d", number);
    else {
        g_string_append(out, "the ");
        append_ordinal(out, number);
        g_string_append(out, " day");
    }
    return TRUE;
}

static gboolean
append_month(GString *out, const char *item)
{
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    int number;
    if (!number_of(item, &number) || number < 1 || number > (int)G_N_ELEMENTS(months))
        return FALSE;
    g_string_append(out, months[number - 1]);
    return TRUE;
}

static gboolean
append_position(GString *out, const char *item)
{
    int number;
    return number_of(item, &number) && append_ordinal(out, number);
}

/* "every day", "every 2 weeks" */
static gboolean
append_frequency(GString *out, const char *frequency, const char *interval)
{
    static const char *const words[][2] = {
        {"YEARLY", "year"}, {"MONTHLY", "month"},   {"WEEKLY", "week"},    {"DAILY", "day"},
        {"HOURLY", "hour"}, {"MINUTELY", "minute"}, {"SECONDLY", "second"}};
    int every = 1;
    if (!frequency || (interval && (!number_of(interval, &every) || every < 1)))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_ascii_strcasecmp(frequency, words[i][0]) == 0) {
            if (every == 1)
                g_string_append_printf(out, "every %s", words[i][1]);
            else
                g_string_append_printf(out, "every %d %ss", every, words[i][1]);
            return TRUE;
        }
    return FALSE;
}

/* The values of its parts; FALSE: there is one that has no words, or one twice. */
static gboolean
take_parts(const char *rule, char *parts[N_PARTS])
{
    g_auto(GStrv) list = g_strsplit(rule, ";", 32);
    for (char **part = list; *part; part++) {
        char *value = strchr(*part, '=');
        int k = 0;
        if (!**part)
            continue;
        if (value)
            *value++ = '\0';
        while (k < N_PARTS && g_ascii_strcasecmp(*part, part_names[k]) != 0)
            k++;
        if (k == N_PARTS || !value || parts[k])
            return FALSE;
        parts[k] = g_strdup(value);
    }
    return TRUE;
}

static gboolean
append_parts(GString *out, char *const parts[N_PARTS])
{
    int count;
    if (!append_frequency(out, parts[FREQ], parts[INTERVAL]))
        return FALSE;
    if (parts[BYSETPOS]) {
        g_string_append(out, " on the ");
        if (!parts[BYDAY] || !append_list(out, parts[BYSETPOS], append_position))
            return FALSE;
        g_string_append(out, " of");
    }
    if (parts[BYDAY]) {
        g_string_append(out, parts[BYSETPOS] ? " " : " on ");
        if (!append_list(out, parts[BYDAY], append_weekday))
            return FALSE;
    }
    if (parts[BYMONTHDAY]) {
        g_string_append(out, parts[BYDAY] ? " if that is " : " on ");
        if (!append_list(out, parts[BYMONTHDAY], append_month_day))
            return FALSE;
    }
    if (parts[BYMONTH]) {
        g_string_append(out, " in ");
        if (!append_list(out, parts[BYMONTH], append_month))
            return FALSE;
    }
    if (parts[COUNT]) {
        if (!number_of(parts[COUNT], &count) || count < 1)
            return FALSE;
        g_string_append_printf(out, count == 1 ? ", once" : ", %d times", count);
    }
    if (parts[UNTIL]) {
        g_string_append(out, ", until ");
        pd_calendar_time(out, parts[UNTIL], strlen(parts[UNTIL]), NULL);
    }
    return TRUE;
}

void
pd_calendar_rule(GString *out, const char *rule)
{
    char *parts[N_PARTS] = {NULL};
    g_autoptr(GString) words = g_string_new(NULL);
    gboolean told = take_parts(rule, parts) && append_parts(words, parts);
    for (int k = 0; k < N_PARTS; k++)
        g_free(parts[k]);
    if (told)
        g_string_append_printf(out, "%s (%s)", words->str, rule);
    else
        g_string_append(out, rule);
}
