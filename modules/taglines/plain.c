/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain.c - where in plain text a tagline goes, and how it stands there.
 *
 * Called for each text/plain body. Must never join a line of the message with one of ours, nor in
 * format=flowed (RFC 3676) let ours flow into another.
 */
#include "taglines.h"
#include <string.h>

#define INTRODUCTION_MOST 3 /* lines of "On ... wrote:" */

struct line {
	size_t start, len; /* without its end */
};

static bool
next_line(struct pn_slice text, size_t *at, struct line *ret)
{
	const char *lf;

	if (*at >= text.len)
		return false;
	lf = memchr(text.data + *at, '\n', text.len - *at);
	ret->start = *at;
	ret->len = (lf ? (size_t)(lf - text.data) : text.len) - *at;
	*at += ret->len + (lf ? 1 : 0);
	if (ret->len > 0 && text.data[ret->start + ret->len - 1] == '\r')
		ret->len--;
	return true;
}

static bool
begins(struct pn_slice text, struct line line, const char *word)
{
	size_t len = strlen(word);

	return line.len >= len && memcmp(text.data + line.start, word, len) == 0;
}

static bool
is_blank(struct pn_slice text, struct line line)
{
	for (size_t i = 0; i < line.len; i++)
		if (text.data[line.start + i] != ' ' && text.data[line.start + i] != '\t')
			return false;
	return true;
}

static bool
ends_with_colon(struct pn_slice text, struct line line)
{
	while (line.len > 0 && strchr(" \t", text.data[line.start + line.len - 1]))
		line.len--;
	return line.len > 0 && text.data[line.start + line.len - 1] == ':';
}

/* "-----Original Message-----" in any language; Outlook's rule of underscores. */
static bool
is_separator(struct pn_slice text, struct line line)
{
	return (begins(text, line, "-----") && line.len > 12 &&
		   memcmp(text.data + line.start + line.len - 5, "-----", 5) == 0 &&
		   memchr(text.data + line.start, ' ', line.len)) ||
	       begins(text, line, "________________________________");
}

/*
 * Before the first quoted line, and before the lines that introduce it: those directly above, or
 * above one blank line, of which the last ends with a colon. The end where nothing is quoted.
 */
static size_t
before_quote(struct pn_slice text)
{
	struct line line, above = { 0, 0 };
	size_t at = 0, paragraph = 0, lines = 0, blanks = 0;

	while (next_line(text, &at, &line)) {
		if (is_separator(text, line))
			return line.start;
		if (line.len > 0 && text.data[line.start] == '>')
			return lines > 0 && lines <= INTRODUCTION_MOST && blanks <= 1 &&
				       ends_with_colon(text, above)
				   ? paragraph
				   : line.start;
		if (is_blank(text, line)) {
			blanks++;
			continue;
		}
		if (blanks > 0 || lines == 0) {
			paragraph = line.start;
			lines = 0;
		}
		lines++;
		blanks = 0;
		above = line;
	}
	return text.len;
}

/* ---- how it stands there --------------------------------------------------------------------- */

static void
append_line(GString *to, const char *line, size_t len, bool flowed)
{
	bool dashes = len == 3 && memcmp(line, "-- ", 3) == 0;

	if (flowed) {
		while (len > 0 && line[len - 1] == ' ' && !dashes)
			len--; /* section 4.2: else it flows on */
		if (len > 0 && (line[0] == ' ' || line[0] == '>' ||
				   (len >= 5 && memcmp(line, "From ", 5) == 0)))
			g_string_append_c(to, ' '); /* section 4.4 */
	}
	g_string_append_len(to, line, (gssize)len);
	g_string_append_c(to, '\n');
}

static void
append_tagline(GString *to, const char *tagline, bool flowed)
{
	struct pn_slice text = pn_slice_of(tagline);
	struct line line;
	size_t at = 0;

	while (next_line(text, &at, &line))
		append_line(to, text.data + line.start, line.len, flowed);
}

/* Line ends, so that there is an empty line above what comes. */
static void
append_gap(GString *to, struct pn_slice before, bool flowed)
{
	size_t len = before.len;
	bool ended = len > 0 && before.data[len - 1] == '\n';

	if (len == 0)
		return;
	if (!ended)
		g_string_append_c(to, '\n');
	else
		len -= len > 1 && before.data[len - 2] == '\r' ? 2 : 1;
	/* The last line asks for another one of its paragraph: it gets an empty one. */
	if (flowed && len > 0 && before.data[len - 1] == ' ')
		g_string_append_c(to, '\n');
	if (!ended || (len > 0 && before.data[len - 1] != '\n'))
		g_string_append_c(to, '\n');
}

void
plain_place(struct pn_slice text, const char *tagline, enum position position, bool flowed,
    struct insertion *ret)
{
	GString *made = g_string_new(NULL);
	size_t offset = position == AT_TOP      ? 0
			: position == AT_BOTTOM ? text.len
						: before_quote(text);

	append_gap(made, pn_slice(text.data, offset), flowed);
	append_tagline(made, tagline, flowed);
	if (offset < text.len)
		g_string_append_c(made, '\n');
	ret->offset = offset;
	ret->text = g_string_free(made, FALSE);
}
