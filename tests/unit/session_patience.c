/* SPDX-License-Identifier: Apache-2.0 */
/* session_patience.c - clients that spend the relay's time and commands on nothing. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "session_talk.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof(*(table))))

#define YAML(limits) \
	"relay:\n" \
	"  hostname: relay.example\n" \
	"  listeners:\n" \
	"    - { name: plain, address: \"127.0.0.1:0\", tls: none }\n" \
	"  limits: { " limits " }\n" \
	"routes: [ { to: discard } ]\n" \
	"pipeline: [quick]\n"

#define LOCAL "127.0.0.1:5000"
#define HELLO \
	"S 220 relay.example ESMTP", "C EHLO client.example", "S 250 relay.example; PIPELINING"
#define MAIL    "C MAIL FROM:<a@example.org>", "S 250 2.1.0"
#define RCPT    "C RCPT TO:<b@example.net>", "S 250 2.1.5"
#define MESSAGE MAIL, RCPT, "C DATA", "S 354", "R A: b\r\n\r\nc\r\n.\r\n", "S 250 2.0.0"
#define NOOP    "C NOOP", "S 250"
#define FOUR    NOOP, NOOP, NOOP, NOOP
#define WRONG   "C XYZZY", "S 500"
#define CHUNK   "R BDAT 1\r\na", "S 250"
#define A64     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LARGE   "R BDAT 512\r\n" A64 A64 A64 A64 A64 A64 A64 A64, "S 250"
#define CUT     "S 421 4.7.0 Too many commands without a message, closing", "X"

/* ---- commands that lead to nothing ---- */

#define COMMANDS YAML("commands: 10, recipients: 1")
static const struct {
	const char *yaml, *script[80];
} floods[] = {
	{ COMMANDS, { HELLO, FOUR, FOUR, NOOP, NOOP, "C NOOP", CUT } },
	{ COMMANDS, { HELLO, FOUR, FOUR, NOOP, NOOP, "C DATA", CUT } },
	/* a message, and all counts anew */
	{ COMMANDS, { HELLO, FOUR, NOOP, MESSAGE, FOUR, FOUR, NOOP, NOOP, NOOP, "C RSET", CUT } },
	/* too many recipients, transactions without a message */
	{ COMMANDS, { HELLO, MAIL, RCPT, "C RCPT TO:<c@example.net>", "S 452 4.5.3",
			"C RCPT TO:<c@example.net>", "S 452 4.5.3", FOUR, NOOP, NOOP,
			"C RCPT TO:<c@example.net>", CUT } },
	{ COMMANDS, { HELLO, MAIL, "C RSET", "S 250", MAIL, "C RSET", "S 250", MAIL, "C RSET",
			"S 250", MAIL, "C RSET", "S 250", MAIL, "C RSET", "S 250",
			"C MAIL FROM:<a@example.org>", CUT } },
	/* small chunks count, large ones do not */
	{ COMMANDS, { HELLO, MAIL, RCPT, CHUNK, CHUNK, CHUNK, CHUNK, CHUNK, CHUNK, CHUNK, CHUNK,
			"C BDAT 1", CUT } },
	{ COMMANDS, { HELLO, MAIL, RCPT, LARGE, LARGE, LARGE, LARGE, LARGE, LARGE, LARGE, LARGE,
			LARGE, LARGE, LARGE, LARGE, NOOP } },
};

START_TEST(commands)
{
	struct talk *talk = talk_open(floods[_i].yaml, "plain", LOCAL);

	talk_run(talk, floods[_i].script);
	talk_close(&talk);
}
END_TEST

static uint64_t
cut(struct talk *talk)
{
	struct server_figures figures;

	server_figures(talk_server(talk), &figures);
	return figures.sessions_cut;
}

START_TEST(endless_line)
{
	static const char *const begin[] = { HELLO, "R NOOP ", NULL };
	static const char *const end[] = { "S 500 5.5.2 Command line too long",
		"S 421 4.7.0 This line has no end, closing", "X", NULL };
	struct talk *talk = talk_open(YAML("recipients: 1"), "plain", LOCAL);
	char much[16 * 1024];

	memset(much, 'x', sizeof(much));
	talk_run(talk, begin);
	for (int i = 0; i < 20 && cut(talk) == 0; i++)
		talk_send(talk, much, sizeof(much));
	talk_run(talk, end);
	ck_assert_uint_eq(cut(talk), 1);
	talk_close(&talk);
}
END_TEST

/* ---- errors ---- */

static uint64_t
delayed(struct talk *talk)
{
	struct server_figures figures;

	server_figures(talk_server(talk), &figures);
	return figures.delayed;
}

START_TEST(errors_are_answered_late)
{
	static const char *const few[] = { HELLO, WRONG, WRONG, NOOP, NULL };
	/* What came with it waits, and is answered in order. */
	static const char *const more[] = { "P XYZZY", "C NOOP", "S 500", "S 250", NULL };
	static const char *const last[] = { "C XYZZY", "S 500", "S 421 4.7.0 Too many errors", "X",
		NULL };
	struct talk *talk = talk_open(YAML("command_errors: 4, error_delay: 50ms"), "plain", LOCAL);

	talk_run(talk, few);
	ck_assert_uint_eq(delayed(talk), 0);
	talk_run(talk, more);
	ck_assert_uint_eq(delayed(talk), 1);
	talk_run(talk, last);
	ck_assert_uint_eq(cut(talk), 1);
	talk_close(&talk);
}
END_TEST

static bool
nobody(struct talk *talk)
{
	struct server_figures figures;

	server_figures(talk_server(talk), &figures);
	return figures.open == 0;
}

START_TEST(gone_during_a_delay)
{
	static const char *const script[] = { HELLO, WRONG, WRONG, NULL };
	struct talk *talk = talk_open(YAML("command_errors: 4, error_delay: 50ms"), "plain", LOCAL);

	talk_run(talk, script);
	talk_send(talk, "XYZZY\r\n", 7);
	talk_hang_up(talk);
	talk_wait(talk, nobody);
	talk_close(&talk);
}
END_TEST

/* Five sessions with an error use up what would do for ten without. */
START_TEST(errors_cost_connections)
{
	static const char *const said[] = { "S ", NULL };
	static const char *const wrong[] = { "C XYZZY", "S 500", "S 421 4.7.0", "X", NULL };
	static const char *const taken[] = { "S 220", NULL };
	struct talk *talk = talk_open(
	    YAML("command_errors: 1, connections_per_minute: 10"), "plain", LOCAL);
	int sessions = 0;

	talk_run(talk, said);
	while (strncmp(talk_reply(talk), "220", 3) == 0) {
		ck_assert_int_lt(++sessions, 10);
		talk_run(talk, wrong);
		talk_hang_up(talk);
		talk_wait(talk, nobody);
		talk_connect(talk, "plain", LOCAL);
		talk_run(talk, said);
	}
	ck_assert_ptr_nonnull(strstr(talk_reply(talk), "Too many new connections from you"));
	talk_connect(talk, "plain", "127.0.0.2:5000");
	talk_run(talk, taken);
	talk_close(&talk);
}
END_TEST

/* ---- time ---- */

/* Of these, nothing but the one that is short can be the reason. */
static const struct {
	const char *yaml, *peer;
	int before; /* connections that others have */
	const char *script[12];
} waits[] = {
	{ YAML("idle_timeout: 1h, session_timeout: 1s"), LOCAL, 0,
	    { HELLO, "S 421 4.4.2 Timeout, closing", "X" } },
	{ YAML("idle_timeout: 1h, session_timeout: 1s"), LOCAL, 0,
	    { HELLO, MAIL, "R RCPT TO", "S 421 4.4.2 Timeout, closing", "X" } },
	{ YAML("idle_timeout: 1h, busy_timeout: 1s, connections: 4, "
	       "connections_per_address: 2"),
	    "192.0.2.7:1", 2, { HELLO, "S 421 4.4.2 Timeout, closing", "X" } },
};

START_TEST(time_is_up)
{
	static const char *const greeted[] = { "S 220", NULL };
	struct talk *talk = talk_open(
	    waits[_i].yaml, "plain", waits[_i].before ? "192.0.2.8:1" : waits[_i].peer);

	for (int i = 0; i < waits[_i].before; i++) {
		talk_run(talk, greeted);
		talk_leave(talk);
		talk_connect(talk, "plain", i > 0 ? waits[_i].peer : "192.0.2.9:1");
	}
	talk_run(talk, waits[_i].script);
	ck_assert_uint_eq(cut(talk), 1);
	talk_close(&talk);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("session patience");
	TCase *tc = tcase_create("session patience");

	tcase_add_loop_test(tc, commands, 0, COUNT(floods));
	tcase_add_test(tc, endless_line);
	tcase_add_test(tc, errors_are_answered_late);
	tcase_add_test(tc, gone_during_a_delay);
	tcase_add_test(tc, errors_cost_connections);
	tcase_add_loop_test(tc, time_is_up, 0, COUNT(waits));
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
