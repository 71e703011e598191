/*
 * Chat templates, recognised per family from the model file and rendered here, in C: the template
 * program in the file is never run.  The rendered markers are special tokens, everything a person
 * or a document wrote is encoded as ordinary text.
 */
#ifndef PD_CHAT_H
#define PD_CHAT_H

#include <glib.h>
#include "engine/tokenizer.h"

typedef enum {
    PD_CHAT_NONE,   /* base model: plain text, "Question:" / "Answer:" lines */
    PD_CHAT_CHATML, /* Qwen, SmolLM2 */
    PD_CHAT_LLAMA3,
    PD_CHAT_GEMMA,
    PD_CHAT_DEEPSEEK4,
} PdChatFamily;

typedef enum { PD_ROLE_SYSTEM, PD_ROLE_USER, PD_ROLE_ASSISTANT } PdRole;

/* Recognise from the chat template's text (NULL: none) and the special tokens present.  DeepSeek-V4
 * has no template; its markers are enough. */
PdChatFamily pd_chat_recognise(const char *template_text, const PdTokenizer *tok);
const char *pd_chat_family_name(PdChatFamily family);

/* BOS if the model or the family's grammar wants one, and nothing else. */
void pd_chat_begin(PdChatFamily family, const PdTokenizer *tok, GArray *ids);
/* The marker that opens a turn of this role.  Gemma has no system role: it is rendered as the
 * first lines of the user turn.  A turn of DeepSeek-V4's assistant is opened without reasoning, as
 * every turn before the last question is. */
void pd_chat_open(PdChatFamily family, const PdTokenizer *tok, PdRole role, GArray *ids);
/* Opens the turn that the model is to write; `thinks`: with reasoning first, where the family has a
 * mode for it.  Everything before this call is the same in either mode. */
void pd_chat_open_answer(PdChatFamily family, const PdTokenizer *tok, gboolean thinks, GArray *ids);
/* Whether the family has a mode of reasoning before the answer. */
gboolean pd_chat_thinks(PdChatFamily family);
/* The token that ends the reasoning; the family must have it. */
guint32 pd_chat_end_of_reasoning(PdChatFamily family, const PdTokenizer *tok);

/* What a token that a model has made means for its turn. */
typedef enum {
    PD_CHAT_TOKEN_TEXT,
    PD_CHAT_TOKEN_REASONING, /* reasoning begins */
    PD_CHAT_TOKEN_ANSWER,    /* the answer begins, or goes on */
    PD_CHAT_TOKEN_END,       /* another turn or a call of a tool: the answer is over */
} PdChatToken;
PdChatToken pd_chat_token(PdChatFamily family, const PdTokenizer *tok, guint32 id);

/* Ordinary text, special matching off. */
void pd_chat_text(PdChatFamily family, const PdTokenizer *tok, const char *bytes, gsize n,
                  GArray *ids);
/* The marker that closes a turn. */
void pd_chat_close(PdChatFamily family, const PdTokenizer *tok, PdRole role, GArray *ids);

#endif
