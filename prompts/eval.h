/*
 * The recall certificate: how much of what a corpus says is found and answered, measured on the
 * user's own corpus.
 *
 * For each length the corpus is copied, shortened to whole documents chosen by the seed, and facts
 * with known answers are planted in it as lines of their own (eval_plan.h); then it is an ordinary
 * corpus, read once, to which all questions are put through pd_ask.  Answers are judged by string
 * rules (pd_fact_answered), never by a model.  The same seed gives the same corpus, questions and
 * places.
 */
#ifndef PD_EVAL_H
#define PD_EVAL_H

#include "prompts/ask.h"
#include "prompts/facts.h"

typedef enum {
    PD_EVAL_NEEDLE,  /* planted statements: literal, multi-key, multi-value, paraphrase */
    PD_EVAL_HOPS,    /* two planted statements in two documents */
    PD_EVAL_ABSENT,  /* questions of the same form that nothing answers */
    PD_EVAL_COREF,   /* the corpus's own mails: the nth of several alike */
    PD_EVAL_REPOFN,  /* the corpus's own functions by their comment, which is taken out */
    PD_EVAL_CITE,    /* a view of the others: does the citation point at the place */
    PD_EVAL_FIDELITY /* a view of the others: the place's rank in the index, agreement with dense */
} PdEvalTask;
#define PD_EVAL_N_TASKS (PD_EVAL_FIDELITY + 1)

typedef enum {
    PD_EVAL_ARM_HYBRID,  /* swept: what `ask` does with a large corpus */
    PD_EVAL_ARM_SWEEP,   /* the same without the words' insurance: retrieval heads alone */
    PD_EVAL_ARM_RAG,     /* BM25's best passages in the same window, same reader */
    PD_EVAL_ARM_ORACLE,  /* the passages of the places, nothing else */
    PD_EVAL_ARM_CEILING, /* dense over 4,096 tokens: those passages among others of the corpus */
    PD_EVAL_ARM_CLOSED,  /* no passage at all */
    PD_EVAL_ARM_DENSE    /* the whole corpus in the model's window */
} PdEvalArm;
#define PD_EVAL_N_ARMS (PD_EVAL_ARM_DENSE + 1)
#define PD_EVAL_CEILING_TOKENS 4096

const char *pd_eval_task_name(PdEvalTask task); /* "needle" */
const char *pd_eval_arm_name(PdEvalArm arm);    /* "closed-book" */
/* FALSE: no such name. */
gboolean pd_eval_task_parse(const char *name, PdEvalTask *task);
gboolean pd_eval_arm_parse(const char *name, PdEvalArm *arm);

typedef struct {
    guint tasks; /* bits: 1 << PdEvalTask */
    guint arms;  /* bits: 1 << PdEvalArm */
    guint items; /* questions a subtask */
    guint64 seed;
    gboolean no_read; /* only where the places rank; nothing is generated */
    PdKvTier kv;      /* what is kept of the copy */
    PdAskOptions ask; /* budget and so on, for all arms; `passages` is not used */
} PdEvalOptions;

/* Bytes of a part in which the answer stands. */
typedef struct {
    gint64 part_id;
    guint32 start;
    guint32 end;
} PdEvalPlace;

/* A question with all that judging its answer needs. */
typedef struct {
    PdEvalTask task;
    const char *subtask; /* "literal"; the task's name where there is one kind only */
    guint index;         /* among those of its subtask */
    PdFact *fact;        /* question and accepted answers, owned */
    GArray *places;      /* PdEvalPlace; empty: the corpus does not say */
    const char *depth; /* where the first place was aimed at: "25", "segment"; NULL: not planted */
} PdEvalItem;

/* A corpus made for measuring. */
typedef struct {
    PdCorpus *corpus;
    guint64 n_wanted; /* tokens asked for; 0: the whole corpus */
    guint64 n_tokens; /* as tokenized, without headers */
    guint n_documents;
    GPtrArray *items; /* PdEvalItem, the first of each subtask first */
    GPtrArray *notes; /* char *: what could not be asked and why */
} PdEvalCorpus;

/* The corpus of one length (0: all) in the folder `dir`: the one that an earlier call made there of
 * the same documents with the same options, else a new one, made beside it ("DIR.part") and renamed
 * when nothing is missing.  Any other corpus in `dir` is an error. */
PdEvalCorpus *pd_eval_corpus_new(PdCorpus *from, PdTokenizer *tokenizer,
                                 const PdEvalOptions *options, guint64 n_tokens, const char *dir,
                                 GCancellable *cancellable, GError **error);
void pd_eval_corpus_free(PdEvalCorpus *eval);
/* What its results are filed under: the tokens asked for, or counted where all were. */
guint64 pd_eval_corpus_length(const PdEvalCorpus *eval);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdEvalCorpus, pd_eval_corpus_free)

/* One question in one arm.  Self-contained: outlives corpus and items. */
typedef struct {
    PdEvalTask task;
    const char *subtask;
    guint index;
    const char *depth;
    PdEvalArm arm;
    guint64 length; /* tokens of the corpus, 0 asked for: as counted */
    char *question;
    char **gold; /* accepted answers */
    guint n_places;
    char *place;       /* the first, for people; NULL: none */
    gboolean answered; /* something was generated; FALSE with --no-read */
    char *answer;
    gboolean right;
    gboolean refused; /* said that the corpus does not say */
    char *withheld;   /* what it would have said, had its check let it; NULL: nothing */
    gboolean withheld_right;
    gboolean checked; /* then: */
    double support;   /* of the answer (support.h) */
    guint rank;       /* of the worst of the places' best blocks, from 1; 0: not ranked */
    gboolean ranked;  /* there was a ranking, be it one of no block at all */
    guint n_blocks;   /* among so many */
    gboolean read;    /* all places stood in the prompt */
    guint n_citations;
    gboolean cited; /* a citation overlaps a place */
    guint n_prompt_tokens;
    double seconds;
} PdEvalResult;
void pd_eval_result_free(PdEvalResult *result);
/* Where the result of a question in an arm stands; FALSE: there is none. */
gboolean pd_eval_results_find(GPtrArray *results, guint64 length, const char *subtask, guint index,
                              PdEvalArm arm, guint *at);

typedef struct {
    void (*stage)(const char *stage, guint64 done, guint64 total, gpointer user_data);
    void (*result)(const PdEvalResult *result, gpointer user_data);
    gpointer user_data;
} PdEvalEvents;

/* Puts every question in every arm but those that `results` has for this length already; finished
 * results are appended and stay there on failure and cancellation.  Arms that cannot run add a
 * note. */
gboolean pd_eval_run(PdEvalCorpus *eval, PdModel *model, const PdEvalOptions *options,
                     const PdEvalEvents *events, GPtrArray *results, GCancellable *cancellable,
                     GError **error);

/* --- answers on disk (eval_keep.c) ----------------------------------------------------------- */

/* A file to which answers are appended, a line of JSON each. */
typedef struct PdEvalAnswers PdEvalAnswers;

/* Opens the file, or makes it.  Answers of the same `run` (what they depend on besides the
 * question: program, model, settings) that it holds are appended to `results`; NULL: they are not
 * wanted. */
PdEvalAnswers *pd_eval_answers_open(const char *path, const char *run, GPtrArray *results,
                                    GError **error);
gboolean pd_eval_answers_add(PdEvalAnswers *answers, const PdEvalResult *result, GError **error);
void pd_eval_answers_free(PdEvalAnswers *answers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdEvalAnswers, pd_eval_answers_free)

/* --- report (eval_report.c) ------------------------------------------------------------------ */

/* Wilson's score interval at 95 % for k of n (Wilson 1927); [0, 1] for none. */
void pd_eval_wilson(guint k, guint n, double *low, double *high);

/* Tables of one length's results, for people.  Free with g_free. */
char *pd_eval_table(GPtrArray *results, guint64 length);
/* One JSON object a line: schema pandect.eval.item/1 (`run` as above) and, over all results,
 * pandect.eval/1. */
char *pd_eval_result_json(const PdEvalResult *result, const char *run);
char *pd_eval_summary_json(GPtrArray *results, PdModel *model, const PdEvalOptions *options);
/* A line a group with its header line. */
char *pd_eval_csv(GPtrArray *results);

#endif
