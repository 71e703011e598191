/* Numbers of 4 and 8 bits: every code comes back from its value, and a value becomes the nearest
 * code, of two the even; scales are powers of two. */
#include <glib.h>
#include <math.h>
#include "kernels/low_float.h"

typedef float (*ValueFunc)(uint8_t code);
typedef uint8_t (*CodeFunc)(float x);

/* Of the codes 0..largest, which stand for ascending values. */
static uint8_t
nearest(double x, ValueFunc value, int largest)
{
    int best = 0;
    for (int code = 1; code <= largest; code++) {
        double before = fabs(value((uint8_t)best) - x), now = fabs(value((uint8_t)code) - x);
        if (now < before || (now == before && code % 2 == 0))
            best = code;
    }
    return (uint8_t)best;
}

static void
check_codes(ValueFunc value, CodeFunc code, int largest, int sign)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(8);
    for (int i = 0; i <= largest; i++) {
        float x = value((uint8_t)i), next = i < largest ? value((uint8_t)(i + 1)) : 2 * x;
        float middle = (x + next) / 2;
        g_assert_cmpint(code(x), ==, i);
        g_assert_cmpint(code(-x), ==, i | sign);
        g_assert_cmpint(code(middle), ==, nearest(middle, value, largest));
        g_assert_cmpint(code(nextafterf(middle, 0)), ==, i);
        g_assert_cmpint(code(nextafterf(middle, 1e9f)), ==, MIN(i + 1, largest));
    }
    for (int i = 0; i < 20000; i++) {
        float x = ldexpf((float)g_rand_double_range(rand, 1, 2), g_rand_int_range(rand, -14, 10));
        g_assert_cmpint(code(x), ==, nearest(x, value, largest));
        g_assert_cmpint(code(-x), ==, nearest(x, value, largest) | sign);
    }
    g_assert_cmpint(code(INFINITY), ==, largest);
}

static void
test_e4m3(void)
{
    check_codes(pd_e4m3_value, pd_e4m3_code, 0x7e, 0x80);
    g_assert_cmpint(pd_e4m3_code(NAN) & 0x7f, ==, 0x7f);
    g_assert_true(isnan(pd_e4m3_value(0x7f)));
}

static void
test_e2m1(void)
{
    check_codes(pd_e2m1_value, pd_e2m1_code, 7, 8);
}

static void
test_e8m0(void)
{
    for (int code = 1; code < 0xff; code++) {
        float x = pd_e8m0_value((uint8_t)code);
        g_assert_cmpint(pd_e8m0_code(x), ==, code);
        g_assert_cmpint(pd_e8m0_code(nextafterf(x, INFINITY)), ==, code + 1);
        if (code > 1)
            g_assert_cmpint(pd_e8m0_code(nextafterf(x, 0)), ==, code);
    }
    g_assert_cmpint(pd_e8m0_code(INFINITY), ==, 0xff);
    g_assert_cmpint(pd_e8m0_code(NAN), ==, 0xff);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/low-float/e4m3", test_e4m3);
    g_test_add_func("/low-float/e2m1", test_e2m1);
    g_test_add_func("/low-float/e8m0", test_e8m0);
    return g_test_run();
}
