/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_fields.c - Content-Type and Content-Transfer-Encoding of one part, found and changed in
 * place.
 *
 * Called by part_edit.c. Must never touch a field that it does not understand: then the part says
 * that it cannot be changed.
 */
#include <core/base/text.h>
#include <core/mail/part_fields.h>
#include <errno.h>

static int
find_once(struct part_fields *fields, const char *name)
{
	int at = mail_header_find(fields->bytes, &fields->header, name, 0);

	if (at >= 0 && mail_header_find(fields->bytes, &fields->header, name, 1) >= 0)
		fields->settable = false;
	return at;
}

/* ---- the charset parameter ------------------------------------------------------------------- */

static size_t
skip_blanks(struct pn_slice value, size_t at)
{
	while (at < value.len && memchr(" \t\r\n", value.data[at], 4))
		at++;
	return at;
}

/* Behind a quoted string or a comment that begins here; SIZE_MAX if it does not end. */
static size_t
skip_quoted(struct pn_slice value, size_t at)
{
	bool quoted = value.data[at] == '"';
	unsigned depth = 0;

	for (size_t i = at; i < value.len; i++) {
		char c = value.data[i];

		if (c == '\\')
			i++;
		else if (quoted && c == '"' && i > at)
			return i + 1;
		else if (!quoted && c == '(')
			depth++;
		else if (!quoted && c == ')' && --depth == 0)
			return i + 1;
	}
	return SIZE_MAX;
}

/* What stands behind "charset". False if it is nothing that can be replaced. */
static bool
read_charset(struct part_fields *fields, struct pn_slice value, size_t at, size_t *ret_end)
{
	size_t begin, end;

	at = skip_blanks(value, at);
	if (at == value.len || value.data[at] != '=' || fields->has_charset)
		return false;
	begin = end = skip_blanks(value, at + 1);
	if (begin < value.len && value.data[begin] == '"')
		end = skip_quoted(value, begin);
	else
		while (end < value.len && !memchr(" \t\r\n;()\"", value.data[end], 8))
			end++;
	if (end == SIZE_MAX || end == begin)
		return false;
	fields->has_charset = true;
	fields->value = begin;
	fields->length = end - begin;
	*ret_end = end;
	return true;
}

/* Parameters begin behind ';'. False where the field is not what RFC 2045 section 5.1 says. */
static bool
find_charset(struct part_fields *fields, struct pn_slice value)
{
	static const char word[] = "charset";
	const size_t len = sizeof(word) - 1;
	size_t at = 0, last = 0;

	while (at < value.len) {
		char c = value.data[at];

		if (c == '"' || c == '(') {
			at = skip_quoted(value, at);
			if (at == SIZE_MAX)
				return false;
			last = at;
			continue;
		}
		at++;
		if (!memchr(" \t\r\n", c, 4))
			last = at;
		if (c != ';')
			continue;
		at = skip_blanks(value, at);
		if (value.len - at < len || !text_is(pn_slice(value.data + at, len), word))
			continue;
		if (!read_charset(fields, value, at + len, &at))
			return false;
		last = at;
	}
	if (!fields->has_charset)
		fields->value = last;
	return last > 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

int
part_fields_read(const struct pn_part *part, struct arena *arena, struct part_fields *ret)
{
	struct pn_slice value;
	size_t size = part->body - part->start;

	*ret = (struct part_fields){
		.part = part,
		.bytes = pn_slice(part->tree->view.data + part->start, size),
		.settable = true,
	};
	if (mail_header_index(ret->bytes, SIZE_MAX, arena, &ret->header) < 0)
		return -ENOTSUP;
	ret->unterminated = size > 0 && ret->header.size == size;
	/* Of a part: its boundary follows at once. And a last line that nothing ends yet. */
	if (ret->unterminated && (part->parent || ret->bytes.data[size - 1] != '\n'))
		return -ENOTSUP;
	if (ret->header.size + 2 != size)
		ret->settable = false;
	ret->type = find_once(ret, "Content-Type");
	ret->encoding = find_once(ret, "Content-Transfer-Encoding");
	ret->mime = (part->parent && strncmp(part->parent->type, "message/", 8) != 0) ||
		    mail_header_find(ret->bytes, &ret->header, "MIME-Version", 0) >= 0;
	if (ret->type < 0) {
		ret->settable_charset = true;
		return 0;
	}
	value = pn_slice(ret->bytes.data + ret->header.fields[ret->type].value,
	    ret->header.fields[ret->type].end - ret->header.fields[ret->type].value);
	ret->settable_charset = find_charset(ret, value);
	ret->value += (size_t)(value.data - ret->bytes.data);
	return 0;
}

bool
part_fields_may_set(const struct part_fields *fields, bool charset)
{
	return fields->settable && (!charset || fields->settable_charset);
}

bool
part_fields_lacks_line_end(const struct part_fields *fields)
{
	const struct pn_part *part = fields->part;
	struct pn_slice bytes = part->tree->view;

	return part->end < bytes.len && bytes.data[part->end] != '\r' &&
	       bytes.data[part->end] != '\n';
}

/* ---- changing -------------------------------------------------------------------------------- */

static int
splice(const struct part_fields *fields, size_t at, size_t length, const char *text,
    struct arena *arena, struct mail_edits *edits)
{
	return mail_edits_add(edits, arena, fields->part->start + at, length, pn_slice_of(text));
}

static int
add(const struct part_fields *fields, const char *name, const char *value, struct arena *arena,
    struct mail_edits *edits)
{
	/* RFC 2045 section 4: without it the fields mean nothing. */
	const char *mime = fields->mime ? "" : "MIME-Version: 1.0\r\n";

	return splice(fields, fields->header.size, 0,
	    arena_printf(arena, "%s%s: %s\r\n", mime, name, value), arena, edits);
}

int
part_fields_set_encoding(const struct part_fields *fields, const char *encoding,
    struct arena *arena, struct mail_edits *edits)
{
	const struct mail_field *field;

	if (!strcmp(fields->part->encoding_name, encoding))
		return 0;
	if (fields->encoding < 0)
		return add(fields, "Content-Transfer-Encoding", encoding, arena, edits);
	field = &fields->header.fields[fields->encoding];
	return splice(fields, field->value, field->end - field->value,
	    arena_printf(arena, " %s\r\n", encoding), arena, edits);
}

int
part_fields_set_charset(const struct part_fields *fields, const char *charset, struct arena *arena,
    struct mail_edits *edits)
{
	const char *before = "";

	if (fields->type < 0)
		/* MIME-Version came with the transfer encoding. */
		return splice(fields, fields->header.size, 0,
		    arena_printf(
			arena, "Content-Type: %s; charset=%s\r\n", fields->part->type, charset),
		    arena, edits);
	if (!fields->has_charset)
		before = fields->bytes.data[fields->value - 1] == ';' ? " charset=" : "; charset=";
	return splice(fields, fields->value, fields->length,
	    arena_printf(arena, "%s%s", before, charset), arena, edits);
}
