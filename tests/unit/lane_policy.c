/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane_policy.c - unit tests of ticks and outcomes: when they come, what waits, what a drain does.
 *
 * The hooks of a test module are replaced by one that counts, and that can be made to hang.
 */
#include "policy_world.h"
#include "run.h"
#include <check.h>
#include <core/base/log.h>
#include <core/master/lane_policy.h>
#include <core/policy/listen.h>
#include <core/policy/slots.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_MS 10

static struct world world;
static struct loop *loop;
static struct jobs *jobs;
static struct lane_policy *policy;
static struct queue_parts parts;

/* What the hooks share with the test. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int heard, inside, most_inside;
static bool hangs;
static char said[4000]; /* the log */

static void
keep_log(const char *line, size_t len)
{
	pthread_mutex_lock(&lock);
	if (strlen(said) + len < sizeof(said))
		strncat(said, line, len);
	pthread_mutex_unlock(&lock);
}

static struct pn_verdict
hear(struct pn_call *call, struct pn_txn *txn)
{
	pthread_mutex_lock(&lock);
	heard++;
	inside++;
	most_inside = inside > most_inside ? inside : most_inside;
	while (hangs)
		pthread_cond_wait(&changed, &lock);
	inside--;
	pthread_mutex_unlock(&lock);
	return pn_pass();
}

static void
let_go(void)
{
	pthread_mutex_lock(&lock);
	hangs = false;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void
setup(void)
{
	struct pn_error err = { 0 };

	heard = inside = most_inside = 0;
	hangs = false;
	said[0] = '\0';
	log_observe(keep_log);
	world_open(&world);
	ck_assert_int_eq(loop_new(&loop, &err), 0);
	ck_assert_int_eq(jobs_new(2, &jobs, &err), 0);
	policy = lane_policy_new(loop, jobs);
	lane_policy_serve(policy, &parts);
}

static void
configure(const char *entry, const char *section, bool replaced)
{
	const struct chain_entry *entries;

	world_run(&world, entry, section);
	generation_entries(world.generation, &entries);
	if (replaced) {
		/* No module can be made to wait for a test. */
		struct chain_entry *entry_of_test = (struct chain_entry *)(uintptr_t)entries;

		entry_of_test->hooks[PN_STAGE_TICK] = hear;
		entry_of_test->hooks[PN_STAGE_OUTCOME] = hear;
	}
	lane_policy_configure(policy, world.generation);
}

/* ---- running the loop ------------------------------------------------------------------------ */

struct waiting {
	struct loop_timer timer;
	bool (*is)(int arg);
	int arg;
};

static void
look(struct loop_timer *timer)
{
	struct waiting *waiting = (struct waiting *)timer;

	if (waiting->is(waiting->arg))
		loop_stop(loop);
	else
		loop_timer_set(loop, timer, 5);
}

/* For ever, if it has to: Check has a time for every test. */
static void
run_until(bool (*is)(int arg), int arg)
{
	struct waiting waiting = { { .fire = look }, is, arg };

	loop_timer_set(loop, &waiting.timer, 0);
	loop_run(loop);
}

static bool
has_heard(int count)
{
	bool yes;

	pthread_mutex_lock(&lock);
	yes = heard >= count && (hangs || inside == 0);
	pthread_mutex_unlock(&lock);
	return yes;
}

static int drained;

static void
note_drained(void *arg)
{
	drained++;
}

static bool
is_drained(int count)
{
	return drained == count;
}

static void
drain(void)
{
	drained = 0;
	lane_policy_drain(policy, note_drained, NULL);
	run_until(is_drained, 1);
}

/* What is on its way back from a thread needs the loop once more. */
static void
teardown(void)
{
	let_go();
	if (policy)
		drain();
	while (jobs_lost(jobs) > 0)
		sched_yield();
	jobs_free(&jobs);
	lane_policy_free(&policy);
	loop_free(&loop);
	world_close(&world);
	log_observe(NULL);
}

static int64_t until_ms;

static bool
is_past(int arg)
{
	return loop_now(loop) >= until_ms;
}

static void
run_for(int64_t ms)
{
	until_ms = loop_now(loop) + ms;
	run_until(is_past, 0);
}

static int
count_of(const char *text)
{
	int count = 0;

	pthread_mutex_lock(&lock);
	for (const char *at = said; (at = strstr(at, text)); at++)
		count++;
	pthread_mutex_unlock(&lock);
	return count;
}

static bool
was_said(int times)
{
	return count_of("fault") >= times;
}

/* ---- ticks ----------------------------------------------------------------------------------- */

static bool
has_noted(int ticks)
{
	const char *at = world_file(&world, "notes");

	for (; ticks > 0 && (at = strstr(at, "tick\n")); ticks--)
		at++;
	return at != NULL;
}

START_TEST(a_tick_at_its_interval_with_its_settings)
{
	int64_t began = loop_now(loop);

	configure("  - sealer\n", "sealer: { file: notes }\n", false);
	lane_policy_tick(policy, TICK_MS);
	ck_assert_str_eq(world_file(&world, "notes"), "");
	run_until(has_noted, 5);
	ck_assert_int_ge(loop_now(loop) - began, 5 * TICK_MS);
}
END_TEST

/* None of the section, whoever has others; and none where the entry is switched off. */
START_TEST(the_section_speaks)
{
	configure("  - sealer: { when: { sender_domain: [nobody.example] } }\n",
	    "sealer: { file: notes }\n", true);
	lane_policy_tick(policy, TICK_MS);
	run_until(has_heard, 3);
	configure("  - sealer\n", "sealer: { enabled: no }\n", true);
	run_for(TICK_MS); /* what was under way */
	heard = 0;
	run_for(5 * TICK_MS);
	ck_assert_int_eq(heard, 0);
}
END_TEST

START_TEST(faults_of_ticks_are_logged)
{
	configure("  - sealer\n", "sealer: { file: no/such/folder }\n", false);
	lane_policy_tick(policy, TICK_MS);
	run_until(was_said, 2);
	ck_assert_int_ge(
	    count_of("fault entry=sealer module=sealer stage=tick client=local error=\"cannot "
		     "note: "),
	    2);
}
END_TEST

static bool
was_kept_back(int times)
{
	return count_of("error=\"the one before has not returned yet\"") >= times;
}

/*
 * The first is left behind; while it has not returned no other one begins. On a busy machine one of
 * them may find no thread in time.
 */
START_TEST(never_two_ticks_at_once)
{
	configure("  - sealer: { timeout: 20ms, concurrency: 5 }\n", "", true);
	hangs = true;
	lane_policy_tick(policy, TICK_MS);
	run_until(was_kept_back, 3);
	ck_assert_int_eq(count_of("error=\"did not answer in time\""), 1);
	ck_assert_uint_eq(jobs_lost(jobs), 1);
	ck_assert_int_eq(heard, 1);
	let_go();
	run_until(has_heard, 4);
	ck_assert_int_eq(most_inside, 1);
}
END_TEST

START_TEST(a_drain_ends_ticks)
{
	configure("  - sealer\n", "", true);
	lane_policy_tick(policy, TICK_MS);
	run_until(has_heard, 1);
	drain();
	heard = 0;
	run_for(5 * TICK_MS);
	ck_assert_int_eq(heard, 0);
}
END_TEST

/* ---- flushes --------------------------------------------------------------------------------- */

static bool
has_flushed(int times)
{
	const char *at = world_file(&world, "notes");

	for (; times > 0 && (at = strstr(at, "flush\n")); times--)
		at++;
	return at != NULL;
}

static void tell(int count);

START_TEST(flushes_do_not_wait_for_outcomes)
{
	configure(
	    "  - sealer: { concurrency: 2 }\n", "sealer: { file: notes, flushes: yes }\n", true);
	hangs = true;
	tell(3);
	lane_policy_flush(policy, TICK_MS);
	run_until(has_flushed, 3);
	ck_assert_uint_eq(lane_policy_waiting(policy), 3);
}
END_TEST

START_TEST(the_last_flush_needs_no_loop)
{
	configure("  - sealer\n", "sealer: { file: notes, flushes: yes }\n", false);
	listen_last(world.generation, PN_STAGE_FLUSH);
	ck_assert_str_eq(world_file(&world, "notes"), "flush\n");
}
END_TEST

/* ---- outcomes -------------------------------------------------------------------------------- */

static void
tell(int count)
{
	struct queue_outcome outcome = { .result = { .size = sizeof(struct pn_outcome),
					     .recipient = "two@example.org",
					     .method = "none",
					     .reply = "250 2.0.0 Ok" } };
	struct item *item;

	world_begin(&world);
	mail_envelope_add(&world.txn->envelope, &world.txn->arena, "two@example.org");
	world_message(&world, WORLD_MESSAGE);
	item = txn_to_item(world.txn);
	outcome.item = item;
	for (int i = 0; i < count; i++)
		parts.outcome(parts.arg, &outcome, 1);
	item_free(&item);
}

START_TEST(a_drain_waits_for_what_is_to_be_heard)
{
	configure("  - sealer\n", "", true);
	hangs = true;
	tell(200);
	drained = 0;
	lane_policy_drain(policy, note_drained, NULL);
	run_for(100);
	ck_assert_int_eq(drained, 0);
	ck_assert_uint_eq(lane_policy_waiting(policy), 200);
	let_go();
	run_until(is_drained, 1);
	ck_assert_int_eq(heard, 200);
	ck_assert_uint_eq(lane_policy_waiting(policy), 0);
}
END_TEST

/* Who tells never waits; what is too much is counted, in few lines. */
START_TEST(what_is_too_much_is_dropped_and_said)
{
	configure("  - sealer\n", "", true);
	hangs = true;
	tell(LISTEN_MOST + 500);
	ck_assert_uint_eq(lane_policy_waiting(policy), LISTEN_MOST);
	ck_assert_int_eq(count_of("outcomes-dropped"), 1);
	ck_assert_int_eq(count_of("outcomes-dropped count=1 "), 1);
	let_go();
	drain();
	ck_assert_int_eq(heard, LISTEN_MOST);
	ck_assert_int_eq(count_of("outcomes-dropped count=499 "), 1);
}
END_TEST

/* The process ends without them: nothing of them is left. */
START_TEST(what_was_not_heard_goes)
{
	configure("  - sealer\n", "", true);
	tell(10);
	lane_policy_free(&policy);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("lane policy");
	TCase *tc = tcase_create("ticks and outcomes");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_tick_at_its_interval_with_its_settings);
	tcase_add_test(tc, the_section_speaks);
	tcase_add_test(tc, faults_of_ticks_are_logged);
	tcase_add_test(tc, never_two_ticks_at_once);
	tcase_add_test(tc, a_drain_ends_ticks);
	tcase_add_test(tc, flushes_do_not_wait_for_outcomes);
	tcase_add_test(tc, the_last_flush_needs_no_loop);
	tcase_add_test(tc, a_drain_waits_for_what_is_to_be_heard);
	tcase_add_test(tc, what_is_too_much_is_dropped_and_said);
	tcase_add_test(tc, what_was_not_heard_goes);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
