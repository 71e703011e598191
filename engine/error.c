#include "engine/error.h"

G_DEFINE_QUARK(pd - engine - error - quark, pd_engine_error)
