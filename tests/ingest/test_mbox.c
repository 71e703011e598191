/*
 * The splitter: where messages part, that no byte is lost, and that it does not matter how the file
 * arrives.
 */
#include <glib.h>
#include <string.h>

#include "ingest/readers/mbox.h"

typedef struct {
    const char *bytes;
    gsize n;
    gsize at;
    gsize slice;
} Source;

static gssize
read_slice(guint8 *buffer, gsize n, gpointer user_data)
{
    Source *source = user_data;
    gsize got = MIN(MIN(n, source->slice), source->n - source->at);
    memcpy(buffer, source->bytes + source->at, got);
    source->at += got;
    return (gssize)got;
}

/* The offsets at which messages start, "0 57 120", checking that the ranges cover the file. */
static char *
split(const char *bytes, gsize n, gsize slice, gsize max)
{
    Source source = {bytes, n, 0, slice};
    g_autoptr(PdMboxSplitter) splitter = pd_mbox_splitter_new(read_slice, &source, 0, max);
    GString *offsets = g_string_new(NULL);
    PdMboxMessage message;
    gboolean failed;
    guint64 at = 0;
    while (pd_mbox_splitter_next(splitter, &message, &failed)) {
        g_assert_cmpuint(message.offset, ==, at);
        g_assert_cmpuint(message.n_raw, >, 0);
        g_assert_cmpmem(message.bytes, message.n, bytes + at, message.n);
        if (!message.oversized)
            g_assert_cmpuint(message.n_raw, ==, message.n);
        at += message.n_raw;
        g_string_append_printf(offsets, "%s%" G_GUINT64_FORMAT, offsets->len ? " " : "",
                               message.offset);
    }
    g_assert_false(failed);
    g_assert_cmpuint(at, ==, n);
    return g_string_free(offsets, FALSE);
}

static void
check_split(const char *bytes, const char *want)
{
    for (gsize slice = 1; slice < 400; slice = slice * 3 + 1) {
        g_autofree char *got = split(bytes, strlen(bytes), slice, 1 << 20);
        g_assert_cmpstr(got, ==, want);
    }
}

#define ENVELOPE "From a@b.c Mon Feb  5 10:00:00 2001\n" /* 36 bytes */

static void
test_boundaries(void)
{
    check_split("", "");
    check_split(ENVELOPE "Subject: x\n\nbody\n\n" ENVELOPE "Subject: y\n\nbody\n", "0 54");
    /* Text that begins with From. */
    check_split(ENVELOPE "Subject: x\n\nbody\n\nFrom Monday on it is closed.\n\nFrom here: no\n",
                "0");
    check_split(ENVELOPE "Subject: x\n\nbody\n\nFrom what I know\nit is: so\n", "0");
    /* An envelope without header fields below it is a quotation. */
    check_split(ENVELOPE "Subject: x\n\nbody\n\n" ENVELOPE "and so on\n", "0");
    /* Without a blank line: patches one after another. */
    check_split(ENVELOPE "Subject: x\n\nbody\n" ENVELOPE "From: y\nDate: z\n\nbody\n", "0 53");
    check_split(ENVELOPE "Subject: x\n\nbody\n" ENVELOPE "note: y\n\nbody\n", "0");
    /* An envelope without a date. */
    check_split("From a@b\nFrom: x\n\nbody\n\nFrom c@d\nReceived: y\n\tz\n\nbody\n", "0 24");
    /* >From below the envelope, CR LF line ends. */
    check_split(ENVELOPE "Subject: x\n\nb\n\n" ENVELOPE ">From x Mon\nSubject: y\n\nb\n", "0 51");
    check_split("From a@b.c Mon Feb  5 10:00:00 2001\r\nSubject: x\r\n\r\nb\r\n\r\n"
                "From a@b.c Mon Feb  5 10:00:00 2001\r\nSubject: y\r\n\r\nb\r\n",
                "0 56");
    /* Cut inside the last message, and inside an envelope. */
    check_split(ENVELOPE "Subject: x\n\nbody\n\n" ENVELOPE "Subject: y\n\nbo", "0 54");
    check_split(ENVELOPE "Subject: x\n\nbody\n\nFrom a@b.c Mon", "0");
}

static void
test_oversized(void)
{
    g_autoptr(GString) file = g_string_new(ENVELOPE "Subject: big\n\n");
    for (int i = 0; i < 100000; i++)
        g_string_append(file, "0123456789\n");
    g_string_append_c(file, '\n');
    gsize second = file->len;
    g_string_append(file, ENVELOPE "Subject: line\n\n");
    for (int i = 0; i < 200000; i++)
        g_string_append(file, "0123456789");
    g_string_append(file, "\n\n");
    gsize third = file->len;
    g_string_append(file, ENVELOPE "Subject: small\n\nbody\n");
    g_autofree char *want =
        g_strdup_printf("0 %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT, second, third);
    g_autofree char *got = split(file->str, file->len, 1 << 16, 1 << 16);
    g_assert_cmpstr(got, ==, want);
    g_autofree char *whole = split(file->str, file->len, 1 << 16, 1 << 24);
    g_assert_cmpstr(whole, ==, want);
}

static void
test_flags(void)
{
    const char *text = ENVELOPE "Subject: x\n\nbody\n\n" ENVELOPE "and so on\nno end";
    Source source = {text, strlen(text), 0, 1000};
    g_autoptr(PdMboxSplitter) splitter = pd_mbox_splitter_new(read_slice, &source, 0, 1 << 20);
    PdMboxMessage message;
    gboolean failed;
    g_assert_true(pd_mbox_splitter_next(splitter, &message, &failed));
    g_assert_true(message.truncated);
    g_assert_cmpuint(message.n_unescaped, ==, 1);
    g_assert_cmpuint(message.first_unescaped, ==, 54);
    g_assert_false(pd_mbox_splitter_next(splitter, &message, &failed));
}

static void
check_unquote(const char *raw, const char *want)
{
    g_autoptr(GByteArray) got = pd_mbox_unquote((const guint8 *)raw, strlen(raw));
    g_assert_cmpmem(got->data, got->len, want, strlen(want));
}

static void
test_unquote(void)
{
    check_unquote("From a b\nSubject: x\n\n>From here\n>>From there\n> From q\n>Fro\n",
                  "Subject: x\n\nFrom here\n>From there\n> From q\n>Fro\n");
    check_unquote(">From old\nSubject: x\n>From y\nTo: z\n\nb", "Subject: x\nTo: z\n\nb");
    check_unquote("", "");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mbox/boundaries", test_boundaries);
    g_test_add_func("/mbox/oversized", test_oversized);
    g_test_add_func("/mbox/flags", test_flags);
    g_test_add_func("/mbox/unquote", test_unquote);
    return g_test_run();
}
