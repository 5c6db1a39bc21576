/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp.c - fuzz target: command lines, replies of a next hop, the end of data.
 *
 * The first byte says what is fuzzed, the second where the input is cut. What is read must not
 * depend on the cuts, and a message that was read, stuffed and read again is the same.
 */
#include <core/smtp/command.h>
#include <core/smtp/dot.h>
#include <core/smtp/reply.h>
#include <stdlib.h>

#define MOST (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static void
fuzz_commands(struct pn_slice in)
{
	struct pn_slice line;
	size_t used;

	while (command_line(in, COMMAND_LINE_MOST, &line, &used) != 0) {
		struct command command;
		struct command_mail mail;
		struct command_rcpt rcpt;
		struct command_bdat bdat;
		struct command_auth auth;
		struct command_fault fault;
		struct buf plain = BUF_INIT(COMMAND_LINE_MOST);

		must(used > 0 && used <= in.len && line.len <= used);
		command_parse(line, &command);
		must(command_mail(command.argument, &mail, &fault) == 0 || fault.code >= 500);
		must(command_rcpt(command.argument, &rcpt, &fault) == 0 || fault.code >= 500);
		must(command_bdat(command.argument, &bdat, &fault) == 0 || fault.code >= 500);
		must(command_auth(command.argument, &auth, &fault) == 0 || fault.code >= 500);
		command_helo_valid(command.argument);
		must((command_xtext_decode(command.argument, &plain) == 0) ==
		     command_xtext_valid(command.argument));
		buf_free(&plain);
		in = pn_slice(in.data + used, in.len - used);
	}
}

/* Feeds in pieces of `piece` bytes; returns the last result. */
static int
feed_reply(struct reply_parser *parser, struct pn_slice in, size_t piece, size_t *ret_used)
{
	int r = 0;

	*ret_used = 0;
	reply_parser_init(parser);
	while (r == 0 && *ret_used < in.len) {
		size_t left = in.len - *ret_used, used;

		r = reply_parser_feed(
		    parser, pn_slice(in.data + *ret_used, left < piece ? left : piece), &used);
		*ret_used += used;
	}
	return r;
}

static void
fuzz_replies(struct pn_slice in, size_t piece)
{
	struct reply_parser whole, cut;
	size_t whole_used, cut_used;
	char text[200];
	int r = feed_reply(&whole, in, in.len, &whole_used);

	must(feed_reply(&cut, in, piece, &cut_used) == r);
	if (r == 1) {
		must(whole_used == cut_used && whole.reply.code == cut.reply.code);
		must(pn_slice_equals(buf_slice(&whole.reply.text), buf_slice(&cut.reply.text)));
		reply_print(&whole.reply, text, sizeof(text));
		must(strlen(text) < sizeof(text));
	}
	reply_parser_free(&whole);
	reply_parser_free(&cut);
}

static size_t
feed_data(struct dot_scanner *scanner, struct pn_slice in, size_t piece)
{
	size_t at = 0, used;
	bool ended = false;

	if (mail_bytes_new(16, &scanner->bytes) < 0)
		abort();
	dot_scanner_begin(scanner);
	while (!ended && at < in.len) {
		size_t left = in.len - at;

		ended = dot_scanner_feed(
		    scanner, pn_slice(in.data + at, left < piece ? left : piece), &used);
		at += used;
	}
	dot_scanner_end(scanner);
	return at;
}

static void
check_clean(struct pn_slice message)
{
	for (size_t i = 0; i < message.len; i++) {
		must(message.data[i] != '\n' || (i > 0 && message.data[i - 1] == '\r'));
		must(message.data[i] != '\r' ||
		     (i + 1 < message.len && message.data[i + 1] == '\n'));
	}
}

static void
check_again(struct pn_slice message)
{
	struct dot_scanner scanner = { .most = 2 * MOST, .line_most = MOST, .stuffed = true };
	struct buf out = BUF_INIT(4 * MOST);
	struct dot_writer writer;
	struct pn_slice range;

	dot_writer_begin(&writer, message);
	while (dot_writer_next(&writer, &range))
		must(buf_add(&out, range.data, range.len) == 0);
	must(feed_data(&scanner, buf_slice(&out), out.len) == out.len);
	must(dot_scanner_fault(&scanner) == 0 && scanner.bytes->len >= message.len);
	must(memcmp(scanner.bytes->data, message.data, message.len) == 0);
	mail_bytes_release(&scanner.bytes);
	buf_free(&out);
}

static void
fuzz_data(struct pn_slice in, size_t piece, unsigned flags)
{
	struct dot_scanner whole = { .most = flags & 4 ? 100 : MOST,
		.line_most = flags & 8 ? 20 : MOST,
		.stuffed = flags & 1,
		.normalize = flags & 2 };
	struct dot_scanner cut = whole;
	size_t used = feed_data(&whole, in, in.len);

	must(feed_data(&cut, in, piece) == used);
	must(dot_scanner_fault(&whole) == dot_scanner_fault(&cut));
	if (dot_scanner_fault(&whole) == 0) {
		struct pn_slice message = pn_slice(whole.bytes->data, whole.bytes->len);

		must(pn_slice_equals(message, pn_slice(cut.bytes->data, cut.bytes->len)));
		if (used == in.len && in.len > 0 && in.data[in.len - 1] != '\r') {
			check_clean(message);
			if (message.len > 0)
				check_again(message);
		}
	}
	mail_bytes_release(&whole.bytes);
	mail_bytes_release(&cut.bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice in;
	size_t piece;

	if (size < 3 || size > MOST)
		return 0;
	in = pn_slice(data + 2, size - 2);
	piece = (size_t)data[1] % 40 + 1;
	if (data[0] % 4 == 0)
		fuzz_commands(in);
	else if (data[0] % 4 == 1)
		fuzz_replies(in, piece);
	else
		fuzz_data(in, piece, data[0] >> 2);
	return 0;
}
