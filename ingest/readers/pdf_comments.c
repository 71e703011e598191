/*
 * What a page of a PDF holds beside its own content, of which alone poppler takes text: comments
 * (ISO 32000-1, 12.5.6), the values of form fields (12.7), where links lead (12.6.4), and files
 * that are attached to a page or to the document (7.11.4).
 */
#include "ingest/readers/pdf.h"

#include <string.h>

#include "ingest/error.h"

/* Of a link, as far as it is shown: longer targets are pictures and programs, and an area may be as
 * large as the page. */
#define TARGET_BYTES_MAX 2000
#define LINK_WORDS_BYTES_MAX 400

char *
pd_pdf_one_line(const char *raw)
{
    g_autofree char *valid = raw ? g_utf8_make_valid(raw, -1) : NULL;
    GString *line = g_string_new(NULL);
    for (const char *at = valid; at && *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (!g_unichar_isspace(c) && !g_unichar_iscntrl(c))
            g_string_append_unichar(line, c);
        else if (line->len && line->str[line->len - 1] != ' ')
            g_string_append_c(line, ' ');
    }
    g_strchomp(line->str);
    return g_string_free(line, !*line->str);
}

/* --- comments ------------------------------------------------------------------------------ */

/* A reader of the page has ways to see it. */
static gboolean
is_shown(PopplerAnnot *annotation)
{
    PopplerAnnotFlag hiding =
        POPPLER_ANNOT_FLAG_HIDDEN | POPPLER_ANNOT_FLAG_NO_VIEW | POPPLER_ANNOT_FLAG_INVISIBLE;
    return (poppler_annot_get_flags(annotation) & hiding) == 0;
}

static gboolean
is_file(PopplerAnnot *annotation)
{
    return poppler_annot_get_annot_type(annotation) == POPPLER_ANNOT_FILE_ATTACHMENT;
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
append_comments(GString *out, PopplerPage *page, PdPdfBeside *beside)
{
    GList *annotations = poppler_page_get_annot_mapping(page);
    for (GList *at = annotations; at; at = at->next) {
        PopplerAnnot *annotation = ((PopplerAnnotMapping *)at->data)->annot;
        g_autofree char *text = is_comment(annotation) ? comment_text(annotation) : NULL;
        beside->has_files |= is_file(annotation);
        if (text)
            g_string_append(is_shown(annotation) ? out : beside->hidden, text);
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

/* Down the page, and from left to right: mappings begin with their areas. */
static int
by_place(gconstpointer pa, gconstpointer pb)
{
    G_STATIC_ASSERT(G_STRUCT_OFFSET(PopplerFormFieldMapping, area) == 0 &&
                    G_STRUCT_OFFSET(PopplerLinkMapping, area) == 0);
    const PopplerRectangle *a = pa, *b = pb;
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

/* --- links --------------------------------------------------------------------------------- */

/* Where it leads out of the document, on one line; NULL: it does not.  Free with g_free. */
static char *
target_of(const PopplerAction *action)
{
    const char *raw = action->type == POPPLER_ACTION_URI           ? action->uri.uri
                      : action->type == POPPLER_ACTION_GOTO_REMOTE ? action->goto_remote.file_name
                      : action->type == POPPLER_ACTION_LAUNCH      ? action->launch.file_name
                                                                   : NULL;
    g_autofree char *target = pd_pdf_one_line(raw);
    if (!target || strlen(target) <= TARGET_BYTES_MAX)
        return g_steal_pointer(&target);
    char *end = g_utf8_find_prev_char(target, target + TARGET_BYTES_MAX);
    g_autofree char *cut = g_strndup(target, (gsize)(end - target));
    return g_strconcat(cut, "...", NULL);
}

/* A link under way: where it leads, and the words of the page that lie in its areas. */
typedef struct {
    char *target; /* NULL: there is none */
    GString *text;
    GArray *words; /* PdPdfLinkWord, in bytes of `text` */
} Link;

/* The words in an area, whose origin is at the bottom. */
static void
append_words(Link *link, const PdPart *page_part, const PopplerRectangle *area, double page_height)
{
    guint n_boxes = page_part->boxes ? page_part->boxes->len : 0;
    for (guint i = 0; i < n_boxes && link->text->len < LINK_WORDS_BYTES_MAX; i++) {
        const PdBox *box = &g_array_index(page_part->boxes, PdBox, i);
        double x = ((double)box->x0 + (double)box->x1) / 2;
        double y = page_height - ((double)box->y0 + (double)box->y1) / 2;
        if (x < area->x1 || x > area->x2 || y < area->y1 || y > area->y2)
            continue;
        if (link->text->len)
            g_string_append_c(link->text, ' ');
        guint start = (guint)link->text->len, n = box->end - box->start;
        PdPdfLinkWord word = {{start, start + n}, i};
        g_string_append_len(link->text, page_part->text->str + box->start, n);
        g_array_append_val(link->words, word);
    }
}

/* Do the words say where the link leads?  "www.host.org/a" does of "http://www.host.org/a/". */
static gboolean
is_written(const char *target, const char *words)
{
    static const char *const schemes[] = {"https://", "http://", "mailto:"};
    g_auto(GStrv) pieces = g_strsplit(words, " ", -1);
    g_autofree char *written = g_strjoinv("", pieces); /* it may be broken between lines */
    for (gsize i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (g_str_has_prefix(target, schemes[i]))
            target += strlen(schemes[i]);
    g_autofree char *bare = g_strdup(target);
    gsize n = strlen(bare);
    if (n && bare[n - 1] == '/')
        bare[n - 1] = 0;
    return strstr(written, bare) != NULL;
}

/* The link that was under way, if there was one, is out. */
static void
end_link(Link *link, GString *out, GArray *link_words)
{
    if (link->target && !is_written(link->target, link->text->str)) {
        g_string_append(out, link->text->len ? "Link \"" : "Link");
        for (guint i = 0; i < link->words->len; i++) {
            PdPdfLinkWord word = g_array_index(link->words, PdPdfLinkWord, i);
            word.range.start += (guint)out->len;
            word.range.end += (guint)out->len;
            g_array_append_val(link_words, word);
        }
        g_string_append_printf(out, "%s%s: %s\n", link->text->str, link->text->len ? "\"" : "",
                               link->target);
    }
    g_clear_pointer(&link->target, g_free);
    g_string_truncate(link->text, 0);
    g_array_set_size(link->words, 0);
}

/* A link over several lines has an area for each: neighbours with one target are one. */
static void
append_links(GString *out, PopplerPage *page, const PdPart *page_part, guint links_max,
             PdPdfBeside *beside)
{
    GList *links = g_list_sort(poppler_page_get_link_mapping(page), by_place);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(PdPdfLinkWord));
    Link link = {NULL, text, words};
    double width, height;
    guint n = 0;
    poppler_page_get_size(page, &width, &height);
    for (GList *at = links; at && !beside->more_links; at = at->next) {
        const PopplerLinkMapping *mapping = at->data;
        g_autofree char *target = target_of(mapping->action);
        if (!target)
            continue;
        beside->more_links = n++ >= links_max;
        if (g_strcmp0(link.target, target) != 0)
            end_link(&link, out, beside->link_words);
        if (beside->more_links)
            break;
        append_words(&link, page_part, &mapping->area, height);
        g_free(link.target);
        link.target = g_steal_pointer(&target);
    }
    end_link(&link, out, beside->link_words);
    poppler_page_free_link_mapping(links);
}

PdPart *
pd_pdf_read_comments(PdDocument *document, PopplerPage *page, const PdPart *page_part,
                     const PdReadLimits *limits, PdPdfBeside *beside)
{
    g_autoptr(GString) text = g_string_new(NULL);
    append_comments(text, page, beside);
    append_fields(text, page);
    append_links(text, page, page_part, limits->pdf_links_max, beside);
    if (!text->len)
        return NULL;
    g_autofree char *raw = poppler_page_get_label(page);
    g_autofree char *number =
        raw && *raw ? g_strdup(raw) : g_strdup_printf("%d", poppler_page_get_index(page) + 1);
    g_autofree char *path = g_strdup_printf("page/%d/comments", poppler_page_get_index(page) + 1);
    g_autofree char *label = g_strdup_printf("%s, comments, fields and links", number);
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
        if (!is_file(annotation))
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
pd_pdf_emit_attached(PopplerDocument *pdf, const GArray *pages, PdEmitter *emitter, GError **error)
{
    GList *attachments = poppler_document_get_attachments(pdf);
    guint number = 0;
    gboolean ok = TRUE;
    for (GList *at = attachments; ok && at; at = at->next)
        ok = send_file(emitter, at->data, ++number, error);
    g_list_free_full(attachments, g_object_unref);
    for (guint i = 0; ok && i < pages->len; i++) {
        PopplerPage *page = poppler_document_get_page(pdf, (int)g_array_index(pages, guint, i) - 1);
        ok = !page || send_files_of_page(emitter, page, &number, error);
        g_clear_object(&page);
    }
    return ok;
}
