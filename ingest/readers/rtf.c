/*
 * Rich Text Format (Microsoft's specification, version 1.9.1) to text: blocks (blocks.h), then
 * notes, comments, headers and footers.
 *
 * A group is what stands in braces; its state ends with it.  Destinations (groups whose text is not
 * the document's) are skipped, and those that are not known if they are marked with \*.  Deleted
 * and hidden text is left out and counted.  Numbers of lists stand in the file, as text.
 */
#include "ingest/readers/rtf.h"

#include <string.h>

#include "ingest/readers/blocks.h"
#include "ingest/readers/rtf_chars.h"

#define WORD_BYTES_MAX 32
#define FONTS_MAX 65536

typedef enum {
    BODY,
    SKIPPED,
    FONTS,
    STYLES,
    TITLE,
    AUTHOR,
    FOOTNOTE,
    COMMENT,
    COMMENT_AUTHOR,
    PAGE_HEAD, /* headers and footers */
} Destination;

/* Of a group. */
typedef struct {
    Destination destination;
    gboolean owns_text; /* it began the text that is open */
    gboolean hidden;
    gboolean deleted;
    int code_page; /* 0: the document's */
    int n_skip;    /* characters after \u that stand for it */
    guint level;   /* of the paragraph, if it is a heading */
    gboolean in_table;
} Group;

typedef struct {
    const guint8 *at;
    const guint8 *end;
    PdBlocks *blocks;
    PdDocument *document;
    GArray *groups;    /* Group */
    gboolean starred;  /* \* was just read */
    gboolean starts;   /* the group has had no word yet */
    GByteArray *bytes; /* of the document's text that wait to be decoded */
    int bytes_page;    /* their code page */
    guint16 surrogate; /* the first half of a character by \u */
    int n_skip;        /* characters still to leave out after \u */
    GPtrArray *texts;  /* GString: of the open paragraph, and of notes inside it */
    GPtrArray *notes;  /* char * */
    GPtrArray *comments;
    GPtrArray *page_heads;
    GString *comment_author;
    GHashTable *fonts;  /* number -> code page */
    GHashTable *styles; /* number -> level of heading */
    int font;           /* being defined */
    int style;
    int code_page; /* the document's */
    gboolean table_open;
    gsize n_hidden;
    gsize n_deleted_bytes;
    guint n_deleted;
    guint n_inserted;
    guint n_pictures;
    guint n_replaced;
    guint depth_max; /* of groups */
    gboolean too_deep;
} Rtf;

static Group *
innermost(const Rtf *rtf)
{
    return &g_array_index(rtf->groups, Group, rtf->groups->len - 1);
}

static GString *
open_text(const Rtf *rtf)
{
    return g_ptr_array_index(rtf->texts, rtf->texts->len - 1);
}

static void
text_free(gpointer data)
{
    g_string_free(data, TRUE);
}

/* --- text ------------------------------------------------------------------------------------- */

static void
append(Rtf *rtf, const char *text)
{
    const Group *group = innermost(rtf);
    switch (group->destination) {
    case BODY:
    case FOOTNOTE:
    case COMMENT:
    case PAGE_HEAD:
    case TITLE:
    case AUTHOR:
    case COMMENT_AUTHOR:
    case STYLES:
        break;
    case FONTS:
    case SKIPPED:
        return;
    }
    if (group->hidden)
        rtf->n_hidden += strlen(text);
    else if (group->deleted)
        rtf->n_deleted_bytes += strlen(text);
    else
        g_string_append(open_text(rtf), text);
}

/* Decode what waits. */
static void
flush(Rtf *rtf)
{
    g_autoptr(GString) text = g_string_new(NULL);
    if (rtf->bytes->len)
        rtf->n_replaced +=
            pd_rtf_append_bytes(text, rtf->bytes->data, rtf->bytes->len, rtf->bytes_page);
    g_byte_array_set_size(rtf->bytes, 0);
    for (gsize i = 0; i < text->len; i++) {
        if (!text->str[i]) /* a NUL is no text */
            text->str[i] = ' ';
    }
    append(rtf, text->str);
}

static void
append_byte(Rtf *rtf, guint8 byte)
{
    const Group *group = innermost(rtf);
    if (rtf->n_skip) {
        rtf->n_skip--;
        return;
    }
    int page = group->code_page ? group->code_page : rtf->code_page;
    if (page != rtf->bytes_page)
        flush(rtf);
    rtf->bytes_page = page;
    if (group->destination != SKIPPED && group->destination != FONTS)
        g_byte_array_append(rtf->bytes, &byte, 1);
}

/* \uN, a unit of UTF-16. */
static void
append_unit(Rtf *rtf, int value)
{
    guint16 unit = (guint16)value;
    gunichar c = unit;
    char utf8[8] = "";
    flush(rtf);
    if (unit >= 0xD800 && unit < 0xDC00) {
        rtf->surrogate = unit;
    } else {
        if (unit >= 0xDC00 && unit < 0xE000)
            c = rtf->surrogate
                    ? 0x10000u + ((gunichar)(rtf->surrogate - 0xD800) << 10) + (unit - 0xDC00u)
                    : 0xFFFD;
        else if (unit >= 0xF020 && unit < 0xF100) /* a symbol font by its private characters */
            c = unit == 0xF0B7 || unit == 0xF0A7 ? 0x2022 : unit < 0xF080 ? unit - 0xF000u : 0xFFFD;
        rtf->n_replaced += c == 0xFFFD;
        rtf->surrogate = 0;
        utf8[g_unichar_to_utf8(c ? c : ' ', utf8)] = '\0';
        append(rtf, utf8);
    }
    rtf->n_skip = innermost(rtf)->n_skip;
}

/* --- paragraphs ------------------------------------------------------------------------------- */

static void
end_paragraph(Rtf *rtf)
{
    const Group *group = innermost(rtf);
    GString *text = open_text(rtf);
    if (rtf->texts->len > 1) { /* in a note */
        g_string_append_c(text, '\n');
        return;
    }
    if (group->in_table && !rtf->table_open) {
        pd_blocks_open_table(rtf->blocks);
        rtf->table_open = TRUE;
    } else if (!group->in_table && rtf->table_open) {
        pd_blocks_close_table(rtf->blocks);
        rtf->table_open = FALSE;
    }
    g_autofree char *line = g_strndup(text->str, text->len);
    g_string_truncate(text, 0);
    g_strstrip(line);
    pd_blocks_paragraph(rtf->blocks, line, group->in_table ? 0 : group->level);
}

static void
end_cell(Rtf *rtf)
{
    if (rtf->texts->len > 1)
        return;
    innermost(rtf)->in_table = TRUE;
    end_paragraph(rtf);
    pd_blocks_close_cell(rtf->blocks);
}

/* Text that no \cell ended is a cell, too. */
static void
end_row(Rtf *rtf)
{
    if (rtf->texts->len == 1 && open_text(rtf)->len)
        end_cell(rtf);
    pd_blocks_close_row(rtf->blocks);
}

/* --- groups ----------------------------------------------------------------------------------- */

static void
open_group(Rtf *rtf)
{
    flush(rtf);
    Group group = *innermost(rtf);
    group.owns_text = FALSE;
    if (rtf->groups->len >= rtf->depth_max) {
        rtf->too_deep = TRUE;
        group.destination = SKIPPED;
    }
    g_array_append_val(rtf->groups, group);
    rtf->starts = TRUE;
    rtf->starred = FALSE;
    rtf->n_skip = 0;
}

/* The text of the group that ends goes where it belongs. */
static void
keep_text(Rtf *rtf, const Group *group)
{
    GString *text = open_text(rtf);
    g_autofree char *kept = g_strndup(text->str, text->len);
    g_strstrip(kept);
    g_ptr_array_set_size(rtf->texts, (gint)rtf->texts->len - 1);
    if (group->destination == TITLE || group->destination == AUTHOR) {
        char **to = group->destination == TITLE ? &rtf->document->title : &rtf->document->author;
        if (*kept && !*to)
            *to = g_steal_pointer(&kept);
    } else if (group->destination == COMMENT_AUTHOR) {
        g_string_assign(rtf->comment_author, kept);
    } else if (group->destination == FOOTNOTE) {
        g_ptr_array_add(rtf->notes, g_strdup_printf("[^%u] %s", rtf->notes->len + 1, kept));
        g_string_append_printf(open_text(rtf), "[^%u]", rtf->notes->len);
    } else if (group->destination == COMMENT && *kept) {
        g_ptr_array_add(
            rtf->comments,
            g_strdup_printf("%s: %s",
                            rtf->comment_author->len ? rtf->comment_author->str : "unknown", kept));
        g_string_truncate(rtf->comment_author, 0);
    } else if (group->destination == PAGE_HEAD && *kept) {
        g_ptr_array_add(rtf->page_heads, g_steal_pointer(&kept));
    } else if (group->destination == STYLES) {
        /* "heading 1;" */
        g_autofree char *lower = g_ascii_strdown(kept, -1);
        if (g_str_has_prefix(lower, "heading ") && lower[8] >= '1' && lower[8] <= '9')
            g_hash_table_insert(rtf->styles, GINT_TO_POINTER(rtf->style),
                                GUINT_TO_POINTER(MIN((guint)(lower[8] - '0'), 6)));
    }
}

static void
close_group(Rtf *rtf)
{
    flush(rtf);
    if (rtf->groups->len < 2)
        return;
    Group group = *innermost(rtf);
    g_array_set_size(rtf->groups, rtf->groups->len - 1);
    if (group.owns_text)
        keep_text(rtf, &group);
    if (group.deleted && !innermost(rtf)->deleted)
        rtf->n_deleted++;
    rtf->starts = rtf->starred = FALSE;
    rtf->n_skip = 0;
}

/* The group's text is not the document's. */
static void
begin_destination(Rtf *rtf, Destination destination)
{
    Group *group = innermost(rtf);
    if (group->destination == SKIPPED)
        return;
    group->destination = destination;
    if (destination == SKIPPED || destination == FONTS || group->owns_text)
        return;
    group->owns_text = TRUE;
    g_ptr_array_add(rtf->texts, g_string_new(NULL));
}

/* --- words ------------------------------------------------------------------------------------ */

static gboolean
is_skipped_destination(const char *word)
{
    static const char *const skipped[] = {"colortbl",
                                          "listtable",
                                          "listoverridetable",
                                          "rsidtbl",
                                          "generator",
                                          "fldinst",
                                          "pict",
                                          "objdata",
                                          "nonshppict",
                                          "themedata",
                                          "datastore",
                                          "latentstyles",
                                          "xmlnstbl",
                                          "filetbl",
                                          "revtbl",
                                          "bkmkstart",
                                          "bkmkend",
                                          "atnid",
                                          "atndate",
                                          "atntime",
                                          "atnicn",
                                          "atnref",
                                          "atrfstart",
                                          "atrfend",
                                          "private",
                                          "xe",
                                          "tc",
                                          "rxe",
                                          "fontemb",
                                          "fontfile",
                                          "panose",
                                          "falt",
                                          "stylesheet_names",
                                          "ftnsep",
                                          "ftnsepc",
                                          "ftncn",
                                          "aftnsep",
                                          "aftnsepc",
                                          "aftncn",
                                          "template",
                                          "keywords",
                                          "comment",
                                          "operator",
                                          "doccomm",
                                          "hlinkbase",
                                          "company",
                                          "manager",
                                          "category",
                                          "subject",
                                          "creatim",
                                          "revtim",
                                          "printim",
                                          "buptim",
                                          "userprops",
                                          "sp",
                                          "passwordhash",
                                          "mmathPr",
                                          "shprslt",
                                          NULL};
    return g_strv_contains(skipped, word);
}

/* A word that may begin a destination.  FALSE: it is no such word. */
static gboolean
on_destination(Rtf *rtf, const char *word)
{
    static const struct {
        const char *word;
        Destination destination;
    } known[] = {
        {"fonttbl", FONTS},     {"stylesheet", SKIPPED}, {"title", TITLE},
        {"author", AUTHOR},     {"footnote", FOOTNOTE},  {"annotation", COMMENT},
        {"header", PAGE_HEAD},  {"headerl", PAGE_HEAD},  {"headerr", PAGE_HEAD},
        {"headerf", PAGE_HEAD}, {"footer", PAGE_HEAD},   {"footerl", PAGE_HEAD},
        {"footerr", PAGE_HEAD}, {"footerf", PAGE_HEAD},  {"atnauthor", COMMENT_AUTHOR},
    };
    if (strcmp(word, "pict") == 0 && innermost(rtf)->destination != SKIPPED)
        rtf->n_pictures++;
    if (strcmp(word, "stylesheet") == 0) {
        innermost(rtf)->destination = STYLES;
        return TRUE;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
        if (strcmp(known[i].word, word) == 0) {
            begin_destination(rtf, known[i].destination);
            return TRUE;
        }
    }
    if (!is_skipped_destination(word))
        return FALSE;
    begin_destination(rtf, SKIPPED);
    return TRUE;
}

static void
set_font(Rtf *rtf, int number)
{
    Group *group = innermost(rtf);
    if (group->destination == FONTS)
        rtf->font = number;
    else
        group->code_page =
            GPOINTER_TO_INT(g_hash_table_lookup(rtf->fonts, GINT_TO_POINTER(number)));
}

/* Words of characters and paragraphs. */
static void
on_property(Rtf *rtf, const char *word, int n, gboolean has_n)
{
    Group *group = innermost(rtf);
    gboolean on = !has_n || n != 0;
    if (strcmp(word, "v") == 0) {
        group->hidden = on;
    } else if (strcmp(word, "deleted") == 0) {
        rtf->n_deleted += group->deleted && !on;
        group->deleted = on;
    } else if (strcmp(word, "revised") == 0) {
        rtf->n_inserted += on;
    } else if (strcmp(word, "plain") == 0) {
        rtf->n_deleted += group->deleted;
        group->hidden = group->deleted = FALSE;
        group->code_page = 0;
    } else if (strcmp(word, "pard") == 0) {
        group->in_table = FALSE;
        group->level = 0;
    } else if (strcmp(word, "intbl") == 0) {
        group->in_table = on;
    } else if (strcmp(word, "s") == 0) {
        rtf->style = n;
        group->level = GPOINTER_TO_UINT(g_hash_table_lookup(rtf->styles, GINT_TO_POINTER(n)));
    } else if (strcmp(word, "outlinelevel") == 0) {
        group->level = n >= 0 && n < 9 ? MIN((guint)n + 1, 6) : 0;
    } else if (strcmp(word, "f") == 0) {
        set_font(rtf, n);
    } else if (strcmp(word, "fcharset") == 0 && rtf->font >= 0 && rtf->font < FONTS_MAX) {
        g_hash_table_insert(rtf->fonts, GINT_TO_POINTER(rtf->font),
                            GINT_TO_POINTER(pd_rtf_code_page_of_charset(n)));
    } else if (strcmp(word, "ansicpg") == 0 && n > 0 && n < 70000) {
        rtf->code_page = n;
    } else if (strcmp(word, "mac") == 0) {
        rtf->code_page = 10000;
    } else if (strcmp(word, "pc") == 0 || strcmp(word, "pca") == 0) {
        rtf->code_page = strcmp(word, "pc") == 0 ? 437 : 850;
    } else if (strcmp(word, "uc") == 0) {
        group->n_skip = CLAMP(n, 0, 100);
    }
}

static void
on_word(Rtf *rtf, const char *word, int n, gboolean has_n)
{
    const char *symbol = pd_rtf_symbol(word);
    gboolean in_text = innermost(rtf)->destination != SKIPPED;
    if (strcmp(word, "u") == 0) {
        append_unit(rtf, n);
        return;
    }
    flush(rtf);
    rtf->n_skip = 0;
    if (strcmp(word, "bin") == 0) {
        rtf->at += MIN((gsize)MAX(n, 0), (gsize)(rtf->end - rtf->at));
    } else if ((rtf->starts || rtf->starred) && on_destination(rtf, word)) {
    } else if (strcmp(word, "upr") == 0 && rtf->starts) {
        /* The same text twice; the second time, in the group \*\ud, in Unicode. */
        innermost(rtf)->destination = SKIPPED;
    } else if (strcmp(word, "ud") == 0 && rtf->starred && rtf->groups->len >= 3) {
        innermost(rtf)->destination =
            g_array_index(rtf->groups, Group, rtf->groups->len - 3).destination;
    } else if (rtf->starred && strcmp(word, "shppict") != 0 && strcmp(word, "shpinst") != 0) {
        begin_destination(rtf, SKIPPED);
    } else if (!in_text) {
    } else if (symbol) {
        append(rtf, symbol);
    } else if (strcmp(word, "par") == 0 || strcmp(word, "sect") == 0 || strcmp(word, "page") == 0) {
        end_paragraph(rtf);
    } else if (strcmp(word, "cell") == 0 || strcmp(word, "nestcell") == 0) {
        end_cell(rtf);
    } else if (strcmp(word, "row") == 0) {
        end_row(rtf);
    } else {
        on_property(rtf, word, n, has_n);
    }
    rtf->starts = rtf->starred = FALSE;
}

/* --- the syntax ------------------------------------------------------------------------------- */

static int
hex_digit(guint8 c)
{
    return g_ascii_xdigit_value((char)c);
}

/* What follows a backslash and is no letter. */
static void
read_symbol(Rtf *rtf)
{
    guint8 c = *rtf->at++;
    if (c == '\'') {
        gsize left = (gsize)(rtf->end - rtf->at);
        if (left >= 2 && hex_digit(rtf->at[0]) >= 0 && hex_digit(rtf->at[1]) >= 0) {
            append_byte(rtf, (guint8)(hex_digit(rtf->at[0]) * 16 + hex_digit(rtf->at[1])));
            rtf->at += 2;
        }
        return;
    }
    if (c == '*') {
        rtf->starred = TRUE;
        return;
    }
    flush(rtf);
    if (rtf->n_skip && strchr("\\{}~_", c)) {
        rtf->n_skip--;
        return;
    }
    if (c == '\\' || c == '{' || c == '}')
        append(rtf, c == '\\' ? "\\" : c == '{' ? "{" : "}");
    else if (c == '~')
        append(rtf, "\xC2\xA0");
    else if (c == '_')
        append(rtf, "\xE2\x80\x91");
    else if ((c == '\n' || c == '\r') && innermost(rtf)->destination != SKIPPED)
        end_paragraph(rtf);
}

/* \word, a number or none, and the blank that ends it. */
static void
read_word(Rtf *rtf)
{
    char word[WORD_BYTES_MAX + 1];
    gsize n_word = 0;
    gint64 n = 0;
    gboolean minus = FALSE;
    gboolean has_n = FALSE;
    for (; rtf->at < rtf->end && g_ascii_isalpha(*rtf->at); rtf->at++) {
        if (n_word < WORD_BYTES_MAX)
            word[n_word++] = (char)*rtf->at;
    }
    word[n_word] = '\0';
    if (rtf->end - rtf->at >= 2 && *rtf->at == '-' && g_ascii_isdigit(rtf->at[1])) {
        minus = TRUE;
        rtf->at++;
    }
    for (; rtf->at < rtf->end && g_ascii_isdigit(*rtf->at); rtf->at++) {
        has_n = TRUE;
        n = MIN(n * 10 + (*rtf->at - '0'), G_MAXINT);
    }
    if (rtf->at < rtf->end && *rtf->at == ' ')
        rtf->at++;
    on_word(rtf, word, (int)(minus ? -n : n), has_n);
}

static void
parse(Rtf *rtf)
{
    while (rtf->at < rtf->end && !pd_blocks_cut(rtf->blocks)) {
        guint8 c = *rtf->at++;
        if (c == '\\' && rtf->at < rtf->end) {
            if (g_ascii_isalpha(*rtf->at))
                read_word(rtf);
            else
                read_symbol(rtf);
        } else if (c == '{') {
            open_group(rtf);
        } else if (c == '}') {
            close_group(rtf);
        } else if (c != '\r' && c != '\n' && c != '\0' && c != '\\') {
            /* Each style of the sheet is a group with its name. */
            if (innermost(rtf)->destination == STYLES)
                begin_destination(rtf, STYLES);
            append_byte(rtf, c);
        }
    }
    while (rtf->groups->len > 1)
        close_group(rtf);
    flush(rtf);
    end_paragraph(rtf);
}

/* --- the document ----------------------------------------------------------------------------- */

static void
write_section(Rtf *rtf, const char *name, const GPtrArray *texts)
{
    pd_blocks_section(rtf->blocks, name);
    for (guint i = 0; i < texts->len; i++)
        pd_blocks_paragraph(rtf->blocks, g_ptr_array_index(texts, i), 0);
}

static gboolean
tell(const Rtf *rtf, PdEmitter *emitter, const char *key, GError **error)
{
    if (rtf->n_hidden && !pd_emit_ledger(emitter, "hidden", key, -1, error,
                                         "hidden text: %" G_GSIZE_FORMAT
                                         " bytes that are marked as hidden were not read",
                                         rtf->n_hidden))
        return FALSE;
    if ((rtf->n_inserted || rtf->n_deleted) &&
        !pd_emit_ledger(emitter, "note", key, -1, error,
                        "tracked changes: insertions read: %u, deletions not read: %u "
                        "(%" G_GSIZE_FORMAT " bytes)",
                        rtf->n_inserted, rtf->n_deleted, rtf->n_deleted_bytes))
        return FALSE;
    if (rtf->n_pictures &&
        !pd_emit_ledger(emitter, "note", key, -1, error,
                        "pictures and drawings: %u, text in them is not read", rtf->n_pictures))
        return FALSE;
    if (rtf->n_replaced && !pd_emit_ledger(emitter, "partial", key, -1, error,
                                           "%u bytes have no meaning in their code page or font "
                                           "and were replaced by U+FFFD",
                                           rtf->n_replaced))
        return FALSE;
    if (rtf->too_deep &&
        !pd_emit_ledger(emitter, "partial", key, -1, error,
                        "groups deeper than the limit of %u were not read", rtf->depth_max))
        return FALSE;
    return !pd_blocks_cut(rtf->blocks) ||
           pd_emit_ledger(emitter, "partial", key, -1, error,
                          "text cut at the limit of %" G_GUINT64_FORMAT " bytes",
                          emitter->limits->text_bytes_max);
}

gboolean
pd_rtf_read(const guint8 *bytes, gsize n, PdDocument *document, PdEmitter *emitter, const char *key,
            GError **error)
{
    g_autoptr(PdBlocks) blocks = pd_blocks_new(document, emitter->limits->text_bytes_max);
    g_autoptr(GArray) groups = g_array_new(FALSE, TRUE, sizeof(Group));
    g_autoptr(GByteArray) waiting = g_byte_array_new();
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(text_free);
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) comments = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) page_heads = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) comment_author = g_string_new(NULL);
    g_autoptr(GHashTable) fonts = g_hash_table_new(NULL, NULL);
    g_autoptr(GHashTable) styles = g_hash_table_new(NULL, NULL);
    Rtf rtf = {.at = bytes,
               .end = bytes + n,
               .blocks = blocks,
               .document = document,
               .groups = groups,
               .bytes = waiting,
               .texts = texts,
               .notes = notes,
               .comments = comments,
               .page_heads = page_heads,
               .comment_author = comment_author,
               .fonts = fonts,
               .styles = styles,
               .code_page = 1252,
               .depth_max = emitter->limits->rtf_depth_max};
    Group outermost = {.n_skip = 1};
    g_array_append_val(groups, outermost);
    g_ptr_array_add(texts, g_string_new(NULL));
    parse(&rtf);
    write_section(&rtf, "footnotes", notes);
    write_section(&rtf, "comments", comments);
    write_section(&rtf, "headers and footers", page_heads);
    return tell(&rtf, emitter, key, error);
}
