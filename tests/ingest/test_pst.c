/*
 * Outlook's stores: files that golden/mail/make_pst.py put together, in which readpst and pffexport
 * find what it says, and what is left of them when they are damaged.
 */
#include "collect.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ingest/readers/pst_message.h"

#define GOLDEN PD_SOURCE_ROOT "/tests/golden/mail/"
#define NOTE "The buoy was recovered on 3 April.\n"
#define CASE "Inbox/\xc3\x85land_2001!/"
#define SENT 989835660
#define N_DOCUMENTS 13 /* in a sample */

static const char *
part_text(const Collected *c, const char *key, const char *path)
{
    const PdDocument *document = collected_find(c, key);
    g_assert_nonnull(document);
    return document_part_text(document, path);
}

static char *
golden(const char *name, gsize *n)
{
    g_autofree char *path = g_strconcat(GOLDEN, name, NULL);
    char *bytes;
    g_assert_true(g_file_get_contents(path, &bytes, n, NULL));
    return bytes;
}

/* What the readers make of these bytes. */
static Collected *
collect_bytes(const char *bytes, gsize n)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-pst-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "store", NULL);
    g_assert_true(g_file_set_contents(path, bytes, (gssize)n, NULL));
    Collected *c = collect(path, NULL, NULL);
    remove_folder(folder);
    return c;
}

/* --- whole --------------------------------------------------------------------------------- */

static void
check_first(const Collected *c, const char *key)
{
    const PdDocument *mail = collected_find(c, key);
    g_assert_nonnull(mail);
    g_assert_cmpint(mail->kind, ==, PD_KIND_MAIL);
    g_assert_cmpstr(mail->title, ==, "Caf\xc3\xa9 \"at\" nine");
    g_assert_cmpstr(mail->author, ==, "Kay Smith <kay@example.org>");
    g_assert_cmpstr(mail->recipients, ==,
                    "\"Lee, Ann\" <ann.lee@example.org>, Bo <bo@example.org>");
    g_assert_cmpint(mail->date_utc, ==, SENT);
    g_assert_nonnull(
        strstr(document_part_text(mail, "headers"), "\nBcc: Secret <secret@example.org>\n"));
    g_assert_cmpstr(mail->native_id, ==, "first@example.org");
    g_assert_cmpstr(mail->in_reply_to, ==, "two@example.org one@example.org");
    g_assert_cmpstr(document_part_text(mail, "1.1"), ==,
                    "Caf\xc3\xa9 at nine?\nThe fee is EUR 51,200.\n");
    g_assert_cmpstr(document_part_text(mail, "2"), ==, NOTE);
}

/* Values and lists over several blocks and levels, a message in the message, a file elsewhere. */
static void
check_log(const Collected *c)
{
    const PdDocument *log = collected_find(c, CASE "log@example.org");
    g_assert_nonnull(log);
    g_assert_cmpstr(log->title, ==, "Re: Log");
    g_autoptr(GString) body = g_string_new(NULL);
    for (int i = 0; i < 280; i++)
        g_string_append_printf(body, "Line %d of the log of the buoy.\n", i);
    g_assert_cmpstr(document_part_text(log, "1.1"), ==, body->str);
    g_autoptr(GString) table = g_string_new(NULL);
    for (int i = 0; i < 3200; i++)
        g_string_append_printf(table, "%d,%d\n", i, i * i);
    g_assert_cmpstr(document_part_text(log, "2"), ==, table->str);
    for (int i = 0; i < 12; i++) {
        g_autofree char *hand = g_strdup_printf("Hand %d <hand%d@example.org>", i, i);
        g_assert_nonnull(strstr(log->recipients, hand));
    }
    const PdDocument *inner = collected_find(c, CASE "log@example.org!/3");
    g_assert_cmpstr(inner->parent_key, ==, log->key);
    g_assert_cmpstr(inner->title, ==, "Inner");
    g_assert_cmpstr(document_part_text(inner, "1.1"), ==, "Inside the message.\n");
    g_assert_cmpstr(document_part_text(inner, "2"), ==, "A file in a message in a message.\n");
    g_assert_true(collected_says(c, "log@example.org: what is attached is not in the store",
                                 "\\\\yard\\plans\\plan.dwg"));
}

static const PdDocument *
find_title(const Collected *c, const char *title)
{
    for (guint i = 0; i < c->documents->len; i++) {
        const PdDocument *document = g_ptr_array_index(c->documents, i);
        if (g_strcmp0(document->title, title) == 0)
            return document;
    }
    g_assert_not_reached();
}

/* What is no mail says what it is, before its text. */
static void
check_details(const Collected *c)
{
    const PdDocument *appointment = find_title(c, "Yard closes");
    g_assert_true(g_str_has_prefix(appointment->key, "Calendar!/"));
    g_assert_cmpstr(document_part_text(appointment, "1"), ==,
                    "Start: 2001-05-14 11:21 UTC\nEnd: 2001-05-14 12:21 UTC\nLocation: Pier 4\n");
    g_assert_cmpstr(document_part_text(appointment, "2.1"), ==, "Bring the keys.\n");
    g_assert_cmpstr(document_part_text(find_title(c, "Lee, Ann"), "1"), ==,
                    "Name: Ann Lee\nCompany: Yard & Co\nE-mail: ann.lee@example.org\n"
                    "Mobile telephone: +47 555 01\nAddress at work: Pier 4  0150 Oslo\n");
    g_assert_cmpstr(document_part_text(find_title(c, "Paint the buoy"), "1"), ==,
                    "Due: 2001-05-14 10:21 UTC\n");
    /* Two members whose names the list has, a contact of the store, one of a server; the others are
     * only said to be kept elsewhere. */
    g_assert_cmpstr(document_part_text(find_title(c, "Survey"), "1"), ==,
                    "Name: Survey\nMember: \"Lee, Ann\" <ann.lee@example.org>\n"
                    "Member: \"Bo\" <bo@example.org>\n"
                    "Member: \"Ann Lee\" <ann.lee@example.org>\n"
                    "Member: /o=Yard/ou=Pier/cn=Recipients/cn=dee\n");
    g_assert_true(collected_says(c, "partial", "2 of those on it are kept elsewhere"));
}

static void
check_sample(gconstpointer name)
{
    g_autofree char *path = g_strconcat(GOLDEN, name, NULL);
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, N_DOCUMENTS);
    check_details(c);
    check_first(c, "Inbox!/first@example.org");
    check_first(c, "Deleted Items!/first@example.org");
    g_assert_cmpstr(part_text(c, "Inbox!/html@example.org", "1.1"), ==,
                    "Caf\xc3\xa9 at nine?\n\nThe fee is EUR 51,200.\n");
    const PdDocument *rtf = collected_find(c, CASE "rtf@example.org!/1:body.rtf");
    g_assert_cmpstr(((PdPart *)g_ptr_array_index(rtf->parts, 0))->text->str, ==,
                    "The raft is in the yard, and the yard is closed.\n");
    check_log(c);
    /* Signed in the clear, kept as one attachment. */
    g_assert_cmpstr(part_text(c, "Inbox!/signed@example.org", "1.1"), ==, "The fee is signed.");
    g_assert_cmpstr(part_text(c, "(lost)!/lost@example.org", "1.1"), ==, "Nobody sees it.\n");
    g_assert_true(collected_says(c, "messages among the deleted ones", ": 1, read"));
    g_assert_true(collected_says(c, "messages in no folder", ": 1, read"));
    g_assert_true(collected_says(c, "settings (views", ": 1, not read"));
    g_assert_false(collected_says(c, "checksum", ""));
    g_assert_false(collected_says(c, "damaged", ""));
}

/* Objects of other programs: the file in them, or what they are; what is none stays as it is. */
static void
test_objects(void)
{
    g_autoptr(Collected) c = collect(GOLDEN "objects.pst", NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 1);
    const PdDocument *mail = collected_find(c, "Inbox!/objects@example.org");
    g_assert_true(collected_says(c, "skipped Inbox!/objects@example.org!/2:Word: ",
                                 "embedded object: Microsoft Word 97-2003 Document"));
    g_assert_true(collected_says(c, "skipped Inbox!/objects@example.org!/3:Chart: ",
                                 "embedded object: Microsoft Excel workbook"));
    g_assert_cmpstr(document_part_text(mail, "4"), ==, "item,crowns\nbuoy,90\n");
    g_assert_cmpstr(document_part_text(mail, "5"), ==, NOTE);
    g_assert_cmpstr(document_part_text(mail, "6"), ==, NOTE);
    g_assert_cmpuint(c->lines->len, ==, 2);
}

static void
test_ansi(void)
{
    g_autoptr(Collected) c = collect(GOLDEN "ansi.pst", NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 2);
    const PdDocument *mail = collected_find(c, "Inbox!/ru@example.org");
    g_assert_cmpstr(mail->title, ==, "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82");
    g_assert_cmpstr(mail->recipients, ==, "\xd0\x9b\xd0\xb5\xd0\xbd\xd0\xb0 <lena@example.org>");
    g_assert_true(
        g_str_has_prefix(document_part_text(mail, "1.1"), "\xd0\x9f\xd0\xbb\xd0\xbe\xd1\x82"));
    g_assert_cmpstr(document_part_text(mail, "2"), ==, NOTE);
    g_assert_cmpuint(strlen(part_text(c, "Inbox!/log@example.org", "2")), ==, 20000);
    g_assert_false(collected_says(c, "checksum", ""));
}

/* --- damaged ------------------------------------------------------------------------------- */

/* The place of a node in the list of a 64-bit store: its number and its parent's. */
static char *
find_in_list(char *bytes, gsize n, guint32 id, guint32 parent)
{
    enum { PARENT_AT = 24, ENTRY_BYTES = 32 };
    const guint32 numbers[] = {GUINT32_TO_LE(id), 0};
    const guint32 above = GUINT32_TO_LE(parent);
    for (gsize at = 0; at + ENTRY_BYTES <= n; at += 4)
        if (memcmp(bytes + at, numbers, 8) == 0 && memcmp(bytes + at + PARENT_AT, &above, 4) == 0)
            return bytes + at;
    g_assert_not_reached();
}

/* Two folders that lie in each other: their mails are read, and which page was tampered with is
 * said. */
static void
test_circle(void)
{
    gsize n;
    g_autofree char *bytes = golden("sample.pst", &n);
    find_in_list(bytes, n, 0x8042, 0x8022)[24] = 0x62;
    g_autoptr(Collected) c = collect_bytes(bytes, n);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, N_DOCUMENTS);
    g_assert_true(collected_says(c, "another checksum", ": 1"));
    for (guint i = 0; i < c->documents->len; i++) {
        const PdDocument *document = g_ptr_array_index(c->documents, i);
        if (g_strcmp0(document->native_id, "log@example.org") == 0)
            g_assert_true(g_str_has_prefix(document->key, "(lost)/"));
    }
}

/* A page of the list that is none: what it lists is missing, and said to be; the rest is read. */
static void
test_lost_page(void)
{
    gsize n;
    g_autofree char *bytes = golden("sample.pst", &n);
    gsize at = (gsize)(find_in_list(bytes, n, 0x200024, 0x8042) - bytes);
    bytes[at / 512 * 512 + 496] = 0; /* its type */
    g_autoptr(Collected) c = collect_bytes(bytes, n);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 1);
    g_assert_nonnull(collected_find(c, "(lost)!/lost@example.org"));
    g_assert_true(collected_says(c, "failed list at byte", "what it lists was not read"));
}

static void
test_encrypted(void)
{
    gsize n;
    g_autofree char *bytes = golden("sample.pst", &n);
    bytes[513] = 0x10;
    g_autoptr(Collected) c = collect_bytes(bytes, n);
    g_assert_cmpuint(c->documents->len, ==, 0);
    g_assert_true(collected_says(c, "this Outlook store is encrypted", ""));
    bytes[513] = 1;
    bytes[10] = 3;
    g_autoptr(Collected) unknown = collect_bytes(bytes, n);
    g_assert_true(collected_says(unknown, "version that is not known", ""));
}

/* Cut off anywhere: each part of the file is read or said to be missing (collect() counts). */
static void
test_cut_off(void)
{
    static const char *const names[] = {"sample.pst", "ansi.pst", "sample.ost"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        gsize n;
        g_autofree char *bytes = golden(names[i], &n);
        for (guint part = 1; part < 8; part++) {
            g_autoptr(Collected) c = collect_bytes(bytes, n * part / 8);
            g_assert_true(c->error || c->lines->len > 0);
        }
    }
}

/* --- one process, many files --------------------------------------------------------------- */

static const PdMapiLimits limits = {3, 100, 1u << 20, 1u << 20};
static const PdPstLimits store_limits = {1u << 20, 1000, 1000, 400};

/* All messages of a store. */
typedef struct {
    GArray *nodes; /* PdPstNode */
    GByteArray *mails;
    guint n_read;
    gboolean said; /* that something is damaged */
} Content;

static gboolean
on_node(const PdPstNode *node, gpointer user_data)
{
    Content *content = user_data;
    if ((node->id & PD_PST_TYPE_MASK) == PD_PST_MESSAGE)
        g_array_append_val(content->nodes, *node);
    return TRUE;
}

static gboolean
on_lost(guint64 offset, gpointer user_data)
{
    ((Content *)user_data)->said = TRUE;
    return TRUE;
}

static void
content_clear(Content *content)
{
    g_array_unref(content->nodes);
    g_byte_array_unref(content->mails);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Content, content_clear)

static void
read_all(int fd, Content *content)
{
    *content = (Content){.nodes = g_array_new(FALSE, FALSE, sizeof(PdPstNode)),
                         .mails = g_byte_array_new()};
    g_autoptr(PdPst) pst = pd_pst_open(fd, &store_limits, NULL);
    content->said = !pst;
    if (!pst)
        return;
    g_autoptr(GHashTable) names = pd_pst_names(pst);
    content->said |= pd_pst_damage(pst)->n_unread + pd_pst_damage(pst)->n_broken > 0;
    pd_pst_each_node(pst, on_node, on_lost, content);
    content->said |= pd_pst_damage(pst)->n_wrong_sums > 0;
    for (guint i = 0; i < content->nodes->len; i++) {
        g_autoptr(PdMapiMessage) message = pd_mapi_message_new();
        const PdPstNode *node = &g_array_index(content->nodes, PdPstNode, i);
        gboolean ok = pd_pst_read_message(pst, names, node, &limits, message);
        g_assert_cmpuint(message->attachments->len, <=, limits.attachments_max);
        content->n_read += ok;
        for (guint k = 0; k < message->remarks->len; k++)
            content->said |= !strstr(message->remarks->pdata[k], "elsewhere");
        g_autoptr(GByteArray) mime = pd_mapi_to_mime(message);
        g_byte_array_append(content->mails, mime->data, mime->len);
    }
}

static int
file_of(const char *bytes, gsize n)
{
    int fd = memfd_create("store", 0);
    g_assert_cmpint(write(fd, bytes, n), ==, (gssize)n);
    return fd;
}

static gboolean
is_same(const Content *a, const Content *b)
{
    return a->mails->len == b->mails->len &&
           memcmp(a->mails->data, b->mails->data, a->mails->len) == 0;
}

/* Bytes that are others, one and several at a time (fixed seed): whatever is not as it was is said.
 * Of large pages no checksum is compared. */
static void
check_flips(gconstpointer name)
{
    gsize n;
    g_autofree char *bytes = golden(name, &n);
    gboolean has_sums = !g_str_has_suffix(name, ".ost");
    g_autoptr(GRand) rand = g_rand_new_with_seed(41);
    int fd = file_of(bytes, n);
    g_auto(Content) whole = {0};
    read_all(fd, &whole);
    g_assert_cmpuint(whole.n_read, >, 1);
    g_assert_false(whole.said);
    for (int round = 0; round < 1500; round++) {
        gsize at[8];
        guint n_flips = round % 3 ? 1 : G_N_ELEMENTS(at);
        for (guint i = 0; i < n_flips; i++) {
            at[i] = (gsize)g_rand_int_range(rand, 0, (gint32)n);
            if (at[i] >= 1024 && at[i] < 0x1000) /* nothing lies there */
                at[i] %= 600;
            guint8 byte = (guint8)(bytes[at[i]] ^ g_rand_int_range(rand, 1, 256));
            g_assert_cmpint(pwrite(fd, &byte, 1, (off_t)at[i]), ==, 1);
        }
        g_auto(Content) content = {0};
        read_all(fd, &content);
        g_assert_true(!has_sums || content.said || is_same(&content, &whole));
        for (guint i = 0; i < n_flips; i++)
            g_assert_cmpint(pwrite(fd, bytes + at[i], 1, (off_t)at[i]), ==, 1);
    }
    close(fd);
}

static gboolean
remarked(const PdMapiMessage *message, const char *text)
{
    for (guint i = 0; i < message->remarks->len; i++)
        if (strstr(message->remarks->pdata[i], text))
            return TRUE;
    return FALSE;
}

static void
test_limits(void)
{
    static const struct {
        PdMapiLimits limits;
        const char *remark;
    } cases[] = {
        {{0, 100, 1u << 20, 1u << 20}, "messages nested too deep in it were not read"},
        {{5, 1, 1u << 20, 1u << 20}, "more attachments than the limit: the rest was not read"},
        {{5, 100, 30000, 1u << 20},
         "1 of its values or lists are over a limit and were not read in full"},
    };
    gsize n;
    g_autofree char *bytes = golden("sample.pst", &n);
    int fd = file_of(bytes, n);
    g_autoptr(PdPst) pst = pd_pst_open(fd, &store_limits, NULL);
    PdPstNode log;
    g_assert_true(pd_pst_find_node(pst, 0x200084, &log));
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(PdMapiMessage) message = pd_mapi_message_new();
        g_assert_true(pd_pst_read_message(pst, NULL, &log, &cases[i].limits, message));
        g_assert_true(remarked(message, cases[i].remark));
    }
    close(fd);
}

/* Lists: too long, with too many rows, in too many pieces. */
static void
test_list_limits(void)
{
    static const struct {
        guint32 node;
        PdPstLimits limits;
        gboolean read;
        const char *remark;
    } cases[] = {
        {0x200084, {100, 1000, 1000}, FALSE, "1 of its values or lists are over a limit"},
        {0x200084, {1u << 20, 11, 1000}, TRUE, "1 of its values or lists are over a limit"},
        {0x200064, {1u << 20, 1000, 1}, TRUE, "1 of its values or lists are over a limit"},
    };
    gsize n;
    g_autofree char *bytes = golden("sample.pst", &n);
    int fd = file_of(bytes, n);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(PdPst) pst = pd_pst_open(fd, &cases[i].limits, NULL);
        g_autoptr(PdMapiMessage) message = pd_mapi_message_new();
        PdPstNode node;
        g_assert_true(pd_pst_find_node(pst, cases[i].node, &node));
        g_assert_cmpint(pd_pst_read_message(pst, NULL, &node, &limits, message), ==, cases[i].read);
        g_assert_true(remarked(message, cases[i].remark));
        g_assert_false(remarked(message, "damaged"));
        if (cases[i].limits.rows_max == 11) {
            g_assert_nonnull(strstr(message->recipients[0]->str, "hand10@example.org"));
            g_assert_null(strstr(message->recipients[0]->str, "hand11@example.org"));
        }
    }
    close(fd);
}

/* Of a list of contacts only so many are looked up; of the two here the second is in another store.
 */
static void
test_contacts_limit(void)
{
    gsize n;
    g_autofree char *bytes = golden("sample.pst", &n);
    int fd = file_of(bytes, n);
    for (guint max = 0; max <= 2; max++) {
        const PdPstLimits few = {1u << 20, 1000, 1000, max};
        g_autoptr(PdPst) pst = pd_pst_open(fd, &few, NULL);
        g_autoptr(GHashTable) names = pd_pst_names(pst);
        g_autoptr(PdMapiMessage) message = pd_mapi_message_new();
        g_autofree char *over = g_strdup_printf("%u of its values or lists are over", 2 - max);
        PdPstNode node;
        g_assert_true(pd_pst_find_node(pst, 0x200124, &node));
        g_assert_true(pd_pst_read_message(pst, names, &node, &limits, message));
        g_assert_cmpint(strstr(message->details->str, "Ann Lee") != NULL, ==, max > 0);
        g_assert_cmpint(remarked(message, over), ==, max < 2);
    }
    close(fd);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/pst/unicode", "sample.pst", check_sample);
    g_test_add_data_func("/pst/large-pages", "sample.ost", check_sample);
    g_test_add_func("/pst/ansi", test_ansi);
    g_test_add_func("/pst/objects", test_objects);
    g_test_add_func("/pst/circle", test_circle);
    g_test_add_func("/pst/lost-page", test_lost_page);
    g_test_add_func("/pst/encrypted", test_encrypted);
    g_test_add_func("/pst/cut-off", test_cut_off);
    g_test_add_data_func("/pst/flips/unicode", "sample.pst", check_flips);
    g_test_add_data_func("/pst/flips/ansi", "ansi.pst", check_flips);
    g_test_add_data_func("/pst/flips/large-pages", "sample.ost", check_flips);
    g_test_add_func("/pst/limits", test_limits);
    g_test_add_func("/pst/list-limits", test_list_limits);
    g_test_add_func("/pst/contacts-limit", test_contacts_limit);
    return g_test_run();
}
