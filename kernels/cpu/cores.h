/* How many threads this process may keep busy. */
#ifndef PD_CORES_H
#define PD_CORES_H

/* CPUs of the affinity mask, cut to the CPU quota of the control group; at least 1. */
int pd_cores(void);

/* CPUs that the text of a cgroup v2 cpu.max file ("200000 100000", "max 100000") allows, rounded
 * up; 0 = no limit or not understood. */
int pd_cores_of_cpu_max(const char *text);

#endif
