/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - lines, verbs and the simple arguments of SMTP commands.
 *
 * Called by the session for every line of a client; envelope commands are in command_envelope.c.
 * Must never look behind the slice it is given, nor keep it.
 */
#include <core/base/text.h>
#include <core/smtp/command.h>
#include <core/smtp/command_words.h>
#include <errno.h>

static const char *const verbs[COMMAND_COUNT] = {
	[COMMAND_HELO] = "HELO",
	[COMMAND_EHLO] = "EHLO",
	[COMMAND_MAIL] = "MAIL",
	[COMMAND_RCPT] = "RCPT",
	[COMMAND_DATA] = "DATA",
	[COMMAND_BDAT] = "BDAT",
	[COMMAND_RSET] = "RSET",
	[COMMAND_NOOP] = "NOOP",
	[COMMAND_QUIT] = "QUIT",
	[COMMAND_VRFY] = "VRFY",
	[COMMAND_EXPN] = "EXPN",
	[COMMAND_HELP] = "HELP",
	[COMMAND_AUTH] = "AUTH",
	[COMMAND_STARTTLS] = "STARTTLS",
};

int
command_line(struct pn_slice in, size_t most, struct pn_slice *ret, size_t *ret_used)
{
	const char *end = in.len > 0 ? memchr(in.data, '\n', in.len) : NULL;
	size_t len;

	*ret = pn_slice(in.data, 0);
	*ret_used = 0;
	if (!end) {
		if (in.len < most)
			return 0;
		*ret_used = in.len;
		return -E2BIG;
	}
	len = (size_t)(end - in.data);
	*ret_used = len + 1;
	if (len + 1 > most)
		return -E2BIG;
	if (len == 0 || in.data[len - 1] != '\r')
		return -EBADMSG;
	*ret = pn_slice(in.data, len - 1);
	if (len > 1 && (memchr(in.data, '\r', len - 1) || memchr(in.data, '\0', len - 1)))
		return -EBADMSG;
	return 1;
}

struct pn_slice
command_word(struct pn_slice *text)
{
	struct pn_slice word;
	size_t len = 0;

	while (text->len > 0 && command_is_blank(*text->data))
		*text = pn_slice(text->data + 1, text->len - 1);
	while (len < text->len && !command_is_blank(text->data[len]))
		len++;
	word = pn_slice(text->data, len);
	*text = pn_slice(text->data + len, text->len - len);
	return word;
}

static struct pn_slice
trim(struct pn_slice text)
{
	while (text.len > 0 && command_is_blank(*text.data))
		text = pn_slice(text.data + 1, text.len - 1);
	while (text.len > 0 && command_is_blank(text.data[text.len - 1]))
		text.len--;
	return text;
}

void
command_parse(struct pn_slice line, struct command *ret)
{
	struct pn_slice word = command_word(&line);

	*ret = (struct command){ .argument = trim(line) };
	for (int verb = COMMAND_UNKNOWN + 1; verb < COMMAND_COUNT; verb++)
		if (text_is(word, verbs[verb])) {
			ret->verb = (enum command_verb)verb;
			return;
		}
}

bool
command_helo_valid(struct pn_slice name)
{
	if (name.len == 0 || name.len > 255)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.data[i];

		/* What has a meaning in a header's comments stays out of the trace header. */
		if (c <= ' ' || c >= 0x7f || strchr("()<>\"\\;,@", c))
			return false;
	}
	return true;
}

int
command_refuse(struct command_fault *ret, int code, const char *enhanced, const char *text)
{
	*ret = (struct command_fault){ code, enhanced, text };
	return -EINVAL;
}

int
command_number(struct pn_slice text, uint64_t *ret)
{
	uint64_t number = 0;

	if (text.len == 0 || text.len > 20)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(text.data[i] - '0'), &number))
			return -ERANGE;
	}
	*ret = number;
	return 0;
}

int
command_bdat(struct pn_slice argument, struct command_bdat *ret, struct command_fault *ret_fault)
{
	struct pn_slice size = command_word(&argument), last = command_word(&argument);

	*ret = (struct command_bdat){ .last = text_is(last, "LAST") };
	if (command_number(size, &ret->size) < 0 || ret->size > INT64_MAX ||
	    (last.len > 0 && !ret->last) || argument.len > 0)
		return command_refuse(
		    ret_fault, 501, "5.5.4", "Syntax: BDAT size [LAST] (RFC 3030)");
	return 0;
}

int
command_auth(struct pn_slice argument, struct command_auth *ret, struct command_fault *ret_fault)
{
	struct pn_slice initial;

	*ret = (struct command_auth){ .mechanism = command_word(&argument) };
	initial = command_word(&argument);
	if (ret->mechanism.len == 0 || trim(argument).len > 0)
		return command_refuse(
		    ret_fault, 501, "5.5.4", "Syntax: AUTH mechanism [initial-response]");
	if (initial.len > 0)
		ret->initial = initial;
	return 0;
}

/* ---- xtext, RFC 3461 section 4 ----------------------------------------------------------------
 */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
command_xtext_decode(struct pn_slice text, struct buf *ret)
{
	size_t before = ret->len;
	int r;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		r = c < '!' || c > '~' || c == '=' ? -EINVAL : 0;
		if (r == 0 && c == '+') {
			int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
			int low = i + 2 < text.len ? hex_digit(text.data[i + 2]) : -1;

			r = high < 0 || low < 0 ? -EINVAL : 0;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (r == 0)
			r = buf_add(ret, &c, 1);
		if (r < 0) {
			ret->len = before;
			return r;
		}
	}
	return 0;
}

bool
command_xtext_valid(struct pn_slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if (c < '!' || c > '~' || c == '=')
			return false;
		if (c == '+' && (i + 2 >= text.len || hex_digit(text.data[i + 1]) < 0 ||
				    hex_digit(text.data[i + 2]) < 0))
			return false;
	}
	return true;
}
