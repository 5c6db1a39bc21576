/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - how far long work is, on standard error: one line that is written over on a
 * terminal, a line each time something is new elsewhere. One thread.
 */
#ifndef CORE_CTL_PROGRESS_H
#define CORE_CTL_PROGRESS_H

#include <glib.h>
#include <stdbool.h>

struct progress { /* all zero is empty */
	bool quiet;
	char *shown; /* what was said last */
	int64_t next_us;
};

/* Nothing is written where the text is what was said last. */
void progress_say(struct progress *progress, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* For work that could say something a thousand times a second: is it time for it? */
bool progress_is_due(struct progress *progress);
/* Ends the line. */
void progress_end(struct progress *progress);

#endif
