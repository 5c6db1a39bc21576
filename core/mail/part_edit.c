/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_edit.c - text put into a part: into its charset, into its transfer encoding, into the
 * message as splices.
 *
 * Called by api_part.c for hooks. Must never change a byte of the message outside of the part, nor
 * what a reader sees of the rest of the part.
 */
#include <core/base/text.h>
#include <core/mail/part.h>
#include <core/mail/part_fields.h>
#include <errno.h>
#include <stdlib.h>

#define LINE_MOST    998u /* RFC 5322 section 2.1.1 */
#define BASE64_LINE  57u  /* bytes that make 76 characters */
#define TEXT_CEILING (512u * 1024 * 1024)

/* One edit, on its way through the layers. `from` and `to` are in the decoded part. */
struct edit {
	const struct pn_part *part;
	struct part_fields fields;
	struct pn_slice raw, text;
	size_t from, to;
	struct buf bytes; /* what goes in, in the part's charset */
	struct buf whole; /* all of the part in another charset, with it */
	bool recoded;     /* `whole` speaks */
	bool exact;       /* no line end at the end that was not there */
	int lost;         /* characters that became '?' */
	struct arena *arena;
	struct mail_edits *edits;
};

/* ---- line ends ------------------------------------------------------------------------------- */

static bool
has_bare_lf(struct pn_slice text)
{
	const char *lf = text.len ? memchr(text.data, '\n', text.len) : NULL;

	return lf && (lf == text.data || lf[-1] != '\r');
}

/* Every CR, LF and CRLF of what goes in becomes the line end that the part has. */
static int
same_line_ends(struct pn_slice text, const char *line_end, struct buf *ret)
{
	size_t at = 0;

	while (at < text.len) {
		const char *line = text.data + at;
		size_t len = 0;

		while (at + len < text.len && line[len] != '\r' && line[len] != '\n')
			len++;
		if (buf_add(ret, line, len) < 0)
			return -ENOMEM;
		at += len;
		if (at == text.len)
			break;
		at += text.data[at] == '\r' && at + 1 < text.len && text.data[at + 1] == '\n' ? 2
											      : 1;
		if (buf_add_text(ret, line_end) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- charset --------------------------------------------------------------------------------- */

/* ISO 2022: the last escape sequence before the place, if it is not the one for ASCII. */
static struct pn_slice
open_escape(const struct edit *edit)
{
	struct pn_slice raw = edit->raw;

	if (strncmp(edit->part->charset, "iso-2022-", 9) != 0)
		return pn_slice(NULL, 0);
	for (size_t at = edit->from; at > 0; at--) {
		size_t len = 1;

		if (raw.data[at - 1] != '\033')
			continue;
		while (at - 1 + len < edit->from && len < 4 && raw.data[at - 1 + len] >= 0x20 &&
		       raw.data[at - 1 + len] < 0x30)
			len++;
		if (at - 1 + len < edit->from)
			len++;
		if (len == 3 && !memcmp(raw.data + at - 1, "\033(B", 3))
			break;
		return pn_slice(raw.data + at - 1, len);
	}
	return pn_slice(NULL, 0);
}

static int
encode(struct edit *edit, struct pn_slice text, struct mail_charset_how how)
{
	struct pn_slice escape = open_escape(edit);
	int r = 0;

	buf_reset(&edit->bytes);
	if (escape.len > 0)
		r = buf_add_text(&edit->bytes, "\033(B");
	if (r == 0)
		r = mail_part_encode(edit->part, edit->raw, text, how, &edit->bytes);
	if (r >= 0 && buf_add(&edit->bytes, escape.data, escape.len) < 0)
		r = -ENOMEM;
	return r;
}

/* All of the part as UTF-8: what it was, with the text in it. */
static int
recode(struct edit *edit, size_t offset, size_t length, struct pn_slice text)
{
	if (buf_add(&edit->whole, edit->text.data, offset) < 0 ||
	    buf_add(&edit->whole, text.data, text.len) < 0 ||
	    buf_add(&edit->whole, edit->text.data + offset + length,
		edit->text.len - offset - length) < 0)
		return -ENOMEM;
	edit->recoded = true;
	return 0;
}

static int
into_charset(struct edit *edit, size_t offset, size_t length, struct pn_slice text)
{
	bool html = !strcmp(edit->part->type, "text/html");
	int r = encode(edit, text, (struct mail_charset_how){ .reference = html });

	if (r != -EILSEQ)
		return r;
	if (!html && !edit->part->lossy && part_fields_may_set(&edit->fields, true))
		return recode(edit, offset, length, text);
	r = encode(edit, text, (struct mail_charset_how){ .reference = html, .force = true });
	if (r > 0)
		edit->lost = r;
	return r;
}

/* ---- transfer encoding ----------------------------------------------------------------------- */

/*
 * What this hook has put into the part already was in its old encoding, so a part that is encoded
 * anew bears no second edit, before or after.
 */
static bool
is_taken(const struct edit *edit, bool anew)
{
	size_t body = edit->part->body, end = edit->part->end;

	for (size_t i = 0; i < edit->edits->count; i++) {
		const struct mail_splice *other = &edit->edits->splices[i];
		bool all = other->offset == body && other->length == end - body;

		if (other->offset >= body && other->offset <= end && (anew || all))
			return true;
	}
	return false;
}

static int
splice(struct edit *edit, size_t offset, size_t length, struct pn_slice bytes)
{
	char *text;

	if (!edit->fields.unterminated)
		return mail_edits_add(edit->edits, edit->arena, offset, length, bytes);
	text = arena_alloc(edit->arena, bytes.len + 2);
	memcpy(text, "\r\n", 2);
	if (bytes.len > 0)
		memcpy(text + 2, bytes.data, bytes.len);
	return mail_edits_add(
	    edit->edits, edit->arena, offset, length, pn_slice(text, bytes.len + 2));
}

/* The decoded part with the text in it. */
static int
put_together(struct edit *edit, struct buf *ret)
{
	if (edit->recoded)
		return buf_add(ret, edit->whole.data, edit->whole.len);
	if (buf_add(ret, edit->raw.data, edit->from) < 0 ||
	    buf_add(ret, edit->bytes.data, edit->bytes.len) < 0 ||
	    buf_add(ret, edit->raw.data + edit->to, edit->raw.len - edit->to) < 0)
		return -ENOMEM;
	return 0;
}

static bool
is_alphanumeric(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static int
base64_lines(struct pn_slice bytes, struct buf *ret)
{
	for (size_t at = 0; at < bytes.len; at += BASE64_LINE) {
		size_t len = bytes.len - at < BASE64_LINE ? bytes.len - at : BASE64_LINE;

		if (text_base64_encode(pn_slice(bytes.data + at, len), ret) < 0 ||
		    buf_add(ret, "\r\n", 2) < 0)
			return -ENOMEM;
	}
	return 0;
}

/*
 * Nothing but base64, whole and padded: else encoding it again would drop what somebody may see, as
 * the footer of a list, or plain text that only says it is base64.
 */
static bool
is_plain_base64(struct pn_slice body)
{
	size_t digits = 0, pads = 0;

	for (size_t i = 0; i < body.len; i++) {
		unsigned char c = (unsigned char)body.data[i];

		if (c == '\r' || c == '\n')
			continue;
		if (c == '=' && ++pads <= 2)
			continue;
		if (pads > 0 || !(is_alphanumeric(c) || c == '+' || c == '/'))
			return false;
		digits++;
	}
	return (digits + pads) % 4 == 0;
}

static int
whole_base64(struct edit *edit)
{
	struct buf raw = BUF_INIT(TEXT_CEILING), body = BUF_INIT(TEXT_CEILING);
	const struct pn_part *part = edit->part;
	int r = is_taken(edit, true) ? -EINVAL : put_together(edit, &raw);

	if (r == 0)
		r = base64_lines(buf_slice(&raw), &body);
	/* A boundary brings the line end before it, but where the body was empty. */
	if (r == 0 && body.len > 0 && part->end < part->tree->view.len &&
	    !part_fields_lacks_line_end(&edit->fields))
		body.len -= 2;
	if (r == 0)
		r = splice(edit, part->body, part->end - part->body, buf_slice(&body));
	if (r == 0)
		r = part_fields_set_encoding(&edit->fields, "base64", edit->arena, edit->edits);
	buf_free(&raw);
	buf_free(&body);
	return r;
}

/* The message ends in the midst of a line, to which a transport adds a line end. */
static bool
lacks_last_line_end(const struct pn_part *part)
{
	struct pn_slice body = mail_part_body(part);

	return part->end == part->tree->view.len && body.len > 0 && body.data[body.len - 1] != '\n';
}

static int
whole_qp(struct edit *edit)
{
	struct buf raw = BUF_INIT(TEXT_CEILING), body = BUF_INIT(TEXT_CEILING);
	int r = is_taken(edit, true) ? -EINVAL : put_together(edit, &raw);

	if (r == 0)
		r = mail_qp_encode(buf_slice(&raw), 0, &body);
	if (r == 0 && edit->exact && lacks_last_line_end(edit->part))
		r = buf_add(&body, "=\r\n", 3);
	if (r == 0 && part_fields_lacks_line_end(&edit->fields))
		r = buf_add(&body, "\r\n", 2);
	if (r == 0)
		r = splice(
		    edit, edit->part->body, edit->part->end - edit->part->body, buf_slice(&body));
	if (r == 0)
		r = part_fields_set_encoding(
		    &edit->fields, "quoted-printable", edit->arena, edit->edits);
	buf_free(&raw);
	buf_free(&body);
	return r;
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* Where in the encoded body the decoded byte begins. */
static size_t
find_qp(struct pn_slice body, size_t decoded)
{
	size_t at = 0;

	while (at < body.len && decoded > 0) {
		if (body.data[at] != '=') {
			at++;
			decoded--;
		} else if (at + 1 < body.len && body.data[at + 1] == '\n') {
			at += 2;
		} else if (at + 2 < body.len && body.data[at + 1] == '\r' &&
			   body.data[at + 2] == '\n') {
			at += 3;
		} else {
			bool code = at + 2 < body.len && is_hex(body.data[at + 1]) &&
				    is_hex(body.data[at + 2]);
			size_t made = code ? 1 : 3;

			at += 3;
			decoded -= made < decoded ? made : decoded;
		}
	}
	return at < body.len ? at : body.len;
}

static size_t
line_start(struct pn_slice body, size_t at)
{
	while (at > 0 && body.data[at - 1] != '\n')
		at--;
	return at;
}

static int
splice_qp(struct edit *edit)
{
	struct pn_slice body = mail_part_body(edit->part);
	size_t from = find_qp(body, edit->from), to = find_qp(body, edit->to);
	size_t column = from - line_start(body, from);
	struct buf coded = BUF_INIT(TEXT_CEILING);
	int r = mail_qp_encode(buf_slice(&edit->bytes), column, &coded);
	bool ends = coded.len >= 2 && coded.data[coded.len - 1] == '\n';

	/* What stands behind goes to a line of its own, unless the line is over. */
	if (r == 0 && !ends && to < body.len && body.data[to] != '\r' && body.data[to] != '\n')
		r = buf_add(&coded, "=\r\n", 3);
	if (r == 0 && part_fields_lacks_line_end(&edit->fields))
		r = buf_add(&coded, "\r\n", 2);
	if (r == 0)
		r = splice(edit, edit->part->body + from, to - from, buf_slice(&coded));
	buf_free(&coded);
	return r;
}

static bool
is_sevenbit(struct pn_slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.data[i] <= 0)
			return false;
	return true;
}

/* No line that the text makes or makes longer has more than 998 octets. */
static bool
lines_fit(const struct edit *edit)
{
	struct pn_slice raw = edit->raw, bytes = buf_slice(&edit->bytes);
	size_t column = edit->from - line_start(raw, edit->from), end = edit->to;

	for (size_t i = 0; i < bytes.len; i++) {
		if (bytes.data[i] == '\n')
			column = 0;
		else if (bytes.data[i] != '\r' && ++column > LINE_MOST)
			return false;
	}
	if (bytes.len == 0 || bytes.data[bytes.len - 1] == '\n')
		return true;
	while (end < raw.len && raw.data[end] != '\r' && raw.data[end] != '\n')
		end++;
	return column + (end - edit->to) <= LINE_MOST;
}

/* In 7bit, 8bit, binary: as it is where that can carry it. */
static int
splice_plain(struct edit *edit)
{
	struct pn_slice bytes = buf_slice(&edit->bytes);
	bool eightbit = !is_sevenbit(edit->raw); /* whatever it says */
	int r;

	if (edit->recoded || !lines_fit(edit) || (!eightbit && !is_sevenbit(bytes)) ||
	    memchr(bytes.data ? bytes.data : "", '\0', bytes.len))
		return part_fields_may_set(&edit->fields, false) ? whole_qp(edit) : -ENOTSUP;
	r = part_fields_lacks_line_end(&edit->fields) ? buf_add(&edit->bytes, "\r\n", 2) : 0;
	return r < 0 ? r
		     : splice(edit, edit->part->body + edit->from, edit->to - edit->from,
			   buf_slice(&edit->bytes));
}

static int
into_message(struct edit *edit)
{
	int r;

	switch (edit->part->encoding) {
	case MAIL_ENCODING_PLAIN:
		r = splice_plain(edit);
		break;
	case MAIL_ENCODING_QP:
		r = edit->recoded ? whole_qp(edit) : splice_qp(edit);
		break;
	case MAIL_ENCODING_BASE64:
		if (!is_plain_base64(mail_part_body(edit->part)))
			return -ENOTSUP;
		r = whole_base64(edit);
		break;
	default:
		return -ENOTSUP;
	}
	if (r == 0 && edit->recoded)
		r = part_fields_set_charset(&edit->fields, "utf-8", edit->arena, edit->edits);
	return r;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int
locate(struct edit *edit, size_t offset, size_t length)
{
	int r;

	if (offset == edit->text.len)
		edit->from = edit->raw.len;
	else if ((r = mail_part_find(edit->part, edit->raw, offset, &edit->from)) < 0)
		return r;
	edit->to = edit->from;
	if (length == 0)
		return 0;
	return mail_part_find(edit->part, edit->raw, offset + length, &edit->to);
}

/* UTF-16 and the like outside of base64 is no mail (RFC 2045 section 2.8, RFC 2781 section 4.4). */
static bool
is_wide_in_the_open(const struct pn_part *part)
{
	return part->encoding != MAIL_ENCODING_BASE64 &&
	       (!strncmp(part->charset, "utf-16", 6) || !strncmp(part->charset, "utf-32", 6) ||
		   !strncmp(part->charset, "ucs-", 4));
}

static int
run(struct edit *edit, size_t offset, size_t length, struct pn_slice given)
{
	struct buf text = BUF_INIT(TEXT_CEILING);
	bool bare = edit->part->encoding != MAIL_ENCODING_PLAIN && has_bare_lf(edit->text);
	int r = same_line_ends(given, bare ? "\n" : "\r\n", &text);

	if (r == 0)
		r = locate(edit, offset, length);
	if (r == 0)
		r = into_charset(edit, offset, length, buf_slice(&text));
	if (r >= 0)
		r = into_message(edit);
	buf_free(&text);
	return r;
}

int
mail_part_splice(const struct pn_part *part, size_t offset, size_t length, struct pn_slice text,
    struct arena *arena, struct mail_edits *edits)
{
	struct edit edit = { .part = part,
		.bytes = BUF_INIT(TEXT_CEILING),
		.whole = BUF_INIT(TEXT_CEILING),
		.arena = arena,
		.edits = edits };
	struct mail_edits before = *edits;
	int r;

	if (!part->is_text || is_wide_in_the_open(part) ||
	    part_fields_read(part, arena, &edit.fields) < 0)
		return -ENOTSUP;
	r = is_taken(&edit, false) ? -EINVAL : mail_part_text(part, SIZE_MAX, &edit.text);
	if (r == 0)
		r = mail_part_raw(part, SIZE_MAX, &edit.raw);
	if (r < 0)
		return r;
	if (offset == PN_PART_END)
		offset = edit.text.len;
	if (offset > edit.text.len || length > edit.text.len - offset)
		return -EINVAL;
	before.splices = arena_copy(arena, edits->splices, edits->count * sizeof(*edits->splices));
	before.capacity = edits->count;
	r = run(&edit, offset, length, text);
	if (r < 0)
		*edits = before; /* all of it or nothing */
	buf_free(&edit.bytes);
	buf_free(&edit.whole);
	return r < 0 ? r : edit.lost > 0;
}

int
mail_part_reencode(const struct pn_part *part, enum mail_encoding encoding, struct arena *arena,
    struct mail_edits *edits)
{
	struct edit edit = { .part = part,
		.raw = mail_part_body(part),
		.exact = true,
		.arena = arena,
		.edits = edits };

	if (part_fields_read(part, arena, &edit.fields) < 0 ||
	    !part_fields_may_set(&edit.fields, false))
		return -ENOTSUP;
	return encoding == MAIL_ENCODING_QP ? whole_qp(&edit) : whole_base64(&edit);
}
