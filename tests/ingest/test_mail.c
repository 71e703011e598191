/*
 * The mail reader against Python's reading of the same file (golden/mail), the ground truth of the
 * shared archives, and mails made here.
 */
#include "collect.h"

#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

static JsonParser *
load_json(const char *path)
{
    g_autoptr(GError) error = NULL;
    JsonParser *parser = json_parser_new();
    g_assert_true(json_parser_load_from_file(parser, path, &error));
    return parser;
}

static void
test_against_python(void)
{
    const char *box = PD_SOURCE_ROOT "/tests/golden/mail/sample.mbox";
    g_autoptr(JsonParser) parser = load_json(PD_SOURCE_ROOT "/tests/golden/mail/sample.json");
    JsonArray *want = json_node_get_array(json_parser_get_root(parser));
    g_autoptr(Collected) c = collect(box, NULL, NULL);
    g_autofree char *bytes = NULL;
    gsize n_bytes;
    g_assert_true(g_file_get_contents(box, &bytes, &n_bytes, NULL));
    g_assert_no_error(c->error);
    guint n_mails = 0;
    gint64 offset = 0;
    for (guint i = 0; i < c->documents->len; i++) {
        const PdDocument *got = g_ptr_array_index(c->documents, i);
        if (got->parent_key)
            continue;
        JsonObject *mail = json_array_get_object_element(want, n_mails++);
        g_assert_cmpstr(got->native_id, ==, json_object_get_string_member(mail, "message_id"));
        g_assert_cmpstr(got->key, ==, got->native_id);
        g_assert_cmpstr(got->title, ==, json_object_get_string_member(mail, "subject"));
        g_assert_cmpstr(got->author, ==, json_object_get_string_member(mail, "from"));
        g_assert_cmpint(got->date_utc, ==, json_object_get_int_member(mail, "date_utc"));
        const char *body = document_part_text(got, "1") ? document_part_text(got, "1")
                                                        : document_part_text(got, "1.1");
        g_autofree char *chomped = g_strchomp(g_strdup(body));
        g_assert_cmpstr(chomped, ==, json_object_get_string_member(mail, "body"));
        /* Offset, length and hash are those of the bytes in the file. */
        g_assert_cmpint(got->raw_offset, ==, offset);
        g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
        guint8 digest[32];
        gsize n_digest = sizeof digest;
        g_checksum_update(sum, (guint8 *)bytes + got->raw_offset, got->raw_bytes);
        g_checksum_get_digest(sum, digest, &n_digest);
        g_assert_cmpmem(digest, 32, got->raw_sha256, 32);
        offset += got->raw_bytes;
    }
    g_assert_cmpuint(n_mails, ==, json_array_get_length(want));
    g_assert_cmpint(offset, ==, (gint64)n_bytes);

    const PdDocument *reply = collected_find(c, "m5@example.org");
    g_assert_cmpstr(reply->in_reply_to, ==, "m1@example.org m0@example.org");
    g_assert_cmpstr(reply->recipients, ==, "Bob Stone <bob@example.net>, cay@example.com");
    g_assert_cmpstr(collected_find(c, "m7@example.org")->in_reply_to, ==,
                    "m5@example.org x@example.org");
    /* Parts: the plain alternative, the table, and the mail inside as a document of its own. */
    const PdDocument *parts = collected_find(c, "m6@example.org");
    g_assert_null(document_part_text(parts, "1.2"));
    g_assert_cmpstr(document_part_text(parts, "2"), ==, "a,b\n1,2\n");
    const PdDocument *inner = collected_find(c, "m6@example.org!/3");
    g_assert_nonnull(inner);
    g_assert_cmpstr(inner->parent_key, ==, "m6@example.org");
    g_assert_cmpstr(inner->native_id, ==, "inner@example.com");
    g_assert_cmpstr(document_part_text(inner, "1"), ==, "Forwarded words.\n");
}

static void
test_real_lists(void)
{
    g_autofree char *box = shared_data("real/mail/lists-2002.mbox");
    g_autofree char *json = box ? shared_data("real/mail/expected.json") : NULL;
    if (!json)
        return;
    g_autoptr(JsonParser) parser = load_json(json);
    JsonObject *root = json_node_get_object(json_parser_get_root(parser));
    JsonArray *list = json_object_get_array_member(
        json_object_get_object_member(root, "lists-2002.mbox"), "list");
    g_autoptr(Collected) c = collect(box, NULL, NULL);
    g_assert_no_error(c->error);
    guint n = 0;
    for (guint i = 0; i < c->documents->len; i++) {
        const PdDocument *document = g_ptr_array_index(c->documents, i);
        if (document->parent_key)
            continue;
        g_autofree char *id = g_strdup_printf("<%s>", document->native_id);
        g_assert_cmpstr(
            id, ==,
            json_object_get_string_member(json_array_get_object_element(list, n++), "message_id"));
    }
    g_assert_cmpuint(n, ==, json_array_get_length(list));
}

/* The words that the questions' answers rest on stand in the mails they are said to stand in. */
static void
test_real_evidence(void)
{
    static const char *const boxes[] = {"lists-2002.mbox", "pep-patches.mbox"};
    g_autofree char *json = shared_data("real/mail/qa.json");
    if (!json)
        return;
    g_autoptr(JsonParser) parser = load_json(json);
    JsonNode *root = json_parser_get_root(parser);
    JsonArray *questions =
        JSON_NODE_HOLDS_ARRAY(root)
            ? json_node_get_array(root)
            : json_object_get_array_member(json_node_get_object(root), "questions");
    g_autoptr(GHashTable) texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (gsize b = 0; b < G_N_ELEMENTS(boxes); b++) {
        g_autofree char *name = g_strconcat("real/mail/", boxes[b], NULL);
        g_autofree char *path = shared_data(name);
        if (!path)
            return;
        g_autoptr(Collected) c = collect(path, NULL, NULL);
        for (guint i = 0; i < c->documents->len; i++) {
            const PdDocument *document = g_ptr_array_index(c->documents, i);
            GString *text = g_string_new(NULL);
            for (guint k = 0; k < document->parts->len; k++)
                g_string_append(text, ((PdPart *)g_ptr_array_index(document->parts, k))->text->str);
            g_auto(GStrv) words = g_strsplit_set(text->str, " \t\r\n", -1);
            g_string_truncate(text, 0);
            for (char **word = words; *word; word++) {
                if (**word)
                    g_string_append_printf(text, "%s ", *word);
            }
            g_hash_table_insert(texts, g_strdup(document->native_id), g_string_free(text, FALSE));
        }
    }
    guint n_checked = 0;
    for (guint i = 0; i < json_array_get_length(questions); i++) {
        JsonObject *question = json_array_get_object_element(questions, i);
        if (!json_object_has_member(question, "evidence"))
            continue;
        JsonArray *evidence = json_object_get_array_member(question, "evidence");
        for (guint k = 0; k < json_array_get_length(evidence); k++) {
            JsonObject *item = json_array_get_object_element(evidence, k);
            const char *id = json_object_has_member(item, "message_id")
                                 ? json_object_get_string_member(item, "message_id")
                                 : json_object_get_string_member(item, "commit");
            const char *words = json_object_get_string_member_with_default(item, "quote", NULL);
            if (!id || !words)
                continue;
            g_autofree char *bare = g_strdup(id);
            if (*bare == '<')
                memmove(bare, bare + 1, strlen(bare));
            bare[strcspn(bare, ">")] = '\0';
            const char *text = g_hash_table_lookup(texts, bare);
            g_assert_nonnull(text);
            g_auto(GStrv) split = g_strsplit_set(words, " \t\r\n", -1);
            g_autofree char *joined = g_strjoinv(" ", split);
            if (!strstr(text, joined))
                g_test_message("%s: not in %s", joined, bare);
            g_assert_nonnull(strstr(text, joined));
            n_checked++;
        }
    }
    g_assert_cmpuint(n_checked, >, 10);
}

static void
put(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *dir = g_path_get_dirname(path);
    g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void
test_maildir(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    put(folder, "new/1", "From: a@b\nMessage-ID: <1@x>\n\none\n");
    put(folder, "cur/2:2,S", "From: a@b\n\nno id\n");
    put(folder, "tmp/3", "From: a@b\nMessage-ID: <3@x>\n\nhalf\n");
    put(folder, ".Sent/cur/4:2,", "From: a@b\nMessage-ID: <4@x>\n\nfour\n");
    put(folder, ".Sent/new/5",
        "\x7f"
        "ELF no mail");
    g_autofree char *link = g_build_filename(folder, "new/6", NULL);
    g_assert_cmpint(symlink("1", link), ==, 0);
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 3);
    g_assert_nonnull(collected_find(c, "1@x"));
    g_assert_nonnull(collected_find(c, "4@x"));
    g_assert_true(collected_says(c, "skipped .Sent/new/5", "not a mail"));
    g_assert_true(collected_says(c, "skipped new/6", "symbolic link"));
    g_assert_cmpuint(c->n_found, ==, 5);
    /* The made-up id of a mail without one is the same every time. */
    g_autoptr(Collected) again = collect(folder, NULL, NULL);
    for (guint i = 0; i < 3; i++)
        g_assert_cmpstr(((PdDocument *)c->documents->pdata[i])->key, ==,
                        ((PdDocument *)again->documents->pdata[i])->key);
    remove_folder(folder);
}

/* MH: a folder in which each mail is a file whose name is a number; folders in it are folders. */
static void
test_mh(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    put(folder, "1", "From: a@b\nMessage-ID: <1@x>\n\none\n");
    put(folder, "12", "Received: from c\nFrom: a@b\nMessage-ID: <12@x>\n\ntwelve\n");
    put(folder, "lists/3", "Return-Path: <a@b>\nFrom: a@b\nSubject: three\n\nthree\n");
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 3);
    for (guint i = 0; i < 3; i++)
        g_assert_cmpint(((PdDocument *)c->documents->pdata[i])->kind, ==, PD_KIND_MAIL);
    g_assert_nonnull(collected_find(c, "12"));
    remove_folder(folder);
}

/* Labels of an archive from Google Takeout, of which one has a letter that a header cannot hold. */
static void
test_labels(void)
{
    static const char box[] = "From 1@xxx Mon Feb 05 10:07:00 +0000 2001\n"
                              "X-GM-THRID: 1\nX-Gmail-Labels: =?UTF-8?Q?Inbox,Caf=C3=A9_Nord,?=\n"
                              " Important\nFrom: kay@x\nTo: lee@x\nSubject: s\n"
                              "Message-ID: <m@x>\n\nHello.\n";
    g_autoptr(Collected) c = collect_text("a.mbox", box, NULL);
    g_assert_cmpuint(c->documents->len, ==, 1);
    g_assert_nonnull(strstr(document_part_text(c->documents->pdata[0], "headers"),
                            "\nX-Gmail-Labels: Inbox,Caf\xc3\xa9 Nord, Important\n"));
}

/* What In-Reply-To and References look like in the wild, and the chain that is made of them. */
static void
test_ancestors(void)
{
    static const struct {
        const char *fields, *chain;
    } cases[] = {
        {"In-Reply-To: <a@x>\n", "a@x"},
        /* MH's and Emacs's ways of saying it: the address is no Message-ID */
        {"In-Reply-To: Message from Kay <kay@host> of \"Mon, 07 Oct\"\n <a@x>\n", "a@x"},
        {"In-Reply-To: <a@x> (message from Kay <kay@host> on Monday)\n", "a@x"},
        {"In-Reply-To: Your message of Monday\nReferences: <c@x> <b@x>\n\t<a@x>\n", "a@x b@x c@x"},
        {"In-Reply-To: <a@x>\nReferences: <c@x><b@x> <a@x>\n", "a@x b@x c@x"},
        {"In-Reply-To: <a@x>\nReferences: <c@x> <b@x>\n", "a@x b@x c@x"},
        {"References: c <b@x> <not an id> <<a@x>>\n", "a@x b@x"},
        {"References:\nIn-Reply-To: \n", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *mail = g_strdup_printf("From: kay@x\nTo: lee@x\nSubject: s\n"
                                                "Date: Mon, 5 Feb 2001 10:07:00 +0000\n"
                                                "Message-ID: <m@x>\n%s\nHello.\n",
                                                cases[i].fields);
        g_autoptr(Collected) c = collect_text("a.eml", mail, NULL);
        g_assert_no_error(c->error);
        g_assert_cmpuint(c->documents->len, ==, 1);
        g_assert_cmpstr(((PdDocument *)c->documents->pdata[0])->in_reply_to, ==, cases[i].chain);
    }
}

static const char two_parts[] =
    "From a@b Thu Jan  1 00:00:00 1970\n"
    "From: a@b\nMessage-ID: <1@x>\nMIME-Version: 1.0\n"
    "Content-Type: multipart/mixed; boundary=b\n\n"
    "--b\nContent-Type: text/plain\n\nwords\n"
    "--b\nContent-Type: image/png; name=i.png\nContent-Transfer-Encoding: base64\n\niVBORw0K\n"
    "--b\nContent-Type: message/rfc822\n\nFrom: c@d\nSubject: inner\n\ninner words\n--b--\n\n";

/* Each attachment has its own outcome; of a message that comes twice the second is a duplicate, and
 * so are its attachments.  Nothing is silent about nothing. */
static void
test_outcomes(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *twice = g_strconcat(two_parts, two_parts, NULL);
    put(folder, "m.mbox", twice);
    put(folder, "empty/cur/.keep", "");
    put(folder, "empty/new/.keep", "");
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 2);
    g_assert_nonnull(collected_find(c, "m.mbox!/1@x"));
    g_assert_nonnull(collected_find(c, "m.mbox!/1@x!/3"));
    g_assert_true(collected_says(c, "skipped m.mbox!/1@x!/2:i.png: ", "no text in this format"));
    g_assert_true(collected_says(c, "duplicate m.mbox!/1@x: ", "again"));
    g_assert_true(collected_says(c, "duplicate m.mbox!/1@x!/2:i.png: ", "no text"));
    g_assert_true(collected_says(c, "duplicate m.mbox!/1@x!/3: ", "read before"));
    g_assert_true(collected_says(c, "skipped empty: ", "nothing to read in it"));
    g_assert_cmpuint(c->n_found, ==, 7);
    remove_folder(folder);
}

/* PKCS #7 that openssl made: golden/mail/make_smime.py. */
static void
test_smime(void)
{
    static const struct {
        const char *file, *type, *words; /* of the ledger; NULL: its text is read */
    } cases[] = {
        {"signed.p7m", "application/pkcs7-mime; smime-type=signed-data", NULL},
        {"streamed.p7m", "application/x-pkcs7-mime", NULL},
        {"signed.p7m", "application/octet-stream; name=smime.P7M", NULL},
        {"encrypted.p7m", "application/pkcs7-mime; smime-type=enveloped-data", "): encrypted"},
        {"certificates.p7m", "application/pkcs7-mime; smime-type=certs-only", "certificates"},
        {"make_smime.py", "application/pkcs7-mime", "cannot be opened"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *golden =
            g_strconcat(PD_SOURCE_ROOT "/tests/golden/mail/", cases[i].file, NULL);
        g_autofree char *folder = g_dir_make_tmp("pandect-mail-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(folder, "a.eml", NULL);
        g_autofree char *bytes = NULL;
        gsize n;
        g_assert_true(g_file_get_contents(golden, &bytes, &n, NULL));
        g_autofree char *lines = g_base64_encode((const guchar *)bytes, n);
        g_autofree char *mail =
            g_strdup_printf("From: a@b\nSubject: s\nMIME-Version: 1.0\nContent-Type: %s\n"
                            "Content-Transfer-Encoding: base64\n\n%s\n",
                            cases[i].type, lines);
        put(folder, "a.eml", mail);
        g_autoptr(Collected) c = collect(path, NULL, NULL);
        g_assert_no_error(c->error);
        g_assert_cmpuint(c->documents->len, ==, 1);
        const PdDocument *document = g_ptr_array_index(c->documents, 0);
        g_assert_cmpuint(c->lines->len, ==, cases[i].words != NULL);
        if (cases[i].words)
            g_assert_true(collected_says(c, "skipped 1", cases[i].words));
        else
            g_assert_cmpstr(document_part_text(document, "1"), ==,
                            "Caf\xc3\xa9 at nine?\nThe fee is EUR 51,200.\n");
        remove_folder(folder);
    }
}

/* Messages in messages: followed to the limit, then said. */
static void
test_nesting(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "n.eml", NULL);
    g_autoptr(GString) mail = g_string_new("From: a@b\nSubject: innermost\n\nwords\n");
    for (int i = 0; i < 12; i++) {
        g_autofree char *outer = g_strdup_printf(
            "From: a@b\nSubject: level %d\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n%s",
            i, mail->str);
        g_string_assign(mail, outer);
    }
    put(folder, "n.eml", mail->str);
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 1 + pd_read_limits_default.depth_max);
    g_assert_true(collected_says(c, "skipped", "deeper than the limit of 5"));
    /* Parts in parts of one message: the same. */
    g_string_assign(mail, "Content-Type: text/plain\n\nwords\n");
    for (int i = 0; i < 70; i++) {
        g_autofree char *outer =
            g_strdup_printf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n%s\n--b%d--\n",
                            i, i, mail->str, i);
        g_string_assign(mail, outer);
    }
    g_string_prepend(mail, "From: a@b\nMIME-Version: 1.0\n");
    put(folder, "n.eml", mail->str);
    g_autoptr(Collected) parts = collect(path, NULL, NULL);
    g_assert_cmpuint(parts->documents->len, ==, 1);
    g_assert_true(collected_says(parts, "partial", "or 64 levels"));
    remove_folder(folder);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mail/against-python", test_against_python);
    g_test_add_func("/mail/real-lists", test_real_lists);
    g_test_add_func("/mail/real-evidence", test_real_evidence);
    g_test_add_func("/mail/maildir", test_maildir);
    g_test_add_func("/mail/mh", test_mh);
    g_test_add_func("/mail/labels", test_labels);
    g_test_add_func("/mail/ancestors", test_ancestors);
    g_test_add_func("/mail/outcomes", test_outcomes);
    g_test_add_func("/mail/smime", test_smime);
    g_test_add_func("/mail/nesting", test_nesting);
    return g_test_run();
}
