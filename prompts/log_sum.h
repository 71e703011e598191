/* Normalizing logits, in double precision. */
#ifndef PD_LOG_SUM_H
#define PD_LOG_SUM_H

#include <glib.h>

/* log of the sum of exponentials of n >= 1 logits; *best: the first largest's place. */
double pd_log_sum_exp(const float *logits, gsize n, gsize *best);

#endif
