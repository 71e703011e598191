/*
 * The PDF reader on pages made here (so that every word and place is known), on contracts whose
 * text another program took out, and on the broken PDFs of the shared collection.
 */
#include "collect.h"
#include "ingest/model_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A PDF with one content stream a page, Helvetica as /F, written by hand (ISO 32000). */
static void
write_pdf(const char *path, const char *const *pages, guint n_pages, const char *extra)
{
    g_autoptr(GString) pdf = g_string_new("%PDF-1.4\n");
    g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(gsize));
    g_autoptr(GString) kids = g_string_new(NULL);
    for (guint i = 0; i < n_pages; i++)
        g_string_append_printf(kids, "%u 0 R ", 4 + 2 * i);
    for (guint i = 1; i <= 3 + 2 * n_pages; i++) {
        gsize at = pdf->len;
        g_array_append_val(offsets, at);
        g_string_append_printf(pdf, "%u 0 obj\n", i);
        if (i == 1)
            g_string_append_printf(pdf, "<</Type/Catalog/Pages 2 0 R%s>>", extra);
        else if (i == 2)
            g_string_append_printf(pdf, "<</Type/Pages/Kids[%s]/Count %u>>", kids->str, n_pages);
        else if (i == 3)
            g_string_append(pdf, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica"
                                 "/Encoding/WinAnsiEncoding>>");
        else if (i % 2 == 0)
            g_string_append_printf(pdf,
                                   "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %u 0 R"
                                   "/Resources<</Font<</F 3 0 R>>>>>>",
                                   i + 1);
        else
            g_string_append_printf(pdf, "<</Length %" G_GSIZE_FORMAT ">>stream\n%s\nendstream",
                                   strlen(pages[(i - 5) / 2]), pages[(i - 5) / 2]);
        g_string_append(pdf, "\nendobj\n");
    }
    gsize xref = pdf->len;
    g_string_append_printf(pdf, "xref\n0 %u\n0000000000 65535 f \n", offsets->len + 1);
    for (guint i = 0; i < offsets->len; i++)
        g_string_append_printf(pdf, "%010" G_GSIZE_FORMAT " 00000 n \n",
                               g_array_index(offsets, gsize, i));
    g_string_append_printf(
        pdf, "trailer<</Size %u/Root 1 0 R>>\nstartxref\n%" G_GSIZE_FORMAT "\n%%%%EOF\n",
        offsets->len + 1, xref);
    g_assert_true(g_file_set_contents(path, pdf->str, (gssize)pdf->len, NULL));
}

static Collected *
read_pages(const char *const *pages, guint n_pages, const char *extra, const PdReadLimits *limits)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "t.pdf", NULL);
    write_pdf(path, pages, n_pages, extra);
    Collected *collected = collect(path, NULL, limits);
    remove_folder(folder);
    return collected;
}

static void
show(GString *page, int x, int y, int size, const char *text)
{
    g_string_append_printf(page, "BT /F %d Tf 1 0 0 1 %d %d Tm (%s) Tj ET\n", size, x, y, text);
}

static const PdPart *
part_of(const Collected *collected, guint i)
{
    g_assert_no_error(collected->error);
    g_assert_cmpuint(collected->documents->len, ==, 1);
    const PdDocument *document = collected->documents->pdata[0];
    g_assert_cmpuint(document->parts->len, >, i);
    return g_ptr_array_index(document->parts, i);
}

static void
test_words_and_boxes(void)
{
    g_autoptr(GString) page = g_string_new(NULL);
    show(page, 100, 700, 12, "Rent is 410 crowns.");
    show(page, 100, 686, 12, "Paid in May.");
    const char *pages[] = {page->str};
    g_autoptr(Collected) c = read_pages(pages, 1, "", NULL);
    const PdPart *part = part_of(c, 0);
    g_assert_cmpstr(part->path, ==, "page/1");
    g_assert_cmpstr(part->text->str, ==, "Rent is 410 crowns.\nPaid in May.\n");
    g_assert_cmpuint(part->boxes->len, ==, 7);
    static const char *const words[] = {"Rent", "is", "410", "crowns.", "Paid", "in", "May."};
    for (guint i = 0; i < 7; i++) {
        const PdBox *box = &g_array_index(part->boxes, PdBox, i);
        g_assert_cmpmem(part->text->str + box->start, box->end - box->start, words[i],
                        strlen(words[i]));
        /* Origin top left: the baseline of the first line is 100 below the top, of the second 114.
         */
        float baseline = i < 4 ? 100 : 114;
        g_assert_true(box->y0 < baseline && box->y1 > baseline && box->y1 - box->y0 < 16);
    }
    const PdBox *first = &g_array_index(part->boxes, PdBox, 0);
    g_assert_cmpfloat(fabsf(first->x0 - 100), <, 1);
    /* Helvetica's widths (AFM): R 722, e 556, n 556, t 278 thousandths of 12 points. */
    g_assert_cmpfloat(fabsf(first->x1 - (100 + 12 * 2.112f)), <, 1);
    g_assert_cmpuint(c->lines->len, ==, 0);
}

static void
test_columns(void)
{
    g_autoptr(GString) page = g_string_new(NULL);
    for (int i = 0; i < 20; i++) {
        g_autofree char *left = g_strdup_printf("left column line number %d of it", i);
        g_autofree char *right = g_strdup_printf("right column line number %d of it", i);
        show(page, 50, 700 - 14 * i, 10, left);
        show(page, 320, 700 - 14 * i, 10, right);
    }
    const char *pages[] = {page->str};
    g_autoptr(Collected) c = read_pages(pages, 1, "", NULL);
    const char *text = part_of(c, 0)->text->str;
    const char *last_left = strstr(text, "left column line number 19 of it");
    const char *first_right = strstr(text, "right column line number 0 of it");
    g_assert_true(last_left && first_right && last_left < first_right);
}

/* What stands side by side without being prose is read row by row. */
static void
test_rows(void)
{
    g_autoptr(GString) page = g_string_new(NULL);
    show(page, 50, 700, 10, "Depot");
    show(page, 200, 700, 10, "Crates");
    show(page, 50, 688, 10, "Norvik");
    show(page, 200, 688, 10, "14");
    show(page, 50, 600, 10, "1.1");
    show(page, 90, 600, 10, "The supplier delivers within ten days of the order, at its own");
    show(page, 90, 588, 10, "cost, to the depot that the order names.");
    show(page, 50, 576, 10, "1.2");
    show(page, 90, 576, 10, "The buyer pays.");
    const char *pages[] = {page->str};
    g_autoptr(Collected) c = read_pages(pages, 1, "", NULL);
    const PdPart *part = part_of(c, 0);
    g_assert_cmpstr(part->text->str, ==,
                    "Depot\tCrates\nNorvik\t14\n\n"
                    "1.1\tThe supplier delivers within ten days of the order, at its own\n"
                    "cost, to the depot that the order names.\n"
                    "1.2\tThe buyer pays.\n");
    /* Boxes follow their words. */
    const PdBox *crates = &g_array_index(part->boxes, PdBox, 1);
    g_assert_cmpmem(part->text->str + crates->start, crates->end - crates->start, "Crates", 6);
    g_assert_cmpfloat(fabsf(crates->x0 - 200), <, 1);
}

static void
test_pages_without_text(void)
{
    g_autoptr(GString) page = g_string_new(NULL);
    show(page, 100, 700, 12, "Words.");
    const char *mixed[] = {"", page->str, "0 0 600 800 re f", ""};
    g_autoptr(Collected) c = read_pages(mixed, 4, "", NULL);
    g_assert_cmpstr(part_of(c, 0)->path, ==, "page/2");
    g_assert_true(collected_says(c, "partial", "no text layer on pages 1, 3-4; OCR it first"));
    const char *none[] = {"", ""};
    g_autoptr(Collected) empty = read_pages(none, 2, "", NULL);
    g_assert_no_error(empty->error);
    g_assert_cmpuint(empty->documents->len, ==, 0);
    g_assert_true(collected_says(empty, "skipped", "no text layer on pages 1-2"));
}

static void
test_labels_and_limits(void)
{
    g_autoptr(GString) page = g_string_new(NULL);
    show(page, 100, 700, 12, "Words.");
    const char *pages[] = {page->str, page->str, page->str};
    const char *labels = "/PageLabels<</Nums[0<</S/r>>2<</S/D>>]>>";
    g_autoptr(Collected) c = read_pages(pages, 3, labels, NULL);
    g_assert_cmpstr(part_of(c, 1)->label, ==, "ii");
    g_assert_cmpstr(part_of(c, 2)->label, ==, "1");
    PdReadLimits limits = pd_read_limits_default;
    limits.pdf_pages_max = 2;
    g_autoptr(Collected) cut = read_pages(pages, 3, labels, &limits);
    g_assert_cmpuint(((PdDocument *)cut->documents->pdata[0])->parts->len, ==, 2);
    g_assert_true(collected_says(cut, "partial", "first 2 were read (limit)"));
    limits.pdf_pages_max = 10;
    limits.text_bytes_max = 10;
    g_autoptr(Collected) small = read_pages(pages, 3, labels, &limits);
    g_assert_true(collected_says(small, "partial", "from page 2 on not read"));
}

static void
test_hidden(void)
{
    g_autoptr(GString) page = g_string_new(NULL);
    show(page, 100, 700, 12, "Seen by all.");
    g_string_append(page, "1 1 1 rg\n");
    show(page, 100, 660, 12, "Whitewashed");
    g_string_append(page, "0 0 0 rg\n3 Tr\n");
    show(page, 100, 640, 12, "Inkless");
    g_string_append(page, "0 Tr\n");
    show(page, 100, 600, 12, "Redacted");
    g_string_append(page, "95 590 80 30 re f\n");
    const char *pages[] = {page->str};
    g_autoptr(Collected) c = read_pages(pages, 1, "", NULL);
    const PdPart *part = part_of(c, 0);
    g_assert_true(collected_says(c, "hidden text on page 1: 3 of 6 words",
                                 "no model reads them: Whitewashed Inkless Redacted"));
    g_assert_false(collected_says(c, "hidden", "all."));
    g_assert_cmpuint(part->hidden->len, ==, 1); /* they stand one after the other */
    const PdTextRange *range = &g_array_index(part->hidden, PdTextRange, 0);
    g_autofree char *hidden = g_strndup(part->text->str + range->start, range->end - range->start);
    g_assert_true(g_str_has_prefix(hidden, "Whitewashed"));
    g_assert_true(g_str_has_suffix(hidden, "Redacted"));
    g_assert_cmpmem(part->text->str, range->start, "Seen by all.\n\n", 14);
}

/* Two stretches with something to see between them, and the second page is white all over. */
static void
test_hidden_pages(void)
{
    g_autoptr(GString) page = g_string_new(NULL);
    g_autoptr(GString) white = g_string_new("1 1 1 rg\n");
    show(page, 100, 700, 12, "Black words on this line, six and more.");
    g_string_append(page, "1 1 1 rg\n");
    show(page, 100, 660, 12, "first");
    g_string_append(page, "0 0 0 rg\n");
    show(page, 100, 620, 12, "between");
    g_string_append(page, "1 1 1 rg\n");
    show(page, 100, 580, 12, "second");
    show(white, 100, 700, 12, "All of this page is white.");
    const char *pages[] = {page->str, white->str};
    g_autoptr(Collected) c = read_pages(pages, 2, "", NULL);
    const PdPart *part = part_of(c, 0);
    g_assert_cmpuint(part->hidden->len, ==, 2);
    const PdTextRange *range = &g_array_index(part->hidden, PdTextRange, 0);
    g_assert_cmpmem(part->text->str + range->start, range->end - range->start, "first", 5);
    range = &g_array_index(part->hidden, PdTextRange, 1);
    g_assert_cmpmem(part->text->str + range->start, range->end - range->start, "second", 6);
    g_assert_null(part_of(c, 1)->hidden);
    g_assert_true(collected_says(c, "hidden text on page 2: 6 of 6 words",
                                 "so many that they are read all the same"));
}

/* Under a bar, but for an edge of it: nobody can read that.  Under a line, or half out: anybody
 * can. */
static void
test_bar_edges(void)
{
    static const struct {
        const char *word,
            *bar; /* of a word that stands on 100, y: x0 y0 width height, from there */
        gboolean hidden;
    } cases[] = {
        {"Alfa", "-3 -4 %g 17", TRUE},      /* all of it */
        {"Bravo", "-3 -4 %g 17", TRUE},     /* less a point at the right */
        {"Charlie", "1 -4 %g 17", TRUE},    /* less a point at the left */
        {"Delta", "-3 -4 %g 12.4", TRUE},   /* less the tip of the D */
        {"Foxtrot", "-3 -1.5 %g 20", TRUE}, /* less the line's bottom */
        {"Golf", "-3 3.5 %g 1", FALSE},     /* struck out */
        {"Hotel", "-3 -2 %g 1", FALSE},     /* underlined */
        {"Indigo", "18 -4 %g 17", FALSE},   /* its second half */
        {"Juliett", "-3 -4 %g 7", FALSE},   /* its lower half */
        {"Kilo", "60 -4 %g 17", FALSE},     /* beside it */
    };
    /* Widths of the words in Helvetica of 12 points, by its AFM. */
    static const double widths[] = {22, 30, 39, 27, 39, 23.3, 30, 33.4, 36, 21.3};
    g_autoptr(GString) page = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        int y = 740 - 40 * (int)i;
        double x0, y0, height;
        char width[8] = "";
        g_assert_cmpint(sscanf(cases[i].bar, "%lf %lf %7s %lf", &x0, &y0, width, &height), ==, 4);
        double end = strcmp(cases[i].word, "Bravo") == 0 ? widths[i] - 1 : widths[i] + 3;
        show(page, 100, y, 12, cases[i].word);
        g_string_append_printf(page, "%g %g %g %g re f\n", 100 + x0, y + y0, end - x0, height);
    }
    const char *pages[] = {page->str};
    g_autoptr(Collected) c = read_pages(pages, 1, "", NULL);
    const PdPart *part = part_of(c, 0);
    g_autoptr(GString) hidden = g_string_new(NULL);
    for (guint i = 0; part->hidden && i < part->hidden->len; i++) {
        const PdTextRange *range = &g_array_index(part->hidden, PdTextRange, i);
        g_string_append_len(hidden, part->text->str + range->start,
                            (gssize)(range->end - range->start));
        g_string_append_c(hidden, '\n');
    }
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s", cases[i].word);
        g_assert_cmpint(strstr(hidden->str, cases[i].word) != NULL, ==, cases[i].hidden);
    }
}

static void
test_off_page(void)
{
    g_autoptr(GString) page = g_string_new(NULL);
    show(page, 100, 700, 12, "On the page.");
    show(page, 2000, 700, 12, "Far right.");
    show(page, 100, 900, 12, "Above");
    show(page, -300, -700, 12, "Far below 7.");
    show(page, 570, 600, 12, "Cut at its edge, not beyond it");
    const char *pages[] = {page->str};
    g_autoptr(Collected) c = read_pages(pages, 1, "", NULL);
    const PdPart *part = part_of(c, 0);
    g_assert_nonnull(strstr(part->text->str, "On the page."));
    g_assert_null(strstr(part->text->str, "Above"));
    g_assert_true(collected_says(c, "hidden : text off page 1:", "Far right. Above Far below 7."));
    g_assert_null(part->hidden);
    const char *inside[] = {
        "BT /F 12 Tf 0 0 Td (In a corner) Tj ET\nBT /F 12 Tf 590 795 Td (x) Tj ET"};
    g_autoptr(Collected) none = read_pages(inside, 1, "", NULL);
    g_assert_cmpuint(none->lines->len, ==, 0);
    PdReadLimits limits = pd_read_limits_default;
    limits.pdf_outside_bytes_max = 12;
    g_autoptr(Collected) cut = read_pages(pages, 1, "", &limits);
    g_assert_true(
        collected_says(cut, "hidden : text off page 1: at least 3 words", "Far right. A"));
}

/* A page of two fonts, Helvetica both; /M has a character map (ISO 32000-1, 9.10.3). */
static Collected *
read_mapped(const char *content, const char *map, const PdReadLimits *limits)
{
    g_autofree char *cmap = g_strdup_printf(
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def "
        "/CMapType 2 def 1 begincodespacerange <00> <FF> endcodespacerange\n%s"
        "endcmap end end\n",
        map);
    g_autofree char *pdf = g_strdup_printf(
        "%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R"
        "/Resources<</Font<</F 5 0 R/M 6 0 R>>>>>>endobj\n"
        "4 0 obj<</Length %u>>stream\n%s\nendstream endobj\n"
        "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>endobj\n"
        "6 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding"
        "/ToUnicode 7 0 R>>endobj\n"
        "7 0 obj<</Length %u>>stream\n%s\nendstream endobj\ntrailer<</Root 1 0 R>>\n",
        (guint)strlen(content), content, (guint)strlen(cmap), cmap);
    return collect_text("t.pdf", pdf, limits);
}

static void
test_false_map(void)
{
    static const char content[] = "BT /F 12 Tf 100 700 Td (The rent is) Tj ET\n"
                                  "BT /M 12 Tf 100 660 Td (410 crowns) Tj ET\n"
                                  "BT /F 12 Tf 100 620 Td (a year.) Tj ET\n";
    /* 4 and c become 9 and b; the rest of "crowns" stays: fewer than half of its letters. */
    static const char few[] = "4 beginbfchar\n<34> <0039>\n<31> <0038>\n<63> <0062>\n<20> <0020>\n"
                              "endbfchar\n1 beginbfrange\n<6e> <77> <006e>\nendbfrange\n"
                              "1 beginbfchar\n<30> <0030>\nendbfchar\n";
    g_autoptr(Collected) c = read_mapped(content, few, NULL);
    const PdPart *part = part_of(c, 0);
    g_assert_nonnull(strstr(part->text->str, "980 browns"));
    g_assert_true(
        collected_says(c, "hidden : false character map on page 1:",
                       "in 1 of 7 words than the PDF says; no model reads them: 980 (41)"));
    g_assert_cmpuint(part->hidden->len, ==, 1);
    const PdTextRange *range = &g_array_index(part->hidden, PdTextRange, 0);
    g_assert_cmpmem(part->text->str + range->start, range->end - range->start, "980", 3);
    PdReadLimits limits = pd_read_limits_default;
    limits.pdf_false_glyphs_max = 1;
    g_autoptr(Collected) cut = read_mapped(content, few, &limits);
    g_assert_true(collected_says(cut, "hidden : false character map on page 1: after 1 false",
                                 "words were not compared any more"));
    limits.pdf_font_glyphs_max = 3;
    g_autoptr(Collected) blind = read_mapped(content, few, &limits);
    g_assert_true(collected_says(blind, "hidden : a font of page 1 has more than the limit of 3",
                                 "was not compared"));
    /* Maps that say it in other ways, and one that says nothing of a letter. */
    static const char *const honest[] = {
        "1 beginbfrange\n<20> <7e> <0020>\nendbfrange\n",
        "1 beginbfrange\n<61> <7a> <0041>\nendbfrange\n1 beginbfrange\n<20> <39> "
        "<0020>\nendbfrange\n",
        "3 beginbfchar\n<63> <00E7>\n<6f> <00F6>\n<6e> <FF4E>\nendbfchar\n",
        "2 beginbfchar\n<63> <2022>\n<6f> <E123>\nendbfchar\n",
        "1 beginbfchar\n<63> <00630068>\nendbfchar\n",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(honest); i++) {
        g_autoptr(Collected) other = read_mapped(content, honest[i], NULL);
        g_test_message("%s: %s", honest[i], part_of(other, 0)->text->str);
        g_assert_cmpuint(other->lines->len, ==, 0);
        g_assert_null(part_of(other, 0)->hidden);
    }
}

/* --- beside the page's content -----------------------------------------------------------------
 */

/* One page with comments, a form and files; without a list of objects, which poppler makes up. */
static Collected *
read_filled(const PdReadLimits *limits)
{
    static const char pdf[] =
        "%PDF-1.7\n"
        "1 0 obj<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[7 0 R 8 0 R 9 0 R 10 0 R]>>"
        "/Names<</EmbeddedFiles<</Names[(a) 11 0 R]>>>>>>endobj\n"
        "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R"
        "/Resources<</Font<</F 5 0 R>>>>"
        "/Annots[6 0 R 7 0 R 8 0 R 9 0 R 10 0 R 13 0 R 14 0 R 15 0 R]>>endobj\n"
        "4 0 obj<</Length 43>>stream\nBT /F 12 Tf 100 700 Td (A tenancy.) Tj ET \nendstream "
        "endobj\n"
        "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>endobj\n"
        "6 0 obj<</Type/Annot/Subtype/Text/Rect[10 10 30 30]/Contents(Too high)/T(Kay Smith)"
        "/CreationDate(D:20190304120000Z)>>endobj\n"
        "7 0 obj<</Type/Annot/Subtype/Widget/Rect[10 40 90 60]/FT/Tx/T(rent)/TU(Monthly rent)"
        "/V(410)>>endobj\n"
        "8 0 obj<</Type/Annot/Subtype/Widget/Rect[10 70 90 90]/FT/Ch/T(city)/Opt[(Oslo)(Bergen)]"
        "/V(Bergen)>>endobj\n"
        "9 0 obj<</Type/Annot/Subtype/Widget/Rect[10 100 30 120]/FT/Btn/T(agreed)/V/Yes/AS/Yes"
        "/AP<</N<</Yes 16 0 R/Off 16 0 R>>>>>>endobj\n"
        "10 0 obj<</Type/Annot/Subtype/Widget/Rect[10 130 90 150]/FT/Tx/T(empty)/V()>>endobj\n"
        "11 0 obj<</Type/Filespec/F(note.txt)/UF(note.txt)/EF<</F 12 0 R>>>>endobj\n"
        "12 0 obj<</Type/EmbeddedFile/Length 12>>stream\nTake a coat.\nendstream endobj\n"
        "13 0 obj<</Type/Annot/Subtype/Text/Rect[10 160 30 180]/F 2/Contents(Say yes)>>endobj\n"
        "14 0 obj<</Type/Annot/Subtype/Link/Rect[10 190 30 210]/Contents(a link)>>endobj\n"
        "15 0 obj<</Type/Annot/Subtype/FileAttachment/Rect[10 220 30 240]/Contents(See it)"
        "/FS<</Type/Filespec/F(plan.txt)/UF(plan.txt)/EF<</F 17 0 R>>>>>>endobj\n"
        "16 0 obj<</Type/XObject/Subtype/Form/BBox[0 0 20 20]/Length 0>>stream\n\nendstream "
        "endobj\n"
        "17 0 obj<</Type/EmbeddedFile/Length 14>>stream\nPier 4, north.\nendstream endobj\n"
        "trailer<</Root 1 0 R>>\n";
    return collect_text("t.pdf", pdf, limits);
}

static void
test_beside(void)
{
    g_autoptr(Collected) c = read_filled(NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 3);
    const PdDocument *document = collected_find(c, "");
    g_assert_cmpstr(document_part_text(document, "page/1"), ==, "A tenancy.\n");
    g_assert_cmpstr(document_part_text(document, "page/1/comments"), ==,
                    "Comment by Kay Smith, 2019-03-04: Too high\nComment: See it\n"
                    "agreed: checked\ncity: Bergen\nMonthly rent: 410\n");
    g_assert_true(collected_says(c, "hidden : hidden comments on page 1", "Comment: Say yes"));
    g_assert_cmpstr(document_part_text(collected_find(c, "1:note.txt"), ""), ==, "Take a coat.\n");
    g_assert_cmpstr(document_part_text(collected_find(c, "2:plan.txt"), ""), ==,
                    "Pier 4, north.\n");
    g_assert_cmpuint(c->lines->len, ==, 1);
    PdReadLimits limits = pd_read_limits_default;
    limits.text_bytes_max = 20;
    g_autoptr(Collected) cut = read_filled(&limits);
    g_assert_true(collected_says(cut, "partial : from page 1 on not read", "limit of 20 bytes"));
}

/* --- links and outline ------------------------------------------------------------------------ */

/* Where the words stand follows from Helvetica's widths (AFM): "Read the " is 52 points,
 * "terms" 30.
 */
static void
test_links(void)
{
    static const char pdf[] =
        "%PDF-1.7\n"
        "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R"
        "/Resources<</Font<</F 5 0 R>>>>/Annots["
        "<</Type/Annot/Subtype/Link/Rect[152 697 182 712]/A<</S/URI/URI(https://a.example/t.html)>>"
        ">><</Type/Annot/Subtype/Link/Rect[100 677 260 692]/A<</S/URI/URI(https://a.example/)>>>>"
        "<</Type/Annot/Subtype/Link/Rect[100 643 180 656]/A<</S/URI/URI(https://a.example/r)>>>>"
        "<</Type/Annot/Subtype/Link/Rect[100 657 200 672]/A<</S/URI/URI(https://a.example/r)>>>>"
        "<</Type/Annot/Subtype/Link/Rect[100 600 150 610]/Dest[3 0 R/Fit]>>"
        "<</Type/Annot/Subtype/Link/Rect[100 500 150 510]/A<</S/GoToR/F(annex.pdf)/D[0/Fit]>>>>"
        "]>>endobj\n"
        "4 0 obj<</Length 211>>stream\n"
        "BT /F 12 Tf 100 700 Td (Read the terms here.) Tj ET BT /F 12 Tf 100 680 Td (a.example) Tj "
        "ET BT /F 12 Tf 100 660 Td (rules of the) Tj 0 -14 Td (house) Tj 1 g ( obey) Tj ET\n"
        "endstream endobj\n"
        "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>endobj\n"
        "trailer<</Root 1 0 R>>\n";
    g_autoptr(Collected) c = collect_text("t.pdf", pdf, NULL);
    g_assert_cmpstr(part_of(c, 1)->path, ==, "page/1/comments");
    g_assert_cmpstr(part_of(c, 1)->text->str, ==,
                    "Link \"terms\": https://a.example/t.html\n"
                    "Link \"rules of the house obey\": https://a.example/r\n"
                    "Link: annex.pdf\n");
    g_assert_cmpuint(c->lines->len, ==, 1); /* of what is hidden */
    /* A word that cannot be seen is not read in the link either. */
    g_assert_cmpuint(part_of(c, 1)->hidden->len, ==, 1);
    const PdTextRange *hidden = &g_array_index(part_of(c, 1)->hidden, PdTextRange, 0);
    g_assert_cmpmem(part_of(c, 1)->text->str + hidden->start, hidden->end - hidden->start, "obey",
                    4);
    PdReadLimits limits = pd_read_limits_default;
    limits.pdf_links_max = 1;
    g_autoptr(Collected) cut = collect_text("t.pdf", pdf, &limits);
    g_assert_cmpstr(part_of(cut, 1)->text->str, ==, "Link \"terms\": https://a.example/t.html\n");
    g_assert_true(collected_says(cut, "partial", "page 1 has more links than the limit of 1"));
}

/* Two pages; `below`: what lies under the entry "The quay". */
static Collected *
read_outline(const char *below, const PdReadLimits *limits)
{
    g_autofree char *pdf = g_strdup_printf(
        "%%PDF-1.7\n"
        "1 0 obj<</Type/Catalog/Pages 2 0 R/Outlines 7 0 R"
        "/Names<</Dests<</Names[(later)[4 0 R/Fit]]>>>>>>endobj\n"
        "2 0 obj<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2>>endobj\n"
        "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 5 0 R"
        "/Resources<</Font<</F 6 0 R>>>>>>endobj\n"
        "4 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 5 0 R"
        "/Resources<</Font<</F 6 0 R>>>>>>endobj\n"
        "5 0 obj<</Length 43>>stream\nBT /F 12 Tf 100 700 Td (A tenancy.) Tj ET \nendstream "
        "endobj\n"
        "6 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>endobj\n"
        "7 0 obj<</Type/Outlines/First 8 0 R/Last 9 0 R/Count 2>>endobj\n"
        "8 0 obj<</Title(1 The site)/Parent 7 0 R/Next 9 0 R/First 10 0 R/Last 10 0 R/Count 1"
        "/Dest[3 0 R/Fit]>>endobj\n"
        "9 0 obj<</Title<FEFF00C500730065006E>/Parent 7 0 R/Prev 8 0 R/A<</S/GoTo/D(later)>>>>"
        "endobj\n"
        "10 0 obj<</Title(The\\nquay)/Parent 8 0 R/Dest[4 0 R/XYZ 0 700 0]%s>>endobj\n"
        "trailer<</Root 1 0 R>>\n",
        below);
    return collect_text("t.pdf", pdf, limits);
}

static void
test_outline(void)
{
    g_autoptr(Collected) c = read_outline("", NULL);
    g_assert_cmpstr(part_of(c, 2)->path, ==, "outline");
    g_assert_cmpstr(part_of(c, 2)->text->str, ==,
                    "1 The site, page 1\n  The quay, page 2\n\u00c5sen, page 2\n");
    g_assert_cmpuint(c->lines->len, ==, 0);
    PdReadLimits limits = pd_read_limits_default;
    limits.pdf_outline_max = 2;
    g_autoptr(Collected) cut = read_outline("", &limits);
    g_assert_cmpstr(part_of(cut, 2)->text->str, ==, "1 The site, page 1\n  The quay, page 2\n");
    g_assert_true(collected_says(cut, "partial", "the limit is 2 entries"));
    /* An entry that lies under itself. */
    g_autoptr(Collected) endless = read_outline("/First 8 0 R/Last 8 0 R/Count 1", NULL);
    g_assert_true(g_str_has_prefix(part_of(endless, 2)->text->str,
                                   "1 The site, page 1\n  The quay, page 2\n"));
    g_autoptr(GString) nested = g_string_new("/First 11 0 R/Last 11 0 R/Count 1");
    for (guint i = 11; i < 20; i++)
        g_string_append_printf(nested,
                               ">>endobj\n%u 0 obj<</Title(deeper)/Parent %u 0 R/First %u 0 R"
                               "/Last %u 0 R/Count 1",
                               i, i - 1, i + 1, i + 1);
    limits = pd_read_limits_default;
    limits.pdf_outline_depth_max = 4;
    g_autoptr(Collected) deep = read_outline(nested->str, &limits);
    g_assert_cmpstr(
        part_of(deep, 2)->text->str, ==,
        "1 The site, page 1\n  The quay, page 2\n    deeper\n      deeper\n\u00c5sen, page 2\n");
    g_assert_true(collected_says(deep, "partial", "4 inside each other"));
}

/* --- fonts without a Unicode map ---------------------------------------------------------------
 */

/* A line of a font whose codes are numbers of glyphs, and a line of Helvetica. */
static Collected *
read_unmapped(const char *codes, const char *words)
{
    g_autofree char *content = g_strdup_printf("BT /F 12 Tf 100 700 Td (%s) Tj ET "
                                               "BT /G 12 Tf 100 650 Td <%s> Tj ET",
                                               words, codes);
    g_autofree char *pdf = g_strdup_printf(
        "%%PDF-1.7\n"
        "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R"
        "/Resources<</Font<</F 5 0 R/G 6 0 R>>>>>>endobj\n"
        "4 0 obj<</Length %" G_GSIZE_FORMAT ">>stream\n%s\nendstream endobj\n"
        "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>endobj\n"
        "6 0 obj<</Type/Font/Subtype/Type0/BaseFont/None/Encoding/Identity-H/DescendantFonts["
        "<</Type/Font/Subtype/CIDFontType2/BaseFont/None/DW 600/CIDSystemInfo<</Registry(Adobe)"
        "/Ordering(Identity)/Supplement 0>>/FontDescriptor 7 0 R>>]>>endobj\n"
        "7 0 obj<</Type/FontDescriptor/FontName/None/Flags 4/FontBBox[0 0 1000 1000]/ItalicAngle 0"
        "/Ascent 800/Descent -200/CapHeight 700/StemV 80>>endobj\n"
        "trailer<</Root 1 0 R>>\n",
        strlen(content), content);
    return collect_text("t.pdf", pdf, NULL);
}

static void
test_unmapped(void)
{
    g_autoptr(Collected) c = read_unmapped("E001E002E003E004", "Rent is 410 crowns.");
    g_assert_true(collected_says(c, "partial", "fonts without a Unicode map on page 1"));
    g_assert_nonnull(strstr(part_of(c, 0)->text->str, "Rent is 410 crowns."));
    /* The bullet of a list is no reason to doubt the page. */
    g_autoptr(Collected) bullet = read_unmapped("E001", "Rent is 410 crowns, due in May.");
    g_assert_false(collected_says(bullet, "partial", "Unicode map"));
}

/* --- colours ---------------------------------------------------------------------------------- */

static void
append_hex(GString *hex, guint n_bytes, guint64 value)
{
    g_string_append_printf(hex, "%0*" G_GINT64_MODIFIER "x", (int)(2 * n_bytes), value);
}

/* A profile of a screen (ICC.1:2001-04) in hexadecimal: sRGB's primaries with straight curves, or
 * with such as make white of 0 and black of 1. */
static char *
make_profile(gboolean inverted)
{
    static const char *const tags[] = {"rXYZ", "gXYZ", "bXYZ", "wtpt", "rTRC", "gTRC", "bTRC"};
    static const guint32 colors[][3] = {{0x6FA2, 0x38F5, 0x0390},
                                        {0x6299, 0xB785, 0x18DA},
                                        {0x24A0, 0x0F84, 0xB6CF},
                                        {0xF6D6, 0x10000, 0xD32D}};
    enum { HEAD = 128, TABLE = 4 + 7 * 12, COLOR = 20, CURVE = 16, N_COLORS = 4, N_CURVES = 3 };
    GString *hex = g_string_new(NULL);
    append_hex(hex, 4, HEAD + TABLE + N_COLORS * COLOR + N_CURVES * CURVE);
    append_hex(hex, 8, 0x02400000);                 /* version 2.4 */
    append_hex(hex, 8, 0x6D6E747252474220);         /* "mntrRGB " */
    append_hex(hex, 8, 0x58595A2007D00001);         /* "XYZ ", 2000-01 */
    append_hex(hex, 8, 0x0001000000000000);         /* -01, midnight */
    append_hex(hex, 4, 0x61637370);                 /* "acsp" */
    g_string_append_printf(hex, "%0*d", 2 * 28, 0); /* no platform, makers or attributes */
    for (guint i = 0; i < 3; i++)
        append_hex(hex, 4, colors[3][i]); /* D50 */
    g_string_append_printf(hex, "%0*d", 2 * 48, 0);
    append_hex(hex, 4, G_N_ELEMENTS(tags));
    for (guint i = 0, at = HEAD + TABLE; i < G_N_ELEMENTS(tags); i++) {
        guint n = i < N_COLORS ? COLOR : CURVE;
        for (guint k = 0; k < 4; k++)
            append_hex(hex, 1, (guchar)tags[i][k]);
        append_hex(hex, 4, at);
        append_hex(hex, 4, n);
        at += n;
    }
    for (guint i = 0; i < N_COLORS; i++) {
        append_hex(hex, 8, 0x58595A2000000000); /* "XYZ " */
        for (guint k = 0; k < 3; k++)
            append_hex(hex, 4, colors[i][k]);
    }
    for (guint i = 0; i < N_CURVES; i++) {
        append_hex(hex, 8, 0x6375727600000000); /* "curv" */
        append_hex(hex, 8, inverted ? 0x00000002FFFF0000 : 0x000000020000FFFF);
    }
    return g_string_free(hex, FALSE);
}

/* What a profile makes of colours is what is looked at, on every page and for each profile. */
static void
test_profiles(void)
{
    static const char content[] = "/P cs 0 0 0 sc BT /F 12 Tf 100 700 Td (Alfa) Tj ET\n"
                                  "1 1 1 sc BT /F 12 Tf 100 660 Td (Bravo) Tj ET\n"
                                  "/I cs 0 0 0 sc BT /F 12 Tf 100 620 Td (Charlie) Tj ET\n"
                                  "1 1 1 sc BT /F 12 Tf 100 580 Td (Delta) Tj ET\n";
    static const char page[] = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 5 0 R"
                               "/Resources<</Font<</F 6 0 R>>"
                               "/ColorSpace<</P[/ICCBased 7 0 R]/I[/ICCBased 8 0 R]>>>>>>";
    g_autofree char *straight = make_profile(FALSE);
    g_autofree char *inverted = make_profile(TRUE);
    g_autofree char *pdf = g_strdup_printf(
        "%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/OutputIntents[<</Type/OutputIntent"
        "/S/GTS_PDFA1/OutputConditionIdentifier(x)/DestOutputProfile 7 0 R>>]>>endobj\n"
        "2 0 obj<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2>>endobj\n"
        "3 0 obj%sendobj\n4 0 obj%sendobj\n5 0 obj<</Length %u>>stream\n%s\nendstream endobj\n"
        "6 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>endobj\n"
        "7 0 obj<</N 3/Filter/ASCIIHexDecode/Length %u>>stream\n%s>\nendstream endobj\n"
        "8 0 obj<</N 3/Filter/ASCIIHexDecode/Length %u>>stream\n%s>\nendstream endobj\n"
        "trailer<</Root 1 0 R>>\n",
        page, page, (guint)strlen(content), content, (guint)strlen(straight) + 1, straight,
        (guint)strlen(inverted) + 1, inverted);
    g_autoptr(Collected) c = collect_text("t.pdf", pdf, NULL);
    g_assert_true(collected_says(c, "hidden text on page 1: 2 of 4", "them: Bravo Charlie"));
    g_assert_true(collected_says(c, "hidden text on page 2: 2 of 4", "them: Bravo Charlie"));
}

/* Words with the quotes and dashes that the other program straightened. */
static char **
words_of(const char *text)
{
    static const char *const folds[][2] = {{"“", "\""}, {"”", "\""}, {"‘", "'"},
                                           {"’", "'"},  {"–", "-"},  {"—", "-"}};
    GString *plain = g_string_new(text);
    for (gsize i = 0; i < G_N_ELEMENTS(folds); i++)
        g_string_replace(plain, folds[i][0], folds[i][1], 0);
    g_auto(GStrv) pieces = g_strsplit_set(plain->str, " \t\r\n\f", -1);
    GPtrArray *words = g_ptr_array_new();
    for (char **piece = pieces; *piece; piece++) {
        if (**piece)
            g_ptr_array_add(words, g_strdup(*piece));
    }
    g_ptr_array_add(words, NULL);
    g_string_free(plain, TRUE);
    return (char **)g_ptr_array_free(words, FALSE);
}

/* Share of `a` found in `b` in order: greedily, looking a little ahead on either side. */
static double
agreement(char **a, char **b)
{
    enum { AHEAD = 120 };
    guint n_a = g_strv_length(a);
    guint n_b = g_strv_length(b);
    guint n_same = 0;
    guint i = 0;
    guint k = 0;
    while (i < n_a && k < n_b) {
        if (strcmp(a[i], b[k]) == 0) {
            n_same++;
            i++;
            k++;
            continue;
        }
        /* The nearest place where three words agree again. */
        gboolean found = FALSE;
        for (guint sum = 1; sum < AHEAD && !found; sum++) {
            for (guint da = 0; da <= sum && !found; da++) {
                guint x = i + da;
                guint y = k + sum - da;
                if (x + 2 < n_a && y + 2 < n_b && strcmp(a[x], b[y]) == 0 &&
                    strcmp(a[x + 1], b[y + 1]) == 0 && strcmp(a[x + 2], b[y + 2]) == 0) {
                    i = x;
                    k = y;
                    found = TRUE;
                }
            }
        }
        if (!found) {
            i++;
            k++;
        }
    }
    return (double)n_same / n_a;
}

/* --- pictures of text ---------------------------------------------------------------------------
 */

#define SCAN_DPI 200

static const char *const lines[] = {
    "The harbour office of Kvalsund keeps a log of every level",
    "that the gauge has read since the storm of 1987, together",
    "with the name of the observer and the hour of the reading.",
    "Levels below the chart datum are written in brackets; those",
    "who copy the log should leave the brackets where they are.",
    "Corrections are made in red ink and signed by two people.",
};

/* A PDF of one page that is one picture: what pdftoppm draws of the first page of another. */
static void
write_scan(const char *path, const char *folder, const char *original)
{
    const char *const argv[] = {"pdftoppm",    "-gray",  "-r", G_STRINGIFY(SCAN_DPI),
                                "-singlefile", original, NULL};
    gsize n;
    g_autofree char *pgm = run_program(folder, argv, &n);
    int width, height, at = 0;
    g_assert_nonnull(pgm);
    g_assert_cmpint(sscanf(pgm, "P5 %d %d 255%n", &width, &height, &at), ==, 2);
    gsize n_pixels = (gsize)width * (gsize)height;
    g_assert_cmpuint(n, ==, (gsize)at + 1 + n_pixels);
    g_autoptr(GString) pdf = g_string_new("%PDF-1.4\n");
    gsize offsets[5];
    double wide = width * 72.0 / SCAN_DPI, high = height * 72.0 / SCAN_DPI;
    g_autofree char *draw = g_strdup_printf("q %.2f 0 0 %.2f 0 0 cm /I Do Q", wide, high);
    offsets[0] = pdf->len;
    g_string_append(pdf, "1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n");
    offsets[1] = pdf->len;
    g_string_append(pdf, "2 0 obj\n<</Type/Pages/Kids[3 0 R]/Count 1>>\nendobj\n");
    offsets[2] = pdf->len;
    g_string_append_printf(pdf,
                           "3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 %.2f %.2f]"
                           "/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>\nendobj\n",
                           wide, high);
    offsets[3] = pdf->len;
    g_string_append_printf(
        pdf, "4 0 obj\n<</Length %" G_GSIZE_FORMAT ">>stream\n%s\nendstream\nendobj\n",
        strlen(draw), draw);
    offsets[4] = pdf->len;
    g_string_append_printf(pdf,
                           "5 0 obj\n<</Type/XObject/Subtype/Image/Width %d/Height %d"
                           "/ColorSpace/DeviceGray/BitsPerComponent 8/Length %" G_GSIZE_FORMAT
                           ">>stream\n",
                           width, height, n_pixels);
    g_string_append_len(pdf, pgm + at + 1, (gssize)n_pixels);
    g_string_append(pdf, "\nendstream\nendobj\n");
    gsize xref = pdf->len;
    g_string_append(pdf, "xref\n0 6\n0000000000 65535 f \n");
    for (int i = 0; i < 5; i++)
        g_string_append_printf(pdf, "%010" G_GSIZE_FORMAT " 00000 n \n", offsets[i]);
    g_string_append_printf(
        pdf, "trailer<</Size 6/Root 1 0 R>>\nstartxref\n%" G_GSIZE_FORMAT "\n%%%%EOF\n", xref);
    g_assert_true(g_file_set_contents(path, pdf->str, (gssize)pdf->len, NULL));
}

static const PdBox *
box_of(const PdPart *part, const char *word)
{
    const char *at = strstr(part->text->str, word);
    g_assert_nonnull(at);
    for (guint i = 0; i < part->boxes->len; i++) {
        const PdBox *box = &g_array_index(part->boxes, PdBox, i);
        if (box->start == (guint32)(at - part->text->str))
            return box;
    }
    g_assert_not_reached();
}

/* The same page with letters and as a picture of them: the words, and where they stand, agree. */
static void
test_ocr(void)
{
    g_autofree char *program = g_find_program_in_path("tesseract");
    if (!program) {
        g_test_skip("tesseract is not installed (Debian: tesseract-ocr)");
        return;
    }
    g_autoptr(GString) page = g_string_new(NULL);
    for (int i = 0; i < (int)G_N_ELEMENTS(lines); i++)
        show(page, 60, 700 - 24 * i, 14, lines[i]);
    const char *pages[] = {page->str};
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *original = g_build_filename(folder, "letters.pdf", NULL);
    g_autofree char *scan = g_build_filename(folder, "scan.pdf", NULL);
    write_pdf(original, pages, 1, "");
    write_scan(scan, folder, original);

    const PdReadRequest automatic = {.ocr = PD_OCR_AUTO};
    g_autoptr(Collected) letters = collect(original, &automatic, NULL);
    g_autoptr(Collected) c = collect(scan, &automatic, NULL);
    const PdPart *read = part_of(c, 0), *known = part_of(letters, 0);
    g_auto(GStrv) words = words_of(known->text->str);
    g_auto(GStrv) read_words = words_of(read->text->str);
    g_assert_cmpfloat(agreement(words, read_words), >=, 0.97);
    g_assert_true(g_str_has_prefix(read->label, "1, OCR "));
    g_assert_cmpstr(known->label, ==, "1");
    g_assert_true(collected_says(c, "ocr", "1 page read by OCR (tesseract"));
    g_assert_false(collected_says(letters, "OCR", ""));
    static const char *const places[] = {"Kvalsund", "observer", "brackets", "people"};
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        const PdBox *a = box_of(read, places[i]), *b = box_of(known, places[i]);
        g_assert_cmpfloat(fabsf(a->x0 - b->x0), <, 3);
        g_assert_cmpfloat(fabsf(a->x1 - b->x1), <, 4); /* a full stop belongs to its word */
        g_assert_cmpfloat(fabsf((a->y0 + a->y1) - (b->y0 + b->y1)) / 2, <, 4);
    }

    const PdReadRequest off = {.ocr = PD_OCR_OFF};
    g_autoptr(Collected) none = collect(scan, &off, NULL);
    g_assert_true(collected_says(none, "skipped", "no text layer on page 1; OCR it first"));
    const PdReadRequest unknown = {.ocr_languages = "nolang"};
    g_autoptr(Collected) other = collect(scan, &unknown, NULL);
    g_assert_true(collected_says(other, "partial", "tesseract has no data for 'nolang'"));
    g_assert_cmpuint(other->documents->len, ==, 0);
    const PdReadRequest force = {.ocr = PD_OCR_FORCE};
    g_autoptr(Collected) forced = collect(original, &force, NULL);
    g_assert_true(g_str_has_prefix(part_of(forced, 0)->label, "1, OCR "));
    PdReadLimits limits = pd_read_limits_default;
    limits.ocr_pages_max = 0;
    g_autoptr(Collected) over = collect(scan, &automatic, &limits);
    g_assert_true(collected_says(over, "partial", "the limit is 0 pages"));
    remove_folder(folder);
}

/* --- numbers of lines ------------------------------------------------------------------------- */

typedef struct {
    guint n_lines;    /* of each page */
    guint more;       /* lines that a page has more than the one before */
    guint step;       /* points from line to line; 14 is single-spaced */
    gboolean goes_on; /* the numbers do, from page to page */
} Numbering;

/* "NUMBER   The pier of PAGE has LINE piles" on each line, and a foot without a number. */
static char *
numbered_page(const Numbering *numbering, guint page)
{
    GString *content = g_string_new(NULL);
    guint n_lines = numbering->n_lines + page * numbering->more;
    for (guint i = 0; i < n_lines; i++) {
        int y = 760 - (int)(i * numbering->step);
        guint number = i + 1 + (numbering->goes_on ? page * numbering->n_lines : 0);
        g_autofree char *digits = g_strdup_printf("%u", number);
        g_autofree char *text = g_strdup_printf("The pier of %u has %u piles", page, i);
        show(content, number < 10 ? 56 : 50, y, 11, digits);
        show(content, 90, y, 11, text);
    }
    show(content, 250, 40, 9, "COMPLAINT FOR DAMAGES");
    return g_string_free(content, FALSE);
}

static Collected *
read_numbered(const Numbering *numbering, guint n_pages)
{
    g_autoptr(GPtrArray) pages = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < n_pages; i++)
        g_ptr_array_add(pages, numbered_page(numbering, i));
    return read_pages((const char *const *)pages->pdata, n_pages, "", NULL);
}

static void
test_line_numbers(void)
{
    static const struct {
        Numbering numbering;
        guint n_pages;
        gboolean left_out;
    } cases[] = {
        {{28, 0, 25, FALSE}, 3, TRUE},  /* a pleading, double-spaced */
        {{25, 0, 14, FALSE}, 4, TRUE},  /* a transcript */
        {{28, 0, 25, FALSE}, 2, FALSE}, /* too few pages to tell */
        {{20, 0, 14, TRUE}, 4, FALSE},  /* rows of a table */
        {{20, 1, 14, FALSE}, 4, FALSE}, /* tables that each count from 1 */
        {{10, 0, 14, FALSE}, 4, FALSE}, /* short lists */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Collected) c = read_numbered(&cases[i].numbering, cases[i].n_pages);
        PdPart *part = (PdPart *)part_of(c, 1);
        g_autofree char *printed = g_strdup(part->text->str);
        pd_model_text_make(c->documents->pdata[0], TRUE);
        g_assert_nonnull(strstr(printed, "7\tThe pier of 1 has 6 piles\n"));
        if (!cases[i].left_out) {
            g_assert_cmpstr(part->text->str, ==, printed);
            continue;
        }
        g_assert_true(g_str_has_prefix(part->text->str, "The pier of 1 has 0 piles\n"
                                                        "The pier of 1 has 1 piles\n"));
        g_assert_null(strchr(part->text->str, '\t'));
        g_assert_true(g_str_has_suffix(part->text->str, "\nCOMPLAINT FOR DAMAGES\n"));
        g_autoptr(GString) original =
            pd_text_view_original(part->view, part->text->str, part->text->len);
        g_assert_cmpstr(original->str, ==, printed);
    }
}

/* --- contracts -------------------------------------------------------------------------------- */

static void
test_contracts(void)
{
    /* Left out: the one with wide tables, which every program reads in another order, and one
     * whose letters stand so far apart that they are read as words. */
    static const char *const names[][2] = {
        {"BABCOCK_WILCOXENTERPRISES_INC_08_04_2015-EX-10.17-INTELLECTUAL_PROPERTY_AGREEMENT_"
         "between_",
         ".pdf"},
        {"BIOFRONTERAAG_04_29_2019-EX-4.17-SUPPLY_AGREEMENT", ".PDF"},
        {"ETELOS_INC_03_09_2004-EX-10.8-DISTRIBUTOR_AGREEMENT", ".PDF"},
        {"FuseMedicalInc_20190321_10-K_EX-10.43_11575454_EX-10.43_Distributor_Agreement", ".pdf"},
        {"GLOBALTECHNOLOGIESLTD_06_08_2020-EX-10.16-CONSULTING_AGREEMENT", ".PDF"},
        {"HYPERIONSOFTWARECORP_09_28_1994-EX-10.47-EXCLUSIVE_DISTRIBUTOR_AGREEMENT", ".PDF"},
        {"MARSHALLHOLDINGSINTERNATIONAL_INC_04_14_2004-EX-10.15-ENDORSEMENT_AGREEMENT", ".PDF"},
        {"SalesforcecomInc_20171122_10-Q_EX-10.1_10961535_EX-10.1_Reseller_Agreement", ".pdf"},
        {"StaarSurgicalCompany_20180801_10-Q_EX-10.37_11289449_EX-10.37_Distributor_Agreement",
         ".pdf"},
        {"VISIUMTECHNOLOGIES_INC_10_20_2004-EX-10.20-DISTRIBUTOR_AGREEMENT", ".PDF"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *pdf_name = g_strconcat("real/legal/", names[i][0], names[i][1], NULL);
        g_autofree char *txt_name = g_strconcat("real/legal/", names[i][0], ".txt", NULL);
        g_autofree char *pdf = shared_data(pdf_name);
        g_autofree char *txt = pdf ? shared_data(txt_name) : NULL;
        g_autofree char *want = NULL;
        if (!txt)
            return;
        g_assert_true(g_file_get_contents(txt, &want, NULL, NULL));
        g_autoptr(Collected) c = collect(pdf, NULL, NULL);
        g_autofree char *got = collected_text(c);
        g_auto(GStrv) a = words_of(want);
        g_auto(GStrv) b = words_of(got);
        double share = agreement(a, b);
        g_test_message("%s: %.4f of %u words", names[i][0], share, g_strv_length(a));
        g_assert_cmpfloat(share, >=, 0.99);
    }
}

static void
test_scans(void)
{
    g_autofree char *path = shared_data("real/legal/scanned/MARSHALLHOLDINGS-ENDORSEMENT-scan.pdf");
    if (!path)
        return;
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 0);
    g_assert_true(collected_says(c, "no text layer on pages 1-3", "OCR"));
}

static void
test_refused(void)
{
    g_autofree char *locked = shared_data("hostile/pdf-password-user.pdf");
    g_autofree char *noise = locked ? shared_data("hostile/pdf-not-a-pdf.pdf") : NULL;
    if (!noise)
        return;
    g_autoptr(Collected) a = collect(locked, NULL, NULL);
    g_assert_error(a->error, PD_INGEST_ERROR, PD_INGEST_ERROR_ENCRYPTED);
    g_assert_true(collected_says(a, "pdf-password-user.pdf needs a password", "qpdf --decrypt"));
    g_autoptr(Collected) b = collect(noise, NULL, NULL);
    g_assert_error(b->error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT);
    g_assert_true(collected_says(b, "pdf-not-a-pdf.pdf", "damaged"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pdf/words-and-boxes", test_words_and_boxes);
    g_test_add_func("/pdf/columns", test_columns);
    g_test_add_func("/pdf/rows", test_rows);
    g_test_add_func("/pdf/pages-without-text", test_pages_without_text);
    g_test_add_func("/pdf/labels-and-limits", test_labels_and_limits);
    g_test_add_func("/pdf/hidden", test_hidden);
    g_test_add_func("/pdf/hidden-pages", test_hidden_pages);
    g_test_add_func("/pdf/bar-edges", test_bar_edges);
    g_test_add_func("/pdf/off-page", test_off_page);
    g_test_add_func("/pdf/false-map", test_false_map);
    g_test_add_func("/pdf/beside", test_beside);
    g_test_add_func("/pdf/links", test_links);
    g_test_add_func("/pdf/outline", test_outline);
    g_test_add_func("/pdf/unmapped", test_unmapped);
    g_test_add_func("/pdf/profiles", test_profiles);
    g_test_add_func("/pdf/ocr", test_ocr);
    g_test_add_func("/pdf/line-numbers", test_line_numbers);
    g_test_add_func("/pdf/contracts", test_contracts);
    g_test_add_func("/pdf/scans", test_scans);
    g_test_add_func("/pdf/refused", test_refused);
    return g_test_run();
}
