/* Properties and MIME: see mapi.h. */
#include "ingest/readers/mapi.h"

#include <string.h>

#include "ingest/readers/charset.h"
#include "ingest/readers/little_endian.h"

/* Property ids, [MS-OXPROPS]. */
enum {
    ID_CLASS = 0x001A,
    ID_SUBJECT = 0x0037,
    ID_SUBMIT_TIME = 0x0039,
    ID_SENT_FOR_NAME = 0x0042,
    ID_SENT_FOR_ADDRESS = 0x0065,
    ID_TRANSPORT_HEADERS = 0x007D,
    ID_SENDER_NAME = 0x0C1A,
    ID_SENDER_ADDRESS = 0x0C1F,
    ID_DISPLAY_BCC = 0x0E02,
    ID_DISPLAY_CC = 0x0E03,
    ID_DISPLAY_TO = 0x0E04,
    ID_DELIVERY_TIME = 0x0E06,
    ID_RECIPIENT_TYPE = 0x0C15,
    ID_BODY = 0x1000,
    ID_RTF_COMPRESSED = 0x1009,
    ID_HTML = 0x1013,
    ID_MESSAGE_ID = 0x1035,
    ID_REFERENCES = 0x1039,
    ID_IN_REPLY_TO = 0x1042,
    ID_DISPLAY_NAME = 0x3001,
    ID_ADDRESS = 0x3003,
    ID_ATTACH_DATA = 0x3701,
    ID_ATTACH_FILENAME = 0x3704,
    ID_ATTACH_LONG_FILENAME = 0x3707,
    ID_ATTACH_MIME_TAG = 0x370E,
    ID_SMTP = 0x39FE,
    ID_INTERNET_CODEPAGE = 0x3FDE,
    ID_MESSAGE_CODEPAGE = 0x3FFD,
    ID_SENDER_SMTP = 0x5D01,
    ID_SENT_FOR_SMTP = 0x5D02,
};

static void
attachment_free(gpointer data)
{
    PdMapiAttachment *attachment = data;
    g_free(attachment->name);
    g_free(attachment->type);
    g_clear_pointer(&attachment->bytes, g_byte_array_unref);
    pd_mapi_message_free(attachment->message);
    g_free(attachment->description);
    g_free(attachment);
}

PdMapiMessage *
pd_mapi_message_new(void)
{
    PdMapiMessage *message = g_new0(PdMapiMessage, 1);
    message->strings = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
    message->attachments = g_ptr_array_new_with_free_func(attachment_free);
    message->remarks = g_ptr_array_new_with_free_func(g_free);
    for (gsize i = 0; i < G_N_ELEMENTS(message->recipients); i++)
        message->recipients[i] = g_string_new(NULL);
    message->details = g_string_new(NULL);
    return message;
}

void
pd_mapi_message_free(PdMapiMessage *message)
{
    if (!message)
        return;
    g_hash_table_unref(message->strings);
    g_clear_pointer(&message->html, g_byte_array_unref);
    g_clear_pointer(&message->rtf, g_byte_array_unref);
    for (gsize i = 0; i < G_N_ELEMENTS(message->recipients); i++)
        g_string_free(message->recipients[i], TRUE);
    g_string_free(message->details, TRUE);
    g_ptr_array_unref(message->attachments);
    g_ptr_array_unref(message->remarks);
    g_free(message);
}

PdMapiAttachment *
pd_mapi_add_attachment(PdMapiMessage *message)
{
    PdMapiAttachment *attachment = g_new0(PdMapiAttachment, 1);
    g_ptr_array_add(message->attachments, attachment);
    return attachment;
}

void
pd_mapi_remark(PdMapiMessage *message, const char *text)
{
    g_ptr_array_add(message->remarks, g_strdup(text));
}

gboolean
pd_mapi_limits_below(PdMapiMessage *message, const PdMapiLimits *limits, PdMapiLimits *below)
{
    *below = *limits;
    if (limits->depth_max == 0) {
        pd_mapi_remark(message, "messages nested too deep in it were not read");
        return FALSE;
    }
    below->depth_max--;
    return TRUE;
}

void
pd_mapi_take_inner(PdMapiMessage *message, PdMapiAttachment *attachment, PdMapiMessage *inner)
{
    g_ptr_array_extend_and_steal(message->remarks, inner->remarks);
    inner->remarks = g_ptr_array_new_with_free_func(g_free);
    g_clear_pointer(&attachment->bytes, g_byte_array_unref);
    attachment->message = inner;
}

/* --- values -------------------------------------------------------------------------------- */

/* The name of a Windows code page; NULL: the bytes must say. */
static char *
codepage_name(guint codepage)
{
    static const struct {
        guint codepage;
        const char *name;
    } names[] = {{65001, "utf-8"},       {20127, "us-ascii"}, {932, "shift_jis"}, {936, "gbk"},
                 {949, "euc-kr"},        {950, "big5"},       {20866, "koi8-r"},  {21866, "koi8-u"},
                 {50220, "iso-2022-jp"}, {51932, "euc-jp"},   {54936, "gb18030"}};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (names[i].codepage == codepage)
            return g_strdup(names[i].name);
    if (codepage >= 1250 && codepage <= 1258)
        return g_strdup_printf("windows-%u", codepage);
    if (codepage >= 28591 && codepage <= 28605)
        return g_strdup_printf("iso-8859-%u", codepage - 28590);
    return NULL;
}

GDateTime *
pd_mapi_time(guint64 ticks)
{
    enum { TICKS = 10000000 };
    const gint64 unix_epoch = 11644473600; /* seconds from 1601 on */
    return g_date_time_new_from_unix_utc((gint64)(ticks / TICKS) - unix_epoch);
}

char *
pd_mapi_string(const PdMapiMessage *message, guint16 type, const guint8 *value, gsize n)
{
    PdCharsetInfo info;
    g_autofree char *label = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    if (type == PD_MAPI_UNICODE) {
        while (n >= 2 && !value[n - 1] && !value[n - 2])
            n -= 2;
        n -= n % 2;
        label = g_strdup("utf-16le");
    } else if (type == PD_MAPI_STRING8) {
        while (n > 0 && !value[n - 1])
            n--;
        label = codepage_name(message->codepage);
    } else {
        return NULL;
    }
    pd_charset_decode(value, n, label, text, &info);
    /* A NUL ends a string, but not the text behind it. */
    for (gsize i = 0; i < text->len; i++)
        if (!text->str[i])
            text->str[i] = ' ';
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static gboolean
is_string_of_interest(guint16 id)
{
    static const guint16 ids[] = {
        ID_CLASS,        ID_SUBJECT,    ID_SENT_FOR_NAME, ID_SENT_FOR_ADDRESS, ID_TRANSPORT_HEADERS,
        ID_SENDER_NAME,  ID_DISPLAY_CC, ID_DISPLAY_TO,    ID_SENDER_ADDRESS,   ID_BODY,
        ID_DISPLAY_BCC,  ID_MESSAGE_ID, ID_REFERENCES,    ID_IN_REPLY_TO,      ID_SENDER_SMTP,
        ID_SENT_FOR_SMTP};
    for (gsize i = 0; i < G_N_ELEMENTS(ids); i++)
        if (ids[i] == id)
            return TRUE;
    return FALSE;
}

static void
set_bytes(GByteArray **kept, const guint8 *value, gsize n)
{
    g_clear_pointer(kept, g_byte_array_unref);
    *kept = g_byte_array_append(g_byte_array_new(), value, (guint)n);
}

static void
set_rtf(PdMapiMessage *message, gsize max, const guint8 *value, gsize n)
{
    g_clear_pointer(&message->rtf, g_byte_array_unref);
    message->rtf = pd_mapi_unpack_rtf(value, n, max);
    if (message->rtf)
        return;
    gboolean too_long = n >= 8 && pd_le_u32(value + 4) > max;
    g_autofree char *remark =
        too_long ? g_strdup_printf("its formatted text is over the limit of %" G_GSIZE_FORMAT
                                   " bytes and was not read",
                                   max)
                 : g_strdup("its formatted text is damaged and was not read");
    pd_mapi_remark(message, remark);
}

void
pd_mapi_set(PdMapiMessage *message, const PdMapiLimits *limits, guint16 id, guint16 type,
            const guint8 *value, gsize n)
{
    if (type == PD_MAPI_I4 && n >= 4 && id == ID_MESSAGE_CODEPAGE && !message->codepage)
        message->codepage = pd_le_u32(value);
    else if (type == PD_MAPI_I4 && n >= 4 && id == ID_INTERNET_CODEPAGE)
        message->html_codepage = pd_le_u32(value);
    else if (type == PD_MAPI_TIME && n >= 8 &&
             (id == ID_SUBMIT_TIME || (id == ID_DELIVERY_TIME && !message->sent)))
        message->sent = pd_le_u32(value) | (guint64)pd_le_u32(value + 4) << 32;
    else if (id == ID_HTML && type == PD_MAPI_BINARY)
        set_bytes(&message->html, value, n);
    else if (id == ID_RTF_COMPRESSED && type == PD_MAPI_BINARY)
        set_rtf(message, limits->rtf_bytes_max, value, n);
    else if (id == ID_HTML || is_string_of_interest(id)) {
        g_autofree char *text = pd_mapi_string(message, type, value, n);
        if (text && id == ID_HTML) {
            message->html_codepage = 65001;
            set_bytes(&message->html, (const guint8 *)text, strlen(text));
        } else if (text)
            g_hash_table_insert(message->strings, GUINT_TO_POINTER(id), g_steal_pointer(&text));
    }
}

void
pd_mapi_set_attachment(PdMapiMessage *message, PdMapiAttachment *attachment, guint16 id,
                       guint16 type, const guint8 *value, gsize n)
{
    if (id == ID_ATTACH_DATA && type == PD_MAPI_BINARY) {
        set_bytes(&attachment->bytes, value, n);
        return;
    }
    gboolean name = id == ID_ATTACH_LONG_FILENAME ||
                    ((id == ID_ATTACH_FILENAME || id == ID_DISPLAY_NAME) && !attachment->name);
    if (!name && id != ID_ATTACH_MIME_TAG)
        return;
    g_autofree char *text = pd_mapi_string(message, type, value, n);
    char **kept = name ? &attachment->name : &attachment->type;
    if (text && *text) {
        g_free(*kept);
        *kept = g_steal_pointer(&text);
    }
}

void
pd_mapi_set_recipient(const PdMapiMessage *message, PdMapiRecipient *recipient, guint16 id,
                      guint16 type, const guint8 *value, gsize n)
{
    if (id == ID_RECIPIENT_TYPE && type == PD_MAPI_I4 && n >= 4)
        recipient->type = pd_le_u32(value);
    gboolean address = id == ID_SMTP || (id == ID_ADDRESS && !recipient->address);
    if (!address && id != ID_DISPLAY_NAME)
        return;
    char **kept = address ? &recipient->address : &recipient->name;
    g_free(*kept);
    *kept = pd_mapi_string(message, type, value, n);
}

void
pd_mapi_take_recipient(PdMapiMessage *message, PdMapiRecipient *recipient)
{
    if (recipient->type >= 1 && recipient->type <= G_N_ELEMENTS(message->recipients)) {
        GString *list = message->recipients[recipient->type - 1];
        g_autofree char *shown = pd_mapi_mailbox(recipient->name, recipient->address);
        g_string_append_printf(list, "%s%s", list->len ? ", " : "", shown);
    }
    g_free(recipient->name);
    g_free(recipient->address);
    *recipient = (PdMapiRecipient){0};
}

static const char *
string_of(const PdMapiMessage *message, guint id)
{
    const char *text = g_hash_table_lookup(message->strings, GUINT_TO_POINTER(id));
    return text && *text ? text : NULL;
}

gboolean
pd_mapi_has_body(const PdMapiMessage *message)
{
    return string_of(message, ID_BODY) || message->html || message->rtf;
}

static gboolean
is_smime(const PdMapiMessage *message)
{
    const char *class = string_of(message, ID_CLASS);
    return class && g_ascii_strncasecmp(class, "IPM.Note.SMIME", 14) == 0;
}

void
pd_mapi_check(PdMapiMessage *message)
{
    if (is_smime(message) && !message->attachments->len && !pd_mapi_has_body(message))
        pd_mapi_remark(message, "signed or encrypted, and what it says is not in it");
}

/* --- compressed RTF ------------------------------------------------------------------------ */

#define RTF_WINDOW 4096

/* What the window begins with, [MS-OXRTFCP] 2.1.2.1. */
static const char rtf_start[] =
    "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern "
    "\\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0"
    "\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
G_STATIC_ASSERT(sizeof rtf_start - 1 == 207);

/* A reference: 12 bits of place in the window, 4 of length; FALSE: the end. */
static gboolean
copy_reference(GByteArray *out, guint8 *window, guint *at, guint reference, gsize max)
{
    guint from = reference >> 4, n = (reference & 15) + 2;
    if (from == *at)
        return FALSE;
    for (guint i = 0; i < n && out->len < max; i++) {
        guint8 byte = window[(from + i) % RTF_WINDOW];
        g_byte_array_append(out, &byte, 1);
        window[*at] = byte;
        *at = (*at + 1) % RTF_WINDOW;
    }
    return TRUE;
}

GByteArray *
pd_mapi_unpack_rtf(const guint8 *bytes, gsize n, gsize max)
{
    enum { HEAD_BYTES = 16, PACKED = 0x75465a4c, PLAIN = 0x414c454d };
    if (n < HEAD_BYTES || pd_le_u32(bytes) < HEAD_BYTES - 4 || pd_le_u32(bytes + 4) > max)
        return NULL;
    gsize end = MIN(n, (gsize)pd_le_u32(bytes) + 4);
    max = pd_le_u32(bytes + 4);
    if (pd_le_u32(bytes + 8) == PLAIN)
        return g_byte_array_append(g_byte_array_new(), bytes + HEAD_BYTES,
                                   (guint)MIN(end - HEAD_BYTES, max));
    if (pd_le_u32(bytes + 8) != PACKED)
        return NULL;
    guint8 window[RTF_WINDOW] = {0};
    guint at = sizeof rtf_start - 1;
    memcpy(window, rtf_start, at);
    GByteArray *out = g_byte_array_new();
    gboolean more = TRUE;
    for (gsize i = HEAD_BYTES; more && i < end && out->len < max;) {
        guint flags = bytes[i++];
        for (int bit = 0; more && bit < 8 && i < end && out->len < max; bit++) {
            if (!(flags & 1u << bit)) {
                g_byte_array_append(out, bytes + i, 1);
                window[at] = bytes[i++];
                at = (at + 1) % RTF_WINDOW;
                continue;
            }
            more = i + 1 < end &&
                   copy_reference(out, window, &at, (guint)bytes[i] << 8 | bytes[i + 1], max);
            i += 2;
        }
    }
    return out;
}

/* --- to MIME ------------------------------------------------------------------------------- */

static void
put(GByteArray *out, const char *text)
{
    g_byte_array_append(out, (const guint8 *)text, (guint)strlen(text));
}

/* A header line, UTF-8 as it is (RFC 6532): the reader of mails takes that. */
static void
put_header(GByteArray *out, const char *field, const char *value)
{
    g_autofree char *line = g_strdup_printf("%s: %s", field, value ? value : "");
    for (char *c = line; *c; c++)
        if ((guchar)*c < 0x20)
            *c = ' ';
    if (value && *value) {
        put(out, line);
        put(out, "\n");
    }
}

char *
pd_mapi_mailbox(const char *name, const char *address)
{
    if (!address || !strchr(address, '@')) /* an X.500 name says nothing to people */
        return g_strdup(name ? name : address ? address : "");
    if (!name)
        return g_strdup(address);
    if (strstr(name, address)) /* "Kay Smith <kay@example.org>" */
        return g_strdup(name);
    GString *text = g_string_new("\"");
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            g_string_append_c(text, '\\');
        g_string_append_c(text, *name);
    }
    g_string_append_printf(text, "\" <%s>", address);
    return g_string_free(text, FALSE);
}

static char *
sender_of(const PdMapiMessage *message)
{
    const char *name = string_of(message, ID_SENT_FOR_NAME);
    const char *address = string_of(message, ID_SENT_FOR_SMTP);
    if (!name)
        name = string_of(message, ID_SENDER_NAME);
    if (!address)
        address = string_of(message, ID_SENDER_SMTP);
    if (!address || !strchr(address, '@'))
        address = string_of(message, ID_SENT_FOR_ADDRESS);
    if (!address || !strchr(address, '@'))
        address = string_of(message, ID_SENDER_ADDRESS);
    return pd_mapi_mailbox(name, address);
}

/* A header of the block that came with the message over the network; NULL: it is not there. */
static char *
transport_header(const PdMapiMessage *message, const char *field)
{
    const char *block = string_of(message, ID_TRANSPORT_HEADERS);
    g_auto(GStrv) lines = g_strsplit(block ? block : "", "\n", -1);
    gsize n = strlen(field);
    for (guint i = 0; lines[i]; i++) {
        if (g_ascii_strncasecmp(lines[i], field, n) != 0 || lines[i][n] != ':')
            continue;
        GString *value = g_string_new(lines[i] + n + 1);
        while (lines[i + 1] && (lines[i + 1][0] == ' ' || lines[i + 1][0] == '\t'))
            g_string_append(value, lines[++i]);
        return g_strstrip(g_string_free(value, FALSE));
    }
    return NULL;
}

static void
put_field(GByteArray *out, const PdMapiMessage *message, const char *field, guint id)
{
    g_autofree char *carried = transport_header(message, field);
    put_header(out, field, carried && *carried ? carried : string_of(message, id));
}

static void
put_date(GByteArray *out, const PdMapiMessage *message)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    g_autofree char *carried = transport_header(message, "Date");
    g_autoptr(GDateTime) when = message->sent ? pd_mapi_time(message->sent) : NULL;
    if (carried && *carried) {
        put_header(out, "Date", carried);
    } else if (when) {
        g_autofree char *date = g_strdup_printf(
            "%d %s %04d %02d:%02d:%02d +0000", g_date_time_get_day_of_month(when),
            months[g_date_time_get_month(when) - 1], g_date_time_get_year(when),
            g_date_time_get_hour(when), g_date_time_get_minute(when), g_date_time_get_second(when));
        put_header(out, "Date", date);
    }
}

/* In lines of 76 letters: GMime reads longer ones, but others look at what we made too. */
static void
put_base64(GByteArray *out, const guint8 *bytes, gsize n)
{
    enum { LINE_BYTES = 57 };
    put(out, "Content-Transfer-Encoding: base64\n\n");
    for (gsize i = 0; i < n; i += LINE_BYTES) {
        g_autofree char *line = g_base64_encode(bytes + i, MIN(n - i, LINE_BYTES));
        put(out, line);
        put(out, "\n");
    }
}

static void
put_name(GByteArray *out, const char *name)
{
    g_autofree char *clean = g_strdup(name ? name : "");
    g_strdelimit(clean, "\"\\\r\n", '_');
    if (*clean) {
        g_autofree char *value = g_strdup_printf("attachment; filename=\"%s\"", clean);
        put_header(out, "Content-Disposition", value);
    }
}

static void
put_attachment(GByteArray *out, const PdMapiAttachment *attachment, const char *boundary)
{
    put(out, "\n--");
    put(out, boundary);
    put(out, "\n");
    if (attachment->message) {
        g_autoptr(GByteArray) inner = pd_mapi_to_mime(attachment->message);
        put(out, "Content-Type: message/rfc822\n\n");
        g_byte_array_append(out, inner->data, inner->len);
        return;
    }
    const char *type = attachment->type;
    gboolean usable = type && strchr(type, '/') && !strpbrk(type, " \t\r\n;") &&
                      !g_str_has_prefix(type, "multipart/") && !g_str_has_prefix(type, "message/");
    put_header(out, "Content-Type", usable ? type : "application/octet-stream");
    put_name(out, attachment->name);
    put_header(out, "Content-Description", attachment->description);
    put_base64(out, attachment->bytes ? attachment->bytes->data : NULL,
               attachment->bytes ? attachment->bytes->len : 0);
}

static gboolean
begins_with(const GByteArray *bytes, const char *text)
{
    gsize n = strlen(text);
    return bytes->len >= n && g_ascii_strncasecmp((const char *)bytes->data, text, n) == 0;
}

/* What was signed in the clear: the only attachment, with its own MIME headers ([MS-OXOSMIME]
 * 2.1.3.1).  NULL: there is none. */
static const GByteArray *
signed_entity(const PdMapiMessage *message)
{
    const PdMapiAttachment *only =
        message->attachments->len == 1 ? g_ptr_array_index(message->attachments, 0) : NULL;
    if (!only || !only->bytes)
        return NULL;
    gboolean declared = only->type && strcmp(only->type, "multipart/signed") == 0;
    gboolean has_head =
        begins_with(only->bytes, "Content-") || begins_with(only->bytes, "MIME-Version:");
    return (declared || is_smime(message)) && has_head ? only->bytes : NULL;
}

static void
put_details(GByteArray *out, const PdMapiMessage *message, const char *boundary)
{
    g_autofree char *head =
        g_strdup_printf("\n--%s\nContent-Type: text/plain; charset=utf-8\n", boundary);
    put(out, head);
    put_base64(out, (const guint8 *)message->details->str, message->details->len);
}

/* The text in its best forms: mail.c chooses among alternatives. */
static void
put_body(GByteArray *out, const PdMapiMessage *message, const char *boundary)
{
    const char *plain = string_of(message, ID_BODY);
    g_autofree char *inner = g_strconcat("=_text", boundary + strlen("=_part"), NULL);
    g_autofree char *head = g_strdup_printf("\n--%s\nContent-Type: multipart/alternative;"
                                            " boundary=\"%s\"\n",
                                            boundary, inner);
    put(out, head);
    if (plain) {
        g_autofree char *part =
            g_strdup_printf("\n--%s\nContent-Type: text/plain; charset=utf-8\n", inner);
        put(out, part);
        put_base64(out, (const guint8 *)plain, strlen(plain));
    }
    if (message->html) {
        g_autofree char *charset = codepage_name(message->html_codepage);
        g_autofree char *part =
            g_strdup_printf("\n--%s\nContent-Type: text/html%s%s\n", inner,
                            charset ? "; charset=" : "", charset ? charset : "");
        put(out, part);
        put_base64(out, message->html->data, message->html->len);
    }
    g_autofree char *end = g_strdup_printf("\n--%s--\n", inner);
    put(out, end);
}

static void
put_recipients(GByteArray *out, const PdMapiMessage *message, const char *field, int i, guint id)
{
    put_header(out, field,
               message->recipients[i]->len ? message->recipients[i]->str : string_of(message, id));
}

/* Does what was signed, of it or of messages in it, have this text? */
static gboolean
has_signed(const PdMapiMessage *message, const char *text)
{
    const GByteArray *entity = signed_entity(message);
    gboolean found = entity && memmem(entity->data, entity->len, text, strlen(text));
    for (guint i = 0; i < message->attachments->len && !found; i++) {
        const PdMapiAttachment *attachment = g_ptr_array_index(message->attachments, i);
        found = attachment->message && has_signed(attachment->message, text);
    }
    return found;
}

static char *
boundary_text(guint number)
{
    return g_strdup_printf("=_part_%03u", number);
}

/* Of a boundary that is in none of the parts: they are in base64, those of messages in it have
 * smaller numbers, and what was signed is looked through. */
static guint
boundary_number(const PdMapiMessage *message)
{
    guint number = 0;
    for (guint i = 0; i < message->attachments->len; i++) {
        const PdMapiAttachment *attachment = g_ptr_array_index(message->attachments, i);
        if (attachment->message)
            number = MAX(number, 1 + boundary_number(attachment->message));
    }
    for (;; number++) {
        g_autofree char *text = boundary_text(number);
        if (!has_signed(message, text))
            return number;
    }
}

GByteArray *
pd_mapi_to_mime(const PdMapiMessage *message)
{
    GByteArray *out = g_byte_array_new();
    const GByteArray *entity = signed_entity(message);
    g_autofree char *from = sender_of(message);
    g_autofree char *boundary = boundary_text(boundary_number(message));
    put_header(out, "From", from);
    put_recipients(out, message, "To", 0, ID_DISPLAY_TO);
    put_recipients(out, message, "Cc", 1, ID_DISPLAY_CC);
    put_recipients(out, message, "Bcc", 2, ID_DISPLAY_BCC);
    put_date(out, message);
    put_header(out, "Subject", string_of(message, ID_SUBJECT));
    put_field(out, message, "Message-ID", ID_MESSAGE_ID);
    put_field(out, message, "In-Reply-To", ID_IN_REPLY_TO);
    put_field(out, message, "References", ID_REFERENCES);
    put(out, "MIME-Version: 1.0\n");
    g_autofree char *type = g_strdup_printf("multipart/mixed; boundary=\"%s\"", boundary);
    put_header(out, "Content-Type", type);
    if (message->details->len)
        put_details(out, message, boundary);
    if (string_of(message, ID_BODY) || message->html)
        put_body(out, message, boundary);
    if (message->rtf && !string_of(message, ID_BODY) && !message->html) {
        PdMapiAttachment body = {
            .name = (char *)"body.rtf", .type = (char *)"application/rtf", .bytes = message->rtf};
        put_attachment(out, &body, boundary);
    }
    if (entity) {
        g_autofree char *head = g_strdup_printf("\n--%s\n", boundary);
        put(out, head);
        g_byte_array_append(out, entity->data, entity->len);
    }
    for (guint i = 0; !entity && i < message->attachments->len; i++)
        put_attachment(out, g_ptr_array_index(message->attachments, i), boundary);
    g_autofree char *end = g_strdup_printf("\n--%s--\n", boundary);
    put(out, end);
    return out;
}
