/*
 * Sampling on logits made by hand: which ids can come out, how often, and that a seed decides.
 * Frequencies are compared with the stated distribution at fixed seeds; the tolerance is five
 * standard deviations of a binomial, which a right sampler misses once in two million.
 */
#include <math.h>
#include <string.h>

#include "engine/sampler.h"

#define N_DRAWS 20000

static const PdSamplerOptions plain = {
    .temperature = 1, .top_p = 1, .min_p = 0, .repetition_penalty = 1, .seed = 42};

/* Logits of the given probabilities. */
static void
logits_of(const double *p, int n, float *logits)
{
    for (int i = 0; i < n; i++)
        logits[i] = p[i] > 0 ? (float)log(p[i]) : -INFINITY;
}

static void
assert_frequencies(const PdSamplerOptions *options, const float *logits, const double *expected,
                   int n)
{
    g_autoptr(PdSampler) s = pd_sampler_new(options);
    int counts[16] = {0};
    for (int i = 0; i < N_DRAWS; i++) {
        gint32 id = pd_sampler_pick(s, logits, n, NULL, 0);
        g_assert_cmpint(id, >=, 0);
        g_assert_cmpint(id, <, n);
        counts[id]++;
    }
    for (int i = 0; i < n; i++) {
        double tolerance = 5 * sqrt(expected[i] * (1 - expected[i]) * N_DRAWS);
        g_assert_cmpfloat(fabs(counts[i] - expected[i] * N_DRAWS), <=, tolerance);
    }
}

static void
test_greedy(void)
{
    static const struct {
        float logits[5];
        gint32 best;
    } cases[] = {
        {{0, 3, 1, 3, 2}, 1}, /* a tie: the lower id */
        {{-5, -4, -3, -2, -1}, 4},
        {{NAN, -7, NAN, -6, NAN}, 3},
        {{NAN, NAN, NAN, NAN, NAN}, 0},
        {{-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY}, 0},
        {{0, INFINITY, 1, INFINITY, NAN}, 1},
    };
    PdSamplerOptions cold = plain;
    cold.temperature = 0;
    g_autoptr(PdSampler) greedy = pd_sampler_new(&cold);
    g_autoptr(PdSampler) warm = pd_sampler_new(&plain);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(pd_sampler_pick(greedy, cases[i].logits, 5, NULL, 0), ==, cases[i].best);
    /* Nothing finite to draw from: as greedy. */
    for (gsize i = 3; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(pd_sampler_pick(warm, cases[i].logits, 5, NULL, 0), ==, cases[i].best);
}

static void
test_temperature(void)
{
    static const double p[4] = {0.5, 0.25, 0.125, 0.125};
    float logits[4];
    logits_of(p, 4, logits);
    assert_frequencies(&plain, logits, p, 4);

    /* Temperature 1/2 squares, temperature 2 takes roots. */
    for (int k = 0; k < 2; k++) {
        PdSamplerOptions o = plain;
        double expected[4], sum = 0;
        o.temperature = k == 0 ? 0.5f : 2.0f;
        for (int i = 0; i < 4; i++)
            sum += expected[i] = pow(p[i], 1 / o.temperature);
        for (int i = 0; i < 4; i++)
            expected[i] /= sum;
        assert_frequencies(&o, logits, expected, 4);
    }
}

static void
test_nan_is_never_drawn(void)
{
    static const double expected[4] = {0, 0.5, 0, 0.5};
    const float logits[4] = {NAN, 1, -INFINITY, 1};
    assert_frequencies(&plain, logits, expected, 4);
}

/* The exact set that top_p keeps, in proportion. */
static void
test_top_p(void)
{
    static const double p[6] = {0.05, 0.4, 0.1, 0.25, 0.05, 0.15};
    static const struct {
        float top_p;
        double kept[6];
    } cases[] = {
        {0.0f, {0, 1, 0, 0, 0, 0}},
        {0.39f, {0, 1, 0, 0, 0, 0}},
        {0.41f, {0, 0.4, 0, 0.25, 0, 0}},
        {0.70f, {0, 0.4, 0, 0.25, 0, 0.15}},
        {0.85f, {0, 0.4, 0.1, 0.25, 0, 0.15}},
        {0.92f, {0.05, 0.4, 0.1, 0.25, 0, 0.15}}, /* of equals the lower id */
        {0.97f, {0.05, 0.4, 0.1, 0.25, 0.05, 0.15}},
        {1.0f, {0.05, 0.4, 0.1, 0.25, 0.05, 0.15}},
    };
    float logits[6];
    logits_of(p, 6, logits);
    for (gsize k = 0; k < G_N_ELEMENTS(cases); k++) {
        PdSamplerOptions o = plain;
        double expected[6], sum = 0;
        o.top_p = cases[k].top_p;
        for (int i = 0; i < 6; i++)
            sum += cases[k].kept[i];
        for (int i = 0; i < 6; i++)
            expected[i] = cases[k].kept[i] / sum;
        assert_frequencies(&o, logits, expected, 6);
    }
}

static void
test_min_p(void)
{
    static const double p[4] = {0.5, 0.3, 0.15, 0.05};
    static const double without_last[4] = {0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0};
    static const double first[4] = {1, 0, 0, 0};
    float logits[4];
    logits_of(p, 4, logits);
    PdSamplerOptions o = plain;
    o.min_p = 0.2f; /* of 0.5: 0.1 */
    assert_frequencies(&o, logits, without_last, 4);
    o.min_p = 0.9f;
    assert_frequencies(&o, logits, first, 4);
    o.min_p = 2;
    assert_frequencies(&o, logits, first, 4);
}

static void
test_seed(void)
{
    float logits[1000];
    gint32 drawn[3][200];
    for (int i = 0; i < 1000; i++)
        logits[i] = sinf(i);
    for (int k = 0; k < 3; k++) {
        PdSamplerOptions o = plain;
        o.seed = k < 2 ? 5 : 6;
        o.top_p = 0.9f;
        g_autoptr(PdSampler) s = pd_sampler_new(&o);
        for (int i = 0; i < 200; i++)
            drawn[k][i] = pd_sampler_pick(s, logits, 1000, NULL, 0);
    }
    g_assert_cmpmem(drawn[0], sizeof drawn[0], drawn[1], sizeof drawn[1]);
    g_assert_cmpint(memcmp(drawn[0], drawn[2], sizeof drawn[0]), !=, 0);
}

static void
test_repetition_penalty(void)
{
    const float logits[3] = {2.0f, 1.8f, -1.0f};
    const gint32 recent[] = {0, 0, -4, 99, 0};
    PdSamplerOptions o = plain;
    o.temperature = 0;
    o.repetition_penalty = 1.2f;
    g_autoptr(PdSampler) s = pd_sampler_new(&o);
    g_assert_cmpint(pd_sampler_pick(s, logits, 3, NULL, 0), ==, 0);
    /* 2.0 / 1.2 < 1.8; three times the same id counts once: 2.0 / 1.2^3 would not matter here,
     * but 1.1 must not be enough to fall below 1.8. */
    g_assert_cmpint(pd_sampler_pick(s, logits, 3, recent, 5), ==, 1);
    o.repetition_penalty = 1.1f;
    g_autoptr(PdSampler) mild = pd_sampler_new(&o);
    g_assert_cmpint(pd_sampler_pick(mild, logits, 3, recent, 5), ==, 0);
    /* Negative logits move away from zero. */
    const float negative[2] = {-1.0f, -1.1f};
    o.repetition_penalty = 1.5f;
    g_autoptr(PdSampler) strong = pd_sampler_new(&o);
    g_assert_cmpint(pd_sampler_pick(strong, negative, 2, recent, 1), ==, 1);
    g_assert_cmpfloat(logits[0], ==, 2.0f);
}

static void
test_pick_of(void)
{
    const float logits[6] = {9, 1, 3, 3, NAN, -INFINITY};
    const gint32 some[] = {1, 3, 2};
    const gint32 odd[] = {4, 5};
    const gint32 one[] = {5};
    const gint32 late[] = {4, 1};
    g_assert_cmpint(pd_sampler_pick_of(logits, some, 3), ==, 2); /* a tie: the lower id */
    g_assert_cmpint(pd_sampler_pick_of(logits, odd, 2), ==, 4);
    g_assert_cmpint(pd_sampler_pick_of(logits, one, 1), ==, 5);
    g_assert_cmpint(pd_sampler_pick_of(logits, late, 2), ==, 1);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sampler/greedy", test_greedy);
    g_test_add_func("/sampler/temperature", test_temperature);
    g_test_add_func("/sampler/nan-is-never-drawn", test_nan_is_never_drawn);
    g_test_add_func("/sampler/top-p", test_top_p);
    g_test_add_func("/sampler/min-p", test_min_p);
    g_test_add_func("/sampler/seed", test_seed);
    g_test_add_func("/sampler/repetition-penalty", test_repetition_penalty);
    g_test_add_func("/sampler/pick-of", test_pick_of);
    return g_test_run();
}
