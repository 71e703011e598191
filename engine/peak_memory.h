/* The most memory that this process has held. */
#ifndef PD_PEAK_MEMORY_H
#define PD_PEAK_MEMORY_H

#include <glib.h>

/* Bytes resident at most since pd_peak_memory_reset or the start, mapped files that were touched
 * included; 0: not known. */
guint64 pd_peak_memory_bytes(void);
/* Starts the high-water mark anew (proc(5), Linux); a kernel that refuses leaves it higher. */
void pd_peak_memory_reset(void);

#endif
