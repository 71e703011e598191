/*
 * winmail.dat and .msg: files that golden/mail/make_outlook.py put together, which the programs
 * tnef and extract-msg read as it says, and what is left of them when they are damaged.
 */
#include "collect.h"

#include <string.h>

#include "ingest/readers/mapi.h"
#include "ingest/readers/ole.h"

#define GOLDEN PD_SOURCE_ROOT "/tests/golden/mail/"
#define NOTE "The buoy was recovered on 3 April.\n"
#define RTF "The raft is in the yard, and the yard is closed.\n"
#define TWO_LINES "Caf\xc3\xa9 at nine?\nThe fee is EUR 51,200.\n"
#define SENT 989835660

static const PdMapiLimits limits = {5, 100, 1u << 20, 1u << 20};

static const char *
part_text(const Collected *c, const char *key, const char *path)
{
    const PdDocument *document = collected_find(c, key);
    g_assert_nonnull(document);
    return document_part_text(document, path);
}

static Collected *
read_golden(const char *name, guint n_documents)
{
    g_autofree char *path = g_strconcat(GOLDEN, name, NULL);
    Collected *c = collect(path, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, n_documents);
    return c;
}

static void
check_message(const char *name, const char *body_path, const char *body)
{
    g_autoptr(Collected) c = read_golden(name, 2);
    const PdDocument *mail = collected_find(c, "");
    g_assert_cmpint(mail->kind, ==, PD_KIND_MAIL);
    g_assert_cmpstr(mail->title, ==, "Caf\xc3\xa9 \"at\" nine");
    g_assert_cmpstr(mail->author, ==, "Kay Smith <kay@example.org>");
    g_assert_cmpstr(mail->recipients, ==,
                    "\"Lee, Ann\" <ann.lee@example.org>, Bo <bo@example.org>");
    g_assert_cmpint(mail->date_utc, ==, SENT);
    g_assert_cmpstr(mail->native_id, ==, "msg@example.org");
    g_assert_cmpstr(mail->in_reply_to, ==, "two@example.org one@example.org");
    g_assert_cmpstr(part_text(c, "", body_path), ==, body);
    g_assert_cmpstr(part_text(c, "", "2"), ==, NOTE);
    /* A message in the message, in another code page. */
    const PdDocument *inner = collected_find(c, "3");
    g_assert_cmpstr(inner->parent_key, ==, "");
    g_assert_cmpstr(inner->title, ==, "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82");
    g_assert_true(g_str_has_prefix(part_text(c, "3", "1.1"), "\xd0\x9f\xd0\xbb\xd0\xbe\xd1\x82 "));
}

static void
test_msg(void)
{
    check_message("plain.msg", "1.1", TWO_LINES);
    check_message("html.msg", "1.1", "Caf\xc3\xa9 at nine?\n\nThe fee is EUR 51,200.\n");
}

/* In a mail: attachments hang on it, and its own text is read once. */
static void
test_winmail_in_mail(void)
{
    g_autoptr(Collected) c = read_golden("tnef.eml", 3);
    g_assert_cmpstr(part_text(c, "", "1"), ==, "The mail has a text of its own.");
    g_assert_cmpstr(part_text(c, "2:winmail.dat!/n\xc3\xb6te of April.txt", ""), ==, NOTE);
    g_assert_cmpstr(part_text(c, "2:winmail.dat!/mail", "1.1"), ==, "Inside the message.");
    g_assert_true(collected_says(c, "winmail.dat!/empty", "empty"));

    g_autoptr(Collected) bare = read_golden("tnef-bare.eml", 5);
    g_assert_cmpstr(collected_find(bare, "2:winmail.dat!/text")->title, ==, "Caf\xc3\xa9");
    const PdDocument *rtf = collected_find(bare, "2:winmail.dat!/text!/1:body.rtf");
    g_assert_cmpint(rtf->kind, ==, PD_KIND_RTF);
    g_assert_cmpstr(((PdPart *)g_ptr_array_index(rtf->parts, 0))->text->str, ==, RTF);
}

static void
test_winmail_alone(void)
{
    g_autoptr(Collected) c = read_golden("winmail.dat", 3);
    const PdDocument *mail = collected_find(c, "");
    g_assert_cmpstr(mail->title, ==, "Caf\xc3\xa9");
    g_assert_cmpint(mail->date_utc, ==, SENT);
    g_assert_cmpstr(part_text(c, "", "2"), ==, NOTE);
    g_assert_cmpstr(collected_find(c, "3")->title, ==, "Inner");
}

/* Who is on a list of contacts. */
static void
test_address_list(void)
{
    g_autoptr(Collected) c = read_golden("list.msg", 1);
    g_assert_cmpstr(part_text(c, "", "1"), ==,
                    "Name: Survey\nMember: \"Lee, Ann\" <ann.lee@example.org>\n"
                    "Member: \"Bo\" <bo@example.org>\n"
                    "Member: /o=Yard/ou=Pier/cn=Recipients/cn=dee\n");
    g_assert_true(collected_says(c, "partial", "1 of those on it are kept elsewhere"));
}

/* Objects of other programs: the file in them, or what they are. */
static void
test_objects(void)
{
    g_autoptr(Collected) c = read_golden("objects.msg", 2);
    g_assert_true(collected_says(
        c, "skipped 2:Word: ", "not read: embedded object: Microsoft Word 97-2003 Document"));
    g_assert_true(collected_says(c, "skipped 3:Chart: ", "object: Microsoft Excel workbook"));
    g_assert_cmpstr(part_text(c, "", "4"), ==, "item,crowns\nbuoy,90\n");
    g_assert_cmpstr(part_text(c, "", "5"), ==, NOTE);
    g_assert_nonnull(collected_find(c, "6"));
    g_assert_cmpuint(c->lines->len, ==, 2);
    /* Damaged ones give nothing, or the data as they stand. */
    static const guint8 native[] = {40, 0, 0, 0, 2, 0, 'a', 0, 'b', 0, 0, 0, 3, 0, 9, 0, 0, 0, 'c'};
    g_autofree char *name = NULL;
    gsize start, n;
    g_assert_true(pd_ole_native(native, sizeof native, &start, &n, &name));
    g_assert_cmpuint(start, ==, 4);
    g_assert_cmpuint(n, ==, sizeof native - 4);
    g_assert_null(name);
    g_assert_false(pd_ole_native(native, 3, &start, &n, &name));
    g_assert_null(pd_ole_kind(native, sizeof native));
}

/* The same in winmail.dat, each as a compound file; what is none stays as it is. */
static void
test_objects_in_winmail(void)
{
    g_autoptr(Collected) c = read_golden("winmail-objects.dat", 1);
    g_assert_true(collected_says(
        c, "skipped 2:Word: ", "not read: embedded object: Microsoft Word 97-2003 Document"));
    g_assert_true(collected_says(c, "skipped 3:Chart: ", "object: Microsoft Excel workbook"));
    g_assert_cmpstr(part_text(c, "", "4"), ==, "item,crowns\nbuoy,90\n");
    g_assert_cmpstr(part_text(c, "", "5"), ==, NOTE);
    g_assert_cmpstr(part_text(c, "", "6"), ==, NOTE);
    g_assert_cmpuint(c->lines->len, ==, 2);
}

/* S/MIME: what is signed is read, around or beside its signature; what is encrypted is said to be.
 */
static void
test_smime(void)
{
    g_autoptr(Collected) clear = read_golden("smime-clear.msg", 1);
    g_assert_cmpstr(part_text(clear, "", "1.1"), ==, TWO_LINES);
    g_assert_cmpuint(clear->lines->len, ==, 0);
    g_autoptr(Collected) wrapped = read_golden("smime-signed.msg", 1);
    g_assert_cmpstr(part_text(wrapped, "", "1"), ==, TWO_LINES);
    g_assert_cmpuint(wrapped->lines->len, ==, 0);
    g_autoptr(Collected) encrypted = read_golden("smime-encrypted.msg", 1);
    g_assert_cmpuint(((PdDocument *)encrypted->documents->pdata[0])->parts->len, ==, 1);
    g_assert_true(collected_says(encrypted, "skipped 1:smime.p7m", "encrypted"));
}

/* A message that says nothing, though it is no empty one. */
static void
test_smime_without_content(void)
{
    g_autoptr(PdMapiMessage) message = pd_mapi_message_new();
    pd_mapi_set(message, &limits, 0x001A, PD_MAPI_STRING8, (const guint8 *)"IPM.Note.SMIME", 14);
    pd_mapi_check(message);
    g_assert_cmpuint(message->remarks->len, ==, 1);
    g_assert_nonnull(strstr(g_ptr_array_index(message->remarks, 0), "signed or encrypted"));
}

/* --- damaged ------------------------------------------------------------------------------- */

typedef gboolean (*Read)(const guint8 *bytes, gsize n, const PdMapiLimits *limits,
                         PdMapiMessage *message);

static void
check_read(Read read, const guint8 *bytes, gsize n)
{
    g_autoptr(PdMapiMessage) message = pd_mapi_message_new();
    /* A copy of its own, so that a tool sees every byte that is read too far. */
    g_autofree guint8 *copy = g_memdup2(bytes, n);
    if (!read(copy, n, &limits, message))
        return;
    g_assert_cmpuint(message->attachments->len, <=, limits.attachments_max);
    g_autoptr(GByteArray) mime = pd_mapi_to_mime(message);
    g_assert_cmpuint(mime->len, >, 0);
}

/* Cut off at every byte, and with bytes that are others (fixed seed). */
static void
damage(const char *name, Read read)
{
    g_autofree char *path = g_strconcat(GOLDEN, name, NULL);
    g_autofree char *text = NULL;
    gsize n;
    g_assert_true(g_file_get_contents(path, &text, &n, NULL));
    guint8 *bytes = (guint8 *)text;
    for (gsize cut = 0; cut<n; cut += n> 2000 ? 7 : 1)
        check_read(read, bytes, cut);
    g_autoptr(GRand) rand = g_rand_new_with_seed(31);
    for (int round = 0; round < 2000; round++) {
        gsize at = (gsize)g_rand_int_range(rand, 0, (gint32)n);
        guint8 kept = bytes[at];
        bytes[at] = (guint8)g_rand_int_range(rand, 0, 256);
        check_read(read, bytes, n);
        bytes[at] = kept;
    }
}

static void
ignore_log(const char *domain, GLogLevelFlags level, const char *text, gpointer user_data)
{
}

static void
test_damaged(void)
{
    /* libgsf says aloud what it then refuses. */
    GLogLevelFlags fatal = g_log_set_always_fatal(G_LOG_FATAL_MASK);
    g_log_set_default_handler(ignore_log, NULL);
    damage("winmail.dat", pd_tnef_read);
    damage("winmail-objects.dat", pd_tnef_read);
    damage("plain.msg", pd_msg_read);
    g_log_set_default_handler(g_log_default_handler, NULL);
    g_log_set_always_fatal(fatal);
}

static void
test_limits(void)
{
    static const struct {
        const char *name;
        Read read;
    } files[] = {{GOLDEN "winmail.dat", pd_tnef_read}, {GOLDEN "plain.msg", pd_msg_read}};
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *bytes = NULL;
        gsize n;
        g_assert_true(g_file_get_contents(files[i].name, &bytes, &n, NULL));
        const PdMapiLimits shallow = {0, 100, 1u << 20, 1u << 20}, one = {5, 1, 1u << 20, 1u << 20};
        g_autoptr(PdMapiMessage) a = pd_mapi_message_new(), b = pd_mapi_message_new();
        g_assert_true(files[i].read((guint8 *)bytes, n, &shallow, a));
        g_assert_cmpstr(a->remarks->pdata[0], ==, "messages nested too deep in it were not read");
        g_assert_true(files[i].read((guint8 *)bytes, n, &one, b));
        g_assert_cmpuint(b->attachments->len, ==, 1);
        g_assert_cmpstr(b->remarks->pdata[0], ==,
                        "more attachments than the limit: the rest was not read");
    }
    /* Compressed RTF that says it becomes more than it may. */
    const guint8 large[] = {0xff, 0, 0, 0, 0, 0, 0, 0x7f, 'L', 'Z', 'F', 'u', 0, 0, 0, 0, 0};
    g_assert_null(pd_mapi_unpack_rtf(large, sizeof large, 1u << 20));
    g_autoptr(PdMapiMessage) message = pd_mapi_message_new();
    pd_mapi_set(message, &limits, 0x1009, PD_MAPI_BINARY, large, sizeof large);
    g_assert_cmpstr(message->remarks->pdata[0], ==,
                    "its formatted text is over the limit of 1048576 bytes and was not read");
}

/* The example of [MS-OXRTFCP], section 3.1.1: the bytes of the specification itself. */
static void
test_rtf_of_the_specification(void)
{
    static const guint8 packed[] = {0x2d, 0x00, 0x00, 0x00, 0x2b, 0x00, 0x00, 0x00, 0x4c, 0x5a,
                                    0x46, 0x75, 0xf1, 0xc5, 0xc7, 0xa7, 0x03, 0x00, 0x0a, 0x00,
                                    0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a,
                                    0xf3, 0x20, 0x68, 0x65, 0x6c, 0x09, 0x00, 0x20, 0x62, 0x77,
                                    0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f, 0xa0};
    static const char plain[] = "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n";
    g_autoptr(GByteArray) out = pd_mapi_unpack_rtf(packed, sizeof packed, 1000);
    g_assert_cmpmem(out->data, out->len, plain, strlen(plain));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/outlook/msg", test_msg);
    g_test_add_func("/outlook/winmail-in-mail", test_winmail_in_mail);
    g_test_add_func("/outlook/winmail-alone", test_winmail_alone);
    g_test_add_func("/outlook/address-list", test_address_list);
    g_test_add_func("/outlook/objects", test_objects);
    g_test_add_func("/outlook/objects-in-winmail", test_objects_in_winmail);
    g_test_add_func("/outlook/smime", test_smime);
    g_test_add_func("/outlook/smime-without-content", test_smime_without_content);
    g_test_add_func("/outlook/damaged", test_damaged);
    g_test_add_func("/outlook/limits", test_limits);
    g_test_add_func("/outlook/rtf-of-the-specification", test_rtf_of_the_specification);
    return g_test_run();
}
