/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_lines.h - where headers and bodies end, by the lines of the message and the boundaries of
 * the multiparts that are open. For part_tree.c. A line ends in LF here, as it does for GMime.
 */
#ifndef CORE_MAIL_PART_LINES_H
#define CORE_MAIL_PART_LINES_H

#include <postern/base.h>

struct part_lines {
	struct pn_slice bytes;
	struct pn_slice
	    *open; /* the innermost last; a multipart without boundary has an empty one */
	size_t count, capacity;
};

void part_lines_begin(struct part_lines *lines, struct pn_slice bytes);
void part_lines_free(struct part_lines *lines);
/* `boundary` may be NULL; it must live until closed. */
void part_lines_open(struct part_lines *lines, const char *boundary);
void part_lines_close(struct part_lines *lines);

/* Where the body begins whose header begins at `at`: behind an empty line, or at a boundary. */
size_t part_lines_body(const struct part_lines *lines, size_t at);
/*
 * Behind the last boundary line that begins at or after `at` and ends by `most` (SIZE_MAX: behind
 * the first one); `at` if there is none.
 */
size_t part_lines_behind(const struct part_lines *lines, size_t at, size_t most);
/* Before the line end of the first boundary line at or after `at`, but not before `at`. */
size_t part_lines_end(const struct part_lines *lines, size_t at);
/* The end of a leaf's content, put right: GMime takes two bytes for a line end that had one. */
size_t part_lines_content_end(const struct part_lines *lines, size_t body, size_t end);

#endif
