/* SPDX-License-Identifier: Apache-2.0 */
/* mail_letter.c - unit tests of mail in Postern's own words. */
#include "run.h"
#include <check.h>
#include <core/mail/letter.h>
#include <errno.h>
#include <glib.h>
#include <postern/mail.h>

#define WALL 1795341600000000 /* Sun, 22 Nov 2026 10:00:00 +0000 */

static const char *const to[] = { "ada@clinic.example", "bo@clinic.example" };

/* To be freed. */
static char *
written(struct letter letter)
{
	struct mail_bytes *bytes = NULL;
	char *text;

	letter.id = "7.8";
	letter.wall_us = WALL;
	ck_assert_int_eq(letter_check(letter.subject, letter.text, NULL), 0);
	ck_assert_int_eq(letter_write(&letter, "relay.example", &bytes), 0);
	text = g_strndup(bytes->data, bytes->len);
	mail_bytes_release(&bytes);
	return text;
}

START_TEST(whole)
{
	char *text = written((struct letter){ .sender = "",
	    .recipients = to,
	    .count = 2,
	    .subject = "Near the limit",
	    .text = "One\n\n.\nlast" });

	ck_assert_str_eq(text, "Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
			       "From: Postmaster <postmaster@relay.example>\r\n"
			       "To: ada@clinic.example,\r\n"
			       " bo@clinic.example\r\n"
			       "Subject: Near the limit\r\n"
			       "Message-ID: <7.8@relay.example>\r\n"
			       "Auto-Submitted: auto-generated\r\n"
			       "MIME-Version: 1.0\r\n"
			       "Content-Type: text/plain; charset=utf-8\r\n"
			       "Content-Transfer-Encoding: 7bit\r\n"
			       "\r\n"
			       "One\r\n\r\n.\r\nlast\r\n");
	g_free(text);
}
END_TEST

static const struct {
	const char *subject, *field;
} subjects[] = {
	{ "=?utf-8?B?eA==?=", "Subject: =?utf-8?B?PT91dGYtOD9CP2VBPT0/PQ==?=\r\nM" },
	{ "Gr\xc3\xbc\xc3\x9f"
	  "e",
	    "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\nM" },
	/* 44 letters and one of two bytes: it does not fit the first word */
	{ "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeee\xc3\xbc",
	    "Subject: =?utf-8?B?YWFhYWFhYWFhYWJiYmJiYmJiYmJjY2NjY2NjY2NjZGRkZGRkZGRkZGVlZWU=?=\r\n"
	    " =?utf-8?B?w7w=?=\r\nM" },
	{ "one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
	    "Subject: one two three four five six seven eight nine ten eleven twelve\r\n"
	    " thirteen fourteen\r\nM" },
};

START_TEST(subject)
{
	char *text = written((struct letter){ .sender = "me@clinic.example",
	    .recipients = to,
	    .count = 1,
	    .subject = subjects[_i].subject,
	    .text = "\xc3\xbc\n" });

	ck_assert_msg(strstr(text, subjects[_i].field) != NULL, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "\r\nFrom: me@clinic.example\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "Encoding: 8bit\r\n\r\n\xc3\xbc\r\n"));
	g_free(text);
}
END_TEST

START_TEST(refused)
{
	char *line = g_strnfill(901, 'x'), *much = g_strnfill(PN_MAIL_TEXT_MOST + 1, '\n');
	const struct {
		const char *subject, *text, *said;
	} rows[] = { { "", "x", "a subject is" }, { NULL, "x", "a subject is" },
		{ "a\nBcc: x@y.example", "x", "a subject is" }, { "a\tb", "x", "a subject is" },
		{ "a\xff", "x", "a subject is" }, { line, "x", "a subject is" },
		{ "x", NULL, "a text is" }, { "x", "a\r\nb", "a text is" },
		{ "x", "\xff", "a text is" }, { "x", "\x7f", "a text is" },
		{ "x", line, "a text is" }, { "x", much, "a text is" } };

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct pn_error err = { 0 };

		ck_assert_int_eq(letter_check(rows[i].subject, rows[i].text, &err), -EINVAL);
		ck_assert_msg(g_str_has_prefix(err.text, rows[i].said), "%zu: %s", i, err.text);
	}
	g_free(line);
	g_free(much);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mail_letter");
	TCase *tcase = tcase_create("letters");

	tcase_add_test(tcase, whole);
	tcase_add_loop_test(tcase, subject, 0, G_N_ELEMENTS(subjects));
	tcase_add_test(tcase, refused);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
