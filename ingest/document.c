/*
 * Documents and parts as readers make them.  A document owns its parts and strings; a part's text
 * starts empty.  Fields that a reader does not know keep the values set here: NULL strings,
 * date_utc G_MININT64, raw_offset -1.
 */
#include "ingest/document.h"

static void
part_free(gpointer data)
{
    PdPart *part = data;
    g_free(part->path);
    g_free(part->label);
    g_string_free(part->text, TRUE);
    pd_text_view_free(part->view);
    g_clear_pointer(&part->hidden, g_array_unref);
    g_clear_pointer(&part->boxes, g_array_unref);
    g_free(part);
}

PdDocument *
pd_document_new(PdDocumentKind kind, const char *key)
{
    g_return_val_if_fail(kind < PD_N_KINDS, NULL);
    PdDocument *document = g_new0(PdDocument, 1);
    document->kind = kind;
    document->key = g_strdup(key ? key : "");
    document->date_utc = G_MININT64;
    document->raw_offset = -1;
    document->parts = g_ptr_array_new_with_free_func(part_free);
    return document;
}

void
pd_document_free(PdDocument *document)
{
    if (!document)
        return;
    g_free(document->key);
    g_free(document->parent_key);
    g_free(document->title);
    g_free(document->author);
    g_free(document->recipients);
    g_free(document->native_id);
    g_free(document->revision);
    g_free(document->in_reply_to);
    g_ptr_array_unref(document->parts);
    g_free(document);
}

PdPart *
pd_document_add_part(PdDocument *document, const char *path, const char *label)
{
    PdPart *part = g_new0(PdPart, 1);
    part->path = g_strdup(path ? path : "");
    part->label = g_strdup(label);
    part->text = g_string_new(NULL);
    g_ptr_array_add(document->parts, part);
    return part;
}

static void
unref_list(gpointer list)
{
    g_clear_pointer((GArray **)&list, g_array_unref);
}

GPtrArray *
pd_part_lists_new(const PdDocument *document)
{
    GPtrArray *lists = g_ptr_array_new_full(document->parts->len, unref_list);
    g_ptr_array_set_size(lists, (gint)document->parts->len);
    return lists;
}

const char *
pd_document_kind_name(PdDocumentKind kind)
{
    static const char *const names[PD_N_KINDS] = {
        [PD_KIND_GIT_FILE] = "git",      [PD_KIND_PDF] = "pdf",
        [PD_KIND_MAIL] = "mail",         [PD_KIND_TEXT] = "text",
        [PD_KIND_MARKDOWN] = "markdown", [PD_KIND_HTML] = "html",
        [PD_KIND_DOCX] = "docx",         [PD_KIND_ODT] = "odt",
        [PD_KIND_XLSX] = "xlsx",         [PD_KIND_PPTX] = "pptx",
        [PD_KIND_EPUB] = "epub",         [PD_KIND_RTF] = "rtf",
        [PD_KIND_NOTEBOOK] = "notebook", [PD_KIND_CLINICAL] = "clinical",
        [PD_KIND_CALENDAR] = "calendar",
    };
    return (unsigned)kind < PD_N_KINDS ? names[kind] : "unknown";
}
