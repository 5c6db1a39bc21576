/* SPDX-License-Identifier: Apache-2.0 */
/* smtp.c - unit tests of the SMTP grammar: replies, commands, end of data. */
#include <check.h>
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

int
main(void)
{
	Suite *suite = suite_create("smtp");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, replies_case());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
