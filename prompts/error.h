/* The error domain of prompts/: where documents and model meet. */
#ifndef PD_PROMPTS_ERROR_H
#define PD_PROMPTS_ERROR_H

#include <glib.h>

typedef enum {
    PD_PROMPTS_ERROR_EMPTY,     /* the corpus holds no text */
    PD_PROMPTS_ERROR_TOO_LONG,  /* the question does not fit */
    PD_PROMPTS_ERROR_CORPUS,    /* stored bytes and what was encoded disagree */
    PD_PROMPTS_ERROR_QUESTIONS, /* a file of questions is not what it should be */
} PdPromptsError;

#define PD_PROMPTS_ERROR (pd_prompts_error_quark())
GQuark pd_prompts_error_quark(void);

#endif
