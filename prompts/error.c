#include "prompts/error.h"

G_DEFINE_QUARK(pd - prompts - error - quark, pd_prompts_error)
