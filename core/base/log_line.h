/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_line.h - an event as a line of text. For log*.c, their tests and their fuzz target.
 */
#ifndef CORE_BASE_LOG_LINE_H
#define CORE_BASE_LOG_LINE_H

#include <core/base/log.h>
#include <stdint.h>

#define LOG_LINE_MOST 4096 /* with the newline; no more than PIPE_BUF, so one write is whole */

struct log_field {
	const char *name, *value;
};

struct log_record {
	int64_t wall_us;
	enum pn_level level;
	const char *process, *event;
	const struct log_field *fields;
	size_t count;
};

/*
 * Both write a whole line with its newline and return its length; `ret` has LOG_LINE_MOST bytes.
 * What does not fit is left out, and the line says cut=yes. Whatever the bytes of a value, the line
 * is valid UTF-8 without control characters, line separators or characters that turn text around.
 */
size_t log_line_logfmt(const struct log_record *record, char *ret);
size_t log_line_json(const struct log_record *record, char *ret);

/* Where the part begins that names the event. */
size_t log_line_head(const char *logfmt, size_t len);

/* To the journal, with a field for each of the record's; negative errno where there is none. */
int log_journal(const struct log_record *record, const char *logfmt, size_t len);
/* Whether standard error leads there, and whether there is one at all. */
bool log_journal_is_here(void);
bool log_journal_is_there(void);

/* One line to standard error, or to what this thread gathers. */
void log_write(enum pn_level level, const char *line, size_t len);
/* log_repeats() and log_repeats_tell() with a clock of the caller's, milliseconds. */
bool log_repeats_at(
    int64_t now, enum pn_level level, const char *event, const char *reason, const char *client);
void log_repeats_tell_at(int64_t now, bool all);

/* Standard error may be another file now. */
void log_write_setup(void);

#endif
