/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.c - a text with {{variables}}.
 *
 * Called when the configuration is read, and to fill one in for a message. Must never let a value
 * bring a line end or, in HTML, a tag.
 */
#include "taglines.h"
#include <errno.h>
#include <string.h>

static const char *const names[] = {
	[SENDER] = "sender",
	[NAME] = "name",
	[TITLE] = "title",
	[PHONE] = "phone",
	[DATE] = "date",
	[SUBJECT] = "subject",
};

static void
add(struct template *template, enum variable variable, const char *text, size_t len)
{
	template->pieces = g_renew(struct piece, template->pieces, template->count + 1);
	template->pieces[template->count++] = (struct piece){
		.variable = variable,
		.text = variable == LITERAL ? g_strndup(text, len) : NULL,
	};
}

static enum variable
find(const char *name, size_t len)
{
	while (len > 0 && *name == ' ') {
		name++;
		len--;
	}
	while (len > 0 && name[len - 1] == ' ')
		len--;
	for (enum variable v = SENDER; v <= SUBJECT; v++)
		if (strlen(names[v]) == len && memcmp(names[v], name, len) == 0)
			return v;
	return LITERAL;
}

static int
complain(struct pn_check *check, const char *path, const char *begin, const char *end)
{
	if (!end)
		pn_complain(check, path, "\"{{\" without \"}}\"");
	else
		pn_complain(check, path,
		    "unknown variable \"%.*s\"; there are {{sender}}, {{name}}, {{title}}, "
		    "{{phone}}, {{date}}, {{subject}}",
		    (int)(end - begin), begin);
	return -EINVAL;
}

int
template_parse(const char *text, const char *path, struct pn_check *check, struct template *ret)
{
	size_t len = strlen(text);

	/* The line end of a YAML block is not meant. */
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	while (len > 0) {
		const char *open = memmem(text, len, "{{", 2), *close;
		size_t literal = open ? (size_t)(open - text) : len;
		enum variable variable;

		if (literal > 0)
			add(ret, LITERAL, text, literal);
		if (!open)
			break;
		close = memmem(open, len - literal, "}}", 2);
		variable = close ? find(open + 2, (size_t)(close - open) - 2) : LITERAL;
		if (variable == LITERAL)
			return complain(check, path, open, close ? close + 2 : NULL);
		add(ret, variable, NULL, 0);
		len -= (size_t)(close + 2 - text);
		text = close + 2;
	}
	return 0;
}

void
template_free(struct template *template)
{
	for (size_t i = 0; i < template->count; i++)
		g_free((char *)(uintptr_t) template->pieces[i].text);
	g_free(template->pieces);
}

bool
template_has(const struct template *template, enum variable variable)
{
	for (size_t i = 0; i < template->count; i++)
		if (template->pieces[i].variable == variable)
			return true;
	return false;
}

/* One line: a value comes from the message. */
static char *
clean(const char *value)
{
	char *line = g_strdup(value ? value : "");

	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	return g_strstrip(line);
}

char *
template_fill(const struct template *template, const struct values *values, bool html)
{
	GString *filled = g_string_new(NULL);

	for (size_t i = 0; i < template->count; i++) {
		const struct piece *piece = &template->pieces[i];
		char *value, *shown;

		if (piece->variable == LITERAL) {
			g_string_append(filled, piece->text);
			continue;
		}
		value = clean(values->texts[piece->variable]);
		shown = html ? html_escape(value) : g_strdup(value);
		g_string_append(filled, shown);
		g_free(shown);
		g_free(value);
	}
	return g_string_free(filled, FALSE);
}
