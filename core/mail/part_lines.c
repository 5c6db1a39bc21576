/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_lines.c - boundaries and empty lines, looked at again where GMime does not say.
 *
 * Called by part_tree.c. Must never look outside of the message, whatever positions it is asked.
 */
#include <core/mail/part_lines.h>
#include <stdlib.h>

void
part_lines_begin(struct part_lines *lines, struct pn_slice bytes)
{
	*lines = (struct part_lines){ .bytes = bytes };
}

void
part_lines_free(struct part_lines *lines)
{
	free(lines->open);
	lines->open = NULL;
}

void
part_lines_open(struct part_lines *lines, const char *boundary)
{
	if (lines->count == lines->capacity) {
		lines->capacity = lines->capacity ? 2 * lines->capacity : 8;
		lines->open = realloc(lines->open, lines->capacity * sizeof(lines->open[0]));
		if (!lines->open)
			abort();
	}
	lines->open[lines->count++] = pn_slice_of(boundary);
}

void
part_lines_close(struct part_lines *lines)
{
	lines->count--;
}

static size_t
next_line(struct pn_slice bytes, size_t at)
{
	const char *lf = at < bytes.len ? memchr(bytes.data + at, '\n', bytes.len - at) : NULL;

	return lf ? (size_t)(lf - bytes.data) + 1 : bytes.len;
}

static bool
line_begins(struct pn_slice bytes, size_t at)
{
	return at == 0 || bytes.data[at - 1] == '\n';
}

static bool
only_blanks(const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!memchr(" \t\r\n", data[i], 4))
			return false;
	return true;
}

static bool
is_one(struct pn_slice boundary, const char *line, size_t len)
{
	if (!boundary.data || len < boundary.len || memcmp(line, boundary.data, boundary.len) != 0)
		return false;
	line += boundary.len;
	len -= boundary.len;
	return only_blanks(line, len) ||
	       (len >= 2 && line[0] == '-' && line[1] == '-' && only_blanks(line + 2, len - 2));
}

static bool
is_boundary(const struct part_lines *lines, size_t at)
{
	const char *line = lines->bytes.data + at;
	size_t len = next_line(lines->bytes, at) - at;

	if (len < 2 || line[0] != '-' || line[1] != '-')
		return false;
	for (size_t i = lines->count; i > 0; i--)
		if (is_one(lines->open[i - 1], line + 2, len - 2))
			return true;
	return false;
}

/* Without the line end before it. */
static size_t
trim(struct pn_slice bytes, size_t at, size_t least)
{
	if (at > least && bytes.data[at - 1] == '\n')
		at--;
	if (at > least && bytes.data[at - 1] == '\r' && at < bytes.len && bytes.data[at] == '\n')
		at--;
	return at;
}

size_t
part_lines_body(const struct part_lines *lines, size_t at)
{
	struct pn_slice bytes = lines->bytes;

	while (at < bytes.len) {
		size_t next = next_line(bytes, at);

		if (only_blanks(bytes.data + at, next - at) && bytes.data[at] != ' ' &&
		    bytes.data[at] != '\t' && next - at <= 2)
			return next;
		if (is_boundary(lines, at))
			return at;
		at = next;
	}
	return bytes.len;
}

size_t
part_lines_behind(const struct part_lines *lines, size_t at, size_t most)
{
	struct pn_slice bytes = lines->bytes;
	size_t behind = at;

	for (size_t line = at; line < most && line < bytes.len;) {
		size_t next = next_line(bytes, line);

		if (next <= most && line_begins(bytes, line) && is_boundary(lines, line))
			behind = next;
		line = most == SIZE_MAX && behind > at ? most : next;
	}
	return behind;
}

size_t
part_lines_end(const struct part_lines *lines, size_t at)
{
	struct pn_slice bytes = lines->bytes;
	size_t least = at;

	if (at < bytes.len && !line_begins(bytes, at))
		at = next_line(bytes, at);
	while (lines->count > 0 && at < bytes.len) {
		if (is_boundary(lines, at))
			return trim(bytes, at, least);
		at = next_line(bytes, at);
	}
	return bytes.len;
}

size_t
part_lines_content_end(const struct part_lines *lines, size_t body, size_t end)
{
	struct pn_slice bytes = lines->bytes;

	for (size_t at = end; at < bytes.len && at <= end + 2; at++)
		if (line_begins(bytes, at) && is_boundary(lines, at))
			return trim(bytes, at, body);
	return end < bytes.len ? end : bytes.len;
}
