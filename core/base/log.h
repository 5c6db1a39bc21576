/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one structured line per event, to standard error or the journal.
 *
 *	time=2026-11-22T10:00:00.123Z level=notice process=relay event=accepted id=06F3K9 size=1024
 *
 * Any thread. Events and their fields are listed in docs/logs.md. A line is never torn by another
 * process's. Never a body, a password or an answer: who logs, knows. Library code returns errors
 * and does not log.
 */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include <postern/base.h>
#include <stdint.h>

enum log_format {
	LOG_BY_PLACE, /* the journal where standard error leads there, else logfmt */
	LOG_LOGFMT,
	LOG_JSON,
	LOG_JOURNAL
};

/* The process's name in each line ("relay"), and the least important level that is written. */
void log_setup(const char *process, enum pn_level least, enum log_format format);
bool log_wanted(enum pn_level level);

/*
 * An event and its fields: pairs of name and value, both const char *, ended by NULL, at most
 * LOG_FIELDS_MOST. A NULL value leaves its pair out. Values are quoted and escaped where needed.
 */
#define LOG_FIELDS_MOST 24
void log_event(enum pn_level level, const char *event, ...) __attribute__((sentinel));

/*
 * For events that anybody can cause by connecting: false where the line is not to be written, since
 * as many of the same event and reason have come from the same network within a minute as
 * log_repeats_setup() allows; it was counted. `client` is an address or a user; NULL: always true.
 */
bool log_repeats(enum pn_level level, const char *event, const char *reason, const char *client);
/* 0: all are written, as before this was called. */
void log_repeats_setup(int64_t most);
/* Writes what was counted in minutes that are over; `all`: in those that are not, too. */
void log_repeats_tell(bool all);

/* Free text, for start-up and for faults that have no fields. */
void log_text(enum pn_level level, const char *format, ...) PN_PRINTF(2, 3);

/*
 * From now on every line is also given to `observer` (logfmt, with its newline), on the logging
 * thread.
 */
void log_observe(void (*observer)(const char *line, size_t len));

/*
 * Between these two, lines of this thread are gathered into few writes, in their order; an error is
 * written at once with all before it. For a turn of an event loop: whoever gathers does not sleep.
 */
void log_gather_begin(void);
void log_gather_end(void);
/* The thread gathers no more; it gives its buffer back. */
void log_gather_leave(void);
/*
 * What all threads have gathered is written, and nothing is gathered from now on: the process is
 * about to end, whatever its threads do. Safe in a signal handler.
 */
void log_flush_all(void);

#endif
