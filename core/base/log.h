/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one structured line per event, logfmt, to standard error.
 *
 *	2026-11-22T10:00:00.123Z notice relay accepted id=06F3K9 from=a@example.org size=1024
 *
 * Any thread. A line is one write, so lines of several processes do not mix. Never a body, a
 * password or an answer: who logs, knows. Library code returns errors and does not log.
 */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include <postern/base.h>

/* The process's name in each line ("relay"), and the least important level that is written. */
void log_setup(const char *process, enum pn_level least);
bool log_wanted(enum pn_level level);

/*
 * An event and its fields: pairs of name and value, both const char *, ended by NULL. A NULL value
 * leaves its pair out. Values are quoted and escaped where logfmt needs it.
 */
void log_event(enum pn_level level, const char *event, ...) __attribute__((sentinel));

/* Free text, for start-up and for faults that have no fields. */
void log_text(enum pn_level level, const char *format, ...) PN_PRINTF(2, 3);

/* From now on every line is also given to `observer` (with its newline), on the logging thread. */
void log_observe(void (*observer)(const char *line, size_t len));

#endif
