/* For targets that open compound files with libgsf: it says aloud what it then refuses, and forgets
 * some entries of a damaged directory.  Linked with -Wl,--wrap=gsf_infile_msole_new, so that only
 * this call is free to leak. */
#ifndef PD_FUZZ_COMPOUND_H
#define PD_FUZZ_COMPOUND_H

#include <gsf/gsf-infile-msole.h>
#include <sanitizer/lsan_interface.h>

GsfInfile *__real_gsf_infile_msole_new(GsfInput *source, GError **error);
GsfInfile *__wrap_gsf_infile_msole_new(GsfInput *source, GError **error);

GsfInfile *
__wrap_gsf_infile_msole_new(GsfInput *source, GError **error)
{
    __lsan_disable();
    GsfInfile *infile = __real_gsf_infile_msole_new(source, error);
    __lsan_enable();
    return infile;
}

static void
fuzz_ignore_log(const char *domain, GLogLevelFlags level, const char *text, gpointer user_data)
{
}

static inline void
fuzz_quiet_compound(void)
{
    g_log_set_default_handler(fuzz_ignore_log, NULL);
}

#endif
