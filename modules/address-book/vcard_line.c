/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcard_line.c - lines of a vCard: unfolded, cut into name, parameters and value, decoded.
 *
 * Called by vcard.c with files that people bring. Must never hold more of a line than
 * VCARD_LINE_MOST, nor give an encoding's name to iconv that is not in a list here.
 */
#include "vcard.h"

void
vcard_open(struct vcard_reader *reader, struct pn_slice text)
{
	*reader = (struct vcard_reader){ text, 0 };
	if (text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
		reader->rest = pn_slice(text.data + 3, text.len - 3);
}

/* ---- unfolding ------------------------------------------------------------------------------- */

/* The line that comes next without its end; false at the end of all. */
static bool
peek(const struct vcard_reader *reader, struct pn_slice *ret, size_t *ret_used)
{
	const char *end;

	if (reader->rest.len == 0)
		return false;
	end = memchr(reader->rest.data, '\n', reader->rest.len);
	ret->data = reader->rest.data;
	ret->len = end ? (size_t)(end - reader->rest.data) : reader->rest.len;
	*ret_used = ret->len + (end != NULL);
	while (ret->len > 0 && ret->data[ret->len - 1] == '\r')
		ret->len--;
	return true;
}

static void
pass(struct vcard_reader *reader, size_t used)
{
	reader->rest.data += used;
	reader->rest.len -= used;
	reader->line++;
}

static void
append(struct vcard_line *line, struct pn_slice more)
{
	size_t room = VCARD_LINE_MOST - line->text->len;

	line->too_long = line->too_long || more.len > room;
	g_string_append_len(line->text, more.data, (gssize)MIN(more.len, room));
}

/* Outlook does not always indent what belongs to a base64 value. */
static bool
is_base64(struct pn_slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (!g_ascii_isalnum(line.data[i]) && !strchr("+/=", line.data[i]))
			return false;
	return line.len > 0;
}

/* What the next line adds to this one; false: it is another. */
static bool
continues(const struct vcard_line *line, bool soft, struct pn_slice next, struct pn_slice *ret)
{
	*ret = next;
	if (soft)
		return true;
	if (next.len > 0 && (next.data[0] == ' ' || next.data[0] == '\t')) {
		*ret = pn_slice(next.data + 1, next.len - 1);
		return true;
	}
	return line->has_value && line->encoding == VCARD_BASE64 && is_base64(next);
}

/* ---- name and parameters --------------------------------------------------------------------- */

/* The first of these outside of quotes, or the end. */
static size_t
span(const char *text, size_t len, const char *ends)
{
	bool quoted = false;
	size_t at;

	for (at = 0; at < len; at++) {
		if (text[at] == '"')
			quoted = !quoted;
		else if (!quoted && text[at] && strchr(ends, text[at]))
			break;
	}
	return at;
}

static bool
is(struct pn_slice word, const char *what)
{
	return word.len == strlen(what) && g_ascii_strncasecmp(word.data, what, word.len) == 0;
}

static void
take_parameter(struct vcard_line *line, struct pn_slice parameter)
{
	const char *sign = memchr(parameter.data, '=', parameter.len);
	struct pn_slice key = pn_slice(NULL, 0), value = parameter;

	if (sign) {
		key = pn_slice(parameter.data, (size_t)(sign - parameter.data));
		value = pn_slice(sign + 1, parameter.len - key.len - 1);
	}
	if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"')
		value = pn_slice(value.data + 1, value.len - 2);
	if (is(key, "CHARSET"))
		g_snprintf(line->charset, sizeof(line->charset), "%.*s", (int)MIN(value.len, 64),
		    value.data);
	if (sign && !is(key, "ENCODING"))
		return;
	if (is(value, "QUOTED-PRINTABLE"))
		line->encoding = VCARD_QUOTED;
	else if (is(value, "BASE64") || (sign && is(value, "B")))
		line->encoding = VCARD_BASE64;
}

/* "item1.EMAIL": the group says nothing here. */
static void
take_name(struct vcard_line *line, struct pn_slice name)
{
	const char *dot = memrchr(name.data, '.', name.len);
	size_t len;

	if (dot)
		name = pn_slice(dot + 1, name.len - (size_t)(dot + 1 - name.data));
	len = MIN(name.len, sizeof(line->name) - 1);
	for (size_t i = 0; i < len; i++)
		line->name[i] = g_ascii_toupper(name.data[i]);
	line->name[len] = '\0';
}

static void
cut(struct vcard_line *line)
{
	const char *text = line->text->str;
	size_t head = span(text, line->text->len, ":"), at = span(text, head, ";");

	line->has_value = head < line->text->len;
	line->encoding = VCARD_PLAIN;
	line->charset[0] = '\0';
	line->value = text + head + line->has_value;
	take_name(line, pn_slice(text, at));
	while (at < head) {
		size_t len = span(text + at + 1, head - at - 1, ";");

		take_parameter(line, pn_slice(text + at + 1, len));
		at += 1 + len;
	}
}

bool
vcard_line_next(struct vcard_reader *reader, struct vcard_line *ret)
{
	struct pn_slice next, more;
	size_t used;
	bool soft;

	g_string_truncate(ret->text, 0);
	ret->too_long = false;
	do {
		if (!peek(reader, &next, &used))
			return false;
		pass(reader, used);
	} while (next.len == 0);
	ret->number = reader->line;
	append(ret, next);
	cut(ret);
	for (;;) {
		soft = ret->encoding == VCARD_QUOTED && next.len > 0 &&
		       next.data[next.len - 1] == '=';
		if (!peek(reader, &next, &used) || !continues(ret, soft, next, &more))
			break;
		if (soft && !ret->too_long)
			g_string_truncate(ret->text, ret->text->len - 1);
		append(ret, more);
		pass(reader, used);
	}
	cut(ret);
	return true;
}

/* ---- values ---------------------------------------------------------------------------------- */

static int
hex(char c)
{
	return g_ascii_isxdigit(c) ? g_ascii_xdigit_value(c) : -1;
}

/* "=41" or "%41". */
static GByteArray *
decode_escapes(const char *text, size_t len, char sign)
{
	GByteArray *ret = g_byte_array_sized_new((guint)len);

	for (size_t i = 0; i < len; i++) {
		guint8 byte = (guint8)text[i];

		if (text[i] == sign && len - i > 2 && hex(text[i + 1]) >= 0 &&
		    hex(text[i + 2]) >= 0) {
			byte = (guint8)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
			i += 2;
		}
		g_byte_array_append(ret, &byte, 1);
	}
	return ret;
}

/* RFC 6350 section 3.4, RFC 2426 section 4; a lone backslash is itself. */
static GByteArray *
unescape(const char *text, size_t len)
{
	GByteArray *ret = g_byte_array_sized_new((guint)len);

	for (size_t i = 0; i < len; i++) {
		guint8 byte = (guint8)text[i];

		if (text[i] == '\\' && i + 1 < len && strchr("nN,;:\\\"", text[i + 1])) {
			i++;
			byte = text[i] == 'n' || text[i] == 'N' ? '\n' : (guint8)text[i];
		}
		g_byte_array_append(ret, &byte, 1);
	}
	return ret;
}

static size_t
value_len(const struct vcard_line *line)
{
	return line->text->len - (size_t)(line->value - line->text->str);
}

static GByteArray *
decode(const struct vcard_line *line)
{
	switch (line->encoding) {
	case VCARD_QUOTED:
		return decode_escapes(line->value, value_len(line), '=');
	case VCARD_BASE64:
		return keydata_base64(line->value, value_len(line));
	case VCARD_PLAIN:
		break;
	}
	return unescape(line->value, value_len(line));
}

/* Names of one-byte encodings that old clients write; of others, iconv's code is not to be trusted
 * with what strangers bring. */
static const char *
known_charset(const char *name)
{
	if (g_ascii_strncasecmp(name, "windows-125", 11) == 0 && strlen(name) == 12 &&
	    g_ascii_isdigit(name[11]))
		return name;
	if (g_ascii_strncasecmp(name, "iso-8859-", 9) == 0 && g_ascii_isdigit(name[9]) &&
	    (!name[10] || (g_ascii_isdigit(name[10]) && !name[11])))
		return name;
	return "windows-1252";
}

static void
flatten(char *text)
{
	for (char *c = text; *c; c++)
		if (g_ascii_iscntrl(*c))
			*c = ' ';
	g_strstrip(text);
}

char *
vcard_line_text(const struct vcard_line *line, size_t most)
{
	GByteArray *bytes = decode(line);
	gssize len = (gssize)MIN(bytes->len, most * 4);
	const char *data = bytes->data ? (const char *)bytes->data : "", *end = NULL;
	char *ret = NULL;

	if (!g_utf8_validate(data, (gssize)bytes->len, NULL))
		ret = g_convert(data, len, "UTF-8", known_charset(line->charset), NULL, NULL, NULL);
	if (!ret)
		ret = g_utf8_make_valid(data, len);
	flatten(ret);
	if (strlen(ret) > most) {
		ret[most] = '\0';
		if (!g_utf8_validate(ret, -1, &end))
			ret[end - ret] = '\0';
		g_strchomp(ret);
	}
	g_byte_array_unref(bytes);
	return ret;
}

static bool
begins(const struct vcard_line *line, const char *what)
{
	return g_ascii_strncasecmp(line->value, what, strlen(what)) == 0;
}

GByteArray *
vcard_line_bytes(const struct vcard_line *line)
{
	size_t len = value_len(line);
	const char *comma;

	if (line->encoding != VCARD_PLAIN || !begins(line, "data:")) {
		bool elsewhere = begins(line, "http:") || begins(line, "https:") ||
				 begins(line, "ftp:") || begins(line, "ldap:") ||
				 begins(line, "openpgp4fpr:") || begins(line, "cid:");

		return line->encoding == VCARD_PLAIN && elsewhere ? NULL : decode(line);
	}
	comma = memchr(line->value, ',', len);
	if (!comma)
		return NULL;
	len -= (size_t)(comma + 1 - line->value);
	/* 3.0 writes a comma in a value as "\," */
	if (comma - line->value >= 7 && (memcmp(comma - 7, ";base64", 7) == 0 ||
					    (comma[-1] == '\\' && comma - line->value >= 8 &&
						memcmp(comma - 8, ";base64", 7) == 0)))
		return keydata_base64(comma + 1, len);
	return decode_escapes(comma + 1, len, '%');
}
