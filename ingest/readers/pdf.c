/*
 * pandect-read-pdf: text in reading order, a part a page, through poppler; pages that are pictures
 * through tesseract, where that is installed.
 *
 * Pages go out one by one, so that a page that brings the process down costs the pages from there
 * on and not the ones before.  Pages without a text layer are named.  When all pages are out, they
 * are looked at (the ink test, pdf_ink.c); if that fails, only the check is lost, and another
 * process sends the attached files.
 */
#include "ingest/readers/pdf.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ingest/error.h"

/* Letters on a page that is otherwise one picture: a stamp, not a text layer. */
#define STAMP_LETTERS_MAX 100
#define PICTURE_SHARE 0.6
#define HIDDEN_SHARE_MAX 0.8
#define UNMAPPED_SHARE_MAX 0.05 /* of a page's characters: a list's bullets are fewer */
#define HIDDEN_SHOWN_BYTES 400  /* of comments */
/* Pages that wait in memory for the ink test; the text of others is made once more. */
#define KEPT_BYTES_MAX (64u << 20)

/* A page that went out as a part. */
typedef struct {
    guint number;       /* from 1; 0: not looked at for hidden text */
    PdPart *part;       /* in `kept`; NULL: it is not */
    GArray *link_words; /* of the part behind it, which are hidden where its own are; or NULL */
} SentPage;

typedef struct {
    const PdWorkerRequest *request;
    PdEmitter *emitter;
    PopplerDocument *pdf;
    PdDocument *document;
    guint8 raw_sha256[32];
    gint64 raw_bytes;
    gint64 deadline_us; /* of processor_us */
    guint n_pages;
    gsize n_text_bytes;
    gboolean head_sent;
    PdOcr *ocr; /* NULL: not needed yet, or not there */
    gboolean ocr_missing;
    gboolean ocr_started;
    guint ocr_over;        /* the first page over the limit; 0: none */
    char *ocr_problem;     /* why it could not be */
    double ocr_confidence; /* sum over the words */
    guint n_ocr_words;
    GArray *sent;     /* SentPage, a part each */
    PdDocument *kept; /* holds parts until they are looked at */
    gsize n_kept_bytes;
    GArray *by_ocr;
    GArray *no_text;
    GArray *stamped; /* pictures with a few letters */
    GArray *broken;
    GArray *unpaired;
    GArray *unmapped;   /* much of their text has no meaning */
    GArray *with_files; /* attached to them */
} Job;

/* What this process has used of the processor: a document has the same limits on a busy machine. */
static gint64
processor_us(void)
{
    struct timespec used = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * G_USEC_PER_SEC + used.tv_nsec / 1000;
}

/* "1-3, 7" */
static char *
page_list(const GArray *pages)
{
    GString *list = g_string_new(NULL);
    for (guint i = 0; i < pages->len; i++) {
        guint first = g_array_index(pages, guint, i);
        guint last = first;
        while (i + 1 < pages->len && g_array_index(pages, guint, i + 1) == last + 1) {
            last++;
            i++;
        }
        if (list->len > 300) {
            g_string_append(list, ", ...");
            break;
        }
        g_string_append_printf(list, list->len ? ", %u" : "%u", first);
        if (last > first)
            g_string_append_printf(list, "-%u", last);
    }
    return g_string_free(list, FALSE);
}

static gboolean
hash_input(Job *job, GError **error)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    guint64 max = job->request->limits.file_bytes_max;
    struct stat status;
    guint8 buffer[65536];
    ssize_t n;
    gsize n_digest = sizeof job->raw_sha256;
    if (fstat(PD_READER_INPUT_FD, &status) == 0 && (guint64)status.st_size > max) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "%s is too large: %" G_GINT64_FORMAT " bytes, the limit is %" G_GUINT64_FORMAT,
                    job->request->name, (gint64)status.st_size, max);
        return FALSE;
    }
    while ((n = pread(PD_READER_INPUT_FD, buffer, sizeof buffer, job->raw_bytes)) > 0) {
        g_checksum_update(checksum, buffer, n);
        job->raw_bytes += n;
    }
    g_checksum_get_digest(checksum, job->raw_sha256, &n_digest);
    return TRUE;
}

static gboolean
open_pdf(Job *job, GError **error)
{
    g_autoptr(GError) problem = NULL;
    const char *name = job->request->name;
    job->pdf = poppler_document_new_from_fd(PD_READER_INPUT_FD, NULL, &problem);
    if (job->pdf)
        return TRUE;
    if (g_error_matches(problem, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED))
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_ENCRYPTED,
                    "%s needs a password; decrypt it first, for example with qpdf --decrypt", name);
    else
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                    "%s is a damaged or truncated PDF and cannot be opened (%s)", name,
                    problem->message);
    return FALSE;
}

static char *
metadata(char *value)
{
    g_autofree char *owned = value;
    g_autofree char *valid = value ? g_utf8_make_valid(value, -1) : NULL;
    if (valid)
        g_strstrip(valid);
    return valid && *valid ? g_steal_pointer(&valid) : NULL;
}

static void
describe(Job *job)
{
    PdDocument *document = job->document;
    g_autoptr(GDateTime) created = poppler_document_get_creation_date_time(job->pdf);
    document->title = metadata(poppler_document_get_title(job->pdf));
    document->author = metadata(poppler_document_get_author(job->pdf));
    if (!document->title)
        document->title = g_strdup(job->request->name);
    if (created)
        document->date_utc = g_date_time_to_unix(created);
    memcpy(document->raw_sha256, job->raw_sha256, sizeof job->raw_sha256);
    document->raw_bytes = job->raw_bytes;
}

static guint
count_letters(const GString *text)
{
    guint n = 0;
    for (gsize i = 0; i < text->len; i++)
        n += (guchar)text->str[i] > 0x20;
    return n;
}

/* Are more than a few characters such as fonts without a Unicode map give: for private use, or none
 * at all? */
static gboolean
is_unmapped(const GString *text)
{
    guint n = 0, n_unmapped = 0;
    for (const char *at = text->str; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        n += c != ' ' && c != '\n' && c != '\t';
        n_unmapped += (c < ' ' && c != '\n' && c != '\t') || c == 0xFFFD ||
                      (c >= 0xE000 && c <= 0xF8FF) || c >= 0xF0000;
    }
    return n_unmapped > UNMAPPED_SHARE_MAX * n;
}

/* Is most of the page one picture? */
static gboolean
is_picture(PopplerPage *page)
{
    double width;
    double height;
    gboolean picture = FALSE;
    poppler_page_get_size(page, &width, &height);
    GList *images = poppler_page_get_image_mapping(page);
    for (GList *at = images; at; at = at->next) {
        const PopplerRectangle *area = &((PopplerImageMapping *)at->data)->area;
        double share = (area->x2 - area->x1) * (area->y2 - area->y1) / (width * height);
        picture |= share > PICTURE_SHARE || share < -PICTURE_SHARE;
    }
    poppler_page_free_image_mapping(images);
    return picture;
}

/* With the first page that needs it: reading its data takes longer than reading a short PDF. */
static gboolean
start_ocr(Job *job, guint number)
{
    const char *languages = job->request->ocr_languages ? job->request->ocr_languages : "eng";
    g_autoptr(GError) problem = NULL;
    if (!job->ocr && !job->ocr_missing)
        job->ocr_missing = !(job->ocr = pd_ocr_load(NULL));
    if (!job->ocr)
        return FALSE;
    if (!job->ocr_over && job->by_ocr->len >= job->request->limits.ocr_pages_max)
        job->ocr_over = number;
    if (job->ocr_problem || job->ocr_over)
        return FALSE;
    job->ocr_started = job->ocr_started || pd_ocr_start(job->ocr, languages, &problem);
    if (problem)
        job->ocr_problem = g_strdup(problem->message);
    return job->ocr_started;
}

/* The page read as a picture; NULL: it is not to be, or nothing was found that its text layer
 * lacks. The time that it takes does not count: the parent watches over each page. */
static PdPart *
read_picture(Job *job, PopplerPage *page, guint number, guint n_letters, gboolean picture)
{
    gboolean force = job->request->ocr == PD_OCR_FORCE;
    if (job->request->ocr == PD_OCR_OFF || (!force && !picture && n_letters) ||
        !start_ocr(job, number))
        return NULL;
    gint64 start_us = processor_us();
    PdOcrResult result = {0};
    PdPart *part = pd_pdf_ocr_page(job->document, page, job->ocr, &result);
    job->deadline_us += processor_us() - start_us;
    if (!part || (!force && count_letters(part->text) < n_letters))
        return NULL;
    g_array_append_val(job->by_ocr, number);
    job->n_ocr_words += result.n_words;
    job->ocr_confidence += result.confidence * result.n_words;
    return part;
}

/* It is out.  Letters that are pixels can be seen, and comments are not looked for on the page;
 * what is to have ink waits for the test. */
static void
note_sent(Job *job, PdPart *part, guint number, gboolean has_ink)
{
    SentPage sent = {.number = has_ink ? number : 0};
    gsize n_bytes = part->text->len + (part->boxes ? part->boxes->len * sizeof(PdBox) : 0);
    guint at;
    if (has_ink && job->n_kept_bytes + n_bytes <= KEPT_BYTES_MAX &&
        g_ptr_array_find(job->document->parts, part, &at)) {
        sent.part = g_ptr_array_steal_index(job->document->parts, at);
        g_ptr_array_add(job->kept->parts, sent.part);
        job->n_kept_bytes += n_bytes;
    }
    g_array_append_val(job->sent, sent);
}

/* A part out, after the head of the document; *stop instead where the text reaches its limit. */
static gboolean
send_part(Job *job, PdPart *part, guint number, gboolean has_ink, gboolean *stop, GError **error)
{
    if (job->n_text_bytes + part->text->len > job->request->limits.text_bytes_max) {
        *stop = TRUE;
        return pd_emit_ledger(job->emitter, "partial", "", job->raw_bytes, error,
                              "from page %u on not read: the text reaches the limit of "
                              "%" G_GUINT64_FORMAT " bytes",
                              number, job->request->limits.text_bytes_max);
    }
    job->n_text_bytes += part->text->len;
    if (!job->head_sent && !pd_emit_document_head(job->emitter, job->document, error))
        return FALSE;
    job->head_sent = TRUE;
    if (!pd_emit_part(job->emitter, part, error))
        return FALSE;
    note_sent(job, part, number, has_ink);
    return TRUE;
}

/* One page out; *stop after the limit of text.  *sent: the part that went out, or what is on it
 * where none did; it lives until the next page. */
static gboolean
send_page(Job *job, PopplerPage *page, guint number, const PdPart **sent, gboolean *stop,
          GError **error)
{
    gboolean paired;
    PdPart *part = pd_pdf_read_page(job->document, page, &paired);
    guint n_letters = count_letters(part->text);
    gboolean picture = n_letters && n_letters < STAMP_LETTERS_MAX && is_picture(page);
    PdPart *by_ocr = read_picture(job, page, number, n_letters, picture);
    if (by_ocr)
        part = by_ocr;
    else if (!n_letters)
        g_array_append_val(job->no_text, number);
    else if (picture)
        g_array_append_val(job->stamped, number);
    *sent = part;
    if (!n_letters && !by_ocr)
        return TRUE;
    if (!paired && !by_ocr)
        g_array_append_val(job->unpaired, number);
    if (!by_ocr && is_unmapped(part->text))
        g_array_append_val(job->unmapped, number);
    return send_part(job, part, number, !by_ocr, stop, error);
}

/* What stands on it beside its content. */
static gboolean
send_comments(Job *job, PopplerPage *page, guint number, const PdPart *page_part, gboolean *stop,
              GError **error)
{
    const PdReadLimits *limits = &job->request->limits;
    g_autoptr(GString) hidden = g_string_new(NULL);
    g_autoptr(GArray) link_words = g_array_new(FALSE, FALSE, sizeof(PdPdfLinkWord));
    PdPdfBeside beside = {.hidden = hidden, .link_words = link_words};
    PdPart *part = pd_pdf_read_comments(job->document, page, page_part, limits, &beside);
    if (beside.has_files)
        g_array_append_val(job->with_files, number);
    if (hidden->len > HIDDEN_SHOWN_BYTES)
        g_string_truncate(hidden, HIDDEN_SHOWN_BYTES);
    gboolean ok =
        (!hidden->len ||
         pd_emit_ledger(job->emitter, "hidden", "", job->raw_bytes, error,
                        "hidden comments on page %u, which the PDF shows to nobody; they are in "
                        "no text: %s",
                        number, hidden->str)) &&
        (!beside.more_links ||
         pd_emit_ledger(job->emitter, "partial", "", job->raw_bytes, error,
                        "page %u has more links than the limit of %u: where the others lead was "
                        "not read",
                        number, limits->pdf_links_max)) &&
        (!part || send_part(job, part, number, FALSE, stop, error));
    if (ok && part && !*stop && link_words->len) /* part is the last, its page before it */
        g_array_index(job->sent, SentPage, job->sent->len - 2).link_words = g_array_ref(link_words);
    return ok;
}

static gboolean
read_pages(Job *job, GError **error)
{
    gboolean stop = FALSE;
    guint n = MIN(job->n_pages, job->request->limits.pdf_pages_max);
    for (guint i = 0; i < n && !stop; i++) {
        guint number = i + 1;
        if (processor_us() > job->deadline_us)
            return pd_emit_ledger(job->emitter, "partial", "", job->raw_bytes, error,
                                  "from page %u on not read: the time limit of %u s was reached",
                                  number, job->request->limits.document_seconds_max);
        PopplerPage *page = poppler_document_get_page(job->pdf, (int)i);
        if (!page) {
            g_array_append_val(job->broken, number);
            continue;
        }
        const PdPart *sent;
        gboolean ok = send_page(job, page, number, &sent, &stop, error) &&
                      (stop || send_comments(job, page, number, sent, &stop, error));
        g_object_unref(page);
        g_ptr_array_set_size(job->document->parts, 0);
        if (!ok)
            return FALSE;
    }
    return n == job->n_pages ||
           pd_emit_ledger(job->emitter, "partial", "", job->raw_bytes, error,
                          "%u pages, of which only the first %u were read (limit)", job->n_pages,
                          n);
}

static gboolean
send_outline(Job *job, GError **error)
{
    gboolean over, stop = FALSE;
    PdPart *part = pd_pdf_read_outline(job->document, job->pdf, &job->request->limits, &over);
    const PdReadLimits *limits = &job->request->limits;
    gboolean fits = !part || job->n_text_bytes + part->text->len <= limits->text_bytes_max;
    gboolean ok = !part || !fits || send_part(job, part, job->n_pages, FALSE, &stop, error);
    g_ptr_array_set_size(job->document->parts, 0);
    return ok && ((!over && fits) ||
                  pd_emit_ledger(job->emitter, "partial", "", job->raw_bytes, error,
                                 "the outline was not wholly read: the limit is %u entries, %u "
                                 "inside each other, and "
                                 "%" G_GUINT64_FORMAT " bytes for a document's text",
                                 limits->pdf_outline_max, limits->pdf_outline_depth_max,
                                 limits->text_bytes_max));
}

static gboolean
say_pages(Job *job, const GArray *pages, const char *level, const char *before, const char *after,
          GError **error)
{
    if (!pages->len)
        return TRUE;
    g_autofree char *list = page_list(pages);
    return pd_emit_ledger(job->emitter, level, "", job->raw_bytes, error, "%s%s%s%s", before,
                          pages->len == 1 ? "page " : "pages ", list, after);
}

static gboolean
say_ocr(Job *job, GError **error)
{
    guint n = job->by_ocr->len, max = job->request->limits.ocr_pages_max;
    if (job->ocr_problem && !pd_emit_ledger(job->emitter, "partial", "", job->raw_bytes, error,
                                            "not read by OCR: %s", job->ocr_problem))
        return FALSE;
    if (job->ocr_over && !pd_emit_ledger(job->emitter, "partial", "", job->raw_bytes, error,
                                         "from page %u on not read by OCR: the limit is %u pages",
                                         job->ocr_over, max))
        return FALSE;
    if (!n)
        return TRUE;
    g_autofree char *list = page_list(job->by_ocr);
    return pd_emit_ledger(job->emitter, "ocr", "", job->raw_bytes, error,
                          "%u %s read by OCR (%s): %s; %u words, mean confidence %.0f %%", n,
                          n == 1 ? "page" : "pages", pd_ocr_describe(job->ocr), list,
                          job->n_ocr_words, job->ocr_confidence / MAX(job->n_ocr_words, 1));
}

static gboolean
report(Job *job, GError **error)
{
    const char *level = job->head_sent ? "partial" : "skipped";
    if (!job->n_pages)
        return pd_emit_ledger(job->emitter, "skipped", "", job->raw_bytes, error,
                              "damaged: it has no pages");
    return say_ocr(job, error) &&
           say_pages(job, job->no_text, level, "no text layer on ", "; OCR it first", error) &&
           say_pages(job, job->stamped, "partial", "",
                     " are pictures with only a few letters as text; OCR it first", error) &&
           say_pages(job, job->broken, level, "broken page tree: ", " cannot be read", error) &&
           say_pages(job, job->unpaired, "note", "no word boxes on ",
                     ": characters and their places do not agree", error) &&
           say_pages(job, job->unmapped, "partial", "fonts without a Unicode map on ",
                     ": what many of the characters mean, the PDF does not say; --ocr force reads "
                     "pictures of the pages",
                     error);
}

static gboolean
say_hidden(Job *job, guint number, const PdPdfInk *ink, gboolean left_out, GError **error)
{
    const char *kept = left_out ? "no model reads them" : "so many that they are read all the same";
    if (ink->n_unseen &&
        !pd_emit_ledger(job->emitter, "hidden", "", job->raw_bytes, error,
                        "hidden text on page %u: %u of %u words cannot be seen on the page (white, "
                        "covered, invisible or tiny); %s: %s",
                        number, ink->n_unseen, ink->n_words, kept, ink->unseen->str))
        return FALSE;
    if (ink->n_lying &&
        !pd_emit_ledger(job->emitter, "hidden", "", job->raw_bytes, error,
                        "false character map on page %u: the page shows other letters in %u of %u "
                        "words than the PDF says; no model reads them: %s",
                        number, ink->n_lying, ink->n_words, ink->lying->str))
        return FALSE;
    const PdReadLimits *limits = job->emitter->limits;
    if (ink->more_lying &&
        !pd_emit_ledger(job->emitter, "hidden", "", job->raw_bytes, error,
                        "false character map on page %u: after %u false letters, the limit, its "
                        "words were not compared any more",
                        number, limits->pdf_false_glyphs_max))
        return FALSE;
    if (ink->more_in_font &&
        !pd_emit_ledger(job->emitter, "hidden", "", job->raw_bytes, error,
                        "a font of page %u has more than the limit of %u characters: what the "
                        "others show was not compared",
                        number, limits->pdf_font_glyphs_max))
        return FALSE;
    return (!ink->n_outside && !ink->more_outside) ||
           pd_emit_ledger(job->emitter, "hidden", "", job->raw_bytes, error,
                          "text off page %u: %s%u words lie beyond its edge; they are in no text: "
                          "%s",
                          number, ink->more_outside ? "at least " : "", ink->n_outside,
                          ink->outside->str);
}

/* What cannot be seen on the page is no better in the text of a link. */
static gboolean
send_hidden_links(Job *job, guint part, const PdPdfInk *ink, guint marks, GError **error)
{
    const GArray *words = g_array_index(job->sent, SentPage, part).link_words;
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(PdTextRange));
    for (guint i = 0; words && ink->marks && i < words->len; i++) {
        const PdPdfLinkWord *word = &g_array_index(words, PdPdfLinkWord, i);
        if (ink->marks[word->box] & marks)
            g_array_append_val(ranges, word->range);
    }
    return !ranges->len || pd_emit_hidden(job->emitter, part + 1, ranges, error);
}

/* Tell what cannot be seen of a page, and keep it from the model.  Not where most of a page cannot
 * be seen: then it is more likely that its font cannot be drawn here than that someone hides a
 * page. */
static gboolean
send_hidden(Job *job, PopplerPage *page, guint part, GError **error)
{
    const SentPage *sent = &g_array_index(job->sent, SentPage, part);
    gboolean paired;
    const PdPart *read = sent->part ? sent->part : pd_pdf_read_page(job->document, page, &paired);
    g_autoptr(PdPdfInk) ink = pd_pdf_ink_look(page, read, job->emitter->limits);
    gboolean left_out = ink->n_unseen <= ink->n_words * HIDDEN_SHARE_MAX;
    guint marks = PD_PDF_LYING | (left_out ? PD_PDF_UNSEEN : 0);
    g_autoptr(GArray) ranges = pd_pdf_ink_ranges(ink, read, marks);
    g_ptr_array_set_size(job->document->parts, 0);
    return say_hidden(job, sent->number, ink, left_out, error) &&
           (!ranges->len || pd_emit_hidden(job->emitter, part, ranges, error)) &&
           send_hidden_links(job, part, ink, marks, error);
}

/* Look at the pages for text that a reader of the paper would not see. */
static gboolean
check_ink(Job *job, GError **error)
{
    gint64 deadline_us =
        processor_us() + (gint64)job->request->limits.ink_seconds_max * G_USEC_PER_SEC;
    for (guint i = 0; i < job->sent->len; i++) {
        guint number = g_array_index(job->sent, SentPage, i).number;
        if (processor_us() > deadline_us)
            return pd_emit_ledger(
                job->emitter, "note", "", job->raw_bytes, error,
                "from page %u on not checked for hidden text: the time limit of %u s was reached",
                number, job->request->limits.ink_seconds_max);
        PopplerPage *page = number ? poppler_document_get_page(job->pdf, (int)number - 1) : NULL;
        gboolean ok = !page || send_hidden(job, page, i, error);
        g_clear_object(&page);
        if (!ok)
            return FALSE;
        if (i % 16 == 15 && !pd_emit_progress(job->emitter, i + 1, job->sent->len, error))
            return FALSE;
    }
    return TRUE;
}

/* All pages, for whoever has not seen them. */
static void
suspect_files(Job *job)
{
    guint n = MIN(job->n_pages, job->request->limits.pdf_pages_max);
    for (guint number = 1; number <= n; number++)
        g_array_append_val(job->with_files, number);
}

static gboolean
run_job(Job *job, GError **error)
{
    gboolean text_is_out = job->request->resume_item > 0; /* the check brought the process down */
    if (!hash_input(job, error) || !open_pdf(job, error))
        return FALSE;
    job->n_pages = (guint)MAX(poppler_document_get_n_pages(job->pdf), 0);
    describe(job);
    if (text_is_out)
        suspect_files(job);
    else if (!read_pages(job, error) || !send_outline(job, error) || !report(job, error))
        return FALSE;
    if (job->head_sent && (!pd_emit_parts_end(job->emitter, error) || !check_ink(job, error) ||
                           !pd_emit_document_end(job->emitter, error)))
        return FALSE;
    return pd_pdf_emit_attached(job->pdf, job->with_files, job->emitter, error);
}

static void
clear_sent(gpointer sent)
{
    g_clear_pointer(&((SentPage *)sent)->link_words, g_array_unref);
}

/* Loaded before the sandbox, where every page will need it; else NULL. */
static PdOcr *loaded_ocr;

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    guint seconds = MAX(request->limits.document_seconds_max, 4);
    Job job = {.request = request, .emitter = emitter, .ocr = loaded_ocr};
    job.deadline_us = processor_us() + (gint64)seconds * 3 / 4 * G_USEC_PER_SEC;
    job.document = pd_document_new(PD_KIND_PDF, "");
    job.kept = pd_document_new(PD_KIND_PDF, "");
    job.sent = g_array_new(FALSE, FALSE, sizeof(SentPage));
    g_array_set_clear_func(job.sent, clear_sent);
    GArray **lists[] = {&job.by_ocr,   &job.no_text,  &job.stamped,   &job.broken,
                        &job.unpaired, &job.unmapped, &job.with_files};
    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++)
        *lists[i] = g_array_new(FALSE, FALSE, sizeof(guint));
    gboolean ok = run_job(&job, error);
    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++)
        g_array_unref(*lists[i]);
    g_array_unref(job.sent);
    pd_document_free(job.kept);
    pd_document_free(job.document);
    g_clear_object(&job.pdf);
    g_free(job.ocr_problem);
    g_clear_pointer(&job.ocr, pd_ocr_free);
    return ok;
}

static gboolean
prepare(const PdWorkerRequest *request, PdSandboxNeeds *needs, GError **error)
{
    /* Character maps of CJK fonts, and fonts that a PDF names but does not carry. */
    static const char *const paths[] = {"/usr/share/poppler",     "/usr/share/fonts",
                                        "/usr/share/fontconfig",  "/etc/fonts",
                                        "/usr/local/share/fonts", "/var/cache/fontconfig"};
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++)
        g_ptr_array_add(needs->read_paths, g_strdup(paths[i]));
    if (request->ocr == PD_OCR_OFF)
        return TRUE;
    pd_ocr_grant(needs->read_paths);
    needs->one_document = FALSE; /* a page takes seconds; the parent watches over each */
    if (request->ocr != PD_OCR_FORCE)
        return TRUE;
    loaded_ocr = pd_ocr_load(error);
    return loaded_ocr != NULL;
}

int
main(void)
{
    static const char *const kinds[] = {"pdf", NULL};
    const PdReaderProgram program = {kinds, prepare, run};
    return pd_reader_main(&program);
}
