/* What comments of a document are about: the text between two marks. */
#ifndef PD_ANCHORS_H
#define PD_ANCHORS_H

#include <glib.h>

typedef struct PdAnchors PdAnchors;
PdAnchors *pd_anchors_new(void);
void pd_anchors_free(PdAnchors *anchors);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdAnchors, pd_anchors_free)

/* The text from here on, in block number `block`, is what the comment `id` (owned) is about ... */
void pd_anchors_open(PdAnchors *anchors, char *id, guint block);
/* ... up to here. */
void pd_anchors_close(PdAnchors *anchors, const char *id);
void pd_anchors_append(PdAnchors *anchors, const char *text);

/* "Ann Lee, 2024-02-03, on ¶ 12 "90 crowns": " for what stands before the comment; `author`, `date`
 * (ISO 8601) and `id` may be NULL.  Free with g_free. */
char *pd_anchors_head(const PdAnchors *anchors, const char *id, const char *author,
                      const char *date);

#endif
