/* SPDX-License-Identifier: Apache-2.0 */
/* mail_dsn.c - unit tests of delivery status notifications. */
#include "run.h"
#include <check.h>
#include <core/mail/dsn.h>
#include <errno.h>
#include <glib.h>
#include <stdlib.h>

#define WALL 1795341600000000 /* Sun, 22 Nov 2026 10:00:00 +0000 */
#define DATE "Sun, 22 Nov 2026 10:00:00 +0000"

static struct mail_recipient bob = { .address = "bob@example.org", .original = "bob@example.org" };
static struct mail_recipient alias = { .address = "real@internal.example",
	.original = "alias@example.org",
	.orcpt = "rfc822;Al+2Bias+40example.org" };
static struct mail_recipient other = { .address = "\xc3\xbc@b\xc3\xbc.example",
	.original = "\xc3\xbc@b\xc3\xbc.example",
	.orcpt = "utf-8;\\x{FC}@b\\x{FC}.example" };

static struct mail_envelope envelope;
static struct dsn_report report;
static struct dsn_recipient about;

static void
set_up(void)
{
	envelope = (struct mail_envelope){ .sender = "ada@clinic.example" };
	about = (struct dsn_recipient){ .recipient = &bob,
		.action = DSN_FAILED,
		.status = "5.1.1",
		.diagnostic = "550 5.1.1 No such user",
		.remote = "mx.example.org",
		.last_attempt_us = WALL };
	report = (struct dsn_report){ .relay_name = "relay.example",
		.id = "06F3KB",
		.about_id = "06F3K9",
		.wall_us = WALL,
		.arrival_us = WALL,
		.envelope = &envelope,
		.recipients = &about,
		.count = 1,
		.original = pn_slice_of("Subject: x\r\nTo: y\r\n\r\nsecret body\r\n"),
		.quote_most = 10000 };
}

/* What every report must be: CRLF alone, no line over 998, four boundary lines. */
static void
lint(struct pn_slice bytes, const char *boundary)
{
	size_t line = 0, boundaries = 0;

	for (size_t i = 0; i < bytes.len; i++) {
		if (bytes.data[i] != '\n') {
			ck_assert(bytes.data[i] != '\0');
			ck_assert(bytes.data[i] != '\r' || bytes.data[i + 1] == '\n');
			continue;
		}
		ck_assert(i > 0 && bytes.data[i - 1] == '\r');
		ck_assert_uint_le(i - 1 - line, 998);
		if (strncmp(bytes.data + line, "--", 2) == 0 &&
		    strncmp(bytes.data + line + 2, boundary, strlen(boundary)) == 0)
			boundaries++;
		line = i + 1;
	}
	ck_assert_uint_eq(line, bytes.len);
	ck_assert_uint_eq(boundaries, 4);
}

/* The report with "B" for its boundary; free it with g_free. */
static char *
write_report(bool want_utf8)
{
	struct mail_bytes *made = NULL;
	char *text, *boundary, **pieces, *end;
	bool utf8 = !want_utf8;

	ck_assert_int_eq(dsn_write(&report, &made, &utf8), 0);
	ck_assert_int_eq(utf8, want_utf8);
	text = g_strndup(made->data, made->len);
	ck_assert_uint_eq(strlen(text), made->len);
	boundary = strstr(text, "boundary=\"");
	ck_assert_ptr_nonnull(boundary);
	boundary = g_strdup(boundary + strlen("boundary=\""));
	end = strchr(boundary, '"');
	ck_assert_ptr_nonnull(end);
	*end = '\0';
	lint(pn_slice(made->data, made->len), boundary);
	pieces = g_strsplit(text, boundary, -1);
	g_free(text);
	text = g_strjoinv("B", pieces);
	g_strfreev(pieces);
	g_free(boundary);
	mail_bytes_release(&made);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
	return text;
}

/* Each of `has` stands in it, "!..." does not. */
static void
expect(bool utf8, const char *const *has)
{
	char *text = write_report(utf8);

	for (; *has; has++) {
		bool not = **has == '!';
		bool found = strstr(text, *has + not ) != NULL;

		ck_assert_msg(found != not, "%s in:\n%.2500s", *has, text);
	}
	g_free(text);
}

#define EXPECT(utf8, ...) expect(utf8, (const char *const[]){ __VA_ARGS__, NULL })

START_TEST(whole_report)
{
	char *text = write_report(false);

	ck_assert_str_eq(text,
	    "Date: " DATE "\r\n"
	    "From: Mail Delivery System <MAILER-DAEMON@relay.example>\r\n"
	    "To: ada@clinic.example\r\n"
	    "Subject: Your message could not be delivered\r\n"
	    "Message-ID: <06F3KB@relay.example>\r\n"
	    "Auto-Submitted: auto-replied\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"B\"\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n"
	    "\r\n"
	    "--B\r\n"
	    "Content-Type: text/plain; charset=us-ascii\r\n"
	    "Content-Description: Notification\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n"
	    "\r\n"
	    "This is the mail relay at relay.example.\r\n"
	    "\r\n"
	    "Your message could not be delivered to:\r\n"
	    "\r\n"
	    "  <bob@example.org>\r\n"
	    "    There is no such mailbox; please check the address.\r\n"
	    "    The mail system mx.example.org said: 550 5.1.1 No such user\r\n"
	    "\r\n"
	    "Attached are a report for programs and the header of your message.\r\n"
	    "If you ask an administrator for help, mention the number 06F3K9.\r\n"
	    "\r\n"
	    "--B\r\n"
	    "Content-Type: message/delivery-status\r\n"
	    "Content-Description: Delivery report\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n"
	    "\r\n"
	    "Reporting-MTA: dns; relay.example\r\n"
	    "Arrival-Date: " DATE "\r\n"
	    "\r\n"
	    "Final-Recipient: rfc822; bob@example.org\r\n"
	    "Action: failed\r\n"
	    "Status: 5.1.1\r\n"
	    "Remote-MTA: dns; mx.example.org\r\n"
	    "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"
	    "Last-Attempt-Date: " DATE "\r\n"
	    "\r\n"
	    "--B\r\n"
	    "Content-Type: text/rfc822-headers\r\n"
	    "Content-Description: Your message\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n"
	    "\r\n"
	    "Subject: x\r\n"
	    "To: y\r\n"
	    "\r\n"
	    "--B--\r\n");
	g_free(text);
}
END_TEST

START_TEST(null_sender_gets_none)
{
	struct mail_bytes *made = NULL;
	bool utf8;

	envelope.sender = "";
	ck_assert_int_eq(dsn_write(&report, &made, &utf8), -EINVAL);
	ck_assert_ptr_null(made);
	envelope.sender = "a@example.org";
	report.count = 0;
	ck_assert_int_eq(dsn_write(&report, &made, &utf8), -EINVAL);
}
END_TEST

START_TEST(parameters_come_back)
{
	envelope.envid = "id+2B1+0D+0AX: y+";
	about.recipient = &alias;
	EXPECT(false, "\r\nOriginal-Envelope-Id: id+1  X: y+\r\n",
	    "\r\nOriginal-Recipient: rfc822; Al+ias@example.org\r\n"
	    "Final-Recipient: rfc822; real@internal.example\r\n",
	    "  <alias@example.org>\r\n", "!<real@");
	alias.orcpt = "nonsense";
	EXPECT(false, "!Original-Recipient");
	alias.orcpt = "rfc822;Al+2Bias+40example.org";
}
END_TEST

START_TEST(all_actions)
{
	struct dsn_recipient all[5];

	for (int i = 0; i < 5; i++) {
		all[i] = about;
		all[i].action = (enum dsn_action)(DSN_EXPANDED - i);
		all[i].status = "2.0.0";
		all[i].will_retry_until_us = WALL;
	}
	report.recipients = all;
	report.count = 5;
	EXPECT(false, "Subject: Your message could not be delivered\r\n", "Action: expanded\r\n",
	    "Action: relayed\r\n", "Action: delivered\r\n",
	    "Action: delayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; mx.example.org\r\n"
	    "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\nLast-Attempt-Date: " DATE
	    "\r\nWill-Retry-Until: " DATE "\r\n",
	    "Delivery is tried until " DATE ".\r\n");
	report.count = 4;
	EXPECT(false, "Subject: Your message is delayed\r\n", "!could not");
	report.count = 3;
	EXPECT(false, "Subject: Your message was delivered\r\n", "!Will-Retry", "!tried until");
	report.count = 1;
	EXPECT(false, "Subject: Your message was passed on\r\n");
}
END_TEST

static const struct {
	const char *status, *want;
	enum dsn_action action;
} statuses[] = {
	{ "5.7.1", "5.7.1", DSN_FAILED },
	{ "4.4.7", "4.4.7", DSN_FAILED },
	{ "5.999.10", "5.999.10", DSN_FAILED },
	{ NULL, "5.0.0", DSN_FAILED },
	{ "", "5.0.0", DSN_FAILED },
	{ "550", "5.0.0", DSN_FAILED },
	{ "3.1.1", "5.0.0", DSN_FAILED },
	{ "5.01.1", "5.0.0", DSN_FAILED },
	{ "5.1.1234", "5.0.0", DSN_FAILED },
	{ "5.1.1\r\nX: y", "5.0.0", DSN_FAILED },
	{ "5.1", "4.0.0", DSN_DELAYED },
	{ NULL, "2.0.0", DSN_RELAYED },
};

START_TEST(status)
{
	char *line = g_strdup_printf("\r\nStatus: %s\r\n", statuses[_i].want);

	about.status = statuses[_i].status;
	about.action = statuses[_i].action;
	EXPECT(false, line, "!X: y");
	g_free(line);
}
END_TEST

/* What a next hop says is foreign: no line of its own, no control byte, no 8-bit in a 7-bit report.
 */
START_TEST(foreign_text)
{
	about.diagnostic = "550 bad\r\nAction: delivered\x1b[2J\x7f \xc3\xbc";
	about.remote = "mx\r\n\r\n--B";
	EXPECT(false, "!\r\nAction: delivered", "!\x1b", "!\x7f", "!\xc3",
	    "Diagnostic-Code: smtp; 550 bad  Action: delivered [2J? ??\r\n",
	    "Remote-MTA: dns; mx    --B\r\n");
	about.diagnostic = "connection timed out";
	about.remote = NULL;
	EXPECT(false, "!Remote-MTA", "    Reason: connection timed out\r\n",
	    "Diagnostic-Code: X-Postern; connection timed out\r\n");
	about.diagnostic = NULL;
	EXPECT(false, "!Diagnostic-Code", "!said", "!Reason");
}
END_TEST

#define WORD "twenty-five-letters-long"

/* Long replies are folded, and cut where they have no blank. */
START_TEST(long_text)
{
	char *words = g_strnfill(9000, 'x'), *many;
	GString *text = g_string_new("550");

	about.diagnostic = words;
	EXPECT(false, "Diagnostic-Code: X-Postern; xxxx");
	for (int i = 0; i < 100; i++)
		g_string_append(text, " " WORD);
	about.diagnostic = text->str;
	EXPECT(false, "Diagnostic-Code: smtp; 550 " WORD " " WORD "\r\n " WORD,
	    "said: 550 " WORD "\r\n    " WORD " " WORD " " WORD "\r\n    " WORD,
	    "!" WORD " " WORD " " WORD " " WORD);
	many = g_strconcat("rfc822;", words, NULL);
	bob.orcpt = many;
	EXPECT(false, "Original-Recipient: rfc822; xxx");
	bob.orcpt = NULL;
	g_string_free(text, TRUE);
	g_free(words);
	g_free(many);
}
END_TEST

/* ---- the quoted message --------------------------------------------------------------------- */

#define HEADERS "Content-Type: text/rfc822-headers\r\n"
#define WHOLE   "Content-Type: message/rfc822\r\n"

START_TEST(ret)
{
	EXPECT(false, HEADERS, "!secret");
	envelope.ret = MAIL_RET_HDRS;
	EXPECT(false, HEADERS, "!secret");
	envelope.ret = MAIL_RET_FULL;
	EXPECT(false, WHOLE, "\r\n\r\nSubject: x\r\nTo: y\r\n\r\nsecret body\r\n\r\n--B--\r\n",
	    "report for programs and your message.");
	about.action = DSN_DELIVERED; /* RFC 3461 section 4.3 */
	EXPECT(false, HEADERS, "!secret");
	about.action = DSN_FAILED;
	report.quote_most = report.original.len - 1;
	EXPECT(false, HEADERS, "!secret");
}
END_TEST

static const struct {
	const char *original, *want;
} quoted[] = {
	{ "Subject: x\r\n\r\nb\xc3\xbc\r\n",
	    WHOLE "Content-Description: Your message\r\nContent-Transfer-Encoding: 8bit\r\n" },
	{ "Subject: b\xc3\xbc\r\n\r\nbody\r\n",
	    "Content-Type: message/global\r\nContent-Description: Your message\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n" },
	{ "Subject: b\xfc\r\n\r\nbody\r\n", WHOLE },
	{ "Subject: b\xfc\r\n\r\nbare\nLF\r\n",
	    HEADERS "Content-Description: Your message\r\nContent-Transfer-Encoding: 8bit\r\n" },
	{ "Subject: b\xc3\xbc\r\n\r\nbare\rCR\r\n", "Content-Type: message/global-headers\r\n" },
	{ "Subject: a\nb\rc\r\n\r\nbody", HEADERS },
	{ "Subject: a\nb\rc\r\n\r\nbody", "\r\n\r\nSubject: a?b?c\r\n\r\n--B--" },
	{ "Subject: x", "\r\n\r\nSubject: x\r\n--B--" },
	{ "\r\nbody\r\n", "\r\n\r\n\r\nbody\r\n\r\n--B--" },
	{ "", "\r\n\r\n\r\n--B--" },
};

START_TEST(quote)
{
	envelope.ret = MAIL_RET_FULL;
	report.original = pn_slice_of(quoted[_i].original);
	EXPECT(false, quoted[_i].want);
}
END_TEST

/* Neither a long body line nor a long header leaves in a report; UTF-8 is not cut in two. */
START_TEST(long_lines)
{
	GString *text = g_string_new("Subject: ");

	for (int i = 0; i < 700; i++)
		g_string_append(text, "\xc3\xbc");
	g_string_append(text, "\r\nX: y\r\n\r\nbody\r\n");
	envelope.ret = MAIL_RET_FULL;
	report.original = pn_slice(text->str, text->len);
	EXPECT(false, "Content-Type: message/global-headers\r\n", "\xc3\xbc\r\n \xc3\xbc",
	    "\r\nX: y\r\n", "!body");
	g_string_truncate(text, 0);
	for (int i = 0; i < 5000; i++)
		g_string_append_printf(text, "X-%04d: 0123456789\r\n", i);
	report.original = pn_slice(text->str, text->len);
	EXPECT(false, HEADERS, "X-0000:", "!X-4999:");
	g_string_free(text, TRUE);
}
END_TEST

/* A boundary of ours that comes back inside a message is not used for it. */
START_TEST(boundary_is_new)
{
	struct mail_bytes *made;
	char *inner;
	bool utf8;

	envelope.ret = MAIL_RET_FULL;
	ck_assert_int_eq(dsn_write(&report, &made, &utf8), 0);
	inner = g_strndup(made->data, made->len);
	mail_bytes_release(&made);
	report.original = pn_slice_of(inner);
	g_free(write_report(false));
	g_free(inner);
}
END_TEST

/* ---- international (RFC 6533) --------------------------------------------------------------- */

START_TEST(international)
{
	about.recipient = &other;
	about.diagnostic = "550 kein b\xc3\xbc";
	EXPECT(false, "Content-Type: text/plain; charset=utf-8\r\n",
	    "Content-Type: message/global-delivery-status\r\n"
	    "Content-Description: Delivery report\r\nContent-Transfer-Encoding: 8bit\r\n",
	    "Final-Recipient: utf-8; \xc3\xbc@b\xc3\xbc.example\r\n",
	    "Original-Recipient: utf-8; \\x{FC}@b\\x{FC}.example\r\n",
	    "Diagnostic-Code: smtp; 550 kein b\xc3\xbc\r\n", "  <\xc3\xbc@b\xc3\xbc.example>\r\n",
	    HEADERS);
	other.address = "\xc3\xbc+a=\\@b.example";
	EXPECT(false, "Final-Recipient: utf-8; \xc3\xbc\\x{2B}a\\x{3D}\\x{5C}@b.example\r\n");
	about.diagnostic = "550 kein b\xfc";
	EXPECT(false, "Diagnostic-Code: smtp; 550 kein b?\r\n");
}
END_TEST

START_TEST(international_sender)
{
	envelope.sender = "\xc3\xa4@clinic.example";
	EXPECT(true, "\r\nTo: \xc3\xa4@clinic.example\r\n",
	    "Content-Type: message/global-delivery-status\r\n",
	    "Final-Recipient: rfc822; bob@example.org\r\n");
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof(*(table))))

int
main(void)
{
	Suite *suite = suite_create("mail_dsn");
	TCase *tcase = tcase_create("all");

	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_add_test(tcase, whole_report);
	tcase_add_test(tcase, null_sender_gets_none);
	tcase_add_test(tcase, parameters_come_back);
	tcase_add_test(tcase, all_actions);
	tcase_add_loop_test(tcase, status, 0, COUNT(statuses));
	tcase_add_test(tcase, foreign_text);
	tcase_add_test(tcase, long_text);
	tcase_add_test(tcase, ret);
	tcase_add_loop_test(tcase, quote, 0, COUNT(quoted));
	tcase_add_test(tcase, long_lines);
	tcase_add_test(tcase, boundary_is_new);
	tcase_add_test(tcase, international);
	tcase_add_test(tcase, international_sender);
	return unit_run(suite);
}
