/*
 * What the tokenizer's files share: the vocabulary, the merge tables, the pre-tokenizer.
 *
 * A token's text is kept as the bytes it stands for (byte-level alphabets and U+2581 are undone at
 * load), so decoding is a copy and merging compares plain bytes.  Everything here is built once by
 * a loader, checked by pd_tokenizer_finish and constant afterwards; only the pool of encoders has a
 * lock, which is held for an instant.
 */
#ifndef PD_TOKENIZER_PRIVATE_H
#define PD_TOKENIZER_PRIVATE_H

#include "engine/tokenizer.h"

#define PD_VOCAB_TOKENS_MAX (1u << 22) /* sixteen times the largest vocabulary known */
#define PD_NO_TOKEN G_MAXUINT32
#define PD_NO_RANK G_MAXUINT32

/* The numbers of GGUF's tokenizer.ggml.token_type. */
typedef enum {
    PD_TOKEN_NORMAL = 1,
    PD_TOKEN_UNKNOWN = 2,
    PD_TOKEN_CONTROL = 3,
    PD_TOKEN_USER = 4, /* matched in text before anything else */
    PD_TOKEN_UNUSED = 5,
    PD_TOKEN_BYTE = 6,
} PdTokenType;

/* vocab.c: tokens in order of id, and the way from a NORMAL token's bytes to its id. */
typedef struct {
    GByteArray *bytes;  /* the texts, one after another */
    GArray *starts;     /* guint32, n + 1 */
    GByteArray *types;  /* PdTokenType, n */
    guint32 *slots;     /* open addressing; id or PD_NO_TOKEN */
    guint32 slots_mask; /* number of slots - 1 */
} PdVocab;

void pd_vocab_init(PdVocab *vocab);
void pd_vocab_clear(PdVocab *vocab);
/* FALSE if the texts together pass 4 GiB. */
gboolean pd_vocab_add(PdVocab *vocab, const char *bytes, gsize n, PdTokenType type);
guint32 pd_vocab_size(const PdVocab *vocab);
const char *pd_vocab_text(const PdVocab *vocab, guint32 id, gsize *n);
PdTokenType pd_vocab_type(const PdVocab *vocab, guint32 id);
void pd_vocab_set_type(PdVocab *vocab, guint32 id, PdTokenType type);
/* Build the hash of NORMAL tokens; of two with the same text the later wins, as in llama.cpp. */
void pd_vocab_index(PdVocab *vocab);
guint32 pd_vocab_find(const PdVocab *vocab, const char *bytes, gsize n);
guint64 pd_hash_bytes(const char *bytes, gsize n);

/* bpe.c: which two tokens join, in which order, to what. */
typedef struct {
    guint64 key; /* left << 32 | right; G_MAXUINT64: empty */
    guint32 rank;
    guint32 result;
} PdPair;

typedef struct {
    guint32 rank; /* PD_NO_RANK: they never join */
    guint32 result;
} PdJoin;

typedef struct {
    PdPair *slots; /* open addressing; a pair lies within one line of the processor's cache */
    guint64 mask;  /* number of slots - 1 */
    gsize n;
    PdJoin *bytes; /* BYTES: of 256 x 256 single bytes once more, with which each piece begins */
} PdPairs;

/* Room for n pairs; FALSE without memory. */
gboolean pd_pairs_init(PdPairs *pairs, gsize n);
void pd_pairs_clear(PdPairs *pairs);
/* The first rank given to a pair stays. */
void pd_pairs_add(PdPairs *pairs, guint32 left, guint32 right, guint32 rank, guint32 result);
/* The same of two bytes' own tokens. */
void pd_pairs_add_bytes(PdPairs *pairs, guint8 left, guint8 right, guint32 rank, guint32 result);

/* pretokenize.c */
typedef struct PdPretokenizer PdPretokenizer;

typedef enum {
    PD_SPLIT_ISOLATED, /* matches and what lies between them are pieces */
    PD_SPLIT_MERGED_WITH_PREVIOUS,
    PD_SPLIT_MERGED_WITH_NEXT,
} PdSplitBehaviour;

PdPretokenizer *pd_pretokenizer_new(void);
void pd_pretokenizer_free(PdPretokenizer *pre);
/* One more stage, applied to each piece of the stage before it. */
gboolean pd_pretokenizer_add(PdPretokenizer *pre, const char *pattern, PdSplitBehaviour behaviour,
                             GError **error);
/* The stages that GGUF files call by name, FALSE and UNSUPPORTED if unknown. */
gboolean pd_pretokenizer_add_named(PdPretokenizer *pre, const char *name, GError **error);
/* GPT-2's own pattern, which byte-level pre-tokenizers use unless told otherwise. */
extern const char pd_pattern_gpt2[];
void pd_pretokenizer_digest(const PdPretokenizer *pre, GChecksum *sum);

/* TRUE: where a piece ends depends on its own bytes, the whitespace behind them and one character
 * more, and nothing before it. */
gboolean pd_pretokenizer_is_local(const PdPretokenizer *pre);

#define PD_PIECES_MAX 256
/* The next n pieces, at most PD_PIECES_MAX: they follow each other from `start`, and each ends at
 * its place in text + ends[i]. */
typedef void (*PdPiecesFunc)(const char *text, gsize start, const guint32 *ends, guint n,
                             gpointer user_data);
/* The pieces of n < 2^32 bytes of valid UTF-8, in order; together they are the text. `func` is
 * called with many at a time.  Thread-safe. */
void pd_pretokenizer_split(const PdPretokenizer *pre, const char *text, gsize n, PdPiecesFunc func,
                           gpointer user_data);

/* tokenizer_encode.c: what encoding needs and keeps between calls. */
typedef struct PdEncoderPool PdEncoderPool;
PdEncoderPool *pd_encoder_pool_new(void);
void pd_encoder_pool_free(PdEncoderPool *pool);

typedef enum {
    PD_TOKENIZER_BYTES,  /* byte-level BPE: symbols are bytes, order by rank */
    PD_TOKENIZER_CHARS,  /* SentencePiece-like BPE of a tokenizer.json: characters, by rank */
    PD_TOKENIZER_SCORES, /* SentencePiece of a GGUF: characters, any two tokens, by score */
} PdTokenizerKind;

struct PdTokenizer {
    gint ref_count;
    PdTokenizerKind kind;
    PdVocab vocab;
    PdPairs pairs;           /* BYTES, CHARS */
    guint32 *score_ranks;    /* SCORES: per token, ascending rank = descending score */
    PdPretokenizer *pre;     /* BYTES */
    gboolean ignore_merges;  /* BYTES: a piece that is a token is that token */
    guint32 byte_ids[256];   /* PD_NO_TOKEN: the vocabulary lacks that byte */
    guint32 *user_tokens;    /* ids by first byte, longest first */
    guint32 user_first[257]; /* where each first byte's ids begin */
    gsize user_bytes_max;    /* the longest of them; 0: there are none */
    int user_byte;           /* with which all of them begin; -1: not with the same */
    guint8 joins_space[32];  /* bit b: some token has byte b followed by a space */
    gint64 bos, eos;
    gboolean adds_bos;
    GHashTable *specials; /* text -> id + 1 of all that is not NORMAL or BYTE */
    guint8 *is_end;       /* per token */
    char *variant;        /* "qwen2", "gemma", the file's name for it */
    char *id;
    char *description;
    PdEncoderPool *encoders;
};

static inline gboolean
pd_tokenizer_spaces_are_marked(const PdTokenizer *tok)
{
    return tok->kind != PD_TOKENIZER_BYTES;
}

/* Loaders: add a token; FALSE if the vocabulary grows absurd. */
gboolean pd_tokenizer_add_token(PdTokenizer *tok, const char *bytes, gsize n, PdTokenType type);
/* After pd_vocab_index: one merge, given as texts; FALSE if the vocabulary lacks one of them.
 * Merges that would make a special token are left out. */
gboolean pd_tokenizer_add_merge(PdTokenizer *tok, const char *left, gsize n_left, const char *right,
                                gsize n_right, guint32 rank);

/* Loaders: an empty tokenizer; then, with vocabulary, merges or scores and bos/eos in place, the
 * rest is derived and checked. `match_user`: USER tokens are looked for in text. */
PdTokenizer *pd_tokenizer_alloc(PdTokenizerKind kind);
gboolean pd_tokenizer_finish(PdTokenizer *tok, gboolean match_user, const char *file,
                             GError **error);
/* Mark one more token as ending a generation; out of range is ignored. */
void pd_tokenizer_add_end(PdTokenizer *tok, guint64 id);

/* Text of a vocabulary file -> the bytes meant.  Byte-level alphabet: FALSE if a character is not
 * of it.  U+2581 -> space. */
gboolean pd_text_from_byte_level(const char *text, gsize n, GByteArray *out);
void pd_text_from_marked_spaces(const char *text, gsize n, GByteArray *out);

/* tokenizer_json.c, for the fuzz target: from memory, `path` for messages; `neighbours`: read the
 * configuration files beside it. */
PdTokenizer *pd_tokenizer_new_from_json_data(const char *text, gsize n, const char *path,
                                             gboolean neighbours, GError **error);

/* bpe.c: one piece to tokens.  Appends ids and, per id, the start within the piece. */
typedef struct PdMerger PdMerger;
PdMerger *pd_merger_new(const PdTokenizer *tok);
void pd_merger_free(PdMerger *merger);
void pd_merger_run(PdMerger *merger, const char *text, gsize n, GArray *ids, GArray *starts);

#endif
