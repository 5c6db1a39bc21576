/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.c - rows for people and for programs, and secrets from a terminal.
 *
 * Called by posternctl's commands, the core's and the modules'.
 */
#include <core/ctl/console.h>
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

int
console_open(struct pn_console *console, bool json)
{
	*console = (struct pn_console){ .json = json, .rows = json_array() };
	return console->rows ? 0 : -ENOMEM;
}

json_t *
console_text(const char *text)
{
	json_t *ret = text ? json_string(text) : json_null();
	char *valid;

	if (ret)
		return ret;
	valid = g_utf8_make_valid(text, -1);
	ret = json_string(valid);
	g_free(valid);
	return ret;
}

void
console_add(struct pn_console *console, json_t *row)
{
	json_array_append_new(console->rows, row);
	console->row = row;
}

void
pn_console_row(struct pn_console *console)
{
	console_add(console, json_object());
}

void
pn_console_field(struct pn_console *console, const char *name, const char *value)
{
	if (!console->row)
		pn_console_row(console);
	json_object_set_new(console->row, name, console_text(value));
}

/* ---- for people ------------------------------------------------------------------------------ */

/* What would steer the terminal, or show text in another order than it has. */
static bool
is_shown_as_it_is(gunichar c)
{
	switch (g_unichar_type(c)) {
	case G_UNICODE_CONTROL:
	case G_UNICODE_FORMAT:
	case G_UNICODE_SURROGATE:
	case G_UNICODE_UNASSIGNED:
	case G_UNICODE_PRIVATE_USE:
	case G_UNICODE_LINE_SEPARATOR:
	case G_UNICODE_PARAGRAPH_SEPARATOR:
		return false;
	default:
		return true;
	}
}

/* To be freed with g_string_free. */
static GString *
shown(const char *text)
{
	GString *ret = g_string_new(NULL);

	while (*text) {
		gunichar c = g_utf8_get_char_validated(text, -1);

		if (c == (gunichar)-1 || c == (gunichar)-2) {
			g_string_append_printf(ret, "\\x%02x", (unsigned char)*text++);
			continue;
		}
		if (is_shown_as_it_is(c))
			g_string_append_unichar(ret, c);
		else
			g_string_append_printf(ret, "\\u{%x}", c);
		text += g_utf8_skip[(unsigned char)*text];
	}
	return ret;
}

void
console_write(FILE *out, const char *text)
{
	GString *safe = shown(text);

	fputs(safe->str, out);
	g_string_free(safe, TRUE);
}

/* A value as people read it; to be freed. */
static GString *
plain(const json_t *value)
{
	GString *ret;
	char *text;

	if (json_is_string(value))
		return shown(json_string_value(value));
	if (!value || json_is_null(value))
		return g_string_new("-");
	if (json_is_boolean(value))
		return g_string_new(json_is_true(value) ? "yes" : "no");
	text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	ret = shown(text ? text : "");
	free(text);
	return ret;
}

/* Columns, not bytes. */
static int
width_of(const char *text)
{
	int width = 0;

	for (; *text; text += g_utf8_skip[(unsigned char)*text])
		if (!g_unichar_iszerowidth(g_utf8_get_char(text)))
			width += g_unichar_iswide(g_utf8_get_char(text)) ? 2 : 1;
	return width;
}

static void
print_padded(const char *text, int width, FILE *out)
{
	fprintf(out, "%s%*s", text, width - width_of(text), "");
}

static void
print_fields(json_t *row, FILE *out)
{
	const char *name;
	json_t *value;
	int width = 0;

	json_object_foreach(row, name, value)
	{
		if ((int)strlen(name) > width)
			width = (int)strlen(name);
	}
	json_object_foreach(row, name, value)
	{
		GString *text = plain(value);

		fprintf(out, "%-*s  %s\n", width, name, text->str);
		g_string_free(text, TRUE);
	}
}

static int
column_width(json_t *rows, const char *name)
{
	int width = (int)strlen(name);
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		GString *text = plain(json_object_get(row, name));

		width = MAX(width, width_of(text->str));
		g_string_free(text, TRUE);
	}
	return width;
}

static void
print_column(json_t *rows, const char *name, json_t *widths)
{
	json_object_set_new(widths, name, json_integer(column_width(rows, name)));
}

static void
print_table(json_t *rows, FILE *out)
{
	json_t *widths = json_object(), *row, *value;
	const char *name;
	size_t i;

	json_object_foreach(json_array_get(rows, 0), name, value) print_column(rows, name, widths);
	json_object_foreach(widths, name, value)
	{
		fprintf(out, "%-*s  ", (int)json_integer_value(value), name);
	}
	fputc('\n', out);
	json_array_foreach(rows, i, row)
	{
		json_object_foreach(widths, name, value)
		{
			GString *text = plain(json_object_get(row, name));

			print_padded(text->str, (int)json_integer_value(value) + 2, out);
			g_string_free(text, TRUE);
		}
		fputc('\n', out);
	}
	json_decref(widths);
}

void
console_print(struct pn_console *console, FILE *out)
{
	size_t count = json_array_size(console->rows);

	if (console->json) {
		json_dumpf(console->single ? json_array_get(console->rows, 0) : console->rows, out,
		    JSON_INDENT(2));
		fputc('\n', out);
	} else if (count == 1) {
		print_fields(json_array_get(console->rows, 0), out);
	} else if (count > 1) {
		print_table(console->rows, out);
	}
}

void
console_close(struct pn_console *console)
{
	json_decref(console->rows);
	console->rows = console->row = NULL;
}

/* ---- secrets ---- */

static int
read_line(FILE *from, char *buf, size_t size)
{
	size_t len;

	if (!fgets(buf, (int)size, from))
		return -EINVAL;
	len = strlen(buf);
	if (len > 0 && buf[len - 1] == '\n')
		buf[len - 1] = '\0';
	else if (len == size - 1)
		return -E2BIG;
	return 0;
}

static int
read_hidden(const char *prompt, char *buf, size_t size)
{
	struct termios before, hidden;
	int r;

	fprintf(stderr, "%s: ", prompt);
	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return -errno;
	hidden = before;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	r = read_line(stdin, buf, size);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputc('\n', stderr);
	return r;
}

static int
ask_twice(const char *prompt, char *buf, size_t size)
{
	char again[1024];
	int r = read_hidden(prompt, buf, size);

	if (r == 0)
		r = read_hidden("the same again", again, sizeof(again));
	if (r == 0 && strcmp(buf, again) != 0)
		r = -EINVAL;
	explicit_bzero(again, sizeof(again));
	return r;
}

int
pn_console_secret(struct pn_console *console, const char *prompt, bool confirm, char *buf,
    size_t size, struct pn_error *err)
{
	int r;

	if (!isatty(STDIN_FILENO))
		r = read_line(stdin, buf, size);
	else if (confirm)
		r = ask_twice(prompt, buf, size);
	else
		r = read_hidden(prompt, buf, size);
	if (r == -E2BIG)
		return pn_error_set(err, r, "%s: longer than %zu bytes", prompt, size - 2);
	if (r < 0)
		return pn_error_set(err, r, "%s: nothing was given, or the two differ", prompt);
	return 0;
}
