/* GGUF files in several pieces, as gguf-split of llama.cpp makes them. */
#ifndef PD_TEST_GGUF_SPLIT_H
#define PD_TEST_GGUF_SPLIT_H

/* Writes n_files files into `folder`, the tensors of the file at `path` dealt out among them; the
 * path of the first one. */
char *gguf_split(const char *path, const char *folder, int n_files);

#endif
