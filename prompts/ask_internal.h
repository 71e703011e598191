/* What the parts of ask share: ask.c reads a corpus as one text, ask_swept.c what is found in it,
 * ask_decode.c decodes and cites. */
#ifndef PD_ASK_INTERNAL_H
#define PD_ASK_INTERNAL_H

#include "engine/session.h"
#include "prompts/ask.h"

/* Questions asked together. */
typedef struct {
    PdContext *context; /* what finds */
    PdContext *view;    /* what reads: the context itself or another model's (reader.h) */
    const PdAskOptions *options;
    const PdAskEvents *events;
    GCancellable *cancellable;
    gint64 started_us;
    PdCiteMethod cite;  /* not AUTO */
    gboolean attended;  /* the session records attention */
    PdSession *session; /* of the view's model; a sequence a question that is being answered */
    /* A small model is quicker and more often right with little before it: more is read only if
     * what it says then is not stated there. */
    const PdReadings *readings; /* of the view's profile */
    guint reading;              /* the present one */
} Batch;

/* All that one question's run holds. */
typedef struct {
    Batch *batch;
    const char *question;
    int sequence;
    GArray *read;    /* PdPassage of the view */
    GArray *prompt;  /* the prompt up to, not including, its last token */
    int n_read_rows; /* of the prompt: up to the last passage */
    gint32 next[2];  /* to be run: the prompt's last token, so that its attention is recorded, then
                        the answer's; behind it the one that the model's draft block expects there,
                        or -1 */
    gboolean ahead;  /* that one was right: it is run already, its logits are the second row */
    PdAnswer *answer;
    PdSampler *sampler;
    GArray *made;      /* gint32: reasoning and answer so far */
    guint n_thought;   /* of them, reasoning */
    gboolean thinking; /* the next token is reasoning */
    PdUtf8Stream *utf8;
    GString *sentence;
    float *attention;   /* summed over the present sentence, one per prompt row */
    float *logits;      /* (2, n_vocab) */
    gint64 decoding_us; /* when the first token was there */
    gboolean done;
    gboolean unsure; /* what was made so far is not stated enough: read more */
} Ask;

void pd_ask_clear(Ask *ask);
/* Forget what was read and made, all but the answer. */
void pd_ask_clear_reading(Ask *ask);
/* Drop everything that was made of an answer; its figures stay. */
void pd_answer_begin(PdAnswer *answer);

/* Is the answer checked before it is shown? */
gboolean pd_ask_checks(const Ask *ask);
/* Rows behind an answer: " [12]" of a citation by id, or the check in place of question and answer.
 */
#define PD_ASK_ROOM 48

void pd_ask_tell_stage(Batch *batch, const char *stage, guint64 done, guint64 total);
/* A PdWarmProgress that tells it; user_data: the batch. */
void pd_ask_on_warm(guint64 done, guint64 total, gpointer user_data);

/* A session for n questions with prompts of at most prompt_tokens, in place of the present one. */
gboolean pd_ask_new_session(Batch *batch, int n, int prompt_tokens, GError **error);
/* Question and opening of the answer behind what the prompt holds. */
void pd_ask_finish_prompt(Ask *ask);

PdAnswer *pd_answer_new(void);
int pd_ask_answer_limit(const PdAskOptions *options);
/* Rows of reasoning, its end and the answer. */
int pd_ask_made_limit(const PdAskOptions *options);
double pd_ask_seconds_since(gint64 started_us);

/* Answer all questions from a swept corpus. */
gboolean pd_ask_swept(Batch *batch, GPtrArray *asks, GError **error);
/* Decode the answers of n questions whose prompts their sequences hold, together. */
gboolean pd_ask_decode(Batch *batch, Ask **asks, guint n, GError **error);

#endif
