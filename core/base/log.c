/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - events become lines.
 *
 * Called from any thread; keeps no state but what log_setup() set. Must never be given a secret or
 * a body.
 */
#include <core/base/clock.h>
#include <core/base/log_line.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static const char *_Atomic process_name = "postern"; /* set again by a reload */
static _Atomic int least_level = PN_LOG_INFO;
static _Atomic int line_format = LOG_LOGFMT;
static void (*_Atomic line_observer)(const char *line, size_t len);

void
log_setup(const char *process, enum pn_level least, enum log_format format)
{
	if (format == LOG_BY_PLACE)
		format = log_journal_is_here() ? LOG_JOURNAL : LOG_LOGFMT;
	else if (format == LOG_JOURNAL && !log_journal_is_there())
		format = LOG_LOGFMT;
	log_write_setup();
	process_name = process;
	least_level = (int)least;
	line_format = (int)format;
}

bool
log_wanted(enum pn_level level)
{
	return (int)level <= least_level;
}

static void
tell(const struct log_record *record)
{
	void (*observer)(const char *, size_t) = line_observer;
	int format = line_format;
	char line[LOG_LINE_MOST];
	size_t len = 0;

	if (observer || format != LOG_JSON)
		len = log_line_logfmt(record, line);
	if (observer)
		observer(line, len);
	if (format == LOG_JSON)
		len = log_line_json(record, line);
	if (format == LOG_JOURNAL && log_journal(record, line, len) == 0)
		return;
	log_write(record->level, line, len);
}

void
log_event(enum pn_level level, const char *event, ...)
{
	struct log_field fields[LOG_FIELDS_MOST];
	struct log_record record = { .level = level, .event = event, .fields = fields };
	const char *name;
	va_list args;

	if (!log_wanted(level))
		return;
	va_start(args, event);
	while (record.count < LOG_FIELDS_MOST && (name = va_arg(args, const char *))) {
		const char *value = va_arg(args, const char *);

		if (value)
			fields[record.count++] = (struct log_field){ name, value };
	}
	va_end(args);
	record.wall_us = clock_wall_us();
	record.process = process_name;
	tell(&record);
}

void
log_text(enum pn_level level, const char *format, ...)
{
	char text[LOG_LINE_MOST];
	va_list args;

	if (!log_wanted(level))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_event(level, "message", "text", text, NULL);
}

void
log_observe(void (*observer)(const char *line, size_t len))
{
	line_observer = observer;
}
