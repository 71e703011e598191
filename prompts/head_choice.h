/*
 * Which heads find things: retrieval heads chosen from what every head gave every block of a
 * haystack, and how well a set of heads does.
 *
 * Group 0 of the chosen heads is grown on questions that use the words of what they ask for, group
 * 1 on those that do not (paraphrases, functions asked for by what they do).  A group grows
 * greedily.  It takes a head if that gains enough; a head whose keys are not in the index yet has
 * to gain more, and more for each layer that encoding then has to run further.  Every third
 * question of each kind is held out and has no say.
 */
#ifndef PD_HEAD_CHOICE_H
#define PD_HEAD_CHOICE_H

#include "prompts/head_scores.h"

#define PD_HEADS_PER_GROUP 3

typedef struct {
    PdHead heads[PD_PROFILE_HEADS_MAX];
    int n_heads;
} PdHeadSet;

PdHeadSet pd_head_set_choose(const PdHeadScores *scores, const PdHaystack *haystack,
                             const PdModelShape *shape);
/* The heads of one group alone. */
PdHeadSet pd_head_set_group(const PdHeadSet *set, int group);

/* Means over questions of the means over their groups of gold blocks. */
typedef struct {
    guint n; /* questions */
    double mrr;
    double recall[3]; /* at 8, 16 and 32 blocks */
} PdHeadResult;

typedef struct {
    const char *kind; /* NULL: the mean of all kinds */
    PdHeadResult all;
    PdHeadResult held_out;
} PdHeadReport;

/* A row a kind in the order of the haystack's questions, then the mean: GArray of PdHeadReport, to
 * be freed with g_array_unref. */
GArray *pd_head_set_judge(const PdHeadSet *set, const PdHeadScores *scores,
                          const PdHaystack *haystack, const PdModelShape *shape);

/* ranks[g], from 1: the place of group g's best block among the blocks that are in no group; behind
 * half of those that score the same (a header's word gives all blocks of its segment one score). */
void pd_gold_ranks(const float *scores, guint n_blocks, const PdHayQuestion *question,
                   guint *ranks);

#endif
