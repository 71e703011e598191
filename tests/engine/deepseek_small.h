/* The checkpoint of tests/golden/deepseek with room for more positions, in a folder of its own:
 * units of 128 tokens, layers of 4 and 16, a window of 6, a vocabulary of 48. */
#ifndef PD_TESTS_DEEPSEEK_SMALL_H
#define PD_TESTS_DEEPSEEK_SMALL_H

/* A new temporary folder. */
char *small_checkpoint(void);
/* The same with the tokenizer of tests/golden/tokenizer/deepseek-v4.json, and its vocabulary grown
 * to that: it reads text, up to n_positions tokens. */
char *small_text_checkpoint(int n_positions);

#endif
