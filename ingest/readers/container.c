/*
 * Members of archives through libarchive, which is given the descriptor's bytes and no names of
 * files: nothing is ever written, whatever a member is called.
 *
 * A member's path is data.  What would lead out of a folder ("..", a leading slash, a drive) is
 * taken off and the path as it was is kept beside, so that it can be told.
 */
#include "ingest/readers/container.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ingest/readers/charset.h"

#define BLOCK_BYTES (64u << 10)

struct PdContainer {
    struct archive *archive;
    int fd;
    gboolean is_zip;
    guint8 *block; /* BLOCK_BYTES */
    PdMember member;
};

/* --- the file --------------------------------------------------------------------------------- */

static la_ssize_t
on_read(struct archive *archive, void *user_data, const void **bytes)
{
    PdContainer *container = user_data;
    ssize_t n;
    do
        n = read(container->fd, container->block, BLOCK_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        archive_set_error(archive, errno, "it cannot be read on: %s", g_strerror(errno));
    *bytes = container->block;
    return n;
}

static la_int64_t
on_seek(struct archive *archive, void *user_data, la_int64_t offset, int whence)
{
    off_t at = lseek(((PdContainer *)user_data)->fd, offset, whence);
    if (at >= 0)
        return at;
    archive_set_error(archive, errno, "it cannot be read there: %s", g_strerror(errno));
    return ARCHIVE_FATAL;
}

static la_int64_t
on_skip(struct archive *archive, void *user_data, la_int64_t n)
{
    off_t at = lseek(((PdContainer *)user_data)->fd, n, SEEK_CUR);
    return at >= 0 ? n : on_seek(archive, user_data, 0, SEEK_CUR);
}

PdContainer *
pd_container_open(const char *kind, int fd)
{
    PdContainer *container = g_new0(PdContainer, 1);
    container->archive = archive_read_new();
    container->fd = fd;
    container->is_zip = strcmp(kind, "zip") == 0;
    container->block = g_malloc(BLOCK_BYTES);
    lseek(fd, 0, SEEK_SET);
    if (container->is_zip)
        archive_read_support_format_zip(container->archive);
    else if (strcmp(kind, "7z") == 0)
        archive_read_support_format_7zip(container->archive);
    else
        archive_read_support_format_tar(container->archive);
    archive_read_set_read_callback(container->archive, on_read);
    archive_read_set_seek_callback(container->archive, on_seek);
    archive_read_set_skip_callback(container->archive, on_skip);
    archive_read_set_callback_data(container->archive, container);
    /* What is wrong with it, the first call of pd_container_next says. */
    archive_read_open1(container->archive);
    return container;
}

static void
forget_member(PdContainer *container)
{
    g_free(container->member.path);
    g_free(container->member.outside);
    g_free(container->member.target);
    memset(&container->member, 0, sizeof container->member);
}

void
pd_container_close(PdContainer *container)
{
    if (!container)
        return;
    forget_member(container);
    archive_read_free(container->archive);
    g_free(container->block);
    g_free(container);
}

guint64
pd_container_position(PdContainer *container)
{
    off_t at = lseek(container->fd, 0, SEEK_CUR);
    return at > 0 ? (guint64)at : 0;
}

/* --- members ---------------------------------------------------------------------------------- */

/* A name of any encoding as one line of UTF-8.  Names in a zip without the mark of UTF-8 are in
 * code page 437 (APPNOTE.TXT, appendix D), if they are not UTF-8 all the same. */
static char *
clean_name(const PdContainer *container, const char *name)
{
    PdCharsetInfo info;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *dos = container->is_zip && !g_utf8_validate(name, -1, NULL)
                               ? g_convert(name, -1, "UTF-8", "CP437", NULL, NULL, NULL)
                               : NULL;
    if (dos)
        g_string_append(text, dos);
    else
        pd_charset_decode((const guint8 *)name, strlen(name), NULL, text, &info);
    for (gsize i = 0; i < text->len; i++) {
        if ((guchar)text->str[i] < 0x20 || text->str[i] == 0x7f)
            text->str[i] = ' ';
    }
    return g_strndup(text->str, text->len);
}

static void
set_path(PdContainer *container, const char *name)
{
    PdMember *member = &container->member;
    g_autofree char *clean = clean_name(container, name ? name : "");
    g_autoptr(GString) path = g_string_new(NULL);
    gboolean drive = g_ascii_isalpha(clean[0]) && clean[1] == ':';
    gboolean leads_out = clean[0] == '/' || clean[0] == '\\' || drive;
    g_auto(GStrv) steps = g_strsplit_set(drive ? clean + 2 : clean, "/\\", -1);
    for (char **step = steps; *step; step++) {
        if (strcmp(*step, "..") == 0)
            leads_out = TRUE;
        else if (**step && strcmp(*step, ".") != 0)
            g_string_append_printf(path, "%s%s", path->len ? "/" : "", *step);
    }
    member->path = g_strdup(path->len ? path->str : "unnamed");
    member->outside = leads_out ? g_steal_pointer(&clean) : NULL;
}

static void
set_type(PdContainer *container, struct archive_entry *entry)
{
    PdMember *member = &container->member;
    const char *hard_link = archive_entry_hardlink(entry);
    const char *symlink = archive_entry_symlink(entry);
    const char *target = hard_link ? hard_link : symlink;
    member->target = target ? clean_name(container, target) : NULL;
    if (hard_link)
        member->type = PD_MEMBER_HARD_LINK;
    else if (archive_entry_filetype(entry) == AE_IFLNK)
        member->type = PD_MEMBER_LINK;
    else if (archive_entry_filetype(entry) == AE_IFDIR)
        member->type = PD_MEMBER_FOLDER;
    else if (archive_entry_filetype(entry) == AE_IFREG || archive_entry_filetype(entry) == 0)
        member->type = PD_MEMBER_FILE;
    else
        member->type = PD_MEMBER_OTHER;
}

/* libarchive's own words, for people. */
static char *
say_damage(PdContainer *container)
{
    const char *text = archive_error_string(container->archive);
    return text && *text ? g_utf8_make_valid(text, -1) : g_strdup("it cannot be unpacked");
}

gboolean
pd_container_next(PdContainer *container, const PdMember **member, char **damage)
{
    struct archive_entry *entry;
    int rc;
    *damage = NULL;
    forget_member(container);
    do
        rc = archive_read_next_header(container->archive, &entry);
    while (rc == ARCHIVE_RETRY);
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
        if (rc != ARCHIVE_EOF)
            *damage = say_damage(container);
        return FALSE;
    }
    /* A name that does not fit the locale is had in one of the two forms only. */
    const char *name = archive_entry_pathname(entry);
    set_path(container, name ? name : archive_entry_pathname_utf8(entry));
    set_type(container, entry);
    container->member.encrypted = archive_entry_is_encrypted(entry) > 0;
    container->member.n_bytes =
        archive_entry_size_is_set(entry) ? MAX(archive_entry_size(entry), -1) : -1;
    *member = &container->member;
    return TRUE;
}

/* What a hole of a sparse file holds. */
static gboolean
send_zeros(guint64 n, PdUnpackSink sink, gpointer user_data, GError **error)
{
    static const guint8 zeros[BLOCK_BYTES];
    for (; n; n -= MIN(n, sizeof zeros)) {
        if (!sink(zeros, (gsize)MIN(n, sizeof zeros), user_data, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
pd_container_read(PdContainer *container, PdUnpackSink sink, gpointer user_data, char **damage,
                  GError **error)
{
    guint64 at = 0;
    *damage = NULL;
    for (;;) {
        const void *bytes = NULL;
        size_t n = 0;
        la_int64_t offset = (la_int64_t)at;
        int rc = archive_read_data_block(container->archive, &bytes, &n, &offset);
        gboolean whole = rc == ARCHIVE_OK || rc == ARCHIVE_EOF;
        if ((whole || rc == ARCHIVE_WARN) && (guint64)offset > at) {
            if (!send_zeros((guint64)offset - at, sink, user_data, error))
                return FALSE;
            at = (guint64)offset;
        }
        if ((whole || rc == ARCHIVE_WARN) && bytes && n) {
            if (!sink(bytes, n, user_data, error))
                return FALSE;
            at += n;
        }
        if (!whole && rc != ARCHIVE_RETRY) {
            *damage = say_damage(container);
            return TRUE;
        }
        if (rc == ARCHIVE_EOF)
            return TRUE;
    }
}
