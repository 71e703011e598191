/*
 * Bytes to token ids and back.
 *
 * Text of documents is encoded with special-token matching off: "<|im_start|>" in a mail is
 * ordinary text.  decode(encode(bytes)) = bytes for any bytes, valid UTF-8 or not, NUL included
 * (byte-level BPE by construction; SentencePiece through byte tokens, except that a literal U+2581
 * cannot be told from a space).
 */
#ifndef PD_TOKENIZER_H
#define PD_TOKENIZER_H

#include <glib.h>
#include "engine/gguf.h"

typedef struct PdTokenizer PdTokenizer;

/* From a GGUF file's tokenizer.ggml.* keys; the tokenizer keeps no reference to the file. */
PdTokenizer *pd_tokenizer_new_from_gguf(const PdGguf *gguf, GError **error);
/* From a Hugging Face tokenizer.json. */
PdTokenizer *pd_tokenizer_new_from_json(const char *path, GError **error);
PdTokenizer *pd_tokenizer_ref(PdTokenizer *tok);
void pd_tokenizer_unref(PdTokenizer *tok);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdTokenizer, pd_tokenizer_unref)

/*
 * Encode n bytes; no BOS, special matching off.  Appends guint32 ids to `ids` and, if `offsets` is
 * not NULL, for each id the byte offset (guint32) where its bytes start.  Thread-safe.
 */
void pd_tokenizer_encode(const PdTokenizer *tok, const char *bytes, gsize n, GArray *ids,
                         GArray *offsets);

/* A place in an encoding across which no two tokens join. */
typedef struct {
    guint32 token; /* index in ids of the first token behind it */
    guint32 start; /* its byte */
} PdPieceStart;

/* The same, and where its pieces begin: appends PdPieceStart to `pieces`. */
void pd_tokenizer_encode_pieces(const PdTokenizer *tok, const char *bytes, gsize n, GArray *ids,
                                GArray *offsets, GArray *pieces);
/*
 * How much of an encoding does not depend on what follows the text?  `text`: n bytes; pieces
 * [first, end): as they were encoded, `start` in bytes of the text.  Returns the index of the last
 * piece before which every text that begins with these n bytes has the same tokens, and behind
 * which its tokens are those of the rest alone; `first` if there is none but that one (or with a
 * pre-tokenizer whose patterns are not known here).
 */
guint pd_tokenizer_settled(const PdTokenizer *tok, const char *text, gsize n, const GArray *pieces,
                           guint first, guint end);

/* Appends the bytes of one token to `out`.  Control tokens give their text only if `special`. */
void pd_tokenizer_decode(const PdTokenizer *tok, guint32 id, gboolean special, GString *out);

guint32 pd_tokenizer_n_vocab(const PdTokenizer *tok);
/* The id of a control token by its text ("<|im_end|>"), or -1. */
gint64 pd_tokenizer_special_id(const PdTokenizer *tok, const char *text);
gint64 pd_tokenizer_bos(const PdTokenizer *tok); /* -1: none */
gint64 pd_tokenizer_eos(const PdTokenizer *tok);
gboolean pd_tokenizer_adds_bos(const PdTokenizer *tok);
gboolean pd_tokenizer_is_control(const PdTokenizer *tok, guint32 id);
/* Ends a generation: EOS, EOT and the family's end-of-turn tokens. */
gboolean pd_tokenizer_is_end(const PdTokenizer *tok, guint32 id);
/* FALSE: the vocabulary has no token for some bytes (SmolLM2: seven control characters and some
 * that occur in no assigned character); encode leaves those out, as the reference does. */
gboolean pd_tokenizer_is_lossless(const PdTokenizer *tok);
/* Hex SHA-256 over vocabulary, merges or scores, pre-tokenizer and special tokens. */
const char *pd_tokenizer_id(const PdTokenizer *tok);
const char *pd_tokenizer_describe(const PdTokenizer *tok); /* "bpe qwen2, 151936 tokens" */

/* Streaming decode that never gives half a UTF-8 character. */
typedef struct PdUtf8Stream PdUtf8Stream;
PdUtf8Stream *pd_utf8_stream_new(void);
void pd_utf8_stream_free(PdUtf8Stream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdUtf8Stream, pd_utf8_stream_free)
/* Adds bytes; appends to `out` what is complete.  Invalid bytes become U+FFFD. */
void pd_utf8_stream_push(PdUtf8Stream *stream, const char *bytes, gsize n, GString *out);
/* The end: an unfinished character becomes U+FFFD. */
void pd_utf8_stream_finish(PdUtf8Stream *stream, GString *out);

#endif
