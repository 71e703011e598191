/*
 * A question answered: choose what to read, read it, decode, cite.  The whole answer as data;
 * printing is the front end's.
 */
#ifndef PD_ASK_H
#define PD_ASK_H

#include "engine/sampler.h"
#include "prompts/cite.h"
#include "prompts/context.h"
#include "prompts/find.h"
#include "prompts/stated.h"
#include "prompts/warm.h"

typedef struct {
    PdArm arm;
    int budget_tokens;     /* passages read when swept, in tokens; 0: default */
    int fresh_tokens;      /* of them, the best, this many are run again; 0: default */
    int max_answer_tokens; /* 0: default */
    int rerank; /* swept, arm BOTH: so many of the best blocks are put in order by reading them
                   (rerank.h); 0: as the model's profile has it, negative: none */
    int think_tokens; /* the longest reasoning before the answer, of a model that does; 0: none */
    PdSamplerOptions sampler;
    PdCiteMethod cite;
    gboolean reread;  /* swept: run the passages again instead of taking their kept rows */
    gboolean once;    /* swept: read the whole budget at once */
    GArray *passages; /* swept: read these PdPassage instead of sweeping (empty: none); borrowed */
    PdModel *reader;  /* swept: reads what the context's model found; NULL: that model itself */
} PdAskOptions;

#define PD_ASK_BUDGET_TOKENS 1536
#define PD_ASK_FRESH_TOKENS 400
/* How many blocks that comes to. */
guint pd_ask_n_rerank(const PdContext *context, const PdAskOptions *options);
#define PD_ASK_ANSWER_TOKENS 256
/* Grows with every change by which the same rows may answer a question otherwise (how blocks are
 * found and ranked, readings, prompts, the check), so that a measurement does not go on with
 * another program's answers. */
#define PD_ASK_RULES 5

/* A sentence of the answer and what it rests on. */
typedef struct {
    char *text;
    int citation;  /* index in `citations`, -1: none */
    float *shares; /* of its attention on passages, the part of each: (n_passages) */
} PdSentence;

typedef enum { PD_ANSWERED, PD_NOT_FOUND } PdAnswerStatus;

typedef struct {
    PdAnswerStatus status;
    GString *text;    /* as streamed, without markers */
    char *withheld;   /* an answer that what was read does not state; NULL: none */
    gboolean near;    /* it fell short of that by PD_SUPPORT_NEAR at most (support.h) */
    gboolean checked; /* whether what was read states it (support.h) */
    double support;   /* then: log-odds */
    PdStated stated;  /* by a sentence of what is cited, in words (stated.h) */
    float likelihood; /* of the block most likely to be asked for so (rerank.h); 0: none was read */
    GPtrArray *unread_names;    /* of the question, that stand in nothing that was read (names.h);
                                   NULL: not looked for */
    GArray *sentences;          /* PdSentence */
    GArray *citations;          /* PdCitation, each once */
    GArray *withheld_citations; /* PdCitation, of what was withheld */
    GArray *passages;           /* PdPassage: what was read (the last time) */
    guint n_readings;
    GArray *blocks;    /* PdBlock, best first; NULL when read whole */
    PdArm arm;         /* what found them: never AUTO */
    PdCiteMethod cite; /* how sentences got their passages: never AUTO */
    gboolean attended; /* attention was recorded: shares say something */
    char *reader;      /* name of the model that read and answered */
    PdWarmReport warm;
    guint n_prompt_tokens;
    guint n_reused_tokens; /* of the prompt: rows that came from the store */
    guint n_answer_tokens;
    guint n_thought_tokens; /* of reasoning before it, which is neither shown nor cited */
    /* By the draft block of a model that has one: answers are the same without. */
    guint n_guesses;
    guint n_guesses_used; /* right ones that spared a pass of the model */
    double sweep_seconds;
    double read_seconds;        /* of all readings, as decode_seconds */
    double first_token_seconds; /* from the call to the first token, warming included */
    double decode_seconds;
    gboolean truncated; /* the answer hit its limit */
} PdAnswer;

void pd_answer_free(PdAnswer *answer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdAnswer, pd_answer_free)

/* The stage in which what is missing in the store is read; tokens of the corpus. */
#define PD_ASK_STAGE_WARM "reading the corpus"

/* What a front end may show while it lasts; every member may be NULL. */
typedef struct {
    void (*stage)(const char *stage, guint64 done, guint64 total, gpointer user_data);
    void (*text)(const char *piece, gpointer user_data);              /* whole UTF-8 characters */
    void (*sentence)(const PdSentence *sentence, gpointer user_data); /* after its last piece */
    void (*answered)(guint question, const PdAnswer *answer, gpointer user_data); /* in order */
    gpointer user_data;
} PdAskEvents;

/* What is missing in the store is read first.  Keeps everything finished when cancelled. */
PdAnswer *pd_ask(PdContext *context, const char *question, const PdAskOptions *options,
                 const PdAskEvents *events, GCancellable *cancellable, GError **error);

/*
 * Several questions, an array of PdAnswer in their order, each as pd_ask gives it: the corpus is
 * warmed and swept once for all of them, up to PD_ASK_TOGETHER prompts are read and answers decoded
 * at a time, as far as their KV fits PD_ASK_TOGETHER_BYTES; read_seconds and decode_seconds are
 * then of all of these.  `text` and `sentence` do not say whose they are.  Free with
 * g_ptr_array_unref.
 */
GPtrArray *pd_ask_batch(PdContext *context, const char *const *questions, guint n,
                        const PdAskOptions *options, const PdAskEvents *events,
                        GCancellable *cancellable, GError **error);
#define PD_ASK_TOGETHER 16
#define PD_ASK_TOGETHER_BYTES (512u << 20)

/* Does the text say, in one of a model's ways, that the corpus does not hold the answer? */
gboolean pd_says_not_found(const char *text);

/* The answer as one JSON object (schema pandect.answer/1).  `why`: with the scored blocks and where
 * each sentence's attention went.  Free
 * with g_free. */
char *pd_answer_to_json(PdContext *context, const char *question, const PdAnswer *answer,
                        gboolean why, GError **error);

#endif
