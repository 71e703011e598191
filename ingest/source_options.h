/*
 * How a source is read, as it is remembered with it: the options of `pandect add` that change what
 * comes out of it.
 *
 * Written as a line "name=value" each (or "name"), in a fixed order, values escaped as C strings;
 * "" is how a source is read that nothing was said about.
 */
#ifndef PD_SOURCE_OPTIONS_H
#define PD_SOURCE_OPTIONS_H

#include "ingest/reader.h"

/* What a request asks for.  Free with g_free. */
char *pd_source_options_of(const PdReadRequest *request);

/* What holds for a source that was read with `before` when `given` is asked for: each option that
 * is given takes the place of the one before, and of those that it excludes (--rev, --diff and
 * --work-tree); the others stay.  Free with g_free. */
char *pd_source_options_merge(const char *before, const char *given);

/* Sets the request's fields; the strings belong to `owner` (g_free). */
void pd_source_options_apply(const char *options, PdReadRequest *request, GPtrArray *owner);

/* As on the command line: "--rev v1 --include 'a b'"; "" as "no options".  Free with g_free. */
char *pd_source_options_show(const char *options);

#endif
