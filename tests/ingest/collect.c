/* See collect.h. */
#include "collect.h"

#include <glib/gstdio.h>
#include <string.h>

#include "ingest/item.h"

/* Remarks on a document come after it, in every test. */
static gboolean
on_document(PdDocument *document, gpointer user_data, GError **error)
{
    Collected *collected = user_data;
    g_assert_false(g_hash_table_contains(collected->remarked, document->key));
    g_ptr_array_add(collected->documents, document);
    return TRUE;
}

static gboolean
on_ledger(const PdLedgerLine *line, gpointer user_data, GError **error)
{
    Collected *collected = user_data;
    g_assert_null(strchr(line->reason, '\n'));
    if (*line->key && !pd_ledger_is_outcome(line->level) && !collected_find(collected, line->key))
        g_hash_table_add(collected->remarked, g_strdup(line->key));
    g_ptr_array_add(collected->lines,
                    g_strdup_printf("%s %s: %s", line->level, line->key, line->reason));
    return TRUE;
}

static void
free_document(gpointer data)
{
    pd_document_free(data);
}

static void
on_found(gpointer user_data)
{
    ((Collected *)user_data)->n_found++;
}

/* Whatever is found has one outcome, in every test. */
static void
check_account(const Collected *collected)
{
    guint n_outcomes = collected->documents->len;
    for (guint i = 0; i < collected->lines->len; i++) {
        const char *line = g_ptr_array_index(collected->lines, i);
        g_autofree char *level = g_strndup(line, strcspn(line, " "));
        n_outcomes += pd_ledger_is_outcome(level);
    }
    g_assert_cmpuint(collected->n_found, ==, n_outcomes);
    g_assert_true(collected->n_found > 0 || collected->error);
}

Collected *
collect(const char *path, const PdReadRequest *options, const PdReadLimits *limits)
{
    Collected *collected = g_new0(Collected, 1);
    collected->documents = g_ptr_array_new_with_free_func(free_document);
    collected->lines = g_ptr_array_new_with_free_func(g_free);
    collected->remarked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    PdReadRequest request = {.ocr = PD_OCR_OFF}; /* the same with and without tesseract */
    if (options)
        request = *options;
    request.path = path;
    const PdReadSink sink = {on_document, on_ledger, NULL, on_found, collected};
    const char *kind = pd_detect_kind(path, &collected->error);
    if (kind)
        pd_read_source(kind, &request, limits, &sink, NULL, &collected->error);
    check_account(collected);
    return collected;
}

Collected *
collect_text(const char *name, const char *text, const PdReadLimits *limits)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    Collected *collected = collect(path, NULL, limits);
    remove_folder(folder);
    return collected;
}

void
collected_free(Collected *collected)
{
    g_ptr_array_unref(collected->documents);
    g_ptr_array_unref(collected->lines);
    g_clear_pointer(&collected->remarked, g_hash_table_unref);
    g_clear_error(&collected->error);
    g_free(collected);
}

PdDocument *
collected_find(const Collected *collected, const char *key)
{
    for (guint i = 0; i < collected->documents->len; i++) {
        PdDocument *document = g_ptr_array_index(collected->documents, i);
        if (strcmp(document->key, key) == 0)
            return document;
    }
    return NULL;
}

const char *
document_part_text(const PdDocument *document, const char *path)
{
    for (guint i = 0; i < document->parts->len; i++) {
        const PdPart *part = g_ptr_array_index(document->parts, i);
        if (g_str_equal(part->path, path))
            return part->text->str;
    }
    return NULL;
}

char *
collected_text(const Collected *collected)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < collected->documents->len; i++) {
        const PdDocument *document = g_ptr_array_index(collected->documents, i);
        for (guint k = 0; k < document->parts->len; k++) {
            const PdPart *part = g_ptr_array_index(document->parts, k);
            for (gsize c = 0; c < part->text->len; c++)
                g_string_append_c(text, part->text->str[c] ? part->text->str[c] : ' ');
            g_string_append_c(text, '\n');
        }
    }
    return g_string_free(text, FALSE);
}

static gboolean
contains(const char *text, const char *word)
{
    g_autofree char *a = g_ascii_strdown(text, -1);
    g_autofree char *b = g_ascii_strdown(word, -1);
    return strstr(a, b) != NULL;
}

gboolean
collected_says(const Collected *collected, const char *a, const char *b)
{
    for (guint i = 0; i < collected->lines->len; i++) {
        const char *line = g_ptr_array_index(collected->lines, i);
        if (contains(line, a) && contains(line, b))
            return TRUE;
    }
    return collected->error && contains(collected->error->message, a) &&
           contains(collected->error->message, b);
}

char *
shared_data(const char *name)
{
    g_autofree char *path = g_build_filename(PD_SOURCE_ROOT, "..", "shared", "data", name, NULL);
    if (g_file_test(path, G_FILE_TEST_EXISTS))
        return g_steal_pointer(&path);
    g_autofree char *reason = g_strdup_printf("test data is not here: %s", path);
    g_test_skip(reason);
    return NULL;
}

char *
run_program(const char *folder, const char *const *argv, gsize *n)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) output = NULL;
    g_subprocess_launcher_set_cwd(launcher, folder);
    g_autoptr(GSubprocess) process = g_subprocess_launcher_spawnv(launcher, argv, &error);
    if (!process || !g_subprocess_communicate(process, NULL, NULL, &output, NULL, &error) ||
        !g_subprocess_get_successful(process))
        return NULL;
    gsize size = g_bytes_get_size(output);
    if (n)
        *n = size;
    char *bytes = g_malloc(size + 1);
    if (size)
        memcpy(bytes, g_bytes_get_data(output, NULL), size);
    bytes[size] = '\0';
    return bytes;
}

void
add_tar_member(GByteArray *tar, const char *name, const char *content)
{
    guint8 head[512] = {0};
    guint sum = 0;
    gsize n = strlen(content);
    g_strlcpy((char *)head, name, 100);
    memcpy(head + 100, "0000644", 8);
    memcpy(head + 108, "0000000", 8);
    memcpy(head + 116, "0000000", 8);
    g_snprintf((char *)head + 124, 12, "%011o", (guint)n);
    memcpy(head + 136, "00000000000", 12);
    memset(head + 148, ' ', 8);
    head[156] = '0';
    memcpy(head + 257, "ustar", 6);
    memcpy(head + 263, "00", 2);
    for (int i = 0; i < 512; i++)
        sum += head[i];
    g_snprintf((char *)head + 148, 8, "%06o", sum);
    g_byte_array_append(tar, head, 512);
    g_byte_array_append(tar, (const guint8 *)content, (guint)n);
    guint filled = tar->len;
    g_byte_array_set_size(tar, (filled + 511) / 512 * 512);
    memset(tar->data + filled, 0, tar->len - filled);
}

void
remove_folder(const char *path)
{
    const char *const argv[] = {"rm", "-rf", path, NULL};
    g_free(run_program("/", argv, NULL));
}
