/* A tiny DeepSeek-V4 checkpoint with random weights, to be changed and written to a folder. */
#ifndef PD_TESTS_DEEPSEEK_FIXTURE_H
#define PD_TESTS_DEEPSEEK_FIXTURE_H

#include <glib.h>

typedef struct {
    char *name;
    const char *dtype; /* of safetensors */
    int n_dims;
    gsize dims[3];
    guint8 *data;
    gsize n_bytes;
} FixtureTensor;

typedef struct {
    GString *config;    /* config.json */
    GPtrArray *tensors; /* FixtureTensor, DeepSeek's names */
    GRand *rand;
} Fixture;

/* Window, CSA, HCA, CSA layers; the first routes by token; hidden size 64, vocabulary 40. */
Fixture *fixture_new(void);
void fixture_free(Fixture *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

FixtureTensor *fixture_find(Fixture *f, const char *name);
void fixture_remove(Fixture *f, const char *name);
/* Adds a tensor of zeros; n_cols 0: a vector of n_rows. */
FixtureTensor *fixture_add(Fixture *f, const char *name, const char *dtype, gsize n_rows,
                           gsize n_cols);
/* FP8 and FP4 of random codes and scales take the place of most of the layers' matrices, and what
 * they stand for in `plain`.  FP8 has scales of 16 rows by 32 columns. */
void fixture_quantise(Fixture *quantised, Fixture *plain);
/* A new temporary folder with config.json and the tensors in n_shards files (1: no index). */
char *fixture_write(Fixture *f, int n_shards);

#endif
