/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_stuck.c - hooks that do not return: the session goes on without them, and they harm
 * nobody when they come back after all.
 */
#include "run.h"
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "session_talk.h"

#define CORE \
	"relay:\n" \
	"  hostname: relay.example\n" \
	"  listeners:\n" \
	"    - { name: plain, address: \"127.0.0.1:0\", tls: none }\n" \
	"    - { name: auth, address: \"127.0.0.1:0\", tls: none, auth: offered, " \
	"auth_without_tls: yes }\n" \
	"routes: [ { to: discard } ]\n" \
	"pipeline:\n"
#define STUCK(more) CORE "  - slow: { id: stuck, timeout: 200ms" more " }\n"
#define DEFERS      STUCK("") "  - slow\n"
#define SKIPS       STUCK(", on_fault: skip") "  - slow\n"
#define REJECTS     STUCK(", on_fault: reject") "  - slow\n"

#define LOCAL       "127.0.0.1:5000"
#define HELLO       "S 220 relay.example ESMTP", "C EHLO client.example", "S 250 relay.example"
#define MAIL        "C MAIL FROM:<a@example.org>", "S 250 2.1.0"
#define RCPT        "C RCPT TO:<b@example.net>", "S 250 2.1.5"
#define DATA        "C DATA", "S 354", "R A: b\r\n\r\nc\r\n.\r\n"
#define QUEUED      "S 250 2.0.0 Ok: queued as "
#define LATER       "S 451 4.7.1 Temporary failure"
#define REFUSED     "S 550 5.7.1 Refused: a policy check failed"
#define BYE         "C QUIT", "S 221 2.0.0", "X"

/* ---- a hook that is stuck until it is let go --------------------------------------------------
 */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int stuck_at;
static int let_in; /* how many more get stuck */
static int inside, returned;
static bool let_go;

static void
dropped(void *data)
{
	pthread_mutex_lock(&lock);
	ck_assert_int_eq(returned, 1); /* never beside the hook that keeps it */
	returned = 2;
	pthread_mutex_unlock(&lock);
}

/* What is lent stays as it was, and nothing can be changed. */
static void
look_around(struct pn_call *call, struct pn_txn *txn)
{
	ck_assert_str_eq(pn_txn_client_address(txn), "127.0.0.1");
	if (stuck_at > PN_STAGE_CONNECT)
		ck_assert_str_eq(pn_txn_helo(txn), "client.example");
	if (stuck_at >= PN_STAGE_SENDER)
		ck_assert_str_eq(pn_txn_sender(txn), "a@example.org");
	if (stuck_at == PN_STAGE_RECIPIENT)
		ck_assert_str_eq(pn_txn_recipient(txn), "b@example.net");
	if (stuck_at == PN_STAGE_AUTH)
		ck_assert(pn_slice_equals(pn_auth_response(txn), pn_slice("\0alice\0secret", 13)));
	if (stuck_at == PN_STAGE_MESSAGE)
		ck_assert(pn_slice_equals(pn_txn_body(txn), pn_slice_of("c\r\n")));
	if (stuck_at == PN_STAGE_MESSAGE || stuck_at == PN_STAGE_SENDER)
		ck_assert_int_eq(pn_tag(call, "late"), pn_time_left(call) > 0 ? 0 : -ECANCELED);
	if (stuck_at == PN_STAGE_AUTH && pn_time_left(call) == 0)
		ck_assert_int_eq(pn_auth_keep(call, &lock, dropped), -ECANCELED);
}

static void
get_stuck(struct pn_call *call, struct pn_txn *txn)
{
	if (strcmp(pn_entry(call), "stuck") != 0 || pn_stage(call) != stuck_at)
		return;
	pthread_mutex_lock(&lock);
	if (let_in > 0) {
		let_in--;
		look_around(call, txn);
		if (stuck_at == PN_STAGE_AUTH)
			ck_assert_int_eq(pn_auth_keep(call, &lock, dropped), 0);
		inside++;
		pthread_cond_broadcast(&changed);
		while (!let_go)
			pthread_cond_wait(&changed, &lock);
		look_around(call, txn);
		inside--;
		returned = 1;
	}
	pthread_mutex_unlock(&lock);
}

static void
begin(int stage, int many)
{
	stuck_at = stage;
	let_in = many;
	inside = returned = 0;
	let_go = false;
	talk_inside = get_stuck;
}

static int
stuck_now(void)
{
	int now;

	pthread_mutex_lock(&lock);
	now = inside;
	pthread_mutex_unlock(&lock);
	return now;
}

static bool
nobody_is_lost(struct talk *talk)
{
	return jobs_lost(talk_jobs(talk)) == 0;
}

static void
let_them_go(struct talk *talk)
{
	pthread_mutex_lock(&lock);
	let_go = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	talk_wait(talk, nobody_is_lost);
}

static bool
is_dropped(struct talk *talk)
{
	bool yes;

	pthread_mutex_lock(&lock);
	yes = returned == 2;
	pthread_mutex_unlock(&lock);
	return yes;
}

/* ---- each stage -------------------------------------------------------------------------------
 */

static const struct {
	int stage;
	const char *yaml, *listener, *script[24];
} stages[] = {
	{ PN_STAGE_CONNECT, DEFERS, "plain", { LATER, "X" } },
	{ PN_STAGE_CONNECT, SKIPS, "plain", { HELLO, MAIL, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_HELO, DEFERS, "plain",
	    { "S 220", "C EHLO client.example", "S 451 Temporary failure", "C EHLO client.example",
		"S 250", MAIL, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_AUTH, DEFERS, "auth",
	    { HELLO, "C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 454 4.7.0",
		"C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 235", MAIL, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_AUTH, SKIPS, "auth",
	    { HELLO, "C AUTH PLAIN AGFsaWNlAHNlY3JldA==", "S 235", MAIL, RCPT, DATA, QUEUED,
		BYE } },
	{ PN_STAGE_SENDER, DEFERS, "plain",
	    { HELLO, "C MAIL FROM:<a@example.org>", LATER, MAIL, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_SENDER, SKIPS, "plain", { HELLO, MAIL, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_SENDER, REJECTS, "plain",
	    { HELLO, "C MAIL FROM:<a@example.org>", REFUSED, MAIL, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_RECIPIENT, DEFERS, "plain",
	    { HELLO, MAIL, "C RCPT TO:<b@example.net>", LATER, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_RECIPIENT, SKIPS, "plain", { HELLO, MAIL, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_MESSAGE, DEFERS, "plain",
	    { HELLO, MAIL, RCPT, DATA, LATER, MAIL, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_MESSAGE, SKIPS, "plain", { HELLO, MAIL, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_MESSAGE, REJECTS, "plain",
	    { HELLO, MAIL, RCPT, DATA, REFUSED, MAIL, RCPT, DATA, QUEUED, BYE } },
	{ PN_STAGE_ABORTED, DEFERS, "plain",
	    { HELLO, MAIL, "C RSET", "S 250", MAIL, RCPT, DATA, QUEUED, BYE } },
	/* replies of a batch keep their order, whichever of its hooks is stuck */
	{ PN_STAGE_RECIPIENT, DEFERS, "plain",
	    { HELLO, "P MAIL FROM:<a@example.org>", "P RCPT TO:<b@example.net>",
		"P RCPT TO:<b@example.net>", "C DATA", "S 250 2.1.0", LATER, "S 250 2.1.5", "S 354",
		"R A: b\r\n\r\nc\r\n.\r\n", QUEUED, BYE } },
};

/* `_i` counts each row twice: the hook comes back while its session lives, or long after. */
START_TEST(the_session_goes_on)
{
	const char *yaml = stages[_i / 2].yaml, *listener = stages[_i / 2].listener;
	struct talk *talk;

	begin(stages[_i / 2].stage, 1);
	talk = talk_open(yaml, listener, LOCAL);
	talk_run(talk, stages[_i / 2].script);
	ck_assert_int_eq(stuck_now(), 1);
	ck_assert_uint_eq(jobs_lost(talk_jobs(talk)), 1);
	if (_i % 2 == 0)
		talk_hang_up(talk);
	let_them_go(talk);
	if (stuck_at == PN_STAGE_AUTH)
		talk_wait(talk, is_dropped);
	talk_close(&talk);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

/* ---- bounds -----------------------------------------------------------------------------------
 */

/* The pool has two threads; two are stuck, and all goes on. */
START_TEST(lost_threads_are_replaced)
{
	static const char *const deferred[] = { HELLO, "C MAIL FROM:<a@example.org>", LATER, BYE,
		NULL };
	static const char *const accepted[] = { HELLO, MAIL, RCPT, DATA, QUEUED, BYE, NULL };
	struct talk *talk;

	begin(PN_STAGE_SENDER, 5);
	talk = talk_open(STUCK(", concurrency: 10") "  - slow\n", "plain", LOCAL);
	for (int i = 0; i < 5; i++) {
		talk_run(talk, deferred);
		talk_connect(talk, "plain", LOCAL);
	}
	ck_assert_uint_eq(jobs_lost(talk_jobs(talk)), 5);
	talk_run(talk, accepted);
	let_them_go(talk);
	talk_connect(talk, "plain", LOCAL);
	talk_run(talk, accepted);
	talk_close(&talk);
}
END_TEST

/* A stuck hook keeps its slot: the entry has no other, and everybody else is served. */
START_TEST(a_stuck_entry_starves_only_itself)
{
	static const char *const twice[] = { HELLO, "C MAIL FROM:<a@example.org>", LATER,
		"C MAIL FROM:<a@example.org>", LATER, NULL };
	static const char *const again[] = { "C RSET", "S 250", MAIL, RCPT, DATA, QUEUED, BYE,
		NULL };
	struct talk *talk;

	begin(PN_STAGE_SENDER, 1);
	talk = talk_open(CORE "  - slow\n  - slow: { id: stuck, concurrency: 1, timeout: 200ms }\n",
	    "auth", LOCAL);
	talk_run(talk, (const char *const[]){ HELLO, NULL });
	talk_connect(talk, "plain", LOCAL);
	talk_run(talk, twice);
	ck_assert_int_eq(stuck_now(), 1);
	ck_assert_uint_eq(jobs_lost(talk_jobs(talk)), 1);
	let_them_go(talk);
	talk_run(talk, again);
	talk_close(&talk);
}
END_TEST

static void
release_later(struct loop_timer *timer)
{
	pthread_mutex_lock(&lock);
	let_go = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* Who waits for a slot gets it as soon as it is free. */
START_TEST(a_slot_that_is_given_back_goes_to_the_next)
{
	static const char *const waits[] = { HELLO, "C MAIL FROM:<a@example.org>", NULL };
	static const char *const passes[] = { HELLO, MAIL, BYE, NULL };
	struct loop_timer timer = { .fire = release_later };
	struct talk *talk;

	begin(PN_STAGE_SENDER, 1);
	talk = talk_open(CORE "  - slow: { id: stuck, concurrency: 1 }\n", "plain", LOCAL);
	talk_run(talk, waits);
	talk_leave(talk);
	loop_timer_set(talk_loop(talk), &timer, 50);
	talk_connect(talk, "plain", LOCAL);
	talk_run(talk, passes);
	ck_assert_uint_eq(jobs_lost(talk_jobs(talk)), 0);
	talk_close(&talk);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("session_stuck");
	TCase *tests = tcase_create("stuck");

	tcase_add_loop_test(
	    tests, the_session_goes_on, 0, 2 * (int)(sizeof(stages) / sizeof(stages[0])));
	tcase_add_test(tests, lost_threads_are_replaced);
	tcase_add_test(tests, a_stuck_entry_starves_only_itself);
	tcase_add_test(tests, a_slot_that_is_given_back_goes_to_the_next);
	suite_add_tcase(suite, tests);
	return unit_run(suite);
}
