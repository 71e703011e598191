/* The engine's error domain.  Messages name the file, the place and a way out. */
#ifndef PD_ENGINE_ERROR_H
#define PD_ENGINE_ERROR_H

#include <glib.h>

typedef enum {
    PD_ENGINE_ERROR_IO,          /* cannot read, map or write */
    PD_ENGINE_ERROR_FORMAT,      /* a file is not what it says it is */
    PD_ENGINE_ERROR_UNSUPPORTED, /* valid, but not handled by this build */
    PD_ENGINE_ERROR_NO_MEMORY,   /* does not fit */
    PD_ENGINE_ERROR_RANGE,       /* an argument lies outside what the model allows */
    PD_ENGINE_ERROR_NOT_FOUND,   /* no such model, no such record */
    PD_ENGINE_ERROR_CORRUPT,     /* checksum mismatch */
    PD_ENGINE_ERROR_CANCELLED,
} PdEngineError;

#define PD_ENGINE_ERROR (pd_engine_error_quark())
GQuark pd_engine_error_quark(void);

#endif
