/*
 * The default limits of reading, in one place.  Each one that is hit is said in the ledger.
 */
#include "ingest/reader.h"

const PdReadLimits pd_read_limits_default = {
    .file_bytes_max = 256ull << 20,
    .git_file_bytes_max = 1ull << 20,
    .text_bytes_max = 64ull << 20,
    .depth_max = 5,
    .mime_parts_max = 10000,
    .mime_depth_max = 64,
    .pdf_pages_max = 50000,
    .html_depth_max = 2000,
    .document_seconds_max = 120,
    .worker_bytes_max = 1ull << 30,
    .unpacked_bytes_max = 4ull << 30,
    .unpack_ratio_max = 100,
    .archive_entries_max = 100000,
    .ocr_pages_max = 2000,
    .ink_seconds_max = 20,
    .header_bytes_max = 16u << 10,
    .folder_depth_max = 100,
    .rtf_depth_max = 2000,
    .section_depth_max = 20,
    .restarts_max = 50,
    .git_depth_max = 200,
    .git_files_max = 2000000,
    .git_commits_max = 500,
    .git_range_commits_max = 2000,
    .git_file_commits_max = 100,
    .git_searched_commits_max = 20000,
    .git_renamed_files_max = 20000,
    .git_tags_max = 2000,
    .git_tree_lines_max = 1500,
};
