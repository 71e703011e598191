/*
 * HTML to text through libxml2's recovering parser.
 *
 * libxml2 stops at depth 256 unless told otherwise and the deeper text is gone without a word, so
 * the huge option is on, and our own depth limit says when it cuts.  The tree is walked without
 * recursion.  What a browser would not show (hidden attribute, display:none, zero font size) is
 * left out and counted: text that only a machine sees is how instructions are smuggled in.
 *
 * What a mail quotes (<blockquote>, whatever the program) gets the "> " that a plain text has
 * before its lines, so that quotes are told from the mail's own words there too (ingest/quoted.h).
 */
#include "ingest/readers/readers.h"

#include <string.h>
#include <libxml/HTMLparser.h>

#include "ingest/error.h"

#define QUOTE_MARKS_MAX 16 /* ">" before a line, however deep its quote is */

typedef struct {
    GString *out;
    gsize start;      /* of our text in `out` */
    guint n_newlines; /* wanted before the next text */
    gboolean space;   /* wanted before the next text */
    guint n_pre;      /* open <pre> and <textarea> */
    gboolean mark_quotes;
    guint n_quotes;    /* open quotes */
    guint line_quotes; /* the same when the last line was begun */
    PdHtmlInfo *info;
    guint depth_max;
} Writer;

static gboolean
is_one_of(const xmlChar *name, const char *const *names)
{
    return name && g_strv_contains(names, (const char *)name);
}

static gboolean
is_skipped(const xmlNode *node)
{
    static const char *const names[] = {"script",   "style", "head",   "template", "object",
                                        "noscript", "svg",   "iframe", "math",     NULL};
    return is_one_of(node->name, names);
}

/* Lines break before and after; blank line around those of the second list. */
static guint
block_newlines(const xmlNode *node)
{
    static const char *const blocks[] = {
        "div",     "tr",     "li",         "dt",      "dd",      "table",    "section", "article",
        "header",  "footer", "nav",        "aside",   "main",    "form",     "address", "figure",
        "caption", "tbody",  "thead",      "tfoot",   "center",  "fieldset", "legend",  "option",
        "body",    "html",   "figcaption", "details", "summary", NULL};
    static const char *const paragraphs[] = {"p",  "h1", "h2", "h3",         "h4",  "h5", "h6",
                                             "ul", "ol", "dl", "blockquote", "pre", "hr", NULL};
    return is_one_of(node->name, paragraphs) ? 2 : is_one_of(node->name, blocks) ? 1 : 0;
}

/* `style` holds property:value, whatever the blanks and case. */
static gboolean
style_says(const char *style, const char *property, const char *value)
{
    gsize n_property = strlen(property);
    gsize n_value = strlen(value);
    for (const char *at = style; (at = strstr(at, property)) != NULL; at += n_property) {
        const char *rest = at + n_property;
        if (*rest != ':' || strncmp(rest + 1, value, n_value) != 0)
            continue;
        char after = rest[1 + n_value];
        if (after == '\0' || after == ';' || after == '!' || g_ascii_isalpha(after) || after == '%')
            return TRUE;
    }
    return FALSE;
}

/* The value of a property, at its start or after ";", as a copy; NULL if it is not set. */
static char *
style_value(const char *style, const char *property)
{
    gsize n = strlen(property);
    for (const char *at = style; (at = strstr(at, property)) != NULL; at += n) {
        if ((at == style || at[-1] == ';') && at[n] == ':')
            return g_strndup(at + n + 1, strcspn(at + n + 1, ";!"));
    }
    return NULL;
}

/* Letters in the colour of their ground. */
static gboolean
has_no_contrast(const char *style)
{
    g_autofree char *ink = style_value(style, "color");
    g_autofree char *ground = style_value(style, "background");
    if (!ground)
        ground = style_value(style, "background-color");
    return ink && ground && strcmp(ink, ground) == 0;
}

/* An attribute in small letters and without blanks; NULL: there is none. */
static char *
plain_attribute(xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetProp(node, BAD_CAST name);
    if (!value)
        return NULL;
    char *plain = g_ascii_strdown((const char *)value, -1), *to = plain;
    xmlFree(value);
    for (const char *from = plain; *from; from++) {
        if (!g_ascii_isspace(*from))
            *to++ = *from;
    }
    *to = '\0';
    return plain;
}

static gboolean
is_hidden(xmlNode *node)
{
    if (xmlHasProp(node, BAD_CAST "hidden"))
        return TRUE;
    g_autofree char *style = plain_attribute(node, "style");
    if (!style)
        return FALSE;
    static const char *const said[][2] = {
        {"display", "none"}, {"visibility", "hidden"}, {"font-size", "0"},  {"font-size", "1px"},
        {"opacity", "0"},    {"max-height", "0"},      {"mso-hide", "all"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(said); i++) {
        if (style_says(style, said[i][0], said[i][1]))
            return TRUE;
    }
    return has_no_contrast(style);
}

/* A <blockquote>: of type "cite" or a class of quotes, with a line on its left, or bare.  One whose
 * borders are switched off is how some programs indent a paragraph. */
static gboolean
is_quote(xmlNode *node)
{
    if (!node->name || strcmp((const char *)node->name, "blockquote") != 0)
        return FALSE;
    g_autofree char *type = plain_attribute(node, "type");
    g_autofree char *class = plain_attribute(node, "class");
    g_autofree char *style = plain_attribute(node, "style");
    g_autofree char *left = style ? style_value(style, "border-left") : NULL;
    g_autofree char *border = style ? style_value(style, "border") : NULL;
    if ((type && strcmp(type, "cite") == 0) || (class && strstr(class, "quote")) || left)
        return TRUE;
    return !border || (!g_str_has_prefix(border, "none") && !g_str_has_prefix(border, "0"));
}

static void
break_lines(Writer *writer, guint n)
{
    if (writer->out->len > writer->start)
        writer->n_newlines = MAX(writer->n_newlines, n);
    writer->space = FALSE;
}

/* The beginning of a line in n quotes. */
static void
write_prefix(Writer *writer, guint n, gboolean is_empty)
{
    n = MIN(n, QUOTE_MARKS_MAX);
    for (guint i = 0; i < n; i++)
        g_string_append(writer->out, i + 1 == n && is_empty ? ">" : "> ");
}

static void
flush_gap(Writer *writer)
{
    gboolean begins = writer->n_newlines || writer->out->len == writer->start;
    for (; writer->n_newlines; writer->n_newlines--) {
        g_string_append_c(writer->out, '\n');
        if (writer->n_newlines > 1)
            write_prefix(writer, MIN(writer->line_quotes, writer->n_quotes), TRUE);
        writer->space = FALSE;
    }
    if (begins)
        write_prefix(writer, writer->line_quotes = writer->n_quotes, FALSE);
    if (writer->space)
        g_string_append_c(writer->out, ' ');
    writer->space = FALSE;
}

/* Text whose lines are its own. */
static void
write_preformatted(Writer *writer, const char *text)
{
    if (*text)
        flush_gap(writer);
    while (*text) {
        gsize n_line = strcspn(text, "\n");
        g_string_append_len(writer->out, text, (gssize)n_line);
        text += n_line;
        if (!*text)
            break;
        g_string_append_c(writer->out, '\n');
        text++;
        write_prefix(writer, writer->n_quotes, FALSE);
    }
}

static void
write_text(Writer *writer, const char *text)
{
    if (writer->n_pre) {
        write_preformatted(writer, text);
        return;
    }
    while (*text) {
        gsize n_blank = strspn(text, " \t\r\n\f");
        if (n_blank)
            writer->space = writer->out->len > writer->start && !writer->n_newlines;
        text += n_blank;
        gsize n_word = strcspn(text, " \t\r\n\f");
        if (n_word) {
            flush_gap(writer);
            g_string_append_len(writer->out, text, (gssize)n_word);
        }
        text += n_word;
    }
}

static void
enter_element(Writer *writer, xmlNode *node)
{
    const char *name = (const char *)node->name;
    guint n_newlines = block_newlines(node);
    if (n_newlines)
        break_lines(writer, n_newlines);
    if (writer->mark_quotes && is_quote(node))
        writer->n_quotes++;
    if (strcmp(name, "br") == 0) {
        flush_gap(writer);
        writer->n_newlines = 1;
    } else if (strcmp(name, "li") == 0) {
        write_text(writer, "- ");
    } else if (strcmp(name, "td") == 0 || strcmp(name, "th") == 0) {
        /* Cells of a row are told apart by a tab, as a browser copies them. */
        xmlNode *before = xmlPreviousElementSibling(node);
        if (before) {
            flush_gap(writer);
            g_string_append_c(writer->out, '\t');
        }
    } else if (strcmp(name, "img") == 0) {
        xmlChar *alt = xmlGetProp(node, BAD_CAST "alt");
        if (alt && *alt) {
            write_text(writer, (const char *)alt);
        }
        xmlFree(alt);
    } else if (strcmp(name, "pre") == 0 || strcmp(name, "textarea") == 0) {
        writer->n_pre++;
    }
}

static void
leave_element(Writer *writer, xmlNode *node)
{
    const char *name = (const char *)node->name;
    if (writer->mark_quotes && is_quote(node))
        writer->n_quotes--;
    if (strcmp(name, "pre") == 0 || strcmp(name, "textarea") == 0)
        writer->n_pre--;
    guint n = block_newlines(node);
    if (n)
        break_lines(writer, n);
}

/* Characters of text under a node, without recursion. */
static gsize
count_text(const xmlNode *top)
{
    gsize n = 0;
    const xmlNode *node = top;
    for (;;) {
        if (node->type == XML_TEXT_NODE && node->content)
            n += strlen((const char *)node->content);
        if (node->children && node->type == XML_ELEMENT_NODE) {
            node = node->children;
            continue;
        }
        while (node != top && !node->next)
            node = node->parent;
        if (node == top)
            return n;
        node = node->next;
    }
}

static void
walk(Writer *writer, xmlNode *top)
{
    xmlNode *node = top;
    guint depth = 0;
    while (node) {
        gboolean enter = FALSE;
        if (node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE) {
            if (node->content)
                write_text(writer, (const char *)node->content);
        } else if (node->type == XML_ELEMENT_NODE) {
            if (!is_skipped(node) && is_hidden(node))
                writer->info->n_hidden += count_text(node);
            else if (!is_skipped(node))
                enter = TRUE;
        }
        if (enter && depth >= writer->depth_max && node->children) {
            writer->info->depth_reached = TRUE;
            enter = FALSE;
        }
        if (enter) {
            enter_element(writer, node);
            if (node->children) {
                node = node->children;
                depth++;
                continue;
            }
            leave_element(writer, node);
        }
        while (node && node != top && !node->next) {
            node = node->parent;
            depth--;
            if (node)
                leave_element(writer, node);
        }
        node = node && node != top ? node->next : NULL;
    }
}

static char *
find_title(xmlNode *root)
{
    for (xmlNode *top = root->children; top; top = top->next) {
        if (top->type != XML_ELEMENT_NODE || strcmp((const char *)top->name, "head") != 0)
            continue;
        for (xmlNode *node = top->children; node; node = node->next) {
            if (node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, "title") == 0 &&
                node->children && node->children->content)
                return g_strstrip(g_strdup((const char *)node->children->content));
        }
    }
    return NULL;
}

gboolean
pd_html_to_text(const char *html, gsize n, guint depth_max, gboolean mark_quotes, GString *out,
                PdHtmlInfo *info, GError **error)
{
    memset(info, 0, sizeof *info);
    if (!n)
        return TRUE;
    if (n > G_MAXINT) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT, "the page is too large");
        return FALSE;
    }
    /* NULs end libxml2's input early. */
    g_autofree char *clean = NULL;
    if (memchr(html, 0, n)) {
        clean = g_memdup2(html, n);
        for (gsize i = 0; i < n; i++)
            clean[i] = clean[i] ? clean[i] : ' ';
        html = clean;
    }
    htmlDocPtr tree =
        htmlReadMemory(html, (int)n, NULL, "UTF-8",
                       HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
                           HTML_PARSE_NONET | (int)XML_PARSE_HUGE);
    if (!tree) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT, "cannot be read as HTML");
        return FALSE;
    }
    xmlNode *root = xmlDocGetRootElement(tree);
    if (root) {
        Writer writer = {.out = out,
                         .start = out->len,
                         .info = info,
                         .depth_max = depth_max,
                         .mark_quotes = mark_quotes};
        walk(&writer, root);
        if (out->len > writer.start && out->str[out->len - 1] != '\n')
            g_string_append_c(out, '\n');
        info->title = find_title(root);
    }
    xmlFreeDoc(tree);
    return TRUE;
}

char *
pd_html_declared_charset(const guint8 *bytes, gsize n)
{
    g_autofree char *head = g_strndup((const char *)bytes, MIN(n, 1024));
    g_autofree char *lower = g_ascii_strdown(head, -1);
    const char *meta = strstr(lower, "<meta");
    const char *at = meta ? strstr(meta, "charset=") : NULL;
    if (!at)
        return NULL;
    at += strlen("charset=");
    at += strspn(at, "\"' ");
    gsize length = strcspn(at, "\"' ;/>");
    return length && length < 40 ? g_strndup(at, length) : NULL;
}

gboolean
pd_decode_html(PdEmitter *emitter, const char *key, const guint8 *bytes, gsize n, const char *label,
               gboolean mark_quotes, GString *out, char **title, GError **error)
{
    g_autofree char *declared = label ? NULL : pd_html_declared_charset(bytes, n);
    g_autoptr(GString) html = g_string_new(NULL);
    PdHtmlInfo info;
    if (!pd_decode_text(emitter, key, bytes, n, label ? label : declared, html, error) ||
        !pd_html_to_text(html->str, html->len, emitter->limits->html_depth_max, mark_quotes, out,
                         &info, error))
        return FALSE;
    if (title)
        *title = info.title;
    else
        g_free(info.title);
    if (info.n_hidden && !pd_emit_ledger(emitter, "hidden", key, (gint64)n, error,
                                         "hidden text: %" G_GSIZE_FORMAT
                                         " bytes that a browser does not show were not read",
                                         info.n_hidden))
        return FALSE;
    return !info.depth_reached ||
           pd_emit_ledger(emitter, "partial", key, (gint64)n, error,
                          "elements deeper than the limit of %u were not read",
                          emitter->limits->html_depth_max);
}
