/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_line.c - logfmt and JSON, for values of any bytes.
 *
 * Called by log.c from any thread, several times per message: most values are plain and are copied.
 */
#include <core/base/clock.h>
#include <core/base/log_line.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

#define TAIL 24 /* what ends a line always fits: a quote, cut=yes, a brace, the newline */

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };

struct line {
	char *text;
	size_t len;
	bool cut; /* something did not fit; no field follows */
};

static size_t
room(const struct line *line)
{
	return line->len < LOG_LINE_MOST - TAIL ? LOG_LINE_MOST - TAIL - line->len : 0;
}

/* For what always fits. */
static void
put(struct line *line, const char *text, size_t len)
{
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void
put_literal(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

/* All of it or nothing. */
static bool
fits(struct line *line, size_t len)
{
	line->cut = line->cut || room(line) < len;
	return !line->cut;
}

/* The seconds change far less often than lines are written. */
static void
put_date(struct line *line, int64_t wall_us)
{
	static _Thread_local char date[CLOCK_DATE_SIZE];
	static _Thread_local int64_t second = -1;
	int64_t now = wall_us / 1000000;
	unsigned ms = (unsigned)(wall_us / 1000 % 1000);
	size_t at;

	if (now != second) {
		clock_log_date(wall_us, date);
		second = now;
	}
	put_literal(line, date);
	at = line->len - strlen("123Z");
	line->text[at] = (char)('0' + ms / 100);
	line->text[at + 1] = (char)('0' + ms / 10 % 10);
	line->text[at + 2] = (char)('0' + ms % 10);
}

/* ---- characters ------------------------------------------------------------------------------ */

/* Printable ASCII that stands for itself in both formats, within quotes. */
static bool
is_plain(char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static size_t
plain_length(const char *value)
{
	size_t len = 0;

	while (is_plain(value[len]))
		len++;
	return len;
}

/*
 * A character above ASCII that may stand in the log as it is: one that is printed, where it stands,
 * on the same line. Others steer terminals or change the order or the lines of what is read.
 */
static bool
is_shown(gunichar c)
{
	GUnicodeType type = g_unichar_type(c);

	return g_unichar_isprint(c) && type != G_UNICODE_FORMAT &&
	       type != G_UNICODE_LINE_SEPARATOR && type != G_UNICODE_PARAGRAPH_SEPARATOR;
}

/* What stands for the character at `at`; returns how many bytes of the value that is. */
typedef size_t escape_fn(const char *at, char ret[16]);

/* Bytes as \xff: the value can be had back whatever it was. */
static size_t
escape_logfmt(const char *at, char ret[16])
{
	unsigned char c = (unsigned char)*at;
	gunichar wide = c < 0x80 ? c : g_utf8_get_char_validated(at, -1);

	if (c == '"' || c == '\\') {
		snprintf(ret, 16, "\\%c", c);
	} else if (c >= 0x80 && wide < 0x110000 && is_shown(wide)) {
		ret[g_unichar_to_utf8(wide, ret)] = '\0';
		return (size_t)g_unichar_to_utf8(wide, NULL);
	} else {
		snprintf(ret, 16, "\\x%02x", c);
	}
	return 1;
}

/* JSON has no bytes: one that belongs to no character becomes U+FFFD. */
static size_t
escape_json(const char *at, char ret[16])
{
	unsigned char c = (unsigned char)*at;
	gunichar wide = c < 0x80 ? c : g_utf8_get_char_validated(at, -1);
	size_t len = 1;

	if (wide >= 0x110000)
		wide = 0xfffd;
	else
		len = (size_t)g_unichar_to_utf8(wide, NULL);
	if (c == '"' || c == '\\')
		snprintf(ret, 16, "\\%c", c);
	else if (c >= 0x80 && is_shown(wide))
		ret[g_unichar_to_utf8(wide, ret)] = '\0';
	else if (wide >= 0x10000)
		snprintf(ret, 16, "\\u%04x\\u%04x", 0xd800 + ((wide - 0x10000) >> 10),
		    0xdc00 + (wide & 0x3ff));
	else
		snprintf(ret, 16, "\\u%04x", wide);
	return len;
}

/* Without the quotes around it. */
static void
put_value(struct line *line, const char *value, escape_fn *escape)
{
	while (*value && !line->cut) {
		size_t len = plain_length(value), taken;
		char code[16];

		if (len > room(line)) {
			put(line, value, room(line));
			line->cut = true;
			return;
		}
		put(line, value, len);
		value += len;
		if (!*value)
			return;
		taken = escape(value, code);
		if (fits(line, strlen(code)))
			put_literal(line, code);
		value += taken;
	}
}

/* ---- logfmt ---------------------------------------------------------------------------------- */

static bool
needs_quotes(const char *value)
{
	const char *at = value;

	while (*at > ' ' && *at < 0x7f && *at != '"' && *at != '=' && *at != '\\')
		at++;
	return *at || at == value;
}

static void
put_logfmt(struct line *line, const char *name, const char *value)
{
	bool quotes = needs_quotes(value);
	size_t len = strlen(name);

	if (!fits(line, len + sizeof(" =\"") - 1))
		return;
	put(line, " ", 1);
	put(line, name, len);
	put_literal(line, quotes ? "=\"" : "=");
	put_value(line, value, escape_logfmt);
	if (quotes)
		put(line, "\"", 1);
}

size_t
log_line_logfmt(const struct log_record *record, char *ret)
{
	struct line line = { .text = ret };

	put_literal(&line, "time=");
	put_date(&line, record->wall_us);
	put_literal(&line, " level=");
	put_literal(&line, level_names[record->level]);
	put_literal(&line, " process=");
	put_literal(&line, record->process);
	put_literal(&line, " event=");
	put_literal(&line, record->event);
	for (size_t i = 0; i < record->count; i++)
		put_logfmt(&line, record->fields[i].name, record->fields[i].value);
	if (line.cut)
		put_literal(&line, " cut=yes");
	put(&line, "\n", 1);
	return line.len;
}

size_t
log_line_head(const char *logfmt, size_t len)
{
	const char *at = memmem(logfmt, len, " event=", sizeof(" event=") - 1);

	return at ? (size_t)(at - logfmt) + 1 : 0;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void
put_json(struct line *line, const char *name, const char *value)
{
	size_t len = strlen(name);

	if (!fits(line, len + sizeof(",\"\":\"") - 1))
		return;
	put(line, ",\"", 2);
	put(line, name, len);
	put_literal(line, "\":\"");
	put_value(line, value, escape_json);
	put(line, "\"", 1);
}

size_t
log_line_json(const struct log_record *record, char *ret)
{
	struct line line = { .text = ret };

	put_literal(&line, "{\"time\":\"");
	put_date(&line, record->wall_us);
	put_literal(&line, "\"");
	put_json(&line, "level", level_names[record->level]);
	put_json(&line, "process", record->process);
	put_json(&line, "event", record->event);
	for (size_t i = 0; i < record->count; i++)
		put_json(&line, record->fields[i].name, record->fields[i].value);
	put_literal(&line, line.cut ? ",\"cut\":\"yes\"}\n" : "}\n");
	return line.len;
}
