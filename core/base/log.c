/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - one logfmt line per event, written with one write(2).
 *
 * Called from any thread; keeps no state but what log_setup() set before threads began. A line
 * longer than LINE_MOST is cut. Must never be given a secret or a body.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MOST 4096

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };
static const char *process_name = "postern";
static _Atomic int least_level = PN_LOG_INFO;
static void (*_Atomic line_observer)(const char *line, size_t len);

struct line {
	char text[LINE_MOST];
	size_t len;
};

void
log_setup(const char *process, enum pn_level least)
{
	process_name = process;
	least_level = (int)least;
}

bool
log_wanted(enum pn_level level)
{
	return (int)level <= least_level;
}

static void
put(struct line *line, char c)
{
	if (line->len < sizeof(line->text) - 1) /* the newline always fits */
		line->text[line->len++] = c;
}

static void
put_text(struct line *line, const char *text)
{
	for (; *text; text++)
		put(line, *text);
}

static bool
needs_quotes(const char *value)
{
	if (!*value)
		return true;
	for (; *value; value++)
		if ((unsigned char)*value <= ' ' || *value == '"' || *value == '=' ||
		    *value == '\\' || *value == 0x7f)
			return true;
	return false;
}

static void
put_value(struct line *line, const char *value)
{
	if (!needs_quotes(value)) {
		put_text(line, value);
		return;
	}
	put(line, '"');
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if (c == '"' || c == '\\') {
			put(line, '\\');
			put(line, (char)c);
		} else if (c < ' ' || c == 0x7f) {
			char code[8];

			snprintf(code, sizeof(code), "\\x%02x", c);
			put_text(line, code);
		} else {
			put(line, (char)c);
		}
	}
	put(line, '"');
}

static void
begin(struct line *line, enum pn_level level)
{
	char date[CLOCK_DATE_SIZE];

	line->len = 0;
	clock_log_date(clock_wall_us(), date);
	put_text(line, date);
	put(line, ' ');
	put_text(line, level_names[level]);
	put(line, ' ');
	put_text(line, process_name);
	put(line, ' ');
}

static void
end(struct line *line)
{
	void (*observer)(const char *, size_t) = line_observer;
	size_t sent = 0;

	line->text[line->len++] = '\n';
	if (observer)
		observer(line->text, line->len);
	while (sent < line->len) {
		ssize_t n = write(STDERR_FILENO, line->text + sent, line->len - sent);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nowhere left to say it */
		sent += (size_t)n;
	}
}

void
log_event(enum pn_level level, const char *event, ...)
{
	struct line line;
	va_list args;
	const char *name;

	if (!log_wanted(level))
		return;
	begin(&line, level);
	put_text(&line, event);
	va_start(args, event);
	while ((name = va_arg(args, const char *))) {
		const char *value = va_arg(args, const char *);

		if (!value)
			continue;
		put(&line, ' ');
		put_text(&line, name);
		put(&line, '=');
		put_value(&line, value);
	}
	va_end(args);
	end(&line);
}

void
log_text(enum pn_level level, const char *format, ...)
{
	char text[LINE_MOST];
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
