/*
 * Frames: building them, taking them apart, and the request.  See frame.h for the form.
 */
#include "ingest/frame.h"

#include <string.h>

#include "ingest/error.h"

#define NULL_STRING 0xFFFFFFFFu

void
pd_frame_begin(GByteArray *frame, PdFrameType type)
{
    const guint8 head[PD_FRAME_HEAD_BYTES] = {0, 0, 0, 0, (guint8)type, 0, 0, 0};
    g_byte_array_set_size(frame, 0);
    g_byte_array_append(frame, head, sizeof head);
}

void
pd_frame_put_u32(GByteArray *frame, guint32 value)
{
    value = GUINT32_TO_LE(value);
    g_byte_array_append(frame, (const guint8 *)&value, sizeof value);
}

void
pd_frame_put_u64(GByteArray *frame, guint64 value)
{
    value = GUINT64_TO_LE(value);
    g_byte_array_append(frame, (const guint8 *)&value, sizeof value);
}

void
pd_frame_put_bytes(GByteArray *frame, const void *bytes, gsize n)
{
    g_assert(n < NULL_STRING);
    pd_frame_put_u32(frame, (guint32)n);
    if (n)
        g_byte_array_append(frame, bytes, (guint)n);
}

void
pd_frame_put_string(GByteArray *frame, const char *string, gssize n)
{
    if (!string)
        pd_frame_put_u32(frame, NULL_STRING);
    else
        pd_frame_put_bytes(frame, string, n < 0 ? strlen(string) : (gsize)n);
}

void
pd_frame_end(GByteArray *frame)
{
    g_assert(frame->len >= PD_FRAME_HEAD_BYTES);
    guint32 n = GUINT32_TO_LE((guint32)(frame->len - PD_FRAME_HEAD_BYTES));
    memcpy(frame->data, &n, sizeof n);
}

static const guint8 *
take(PdFrameCursor *cursor, gsize n)
{
    if (cursor->bad || (gsize)(cursor->end - cursor->at) < n) {
        cursor->bad = TRUE;
        return NULL;
    }
    const guint8 *at = cursor->at;
    cursor->at += n;
    return at;
}

guint32
pd_frame_get_u32(PdFrameCursor *cursor)
{
    guint32 value = 0;
    const guint8 *at = take(cursor, sizeof value);
    if (at)
        memcpy(&value, at, sizeof value);
    return GUINT32_FROM_LE(value);
}

guint64
pd_frame_get_u64(PdFrameCursor *cursor)
{
    guint64 value = 0;
    const guint8 *at = take(cursor, sizeof value);
    if (at)
        memcpy(&value, at, sizeof value);
    return GUINT64_FROM_LE(value);
}

const guint8 *
pd_frame_get_bytes(PdFrameCursor *cursor, gsize *n)
{
    *n = pd_frame_get_u32(cursor);
    const guint8 *at = take(cursor, *n);
    if (!at)
        *n = 0;
    return at;
}

char *
pd_frame_get_string(PdFrameCursor *cursor, gsize max)
{
    guint32 n = pd_frame_get_u32(cursor);
    if (cursor->bad || n == NULL_STRING)
        return NULL;
    const guint8 *at = n <= max ? take(cursor, n) : NULL;
    if (!at || memchr(at, 0, n) || !g_utf8_validate_len((const char *)at, n, NULL)) {
        cursor->bad = TRUE;
        return NULL;
    }
    return g_strndup((const char *)at, n);
}

void
pd_worker_request_free(PdWorkerRequest *request)
{
    if (!request)
        return;
    g_free(request->kind);
    g_free(request->name);
    g_free(request->path);
    g_free(request->ocr_languages);
    g_free(request->git_revision);
    g_free(request->git_diff);
    g_free(request->key_prefix);
    g_strfreev(request->include);
    g_strfreev(request->exclude);
    g_free(request->temp_dir);
    g_clear_pointer(&request->known, g_hash_table_unref);
    g_clear_pointer(&request->files, g_ptr_array_unref);
    g_free(request);
}

PdWorkerFile *
pd_worker_file_new(const char *kind, const char *key, guint64 n_bytes)
{
    PdWorkerFile *file = g_new0(PdWorkerFile, 1);
    file->kind = g_strdup(kind);
    file->key = g_strdup(key);
    file->n_bytes = n_bytes;
    return file;
}

void
pd_worker_file_free(PdWorkerFile *file)
{
    if (!file)
        return;
    g_free(file->kind);
    g_free(file->key);
    g_free(file);
}

static void
put_files(GByteArray *frame, const GPtrArray *files)
{
    guint n = files ? files->len : 0;
    pd_frame_put_u32(frame, n);
    for (guint i = 0; i < n; i++) {
        const PdWorkerFile *file = g_ptr_array_index(files, i);
        pd_frame_put_string(frame, file->kind, -1);
        pd_frame_put_string(frame, file->key, -1);
        pd_frame_put_u64(frame, file->n_bytes);
    }
}

static GPtrArray *
get_files(PdFrameCursor *cursor)
{
    GPtrArray *files = g_ptr_array_new_with_free_func((GDestroyNotify)pd_worker_file_free);
    for (guint32 left = pd_frame_get_u32(cursor); left && !cursor->bad; left--) {
        g_autoptr(PdWorkerFile) file = pd_worker_file_new(NULL, NULL, 0);
        file->kind = pd_frame_get_string(cursor, PD_FRAME_STRING_BYTES_MAX);
        file->key = pd_frame_get_string(cursor, PD_FRAME_STRING_BYTES_MAX);
        file->n_bytes = pd_frame_get_u64(cursor);
        cursor->bad |= !file->kind || !file->key;
        g_ptr_array_add(files, g_steal_pointer(&file));
    }
    return files;
}

static void
put_strings(GByteArray *frame, char *const *strings)
{
    guint n = strings ? g_strv_length((char **)strings) : 0;
    pd_frame_put_u32(frame, n);
    for (guint i = 0; i < n; i++)
        pd_frame_put_string(frame, strings[i], -1);
}

static char **
get_strings(PdFrameCursor *cursor)
{
    GPtrArray *strings = g_ptr_array_new();
    for (guint32 left = pd_frame_get_u32(cursor); left && !cursor->bad; left--) {
        char *string = pd_frame_get_string(cursor, PD_FRAME_STRING_BYTES_MAX);
        cursor->bad |= !string;
        if (string)
            g_ptr_array_add(strings, string);
    }
    g_ptr_array_add(strings, NULL);
    return (char **)g_ptr_array_free(strings, FALSE);
}

void
pd_worker_request_encode(const PdWorkerRequest *request, GByteArray *frame)
{
    const PdReadLimits *limits = &request->limits;
    pd_frame_begin(frame, PD_FRAME_REQUEST);
    pd_frame_put_string(frame, request->kind, -1);
    pd_frame_put_string(frame, request->name, -1);
    /* A path may hold any bytes but NUL: as bytes, not as a string. */
    pd_frame_put_bytes(frame, request->path ? request->path : "",
                       request->path ? strlen(request->path) : 0);
    pd_frame_put_string(frame, request->git_revision, -1);
    pd_frame_put_string(frame, request->git_diff, -1);
    pd_frame_put_string(frame, request->key_prefix ? request->key_prefix : "", -1);
    put_strings(frame, request->include);
    put_strings(frame, request->exclude);
    pd_frame_put_string(frame, request->temp_dir, -1);
    pd_frame_put_string(frame, request->ocr_languages, -1);
    pd_frame_put_u32(frame, request->ocr);
    pd_frame_put_u32(frame, request->work_tree ? 1 : 0);
    pd_frame_put_u32(frame, request->git_diff_only ? 1 : 0);
    pd_frame_put_u32(frame, request->git_history ? 1 : 0);
    pd_frame_put_u32(frame, request->git_blame ? 1 : 0);
    pd_frame_put_u32(frame, request->insecure ? 1 : 0);
    pd_frame_put_u64(frame, request->resume_item);
    pd_frame_put_u64(frame, request->resume_offset);
    pd_frame_put_u64(frame, limits->file_bytes_max);
    pd_frame_put_u64(frame, limits->git_file_bytes_max);
    pd_frame_put_u64(frame, limits->text_bytes_max);
    pd_frame_put_u32(frame, limits->depth_max);
    pd_frame_put_u32(frame, limits->mime_parts_max);
    pd_frame_put_u32(frame, limits->mime_depth_max);
    pd_frame_put_u32(frame, limits->pdf_pages_max);
    pd_frame_put_u32(frame, limits->html_depth_max);
    pd_frame_put_u32(frame, limits->document_seconds_max);
    pd_frame_put_u64(frame, limits->worker_bytes_max);
    pd_frame_put_u64(frame, limits->unpacked_bytes_max);
    pd_frame_put_u32(frame, limits->unpack_ratio_max);
    pd_frame_put_u32(frame, limits->archive_entries_max);
    pd_frame_put_u32(frame, limits->ocr_pages_max);
    pd_frame_put_u32(frame, limits->ink_seconds_max);
    pd_frame_put_u32(frame, limits->header_bytes_max);
    pd_frame_put_u32(frame, limits->folder_depth_max);
    pd_frame_put_u32(frame, limits->restarts_max);
    pd_frame_put_u32(frame, limits->git_depth_max);
    pd_frame_put_u32(frame, limits->git_files_max);
    pd_frame_put_u32(frame, limits->git_commits_max);
    pd_frame_put_u32(frame, limits->git_range_commits_max);
    pd_frame_put_u32(frame, limits->git_file_commits_max);
    pd_frame_put_u32(frame, limits->git_searched_commits_max);
    pd_frame_put_u32(frame, limits->git_renamed_files_max);
    pd_frame_put_u32(frame, limits->git_tags_max);
    pd_frame_put_u32(frame, limits->git_tree_lines_max);
    pd_frame_put_u32(frame, limits->rtf_depth_max);
    pd_frame_put_u32(frame, limits->section_depth_max);
    pd_frame_put_u32(frame, limits->json_depth_max);
    pd_frame_put_u64(frame, limits->rtf_bytes_max);
    pd_frame_put_u64(frame, limits->pst_list_bytes_max);
    pd_frame_put_u32(frame, limits->pst_rows_max);
    pd_frame_put_u32(frame, limits->pst_pieces_max);
    pd_frame_put_u32(frame, limits->pst_contacts_max);
    pd_frame_put_u32(frame, limits->pdf_outside_bytes_max);
    pd_frame_put_u32(frame, limits->pdf_false_glyphs_max);
    pd_frame_put_u32(frame, limits->pdf_font_glyphs_max);
    pd_frame_put_u32(frame, limits->pdf_outline_max);
    pd_frame_put_u32(frame, limits->pdf_outline_depth_max);
    pd_frame_put_u32(frame, limits->pdf_links_max);
    pd_frame_put_u32(frame, request->known ? g_hash_table_size(request->known) : 0);
    if (request->known) {
        GHashTableIter iter;
        gpointer id;
        g_hash_table_iter_init(&iter, request->known);
        while (g_hash_table_iter_next(&iter, &id, NULL))
            pd_frame_put_string(frame, id, -1);
    }
    put_files(frame, request->files);
    pd_frame_end(frame);
}

PdWorkerRequest *
pd_worker_request_decode(const guint8 *bytes, gsize n, GError **error)
{
    g_autoptr(PdWorkerRequest) request = g_new0(PdWorkerRequest, 1);
    PdReadLimits *limits = &request->limits;
    PdFrameCursor cursor = {bytes, bytes + n, FALSE};
    guint32 n_payload = pd_frame_get_u32(&cursor);
    guint32 type = pd_frame_get_u32(&cursor);
    request->kind = pd_frame_get_string(&cursor, PD_FRAME_STRING_BYTES_MAX);
    request->name = pd_frame_get_string(&cursor, PD_FRAME_STRING_BYTES_MAX);
    gsize n_path;
    const guint8 *path = pd_frame_get_bytes(&cursor, &n_path);
    if (path && n_path)
        request->path = g_strndup((const char *)path, n_path);
    request->git_revision = pd_frame_get_string(&cursor, PD_FRAME_STRING_BYTES_MAX);
    request->git_diff = pd_frame_get_string(&cursor, PD_FRAME_STRING_BYTES_MAX);
    request->key_prefix = pd_frame_get_string(&cursor, PD_FRAME_STRING_BYTES_MAX);
    request->include = get_strings(&cursor);
    request->exclude = get_strings(&cursor);
    request->temp_dir = pd_frame_get_string(&cursor, PD_FRAME_STRING_BYTES_MAX);
    request->ocr_languages = pd_frame_get_string(&cursor, PD_FRAME_STRING_BYTES_MAX);
    guint32 ocr = pd_frame_get_u32(&cursor);
    request->work_tree = pd_frame_get_u32(&cursor) != 0;
    request->git_diff_only = pd_frame_get_u32(&cursor) != 0;
    request->git_history = pd_frame_get_u32(&cursor) != 0;
    request->git_blame = pd_frame_get_u32(&cursor) != 0;
    request->insecure = pd_frame_get_u32(&cursor) != 0;
    request->resume_item = pd_frame_get_u64(&cursor);
    request->resume_offset = pd_frame_get_u64(&cursor);
    limits->file_bytes_max = pd_frame_get_u64(&cursor);
    limits->git_file_bytes_max = pd_frame_get_u64(&cursor);
    limits->text_bytes_max = pd_frame_get_u64(&cursor);
    limits->depth_max = pd_frame_get_u32(&cursor);
    limits->mime_parts_max = pd_frame_get_u32(&cursor);
    limits->mime_depth_max = pd_frame_get_u32(&cursor);
    limits->pdf_pages_max = pd_frame_get_u32(&cursor);
    limits->html_depth_max = pd_frame_get_u32(&cursor);
    limits->document_seconds_max = pd_frame_get_u32(&cursor);
    limits->worker_bytes_max = pd_frame_get_u64(&cursor);
    limits->unpacked_bytes_max = pd_frame_get_u64(&cursor);
    limits->unpack_ratio_max = pd_frame_get_u32(&cursor);
    limits->archive_entries_max = pd_frame_get_u32(&cursor);
    limits->ocr_pages_max = pd_frame_get_u32(&cursor);
    limits->ink_seconds_max = pd_frame_get_u32(&cursor);
    limits->header_bytes_max = pd_frame_get_u32(&cursor);
    limits->folder_depth_max = pd_frame_get_u32(&cursor);
    limits->restarts_max = pd_frame_get_u32(&cursor);
    limits->git_depth_max = pd_frame_get_u32(&cursor);
    limits->git_files_max = pd_frame_get_u32(&cursor);
    limits->git_commits_max = pd_frame_get_u32(&cursor);
    limits->git_range_commits_max = pd_frame_get_u32(&cursor);
    limits->git_file_commits_max = pd_frame_get_u32(&cursor);
    limits->git_searched_commits_max = pd_frame_get_u32(&cursor);
    limits->git_renamed_files_max = pd_frame_get_u32(&cursor);
    limits->git_tags_max = pd_frame_get_u32(&cursor);
    limits->git_tree_lines_max = pd_frame_get_u32(&cursor);
    limits->rtf_depth_max = pd_frame_get_u32(&cursor);
    limits->section_depth_max = pd_frame_get_u32(&cursor);
    limits->json_depth_max = pd_frame_get_u32(&cursor);
    limits->rtf_bytes_max = pd_frame_get_u64(&cursor);
    limits->pst_list_bytes_max = pd_frame_get_u64(&cursor);
    limits->pst_rows_max = pd_frame_get_u32(&cursor);
    limits->pst_pieces_max = pd_frame_get_u32(&cursor);
    limits->pst_contacts_max = pd_frame_get_u32(&cursor);
    limits->pdf_outside_bytes_max = pd_frame_get_u32(&cursor);
    limits->pdf_false_glyphs_max = pd_frame_get_u32(&cursor);
    limits->pdf_font_glyphs_max = pd_frame_get_u32(&cursor);
    limits->pdf_outline_max = pd_frame_get_u32(&cursor);
    limits->pdf_outline_depth_max = pd_frame_get_u32(&cursor);
    limits->pdf_links_max = pd_frame_get_u32(&cursor);
    request->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint32 left = pd_frame_get_u32(&cursor); left && !cursor.bad; left--) {
        char *id = pd_frame_get_string(&cursor, PD_FRAME_STRING_BYTES_MAX);
        if (id)
            g_hash_table_add(request->known, id);
    }
    request->files = get_files(&cursor);
    if (cursor.bad || cursor.at != cursor.end || type != PD_FRAME_REQUEST ||
        n_payload != n - PD_FRAME_HEAD_BYTES || !request->kind || !request->name ||
        !request->key_prefix || ocr >= PD_N_OCR_MODES) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER, "not a request frame");
        return NULL;
    }
    request->ocr = (PdOcrMode)ocr;
    return g_steal_pointer(&request);
}
