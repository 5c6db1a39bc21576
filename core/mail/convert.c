/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert.c - eight-bit and binary parts of a message to quoted-printable and base64.
 *
 * Called by core/queue/convert.c. Must never touch anything inside of
 * multipart/signed, nor a part whose decoded content would be another one afterwards; what cannot
 * be converted is said to be so, and goes back to its sender.
 */
#include <core/mail/convert.h>
#include <core/mail/part.h>
#include <core/mail/part_fields.h>
#include <errno.h>
#include <stdlib.h>

#define LINE_MOST   998u /* RFC 5322 section 2.1.1 */
#define CANNOT_TELL "its parts cannot be told apart"

struct conversion {
	struct mail_parts *parts;
	struct arena arena;
	struct mail_edits edits;
	struct pn_error *err;
};

/* What stands in the way of bytes on a way of seven bits and whole lines. */
struct survey {
	size_t eightbit, bare; /* bare: NUL, CR without LF, LF without CR */
	size_t longest;        /* line */
};

static struct survey
look_at(struct pn_slice bytes)
{
	struct survey survey = { 0 };
	size_t column = 0;

	for (size_t i = 0; i < bytes.len; i++) {
		char c = bytes.data[i];

		column++;
		if (c & 0x80)
			survey.eightbit++;
		else if (c == '\0' || (c == '\n' && (i == 0 || bytes.data[i - 1] != '\r')) ||
			 (c == '\r' && (i + 1 == bytes.len || bytes.data[i + 1] != '\n')))
			survey.bare++;
		if (c == '\n')
			column = 0;
		else if (c != '\r' && column > survey.longest)
			survey.longest = column;
	}
	return survey;
}

static bool
is_clean(struct pn_slice bytes)
{
	struct survey survey = look_at(bytes);

	return survey.eightbit + survey.bare == 0;
}

static struct pn_slice
range(const struct conversion *conversion, size_t from, size_t to)
{
	return pn_slice(conversion->parts->view.data + from, to - from);
}

static bool
is_type(const struct pn_part *part, const char *prefix)
{
	return strncmp(part->type, prefix, strlen(prefix)) == 0;
}

static bool
is_signed(const struct pn_part *part)
{
	for (; part; part = part->parent)
		if (strcmp(part->type, "multipart/signed") == 0)
			return true;
	return false;
}

static int
replace(struct conversion *conversion, size_t from, size_t to, struct pn_slice bytes)
{
	return mail_edits_add(&conversion->edits, &conversion->arena, from, to - from, bytes);
}

/* ---- leaves ---------------------------------------------------------------------------------- */

/* Encoded already, with bytes in it that no encoder makes: decoders take them as they are. */
static int
mend_qp(struct pn_slice body, struct buf *ret)
{
	int r = 0;

	for (size_t i = 0; i < body.len && r == 0; i++) {
		unsigned char c = (unsigned char)body.data[i];
		bool crlf = c == '\r' && i + 1 < body.len && body.data[i + 1] == '\n';
		char code[4] = { '=', "0123456789ABCDEF"[c >> 4], "0123456789ABCDEF"[c & 15], 0 };

		if (crlf)
			r = buf_add(ret, &body.data[i++], 2);
		else if (c == '\n' && i > 0 && body.data[i - 1] == '=')
			r = buf_add(ret, "\r\n", 2); /* a soft line break */
		else if ((c & 0x80) || c == '\0' || c == '\r' || c == '\n')
			r = buf_add(ret, code, 3);
		else
			r = buf_add(ret, &body.data[i], 1);
	}
	return r;
}

/* RFC 2045 section 6.8: decoders pass over what is not in their alphabet. */
static int
mend_base64(struct pn_slice body, struct buf *ret)
{
	int r = 0;

	for (size_t i = 0; i < body.len && r == 0; i++) {
		char c = body.data[i];
		bool crlf = c == '\r' && i + 1 < body.len && body.data[i + 1] == '\n';

		if (crlf || c == '\r' || c == '\n')
			r = buf_add(ret, "\r\n", 2);
		else if (!(c & 0x80) && c != '\0')
			r = buf_add(ret, &c, 1);
		i += crlf;
	}
	return r;
}

static int
mend(struct conversion *conversion, const struct pn_part *part)
{
	struct pn_slice body = mail_part_body(part);
	struct buf mended = BUF_INIT(SIZE_MAX / 2);
	int r = part->encoding == MAIL_ENCODING_QP ? mend_qp(body, &mended)
						   : mend_base64(body, &mended);

	if (r == 0)
		r = replace(conversion, part->body, part->end, buf_slice(&mended));
	buf_free(&mended);
	return r < 0 ? -ENOMEM : 0;
}

/* 7bit, where 8bit or binary is said and is not so; what cannot be set is left: it does no harm. */
static int
relabel(struct conversion *conversion, const struct pn_part *part)
{
	struct part_fields fields;

	if (strcmp(part->encoding_name, "8bit") != 0 && strcmp(part->encoding_name, "binary") != 0)
		return 0;
	if (is_signed(part->parent) || part_fields_read(part, &conversion->arena, &fields) < 0 ||
	    !part_fields_may_set(&fields, false) || fields.encoding < 0)
		return 0;
	return part_fields_set_encoding(&fields, "7bit", &conversion->arena, &conversion->edits);
}

/* Text that stays readable, unless base64 is shorter. */
static enum mail_encoding
choose(const struct pn_part *part, struct survey survey, size_t len)
{
	return part->is_text && survey.bare == 0 && survey.eightbit < len / 6 + 10
		   ? MAIL_ENCODING_QP
		   : MAIL_ENCODING_BASE64;
}

static int
convert_leaf(struct conversion *conversion, const struct pn_part *part)
{
	struct pn_slice body = mail_part_body(part);
	struct survey survey = look_at(body);
	bool binary = strcmp(part->encoding_name, "binary") == 0 && survey.longest > LINE_MOST;
	int r;

	if (survey.eightbit + survey.bare == 0 && !binary)
		return relabel(conversion, part);
	if (is_signed(part))
		return pn_error_set(conversion->err, -ENOTSUP, "a signed part is not ASCII");
	/* RFC 2046 section 5.2, RFC 3464: these are 7bit or nothing. */
	if ((is_type(part, "message/") && !is_type(part, "message/global")) ||
	    is_type(part, "multipart/"))
		return pn_error_set(conversion->err, -ENOTSUP, "%.60s is not ASCII", part->type);
	if (part->encoding == MAIL_ENCODING_QP || part->encoding == MAIL_ENCODING_BASE64)
		return mend(conversion, part);
	if (part->encoding != MAIL_ENCODING_PLAIN)
		return pn_error_set(
		    conversion->err, -ENOTSUP, "a part in %.40s is not ASCII", part->encoding_name);
	r = mail_part_reencode(
	    part, choose(part, survey, body.len), &conversion->arena, &conversion->edits);
	return r == -ENOTSUP ? pn_error_set(conversion->err, r, "a part's header is not sound") : r;
}

/* ---- what stands around them ----------------------------------------------------------------- */

/*
 * One line between two parts is a boundary. Are there more, other readers may see parts here that
 * GMime does not.
 */
static bool
is_certain(struct pn_slice gap)
{
	unsigned lines = 0;

	for (size_t i = 0; i + 2 <= gap.len; i++)
		lines += gap.data[i] == '-' && gap.data[i + 1] == '-' &&
			 (i == 0 || gap.data[i - 1] == '\n');
	return lines <= 1;
}

/* Boundaries, and the words before and behind all parts, which no reader shows. */
static int
convert_gap(struct conversion *conversion, const struct pn_part *part, size_t from, size_t to)
{
	struct pn_slice gap = range(conversion, from, to);
	struct buf plain = BUF_INIT(SIZE_MAX / 2);
	int r = 0;

	if (is_clean(gap))
		return 0;
	if (is_signed(part))
		return pn_error_set(conversion->err, -ENOTSUP, "a signed part is not ASCII");
	if (!is_certain(gap))
		return pn_error_set(conversion->err, -ENOTSUP, CANNOT_TELL);
	for (size_t i = 0; i < gap.len && r == 0; i++) {
		char c = gap.data[i];
		bool crlf = c == '\r' && i + 1 < gap.len && gap.data[i + 1] == '\n';

		if (crlf || c == '\n')
			r = buf_add(&plain, "\r\n", 2);
		else
			r = buf_add(&plain, (c & 0x80) || c == '\0' || c == '\r' ? "?" : &c, 1);
		i += crlf;
	}
	if (r == 0)
		r = replace(conversion, from, to, buf_slice(&plain));
	buf_free(&plain);
	return r;
}

static int
convert_composite(struct conversion *conversion, const struct pn_part *part)
{
	const struct mail_parts *parts = conversion->parts;
	size_t at = part->body;
	int r = 0;

	if (part->encoding != MAIL_ENCODING_PLAIN &&
	    !is_clean(range(conversion, part->body, part->end)))
		return pn_error_set(conversion->err, -ENOTSUP, "%.60s in %.40s is not ASCII",
		    part->type, part->encoding_name);
	for (size_t i = part->index + 1; i < part->behind && r == 0; i = parts->parts[i]->behind) {
		const struct pn_part *child = parts->parts[i];

		if (child->start > at)
			r = convert_gap(conversion, part, at, child->start);
		at = child->end;
	}
	if (r == 0 && part->end > at)
		r = convert_gap(conversion, part, at, part->end);
	return r < 0 ? r : relabel(conversion, part);
}

static bool
is_leaf(const struct pn_part *part)
{
	return part->behind == part->index + 1;
}

static int
convert_parts(struct conversion *conversion)
{
	const struct mail_parts *parts = conversion->parts;
	int r = 0;

	for (size_t i = 0; i < parts->count && r == 0; i++) {
		const struct pn_part *part = parts->parts[i];

		if (!is_clean(range(conversion, part->start, part->body)))
			return pn_error_set(
			    conversion->err, -ENOTSUP, "a header field is not ASCII");
		if (is_leaf(part))
			r = convert_leaf(conversion, part);
	}
	/* Behind the leaves, which take no edit beside another. */
	for (size_t i = 0; i < parts->count && r == 0; i++)
		if (!is_leaf(parts->parts[i]))
			r = convert_composite(conversion, parts->parts[i]);
	return r;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool
is_decodable(const struct pn_part *part)
{
	return part->encoding != MAIL_ENCODING_UNKNOWN && is_leaf(part);
}

/* 0: the same. What is in an unknown encoding was not touched. */
static int
compare(const struct pn_part *old, const struct pn_part *new)
{
	struct pn_slice before, after;
	int r;

	if (strcmp(old->type, new->type) != 0 || old->behind != new->behind)
		return -ENOTSUP;
	if (!is_decodable(old))
		return 0;
	r = mail_part_raw(old, SIZE_MAX, &before);
	if (r == 0)
		r = mail_part_raw(new, SIZE_MAX, &after);
	if (r < 0)
		return r;
	return pn_slice_equals(before, after) ? 0 : -ENOTSUP;
}

/* Read again: the same parts, and each decodes to what it did. */
static int
verify(const struct conversion *conversion, struct mail_bytes *done)
{
	const struct mail_parts *old = conversion->parts;
	struct mail_parts *new = NULL;
	struct pn_error err;
	int r;

	if (!is_clean(pn_slice(done->data, done->len)))
		return -ENOTSUP;
	r = mail_parts_read(done, &new, &err);
	if (r < 0)
		return r;
	if (old->count != new->count)
		r = -ENOTSUP;
	for (size_t i = 0; i < old->count && r == 0; i++)
		r = compare(old->parts[i], new->parts[i]);
	mail_parts_release(&new);
	return r;
}

static int
finish(struct conversion *conversion, struct mail_bytes **ret)
{
	struct mail_bytes *done = NULL;
	int r = mail_edits_apply(&conversion->edits, conversion->parts->view, SIZE_MAX, &done);

	if (r < 0)
		return r;
	r = verify(conversion, done);
	if (r < 0) {
		mail_bytes_release(&done);
		return r == -ENOMEM ? r : pn_error_set(conversion->err, -ENOTSUP, CANNOT_TELL);
	}
	*ret = done;
	return 0;
}

static int
convert(struct conversion *conversion, struct mail_bytes **ret)
{
	const struct mail_parts *parts = conversion->parts;
	const struct pn_part *root = parts->count > 0 ? parts->parts[0] : NULL;
	int r = 0;

	/* Behind the last part that GMime found, or where it found none. */
	if (!root || root->end < parts->view.len)
		r = is_clean(range(conversion, root ? root->end : 0, parts->view.len))
			? 0
			: pn_error_set(conversion->err, -ENOTSUP,
			      "what stands behind its parts is not ASCII");
	if (r == 0)
		r = convert_parts(conversion);
	return r < 0 ? r : finish(conversion, ret);
}

int
mail_convert_7bit(struct mail_bytes *bytes, struct mail_bytes **ret, struct pn_error *err)
{
	struct conversion conversion = { .err = err };
	struct survey survey = look_at(pn_slice(bytes->data, bytes->len));
	int r;

	if (survey.eightbit + survey.bare == 0 && survey.longest <= LINE_MOST) {
		*ret = mail_bytes_hold(bytes);
		return 0;
	}
	r = mail_parts_read(bytes, &conversion.parts, err);
	if (r == 0)
		r = convert(&conversion, ret);
	if (conversion.parts)
		mail_parts_release(&conversion.parts);
	arena_free(&conversion.arena);
	if (r == 0 || r == -ENOMEM)
		return r;
	/* -EINVAL: edits that meet. */
	return r == -EINVAL ? pn_error_set(err, -ENOTSUP, CANNOT_TELL) : -ENOTSUP;
}
