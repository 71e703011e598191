/*
 * Calendars: what RFC 5545 and RFC 5546 say of each line, laid out by hand, through the reader of
 * files and the one of mails.
 */
#include <string.h>
#include "collect.h"
#include "ingest/readers/calendar_words.h"

/* A stream with a method, a time zone, an event with an alarm and a task; lines are folded, one
 * inside of a character.  Free with g_free. */
static char *
invitation(void)
{
    char *text;
    g_assert_true(
        g_file_get_contents(PD_SOURCE_ROOT "/tests/golden/mail/invitation.ics", &text, NULL, NULL));
    return text;
}

static const char laid_out[] =
    "Calendar: Quay works\nMethod: REQUEST (invitation)\n"
    "Time zone: Europe/Oslo (standard time +0100, daylight time +0200)\n\n"
    "Event: Inspection of pier 4; bring boots\n"
    "Start: 2025-03-14 09:00 (Europe/Oslo)\nEnd: 2025-03-14 10:30 (Europe/Oslo)\n"
    "Recurrence: every 2 weeks on Monday and Friday, 10 times"
    " (FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;COUNT=10)\n"
    "Not: 2025-03-28 09:00 (Europe/Oslo), 2025-04-11 09:00 (Europe/Oslo)\n"
    "Location: Quay 4, gate B\n"
    "Organizer: Vo\303\237, J\303\274rgen <jurgen@example.org>\n"
    "Attendee: Kay \"K\" Smith <kay@example.org>, accepted, chair\n"
    "Attendee: lee@example.org, no answer, optional\n"
    "UID: pier-4@example.org\nRevision: 2\nWritten: 2025-03-01 12:00 UTC\n"
    "Description: First line\n  second, with C:\\a word that is folded.\n"
    "Alarm: ACTION: DISPLAY; TRIGGER: -PT15M\n\n"
    "Task: Order boots\nStatus: not begun\nDue: 2025-03-12\n";

static const PdDocument *
only_document(const Collected *c)
{
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 1);
    return g_ptr_array_index(c->documents, 0);
}

/* What it is, its content says, not its name. */
static void
test_file(void)
{
    static const char *const names[] = {"quay.ics", "quay.txt", "quay"};
    g_autofree char *text = invitation();
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(Collected) c = collect_text(names[i], text, NULL);
        const PdDocument *document = only_document(c);
        g_assert_cmpint(document->kind, ==, PD_KIND_CALENDAR);
        g_assert_cmpstr(document_part_text(document, ""), ==, laid_out);
        g_assert_cmpuint(c->lines->len, ==, 0);
    }
}

/* Read beside the text that stands for it, which does not say who was asked. */
static void
test_mail(void)
{
    g_autofree char *text = invitation();
    g_autofree char *mail = g_strconcat(
        "From: kay@x\r\nTo: lee@x\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/alternative; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nCome to the inspection of the pier.\r\n"
        "--b\r\nContent-Type: text/html\r\n\r\n<p>Come to the inspection of the pier.\r\n"
        "--b\r\nContent-Type: text/calendar; charset=utf-8; method=REQUEST\r\n\r\n",
        text, "--b--\r\n", NULL);
    g_autoptr(Collected) c = collect_text("a.eml", mail, NULL);
    const PdDocument *document = only_document(c);
    g_assert_cmpstr(document_part_text(document, "1"), ==, "Come to the inspection of the pier.");
    g_assert_null(document_part_text(document, "2"));
    g_assert_cmpstr(document_part_text(document, "3"), ==, laid_out);
}

/* By any other type, and in Latin-1 as it says. */
static void
test_attached(void)
{
    g_autoptr(Collected) c = collect_text(
        "a.eml",
        "From: kay@x\nTo: lee@x\nSubject: s\nMIME-Version: 1.0\n"
        "Content-Type: multipart/mixed; boundary=b\n\n"
        "--b\nContent-Type: application/octet-stream; name=quay.ics\n"
        "Content-Disposition: attachment\n\n"
        "BEGIN:VCALENDAR\nMETHOD:CANCEL\nBEGIN:VEVENT\nSUMMARY:Pier\n"
        "ATTACH;ENCODING=BASE64;VALUE=BINARY;FILENAME=plan.pdf:JVBERi0xLjQK\n"
        "ATTACH;FMTTYPE=text/html:https://example.org/pier\n"
        "END:VEVENT\nEND:VCALENDAR\n"
        "--b\nContent-Type: text/calendar; charset=iso-8859-1\n\n"
        "BEGIN:VCALENDAR\nMETHOD:REPLY\nBEGIN:VEVENT\nSUMMARY:J\374rgens Pier\nEND:VEVENT\n"
        "END:VCALENDAR\n--b--\n",
        NULL);
    const PdDocument *document = only_document(c);
    g_assert_cmpstr(document_part_text(document, "1"), ==,
                    "Method: CANCEL (cancellation)\n\nEvent: Pier\n"
                    "Attached: a file that was not read, plan.pdf\n"
                    "Attached: https://example.org/pier, text/html\n");
    g_assert_cmpstr(document_part_text(document, "2"), ==,
                    "Method: REPLY (answer)\n\nEvent: J\303\274rgens Pier\n");
    g_assert_true(collected_says(c, "partial", "1 file in the calendar not read"));
}

/* Half of one, or one with something else in it, is kept as it is. */
static void
test_malformed(void)
{
    static const struct {
        const char *text;
        const char *line;
    } cases[] = {
        {"BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Pier\nEND:VEVENT\n", "line 4"},
        {"BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Pier\nEND:VCALENDAR\n", "line 4"},
        {"BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Pier\nnot a line of it\nEND:VEVENT\n"
         "END:VCALENDAR\n",
         "line 4"},
        {"BEGIN:VCALENDAR\nEND:VCALENDAR\nBEGIN:VCARD\nFN:Kay\nEND:VCARD\n", "line 3"},
        {"BEGIN:VCALENDAR\nEND:VCALENDAR\nKay\n", "line 3"},
    };
    g_autoptr(GString) deep = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Collected) c = collect_text("a.ics", cases[i].text, NULL);
        g_assert_cmpstr(document_part_text(only_document(c), ""), ==, cases[i].text);
        g_assert_true(collected_says(c, "malformed", cases[i].line));
    }
    for (int i = 0; i < 100000; i++)
        g_string_append(deep, i ? "BEGIN:X\n" : "BEGIN:VCALENDAR\n");
    g_autoptr(Collected) c = collect_text("a.ics", deep->str, NULL);
    g_assert_cmpstr(document_part_text(only_document(c), ""), ==, deep->str);
    g_assert_true(collected_says(c, "malformed", "line 21"));
}

static void
test_rules(void)
{
    static const char *const cases[][2] = {
        {"FREQ=DAILY", "every day (FREQ=DAILY)"},
        {"FREQ=DAILY;COUNT=1", "every day, once (FREQ=DAILY;COUNT=1)"},
        {"FREQ=YEARLY;UNTIL=19971224T000000Z",
         "every year, until 1997-12-24 00:00 UTC (FREQ=YEARLY;UNTIL=19971224T000000Z)"},
        {"FREQ=WEEKLY;WKST=SU;BYDAY=TU,TH,SA",
         "every week on Tuesday, Thursday and Saturday (FREQ=WEEKLY;WKST=SU;BYDAY=TU,TH,SA)"},
        {"FREQ=MONTHLY;BYDAY=1FR", "every month on the first Friday (FREQ=MONTHLY;BYDAY=1FR)"},
        {"FREQ=MONTHLY;BYDAY=-2MO",
         "every month on the second to last Monday (FREQ=MONTHLY;BYDAY=-2MO)"},
        {"FREQ=MONTHLY;BYMONTHDAY=2,-3", "every month on day 2 and the third to last day"
                                         " (FREQ=MONTHLY;BYMONTHDAY=2,-3)"},
        {"FREQ=YEARLY;BYMONTH=1,7", "every year in January and July (FREQ=YEARLY;BYMONTH=1,7)"},
        {"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
         "every month on the last of Monday, Tuesday, Wednesday, Thursday and Friday"
         " (FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1)"},
        {"FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
         "every month on Friday if that is day 13 (FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13)"},
        /* Without words here. */
        {"FREQ=YEARLY;BYWEEKNO=20", "FREQ=YEARLY;BYWEEKNO=20"},
        {"FREQ=SOMETIMES", "FREQ=SOMETIMES"},
        {"FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;INTERVAL=0"},
        {"FREQ=DAILY;FREQ=DAILY", "FREQ=DAILY;FREQ=DAILY"},
        {"FREQ=MONTHLY;BYMONTH=13", "FREQ=MONTHLY;BYMONTH=13"},
        {"", ""},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        pd_calendar_rule(out, cases[i][0]);
        g_assert_cmpstr(out->str, ==, cases[i][1]);
    }
}

static void
test_times(void)
{
    static const char *const cases[][3] = {
        {"20250314", NULL, "2025-03-14"},
        {"20250314", "Europe/Oslo", "2025-03-14"},
        {"20250314T090000", NULL, "2025-03-14 09:00"},
        {"20250314T090030", "Europe/Oslo", "2025-03-14 09:00:30 (Europe/Oslo)"},
        {"20250314T090000Z", "Europe/Oslo", "2025-03-14 09:00 UTC"},
        {"20250314T090000Z/PT1H", NULL, "2025-03-14 09:00 UTC to PT1H"},
        {"20250314T090000Z/20250314T100000Z", NULL, "2025-03-14 09:00 UTC to 2025-03-14 10:00 UTC"},
        {"-PT15M", NULL, "-PT15M"},
        {"2025-03-14", NULL, "2025-03-14"},
        {"20250314T09", NULL, "20250314T09"},
        {"", NULL, ""},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        pd_calendar_time(out, cases[i][0], strlen(cases[i][0]), cases[i][1]);
        g_assert_cmpstr(out->str, ==, cases[i][2]);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/calendar/file", test_file);
    g_test_add_func("/calendar/mail", test_mail);
    g_test_add_func("/calendar/attached", test_attached);
    g_test_add_func("/calendar/malformed", test_malformed);
    g_test_add_func("/calendar/rules", test_rules);
    g_test_add_func("/calendar/times", test_times);
    return g_test_run();
}
