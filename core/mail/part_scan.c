/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_scan.c - what boundary lines alone say: how many parts a message can have at most, and what
 * stands behind them.
 *
 * Called before GMime sees a message: 300,000 parts would cost it 600 MB. Must never count less
 * than a parser would find; a text full of lines that begin with "--" is not to be refused for
 * them.
 *
 * Few such lines: that is the answer. Many: only those count that repeat a declared boundary. Where
 * a declaration could be read in more than one way, all count.
 */
#include <core/base/text.h>
#include <core/mail/part.h>
#include <errno.h>

#define DECLARED_MOST 64u

struct declared {
	size_t seen, count; /* each line costs a parser a look at all that are open */
	struct pn_slice items[DECLARED_MOST];
};

/* The next line that begins with "--", without its end; false at the end. */
static bool
next_dashes(struct pn_slice bytes, size_t *at, struct pn_slice *ret)
{
	while (*at < bytes.len) {
		const char *line = bytes.data + *at;
		const char *lf = memchr(line, '\n', bytes.len - *at);
		size_t len = lf ? (size_t)(lf - line) : bytes.len - *at;

		*at += len + (lf ? 1 : 0);
		if (len >= 2 && line[0] == '-' && line[1] == '-') {
			*ret = pn_slice(line, len);
			return true;
		}
	}
	return false;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t
skip_space(struct pn_slice bytes, size_t at)
{
	while (at < bytes.len && is_space(bytes.data[at]))
		at++;
	return at;
}

/* A quoted value, `at` behind the quote. False where it could be read in another way. */
static bool
read_quoted(struct pn_slice bytes, size_t at, struct pn_slice *ret)
{
	size_t end = at;

	while (end < bytes.len && end - at <= MAIL_PARTS_BOUNDARY && bytes.data[end] != '"') {
		if (strchr("\\\r\n", bytes.data[end])) /* and NUL */
			return false;
		end++;
	}
	*ret = pn_slice(bytes.data + at, end - at);
	return end < bytes.len && bytes.data[end] == '"';
}

/* A bare one: what ends it must not be something that a lenient reader goes on after. */
static bool
read_token(struct pn_slice bytes, size_t at, struct pn_slice *ret)
{
	size_t end = at, next;

	while (end < bytes.len && !is_space(bytes.data[end]) && bytes.data[end] != ';') {
		if (strchr("\\(", bytes.data[end]))
			return false;
		end++;
	}
	*ret = pn_slice(bytes.data + at, end - at);
	if (end - at > MAIL_PARTS_BOUNDARY)
		return false;
	next = end;
	while (next < bytes.len && (bytes.data[next] == ' ' || bytes.data[next] == '\t'))
		next++;
	return next == bytes.len || strchr(";\r\n", bytes.data[next]);
}

/* What stands behind the word "boundary". 0: no declaration; 1: one; -1: not to be trusted. */
static int
read_declaration(struct pn_slice bytes, size_t at, struct pn_slice *ret)
{
	bool sure;

	at = skip_space(bytes, at);
	if (at < bytes.len && (bytes.data[at] == '*' || bytes.data[at] == '('))
		return -1; /* RFC 2231; a comment */
	if (at == bytes.len || bytes.data[at] != '=')
		return 0;
	at = skip_space(bytes, at + 1);
	if (at == bytes.len)
		return 0;
	sure = bytes.data[at] == '"' ? read_quoted(bytes, at + 1, ret) : read_token(bytes, at, ret);
	if (!sure || memmem(ret->data, ret->len, "=?", 2)) /* RFC 2047, where it must not be */
		return -1;
	return 1;
}

static bool
declares(const struct declared *declared, struct pn_slice value)
{
	for (size_t i = 0; i < declared->count; i++)
		if (pn_slice_equals(declared->items[i], value))
			return true;
	return false;
}

static bool
collect(struct pn_slice bytes, struct declared *ret)
{
	static const char word[] = "boundary";
	const size_t len = sizeof(word) - 1;

	for (size_t at = 0; at + len <= bytes.len; at++) {
		struct pn_slice value;
		int r;

		if ((bytes.data[at] | 0x20) != 'b' ||
		    !text_is(pn_slice(bytes.data + at, len), word))
			continue;
		r = read_declaration(bytes, at + len, &value);
		if (r == 0)
			continue;
		if (r < 0 || ret->seen++ == DECLARED_MOST)
			return false;
		if (!declares(ret, value))
			ret->items[ret->count++] = value;
	}
	return true;
}

static bool
is_one(const struct declared *declared, struct pn_slice line)
{
	for (size_t i = 0; i < declared->count; i++) {
		struct pn_slice value = declared->items[i];

		if (line.len >= value.len + 2 && !memcmp(line.data + 2, value.data, value.len))
			return true;
	}
	return false;
}

int
mail_parts_scan(struct pn_slice bytes, size_t most)
{
	struct declared declared = { 0 };
	struct pn_slice line;
	size_t at = 0, count = 0;

	while (count <= most && next_dashes(bytes, &at, &line))
		count++;
	if (count <= most)
		return 0;
	if (!collect(bytes, &declared))
		return -EOVERFLOW;
	for (at = 0, count = 0; count <= most && next_dashes(bytes, &at, &line);)
		count += is_one(&declared, line);
	return count <= most ? 0 : -EOVERFLOW;
}

/* The lines from `at` to the empty one; `message`: another header stands behind it. */
static bool
header_is_utf8(struct pn_slice bytes, size_t *at, bool *message)
{
	*message = false;
	while (*at < bytes.len) {
		const char *line = bytes.data + *at;
		const char *lf = memchr(line, '\n', bytes.len - *at);
		size_t len = lf ? (size_t)(lf - line) + 1 : bytes.len - *at;

		*at += len;
		if (len <= 2 && (*line == '\r' || *line == '\n'))
			return false;
		for (size_t i = 0; i < len; i++)
			if (line[i] & 0x80)
				return true;
		for (size_t i = 0; i + 8 <= len; i++)
			*message |= text_is(pn_slice(line + i, 8), "message/");
	}
	return false;
}

static bool
headers_are_utf8(struct pn_slice bytes, size_t at)
{
	bool message = true;

	while (message)
		if (header_is_utf8(bytes, &at, &message))
			return true;
	return false;
}

bool
mail_parts_header_is_utf8(struct pn_slice bytes)
{
	struct declared declared = { 0 };
	struct pn_slice line;
	size_t at = 0;
	bool sure = collect(bytes, &declared);

	if (headers_are_utf8(bytes, 0))
		return true;
	while (next_dashes(bytes, &at, &line))
		if ((!sure || is_one(&declared, line)) && headers_are_utf8(bytes, at))
			return true;
	return false;
}
