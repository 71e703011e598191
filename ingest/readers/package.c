/*
 * See package.h.  A package is read in one pass: its texts into memory, as far as the limits of
 * ratio and size let it, its pictures and the like not at all.
 */
#include "ingest/readers/package.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/error.h"
#include "ingest/readers/container.h"

#define CONTENT_TYPES "[Content_Types].xml"
/* What names the kind of a package is short. */
#define MARK_BYTES_MAX (1u << 20)

struct PdPackage {
    GHashTable *files; /* path -> GBytes */
};

/* --- bytes ------------------------------------------------------------------------------------ */

typedef struct {
    GByteArray *bytes;
    guint64 n_max;
} Slurp;

static gboolean
on_bytes(const guint8 *bytes, gsize n, gpointer user_data, GError **error)
{
    Slurp *slurp = user_data;
    if (slurp->bytes->len + (guint64)n > MIN(slurp->n_max, G_MAXINT)) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "it unpacks to more than the limits of ratio and size allow");
        return FALSE;
    }
    g_byte_array_append(slurp->bytes, bytes, (guint)n);
    return TRUE;
}

/* NULL: over the limit. */
static GBytes *
read_member(PdContainer *container, guint64 n_max, char **damage, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    Slurp slurp = {bytes, n_max};
    if (!pd_container_read(container, on_bytes, &slurp, damage, error))
        return NULL;
    return g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
}

/* --- the kind --------------------------------------------------------------------------------- */

/* The kind of an Office Open XML package is the type of its main part. */
static const char *
kind_of_content_types(GBytes *bytes)
{
    static const char *const mains[][2] = {
        {"wordprocessingml.document.main+xml", "docx"},
        {"wordprocessingml.template.main+xml", "docx"},
        {"ms-word.document.macroEnabled.main+xml", "docx"},
        {"ms-word.template.macroEnabledTemplate.main+xml", "docx"},
        {"spreadsheetml.sheet.main+xml", "xlsx"},
        {"spreadsheetml.template.main+xml", "xlsx"},
        {"ms-excel.sheet.macroEnabled.main+xml", "xlsx"},
        {"ms-excel.template.macroEnabled.main+xml", "xlsx"},
        {"presentationml.presentation.main+xml", "pptx"},
        {"presentationml.template.main+xml", "pptx"},
        {"presentationml.slideshow.main+xml", "pptx"},
        {"ms-powerpoint.presentation.macroEnabled.main+xml", "pptx"},
        {"ms-powerpoint.template.macroEnabled.main+xml", "pptx"},
        {"ms-powerpoint.slideshow.macroEnabled.main+xml", "pptx"},
        {"ms-excel.sheet.binary.macroEnabled.main", PD_PACKAGE_UNREAD},
        {"ms-visio.drawing.main+xml", PD_PACKAGE_UNREAD},
        {"ms-visio.drawing.macroEnabled.main+xml", PD_PACKAGE_UNREAD},
    };
    gsize n;
    const guint8 *data = g_bytes_get_data(bytes, &n);
    g_autoptr(PdXml) xml = pd_xml_new(data, n);
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event != PD_XML_OPEN || !pd_xml_is(xml, "Override"))
            continue;
        g_autofree char *type = pd_xml_attribute(xml, "ContentType");
        for (gsize i = 0; type && i < G_N_ELEMENTS(mains); i++) {
            if (g_str_has_suffix(type, mains[i][0]))
                return mains[i][1];
        }
    }
    return NULL;
}

/* OpenDocument and EPUB: a file "mimetype" holds it. */
static const char *
kind_of_mimetype(GBytes *bytes)
{
    static const char *const types[][2] = {
        {"application/vnd.oasis.opendocument.text", "odt"},
        {"application/vnd.oasis.opendocument.text-template", "odt"},
        {"application/epub+zip", "epub"},
    };
    gsize n;
    const char *data = g_bytes_get_data(bytes, &n);
    g_autofree char *type = g_strndup(data ? data : "", n);
    g_strstrip(type);
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        if (strcmp(type, types[i][0]) == 0)
            return types[i][1];
    }
    return g_str_has_prefix(type, "application/vnd.oasis.opendocument.") ? PD_PACKAGE_UNREAD : NULL;
}

const char *
pd_package_kind(int fd, const PdReadLimits *limits)
{
    g_autoptr(PdContainer) container = pd_container_open("zip", fd);
    const PdMember *member;
    g_autofree char *damage = NULL;
    for (guint i = 0;
         i < limits->archive_entries_max && pd_container_next(container, &member, &damage); i++) {
        gboolean is_open_xml = strcmp(member->path, CONTENT_TYPES) == 0;
        if (member->type != PD_MEMBER_FILE || member->encrypted ||
            (!is_open_xml && strcmp(member->path, "mimetype") != 0))
            continue;
        g_autofree char *ignored = NULL;
        g_autoptr(GBytes) bytes = read_member(container, MARK_BYTES_MAX, &ignored, NULL);
        if (!bytes)
            return NULL;
        return is_open_xml ? kind_of_content_types(bytes) : kind_of_mimetype(bytes);
    }
    return NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

static gboolean
is_wanted(const PdMember *member)
{
    static const char *const suffixes[] = {".xml", ".rels", ".opf", ".xhtml", ".html", ".htm"};
    for (gsize i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        gsize n = strlen(member->path);
        gsize n_suffix = strlen(suffixes[i]);
        if (n > n_suffix && g_ascii_strcasecmp(member->path + n - n_suffix, suffixes[i]) == 0)
            return TRUE;
    }
    return FALSE;
}

PdPackage *
pd_package_new(void)
{
    PdPackage *package = g_new0(PdPackage, 1);
    package->files =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    return package;
}

gboolean
pd_package_add(PdPackage *package, const char *path, GBytes *bytes)
{
    if (!g_hash_table_contains(package->files, path))
        return g_hash_table_insert(package->files, g_strdup(path), bytes);
    g_bytes_unref(bytes);
    return FALSE;
}

/* Read one member into the package, or tell why not. */
static gboolean
load(PdPackage *package, PdContainer *container, const PdMember *member, guint64 *left,
     PdEmitter *emitter, GError **error)
{
    g_autofree char *damage = NULL;
    g_autoptr(GError) problem = NULL;
    if (member->encrypted)
        return pd_emit_ledger(emitter, "partial", "", member->n_bytes, error, "%s is encrypted",
                              member->path);
    GBytes *bytes = read_member(container, *left, &damage, &problem);
    if (!bytes)
        return pd_emit_ledger(emitter, "partial", "", member->n_bytes, error, "%s is not read: %s",
                              member->path, problem->message);
    *left -= g_bytes_get_size(bytes);
    if (!pd_package_add(package, member->path, bytes))
        return pd_emit_ledger(emitter, "partial", "", member->n_bytes, error,
                              "%s is in it twice: the first is read", member->path);
    return !damage || pd_emit_ledger(emitter, "partial", "", member->n_bytes, error,
                                     "%s is damaged: %s", member->path, damage);
}

PdPackage *
pd_package_open(int fd, const char *name, PdEmitter *emitter, GError **error)
{
    struct stat status;
    const PdReadLimits *limits = emitter->limits;
    g_autoptr(PdPackage) package = pd_package_new();
    g_autoptr(PdContainer) container = pd_container_open("zip", fd);
    const PdMember *member;
    g_autofree char *damage = NULL;
    guint n_files = 0;
    guint64 n_in = fstat(fd, &status) == 0 ? (guint64)MAX(status.st_size, 0) : 0;
    guint64 left =
        MIN(PD_UNPACK_FREE_BYTES + n_in * limits->unpack_ratio_max, limits->file_bytes_max);
    while (pd_container_next(container, &member, &damage)) {
        if (member->type != PD_MEMBER_FILE)
            continue;
        if (n_files++ >= limits->archive_entries_max) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                        "%s is not read: more than the limit of %u files in it", name,
                        limits->archive_entries_max);
            return NULL;
        }
        if (is_wanted(member) && !load(package, container, member, &left, emitter, error))
            return NULL;
    }
    if (damage && !pd_emit_ledger(emitter, "partial", "", (gint64)n_in, error,
                                  "damaged (%s): what follows in it was not read", damage))
        return NULL;
    return g_steal_pointer(&package);
}

void
pd_package_free(PdPackage *package)
{
    if (!package)
        return;
    g_clear_pointer(&package->files, g_hash_table_unref);
    g_free(package);
}

GBytes *
pd_package_file(const PdPackage *package, const char *path)
{
    return path ? g_hash_table_lookup(package->files, path) : NULL;
}

PdXml *
pd_package_xml(const PdPackage *package, const char *path)
{
    GBytes *bytes = pd_package_file(package, path);
    gsize n = 0;
    const guint8 *data = bytes ? g_bytes_get_data(bytes, &n) : NULL;
    return pd_xml_new(data, n);
}

gboolean
pd_package_tell_damage(const PdXml *xml, const char *path, PdEmitter *emitter, GError **error)
{
    const char *damage = pd_xml_damage(xml);
    return !damage || pd_emit_ledger(emitter, "partial", "", -1, error,
                                     "damaged (%s): %s was read up to there", damage, path);
}

/* --- relations -------------------------------------------------------------------------------- */

char *
pd_package_resolve(const char *from, const char *target)
{
    const char *slash = strrchr(from, '/');
    g_autofree char *folder =
        *target != '/' && slash ? g_strndup(from, (gsize)(slash - from)) : g_strdup("");
    g_autofree char *joined = g_strconcat(folder, "/", target, NULL);
    g_auto(GStrv) steps = g_strsplit(joined, "/", -1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    for (char **step = steps; *step; step++) {
        if (strcmp(*step, "..") == 0 && kept->len)
            g_ptr_array_set_size(kept, (gint)kept->len - 1);
        else if (**step && strcmp(*step, ".") != 0 && strcmp(*step, "..") != 0)
            g_ptr_array_add(kept, *step);
    }
    g_ptr_array_add(kept, NULL);
    return g_strjoinv("/", (char **)kept->pdata);
}

static void
relation_free(gpointer data)
{
    PdRelation *relation = data;
    g_free(relation->id);
    g_free(relation->type);
    g_free(relation->target);
    g_free(relation);
}

GPtrArray *
pd_package_relations(const PdPackage *package, const char *from)
{
    GPtrArray *relations = g_ptr_array_new_with_free_func(relation_free);
    const char *slash = strrchr(from, '/');
    g_autofree char *path =
        slash ? g_strdup_printf("%.*s_rels/%s.rels", (int)(slash + 1 - from), from, slash + 1)
              : g_strdup_printf("_rels/%s.rels", from);
    g_autoptr(PdXml) xml = pd_package_xml(package, path);
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event != PD_XML_OPEN || !pd_xml_is(xml, "Relationship"))
            continue;
        g_autofree char *type = pd_xml_attribute(xml, "Type");
        g_autofree char *target = pd_xml_attribute(xml, "Target");
        g_autofree char *mode = pd_xml_attribute(xml, "TargetMode");
        const char *last = type ? strrchr(type, '/') : NULL;
        if (!target || !last)
            continue;
        PdRelation *relation = g_new0(PdRelation, 1);
        relation->id = pd_xml_attribute(xml, "Id");
        relation->type = g_strdup(last + 1);
        relation->external = mode && strcmp(mode, "External") == 0;
        relation->target = relation->external ? g_strdup(target) : pd_package_resolve(from, target);
        g_ptr_array_add(relations, relation);
    }
    return relations;
}

const PdRelation *
pd_relation_find(const GPtrArray *relations, const char *type, const char *id)
{
    for (guint i = 0; i < relations->len; i++) {
        const PdRelation *relation = g_ptr_array_index(relations, i);
        if ((!type || strcmp(relation->type, type) == 0) &&
            (!id || g_strcmp0(relation->id, id) == 0))
            return relation;
    }
    return NULL;
}

/* --- the document ----------------------------------------------------------------------------- */

PdDocument *
pd_package_document(PdDocumentKind kind, int fd)
{
    PdDocument *document = pd_document_new(kind, "");
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize n_digest = sizeof document->raw_sha256;
    guint8 buffer[65536];
    ssize_t n;
    document->raw_bytes = 0;
    while ((n = pread(fd, buffer, sizeof buffer, (off_t)document->raw_bytes)) > 0) {
        g_checksum_update(checksum, buffer, n);
        document->raw_bytes += n;
    }
    g_checksum_get_digest(checksum, document->raw_sha256, &n_digest);
    return document;
}

gint64
pd_parse_iso_date(const char *text)
{
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) date = text ? g_date_time_new_from_iso8601(text, utc) : NULL;
    return date ? g_date_time_to_unix(date) : G_MININT64;
}

void
pd_package_core_properties(const PdPackage *package, PdDocument *document)
{
    g_autoptr(GPtrArray) relations = pd_package_relations(package, "");
    const PdRelation *core = pd_relation_find(relations, "core-properties", NULL);
    g_autoptr(PdXml) xml = pd_package_xml(package, core ? core->target : "docProps/core.xml");
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event != PD_XML_OPEN)
            continue;
        if (pd_xml_is(xml, "title") && !document->title)
            document->title = pd_xml_element_text(xml);
        else if (pd_xml_is(xml, "creator") && !document->author)
            document->author = pd_xml_element_text(xml);
        else if (pd_xml_is(xml, "modified") ||
                 (pd_xml_is(xml, "created") && document->date_utc == G_MININT64)) {
            g_autofree char *text = pd_xml_element_text(xml);
            document->date_utc = pd_parse_iso_date(text);
        }
    }
}
