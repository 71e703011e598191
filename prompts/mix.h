/* Random numbers that are the same everywhere: SplitMix64 (Steele, Lea and Flood 2014). */
#ifndef PD_MIX_H
#define PD_MIX_H

#include <glib.h>

#define PD_MIX_STEP G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)

/* Every bit of z has a part in every bit of the result. */
static inline guint64
pd_mix_bits(guint64 z)
{
    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The number that a generator in this state gives; its next state is PD_MIX_STEP further. */
static inline guint64
pd_mix(guint64 state)
{
    return pd_mix_bits(state + PD_MIX_STEP);
}

#endif
