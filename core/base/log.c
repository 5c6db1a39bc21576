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
#include <glib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MOST 4096

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };
static const char *_Atomic process_name = "postern"; /* set again by a reload */
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

/*
 * Length of a character above ASCII that may stand in the log as it is; 0 for bytes that are no
 * UTF-8 and for characters that steer terminals (C1 controls) or change the order of what is read.
 */
static size_t
plain_utf8(const char *text)
{
	gunichar c = g_utf8_get_char_validated(text, -1);

	if (c == (gunichar)-1 || c == (gunichar)-2 || !g_unichar_isprint(c) ||
	    g_unichar_type(c) == G_UNICODE_FORMAT)
		return 0;
	return g_utf8_skip[(unsigned char)*text];
}

static bool
needs_quotes(const char *value)
{
	if (!*value)
		return true;
	for (; *value; value++)
		if ((unsigned char)*value <= ' ' || *value == '"' || *value == '=' ||
		    *value == '\\' || (unsigned char)*value >= 0x7f)
			return true;
	return false;
}

/* Returns how many bytes it took. A character is put whole or not at all. */
static size_t
put_char(struct line *line, const char *at)
{
	unsigned char c = (unsigned char)*at;
	size_t len = c < 0x80 ? 0 : plain_utf8(at);
	char code[8];

	if (c == '"' || c == '\\') {
		put(line, '\\');
		put(line, (char)c);
	} else if (len > 0 && line->len + len < sizeof(line->text)) {
		for (size_t i = 0; i < len; i++)
			put(line, at[i]);
		return len;
	} else if (c < ' ' || c >= 0x7f) {
		snprintf(code, sizeof(code), "\\x%02x", c);
		put_text(line, code);
	} else {
		put(line, (char)c);
	}
	return 1;
}

static void
put_value(struct line *line, const char *value)
{
	if (!needs_quotes(value)) {
		put_text(line, value);
		return;
	}
	put(line, '"');
	while (*value)
		value += put_char(line, value);
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
