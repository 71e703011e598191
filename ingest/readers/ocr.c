/* See ocr.h. */
#include "ingest/readers/ocr.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/error.h"

/* Of tesseract/capi.h. */
typedef struct TessBaseAPI TessBaseAPI;
typedef struct TessResultIterator TessResultIterator;
typedef struct TessPageIterator TessPageIterator;
enum { LEVEL_PARAGRAPH = 1, LEVEL_LINE = 2, LEVEL_WORD = 3 };

struct PdOcr {
    void *library;
    TessBaseAPI *api;
    char *description;
    const char *(*version)(void);
    TessBaseAPI *(*create)(void);
    void (*delete)(TessBaseAPI *api);
    int (*init)(TessBaseAPI *api, const char *data_path, const char *languages);
    int (*set_variable)(TessBaseAPI *api, const char *name, const char *value);
    void (*set_image)(TessBaseAPI *api, const unsigned char *data, int width, int height,
                      int bytes_per_pixel, int bytes_per_line);
    void (*set_resolution)(TessBaseAPI *api, int pixels_inch);
    int (*recognize)(TessBaseAPI *api, void *monitor);
    void (*clear)(TessBaseAPI *api);
    TessResultIterator *(*iterator)(TessBaseAPI *api);
    void (*delete_iterator)(TessResultIterator *at);
    const TessPageIterator *(*page_of)(const TessResultIterator *at);
    int (*begins)(const TessPageIterator *at, int level);
    int (*box)(const TessPageIterator *at, int level, int *left, int *top, int *right, int *bottom);
    int (*next)(TessResultIterator *at, int level);
    char *(*text)(const TessResultIterator *at, int level);
    float (*confidence)(const TessResultIterator *at, int level);
    void (*delete_text)(const char *text);
};

void
pd_ocr_free(PdOcr *ocr)
{
    if (!ocr)
        return;
    if (ocr->api)
        ocr->delete (ocr->api);
    if (ocr->library)
        dlclose(ocr->library);
    g_free(ocr->description);
    g_free(ocr);
}

static gboolean
load_library(PdOcr *ocr)
{
    static const char *const names[] = {"libtesseract.so.5", "libtesseract.so.4"};
    const struct {
        const char *name;
        gsize at;
    } calls[] = {
        {"TessVersion", G_STRUCT_OFFSET(PdOcr, version)},
        {"TessBaseAPICreate", G_STRUCT_OFFSET(PdOcr, create)},
        {"TessBaseAPIDelete", G_STRUCT_OFFSET(PdOcr, delete)},
        {"TessBaseAPIInit3", G_STRUCT_OFFSET(PdOcr, init)},
        {"TessBaseAPISetVariable", G_STRUCT_OFFSET(PdOcr, set_variable)},
        {"TessBaseAPISetImage", G_STRUCT_OFFSET(PdOcr, set_image)},
        {"TessBaseAPISetSourceResolution", G_STRUCT_OFFSET(PdOcr, set_resolution)},
        {"TessBaseAPIRecognize", G_STRUCT_OFFSET(PdOcr, recognize)},
        {"TessBaseAPIClear", G_STRUCT_OFFSET(PdOcr, clear)},
        {"TessBaseAPIGetIterator", G_STRUCT_OFFSET(PdOcr, iterator)},
        {"TessResultIteratorDelete", G_STRUCT_OFFSET(PdOcr, delete_iterator)},
        {"TessResultIteratorGetPageIteratorConst", G_STRUCT_OFFSET(PdOcr, page_of)},
        {"TessPageIteratorIsAtBeginningOf", G_STRUCT_OFFSET(PdOcr, begins)},
        {"TessPageIteratorBoundingBox", G_STRUCT_OFFSET(PdOcr, box)},
        {"TessResultIteratorNext", G_STRUCT_OFFSET(PdOcr, next)},
        {"TessResultIteratorGetUTF8Text", G_STRUCT_OFFSET(PdOcr, text)},
        {"TessResultIteratorConfidence", G_STRUCT_OFFSET(PdOcr, confidence)},
        {"TessDeleteText", G_STRUCT_OFFSET(PdOcr, delete_text)},
    };
    /* Its loops would start threads, which the sandbox does not allow. */
    g_setenv("OMP_THREAD_LIMIT", "1", TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(names) && !ocr->library; i++)
        ocr->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    for (gsize i = 0; i < G_N_ELEMENTS(calls) && ocr->library; i++) {
        void *call = dlsym(ocr->library, calls[i].name);
        if (!call)
            return FALSE;
        memcpy((char *)ocr + calls[i].at, &call, sizeof call);
    }
    return ocr->library != NULL;
}

void
pd_ocr_grant(GPtrArray *read_paths)
{
    static const char *const paths[] = {"/usr/share/tesseract-ocr",
                                        "/usr/share/tessdata",
                                        "/usr/local/share/tessdata",
                                        "/etc/ld.so.cache",
                                        "/lib",
                                        "/lib64",
                                        "/usr/lib",
                                        "/usr/lib64",
                                        "/usr/local/lib"};
    const char *own = g_getenv("TESSDATA_PREFIX");
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++)
        g_ptr_array_add(read_paths, g_strdup(paths[i]));
    if (own && *own)
        g_ptr_array_add(read_paths, g_strdup(own));
}

PdOcr *
pd_ocr_load(GError **error)
{
    g_autoptr(PdOcr) ocr = g_new0(PdOcr, 1);
    if (!load_library(ocr)) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                    "tesseract is not installed (Debian: apt-get install tesseract-ocr)");
        return NULL;
    }
    return g_steal_pointer(&ocr);
}

gboolean
pd_ocr_start(PdOcr *ocr, const char *languages, GError **error)
{
    ocr->api = ocr->create();
    if (ocr->api) {
        ocr->set_variable(ocr->api, "debug_file", "/dev/null");
        if (ocr->init(ocr->api, NULL, languages) == 0) {
            ocr->description = g_strdup_printf("tesseract %s, %s", ocr->version(), languages);
            return TRUE;
        }
        ocr->delete (ocr->api);
        ocr->api = NULL;
    }
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                "tesseract has no data for '%s' (Debian: apt-get install tesseract-ocr-LANGUAGE; "
                "`tesseract --list-langs` names those that are there)",
                languages);
    return FALSE;
}

const char *
pd_ocr_describe(const PdOcr *ocr)
{
    return ocr->description;
}

/* What stands before a word. */
static const char *
separator(const PdOcr *ocr, const TessPageIterator *at, const PdPart *part)
{
    if (!part->text->len)
        return "";
    return ocr->begins(at, LEVEL_PARAGRAPH) ? "\n\n" : ocr->begins(at, LEVEL_LINE) ? "\n" : " ";
}

/* FALSE: there is nothing to read in it. */
static gboolean
add_word(PdOcr *ocr, const TessResultIterator *at, double pixels_point, PdPart *part)
{
    const TessPageIterator *place = ocr->page_of(at);
    char *raw = ocr->text(at, LEVEL_WORD);
    g_autofree char *word = raw ? g_strstrip(g_utf8_make_valid(raw, -1)) : NULL;
    int left, top, right, bottom;
    if (raw)
        ocr->delete_text(raw);
    if (!word || !*word)
        return FALSE;
    g_string_append(part->text, separator(ocr, place, part));
    PdBox box = {.start = (guint32)part->text->len};
    g_string_append(part->text, word);
    box.end = (guint32)part->text->len;
    if (ocr->box(place, LEVEL_WORD, &left, &top, &right, &bottom)) {
        box.x0 = (float)(left / pixels_point);
        box.y0 = (float)(top / pixels_point);
        box.x1 = (float)(right / pixels_point);
        box.y1 = (float)(bottom / pixels_point);
        g_array_append_val(part->boxes, box);
    }
    return TRUE;
}

PdOcrResult
pd_ocr_read(PdOcr *ocr, const PdOcrImage *image, PdPart *part)
{
    PdOcrResult result = {0};
    double sum = 0;
    ocr->set_image(ocr->api, image->pixels, image->width, image->height, 1, image->stride);
    ocr->set_resolution(ocr->api, (int)(72 * image->pixels_point + 0.5));
    TessResultIterator *at = ocr->recognize(ocr->api, NULL) == 0 ? ocr->iterator(ocr->api) : NULL;
    if (at) {
        do {
            if (!add_word(ocr, at, image->pixels_point, part))
                continue;
            result.n_words++;
            sum += (double)ocr->confidence(at, LEVEL_WORD);
        } while (ocr->next(at, LEVEL_WORD));
        ocr->delete_iterator(at);
    }
    ocr->clear(ocr->api);
    if (part->text->len)
        g_string_append_c(part->text, '\n');
    result.confidence = result.n_words ? CLAMP(sum / result.n_words, 0, 100) : 0;
    return result;
}
