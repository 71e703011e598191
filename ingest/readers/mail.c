/*
 * One message (RFC 5322, MIME) to one document.
 *
 * GMime parses the structure and undoes transfer encodings; characters are our own step
 * (charset.c), since GMime drops bytes that do not fit their label.  The part "headers" holds the
 * fields that people cite; each text part keeps its MIME part path ("1", "2.1").  Of alternatives
 * the plain one is read, unless it is a stub of the other.  What a signature wraps (S/MIME) is read
 * as if it stood there.  What is not read gets a ledger line, except signatures, which are no
 * content.
 */
#include "ingest/readers/mail.h"

#include <gmime/gmime.h>
#include <string.h>

#include "ingest/error.h"
#include "ingest/readers/calendar.h"
#include "ingest/readers/smime.h"
#include "ingest/readers/sniff.h"

/* A plain text with less than this share of the HTML's letters only says "see the HTML part". */
#define STUB_SHARE 4

typedef struct {
    char *name;
    char *type;
    GByteArray *bytes; /* NULL: it is not read */
    char *why;         /* then */
    gint64 n_bytes;    /* then */
} Attachment;

typedef struct {
    PdEmitter *emitter;
    PdDocument *document;
    GPtrArray *attachments;
    guint n_parts;
    gsize n_text_bytes;
    gboolean parts_cut;
} Mail;

static GMimeParserOptions *parser_options;

void
pd_mail_init(void)
{
    static const char *fallbacks[] = {"utf-8", "windows-1252", NULL};
    g_mime_init();
    parser_options = g_mime_parser_options_new();
    g_mime_parser_options_set_fallback_charsets(parser_options, fallbacks);
}

static void
attachment_free(gpointer data)
{
    Attachment *attachment = data;
    g_free(attachment->name);
    g_free(attachment->type);
    g_clear_pointer(&attachment->bytes, g_byte_array_unref);
    g_free(attachment->why);
    g_free(attachment);
}

/* --- headers ---------------------------------------------------------------------------------- */

/* One line of valid UTF-8, cut to the limit. */
static char *
clean_header(Mail *mail, const char *name, const char *value, GError **error)
{
    PdCharsetInfo info;
    g_autoptr(GString) text = g_string_new(NULL);
    pd_charset_decode((const guint8 *)value, strlen(value), NULL, text, &info);
    guint max = mail->emitter->limits->header_bytes_max;
    gboolean cut = pd_text_truncate(text, max);
    GString *line = g_string_sized_new(text->len);
    gboolean blank = FALSE;
    for (gsize i = 0; i < text->len; i++) {
        if (strchr(" \t\r\n", text->str[i])) {
            blank = line->len > 0;
            continue;
        }
        if (blank)
            g_string_append_c(line, ' ');
        blank = FALSE;
        g_string_append_c(line, text->str[i]);
    }
    if (cut &&
        !pd_emit_ledger(mail->emitter, "partial", mail->document->key, (gint64)strlen(value), error,
                        "the header %s is too long: cut at the limit of %u bytes", name, max)) {
        g_string_free(line, TRUE);
        return NULL;
    }
    return g_string_free(line, FALSE);
}

static char *
addresses(GMimeMessage *message, GMimeAddressType type, const char *field)
{
    InternetAddressList *list = g_mime_message_get_addresses(message, type);
    g_autofree char *text = list && internet_address_list_length(list)
                                ? internet_address_list_to_string(list, NULL, FALSE)
                                : NULL;
    if (text && *text)
        return g_steal_pointer(&text);
    return g_strdup(g_mime_object_get_header(GMIME_OBJECT(message), field));
}

static gboolean
add_header(Mail *mail, GString *out, const char *field, const char *value, char **kept,
           GError **error)
{
    if (!value || !*value)
        return TRUE;
    g_autofree char *line = clean_header(mail, field, value, error);
    if (!line)
        return FALSE;
    if (*line)
        g_string_append_printf(out, "%s: %s\n", field, line);
    if (kept && *line)
        *kept = g_steal_pointer(&line);
    return TRUE;
}

static void
read_date(Mail *mail, GMimeMessage *message)
{
    GDateTime *date = g_mime_message_get_date(message);
    g_autoptr(GDateTime) received = NULL;
    if (!date) {
        /* No or impossible: when the last machine took it in. */
        const char *field = g_mime_object_get_header(GMIME_OBJECT(message), "Received");
        const char *at = field ? strrchr(field, ';') : NULL;
        date = received = at ? g_mime_utils_header_decode_date(at + 1) : NULL;
    }
    if (date)
        mail->document->date_utc = g_date_time_to_unix(date);
}

static char *
bare_id(const char *field)
{
    if (!field)
        return NULL;
    const char *start = strchr(field, '<');
    const char *end = start ? strchr(start, '>') : NULL;
    char *id = start && end ? g_strndup(start + 1, (gsize)(end - start - 1)) : g_strdup(field);
    g_strstrip(id);
    if (*id && !strpbrk(id, " \t\r\n") && strlen(id) < 1000 && g_utf8_validate(id, -1, NULL))
        return id;
    g_free(id);
    return NULL;
}

/* The Message-ID in "Message from Kay <kay@host> of Monday <id@host>" and in "<id@host> (Kay's
 * message to <lee@host>)": the last one, comments left aside. */
static char *
replied_id(const char *field)
{
    const char *last = NULL;
    int depth = 0;
    for (const char *at = field; at && *at; at++) {
        if (*at == '<' && depth == 0)
            last = at;
        else if (*at == '(')
            depth++;
        else if (*at == ')' && depth > 0)
            depth--;
    }
    return last ? bare_id(last) : NULL;
}

/* In-Reply-To, then References from the last to the first. */
static char *
ancestor_ids(GMimeMessage *message)
{
    const char *field = g_mime_object_get_header(GMIME_OBJECT(message), "In-Reply-To");
    g_autofree char *parent = replied_id(field);
    g_autofree char *references =
        g_strdup(g_mime_object_get_header(GMIME_OBJECT(message), "References"));
    g_autoptr(GString) ids = g_string_new(parent);
    for (char *at = references ? references + strlen(references) : NULL; at > references;) {
        if (*--at != '<')
            continue;
        g_autofree char *id = strchr(at, '>') ? bare_id(at) : NULL;
        *at = '\0';
        if (!id || (parent && g_str_equal(id, parent)))
            continue;
        if (ids->len + strlen(id) >= PD_FRAME_STRING_BYTES_MAX)
            break;
        g_string_append_printf(ids, "%s%s", ids->len ? " " : "", id);
    }
    return ids->len ? g_strdup(ids->str) : NULL;
}

/* "From 0123...def Mon Sep 17 00:00:00 2001": git format-patch names the commit. */
static char *
patch_commit(const PdMailInput *input)
{
    const char *line = (const char *)input->raw;
    if (input->n_raw < 5 + 40 + 1 || memcmp(line, "From ", 5) != 0 || line[45] != ' ')
        return NULL;
    for (int i = 5; i < 45; i++) {
        if (!g_ascii_isxdigit(line[i]))
            return NULL;
    }
    return g_strndup(line + 5, 40);
}

/* Who it is: its Message-ID, the commit of a patch, or a name made from its bytes. */
static void
identify(Mail *mail, GMimeMessage *message, const PdMailInput *input)
{
    PdDocument *document = mail->document;
    pd_sha256(input->raw, input->n_raw, document->raw_sha256);
    document->raw_offset = input->raw_offset;
    document->raw_bytes = input->raw_bytes;
    document->native_id =
        message ? bare_id(g_mime_object_get_header(GMIME_OBJECT(message), "Message-ID")) : NULL;
    if (!document->native_id && (document->revision = patch_commit(input)) != NULL)
        document->native_id = g_strdup(document->revision);
    if (!document->native_id) {
        GString *id = g_string_new("sha256-");
        for (int i = 0; i < 16; i++)
            g_string_append_printf(id, "%02x", document->raw_sha256[i]);
        g_string_append(id, "@no-message-id.invalid");
        document->native_id = g_string_free(id, FALSE);
    }
    g_free(document->key);
    if (input->name)
        document->key = g_strdup(input->name);
    else if (input->folder && *input->folder)
        document->key = g_strconcat(input->folder, "!/", document->native_id, NULL);
    else
        document->key = g_strdup(document->native_id);
}

static gboolean
read_headers(Mail *mail, GMimeMessage *message, GError **error)
{
    PdDocument *document = mail->document;
    GMimeObject *object = GMIME_OBJECT(message);
    g_autofree char *from = addresses(message, GMIME_ADDRESS_TYPE_FROM, "From");
    g_autofree char *to = addresses(message, GMIME_ADDRESS_TYPE_TO, "To");
    g_autofree char *cc = addresses(message, GMIME_ADDRESS_TYPE_CC, "Cc");
    g_autofree char *bcc = addresses(message, GMIME_ADDRESS_TYPE_BCC, "Bcc");
    g_autofree char *to_line = NULL;
    g_autofree char *cc_line = NULL;
    GString *out = pd_document_add_part(document, "headers", NULL)->text;
    if (!add_header(mail, out, "From", from, &document->author, error) ||
        !add_header(mail, out, "To", to, &to_line, error) ||
        !add_header(mail, out, "Cc", cc, &cc_line, error) ||
        !add_header(mail, out, "Bcc", bcc, NULL, error) ||
        !add_header(mail, out, "Date", g_mime_object_get_header(object, "Date"), NULL, error) ||
        !add_header(mail, out, "Subject", g_mime_message_get_subject(message), &document->title,
                    error))
        return FALSE;
    /* What a mailbox of Google's has instead of folders. */
    if (!add_header(mail, out, "X-Gmail-Labels", g_mime_object_get_header(object, "X-Gmail-Labels"),
                    NULL, error))
        return FALSE;
    if (document->revision)
        g_string_append_printf(out, "Commit: %s\n", document->revision);
    else if (g_mime_object_get_header(object, "Message-ID"))
        g_string_append_printf(out, "Message-ID: <%s>\n", document->native_id);
    if (to_line || cc_line)
        document->recipients = g_strjoin(to_line && cc_line ? ", " : "", to_line ? to_line : "",
                                         cc_line ? cc_line : "", NULL);
    if (!document->title)
        document->title = g_strdup("(no subject)");
    document->in_reply_to = ancestor_ids(message);
    read_date(mail, message);
    mail->n_text_bytes += out->len;
    return TRUE;
}

/* --- parts ------------------------------------------------------------------------------------ */

/* A file name without its folders; NULL if there is none. */
static char *
file_name(const char *name)
{
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    for (char *c = valid; *c; c++) {
        if ((guchar)*c < 0x20 || *c == 0x7f)
            *c = ' ';
        else if (*c == '\\')
            *c = '/';
    }
    const char *slash = strrchr(valid, '/');
    const char *base = slash ? slash + 1 : valid;
    return *base ? g_strdup(base) : NULL;
}

static char *
part_name(GMimeObject *part)
{
    const char *name = GMIME_IS_PART(part) ? g_mime_part_get_filename(GMIME_PART(part)) : NULL;
    if (!name)
        name = g_mime_object_get_content_type_parameter(part, "name");
    return name ? file_name(name) : NULL;
}

static GByteArray *
decoded_content(GMimePart *part)
{
    GByteArray *bytes = g_byte_array_new();
    GMimeDataWrapper *content = g_mime_part_get_content(part);
    if (!content)
        return bytes;
    GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(bytes);
    g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(stream), FALSE);
    g_mime_data_wrapper_write_to_stream(content, stream);
    g_object_unref(stream);
    return bytes;
}

/* CR LF is how mail travels, not what was written. */
static void
fold_line_ends(GString *text)
{
    gsize to = 0;
    for (gsize from = 0; from < text->len; from++) {
        if (text->str[from] != '\r' || from + 1 >= text->len || text->str[from + 1] != '\n')
            text->str[to++] = text->str[from];
    }
    g_string_truncate(text, to);
}

/* `kind`: as pd_sniff names it, "html", "calendar" or another text. */
static gboolean
decode(Mail *mail, const GByteArray *bytes, const char *kind, const char *charset, GString *text,
       GError **error)
{
    const char *key = mail->document->key;
    if (strcmp(kind, "html") == 0)
        return pd_decode_html(mail->emitter, key, bytes->data, bytes->len, charset, TRUE, text,
                              NULL, error);
    if (strcmp(kind, "calendar") == 0)
        return pd_calendar_read(bytes->data, bytes->len, charset, mail->emitter, key, text, error);
    return pd_decode_text(mail->emitter, key, bytes->data, bytes->len, charset, text, error);
}

static gboolean
add_text(Mail *mail, const GByteArray *bytes, const char *kind, const char *charset,
         const char *path, const char *label, GError **error)
{
    const char *key = mail->document->key;
    GString *text = pd_document_add_part(mail->document, path, label)->text;
    if (!decode(mail, bytes, kind, charset, text, error))
        return FALSE;
    fold_line_ends(text);
    gsize left = mail->emitter->limits->text_bytes_max - mail->n_text_bytes;
    if (pd_text_truncate(text, left) &&
        !pd_emit_ledger(
            mail->emitter, "partial", key, bytes->len, error,
            "part %s was cut: the message's text reaches the limit of %" G_GUINT64_FORMAT " bytes",
            path, mail->emitter->limits->text_bytes_max))
        return FALSE;
    mail->n_text_bytes += text->len;
    return TRUE;
}

static Attachment *
attachment_new(Mail *mail, const char *path, const char *name, const char *type)
{
    Attachment *attachment = g_new0(Attachment, 1);
    attachment->name = name ? g_strdup_printf("%s:%s", path, name) : g_strdup(path);
    attachment->type = g_strdup(type);
    g_ptr_array_add(mail->attachments, attachment);
    return attachment;
}

static void
skip_part(Mail *mail, const char *path, const char *name, const char *type, gint64 n_bytes,
          const char *why)
{
    Attachment *attachment = attachment_new(mail, path, name, type);
    attachment->n_bytes = n_bytes;
    attachment->why = g_strdup(why);
}

static void
add_attachment(Mail *mail, const char *path, const char *name, const char *type, GByteArray *bytes)
{
    attachment_new(mail, path, name, type)->bytes = g_byte_array_ref(bytes);
}

/* Why a part is not even looked at; NULL: its bytes must say. */
static const char *
why_not_read(const char *type, gsize n_bytes, const PdReadLimits *limits)
{
    static const char *const media[] = {"image/", "audio/", "video/", "font/"};
    if (strcmp(type, "application/pgp-encrypted") == 0 ||
        strcmp(type, "application/pkcs7-mime") == 0)
        return "encrypted";
    for (gsize i = 0; i < G_N_ELEMENTS(media); i++) {
        if (g_str_has_prefix(type, media[i]))
            return "no text in this format";
    }
    return n_bytes > limits->file_bytes_max ? "too large, over the limit" : NULL;
}

static gsize
count_letters(const PdDocument *document, guint from, guint to)
{
    gsize n = 0;
    for (guint i = from; i < to; i++) {
        const GString *text = ((PdPart *)g_ptr_array_index(document->parts, i))->text;
        for (gsize k = 0; k < text->len; k++)
            n += (guchar)text->str[k] > 0x20;
    }
    return n;
}

PdMapiLimits
pd_mail_mapi_limits(const PdReadLimits *limits)
{
    return (PdMapiLimits){limits->depth_max, limits->mime_parts_max,
                          MIN(limits->file_bytes_max, G_MAXINT32),
                          MIN(limits->rtf_bytes_max, G_MAXINT32)};
}

/* winmail.dat: what it holds hangs on this mail.  Its text is mostly that of the mail once more, in
 * another form: it is read if the mail has none. */
static gboolean
read_tnef(Mail *mail, const GByteArray *bytes, const char *path, const char *name, GError **error)
{
    const PdMapiLimits limits = pd_mail_mapi_limits(mail->emitter->limits);
    g_autoptr(PdMapiMessage) mapi = pd_mapi_message_new();
    g_autofree char *above = g_strconcat(name ? name : "winmail.dat", "!", NULL);
    pd_tnef_read(bytes->data, bytes->len, &limits, mapi);
    for (guint i = 0; i < mapi->remarks->len; i++)
        if (!pd_emit_ledger(mail->emitter, "partial", mail->document->key, bytes->len, error,
                            "attachment %s: %s", name ? name : path,
                            (const char *)g_ptr_array_index(mapi->remarks, i)))
            return FALSE;
    for (guint i = 0; i < mapi->attachments->len; i++) {
        const PdMapiAttachment *inner = g_ptr_array_index(mapi->attachments, i);
        g_autoptr(GByteArray) message = inner->message ? pd_mapi_to_mime(inner->message) : NULL;
        g_autofree char *own = inner->name ? file_name(inner->name) : NULL;
        g_autofree char *number = g_strdup_printf("%u", i + 1);
        g_autofree char *full = g_strconcat(above, "/", own ? own : number, NULL);
        const char *type = message       ? "message/rfc822"
                           : inner->type ? inner->type
                                         : "application/octet-stream";
        GByteArray *content = message ? message : inner->bytes;
        const char *why =
            content ? why_not_read(type, content->len, mail->emitter->limits) : "empty";
        if (why)
            skip_part(mail, path, full, type, content ? content->len : 0, why);
        else
            add_attachment(mail, path, full, type, content);
    }
    gboolean has_text = count_letters(mail->document, 1, mail->document->parts->len) > 0;
    if (!has_text && pd_mapi_has_body(mapi)) {
        g_ptr_array_set_size(mapi->attachments, 0);
        g_autoptr(GByteArray) message = pd_mapi_to_mime(mapi);
        g_autofree char *full = g_strconcat(above, "/text", NULL);
        add_attachment(mail, path, full, "message/rfc822", message);
    }
    return TRUE;
}

static gboolean read_object(Mail *mail, GMimeObject *object, const char *path, guint depth,
                            GError **error);

static gboolean
is_smime(const char *name, const char *type)
{
    g_autofree char *lower = g_ascii_strdown(name ? name : "", -1);
    return strcmp(type, "application/pkcs7-mime") == 0 ||
           strcmp(type, "application/x-pkcs7-mime") == 0 ||
           (strcmp(type, "application/octet-stream") == 0 && g_str_has_suffix(lower, ".p7m"));
}

/* A part with its headers. */
static gboolean
read_entity(Mail *mail, GByteArray *bytes, const char *path, guint depth, GError **error)
{
    GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(bytes);
    g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(stream), FALSE);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    GMimeObject *object = g_mime_parser_construct_part(parser, parser_options);
    gboolean ok = read_object(mail, object, path, depth, error);
    if (object)
        g_object_unref(object);
    g_object_unref(parser);
    g_object_unref(stream);
    return ok;
}

static gboolean
read_smime(Mail *mail, const GByteArray *bytes, const char *path, const char *name,
           const char *type, guint depth, GError **error)
{
    g_autoptr(GByteArray) content = NULL;
    PdSmimeKind kind = pd_smime_open(bytes->data, bytes->len, &content);
    if (content && content->len)
        return read_entity(mail, content, path, depth + 1, error);
    skip_part(mail, path, name, type, bytes->len,
              kind == PD_SMIME_ENCRYPTED    ? "encrypted"
              : kind == PD_SMIME_COMPRESSED ? "compressed in a way that is not read"
              : kind == PD_SMIME_SIGNED     ? "a signature around nothing, certificates or damage"
                                        : "an S/MIME wrapping that cannot be opened: damaged, or "
                                          "encrypted in an unknown way");
    return TRUE;
}

/* Of a part in which there is nothing to read: why, with what its sender's program calls it. */
static gboolean
skip_unknown(Mail *mail, GMimePart *part, const char *path, const char *name, const char *type,
             gsize n_bytes, GError **error)
{
    const char *said = g_mime_object_get_header(GMIME_OBJECT(part), "Content-Description");
    g_autofree char *what = clean_header(mail, "Content-Description", said ? said : "", error);
    if (!what)
        return FALSE;
    g_autofree char *why = g_strdup_printf("%s%s%s",
                                           n_bytes ? "this format is not read"
                                           : *what ? "not read"
                                                   : "empty",
                                           *what ? ": " : "", what);
    skip_part(mail, path, name, type, (gint64)n_bytes, why);
    return TRUE;
}

/* Neither declared as text nor a container: what do its bytes say? */
static gboolean
read_other(Mail *mail, GMimePart *part, const char *path, const char *name, const char *type,
           guint depth, GError **error)
{
    if (strcmp(type, "application/pgp-signature") == 0 ||
        strcmp(type, "application/pkcs7-signature") == 0 ||
        strcmp(type, "application/x-pkcs7-signature") == 0)
        return TRUE;
    static const char *const texts[] = {"text", "markdown", "html", "calendar", NULL};
    g_autoptr(GByteArray) bytes = decoded_content(part);
    if (is_smime(name, type))
        return read_smime(mail, bytes, path, name, type, depth, error);
    const char *why = why_not_read(type, bytes->len, mail->emitter->limits);
    const char *kind = why ? NULL : pd_sniff(bytes->data, MIN(bytes->len, PD_SNIFF_BYTES), name);
    if (why) {
        skip_part(mail, path, name, type, bytes->len, why);
        return TRUE;
    }
    if (!kind)
        return skip_unknown(mail, part, path, name, type, bytes->len, error);
    if (g_strv_contains(texts, kind))
        return add_text(mail, bytes, kind, NULL, path, name, error);
    if (strcmp(kind, "tnef") == 0)
        return read_tnef(mail, bytes, path, name, error);
    add_attachment(mail, path, name, type, bytes);
    return TRUE;
}

/* RFC 3676, section 4; what else the parameters may say is as if they were not there. */
static PdFlow
flow_of(GMimeObject *part)
{
    const char *format = g_mime_object_get_content_type_parameter(part, "format");
    const char *delsp = g_mime_object_get_content_type_parameter(part, "delsp");
    if (!format || g_ascii_strcasecmp(format, "flowed") != 0)
        return PD_FLOW_FIXED;
    return delsp && g_ascii_strcasecmp(delsp, "yes") == 0 ? PD_FLOW_DELSP : PD_FLOW_FLOWED;
}

static gboolean
read_leaf(Mail *mail, GMimePart *part, const char *path, guint depth, GError **error)
{
    GMimeContentType *content_type = g_mime_object_get_content_type(GMIME_OBJECT(part));
    g_autofree char *mime_type =
        content_type ? g_mime_content_type_get_mime_type(content_type) : g_strdup("text/plain");
    g_autofree char *valid = g_utf8_make_valid(mime_type, -1);
    g_autofree char *type = g_ascii_strdown(valid, -1);
    g_autofree char *name = part_name(GMIME_OBJECT(part));
    if (!g_str_has_prefix(type, "text/") || strcmp(type, "text/rtf") == 0)
        return read_other(mail, part, path, name, type, depth, error);
    const char *charset = g_mime_object_get_content_type_parameter(GMIME_OBJECT(part), "charset");
    g_autoptr(GByteArray) bytes = decoded_content(part);
    const char *kind = strcmp(type, "text/html") == 0       ? "html"
                       : strcmp(type, "text/calendar") == 0 ? "calendar"
                                                            : "text";
    if (!add_text(mail, bytes, kind, charset, path, name ? name : type, error))
        return FALSE;
    GPtrArray *parts = mail->document->parts;
    if (strcmp(type, "text/plain") == 0)
        ((PdPart *)g_ptr_array_index(parts, parts->len - 1))->flow = flow_of(GMIME_OBJECT(part));
    return TRUE;
}

static char *
child_of(const char *path, int i)
{
    return *path ? g_strdup_printf("%s.%d", path, i + 1) : g_strdup_printf("%d", i + 1);
}

/* What a part of multipart/alternative is to the others.  An invitation says what text does not:
 * who was asked, what it changes. */
typedef enum { FORM_RICH, FORM_PLAIN, FORM_CALENDAR, N_FORMS } Form;

static Form
form_of(GMimeObject *part)
{
    GMimeContentType *type = g_mime_object_get_content_type(part);
    return type && g_mime_content_type_is_type(type, "text", "plain")      ? FORM_PLAIN
           : type && g_mime_content_type_is_type(type, "text", "calendar") ? FORM_CALENDAR
                                                                           : FORM_RICH;
}

/* The same content several times over: the plain form is read, unless it is a stub. */
static gboolean
read_alternatives(Mail *mail, GMimeMultipart *multipart, const char *path, guint depth,
                  GError **error)
{
    GPtrArray *parts = mail->document->parts;
    int n = g_mime_multipart_get_count(multipart);
    g_autoptr(GArray) forms = g_array_new(FALSE, FALSE, sizeof(Form)); /* of each part */
    guint start = parts->len;
    gsize n_letters[N_FORMS] = {0};
    for (int i = 0; i < n; i++) {
        GMimeObject *child = g_mime_multipart_get_part(multipart, i);
        Form form = form_of(child);
        guint before = parts->len;
        g_autofree char *child_path = child_of(path, i);
        if (!read_object(mail, child, child_path, depth + 1, error))
            return FALSE;
        for (guint k = before; k < parts->len; k++)
            g_array_append_val(forms, form);
        n_letters[form] += count_letters(mail->document, before, parts->len);
    }
    gboolean plain_serves =
        n_letters[FORM_PLAIN] && n_letters[FORM_PLAIN] * STUB_SHARE >= n_letters[FORM_RICH];
    for (guint k = parts->len; k-- > start;) {
        Form form = g_array_index(forms, Form, k - start);
        if (form == FORM_PLAIN ? !n_letters[FORM_PLAIN] && n_letters[FORM_RICH]
                               : form == FORM_RICH && plain_serves)
            g_ptr_array_remove_index(parts, k);
    }
    return TRUE;
}

static gboolean
read_multipart(Mail *mail, GMimeMultipart *multipart, const char *path, guint depth, GError **error)
{
    GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(multipart));
    int n = g_mime_multipart_get_count(multipart);
    if (type && g_mime_content_type_is_type(type, "multipart", "alternative"))
        return read_alternatives(mail, multipart, path, depth, error);
    for (int i = 0; i < n; i++) {
        g_autofree char *child_path = child_of(path, i);
        if (!read_object(mail, g_mime_multipart_get_part(multipart, i), child_path, depth + 1,
                         error))
            return FALSE;
    }
    const char *prologue = n ? NULL : g_mime_multipart_get_prologue(multipart);
    if (prologue && *prologue) {
        /* No boundary was ever found: all of it stands before the first. */
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        g_byte_array_append(bytes, (const guint8 *)prologue, (guint)strlen(prologue));
        return add_text(mail, bytes, "text", NULL, *path ? path : "1", NULL, error);
    }
    return TRUE;
}

/* A message inside the message: a document of its own. */
static gboolean
read_message_part(Mail *mail, GMimeMessagePart *part, const char *path)
{
    GMimeMessage *message = g_mime_message_part_get_message(part);
    if (!message)
        return TRUE;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(bytes);
    g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(stream), FALSE);
    g_mime_object_write_to_stream(GMIME_OBJECT(message), NULL, stream);
    g_object_unref(stream);
    if (bytes->len)
        add_attachment(mail, path, NULL, "message/rfc822", bytes);
    return TRUE;
}

static gboolean
read_object(Mail *mail, GMimeObject *object, const char *path, guint depth, GError **error)
{
    const PdReadLimits *limits = mail->emitter->limits;
    if (++mail->n_parts > limits->mime_parts_max || depth > limits->mime_depth_max) {
        if (mail->parts_cut)
            return TRUE;
        mail->parts_cut = TRUE;
        return pd_emit_ledger(mail->emitter, "partial", mail->document->key, -1, error,
                              "more than the limit of %u parts or %u levels: the rest was not read",
                              limits->mime_parts_max, limits->mime_depth_max);
    }
    if (!object)
        return TRUE;
    if (GMIME_IS_MULTIPART(object))
        return read_multipart(mail, GMIME_MULTIPART(object), path, depth, error);
    const char *leaf_path = *path ? path : "1";
    if (GMIME_IS_MESSAGE_PARTIAL(object)) {
        skip_part(mail, leaf_path, NULL, "message/partial", -1,
                  "one piece of a message that was sent in several");
        return TRUE;
    }
    if (GMIME_IS_MESSAGE_PART(object))
        return read_message_part(mail, GMIME_MESSAGE_PART(object), leaf_path);
    if (GMIME_IS_PART(object))
        return read_leaf(mail, GMIME_PART(object), leaf_path, depth, error);
    return TRUE;
}

static gboolean
say_skipped(Mail *mail, const Attachment *attachment, GError **error)
{
    const char *above = mail->document->key;
    g_autofree char *key = g_strconcat(above, *above ? "!/" : "", attachment->name, NULL);
    return pd_emit_ledger(mail->emitter, "skipped", key, attachment->n_bytes, error,
                          "attachment (%s, %" G_GINT64_FORMAT " bytes): %s", attachment->type,
                          attachment->n_bytes, attachment->why);
}

static gboolean
send(Mail *mail, GError **error)
{
    if (!pd_emit_document(mail->emitter, mail->document, error))
        return FALSE;
    for (guint i = 0; i < mail->attachments->len; i++) {
        const Attachment *attachment = g_ptr_array_index(mail->attachments, i);
        gboolean ok =
            attachment->bytes
                ? pd_emit_attachment(mail->emitter, attachment->name, attachment->type,
                                     attachment->bytes->data, attachment->bytes->len, error)
                : say_skipped(mail, attachment, error);
        if (!ok)
            return FALSE;
    }
    return TRUE;
}

gboolean
pd_mail_emit(const PdMailInput *input, PdEmitter *emitter, GError **error)
{
    g_autoptr(PdDocument) document = pd_document_new(PD_KIND_MAIL, "");
    g_autoptr(GPtrArray) attachments = g_ptr_array_new_with_free_func(attachment_free);
    Mail mail = {.emitter = emitter, .document = document, .attachments = attachments};
    GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(input->message);
    g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(stream), FALSE);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    g_mime_parser_set_format(parser, GMIME_FORMAT_MESSAGE);
    GMimeMessage *message = g_mime_parser_construct_message(parser, parser_options);
    identify(&mail, message, input);
    gboolean ok;
    if (message)
        ok = read_headers(&mail, message, error) &&
             read_object(&mail, g_mime_message_get_mime_part(message), "", 0, error) &&
             send(&mail, error);
    else
        ok = pd_emit_ledger(emitter, "failed", input->item_key, input->raw_bytes, error,
                            "cannot be parsed as a mail: no header block");
    if (message)
        g_object_unref(message);
    g_object_unref(parser);
    g_object_unref(stream);
    return ok;
}
