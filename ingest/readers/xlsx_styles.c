/* See xlsx_styles.h. */
#include "ingest/readers/xlsx_styles.h"

#include <math.h>
#include <string.h>

#define SECONDS_PER_DAY 86400
/* Day 0 is the last of 1899, but the format counts a 29 February 1900 that never was. */
#define DAYS_TO_1970 25569
#define DAYS_1904 1462
#define DAYS_MAX 2958466 /* the first day of the year 10000 */

PdNumberForm
pd_number_form_of_code(const char *code)
{
    gboolean date = FALSE;
    gboolean time = FALSE;
    gboolean percent = FALSE;
    for (const char *at = code; *at && *at != ';'; at++) {
        if (*at == '"' || *at == '[') { /* text as it is; a colour, currency or condition */
            const char *end = strchr(at + 1, *at == '"' ? '"' : ']');
            /* [h]:mm counts hours. */
            time |= *at == '[' && at[1] && strchr("hHmMsS", at[1]) && end == at + 2;
            if (!end)
                break;
            at = end;
        } else if (*at == '\\' || *at == '_' || *at == '*') {
            if (!*++at)
                break;
        } else if (strchr("yYdD", *at)) {
            date = TRUE;
        } else if (strchr("hHsS", *at)) {
            time = TRUE;
        } else if (*at == '%') {
            percent = TRUE;
        } else if (g_ascii_strncasecmp(at, "General", 7) == 0) {
            at += 6;
        }
    }
    /* "mmm" alone is a month. */
    date |= !time && !percent && strspn(code, "mM") == strlen(code) && *code;
    return date && time ? PD_NUMBER_DATE_TIME
           : date       ? PD_NUMBER_DATE
           : time       ? PD_NUMBER_TIME
           : percent    ? PD_NUMBER_PERCENT
                        : PD_NUMBER_PLAIN;
}

/* Formats that every file has without saying so. */
static PdNumberForm
built_in_form(gint64 id)
{
    if (id == 9 || id == 10)
        return PD_NUMBER_PERCENT;
    if ((id >= 14 && id <= 17) || (id >= 27 && id <= 31) || id == 36 || (id >= 50 && id <= 58))
        return PD_NUMBER_DATE;
    if ((id >= 18 && id <= 21) || (id >= 32 && id <= 35) || (id >= 45 && id <= 47))
        return PD_NUMBER_TIME;
    return id == 22 ? PD_NUMBER_DATE_TIME : PD_NUMBER_PLAIN;
}

GArray *
pd_xlsx_styles_new(PdXml *xml)
{
    GArray *forms = g_array_new(FALSE, FALSE, sizeof(PdNumberForm));
    g_autoptr(GHashTable) codes =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    gboolean in_cells = FALSE;
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event != PD_XML_TEXT && pd_xml_is(xml, "cellXfs"))
            in_cells = event == PD_XML_OPEN;
        if (event != PD_XML_OPEN)
            continue;
        if (pd_xml_is(xml, "numFmt")) {
            gint64 id = pd_xml_number(xml, "numFmtId", -1);
            char *code = pd_xml_attribute(xml, "formatCode");
            g_hash_table_replace(codes, g_memdup2(&id, sizeof id), code ? code : g_strdup(""));
        } else if (in_cells && pd_xml_is(xml, "xf")) {
            gint64 id = pd_xml_number(xml, "numFmtId", 0);
            const char *code = g_hash_table_lookup(codes, &id);
            PdNumberForm form = code ? pd_number_form_of_code(code) : built_in_form(id);
            g_array_append_val(forms, form);
        }
    }
    return forms;
}

/* NULL: no date. */
static char *
date_text(double days, PdNumberForm form, gboolean from_1904)
{
    if (from_1904)
        days += DAYS_1904;
    if (!(days >= 0 && days < DAYS_MAX))
        return NULL;
    if (days < 60 && form != PD_NUMBER_TIME) /* before the day that never was */
        days += 1;
    gint64 seconds = (gint64)floor(days * SECONDS_PER_DAY + 0.5);
    g_autoptr(GDateTime) when =
        g_date_time_new_from_unix_utc(seconds - (gint64)DAYS_TO_1970 * SECONDS_PER_DAY);
    if (!when)
        return NULL;
    if (form == PD_NUMBER_TIME && days >= 1) /* a length of time */
        return g_strdup_printf("%" G_GINT64_FORMAT ":%02d:%02d", seconds / 3600,
                               (int)(seconds / 60 % 60), (int)(seconds % 60));
    return g_date_time_format(when, form == PD_NUMBER_DATE   ? "%Y-%m-%d"
                                    : form == PD_NUMBER_TIME ? "%H:%M:%S"
                                                             : "%Y-%m-%d %H:%M:%S");
}

char *
pd_number_text(const char *number, PdNumberForm form, gboolean from_1904)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    char *end;
    double value = g_ascii_strtod(number, &end);
    if (end == number || *end || !isfinite(value))
        return g_strdup(number);
    if (form >= PD_NUMBER_DATE) {
        char *date = date_text(value, form, from_1904);
        if (date)
            return date;
    }
    /* Spreadsheets count with 15 digits: the file's 0.10000000000000001 is 0.1. */
    gboolean percent = form == PD_NUMBER_PERCENT;
    g_ascii_formatd(text, sizeof text, "%.15g", percent ? value * 100 : value);
    return g_strconcat(text, percent ? "%" : "", NULL);
}
