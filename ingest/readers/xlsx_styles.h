/* How numbers in a spreadsheet are shown (ISO/IEC 29500-1, 18.8.30 and 18.17.4). */
#ifndef PD_XLSX_STYLES_H
#define PD_XLSX_STYLES_H

#include "ingest/readers/xml.h"

typedef enum {
    PD_NUMBER_PLAIN,
    PD_NUMBER_PERCENT,
    PD_NUMBER_DATE,      /* days */
    PD_NUMBER_TIME,      /* of a day */
    PD_NUMBER_DATE_TIME, /* both */
} PdNumberForm;

/* PdNumberForm of each cell style, by index; from styles.xml. */
GArray *pd_xlsx_styles_new(PdXml *xml);

/* What a code of a format ("dd/mm/yyyy", "0.0%") makes of a number. */
PdNumberForm pd_number_form_of_code(const char *code);

/* A number as it stands in the file, as text; dates as ISO 8601.  `from_1904`: days are counted
 * from 1904-01-01 on.  Free with g_free. */
char *pd_number_text(const char *number, PdNumberForm form, gboolean from_1904);

#endif
