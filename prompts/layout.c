/* See layout.h.  The words were chosen by measuring on samples/questions-extra.jsonl; changing one
 * changes PD_LAYOUT_VERSION. */
#include "prompts/layout.h"

#include "engine/chat.h"

static const char system_text[] =
    "You answer questions about a collection of documents: source code, PDFs and mail. Use only "
    "what the documents say.";

static const char task_text[] =
    "Answer the question from the documents above, in one or two short sentences, with the exact "
    "names, numbers and dates they give. If the documents do not contain the answer, reply "
    "only: " PD_NOT_FOUND_SENTENCE;

static GArray *
new_ids(void)
{
    return g_array_new(FALSE, FALSE, sizeof(gint32));
}

GArray *
pd_layout_prefix(PdModel *model)
{
    PdTokenizer *tok = pd_model_tokenizer(model);
    PdChatFamily chat = pd_model_chat(model);
    GArray *ids = new_ids();

    pd_chat_begin(chat, tok, ids);
    pd_chat_open(chat, tok, PD_ROLE_SYSTEM, ids);
    pd_chat_text(chat, tok, system_text, sizeof system_text - 1, ids);
    pd_chat_close(chat, tok, PD_ROLE_SYSTEM, ids);
    pd_chat_open(chat, tok, PD_ROLE_USER, ids);
    pd_layout_text(model, "Documents:\n", ids);
    return ids;
}

GArray *
pd_layout_question(PdModel *model, const char *question)
{
    PdTokenizer *tok = pd_model_tokenizer(model);
    PdChatFamily chat = pd_model_chat(model);
    g_autofree char *text = g_strdup_printf("\n\n%s\n\nQuestion: %s", task_text, question);
    GArray *ids = new_ids();

    pd_layout_text(model, text, ids);
    pd_chat_close(chat, tok, PD_ROLE_USER, ids);
    pd_chat_open(chat, tok, PD_ROLE_ASSISTANT, ids);
    return ids;
}

static void
append_date(GString *line, gint64 date_utc)
{
    g_autoptr(GDateTime) date = NULL;

    if (date_utc == G_MININT64)
        return;
    date = g_date_time_new_from_unix_utc(date_utc);
    if (date) {
        g_autofree char *day = g_date_time_format(date, "%Y-%m-%d");
        g_string_append_printf(line, ", %s", day);
    }
}

char *
pd_layout_header_text(const PdDocumentRow *document, const PdPartRow *part)
{
    GString *line = g_string_new(NULL);
    const char *title = document->title && *document->title ? document->title : document->key;

    switch (document->kind) {
    case PD_KIND_MAIL:
        g_string_append_printf(line, "Mail from %s",
                               document->author ? document->author : "unknown");
        if (document->recipients)
            g_string_append_printf(line, " to %s", document->recipients);
        append_date(line, document->date_utc);
        g_string_append_printf(line, ", subject: %s", title ? title : "");
        break;
    case PD_KIND_PDF:
        g_string_append_printf(line, "PDF %s, %s", document->source, part->path);
        if (title && *title && !g_str_equal(title, document->source))
            g_string_append_printf(line, " (%s)", title);
        break;
    case PD_KIND_GIT_FILE:
        g_string_append_printf(line, "File %s in repository %s", document->key, document->source);
        break;
    default:
        g_string_append_printf(line, "File %s", title && *title ? title : document->source);
        break;
    }
    g_strdelimit(line->str, "\r\n\t", ' ');
    return g_string_free(line, FALSE);
}

GArray *
pd_layout_header(PdModel *model, const char *header_text)
{
    GArray *ids = new_ids();

    pd_layout_text(model, header_text, ids);
    if (ids->len > PD_HEADER_TOKENS_MAX - 1)
        g_array_set_size(ids, PD_HEADER_TOKENS_MAX - 1);
    pd_layout_text(model, "\n", ids);
    return ids;
}

void
pd_layout_number(PdModel *model, int number, GArray *ids)
{
    g_autofree char *text = g_strdup_printf("\n[%d] ", number);

    pd_layout_text(model, text, ids);
}

void
pd_layout_text(PdModel *model, const char *text, GArray *ids)
{
    pd_chat_text(pd_model_chat(model), pd_model_tokenizer(model), text, strlen(text), ids);
}
