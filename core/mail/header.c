/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.c - finds the header fields of a message (RFC 5322 sections 2.2, 3.6 and 4.5) and tells
 * whether a name or a value may go into one.
 *
 * Called for every message once it is in hand, and again after each edit of it, so it is one pass
 * of memchr() over the header alone. Must never change a byte or refuse a message for its syntax.
 *
 * Only CRLF ends a line: a bare LF is part of the line it stands in, as it is for the next hop.
 */
#include <core/base/text.h>
#include <core/mail/message.h>
#include <errno.h>
#include <stdlib.h>

#define FIELDS_FIRST 48u /* most mail has fewer; they are gathered on the stack */
#define LINE_MOST    998u

/* ftext, RFC 5322 section 3.6.8. */
static bool
is_ftext(unsigned char c)
{
	return c > 0x20 && c < 0x7f && c != ':';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Behind the CRLF that ends the line at `at`, or the end. */
static size_t
line_end(struct pn_slice bytes, size_t at)
{
	while (at < bytes.len) {
		const char *lf = memchr(bytes.data + at, '\n', bytes.len - at);

		if (!lf)
			break;
		at = (size_t)(lf - bytes.data) + 1;
		if (at >= 2 && lf[-1] == '\r')
			return at;
	}
	return bytes.len;
}

/* Behind the field's last continuation line. */
static size_t
field_end(struct pn_slice bytes, size_t start)
{
	size_t end = line_end(bytes, start);

	while (end < bytes.len && is_blank(bytes.data[end]))
		end = line_end(bytes, end);
	return end;
}

/* Name, blanks (section 4.5.3), colon; nameless where that is not what stands there. */
static void
parse_name(struct pn_slice bytes, struct mail_field *field)
{
	const char *line = bytes.data + field->start;
	size_t len = field->end - field->start, name = 0, colon;

	while (name < len && is_ftext((unsigned char)line[name]))
		name++;
	colon = name;
	while (colon < len && is_blank(line[colon]))
		colon++;
	if (name == 0 || colon == len || line[colon] != ':') {
		field->name_len = 0;
		field->value = field->start;
		return;
	}
	field->name_len = (uint32_t)name;
	field->value = field->start + (uint32_t)colon + 1;
}

static bool
is_empty_line(struct pn_slice bytes, size_t at)
{
	return bytes.len - at >= 2 && bytes.data[at] == '\r' && bytes.data[at + 1] == '\n';
}

/* Twice the room in the arena. */
static struct mail_field *
more_fields(struct arena *arena, const struct mail_field *fields, size_t count)
{
	struct mail_field *more = arena_alloc(arena, 2 * count * sizeof(*more));

	memcpy(more, fields, count * sizeof(*more));
	return more;
}

int
mail_header_index(struct pn_slice bytes, size_t most, struct arena *arena, struct mail_header *ret)
{
	struct mail_field first[FIELDS_FIRST], *fields = first;
	size_t at = 0, count = 0, capacity = FIELDS_FIRST;

	while (at < bytes.len && !is_empty_line(bytes, at)) {
		size_t end = field_end(bytes, at);

		if (count == most || end > UINT32_MAX)
			return -E2BIG;
		if (count == capacity) {
			fields = more_fields(arena, fields, count);
			capacity *= 2;
		}
		fields[count].start = (uint32_t)at;
		fields[count].end = (uint32_t)end;
		parse_name(bytes, &fields[count++]);
		at = end;
	}
	*ret = (struct mail_header){
		.count = count,
		.fields = fields == first ? arena_copy(arena, first, count * sizeof(*first))
					  : fields,
		.size = at,
		.body = at < bytes.len ? at + 2 : bytes.len,
	};
	return 0;
}

bool
mail_header_field(
    struct pn_slice bytes, const struct mail_header *header, size_t index, struct pn_header *ret)
{
	const struct mail_field *field;
	size_t end;

	if (index >= header->count || header->fields[index].name_len == 0)
		return false;
	field = &header->fields[index];
	end = field->end;
	if (end - field->value >= 2 && bytes.data[end - 1] == '\n' && bytes.data[end - 2] == '\r')
		end -= 2; /* the last one of a message may lack it */
	ret->name = pn_slice(bytes.data + field->start, field->name_len);
	ret->value = pn_slice(bytes.data + field->value, end - field->value);
	return true;
}

int
mail_header_find(
    struct pn_slice bytes, const struct mail_header *header, const char *name, size_t nth)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < header->count; i++) {
		const struct mail_field *field = &header->fields[i];

		if (field->name_len != len || len == 0)
			continue;
		if (!text_is(pn_slice(bytes.data + field->start, len), name))
			continue;
		if (nth-- == 0)
			return (int)i;
	}
	return -ENOENT;
}

bool
mail_header_name_valid(const char *name)
{
	size_t len = 0;

	while (is_ftext((unsigned char)name[len]))
		len++;
	return len > 0 && len < LINE_MOST && name[len] == '\0';
}

/* Each line of a fold must show something: some readers end the header at a line of blanks. */
bool
mail_header_value_valid(const char *value)
{
	for (;;) {
		const char *end = value + strcspn(value, "\r\n");

		if (*end == '\0')
			return true;
		if (end[0] != '\r' || end[1] != '\n' || !is_blank(end[2]))
			return false;
		value = end + 3;
		value += strspn(value, " \t");
		if (*value == '\r' || *value == '\n' || *value == '\0')
			return false;
	}
}

/* `before`: the byte in front, 0 at the beginning. A CR at the very end is left to the caller. */
static bool
has_bare(struct pn_slice bytes, char *before)
{
	for (size_t i = 0; i < bytes.len; i++) {
		if ((bytes.data[i] == '\n') != (*before == '\r'))
			return true;
		*before = bytes.data[i];
	}
	return false;
}

bool
mail_bare_newline(struct pn_slice bytes)
{
	char before = 0;

	return has_bare(bytes, &before) || before == '\r';
}

int
mail_bytes_bare_newline(const struct mail_bytes *bytes)
{
	size_t size = mail_bytes_size(bytes), part;
	bool bare = false;
	char before = 0, *window;
	int r = 0;

	if (!bytes->rest)
		return mail_bare_newline(mail_bytes_front(bytes));
	window = malloc(MAIL_WINDOW);
	if (!window)
		return -ENOMEM;
	for (size_t at = 0; r == 0 && !bare && at < size; at += part) {
		part = size - at < MAIL_WINDOW ? size - at : MAIL_WINDOW;
		r = mail_bytes_read(bytes, at, window, part);
		bare = r == 0 && has_bare(pn_slice(window, part), &before);
	}
	free(window);
	return r < 0 ? r : bare || before == '\r';
}
