/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.c - writes and reads SMTP replies.
 *
 * Called by session (writing) and courier (reading). Bytes of a peer are kept as they are and must
 * pass reply_print() before anybody prints them.
 */
#include <core/smtp/reply.h>
#include <errno.h>
#include <stdio.h>

/* ---- writing ----------------------------------------------------------------------------------
 */

/* How much of `text` fits on a line of `room` bytes: to a blank if possible, never inside UTF-8. */
static size_t
wrap(struct pn_slice text, size_t room)
{
	size_t cut = room;

	if (text.len <= room)
		return text.len;
	for (size_t i = room; i > room / 2; i--)
		if (text.data[i] == ' ')
			return i;
	while (cut > room - 4 && ((unsigned char)text.data[cut] & 0xc0) == 0x80)
		cut--;
	return cut;
}

/* "250-2.1.0 ". Every command has a reply, so this does without printf. */
static int
write_code(struct buf *out, int code, const char *enhanced, bool last)
{
	char head[4] = { (char)('0' + code / 100 % 10), (char)('0' + code / 10 % 10),
		(char)('0' + code % 10), last ? ' ' : '-' };
	int r = buf_add(out, head, sizeof(head));

	if (r == 0 && enhanced)
		r = buf_add_text(out, enhanced);
	if (r == 0 && enhanced)
		r = buf_add(out, " ", 1);
	return r;
}

static int
write_line(
    struct buf *out, int code, const char *enhanced, struct pn_slice text, bool last, bool utf8)
{
	size_t at;
	int r;

	r = write_code(out, code, enhanced, last);
	if (r < 0)
		return r;
	at = out->len;
	r = buf_add(out, text.data, text.len);
	if (r < 0)
		return r;
	for (; at < out->len; at++) {
		unsigned char c = (unsigned char)out->data[at];

		if (c < ' ' || c == 0x7f || (c >= 0x80 && !utf8))
			out->data[at] = '?';
	}
	return buf_add(out, "\r\n", 2);
}

int
reply_format(struct buf *out, int code, const char *enhanced, const char *text, bool utf8)
{
	size_t room = REPLY_LINE_MOST - 6 - (enhanced ? strlen(enhanced) + 1 : 0);
	size_t before = out->len;
	int r = 0;

	for (bool last = false; !last && r == 0;) {
		size_t len = strcspn(text, "\n");
		size_t take = wrap(pn_slice(text, len), room);
		const char *next = text + take;

		if (take < len)
			next += *next == ' ';
		else
			next += *next == '\n';
		last = *next == '\0';
		r = write_line(out, code, enhanced, pn_slice(text, take), last, utf8);
		text = next;
	}
	if (r < 0)
		out->len = before;
	return r;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

void
reply_parser_init(struct reply_parser *parser)
{
	*parser = (struct reply_parser){
		.reply.text = BUF_INIT(REPLY_READ_MOST),
		.partial = BUF_INIT(REPLY_READ_LINE_MOST),
	};
}

void
reply_parser_free(struct reply_parser *parser)
{
	buf_free(&parser->reply.text);
	buf_free(&parser->partial);
	reply_parser_init(parser);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* One number of an enhanced code: one to three digits, no leading zero (RFC 3463 section 2). */
static size_t
number_len(struct pn_slice text, size_t at)
{
	size_t len = 0;

	while (len < 4 && at + len < text.len && is_digit(text.data[at + len]))
		len++;
	if (len == 4 || (len > 1 && text.data[at] == '0'))
		return 0;
	return len;
}

/* Length of "5.1.1" at the start of `text`, 0 if there is none of this class. */
static size_t
enhanced_len(struct pn_slice text, char class)
{
	size_t subject, detail, len;

	if (text.len < 5 || text.data[0] != class || text.data[1] != '.')
		return 0;
	subject = number_len(text, 2);
	if (subject == 0 || 2 + subject >= text.len || text.data[2 + subject] != '.')
		return 0;
	detail = number_len(text, 3 + subject);
	len = 3 + subject + detail;
	if (detail == 0 || (len < text.len && text.data[len] != ' '))
		return 0;
	return len;
}

/* Takes the enhanced code off the text; the first one that is there counts. */
static struct pn_slice
strip_enhanced(struct reply *reply, struct pn_slice text)
{
	char class = (char)('0' + reply->code / 100);
	size_t len = class == '3' ? 0 : enhanced_len(text, class);

	if (len == 0 || len >= sizeof(reply->enhanced))
		return text;
	if (!reply->enhanced[0]) {
		memcpy(reply->enhanced, text.data, len);
		reply->enhanced[len] = '\0';
	}
	len += len < text.len;
	return pn_slice(text.data + len, text.len - len);
}

/* A whole line without its end. 1: it was the reply's last. */
static int
read_line(struct reply *reply, struct pn_slice line)
{
	int code, r;

	if (line.len < 3 || line.data[0] < '2' || line.data[0] > '5' || !is_digit(line.data[1]) ||
	    !is_digit(line.data[2]))
		return -EBADMSG;
	if (line.len > 3 && line.data[3] != ' ' && line.data[3] != '-')
		return -EBADMSG;
	code = (line.data[0] - '0') * 100 + (line.data[1] - '0') * 10 + (line.data[2] - '0');
	if (reply->lines > 0 && code != reply->code)
		return -EBADMSG;
	reply->code = code;
	if (++reply->lines > REPLY_READ_LINES)
		return -E2BIG;
	if (reply->lines > 1) {
		r = buf_add(&reply->text, "\n", 1);
		if (r < 0)
			return r;
	}
	if (line.len > 4) {
		struct pn_slice text = strip_enhanced(reply, pn_slice(line.data + 4, line.len - 4));

		r = buf_add(&reply->text, text.data, text.len);
		if (r < 0)
			return r;
	}
	return line.len > 3 && line.data[3] == '-' ? 0 : 1;
}

static int
take_line(struct reply_parser *parser, struct pn_slice line)
{
	int r;

	if (parser->partial.len > 0) {
		r = buf_add(&parser->partial, line.data, line.len);
		if (r < 0)
			return r;
		line = buf_slice(&parser->partial);
	}
	if (line.len > REPLY_READ_LINE_MOST)
		return -E2BIG;
	line.len--; /* the LF */
	if (line.len > 0 && line.data[line.len - 1] == '\r')
		line.len--;
	r = read_line(&parser->reply, line);
	buf_reset(&parser->partial);
	return r;
}

int
reply_parser_feed(struct reply_parser *parser, struct pn_slice in, size_t *ret_used)
{
	size_t at = 0;
	int r;

	if (parser->complete) {
		parser->complete = false;
		buf_reset(&parser->reply.text);
		parser->reply.lines = 0;
		parser->reply.enhanced[0] = '\0';
	}
	*ret_used = 0;
	while (at < in.len) {
		const char *end = memchr(in.data + at, '\n', in.len - at);
		size_t len = end ? (size_t)(end - in.data) + 1 - at : in.len - at;

		r = end ? take_line(parser, pn_slice(in.data + at, len))
			: buf_add(&parser->partial, in.data + at, len);
		at += len;
		*ret_used = at;
		if (r < 0)
			return r;
		if (r > 0) {
			parser->complete = true;
			return 1;
		}
	}
	return 0;
}

bool
reply_line(const struct reply *reply, size_t *at, struct pn_slice *ret)
{
	struct pn_slice text = buf_slice(&reply->text);
	const char *end;

	/* One past the text stands for: the last line was given. */
	if (*at > text.len)
		return false;
	end = text.len > *at ? memchr(text.data + *at, '\n', text.len - *at) : NULL;
	*ret = text.data
		   ? pn_slice(text.data + *at, (end ? (size_t)(end - text.data) : text.len) - *at)
		   : pn_slice("", 0);
	*at += ret->len + 1;
	return true;
}

void
reply_status(const struct reply *reply, char ret[REPLY_ENHANCED_SIZE])
{
	const char *derived = "4.0.0";

	if (reply->code / 100 == 2)
		derived = "2.0.0";
	else if (reply->code / 100 == 5)
		derived = "5.0.0";
	snprintf(ret, REPLY_ENHANCED_SIZE, "%s", reply->enhanced[0] ? reply->enhanced : derived);
}

void
reply_print(const struct reply *reply, char *ret, size_t size)
{
	struct pn_slice line;
	size_t at = 0, len;
	bool first = true;
	int n;

	n = snprintf(
	    ret, size, "%03d%s%s", reply->code, reply->enhanced[0] ? " " : "", reply->enhanced);
	len = n < 0 ? 0 : (size_t)n;
	while (len + 3 < size && reply_line(reply, &at, &line)) {
		if (line.len == 0)
			continue;
		if (!first)
			ret[len++] = ';';
		ret[len++] = ' ';
		first = false;
		for (size_t i = 0; i < line.len && len + 1 < size; i++)
			ret[len++] = line.data[i] < ' ' || line.data[i] > '~' ? '?' : line.data[i];
		ret[len] = '\0';
	}
}
