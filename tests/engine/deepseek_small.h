/* The checkpoint of tests/golden/deepseek with room for more positions, in a folder of its own:
 * units of 128 tokens, layers of 4 and 16, a window of 6, a vocabulary of 48. */
#ifndef PD_TESTS_DEEPSEEK_SMALL_H
#define PD_TESTS_DEEPSEEK_SMALL_H

/* A new temporary folder. */
char *small_checkpoint(void);

#endif
