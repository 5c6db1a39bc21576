/* SPDX-License-Identifier: Apache-2.0 */
/* smtp.c - unit tests of the SMTP grammar: replies, commands, end of data. */
#include "run.h"
#include <check.h>
#include <core/smtp/command.h>
#include <core/smtp/dot.h>
#include <core/smtp/reply.h>
#include <errno.h>
#include <stdlib.h>

#define COUNT(table) ((int)(sizeof(table) / sizeof(*(table))))

/* ---- replies ----------------------------------------------------------------------------------
 */

static const struct {
	int code;
	const char *enhanced, *text;
	bool utf8;
	const char *want;
} written[] = {
	{ 250, "2.0.0", "Ok", false, "250 2.0.0 Ok\r\n" },
	{ 220, NULL, "relay.example ESMTP", false, "220 relay.example ESMTP\r\n" },
	{ 250, "2.1.0", "one\ntwo", false, "250-2.1.0 one\r\n250 2.1.0 two\r\n" },
	{ 250, NULL, "a\n", false, "250 a\r\n" },
	{ 550, "5.7.1", "a\r\tb", false, "550 5.7.1 a??b\r\n" },
	{ 550, "5.7.1", "caf\xc3\xa9", false, "550 5.7.1 caf??\r\n" },
	{ 550, "5.7.1", "caf\xc3\xa9", true, "550 5.7.1 caf\xc3\xa9\r\n" },
	{ 250, NULL, "", false, "250 \r\n" },
};

START_TEST(reply_is_written)
{
	struct buf out = BUF_INIT(4096);

	ck_assert_int_eq(reply_format(&out, written[_i].code, written[_i].enhanced,
			     written[_i].text, written[_i].utf8),
	    0);
	ck_assert_str_eq(buf_text(&out), written[_i].want);
	buf_free(&out);
}
END_TEST

START_TEST(reply_wraps)
{
	struct buf out = BUF_INIT(8192);
	struct reply_parser parser;
	char text[2000];
	size_t used, longest = 0, at = 0;

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = i % 9 == 8 ? ' ' : i < 1000 ? 'x' : (i % 2 ? '\xa9' : '\xc3');
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(reply_format(&out, 550, "5.7.1", text, true), 0);
	for (size_t i = 0; i < out.len; i++)
		if (out.data[i] == '\n') {
			if (i + 1 - at > longest)
				longest = i + 1 - at;
			at = i + 1;
		}
	ck_assert_uint_le(longest, REPLY_LINE_MOST);
	reply_parser_init(&parser);
	ck_assert_int_eq(reply_parser_feed(&parser, buf_slice(&out), &used), 1);
	ck_assert_uint_eq(used, out.len);
	ck_assert_uint_ge(parser.reply.lines, 4);
	reply_parser_free(&parser);
	buf_free(&out);
}
END_TEST

START_TEST(reply_keeps_its_ceiling)
{
	struct buf out = BUF_INIT(20);

	ck_assert_int_eq(reply_format(&out, 250, NULL, "Ok", false), 0);
	ck_assert_int_eq(reply_format(&out, 250, NULL, "one\ntwo\nthree", false), -E2BIG);
	ck_assert_str_eq(buf_text(&out), "250 Ok\r\n");
	buf_free(&out);
}
END_TEST

static const struct {
	const char *in;
	int r, code;
	const char *enhanced, *text, *status, *print;
} read_replies[] = {
	{ "250 Ok\r\n", 1, 250, "", "Ok", "2.0.0", "250 Ok" },
	{ "250\r\n", 1, 250, "", "", "2.0.0", "250" },
	{ "250 Ok\n", 1, 250, "", "Ok", "2.0.0", "250 Ok" },
	{ "550 5.1.1 No such user\r\n", 1, 550, "5.1.1", "No such user", "5.1.1",
	    "550 5.1.1 No such user" },
	{ "550 5.1.1\r\n", 1, 550, "5.1.1", "", "5.1.1", "550 5.1.1" },
	{ "550-5.1.1 a\r\n550 5.1.1 b\r\n", 1, 550, "5.1.1", "a\nb", "5.1.1", "550 5.1.1 a; b" },
	{ "550 4.1.1 class\r\n", 1, 550, "", "4.1.1 class", "5.0.0", "550 4.1.1 class" },
	{ "550 5.01.1 zero\r\n", 1, 550, "", "5.01.1 zero", "5.0.0", "550 5.01.1 zero" },
	{ "550 5.1.1000 long\r\n", 1, 550, "", "5.1.1000 long", "5.0.0", "550 5.1.1000 long" },
	{ "550 5.7.999x\r\n", 1, 550, "", "5.7.999x", "5.0.0", "550 5.7.999x" },
	{ "452 busy\r\n", 1, 452, "", "busy", "4.0.0", "452 busy" },
	{ "354 3.0.0 go\r\n", 1, 354, "", "3.0.0 go", "4.0.0", "354 3.0.0 go" },
	{ "554 a\x1b[2J\r\n", 1, 554, "", "a\x1b[2J", "5.0.0", "554 a?[2J" },
	{ "250-Ok\r\n", 0, 0, "", "", "", "" },
	{ "250 Ok", 0, 0, "", "", "", "" },
	{ "250-a\r\n251 b\r\n", -EBADMSG, 0, "", "", "", "" },
	{ "150 a\r\n", -EBADMSG, 0, "", "", "", "" },
	{ "650 a\r\n", -EBADMSG, 0, "", "", "", "" },
	{ "25\r\n", -EBADMSG, 0, "", "", "", "" },
	{ "250_a\r\n", -EBADMSG, 0, "", "", "", "" },
	{ "\r\n", -EBADMSG, 0, "", "", "", "" },
	{ "HTTP/1.1 400\r\n", -EBADMSG, 0, "", "", "", "" },
};

/* Whole, and split at every byte: the result is the same. */
START_TEST(reply_is_read)
{
	struct pn_slice in = pn_slice_of(read_replies[_i].in);
	char status[REPLY_ENHANCED_SIZE], print[80];

	for (size_t cut = 0; cut < in.len; cut++) {
		struct reply_parser parser;
		size_t used;
		int r = 0;

		reply_parser_init(&parser);
		if (cut > 0)
			r = reply_parser_feed(&parser, pn_slice(in.data, cut), &used);
		if (r == 0)
			r = reply_parser_feed(
			    &parser, pn_slice(in.data + cut, in.len - cut), &used);
		ck_assert_int_eq(r, read_replies[_i].r);
		if (r == 1) {
			ck_assert_int_eq(parser.reply.code, read_replies[_i].code);
			ck_assert_str_eq(parser.reply.enhanced, read_replies[_i].enhanced);
			ck_assert(pn_slice_equals(
			    buf_slice(&parser.reply.text), pn_slice_of(read_replies[_i].text)));
			reply_status(&parser.reply, status);
			ck_assert_str_eq(status, read_replies[_i].status);
			reply_print(&parser.reply, print, sizeof(print));
			ck_assert_str_eq(print, read_replies[_i].print);
		}
		reply_parser_free(&parser);
	}
}
END_TEST

START_TEST(replies_in_one_packet)
{
	struct pn_slice in = pn_slice_of("250-a\r\n250-\r\n250 c\r\n354 go\r\n250 2.0.0 d\r\n");
	static const int codes[] = { 250, 354, 250 };
	struct reply_parser parser;
	struct pn_slice line;
	size_t used, at = 0, lines = 0;

	reply_parser_init(&parser);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(reply_parser_feed(&parser, in, &used), 1);
		ck_assert_int_eq(parser.reply.code, codes[i]);
		if (i == 0)
			while (reply_line(&parser.reply, &at, &line))
				ck_assert_uint_eq(line.len, lines++ == 1 ? 0 : 1);
		in = pn_slice(in.data + used, in.len - used);
	}
	ck_assert_uint_eq(lines, 3);
	ck_assert_str_eq(parser.reply.enhanced, "2.0.0");
	ck_assert_uint_eq(in.len, 0);
	reply_parser_free(&parser);
}
END_TEST

START_TEST(reply_limits)
{
	struct reply_parser parser;
	char line[REPLY_READ_LINE_MOST + 2];
	size_t used;
	int r = 0;

	memset(line, 'x', sizeof(line));
	memcpy(line, "250 ", 4);
	reply_parser_init(&parser);
	ck_assert_int_eq(reply_parser_feed(&parser, pn_slice(line, sizeof(line)), &used), -E2BIG);
	reply_parser_free(&parser);
	line[sizeof(line) - 1] = '\n';
	ck_assert_int_eq(reply_parser_feed(&parser, pn_slice(line, sizeof(line)), &used), -E2BIG);
	reply_parser_free(&parser);
	for (unsigned i = 0; i <= REPLY_READ_LINES && r == 0; i++)
		r = reply_parser_feed(&parser, pn_slice_of("250-\r\n"), &used);
	ck_assert_int_eq(r, -E2BIG);
	reply_parser_free(&parser);
}
END_TEST

static TCase *
replies_case(void)
{
	TCase *tc = tcase_create("replies");

	tcase_add_loop_test(tc, reply_is_written, 0, COUNT(written));
	tcase_add_test(tc, reply_wraps);
	tcase_add_test(tc, reply_keeps_its_ceiling);
	tcase_add_loop_test(tc, reply_is_read, 0, COUNT(read_replies));
	tcase_add_test(tc, replies_in_one_packet);
	tcase_add_test(tc, reply_limits);
	return tc;
}

/* ---- commands ---------------------------------------------------------------------------------
 */

static const struct {
	const char *in;
	size_t most;
	int r;
	const char *line;
	size_t used;
} lines[] = {
	{ "NOOP\r\n", 512, 1, "NOOP", 6 },
	{ "NOOP\r\nQUIT\r\n", 512, 1, "NOOP", 6 },
	{ "\r\n", 512, 1, "", 2 },
	{ "", 512, 0, "", 0 },
	{ "NOOP", 512, 0, "", 0 },
	{ "NOOP\r", 512, 0, "", 0 },
	{ "NOOP\n", 512, -EBADMSG, "", 5 },
	{ "\n", 512, -EBADMSG, "", 1 },
	{ "NO\rOP\r\n", 512, -EBADMSG, "NO\rOP", 7 },
	{ "NOOP\r\r\n", 512, -EBADMSG, "NOOP\r", 7 },
	{ "NOOP\r\n", 6, 1, "NOOP", 6 },
	{ "NOOP1\r\n", 6, -E2BIG, "", 7 },
	{ "NOOP12", 6, -E2BIG, "", 6 },
};

START_TEST(command_lines)
{
	struct pn_slice line;
	size_t used;

	ck_assert_int_eq(
	    command_line(pn_slice_of(lines[_i].in), lines[_i].most, &line, &used), lines[_i].r);
	ck_assert(pn_slice_equals(line, pn_slice_of(lines[_i].line)));
	ck_assert_uint_eq(used, lines[_i].used);
}
END_TEST

START_TEST(command_line_with_nul)
{
	struct pn_slice line;
	size_t used;

	ck_assert_int_eq(command_line(pn_slice("NO\0P\r\n", 6), 512, &line, &used), -EBADMSG);
	ck_assert_uint_eq(used, 6);
}
END_TEST

static const struct {
	const char *line;
	enum command_verb verb;
	const char *argument;
} commands[] = {
	{ "EHLO client.example", COMMAND_EHLO, "client.example" },
	{ "helo x", COMMAND_HELO, "x" },
	{ "MAIL FROM:<a@b> SIZE=1", COMMAND_MAIL, "FROM:<a@b> SIZE=1" },
	{ "RcPt  TO:<a@b>  ", COMMAND_RCPT, "TO:<a@b>" },
	{ "DATA", COMMAND_DATA, "" },
	{ "BDAT\t5 LAST", COMMAND_BDAT, "5 LAST" },
	{ "STARTTLS", COMMAND_STARTTLS, "" },
	{ "STARTLS", COMMAND_UNKNOWN, "" },
	{ "QUITX", COMMAND_UNKNOWN, "" },
	{ "", COMMAND_UNKNOWN, "" },
	{ "MAILFROM:<a@b>", COMMAND_UNKNOWN, "" },
};

START_TEST(command_verbs)
{
	struct command command;

	command_parse(pn_slice_of(commands[_i].line), &command);
	ck_assert_int_eq(command.verb, commands[_i].verb);
	ck_assert(pn_slice_equals(command.argument, pn_slice_of(commands[_i].argument)));
}
END_TEST

static const struct {
	const char *name;
	bool valid;
} helos[] = {
	{ "client.example", true },
	{ "[192.0.2.1]", true },
	{ "[IPv6:2001:db8::1]", true },
	{ "my_pc", true },
	{ "", false },
	{ "two words", false },
	{ "a(b", false },
	{ "a\x01", false },
	{ "a\x80", false },
};

START_TEST(helo_names)
{
	ck_assert_int_eq(command_helo_valid(pn_slice_of(helos[_i].name)), helos[_i].valid);
}
END_TEST

static const struct {
	const char *argument;
	int code; /* 0: understood */
	const char *path;
	uint64_t size;
	const char *envid, *auth;
} mails[] = {
	{ "FROM:<a@b.example>", 0, "a@b.example", 0, NULL, NULL },
	{ "from: <a@b.example>", 0, "a@b.example", 0, NULL, NULL },
	{ "FROM:<>", 0, "", 0, NULL, NULL },
	{ "FROM:<@x.example,@y.example:a@b.example>", 0, "a@b.example", 0, NULL, NULL },
	{ "FROM:<\"a> b\"@c.example> SIZE=7", 0, "\"a> b\"@c.example", 7, NULL, NULL },
	{ "FROM:<\"a\\\"> b\"@c.example> SIZE=7", 0, "\"a\\\"> b\"@c.example", 7, NULL, NULL },
	{ "FROM:<a@b> size=10 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=x+2By AUTH=<>", 0, "a@b", 10,
	    "x+2By", "<>" },
	{ "FROM:<a@b> SIZE=99999999999999999999", 0, "a@b", UINT64_MAX, NULL, NULL },
	{ "FROM:<a@b>  AUTH=c+40d", 0, "a@b", 0, NULL, "c+40d" },
	{ "", 501, NULL, 0, NULL, NULL },
	{ "FROM:", 501, NULL, 0, NULL, NULL },
	{ "FROM:a@b", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b>x", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a<b@c>", 501, NULL, 0, NULL, NULL },
	{ "FROM:<\"a@b>", 501, NULL, 0, NULL, NULL },
	{ "TO:<a@b>", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> SIZE", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> SIZE=", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> SIZE=-1", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> SIZE=123456789012345678901", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> SIZE=1 SIZE=1", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> BODY=9BIT", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> REQUIRETLS=1", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> SMTPUTF8=yes", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> RET=ALL", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> ENVID=a+2", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> ENVID=a=b", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> AUTH", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> X_Y=1", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> =1", 501, NULL, 0, NULL, NULL },
	{ "FROM:<a@b> -A=1", 501, NULL, 0, NULL, NULL },
};

static bool
slice_is(struct pn_slice slice, const char *text)
{
	return text ? slice.data && pn_slice_equals(slice, pn_slice_of(text)) : !slice.data;
}

START_TEST(mail_arguments)
{
	struct command_mail mail;
	struct command_fault fault = { 0 };
	int r = command_mail(pn_slice_of(mails[_i].argument), &mail, &fault);

	ck_assert_int_eq(r, mails[_i].code ? -EINVAL : 0);
	ck_assert_int_eq(fault.code, mails[_i].code);
	if (r < 0)
		return;
	ck_assert(slice_is(mail.path, mails[_i].path));
	ck_assert_uint_eq(mail.size, mails[_i].size);
	ck_assert(slice_is(mail.envid, mails[_i].envid));
	ck_assert(slice_is(mail.auth, mails[_i].auth));
}
END_TEST

START_TEST(mail_flags)
{
	struct command_mail mail;
	struct command_fault fault;

	ck_assert_int_eq(
	    command_mail(pn_slice_of("FROM:<a@b> BODY=8BITMIME SMTPUTF8 RET=FULL"), &mail, &fault),
	    0);
	ck_assert_int_eq(mail.body, COMMAND_BODY_8BITMIME);
	ck_assert(mail.smtputf8);
	ck_assert(!mail.has_size);
	ck_assert_int_eq(mail.ret, MAIL_RET_FULL);
}
END_TEST

#define NEVER   MAIL_NOTIFY_NEVER
#define SUCCESS MAIL_NOTIFY_SUCCESS
#define FAILURE MAIL_NOTIFY_FAILURE
#define DELAY   MAIL_NOTIFY_DELAY
static const struct {
	const char *argument;
	int code;
	const char *path;
	uint32_t notify;
	const char *orcpt;
} rcpts[] = {
	{ "TO:<a@b>", 0, "a@b", 0, NULL },
	{ "TO: <a@b>", 0, "a@b", 0, NULL },
	{ "to:<Postmaster>", 0, "Postmaster", 0, NULL },
	{ "TO:<a@b> NOTIFY=NEVER", 0, "a@b", NEVER, NULL },
	{ "TO:<a@b> NOTIFY=success,DELAY,Failure", 0, "a@b", SUCCESS | FAILURE | DELAY, NULL },
	{ "TO:<a@b> ORCPT=rfc822;a+2Bc@b NOTIFY=DELAY", 0, "a@b", DELAY, "rfc822;a+2Bc@b" },
	{ "TO:<a@b> ORCPT=utf-8;\xc3\xa9@b", 0, "a@b", 0, "utf-8;\xc3\xa9@b" },
	{ "TO:<>", 501, NULL, 0, NULL },
	{ "TO:<@x:>", 501, NULL, 0, NULL },
	{ "FROM:<a@b>", 501, NULL, 0, NULL },
	{ "TO:<a@b> NOTIFY=NEVER,SUCCESS", 501, NULL, 0, NULL },
	{ "TO:<a@b> NOTIFY=SOMETIMES", 501, NULL, 0, NULL },
	{ "TO:<a@b> NOTIFY=SUCCESS,", 501, NULL, 0, NULL },
	{ "TO:<a@b> NOTIFY=,SUCCESS", 501, NULL, 0, NULL },
	{ "TO:<a@b> NOTIFY", 501, NULL, 0, NULL },
	{ "TO:<a@b> NOTIFY=DELAY NOTIFY=DELAY", 501, NULL, 0, NULL },
	{ "TO:<a@b> ORCPT=a@b", 501, NULL, 0, NULL },
	{ "TO:<a@b> ORCPT=;a@b", 501, NULL, 0, NULL },
	{ "TO:<a@b> ORCPT=rfc822;", 501, NULL, 0, NULL },
	{ "TO:<a@b> ORCPT=rfc822;a+2bc@b", 501, NULL, 0, NULL },
	{ "TO:<a@b> ORCPT=rfc822;\xc3\xa9@b", 501, NULL, 0, NULL },
	{ "TO:<a@b> ORCPT", 501, NULL, 0, NULL },
	{ "TO:<a@b> SIZE=1", 555, NULL, 0, NULL },
};

START_TEST(rcpt_arguments)
{
	struct command_rcpt rcpt;
	struct command_fault fault = { 0 };
	int r = command_rcpt(pn_slice_of(rcpts[_i].argument), &rcpt, &fault);

	ck_assert_int_eq(r, rcpts[_i].code ? -EINVAL : 0);
	ck_assert_int_eq(fault.code, rcpts[_i].code);
	if (r < 0)
		return;
	ck_assert(slice_is(rcpt.path, rcpts[_i].path));
	ck_assert_uint_eq(rcpt.notify, rcpts[_i].notify);
	ck_assert(slice_is(rcpt.orcpt, rcpts[_i].orcpt));
}
END_TEST

static const struct {
	const char *argument;
	int r;
	uint64_t size;
	bool last;
} bdats[] = {
	{ "0 LAST", 0, 0, true },
	{ "1000", 0, 1000, false },
	{ "7 last", 0, 7, true },
	{ "9223372036854775807", 0, INT64_MAX, false },
	{ "9223372036854775808", -EINVAL, 0, false },
	{ "", -EINVAL, 0, false },
	{ "LAST", -EINVAL, 0, false },
	{ "-1", -EINVAL, 0, false },
	{ "1 2", -EINVAL, 0, false },
	{ "1 LAST x", -EINVAL, 0, false },
	{ "0x10", -EINVAL, 0, false },
};

START_TEST(bdat_arguments)
{
	struct command_bdat bdat;
	struct command_fault fault = { 0 };
	int r = command_bdat(pn_slice_of(bdats[_i].argument), &bdat, &fault);

	ck_assert_int_eq(r, bdats[_i].r);
	if (r < 0) {
		ck_assert_int_eq(fault.code, 501);
		return;
	}
	ck_assert_uint_eq(bdat.size, bdats[_i].size);
	ck_assert_int_eq(bdat.last, bdats[_i].last);
}
END_TEST

static const struct {
	const char *argument;
	int r;
	const char *mechanism, *initial;
} auths[] = {
	{ "PLAIN", 0, "PLAIN", NULL },
	{ "plain AGEAYg==", 0, "plain", "AGEAYg==" },
	{ "PLAIN =", 0, "PLAIN", "=" },
	{ "", -EINVAL, NULL, NULL },
	{ "PLAIN a b", -EINVAL, NULL, NULL },
};

START_TEST(auth_arguments)
{
	struct command_auth auth;
	struct command_fault fault = { 0 };
	int r = command_auth(pn_slice_of(auths[_i].argument), &auth, &fault);

	ck_assert_int_eq(r, auths[_i].r);
	if (r < 0) {
		ck_assert_int_eq(fault.code, 501);
		return;
	}
	ck_assert(slice_is(auth.mechanism, auths[_i].mechanism));
	ck_assert(slice_is(auth.initial, auths[_i].initial));
}
END_TEST

static const struct {
	const char *text, *plain; /* NULL: not xtext */
} xtexts[] = {
	{ "a@b", "a@b" },
	{ "", "" },
	{ "a+2Bb+3D", "a+b=" },
	{ "+C3+A9", "\xc3\xa9" },
	{ "a+2b", NULL },
	{ "a+2", NULL },
	{ "a+", NULL },
	{ "a=b", NULL },
	{ "a b", NULL },
	{ "\xc3\xa9", NULL },
};

START_TEST(xtext)
{
	struct pn_slice text = pn_slice_of(xtexts[_i].text);
	struct buf plain = BUF_INIT(64);

	ck_assert_int_eq(command_xtext_valid(text), xtexts[_i].plain != NULL);
	ck_assert_int_eq(command_xtext_decode(text, &plain), xtexts[_i].plain ? 0 : -EINVAL);
	if (xtexts[_i].plain)
		ck_assert(pn_slice_equals(buf_slice(&plain), pn_slice_of(xtexts[_i].plain)));
	else
		ck_assert_uint_eq(plain.len, 0);
	buf_free(&plain);
}
END_TEST

static TCase *
commands_case(void)
{
	TCase *tc = tcase_create("commands");

	tcase_add_loop_test(tc, command_lines, 0, COUNT(lines));
	tcase_add_test(tc, command_line_with_nul);
	tcase_add_loop_test(tc, command_verbs, 0, COUNT(commands));
	tcase_add_loop_test(tc, helo_names, 0, COUNT(helos));
	tcase_add_loop_test(tc, mail_arguments, 0, COUNT(mails));
	tcase_add_test(tc, mail_flags);
	tcase_add_loop_test(tc, rcpt_arguments, 0, COUNT(rcpts));
	tcase_add_loop_test(tc, bdat_arguments, 0, COUNT(bdats));
	tcase_add_loop_test(tc, auth_arguments, 0, COUNT(auths));
	tcase_add_loop_test(tc, xtext, 0, COUNT(xtexts));
	return tc;
}

/* ---- the end of data --------------------------------------------------------------------------
 */

#define L(text) \
	{ \
		text, sizeof(text) - 1 \
	}
#define FALSE_END(variant) L("a" variant "b\r\n.\r\nQUIT\r\n")
static const struct {
	struct pn_slice in; /* what follows the end is "QUIT\r\n" */
	int fault;
	struct pn_slice normal; /* as stored when normalised */
} data_tests[] = {
	{ L(".\r\nQUIT\r\n"), 0, L("") },
	{ L("a\r\n.\r\nQUIT\r\n"), 0, L("a\r\n") },
	{ L("a\r\n\r\nb\r\n.\r\nQUIT\r\n"), 0, L("a\r\n\r\nb\r\n") },
	{ L("..\r\n.\r\nQUIT\r\n"), 0, L(".\r\n") },
	{ L("....a\r\n.b\r\n.\r\nQUIT\r\n"), 0, L("...a\r\nb\r\n") },
	{ L("a.\r\n.\r\nQUIT\r\n"), 0, L("a.\r\n") },
	{ L("a\0b\r\n\0.\r\n.\0\r\n.\r\nQUIT\r\n"), 0, L("a\0b\r\n\0.\r\n\0\r\n") },
	/* the eight false ends, and some more */
	{ FALSE_END("\n.\n"), -EBADMSG, L("a\r\n.\r\nb\r\n") },
	{ FALSE_END("\n.\r\n"), -EBADMSG, L("a\r\n.\r\nb\r\n") },
	{ FALSE_END("\r\n.\n"), -EBADMSG, L("a\r\n\r\nb\r\n") },
	{ FALSE_END("\r.\r"), -EBADMSG, L("a\r\n.\r\nb\r\n") },
	{ FALSE_END("\r\n.\r"), -EBADMSG, L("a\r\n\r\nb\r\n") },
	{ FALSE_END("\r.\r\n"), -EBADMSG, L("a\r\n.\r\nb\r\n") },
	{ FALSE_END("\n.\r"), -EBADMSG, L("a\r\n.\r\nb\r\n") },
	{ FALSE_END("\r\n\0.\r\n"), 0, L("a\r\n\0.\r\nb\r\n") },
	{ FALSE_END("\r\n.\0\r\n"), 0, L("a\r\n\0\r\nb\r\n") },
	{ FALSE_END("\r\r\n.\r\r\n"), -EBADMSG, L("a\r\n\r\n\r\n\r\nb\r\n") },
	{ FALSE_END("\n\n.\n"), -EBADMSG, L("a\r\n\r\n.\r\nb\r\n") },
	{ FALSE_END("\n..\n"), -EBADMSG, L("a\r\n.\r\nb\r\n") },
	{ L("\n.\r\n.\r\nQUIT\r\n"), -EBADMSG, L("\r\n.\r\n") },
	{ L("\r.\r\n.\r\nQUIT\r\n"), -EBADMSG, L("\r\n.\r\n") },
	{ L("a\n\r\n.\r\nQUIT\r\n"), -EBADMSG, L("a\r\n\r\n") },
};

static void
scan(struct dot_scanner *scanner, struct pn_slice in, size_t cut, bool *ret_ended, size_t *ret_used)
{
	size_t used = 0, more = 0;

	dot_scanner_begin(scanner);
	*ret_ended = dot_scanner_feed(scanner, pn_slice(in.data, cut), &used);
	if (!*ret_ended)
		*ret_ended = dot_scanner_feed(
		    scanner, pn_slice(in.data + cut, in.len - cut), &more);
	*ret_used = used + more;
}

/* The end is where it is, and the bytes are the same, wherever the packets are cut. */
START_TEST(end_of_data)
{
	struct pn_slice in = data_tests[_i].in, want = data_tests[_i].normal;

	for (int normalize = 0; normalize < 2; normalize++)
		for (size_t cut = 0; cut <= in.len; cut++) {
			struct dot_scanner scanner = { .most = 100,
				.line_most = 100,
				.stuffed = true,
				.normalize = normalize };
			int fault = normalize ? 0 : data_tests[_i].fault;
			size_t used;
			bool ended;

			ck_assert_int_eq(mail_bytes_new(16, &scanner.bytes), 0);
			scan(&scanner, in, cut, &ended, &used);
			ck_assert(ended);
			ck_assert_uint_eq(used, in.len - strlen("QUIT\r\n"));
			ck_assert_int_eq(dot_scanner_fault(&scanner), fault);
			if (!fault)
				ck_assert(pn_slice_equals(
				    pn_slice(scanner.bytes->data, scanner.bytes->len), want));
			mail_bytes_release(&scanner.bytes);
		}
}
END_TEST

static const struct {
	struct pn_slice in;
	int fault;
	struct pn_slice normal;
} chunk_tests[] = {
	{ L("a\r\n.\r\n..b\r\n"), 0, L("a\r\n.\r\n..b\r\n") },
	{ L("no end"), 0, L("no end") },
	{ L("a\nb"), -EBADMSG, L("a\r\nb") },
	{ L("a\rb"), -EBADMSG, L("a\r\nb") },
	{ L("a\r"), -EBADMSG, L("a\r\n") },
	{ L("\n.\r\n"), -EBADMSG, L("\r\n.\r\n") },
	{ L(""), 0, L("") },
};

START_TEST(chunks)
{
	struct pn_slice in = chunk_tests[_i].in;

	for (int normalize = 0; normalize < 2; normalize++)
		for (size_t cut = 0; cut <= in.len; cut++) {
			struct dot_scanner scanner = {
				.most = 100, .line_most = 100, .normalize = normalize
			};
			int fault = normalize ? 0 : chunk_tests[_i].fault;
			size_t used;
			bool ended;

			ck_assert_int_eq(mail_bytes_new(16, &scanner.bytes), 0);
			scan(&scanner, in, cut, &ended, &used);
			dot_scanner_end(&scanner);
			ck_assert(!ended);
			ck_assert_uint_eq(used, in.len);
			ck_assert_int_eq(dot_scanner_fault(&scanner), fault);
			if (!fault)
				ck_assert(pn_slice_equals(
				    pn_slice(scanner.bytes->data, scanner.bytes->len),
				    chunk_tests[_i].normal));
			mail_bytes_release(&scanner.bytes);
		}
}
END_TEST

static const struct {
	size_t most, line_most;
	const char *in;
	int fault;
} limit_tests[] = {
	{ 6, 10, "abcd\r\n.\r\n", 0 },
	{ 5, 10, "abcd\r\n.\r\n", -E2BIG },
	{ 100, 4, "abcd\r\n\r\nabcd\r\n.\r\n", 0 },
	{ 100, 3, "abc\r\nabcd\r\n.\r\n", -EMSGSIZE },
	{ 100, 3, "abcd\r\n\na\r\n.\r\n", -EBADMSG },
	{ 5, 3, "abcd\r\n.\r\n", -EMSGSIZE },
};

START_TEST(data_limits)
{
	struct pn_slice in = pn_slice_of(limit_tests[_i].in);

	for (size_t cut = 0; cut <= in.len; cut++) {
		struct dot_scanner scanner = { .most = limit_tests[_i].most,
			.line_most = limit_tests[_i].line_most,
			.stuffed = true };
		size_t used;
		bool ended;

		ck_assert_int_eq(mail_bytes_new(4, &scanner.bytes), 0);
		scan(&scanner, in, cut, &ended, &used);
		ck_assert(ended);
		ck_assert_uint_eq(used, in.len);
		ck_assert_int_eq(dot_scanner_fault(&scanner), limit_tests[_i].fault);
		mail_bytes_release(&scanner.bytes);
	}
}
END_TEST

static const struct {
	const char *message, *stuffed;
	size_t ranges;
} stuff_tests[] = {
	{ "", ".\r\n", 1 },
	{ "a\r\n", "a\r\n.\r\n", 2 },
	{ "a", "a\r\n.\r\n", 2 },
	{ ".", "..\r\n.\r\n", 3 },
	{ ".\r\n", "..\r\n.\r\n", 3 },
	{ "a.b\r\nc.\r\n", "a.b\r\nc.\r\n.\r\n", 2 },
	{ "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n", 3 },
	{ "..\r\n..a\r\n", "...\r\n...a\r\n.\r\n", 4 },
};

START_TEST(stuffing)
{
	struct buf out = BUF_INIT(100);
	struct dot_writer writer;
	struct pn_slice range;
	size_t ranges = 0;

	dot_writer_begin(&writer, pn_slice_of(stuff_tests[_i].message));
	for (; dot_writer_next(&writer, &range); ranges++)
		ck_assert_int_eq(buf_add(&out, range.data, range.len), 0);
	ck_assert_str_eq(buf_text(&out), stuff_tests[_i].stuffed);
	ck_assert_uint_eq(ranges, stuff_tests[_i].ranges);
	buf_free(&out);
}
END_TEST

/* All of the message in windows of `size` bytes. */
static void
write_windows(struct pn_slice message, size_t size, bool plain, struct buf *out)
{
	struct dot_writer writer;
	struct pn_slice range;

	dot_writer_begin_windows(&writer, plain);
	ck_assert(dot_writer_wants_more(&writer));
	ck_assert(!dot_writer_next(&writer, &range));
	for (size_t at = 0, len; at < message.len; at += len) {
		len = message.len - at < size ? message.len - at : size;
		dot_writer_add(&writer, pn_slice(message.data + at, len), at + len == message.len);
		while (dot_writer_next(&writer, &range))
			ck_assert_int_eq(buf_add(out, range.data, range.len), 0);
	}
	ck_assert(writer.done);
}

START_TEST(stuffing_in_windows)
{
	struct pn_slice message = pn_slice_of(stuff_tests[_i].message);

	for (size_t size = 1; size <= message.len; size++) {
		struct buf out = BUF_INIT(100), plain = BUF_INIT(100);

		write_windows(message, size, false, &out);
		ck_assert_str_eq(buf_text(&out), stuff_tests[_i].stuffed);
		write_windows(message, size, true, &plain);
		ck_assert_str_eq(buf_text(&plain), stuff_tests[_i].message);
		buf_free(&out);
		buf_free(&plain);
	}
}
END_TEST

static TCase *
data_case(void)
{
	TCase *tc = tcase_create("data");

	tcase_add_loop_test(tc, end_of_data, 0, COUNT(data_tests));
	tcase_add_loop_test(tc, chunks, 0, COUNT(chunk_tests));
	tcase_add_loop_test(tc, data_limits, 0, COUNT(limit_tests));
	tcase_add_loop_test(tc, stuffing, 0, COUNT(stuff_tests));
	tcase_add_loop_test(tc, stuffing_in_windows, 1, COUNT(stuff_tests));
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("smtp");

	suite_add_tcase(suite, replies_case());
	suite_add_tcase(suite, commands_case());
	suite_add_tcase(suite, data_case());
	return unit_run(suite);
}
