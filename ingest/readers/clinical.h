/* Clinical documents to text: HL7 C-CDA (XML) and FHIR (JSON). */
#ifndef PD_CLINICAL_H
#define PD_CLINICAL_H

#include "ingest/readers/readers.h"

/* Fill `document` from the bytes, and tell in the ledger what is not in its text. */
gboolean pd_clinical_read(const guint8 *bytes, gsize n, PdDocument *document, PdEmitter *emitter,
                          const char *key, GError **error);

/* What both need: a part "section/N" of this label with a text, which is cut to the limit; FALSE:
 * nothing more fits. */
typedef struct {
    PdDocument *document;
    guint64 left;    /* bytes of text that may still come */
    guint number;    /* of the section, from 1 */
    guint depth_max; /* of elements */
    guint section_depth_max;
    guint json_depth_max;
    gboolean cut;
    gboolean too_deep; /* sections were left out */
} PdClinical;
gboolean pd_clinical_add_section(PdClinical *clinical, const char *label, const char *text);

/* The sections of a FHIR resource, or of those of a bundle. */
gboolean pd_fhir_read(const guint8 *bytes, gsize n, PdClinical *clinical, GError **error);

#endif
