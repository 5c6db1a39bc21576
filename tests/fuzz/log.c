/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - fuzz target: events as lines.
 *
 * The input's values, NUL between them, become fields. However odd they are: one line in each
 * format, valid UTF-8 that steers no terminal; logfmt gives every byte back, JSON every character.
 */
#include <core/base/log_line.h>
#include <glib.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAMES 4
static const char *const names[NAMES] = { "id", "from", "text", "why" };

static void
must(bool sound)
{
	if (!sound)
		abort();
}

/* One line, and nothing in it that a reader would not see where it stands. */
static void
check_text(const char *line, size_t len)
{
	must(len > 0 && len <= LOG_LINE_MOST && line[len - 1] == '\n');
	must(g_utf8_validate(line, (gssize)len, NULL));
	for (const char *at = line; at < line + len - 1; at += g_utf8_skip[(guchar)*at]) {
		gunichar c = g_utf8_get_char(at);

		must(c >= ' ' && c != 0x7f && g_unichar_isprint(c));
		must(g_unichar_type(c) != G_UNICODE_FORMAT && c != 0x2028 && c != 0x2029);
	}
}

/* One value from `at` on, unescaped into `ret`; what stands behind it. */
static const char *
read_value(const char *at, GString *ret)
{
	bool quoted = *at == '"';

	g_string_truncate(ret, 0);
	for (at += quoted; quoted ? *at != '"' : *at != ' ' && *at != '\n'; at++) {
		if (*at != '\\') {
			g_string_append_c(ret, *at);
		} else if (*++at == 'x') {
			char code[3] = { at[1], at[2], '\0' };

			g_string_append_c(ret, (char)strtol(code, NULL, 16));
			at += 2;
		} else {
			g_string_append_c(ret, *at);
		}
	}
	return at + quoted;
}

static void
check_logfmt(const struct log_record *record)
{
	char line[LOG_LINE_MOST + 1];
	size_t len = log_line_logfmt(record, line);
	GString *value = g_string_new("");
	const char *at;

	check_text(line, len);
	line[len] = '\0';
	at = strstr(line, "event=test") + strlen("event=test");
	for (size_t i = 0; i < record->count && !g_str_has_suffix(line, " cut=yes\n"); i++) {
		const struct log_field *field = &record->fields[i];

		must(*at == ' ' && strncmp(at + 1, field->name, strlen(field->name)) == 0);
		at = read_value(at + 1 + strlen(field->name) + 1, value);
		must(strcmp(value->str, field->value) == 0);
	}
	g_string_free(value, TRUE);
}

static void
check_json(const struct log_record *record)
{
	char line[LOG_LINE_MOST];
	size_t len = log_line_json(record, line);
	json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);

	check_text(line, len);
	must(json != NULL);
	for (size_t i = 0; i < record->count && !json_object_get(json, "cut"); i++) {
		const char *text = json_string_value(json_object_get(json, record->fields[i].name));

		must(text != NULL);
		must(!g_utf8_validate(record->fields[i].value, -1, NULL) ||
		     strcmp(text, record->fields[i].value) == 0);
	}
	json_decref(json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = calloc(1, size + NAMES + 1);
	struct log_field fields[NAMES];
	struct log_record record = {
		.level = PN_LOG_NOTICE, .process = "fuzz", .event = "test", .fields = fields
	};

	must(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	for (const char *at = copy; record.count < NAMES && at <= copy + size; at += strlen(at) + 1)
		fields[record.count] = (struct log_field){ names[record.count], at },
		record.count++;
	check_logfmt(&record);
	check_json(&record);
	free(copy);
	return 0;
}
