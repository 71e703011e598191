/*
 * What a page of a PDF holds beside its own content, of which alone poppler takes text: comments
 * (ISO 32000-1, 12.5.6) and the values of form fields (12.7), and files that are attached to a page
 * or to the document (7.11.4).
 */
#include "ingest/readers/pdf.h"

#include <string.h>

#include "ingest/error.h"

/* --- comments ------------------------------------------------------------------------------ */

/* A reader of the page has ways to see it. */
static gboolean
is_shown(PopplerAnnot *annotation)
{
    PopplerAnnotFlag hiding =
        POPPLER_ANNOT_FLAG_HIDDEN | POPPLER_ANNOT_FLAG_NO_VIEW | POPPLER_ANNOT_FLAG_INVISIBLE;
    return (poppler_annot_get_flags(annotation) & hiding) == 0;
}

/* What people write, and not what is clicked or filled in; pop-ups show what others say. */
static gboolean
is_comment(PopplerAnnot *annotation)
{
    switch (poppler_annot_get_annot_type(annotation)) {
    case POPPLER_ANNOT_LINK:
    case POPPLER_ANNOT_POPUP:
    case POPPLER_ANNOT_WIDGET:
        return FALSE;
    default:
        return TRUE;
    }
}

/* "Comment by Kay Smith, 2019-03-04: too high"; NULL: it says nothing.  Free with g_free. */
static char *
comment_text(PopplerAnnot *annotation)
{
    g_autofree char *raw = poppler_annot_get_contents(annotation);
    g_autofree char *contents = raw ? g_utf8_make_valid(raw, -1) : NULL;
    if (!contents || !*g_strstrip(contents))
        return NULL;
    GString *text = g_string_new("Comment");
    if (POPPLER_IS_ANNOT_MARKUP(annotation)) {
        PopplerAnnotMarkup *markup = POPPLER_ANNOT_MARKUP(annotation);
        g_autofree char *label = poppler_annot_markup_get_label(markup);
        g_autofree char *author = label ? g_utf8_make_valid(label, -1) : NULL;
        g_autoptr(GDate) date = poppler_annot_markup_get_date(markup);
        if (author && *author)
            g_string_append_printf(text, " by %s", author);
        if (date && g_date_valid(date))
            g_string_append_printf(text, ", %04d-%02d-%02d", g_date_get_year(date),
                                   g_date_get_month(date), g_date_get_day(date));
    }
    g_string_append_printf(text, ": %s\n", contents);
    return g_string_free(text, FALSE);
}

static void
append_comments(GString *out, GString *hidden, PopplerPage *page)
{
    GList *annotations = poppler_page_get_annot_mapping(page);
    for (GList *at = annotations; at; at = at->next) {
        PopplerAnnot *annotation = ((PopplerAnnotMapping *)at->data)->annot;
        g_autofree char *text = is_comment(annotation) ? comment_text(annotation) : NULL;
        if (text)
            g_string_append(is_shown(annotation) ? out : hidden, text);
    }
    poppler_page_free_annot_mapping(annotations);
}

/* --- forms --------------------------------------------------------------------------------- */

/* What is chosen of a list, ", " between; NULL: nothing.  Free with g_free. */
static char *
choice_value(PopplerFormField *field)
{
    GString *value = g_string_new(NULL);
    int n = poppler_form_field_choice_get_n_items(field);
    char *typed = poppler_form_field_choice_is_editable(field)
                      ? poppler_form_field_choice_get_text(field)
                      : NULL;
    for (int i = 0; !typed && i < n; i++) {
        g_autofree char *item = poppler_form_field_choice_is_item_selected(field, i)
                                    ? poppler_form_field_choice_get_item(field, i)
                                    : NULL;
        if (item)
            g_string_append_printf(value, "%s%s", value->len ? ", " : "", item);
    }
    if (typed)
        g_string_append(value, typed);
    g_free(typed);
    return g_string_free(value, value->len == 0);
}

/* NULL: it is empty, or nobody is meant to see it.  Free with g_free. */
static char *
field_value(PopplerFormField *field)
{
    switch (poppler_form_field_get_field_type(field)) {
    case POPPLER_FORM_FIELD_TEXT:
        return poppler_form_field_text_is_password(field) ? NULL
                                                          : poppler_form_field_text_get_text(field);
    case POPPLER_FORM_FIELD_CHOICE:
        return choice_value(field);
    case POPPLER_FORM_FIELD_BUTTON:
        return poppler_form_field_button_get_button_type(field) != POPPLER_FORM_BUTTON_PUSH &&
                       poppler_form_field_button_get_state(field)
                   ? g_strdup("checked")
                   : NULL;
    default:
        return NULL;
    }
}

/* Down the page, and from left to right. */
static int
by_place(gconstpointer pa, gconstpointer pb)
{
    const PopplerRectangle *a = &((const PopplerFormFieldMapping *)pa)->area;
    const PopplerRectangle *b = &((const PopplerFormFieldMapping *)pb)->area;
    if (a->y2 != b->y2)
        return a->y2 > b->y2 ? -1 : 1;
    return a->x1 < b->x1 ? -1 : a->x1 > b->x1;
}

/* "Monthly rent: 410", a line or more each. */
static void
append_fields(GString *out, PopplerPage *page)
{
    GList *fields = g_list_sort(poppler_page_get_form_field_mapping(page), by_place);
    for (GList *at = fields; at; at = at->next) {
        PopplerFormField *field = ((PopplerFormFieldMapping *)at->data)->field;
        g_autofree char *raw = field_value(field);
        g_autofree char *value = raw ? g_utf8_make_valid(raw, -1) : NULL;
        if (!value || !*g_strstrip(value))
            continue;
        g_autofree char *said = poppler_form_field_get_alternate_ui_name(field);
        g_autofree char *own = poppler_form_field_get_name(field);
        g_autofree char *name = g_utf8_make_valid(said ? said : own ? own : "Field", -1);
        g_string_append_printf(out, "%s: %s\n", name, value);
    }
    poppler_page_free_form_field_mapping(fields);
}

PdPart *
pd_pdf_read_comments(PdDocument *document, PopplerPage *page, GString *hidden)
{
    g_autoptr(GString) text = g_string_new(NULL);
    append_comments(text, hidden, page);
    append_fields(text, page);
    if (!text->len)
        return NULL;
    g_autofree char *raw = poppler_page_get_label(page);
    g_autofree char *number =
        raw && *raw ? g_strdup(raw) : g_strdup_printf("%d", poppler_page_get_index(page) + 1);
    g_autofree char *path = g_strdup_printf("page/%d/comments", poppler_page_get_index(page) + 1);
    g_autofree char *label = g_strdup_printf("%s, comments and fields", number);
    PdPart *part = pd_document_add_part(document, path, label);
    g_string_append_len(part->text, text->str, (gssize)text->len);
    return part;
}

/* --- attached files ------------------------------------------------------------------------ */

typedef struct {
    PdEmitter *emitter;
    guint64 n_bytes, max;
    gboolean over;
} Sending;

static gboolean
send_bytes(const gchar *bytes, gsize n, gpointer user_data, GError **error)
{
    Sending *sending = user_data;
    sending->n_bytes += n;
    if (sending->n_bytes > sending->max) {
        sending->over = TRUE;
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "attached file: larger than the limit of %" G_GUINT64_FORMAT " bytes",
                    sending->max);
        return FALSE;
    }
    return pd_emit_attachment_data(sending->emitter, (const guint8 *)bytes, n, error);
}

/* As "2:plan.txt", by its number in the document. */
static gboolean
send_file(PdEmitter *emitter, PopplerAttachment *attachment, guint number, GError **error)
{
    const char *raw = poppler_attachment_get_name(attachment);
    g_autofree char *valid = g_utf8_make_valid(raw && *raw ? raw : "file", -1);
    g_autofree char *name = g_strdup_printf("%u:%s", number, valid);
    g_autoptr(GError) problem = NULL;
    Sending sending = {emitter, 0, emitter->limits->file_bytes_max, FALSE};
    if (!pd_emit_attachment_head(emitter, name, NULL, error))
        return FALSE;
    if (poppler_attachment_save_to_callback(attachment, send_bytes, &sending, &problem))
        return pd_emit_attachment_end(emitter, error);
    return pd_emit_attachment_drop(emitter, error) &&
           pd_emit_ledger(emitter, sending.over ? "skipped" : "failed", name,
                          (gint64)sending.n_bytes, error, "%s",
                          problem ? problem->message : "attached file: it cannot be read");
}

static gboolean
send_files_of_page(PdEmitter *emitter, PopplerPage *page, guint *number, GError **error)
{
    GList *annotations = poppler_page_get_annot_mapping(page);
    gboolean ok = TRUE;
    for (GList *at = annotations; ok && at; at = at->next) {
        PopplerAnnot *annotation = ((PopplerAnnotMapping *)at->data)->annot;
        if (poppler_annot_get_annot_type(annotation) != POPPLER_ANNOT_FILE_ATTACHMENT)
            continue;
        PopplerAttachment *attachment =
            poppler_annot_file_attachment_get_attachment(POPPLER_ANNOT_FILE_ATTACHMENT(annotation));
        ok = !attachment || send_file(emitter, attachment, ++*number, error);
        g_clear_object(&attachment);
    }
    poppler_page_free_annot_mapping(annotations);
    return ok;
}

gboolean
pd_pdf_emit_attached(PopplerDocument *pdf, guint n_pages, PdEmitter *emitter, GError **error)
{
    GList *attachments = poppler_document_get_attachments(pdf);
    guint number = 0;
    gboolean ok = TRUE;
    for (GList *at = attachments; ok && at; at = at->next)
        ok = send_file(emitter, at->data, ++number, error);
    g_list_free_full(attachments, g_object_unref);
    for (guint i = 0; ok && i < n_pages; i++) {
        PopplerPage *page = poppler_document_get_page(pdf, (int)i);
        ok = !page || send_files_of_page(emitter, page, &number, error);
        g_clear_object(&page);
    }
    return ok;
}
