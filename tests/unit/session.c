/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - conversations with the receiving side: what it says, what it takes, what it refuses.
 */
#include "run.h"
#include <check.h>
#include <errno.h>
#include <malloc.h>
#include <postern/module.h>
#include <stdio.h>
#include <stdlib.h>

#include "session_talk.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof(*(table))))

#define RELAY \
	"relay:\n" \
	"  hostname: relay.example\n" \
	"  tls: { certificate: /c.pem, key: !file /k.pem }\n" \
	"  networks: { google: [\"203.0.113.0/24\"] }\n" \
	"  shared_networks: [google]\n" \
	"  listeners:\n" \
	"    - { name: plain, address: \"127.0.0.1:0\", tls: none }\n" \
	"    - { name: raw, address: \"127.0.0.1:0\", tls: none, fixups: no }\n" \
	"    - { name: normal, address: \"127.0.0.1:0\", tls: none, bare_newlines: normalize }\n" \
	"    - { name: auth, address: \"127.0.0.1:0\", tls: none, auth: required, " \
	"auth_without_tls: yes }\n" \
	"    - { name: offered, address: \"*:0\", tls: starttls, auth: offered }\n" \
	"    - { name: lan, address: \"*:0\", tls: starttls, auth: offered, networks: " \
	"[10.0.0.0/8] }\n" \
	"    - { name: required, address: \"127.0.0.1:0\", tls: starttls-required }\n" \
	"    - { name: submission, address: \"*:0\", tls: starttls, auth: required }\n" \
	"    - { name: submissions, address: \"*:0\", tls: implicit, auth: required }\n"
#define LIMITS \
	"  limits: { message_size: 4096, recipients: 3, header_count: 10, header_size: 1024, " \
	"received_fields: 2, line_length: 1000, command_errors: 5, connections: 3, " \
	"connections_per_address: 2, idle_timeout: 60s, error_delay: 0s }\n"
#define ROUTES "routes: [ { to: discard } ]\n"
#define EMPTY  RELAY LIMITS ROUTES "pipeline: []\n"
#define QUICK  RELAY LIMITS ROUTES "pipeline: [quick]\n"
#define SLOW   RELAY LIMITS ROUTES "pipeline: [slow]\n"

#define LOCAL  "127.0.0.1:5000"
#define FAR    "192.0.2.7:5000"
#define HELLO \
	"S 220 relay.example ESMTP", "C EHLO client.example", "S 250 relay.example; PIPELINING"
#define MAIL   "C MAIL FROM:<a@example.org>", "S 250 2.1.0"
#define RCPT   "C RCPT TO:<b@example.net>", "S 250 2.1.5"
#define NOBODY "C RCPT TO:<no@example.net>", "S 550 5.1.1 nobody"
#define BYE    "C QUIT", "S 221 2.0.0", "X"

/* ---- conversations in which no message is accepted, or only counted ---------------------------
 */

static const struct {
	const char *name, *yaml, *listener, *peer;
	unsigned items;
	const char *script[40];
} talks[] = {
	{ "simple commands", EMPTY, "plain", LOCAL, 0,
	    { "S 220", "C NOOP", "S 250 2.0.0", "C noop x", "S 250 2.0.0", "C RSET", "S 250 2.0.0",
		"C VRFY a", "S 252 2.5.0", "C VRFY", "S 501 5.5.4", "C EXPN l", "S 502 5.5.1",
		"C HELP", "S 214 2.0.0", BYE } },
	{ "the list of EHLO", EMPTY, "plain", LOCAL, 0,
	    { "S 220", "C EHLO client.example",
		"S 250 relay.example; PIPELINING; SIZE 4096; 8BITMIME; SMTPUTF8; CHUNKING; "
		"BINARYMIME; "
		"ENHANCEDSTATUSCODES; DSN",
		BYE } },
	{ "HELO has no list", EMPTY, "plain", LOCAL, 0,
	    { "S 220", "C HELO client.example", "S 250 relay.example", BYE } },
	{ "bad HELO", EMPTY, "plain", LOCAL, 0,
	    { "S 220", "C EHLO", "S 501 Syntax", "C EHLO a(b", "S 501 Syntax", BYE } },
	{ "nothing before EHLO", EMPTY, "plain", LOCAL, 0,
	    { "S 220", "C MAIL FROM:<a@example.org>", "S 503 5.5.1", BYE } },
	{ "order", EMPTY, "plain", LOCAL, 0,
	    { HELLO, "C RCPT TO:<b@example.net>", "S 503 5.5.1", "C DATA", "S 503 5.5.1", MAIL,
		"C MAIL FROM:<a@example.org>", "S 503 5.5.1", "C DATA", "S 503 5.5.1", BYE } },
	{ "arguments where none belong", EMPTY, "plain", LOCAL, 0,
	    { HELLO, "C RSET x", "S 501 5.5.4", "C DATA x", "S 501 5.5.4", "C QUIT x",
		"S 501 5.5.4", "C STARTTLS x", "S 501 5.5.4", "R QUIT\r\n", "S 221", "X" } },
	{ "too many errors", EMPTY, "plain", LOCAL, 0,
	    { HELLO, "C X", "S 500 5.5.2", "C X", "S 500", "C X", "S 500", "C X", "S 500", "P NOOP",
		"P X", "C NOOP", "S 250", "S 500", "S 421 4.7.0", "X" } },
	{ "lines without CRLF", EMPTY, "plain", LOCAL, 0,
	    { HELLO, "R NOOP\n", "S 500 5.5.2", "R NO\rOP\r\n", "S 500 5.5.2", BYE } },
	{ "sender refused", QUICK, "plain", LOCAL, 0,
	    { HELLO, "C MAIL FROM:<reject@example.org>", "S 550 5.7.1 not this sender", MAIL,
		BYE } },
	{ "sender deferred", SLOW, "plain", LOCAL, 0,
	    { HELLO, "C MAIL FROM:<defer@example.org>", "S 451 4.7.1 later", MAIL, BYE } },
	{ "bad addresses", EMPTY, "plain", LOCAL, 0,
	    { HELLO, "C MAIL FROM:<a b@example.org>", "S 501 5.1.7", "C MAIL FROM:a@example.org",
		"S 501 5.5.4", "C MAIL FROM:<a>", "S 50", "R MAIL FROM:<\xc3\xa9@example.org>\r\n",
		"S 553 5.6.7", BYE } },
	{ "SMTPUTF8", EMPTY, "plain", LOCAL, 1,
	    { HELLO, "R MAIL FROM:<\xc3\xa9@example.org> SMTPUTF8\r\n", "S 250 2.1.0",
		"R RCPT TO:<\xc3\xa9@example.net>\r\n", "S 250 2.1.5", "C DATA", "S 354",
		"R A: b\r\n\r\nc\r\n.\r\n", "S 250 2.0.0", BYE } },
	{ "parameters", EMPTY, "plain", LOCAL, 0,
	    { HELLO, "C MAIL FROM:<a@example.org> BODY=BINARYMIMES", "S 501 5.5.4",
		"C MAIL FROM:<a@example.org> REQUIRETLS", "S 555 5.5.4",
		"C MAIL FROM:<a@example.org> SIZE=4097", "S 552 5.3.4",
		"C MAIL FROM:<a@example.org> SIZE=4096 BODY=8BITMIME RET=HDRS ENVID=x AUTH=<>",
		"S 250 2.1.0", "C RCPT TO:<b@example.net> NOTIFY=NEVER,DELAY", "S 501 5.5.4",
		"C RCPT TO: <b@example.net> NOTIFY=DELAY ORCPT=rfc822;c@example.net", "S 250 2.1.5",
		BYE } },
	{ "recipients", QUICK, "plain", LOCAL, 1,
	    { HELLO, MAIL, "C RCPT TO:<no@example.net>", "S 550 5.1.1 nobody",
		"C RCPT TO:<also@example.net>", "S 250", "C RCPT TO:<also@example.net>", "S 250",
		"C RCPT TO:<pOstmaster>", "S 250", "C RCPT TO:<d@example.net>", "S 452 4.5.3",
		"C DATA", "S 354", "R A: b\r\n\r\nc\r\n.\r\n", "S 250 2.0.0 Ok: queued as ",
		BYE } },
	{ "refused recipients are no errors of who may send", QUICK, "plain", LOCAL, 1,
	    { HELLO, MAIL, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, RCPT, "C DATA", "S 354",
		"R A: b\r\n\r\nc\r\n.\r\n", "S 250 2.0.0", BYE } },
	{ "nor is what was pipelined behind a refused MAIL", EMPTY, "plain", LOCAL, 0,
	    { HELLO, "P MAIL FROM:<a@example.org> SIZE=4097", "P RCPT TO:<b@example.net>",
		"P RCPT TO:<c@example.net>", "P RCPT TO:<d@example.net>",
		"P RCPT TO:<e@example.net>", "P RCPT TO:<f@example.net>", "C DATA", "S 552 5.3.4",
		"S 503 5.5.1", "S 503 5.5.1", "S 503 5.5.1", "S 503 5.5.1", "S 503 5.5.1",
		"S 503 5.5.1", MAIL, BYE } },
	{ "connection refused by policy", SLOW, "plain", "192.0.2.66:1", 0,
	    { "S 554 5.7.1 not you", "X" } },
	{ "HELO refused by policy", SLOW, "plain", LOCAL, 0,
	    { "S 220", "C EHLO bad.example", "S 550 bad name", "C MAIL FROM:<a@example.org>",
		"S 503 5.5.1", "C EHLO good.example", "S 250 relay.example", MAIL, BYE } },
	{ "outside the networks", EMPTY, "lan", FAR, 0, { "S 554 5.7.1", "X" } },
	{ "inside the networks", EMPTY, "lan", "10.1.2.3:5", 0, { HELLO, MAIL, BYE } },
	{ "no open relay", EMPTY, "offered", FAR, 0,
	    { HELLO, "C MAIL FROM:<a@example.org>", "S 530 5.7.0", BYE } },
	{ "no open relay without AUTH either", EMPTY, "plain", FAR, 0,
	    { HELLO, "C MAIL FROM:<a@example.org>", "S 530 5.7.0", BYE } },
	{ "loopback may relay where AUTH is only offered", EMPTY, "offered", LOCAL, 0,
	    { HELLO, MAIL, BYE } },
	{ "AUTH required", QUICK, "auth", LOCAL, 0,
	    { HELLO, "C MAIL FROM:<a@example.org>", "S 530 5.7.0 Authentication required", BYE } },
	{ "TLS required", EMPTY, "required", LOCAL, 0,
	    { HELLO, "C MAIL FROM:<a@example.org>",
		"S 530 5.7.0 Must issue a STARTTLS command first", "C RSET", "S 530 5.7.0",
		"C NOOP", "S 250", "C HELO x.example", "S 250", "C BDAT 3 LAST", "R abc",
		"S 530 5.7.0", BYE } },
	{ "no AUTH in clear", QUICK, "offered", LOCAL, 0,
	    { HELLO, "C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 538 5.7.11", BYE } },
	{ "no AUTH where it is off", QUICK, "plain", LOCAL, 0,
	    { HELLO, "C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 503 5.5.1", BYE } },
	{ "AUTH PLAIN at once", QUICK, "auth", LOCAL, 0,
	    { HELLO, "C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 235 2.7.0",
		"C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 503 5.5.1", MAIL, BYE } },
	{ "AUTH PLAIN with a challenge", SLOW, "auth", LOCAL, 0,
	    { HELLO, "C auth plain", "S 334", "C AGFsaWNlAHNlY3JldA==", "S 235 2.7.0", BYE } },
	{ "AUTH LOGIN", SLOW, "auth", LOCAL, 0,
	    { HELLO, "C AUTH LOGIN", "S 334 VXNlcm5hbWU6", "C YWxpY2U=", "S 334 UGFzc3dvcmQ6",
		"C c2VjcmV0", "S 235 2.7.0", BYE } },
	{ "AUTH LOGIN, wrong and cancelled", QUICK, "auth", LOCAL, 0,
	    { HELLO, "C AUTH LOGIN YWxpY2U=", "S 334 UGFzc3dvcmQ6", "C eA==", "S 535 5.7.8",
		"C AUTH LOGIN", "S 334", "C *", "S 501", "C AUTH LOGIN YWxpY2U=", "S 334", "C !",
		"S 501 5.5.2", "C NOOP", "S 250", BYE } },
	{ "AUTH refused", QUICK, "auth", LOCAL, 0,
	    { HELLO, "C AUTH PLAIN AGFsaWNlAHg=", "S 535 5.7.8", "C AUTH PLAIN =", "S 535 5.7.8",
		"C AUTH PLAIN AGJyb2tlbgB4", "S 454 4.7.0", "C AUTH CRAM-MD5", "S 504 5.5.4",
		"C AUTH", "S 501 5.5.4", BYE } },
	{ "AUTH within a transaction", QUICK, "auth", LOCAL, 0,
	    { HELLO, "C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 235", MAIL,
		"C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 503 5.5.1", BYE } },
	{ "empty message", EMPTY, "plain", LOCAL, 1,
	    { HELLO, MAIL, RCPT, "C DATA", "S 354", "C .", "S 250 2.0.0", BYE } },
	{ "message refused", SLOW, "plain", LOCAL, 0,
	    { HELLO, MAIL, RCPT, "C DATA", "S 354", "R X-Reject: 1\r\n\r\nQUIT\r\n.\r\n",
		"S 550 5.7.1 not this message", "C DATA", "S 503", BYE } },
	{ "message discarded", QUICK, "plain", LOCAL, 0,
	    { HELLO, MAIL, RCPT, "C DATA", "S 354", "R X-Discard: 1\r\n\r\n.\r\n",
		"S 250 2.0.0 Ok: queued as ", BYE } },
	{ "smuggling: a false end, and commands behind it", EMPTY, "plain", LOCAL, 0,
	    { HELLO, MAIL, RCPT, "C DATA", "S 354",
		"R A: b\r\n\r\nc\n.\nMAIL FROM:<evil@example.org>\r\nDATA\r\n.\r\n", "S 550 5.6.0",
		"C NOOP", "S 250 2.0.0", BYE } },
	{ "limits: header fields", EMPTY, "plain", LOCAL, 0,
	    { HELLO, MAIL, RCPT, "C DATA", "S 354",
		"R A:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n.\r\n",
		"S 552 5.3.4", BYE } },
	{ "limits: loop", EMPTY, "plain", LOCAL, 0,
	    { HELLO, MAIL, RCPT, "C DATA", "S 354",
		"R Received: a\r\nReceived: b\r\nReceived: c\r\n\r\n.\r\n", "S 554 5.4.6", BYE } },
	{ "EHLO in a transaction ends it", SLOW, "plain", LOCAL, 0,
	    { HELLO, MAIL, "C EHLO client.example", "S 250", "C RCPT TO:<b@example.net>", "S 503",
		MAIL, BYE } },
	{ "BDAT", EMPTY, "plain", LOCAL, 1,
	    { HELLO, MAIL, RCPT, "R BDAT 5\r\nA: b\r", "S 250 2.0.0 5 octets", "R BDAT 3\r\n\n\r\n",
		"S 250 2.0.0 3 octets", "R BDAT 7\r\n.\r\nc\r\n.", "S 250", "C BDAT 0 LAST",
		"S 250 2.0.0 Ok: queued", "C NOOP", "S 250", BYE } },
	{ "BDAT out of order is read and refused", EMPTY, "plain", LOCAL, 0,
	    { HELLO, "R BDAT 6\r\nQUIT\r\n", "S 503 5.5.1", MAIL, "R BDAT 6 LAST\r\nQUIT\r\n",
		"S 503 5.5.1", "C RSET", "S 250", BYE } },
	{ "BDAT and DATA do not mix", EMPTY, "plain", LOCAL, 0,
	    { HELLO, MAIL, RCPT, "R BDAT 3\r\nabc", "S 250", "C DATA", "S 503 5.5.1",
		"C RCPT TO:<c@example.net>", "S 503 5.5.1", "C RSET", "S 250", BYE } },
	{ "a failed chunk fails the others", EMPTY, "plain", LOCAL, 0,
	    { HELLO, MAIL, RCPT, "R BDAT 3\r\na\nb", "S 550 5.6.0", "R BDAT 3 LAST\r\nabc",
		"S 503 5.5.1", "C RSET", "S 250", MAIL, RCPT, "R BDAT 2\r\na\r", "S 250",
		"R BDAT 1 LAST\r\nb", "S 550 5.6.0", BYE } },
	{ "BDAT without a size", EMPTY, "plain", LOCAL, 0,
	    { HELLO, MAIL, RCPT, "R BDAT LAST\r\nQUIT\r\n", "S 501 5.5.4", "X" } },
	{ "STARTTLS", QUICK, "submission", FAR, 1,
	    { "S 220", "C EHLO client.example", "S 250", "C MAIL FROM:<a@example.org>",
		"S 530 5.7.0 Must issue", "C STARTTLS", "S 220 2.0.0", "T", "C STARTTLS",
		"S 503 5.5.1", "C MAIL FROM:<a@example.org>", "S 503 5.5.1 Send EHLO",
		"C EHLO client.example",
		"S 250 relay.example; PIPELINING; SIZE 4096; 8BITMIME; SMTPUTF8; CHUNKING; "
		"BINARYMIME; "
		"ENHANCEDSTATUSCODES; DSN; REQUIRETLS; AUTH PLAIN LOGIN",
		"C MAIL FROM:<a@example.org>", "S 530 5.7.0 Authentication required",
		"C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 235", MAIL, RCPT, "C DATA", "S 354",
		"R A: b\r\n\r\n.\r\n", "S 250 2.0.0", BYE } },
	{ "implicit TLS", SLOW, "submissions", FAR, 0,
	    { "T", "S 220", "C EHLO client.example", "S 250",
		"C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 235", BYE } },
	{ "pipelining", SLOW, "plain", LOCAL, 2,
	    { "S 220", "P EHLO client.example", "P MAIL FROM:<a@example.org>",
		"P RCPT TO:<no@example.net>", "P RCPT TO:<b@example.net>", "P BDAT 4 LAST", "P ab",
		"P MAIL FROM:<c@example.org>", "P RCPT TO:<b@example.net>", "C DATA", "S 250 relay",
		"S 250 2.1.0", "S 550 5.1.1", "S 250 2.1.5", "S 250 2.0.0 Ok: q", "S 250 2.1.0",
		"S 250 2.1.5", "S 354", "R x\r\n.\r\nQUIT\r\n", "S 250 2.0.0 Ok: q", "S 221",
		"X" } },
	{ "another transaction after a refused one", SLOW, "plain", LOCAL, 1,
	    { HELLO, "C MAIL FROM:<reject@example.org>", "S 550", MAIL, RCPT, "C DATA", "S 354",
		"R X-Reject: 1\r\n\r\n.\r\n", "S 550", MAIL, RCPT, "C DATA", "S 354",
		"R A: b\r\n\r\n.\r\n", "S 250", BYE } },
};

START_TEST(conversations)
{
	struct talk *talk = talk_open(talks[_i].yaml, talks[_i].listener, talks[_i].peer);

	talk_run(talk, talks[_i].script);
	ck_assert_msg(talk_queue.items == talks[_i].items, "%s: %u messages", talks[_i].name,
	    talk_queue.items);
	talk_close(&talk);
}
END_TEST

/* However the bytes come: the answers are the same. */
START_TEST(conversations_byte_by_byte)
{
	struct talk *talk = talk_open(talks[_i].yaml, talks[_i].listener, talks[_i].peer);

	talk_trickle(talk);
	talk_run(talk, talks[_i].script);
	ck_assert_msg(talk_queue.items == talks[_i].items, "%s: %u messages", talks[_i].name,
	    talk_queue.items);
	talk_close(&talk);
}
END_TEST

/* RFC 3207 section 4.2: what came in one packet with STARTTLS is thrown away. */
START_TEST(commands_before_the_handshake)
{
	const char *script[] = { "S 220", "C EHLO client.example", "S 250",
		"R STARTTLS\r\nRSET\r\nQUIT\r\n", "S 220 2.0.0", "T", "C NOOP", "S 250 2.0.0 Ok",
		BYE, NULL };
	struct talk *talk = talk_open(QUICK, "submission", FAR);

	talk_run(talk, script);
	talk_close(&talk);
}
END_TEST

/* ---- what is stored ---------------------------------------------------------------------------
 */

static bool
ends_with(const struct buf *buf, const char *text)
{
	size_t len = strlen(text);

	return buf->len >= len && memcmp(buf->data + buf->len - len, text, len) == 0;
}

START_TEST(bytes_are_kept)
{
	static const char message[] = "Subject: x\r\n\r\n..\r\n\0\xff\r\n";
	const char *script[] = { HELLO, MAIL, RCPT, "C DATA", "S 354", NULL };
	struct talk *talk = talk_open(EMPTY, "raw", LOCAL);
	const char *end[] = { "R .\r\n", "S 250 2.0.0", BYE, NULL };
	size_t len = sizeof(message) - 1;

	talk_run(talk, script);
	talk_send(talk, "Subject: x\r\n\r\n...\r\n\0\xff\r\n", len + 1);
	talk_run(talk, end);
	ck_assert_uint_gt(talk_queue.bytes.len, len);
	ck_assert_int_eq(memcmp(talk_queue.bytes.data, "Received: from client.example", 29), 0);
	ck_assert_int_eq(
	    memcmp(talk_queue.bytes.data + talk_queue.bytes.len - len, message, len), 0);
	ck_assert_str_eq(buf_text(&talk_queue.sender), "a@example.org");
	ck_assert_str_eq(buf_text(&talk_queue.recipients), "b@example.net");
	talk_close(&talk);
}
END_TEST

START_TEST(bare_newlines_are_normalized)
{
	const char *script[] = { HELLO, MAIL, RCPT, "C DATA", "S 354",
		"R A: b\n\nc\n.\n..d\r\r\n.\r\n", "S 250 2.0.0", BYE, NULL };
	struct talk *talk = talk_open(EMPTY, "normal", LOCAL);

	talk_run(talk, script);
	ck_assert(ends_with(&talk_queue.bytes, "\r\n\r\nc\r\n.\r\n.d\r\n\r\n"));
	talk_close(&talk);
}
END_TEST

START_TEST(submission_is_mended)
{
	const char *script[] = { HELLO, MAIL, "C RCPT TO:<also@example.net>", "S 250",
		"C RCPT TO:<Postmaster>", "S 250", "C DATA", "S 354",
		"R X-Edit: 1\r\nBcc: z@example.net\r\n\r\nc\r\n.\r\n", "S 250 2.0.0", BYE, NULL };
	struct talk *talk = talk_open(SLOW, "plain", LOCAL);

	talk_run(talk, script);
	ck_assert_str_eq(buf_text(&talk_queue.recipients),
	    "also@example.net,copy@example.net,Postmaster@relay.example");
	ck_assert_ptr_nonnull(strstr(buf_text(&talk_queue.bytes), "\r\nX-Edited: yes\r\n"));
	ck_assert_ptr_nonnull(strstr(buf_text(&talk_queue.bytes), "\r\nMessage-ID: <"));
	ck_assert_ptr_null(strstr(buf_text(&talk_queue.bytes), "Bcc:"));
	talk_close(&talk);
}
END_TEST

/* ---- the queue's answers ----------------------------------------------------------------------
 */

static const struct {
	int r;
	bool at_once;
	const char *reply;
} answers[] = {
	{ 0, false, "S 250 2.0.0" },
	{ 0, true, "S 250 2.0.0" },
	{ -ENOSPC, false, "S 452 4.3.1" },
	{ -ENOSPC, true, "S 452 4.3.1" },
	{ -EIO, false, "S 451 4.3.0" },
};

START_TEST(queue_answers)
{
	const char *script[] = { HELLO, MAIL, RCPT, "C DATA", "S 354", "P A: b", "P ", "P .",
		"P NOOP", "C MAIL FROM:<c@example.org>", answers[_i].reply, "S 250 2.0.0 Ok",
		"S 250 2.1.0", BYE, NULL };
	struct talk *talk = talk_open(SLOW, "plain", LOCAL);

	talk_queue.r = answers[_i].r;
	talk_queue.at_once = answers[_i].at_once;
	talk_run(talk, script);
	/* The second transaction ends with QUIT; the first only if it was not accepted. */
	ck_assert_uint_eq(talk_hooks[PN_STAGE_ABORTED], answers[_i].r < 0 ? 2 : 1);
	talk_close(&talk);
}
END_TEST

static bool
one_message(struct talk *talk)
{
	return talk_queue.items == 1;
}

static bool
nobody(struct talk *talk)
{
	struct server_figures figures;

	server_figures(talk_server(talk), &figures);
	return figures.open == 0;
}

/* Nothing is said before the message is durable; what comes meanwhile waits. */
START_TEST(no_reply_before_durable)
{
	const char *script[] = { HELLO, MAIL, RCPT, "C DATA", "S 354", "C .", NULL };
	const char *more[] = { "C NOOP", NULL };
	const char *rest[] = { "S 250 2.0.0 Ok: queued", "S 250 2.0.0 Ok", BYE, NULL };
	struct talk *talk = talk_open(EMPTY, "plain", LOCAL);
	unsigned reads;

	talk_queue.never = true;
	talk_run(talk, script);
	talk_wait(talk, one_message);
	reads = talk_reads(talk);
	talk_run(talk, more);
	talk_wait(talk, one_message);
	ck_assert_uint_eq(talk_reads(talk), reads);
	talk_queue_answer(talk);
	talk_run(talk, rest);
	talk_close(&talk);
}
END_TEST

START_TEST(peer_gone_while_waiting)
{
	const char *script[] = { HELLO, MAIL, RCPT, "C DATA", "S 354", "C .", NULL };
	struct talk *talk = talk_open(SLOW, "plain", LOCAL);
	struct server_figures figures;

	talk_queue.never = true;
	talk_run(talk, script);
	talk_wait(talk, one_message);
	talk_hang_up(talk);
	talk_wait(talk, one_message);
	talk_queue_answer(talk);
	talk_wait(talk, nobody);
	server_figures(talk_server(talk), &figures);
	ck_assert_uint_eq(figures.messages, 1);
	ck_assert_uint_eq(talk_hooks[PN_STAGE_ABORTED], 0);
	talk_close(&talk);
}
END_TEST

START_TEST(peer_gone_in_a_transaction)
{
	const char *script[] = { HELLO, MAIL, RCPT, "C DATA", "S 354", "R half", NULL };
	struct talk *talk = talk_open(_i ? SLOW : QUICK, "plain", LOCAL);

	talk_run(talk, script);
	talk_hang_up(talk);
	talk_wait(talk, nobody);
	ck_assert_uint_eq(talk_queue.items, 0);
	ck_assert_uint_eq(talk_hooks[PN_STAGE_ABORTED], 1);
	talk_close(&talk);
}
END_TEST

/* ---- threads ----------------------------------------------------------------------------------
 */

/* Quick hooks stay on the loop; of a pipelined batch the replies come together. */
START_TEST(hops)
{
	const char *script[] = { "S 220", "C EHLO client.example", "S 250",
		"P MAIL FROM:<a@example.org>", "P RCPT TO:<b@example.net>",
		"P RCPT TO:<no@example.net>", "C DATA", "S 250", "S 250", "S 550", "S 354", NULL };
	const char *rest[] = { "C .", "S 250", BYE, NULL };
	struct talk *talk = talk_open(_i ? SLOW : QUICK, "plain", LOCAL);
	unsigned reads;

	talk_run(talk, script);
	reads = talk_reads(talk);
	ck_assert_uint_eq(reads, 3);
	talk_run(talk, rest);
	if (_i)
		ck_assert_uint_ge(talk_hops, 6);
	else
		ck_assert_uint_eq(talk_hops, 0);
	ck_assert_uint_eq(talk_hooks[PN_STAGE_RECIPIENT], 2);
	talk_close(&talk);
}
END_TEST

/* ---- limits -----------------------------------------------------------------------------------
 */

START_TEST(size_limits)
{
	const char *script[] = { HELLO, MAIL, RCPT, "C DATA", "S 354", NULL };
	const char *line[] = { "S 554 5.6.0", MAIL, RCPT, "C BDAT 5000", NULL };
	const char *chunk[] = { "S 552 5.3.4", "C BDAT 1 LAST", "R x", "S 503", "C RSET", "S 250",
		"C MAIL FROM:<a@example.org>", "S 250", RCPT, "C DATA", "S 354", NULL };
	const char *data[] = { "R \r\n.\r\n", "S 552 5.3.4", BYE, NULL };
	struct talk *talk = talk_open(EMPTY, "plain", LOCAL);
	char bytes[5000];

	memset(bytes, 'x', sizeof(bytes));
	talk_run(talk, script);
	talk_send(talk, bytes, 1001);
	talk_send(talk, "\r\n.\r\n", 5);
	talk_run(talk, line);
	for (size_t i = 78; i + 1 < sizeof(bytes); i += 80)
		memcpy(bytes + i, "\r\n", 2);
	talk_send(talk, bytes, sizeof(bytes));
	talk_run(talk, chunk);
	talk_send(talk, bytes, sizeof(bytes));
	talk_run(talk, data);
	ck_assert_uint_eq(talk_queue.items, 0);
	talk_close(&talk);
}
END_TEST

START_TEST(header_size_limit)
{
	const char *script[] = { HELLO, MAIL, RCPT, "C DATA", "S 354", NULL };
	const char *rest[] = { "R \r\n\r\nc\r\n.\r\n", "S 552 5.3.4", BYE, NULL };
	struct talk *talk = talk_open(EMPTY, "plain", LOCAL);
	char field[600];

	memset(field, 'x', sizeof(field));
	memcpy(field, "A: ", 3);
	memcpy(field + sizeof(field) - 2, "\r\n", 2);
	talk_run(talk, script);
	talk_send(talk, field, sizeof(field));
	talk_send(talk, field, sizeof(field) - 2);
	talk_run(talk, rest);
	talk_close(&talk);
}
END_TEST

START_TEST(line_limits)
{
	const char *hello[] = { HELLO, NULL };
	const char *rest[] = { "S 500 5.5.2", "C NOOP", "S 250", NULL };
	const char *auth[] = { "S 500 5.5.6", "C NOOP", "S 250", "C AUTH PLAIN", "S 334", NULL };
	const char *again[] = { "S 500 5.5.6", "C NOOP", "S 250", BYE, NULL };
	struct talk *talk = talk_open(QUICK, "auth", LOCAL);
	char line[13000];

	memset(line, 'A', sizeof(line));
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	talk_run(talk, hello);
	talk_send(talk, line, sizeof(line));
	talk_run(talk, rest);
	memcpy(line, "AUTH PLAIN ", 11);
	talk_send(talk, line, sizeof(line));
	talk_run(talk, auth);
	talk_send(talk, line, sizeof(line));
	talk_run(talk, again);
	talk_close(&talk);
}
END_TEST

static const struct {
	const char *peers[4];
	const char *says[4];
} crowds[] = {
	{ { "192.0.2.7:1", "192.0.2.7:2", "192.0.2.7:3" },
	    { "S 220", "S 220", "S 421 4.7.0 Too many connections from you" } },
	{ { "192.0.2.7:1", "192.0.2.7:2", "192.0.2.8:3", "192.0.2.9:4" },
	    { "S 220", "S 220", "S 220", "S 421 4.7.0 Too many connections" } },
	/* An IPv6 client has a network of 64 bits to itself. */
	{ { "[2001:db8::1]:1", "[2001:db8::2]:2", "[2001:db8::ffff:0:0:3]:3" },
	    { "S 220", "S 220", "S 421 4.7.0 Too many connections from you" } },
	{ { "[2001:db8::1]:1", "[2001:db8::2]:2", "[2001:db8:0:1::1]:3" },
	    { "S 220", "S 220", "S 220" } },
	{ { "[::ffff:192.0.2.7]:1", "[::ffff:192.0.2.7]:2", "[::ffff:192.0.2.8]:3" },
	    { "S 220", "S 220", "S 220" } },
	{ { "203.0.113.1:1", "203.0.113.1:2", "203.0.113.1:3" }, { "S 220", "S 220", "S 220" } },
};

START_TEST(connection_limits)
{
	struct talk *talk = NULL;

	for (int i = 0; i < 4 && crowds[_i].peers[i]; i++) {
		const char *script[] = { crowds[_i].says[i], NULL };

		if (i == 0) {
			talk = talk_open(EMPTY, "plain", crowds[_i].peers[i]);
		} else {
			talk_leave(talk);
			talk_connect(talk, "plain", crowds[_i].peers[i]);
		}
		talk_run(talk, script);
	}
	talk_close(&talk);
}
END_TEST

START_TEST(idle_timeout)
{
	static const char yaml[] = RELAY
	    "  limits: { idle_timeout: 500ms, data_timeout: 500ms }\n" ROUTES "pipeline: [slow]\n";
	const char *idle[] = { HELLO, MAIL, "S 421 4.4.2", "X", NULL };
	const char *data[] = { HELLO, MAIL, RCPT, "C DATA", "S 354", "R a", "S 421 4.4.2", "X",
		NULL };
	struct talk *talk = talk_open(yaml, "plain", LOCAL);

	talk_run(talk, _i ? data : idle);
	ck_assert_uint_eq(talk_hooks[PN_STAGE_ABORTED], 1);
	talk_close(&talk);
}
END_TEST

/* ---- reload and drain -------------------------------------------------------------------------
 */

static void
count(void *arg)
{
	++*(int *)arg;
}

START_TEST(drain)
{
	const char *script[] = { HELLO, MAIL, RCPT, "C DATA", "S 354", "R a", NULL };
	const char *rest[] = { "R \r\n.\r\n", "S 250 2.0.0", "S 421 4.3.2", "X", NULL };
	const char *idle[] = { HELLO, NULL };
	const char *bye[] = { "S 421 4.3.2", "X", NULL };
	struct talk *talk = talk_open(SLOW, "plain", LOCAL);
	int drained = 0;

	talk_run(talk, _i ? script : idle);
	server_drain(talk_server(talk), 0, count, &drained);
	ck_assert_int_eq(drained, 0);
	talk_run(talk, _i ? rest : bye);
	talk_hang_up(talk);
	talk_wait(talk, nobody);
	ck_assert_int_eq(drained, 1);
	ck_assert_uint_eq(talk_queue.items, (unsigned)_i);
	talk_close(&talk);
}
END_TEST

START_TEST(reload)
{
	static const char other[] =
	    "relay:\n  hostname: other.example\n  listeners:\n"
	    "    - { name: plain, address: \"127.0.0.1:0\", tls: none }\n" ROUTES
	    "pipeline: [quick]\n";
	static const char without[] =
	    "relay:\n  hostname: other.example\n  listeners:\n"
	    "    - { name: elsewhere, address: \"127.0.0.1:0\", tls: none }\n" ROUTES
	    "pipeline: []\n";
	const char *first[] = { HELLO, MAIL, RCPT, NULL };
	const char *second[] = { "C RCPT TO:<no@example.net>", "S 250", "C DATA", "S 354", "C .",
		"S 250", "C MAIL FROM:<reject@example.org>", "S 550 5.7.1", NULL };
	const char *third[] = { "C NOOP", "S 421 4.3.2", "X", NULL };
	struct talk *talk = talk_open(EMPTY, "plain", LOCAL);

	talk_run(talk, first);
	talk_configure(talk, other); /* the transaction goes on as it began */
	talk_run(talk, second);
	talk_configure(talk, without);
	talk_run(talk, third);
	talk_close(&talk);
}
END_TEST

/* ---- idle sessions are small ------------------------------------------------------------------
 */

START_TEST(idle_memory)
{
	static const char yaml[] = RELAY "  limits: { connections: 2000, "
					 "connections_per_address: 2000 }\n" ROUTES
					 "pipeline: [quick]\n";
	enum { SESSIONS = 200 };
	const char *script[] = { "S 220", "C EHLO client.example", "S 250", MAIL, RCPT, "C DATA",
		"S 354", "R A: b\r\n\r\nc\r\n.\r\n", "S 250", NULL };
	struct talk *talk = talk_open(yaml, "plain", LOCAL);
	size_t before, after;

	talk_run(talk, script);
	before = mallinfo2().uordblks;
	for (int i = 0; i < SESSIONS; i++) {
		talk_leave(talk);
		talk_connect(talk, "plain", LOCAL);
		talk_run(talk, script);
	}
	after = mallinfo2().uordblks;
	ck_assert_msg(after - before < SESSIONS * (size_t)4096, "%zu bytes per idle session",
	    (after - before) / SESSIONS);
	talk_close(&talk);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("session");
	TCase *tc = tcase_create("session");

	tcase_add_loop_test(tc, conversations, 0, COUNT(talks));
	tcase_add_loop_test(tc, conversations_byte_by_byte, 0, COUNT(talks));
	tcase_add_test(tc, commands_before_the_handshake);
	tcase_add_test(tc, bytes_are_kept);
	tcase_add_test(tc, bare_newlines_are_normalized);
	tcase_add_test(tc, submission_is_mended);
	tcase_add_loop_test(tc, queue_answers, 0, COUNT(answers));
	tcase_add_test(tc, no_reply_before_durable);
	tcase_add_test(tc, peer_gone_while_waiting);
	tcase_add_loop_test(tc, peer_gone_in_a_transaction, 0, 2);
	tcase_add_loop_test(tc, hops, 0, 2);
	tcase_add_test(tc, size_limits);
	tcase_add_test(tc, header_size_limit);
	tcase_add_test(tc, line_limits);
	tcase_add_loop_test(tc, connection_limits, 0, COUNT(crowds));
	tcase_add_loop_test(tc, idle_timeout, 0, 2);
	tcase_add_loop_test(tc, drain, 0, 2);
	tcase_add_test(tc, reload);
	tcase_add_test(tc, idle_memory);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
