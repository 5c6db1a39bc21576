/* SPDX-License-Identifier: Apache-2.0 */
/* part_stream.h - how GMime is fed, and made ready. For part_tree.c and part_text.c. */
#ifndef CORE_MAIL_PART_STREAM_H
#define CORE_MAIL_PART_STREAM_H

#include <postern/base.h>

/* Once per process, whoever comes first. */
void part_gmime_init(void);

/*
 * A GMimeStream over bytes that outlive it. It gives GMime whole lines. GMime takes the rest of a
 * line that its buffer has cut for a line of its own, so that a boundary could begin in the middle
 * of a long one, where no other reader sees it; so where a line must be cut, the rest does not
 * begin like a boundary.
 */
struct part_stream;
struct part_stream *part_stream_new(struct pn_slice bytes);
/* From now on the message seems to end here. */
void part_stream_stop(struct part_stream *stream);
/* Also true where a line could not be cut. */
bool part_stream_stopped(const struct part_stream *stream);

#endif
