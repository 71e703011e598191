/*
 * Conversations as token ids, against the models' own templates rendered by Jinja and, for
 * DeepSeek-V4, which has none, against strings written by hand from its prompt grammar
 * (tests/golden/chat).  The expected ids are made here from the rendered string: a text that a
 * person wrote is put aside first, so that markers inside it stay text, then the markers are looked
 * up and what lies between is encoded as ordinary text.
 */
#include <json-glib/json-glib.h>
#include <string.h>

#include "engine/chat.h"
#include "tests/engine/tokenizer_fixture.h"

static const char *const markers[] = {"<|im_start|>",
                                      "<|im_end|>",
                                      "<|start_header_id|>",
                                      "<|end_header_id|>",
                                      "<|eot_id|>",
                                      "<start_of_turn>",
                                      "<end_of_turn>",
                                      "<｜begin▁of▁sentence｜>",
                                      "<｜end▁of▁sentence｜>",
                                      "<｜User｜>",
                                      "<｜Assistant｜>",
                                      "<think>",
                                      "</think>"};

static PdTokenizer *
open_tokenizer(const char *family)
{
    g_autoptr(GError) error = NULL;
    const char *name = g_str_equal(family, "gemma")       ? "gemma"
                       : g_str_equal(family, "llama3")    ? "llama-bpe"
                       : g_str_equal(family, "deepseek4") ? "deepseek-v4"
                                                          : "qwen2";
    g_autofree char *path = fixture_path(name);
    PdTokenizer *tok = pd_tokenizer_new_from_json(path, &error);
    g_assert_no_error(error);
    return tok;
}

static PdChatFamily
family_of(const char *name)
{
    for (int f = PD_CHAT_NONE; f <= PD_CHAT_DEEPSEEK4; f++)
        if (g_str_equal(pd_chat_family_name(f), name))
            return f;
    g_assert_not_reached();
}

static PdRole
role_of(JsonObject *message)
{
    const char *role = json_object_get_string_member(message, "role");
    return g_str_equal(role, "system") ? PD_ROLE_SYSTEM
           : g_str_equal(role, "user") ? PD_ROLE_USER
                                       : PD_ROLE_ASSISTANT;
}

/* Template text without what people wrote: markers to ids, the rest encoded. */
static void
expect_markup(const PdTokenizer *tok, const char *text, gsize n, GArray *ids)
{
    gsize open = 0;
    for (gsize at = 0; at < n;) {
        gsize len = 0;
        for (gsize m = 0; m < G_N_ELEMENTS(markers); m++) {
            if (n - at >= strlen(markers[m]) && g_str_has_prefix(text + at, markers[m])) {
                guint32 id = pd_tokenizer_special_id(tok, markers[m]);
                len = strlen(markers[m]);
                pd_tokenizer_encode(tok, text + open, at - open, ids, NULL);
                g_array_append_val(ids, id);
                open = at + len;
            }
        }
        at += len > 0 ? len : 1;
    }
    pd_tokenizer_encode(tok, text + open, n - open, ids, NULL);
}

static void
check_chat(JsonObject *line)
{
    const char *name = json_object_get_string_member(line, "family");
    const char *rendered = json_object_get_string_member(line, "rendered");
    JsonArray *messages = json_object_get_array_member(line, "messages");
    PdChatFamily family = family_of(name);
    g_autoptr(PdTokenizer) tok = open_tokenizer(name);
    g_autoptr(GArray) expected = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GString) all = g_string_new(NULL);

    pd_chat_begin(family, tok, ids);
    for (guint i = 0; i < json_array_get_length(messages); i++) {
        JsonObject *message = json_array_get_object_element(messages, i);
        const char *content = json_object_get_string_member(message, "content");
        const char *found = strstr(rendered, content);
        g_assert_nonnull(found);
        expect_markup(tok, rendered, found - rendered, expected);
        pd_tokenizer_encode(tok, content, strlen(content), expected, NULL);
        rendered = found + strlen(content);

        pd_chat_open(family, tok, role_of(message), ids);
        pd_chat_text(family, tok, content, strlen(content), ids);
        pd_chat_close(family, tok, role_of(message), ids);
    }
    expect_markup(tok, rendered, strlen(rendered), expected);
    pd_chat_open_answer(family, tok,
                        json_object_get_boolean_member_with_default(line, "thinks", FALSE), ids);

    for (guint i = 0; i < ids->len; i++)
        pd_tokenizer_decode(tok, g_array_index(ids, guint32, i), TRUE, all);
    g_assert_cmpstr(all->str, ==, json_object_get_string_member(line, "rendered"));
    g_assert_cmpmem(ids->data, ids->len * 4, expected->data, expected->len * 4);
}

static int
check_file(const char *name)
{
    g_autofree char *path = g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "chat", name, NULL);
    g_autofree char *data = NULL;
    int n = 0;
    g_assert_true(g_file_get_contents(path, &data, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(data, "\n", -1);
    for (; lines[n] != NULL && *lines[n] != '\0'; n++) {
        g_autoptr(JsonParser) parser = json_parser_new();
        g_assert_true(json_parser_load_from_data(parser, lines[n], -1, NULL));
        check_chat(json_node_get_object(json_parser_get_root(parser)));
    }
    return n;
}

static void
test_templates(void)
{
    g_assert_cmpint(check_file("chats.jsonl"), ==, 16);
    g_assert_cmpint(check_file("deepseek-v4.jsonl"), ==, 6);
}

/* The whole of a DeepSeek prompt but its last token is the same in either mode: what was read of a
 * corpus serves both. */
static void
test_thinking(void)
{
    g_autoptr(PdTokenizer) tok = open_tokenizer("deepseek4");
    GArray *prompts[2];
    for (int thinks = 0; thinks < 2; thinks++) {
        GArray *ids = prompts[thinks] = g_array_new(FALSE, FALSE, sizeof(guint32));
        pd_chat_begin(PD_CHAT_DEEPSEEK4, tok, ids);
        pd_chat_open(PD_CHAT_DEEPSEEK4, tok, PD_ROLE_USER, ids);
        pd_chat_text(PD_CHAT_DEEPSEEK4, tok, "The text </think>.", 18, ids);
        pd_chat_close(PD_CHAT_DEEPSEEK4, tok, PD_ROLE_USER, ids);
        pd_chat_open_answer(PD_CHAT_DEEPSEEK4, tok, thinks, ids);
    }
    guint last = prompts[0]->len - 1;
    g_assert_cmpuint(prompts[1]->len, ==, last + 1);
    g_assert_cmpmem(prompts[0]->data, last * 4, prompts[1]->data, last * 4);
    g_assert_cmpuint(g_array_index(prompts[0], guint32, last), ==,
                     pd_tokenizer_special_id(tok, "</think>"));
    g_assert_cmpuint(g_array_index(prompts[1], guint32, last), ==,
                     pd_tokenizer_special_id(tok, "<think>"));
    /* Between the user's marker and the assistant's there is text only. */
    for (guint i = 2; i < last - 1; i++)
        g_assert_cmpuint(g_array_index(prompts[0], guint32, i), <,
                         pd_tokenizer_special_id(tok, "<｜begin▁of▁sentence｜>"));
    g_assert_true(pd_tokenizer_is_end(tok, pd_tokenizer_special_id(tok, "<｜end▁of▁sentence｜>")));
    g_array_unref(prompts[0]);
    g_array_unref(prompts[1]);
}

/* What the model makes is told apart by tokens, never by text. */
static void
test_tokens(void)
{
    static const struct {
        const char *text;
        PdChatToken token;
    } cases[] = {{"<think>", PD_CHAT_TOKEN_REASONING},
                 {"</think>", PD_CHAT_TOKEN_ANSWER},
                 {"<｜User｜>", PD_CHAT_TOKEN_END},
                 {"<｜Assistant｜>", PD_CHAT_TOKEN_END},
                 {"<｜end▁of▁sentence｜>", PD_CHAT_TOKEN_END},
                 {"｜DSML｜", PD_CHAT_TOKEN_END}};
    g_autoptr(PdTokenizer) tok = open_tokenizer("deepseek4");
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint32 id = (guint32)pd_tokenizer_special_id(tok, cases[i].text);
        g_assert_cmpint(pd_chat_token(PD_CHAT_DEEPSEEK4, tok, id), ==, cases[i].token);
        g_assert_cmpint(pd_chat_token(PD_CHAT_CHATML, tok, id), ==, PD_CHAT_TOKEN_TEXT);
        pd_tokenizer_encode(tok, cases[i].text, strlen(cases[i].text), ids, NULL);
    }
    for (guint i = 0; i < ids->len; i++)
        g_assert_cmpint(pd_chat_token(PD_CHAT_DEEPSEEK4, tok, g_array_index(ids, guint32, i)), ==,
                        PD_CHAT_TOKEN_TEXT);
    g_assert_true(pd_chat_thinks(PD_CHAT_DEEPSEEK4));
    g_assert_false(pd_chat_thinks(PD_CHAT_CHATML));
    g_assert_cmpuint(pd_chat_end_of_reasoning(PD_CHAT_DEEPSEEK4, tok), ==,
                     pd_tokenizer_special_id(tok, "</think>"));
}

static void
test_recognise(void)
{
    g_autoptr(PdTokenizer) qwen = open_tokenizer("chatml");
    g_autoptr(PdTokenizer) llama = open_tokenizer("llama3");
    g_autoptr(PdTokenizer) gemma = open_tokenizer("gemma");
    g_autoptr(PdTokenizer) deepseek = open_tokenizer("deepseek4");
    g_autofree char *v3_path = fixture_path("deepseek-v3");
    g_autoptr(PdTokenizer) v3 = pd_tokenizer_new_from_json(v3_path, NULL);
    const char *chatml = "{{ '<|im_start|>' + role }}";
    g_assert_cmpint(pd_chat_recognise(chatml, qwen), ==, PD_CHAT_CHATML);
    g_assert_cmpint(pd_chat_recognise("<|start_header_id|>", llama), ==, PD_CHAT_LLAMA3);
    g_assert_cmpint(pd_chat_recognise("{{'<start_of_turn>'}}", gemma), ==, PD_CHAT_GEMMA);
    g_assert_cmpint(pd_chat_recognise(NULL, deepseek), ==, PD_CHAT_DEEPSEEK4);
    g_assert_cmpint(pd_chat_recognise("{{'<｜User｜>'}}", v3), ==, PD_CHAT_NONE);
    /* A base model has no template; a template without its tokens cannot be used. */
    g_assert_cmpint(pd_chat_recognise(NULL, qwen), ==, PD_CHAT_NONE);
    g_assert_cmpint(pd_chat_recognise(chatml, gemma), ==, PD_CHAT_NONE);
    g_assert_cmpint(pd_chat_recognise("[INST]", llama), ==, PD_CHAT_NONE);
}

static void
test_begin(void)
{
    FixtureGguf what = {.name = "gemma", .model = "llama", .scores = TRUE, .bos = 3, .eos = 2};
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) with = fixture_gguf_tokenizer(&what, &error);
    g_assert_no_error(error);
    g_autoptr(PdTokenizer) without = open_tokenizer("chatml");
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    pd_chat_begin(PD_CHAT_CHATML, without, ids);
    g_assert_cmpuint(ids->len, ==, 0);
    pd_chat_begin(PD_CHAT_NONE, with, ids);
    g_assert_cmpuint(ids->len, ==, 1);
    g_assert_cmpuint(g_array_index(ids, guint32, 0), ==, 3);
}

static void
test_base_model(void)
{
    g_autoptr(PdTokenizer) tok = open_tokenizer("gemma");
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GString) text = g_string_new(NULL);
    static const char *const words[] = {"Documents.", "Who?", "Me."};
    for (int role = PD_ROLE_SYSTEM; role <= PD_ROLE_ASSISTANT; role++) {
        pd_chat_open(PD_CHAT_NONE, tok, role, ids);
        pd_chat_text(PD_CHAT_NONE, tok, words[role], strlen(words[role]), ids);
        pd_chat_close(PD_CHAT_NONE, tok, role, ids);
    }
    for (guint i = 0; i < ids->len; i++)
        pd_tokenizer_decode(tok, g_array_index(ids, guint32, i), FALSE, text);
    g_assert_cmpstr(text->str, ==, "Documents.\n\nQuestion:\nWho?\n\nAnswer:\nMe.\n\n");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/chat/templates", test_templates);
    g_test_add_func("/chat/thinking", test_thinking);
    g_test_add_func("/chat/tokens", test_tokens);
    g_test_add_func("/chat/recognise", test_recognise);
    g_test_add_func("/chat/begin", test_begin);
    g_test_add_func("/chat/base-model", test_base_model);
    return g_test_run();
}
