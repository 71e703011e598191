/*
 * Turns of a conversation as token ids, per family.
 *
 * The markers are those of the published templates (Qwen2.5 and SmolLM2 ChatML, Llama 3, Gemma) and
 * of DeepSeek-V4's prompt grammar (section 12.2 of its design document, from the encoding code that
 * the checkpoints bring).  That family's text for the greatest effort of reasoning is left out: it
 * stands before the system text, so a corpus read behind it would serve that effort only.  Tools
 * are not offered to it either: nothing here calls any.
 * What a template adds by itself, such as a default system turn, is left to the caller, who always
 * brings one.  A marker's own words ("user\n") are encoded apart from the text that follows, so
 * that the text's tokens do not depend on what stands before it.
 */
#include "engine/chat.h"

#include <string.h>

static const char *const role_names[] = {"system", "user", "assistant"};

#define DEEPSEEK_BOS "<｜begin▁of▁sentence｜>"
#define DEEPSEEK_EOS "<｜end▁of▁sentence｜>"
#define DEEPSEEK_USER "<｜User｜>"
#define DEEPSEEK_ASSISTANT "<｜Assistant｜>"

#define DEEPSEEK_REASONING "<think>"
#define DEEPSEEK_ANSWER "</think>"
#define DEEPSEEK_TOOLS "｜DSML｜"

/* The last of these tells V4 from its forerunners, whose turns are opened in other ways. */
static const char *const deepseek_tokens[] = {
    DEEPSEEK_BOS,       DEEPSEEK_EOS,    DEEPSEEK_USER, DEEPSEEK_ASSISTANT,
    DEEPSEEK_REASONING, DEEPSEEK_ANSWER, DEEPSEEK_TOOLS};

static const struct {
    const char *name;
    const char *start; /* the token that opens a turn, and tells the family */
    const char *end;
    const char *after_role; /* NULL: none */
} families[] = {
    [PD_CHAT_NONE] = {"none", NULL, NULL, NULL},
    [PD_CHAT_CHATML] = {"chatml", "<|im_start|>", "<|im_end|>", NULL},
    [PD_CHAT_LLAMA3] = {"llama3", "<|start_header_id|>", "<|eot_id|>", "<|end_header_id|>"},
    [PD_CHAT_GEMMA] = {"gemma", "<start_of_turn>", "<end_of_turn>", NULL},
    [PD_CHAT_DEEPSEEK4] = {"deepseek4", DEEPSEEK_USER, DEEPSEEK_EOS, NULL},
};

static gboolean
has_token(const PdTokenizer *tok, const char *text)
{
    return text == NULL || pd_tokenizer_special_id(tok, text) >= 0;
}

static gboolean
is_deepseek4(const PdTokenizer *tok)
{
    for (gsize i = 0; i < G_N_ELEMENTS(deepseek_tokens); i++)
        if (!has_token(tok, deepseek_tokens[i]))
            return FALSE;
    return TRUE;
}

PdChatFamily
pd_chat_recognise(const char *template_text, const PdTokenizer *tok)
{
    if (is_deepseek4(tok))
        return PD_CHAT_DEEPSEEK4;
    for (guint f = PD_CHAT_CHATML; template_text != NULL && f < PD_CHAT_DEEPSEEK4; f++)
        if (strstr(template_text, families[f].start) != NULL && has_token(tok, families[f].start) &&
            has_token(tok, families[f].end) && has_token(tok, families[f].after_role))
            return f;
    return PD_CHAT_NONE;
}

const char *
pd_chat_family_name(PdChatFamily family)
{
    return families[family].name;
}

static void
put_text(const PdTokenizer *tok, const char *text, GArray *ids)
{
    pd_tokenizer_encode(tok, text, strlen(text), ids, NULL);
}

static void
put_special(const PdTokenizer *tok, const char *text, GArray *ids)
{
    guint32 id = pd_tokenizer_special_id(tok, text);
    g_assert(has_token(tok, text)); /* pd_chat_recognise has seen it */
    g_array_append_val(ids, id);
}

void
pd_chat_begin(PdChatFamily family, const PdTokenizer *tok, GArray *ids)
{
    guint32 bos = pd_tokenizer_bos(tok);
    if (family == PD_CHAT_DEEPSEEK4)
        put_special(tok, DEEPSEEK_BOS, ids);
    else if (pd_tokenizer_adds_bos(tok))
        g_array_append_val(ids, bos);
}

/* Whether the last turn in ids is still open, as after a Gemma system text or between two texts of
 * a DeepSeek user. */
static gboolean
turn_is_open(PdChatFamily family, const PdTokenizer *tok, const GArray *ids)
{
    gint64 start = pd_tokenizer_special_id(tok, families[family].start);
    gint64 end = pd_tokenizer_special_id(tok, families[family].end);
    for (guint i = ids->len; i > 0; i--) {
        guint32 id = g_array_index(ids, guint32, i - 1);
        if (id == start)
            return TRUE;
        if (id == end)
            return FALSE;
    }
    return FALSE;
}

static void
open_plain(const PdTokenizer *tok, PdRole role, GArray *ids)
{
    static const char *const words[] = {"", "Question:\n", "Answer:\n"};
    put_text(tok, words[role], ids);
}

/* The system text has no marker; texts of one user are set apart by an empty line. */
static void
open_deepseek(const PdTokenizer *tok, PdRole role, gboolean thinks, GArray *ids)
{
    if (role == PD_ROLE_SYSTEM)
        return;
    if (role == PD_ROLE_ASSISTANT) {
        put_special(tok, DEEPSEEK_ASSISTANT, ids);
        put_special(tok, thinks ? DEEPSEEK_REASONING : DEEPSEEK_ANSWER, ids);
    } else if (turn_is_open(PD_CHAT_DEEPSEEK4, tok, ids)) {
        put_text(tok, "\n\n", ids);
    } else {
        put_special(tok, DEEPSEEK_USER, ids);
    }
}

void
pd_chat_open(PdChatFamily family, const PdTokenizer *tok, PdRole role, GArray *ids)
{
    if (family == PD_CHAT_NONE) {
        open_plain(tok, role, ids);
        return;
    }
    if (family == PD_CHAT_DEEPSEEK4) {
        open_deepseek(tok, role, FALSE, ids);
        return;
    }
    const char *name = role_names[role];
    if (family == PD_CHAT_GEMMA) {
        if (role == PD_ROLE_USER && turn_is_open(family, tok, ids))
            return;
        name = role == PD_ROLE_ASSISTANT ? "model" : "user";
    }
    put_special(tok, families[family].start, ids);
    put_text(tok, name, ids);
    if (family == PD_CHAT_LLAMA3) {
        put_special(tok, families[family].after_role, ids);
        put_text(tok, "\n\n", ids);
        return;
    }
    put_text(tok, "\n", ids);
}

void
pd_chat_open_answer(PdChatFamily family, const PdTokenizer *tok, gboolean thinks, GArray *ids)
{
    if (family == PD_CHAT_DEEPSEEK4)
        open_deepseek(tok, PD_ROLE_ASSISTANT, thinks, ids);
    else
        pd_chat_open(family, tok, PD_ROLE_ASSISTANT, ids);
}

gboolean
pd_chat_thinks(PdChatFamily family)
{
    return family == PD_CHAT_DEEPSEEK4;
}

guint32
pd_chat_end_of_reasoning(PdChatFamily family, const PdTokenizer *tok)
{
    g_assert(pd_chat_thinks(family));
    return (guint32)pd_tokenizer_special_id(tok, DEEPSEEK_ANSWER);
}

PdChatToken
pd_chat_token(PdChatFamily family, const PdTokenizer *tok, guint32 id)
{
    static const struct {
        const char *text;
        PdChatToken token;
    } markers[] = {{DEEPSEEK_REASONING, PD_CHAT_TOKEN_REASONING},
                   {DEEPSEEK_ANSWER, PD_CHAT_TOKEN_ANSWER},
                   {DEEPSEEK_BOS, PD_CHAT_TOKEN_END},
                   {DEEPSEEK_EOS, PD_CHAT_TOKEN_END},
                   {DEEPSEEK_USER, PD_CHAT_TOKEN_END},
                   {DEEPSEEK_ASSISTANT, PD_CHAT_TOKEN_END},
                   {DEEPSEEK_TOOLS, PD_CHAT_TOKEN_END}};
    for (gsize i = 0; family == PD_CHAT_DEEPSEEK4 && i < G_N_ELEMENTS(markers); i++)
        if (pd_tokenizer_special_id(tok, markers[i].text) == (gint64)id)
            return markers[i].token;
    return PD_CHAT_TOKEN_TEXT;
}

void
pd_chat_text(PdChatFamily family, const PdTokenizer *tok, const char *bytes, gsize n, GArray *ids)
{
    pd_tokenizer_encode(tok, bytes, n, ids, NULL);
}

void
pd_chat_close(PdChatFamily family, const PdTokenizer *tok, PdRole role, GArray *ids)
{
    if (family == PD_CHAT_NONE || (family == PD_CHAT_GEMMA && role == PD_ROLE_SYSTEM)) {
        put_text(tok, "\n\n", ids);
        return;
    }
    if (family == PD_CHAT_DEEPSEEK4 && role != PD_ROLE_ASSISTANT)
        return; /* what comes next ends it */
    put_special(tok, families[family].end, ids);
    if (family != PD_CHAT_LLAMA3 && family != PD_CHAT_DEEPSEEK4)
        put_text(tok, "\n", ids);
}
