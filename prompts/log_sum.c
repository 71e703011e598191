/* See log_sum.h. */
#include "prompts/log_sum.h"

#include <math.h>

double
pd_log_sum_exp(const float *logits, gsize n, gsize *best)
{
    double sum = 0;

    *best = 0;
    for (gsize i = 1; i < n; i++)
        if (logits[i] > logits[*best])
            *best = i;
    for (gsize i = 0; i < n; i++)
        sum += exp((double)logits[i] - logits[*best]);
    return logits[*best] + log(sum);
}
