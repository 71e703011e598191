/* See layout.h.  The words were chosen by measuring on samples/questions-extra.jsonl; changing one
 * of the prefix or a header changes PD_LAYOUT_VERSION. */
#include "prompts/layout.h"

#include "engine/chat.h"

static const char system_text[] =
    "You answer questions about a collection of documents: source code, PDFs and mail. Use only "
    "what the documents say.";

static const char task_text[] =
    "Answer the question from the documents above, in one or two short sentences, with the exact "
    "names, numbers and dates they give.";

static const char refusal_text[] =
    " If the documents do not contain the answer, reply only: " PD_NOT_FOUND_SENTENCE;

static const char check_text[] =
    "Is this answer stated in the documents above? Reply with yes or no only.";

static const char question_for_text[] = "Write a question that this document answers.";

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

/* A text that ends the user turn, and the opening of the answer. */
static GArray *
end_turn(PdModel *model, const char *text, gboolean thinks)
{
    PdTokenizer *tok = pd_model_tokenizer(model);
    PdChatFamily chat = pd_model_chat(model);
    GArray *ids = new_ids();

    pd_layout_text(model, text, ids);
    pd_chat_close(chat, tok, PD_ROLE_USER, ids);
    pd_chat_open_answer(chat, tok, thinks, ids);
    return ids;
}

GArray *
pd_layout_question(PdModel *model, const char *question, gboolean may_refuse, gboolean thinks)
{
    g_autofree char *text = g_strdup_printf("\n\n%s%s\n\nQuestion: %s", task_text,
                                            may_refuse ? refusal_text : "", question);

    return end_turn(model, text, thinks);
}

GArray *
pd_layout_check(PdModel *model, const char *question, const char *answer)
{
    g_autofree char *text =
        g_strdup_printf("\n\nQuestion: %s\n\nAnswer: %s\n\n%s", question, answer, check_text);

    return end_turn(model, text, FALSE);
}

GArray *
pd_layout_question_for(PdModel *model)
{
    g_autofree char *text = g_strconcat("\n\n", question_for_text, NULL);

    return end_turn(model, text, FALSE);
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

/* "Kay Lee" of "Kay Lee <kay@host>"; the address where there is no name. */
static char *
person_name(const char *address)
{
    const char *bracket = strchr(address, '<');
    g_autofree char *name = bracket ? g_strndup(address, (gsize)(bracket - address)) : NULL;

    if (name && *g_strstrip(name))
        return g_steal_pointer(&name);
    return g_strstrip(g_strdup(address));
}

/* The first recipient, and how many more: a long list would push the text out of the window. */
static void
append_recipients(GString *line, const char *recipients)
{
    g_auto(GStrv) list = g_strsplit(recipients, ", ", -1);
    guint n = g_strv_length(list);
    g_autofree char *first = n ? person_name(list[0]) : NULL;

    if (!first || !*first)
        return;
    g_string_append_printf(line, " to %s", first);
    if (n > 1)
        g_string_append_printf(line, " and %u more", n - 1);
}

static void
append_mail(GString *line, const PdDocumentRow *document, const char *title)
{
    g_autofree char *author = person_name(document->author ? document->author : "unknown");

    g_string_append_printf(line, "Mail from %s", author);
    if (document->recipients)
        append_recipients(line, document->recipients);
    append_date(line, document->date_utc);
    g_string_append_printf(line, ", subject: %s", title ? title : "");
}

/* "Book pier.epub, chapter 4 ("The lamp")": what people call the file, and where in it the part
 * begins.  FALSE: a part of this kind is the whole file. */
static gboolean
append_place(GString *line, const PdDocumentRow *document, const PdPartRow *part, const char *title)
{
    static const char *const names[PD_N_KINDS] = {
        [PD_KIND_DOCX] = "Document",     [PD_KIND_ODT] = "Document",
        [PD_KIND_RTF] = "Document",      [PD_KIND_XLSX] = "Spreadsheet",
        [PD_KIND_PPTX] = "Presentation", [PD_KIND_EPUB] = "Book",
        [PD_KIND_NOTEBOOK] = "Notebook", [PD_KIND_CLINICAL] = "Clinical document"};
    const char *slash = part->path ? strrchr(part->path, '/') : NULL;
    const char *file = document->key && *document->key ? document->key : document->source;
    if (!names[document->kind] || !slash)
        return FALSE;
    g_string_append_printf(line, "%s %s, ", names[document->kind], file);
    g_autofree char *section = g_strndup(part->path, (gsize)(slash - part->path));
    if (g_str_equal(section, "chapter") || g_str_equal(section, "sheet"))
        g_string_append_printf(line, "%s %s", section, slash + 1);
    else if (g_str_equal(section, "cells"))
        g_string_append_printf(line, "from cell %s", slash + 1);
    else if (g_str_equal(section, "body"))
        g_string_append_printf(line, "from \xC2\xB6 %s", slash + 1);
    else /* "slide 3", "footnotes" */
        g_string_append(line, section);
    if (part->label && *part->label)
        g_string_append_printf(line, " (\"%s\")", part->label);
    if (title && *title && !g_str_equal(title, file))
        g_string_append_printf(line, " of \"%s\"", title);
    return TRUE;
}

/* "File ", or what a document about a file tells of it: then *key goes behind its mark. */
static const char *
what_of_file(const char **key)
{
    static const char *const names[][2] = {{"(diff)/", "Change of "},
                                           {"(log)/", "Commits that touched "},
                                           {"(blame)/", "Who wrote the lines of "}};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_has_prefix(*key, names[i][0])) {
            *key += strlen(names[i][0]);
            return names[i][1];
        }
    }
    return "File ";
}

char *
pd_layout_header_text(const PdDocumentRow *document, const PdPartRow *part)
{
    GString *line = g_string_new(NULL);
    const char *title = document->title && *document->title ? document->title : document->key;
    const char *key = document->key;

    switch (document->kind) {
    case PD_KIND_MAIL:
        append_mail(line, document, title);
        break;
    case PD_KIND_PDF:
        g_string_append_printf(line, "PDF %s, ", document->source);
        if (g_str_has_prefix(part->path, "page/"))
            g_string_append_printf(line, "page %s", part->path + strlen("page/"));
        else
            g_string_append(line, part->path);
        if (title && *title && !g_str_equal(title, document->source))
            g_string_append_printf(line, " (%s)", title);
        break;
    case PD_KIND_GIT_FILE:
        g_string_append_printf(line, "%s%s in repository %s", what_of_file(&key), key,
                               document->source);
        break;
    default:
        if (!append_place(line, document, part, title))
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
