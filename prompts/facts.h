/*
 * Planted facts: sentences with known answers, made from templates by a seed, for calibration and
 * for the recall certificate.
 *
 * TRAIN and TEST use different template families and different vocabularies, so that what is
 * calibrated on one says something about the other.  No names or sentences are taken from
 * elsewhere.
 */
#ifndef PD_FACTS_H
#define PD_FACTS_H

#include <glib.h>

typedef enum {
    PD_FACT_LITERAL,     /* a statement; the question uses its words */
    PD_FACT_KEY_VALUE,   /* one of many look-alike key-value lines (all planted) */
    PD_FACT_MULTI_VALUE, /* one key, three values in three places; all must be named */
    PD_FACT_PARAPHRASE,  /* the question shares no content word with the statement */
    PD_FACT_HOP,         /* fact A in one document names what fact B in another says more of */
    PD_FACT_ABSENT       /* a question of the same form whose fact is not planted */
} PdFactKind;

typedef enum { PD_FACTS_TRAIN, PD_FACTS_TEST } PdFactSplit;

typedef struct {
    PdFactKind kind;
    char *question;
    GPtrArray *sentences; /* char *, to be planted in different documents; empty when absent */
    GPtrArray *accept;    /* char *: spellings of the answer; MULTI_VALUE: all of them are needed */
} PdFact;

void pd_fact_free(PdFact *fact);
/* n facts of a kind, all different, the same for the same seed.  Free with g_ptr_array_unref. */
GPtrArray *pd_facts_new(PdFactKind kind, PdFactSplit split, guint64 seed, guint n);
/* Does the answer give the fact (any accepted spelling, MULTI_VALUE all; case and white space
 * folded; numbers as whole words)?  For ABSENT: never. */
gboolean pd_fact_answered(const PdFact *fact, const char *answer);

#endif
