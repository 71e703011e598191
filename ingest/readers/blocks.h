/*
 * The text of a word processor's document: blocks (paragraphs and tables), parted by a blank line,
 * so that the number of a block can be told from the text (ingest/locate.c).
 *
 * A section of the document ("body", "footnotes", "comments") becomes parts "body/N", where N is
 * the number of the part's first block, from 1; its label is the heading that it stands under.  A
 * heading is a line of its own that begins with "# " to "###### ", as in Markdown.  A row of a
 * table is a line, its cells are parted by tabs.  No block is empty or holds a blank line.
 */
#ifndef PD_BLOCKS_H
#define PD_BLOCKS_H

#include "ingest/document.h"

typedef struct PdBlocks PdBlocks;

/* Blocks for `document` (borrowed), at most so many bytes. */
PdBlocks *pd_blocks_new(PdDocument *document, guint64 text_bytes_max);
/* Ends tables that are open. */
void pd_blocks_free(PdBlocks *blocks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdBlocks, pd_blocks_free)

/* What follows belongs to another section, whose blocks are counted from 1. */
void pd_blocks_section(PdBlocks *blocks, const char *name);
/* A paragraph, or a line of the open cell.  `level`: 1 to 6 for headings, else 0. */
void pd_blocks_paragraph(PdBlocks *blocks, const char *text, guint level);

void pd_blocks_open_table(PdBlocks *blocks);
void pd_blocks_close_table(PdBlocks *blocks);
void pd_blocks_close_row(PdBlocks *blocks);
void pd_blocks_close_cell(PdBlocks *blocks);

/* Number of the block that was added last, in its section; 0: none. */
guint pd_blocks_number(const PdBlocks *blocks);
/* TRUE: the text reached the limit, and more was left out. */
gboolean pd_blocks_cut(const PdBlocks *blocks);

#endif
