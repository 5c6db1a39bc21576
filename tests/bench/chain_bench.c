/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain_bench.c - what entries of the pipeline cost a message that they do nothing with.
 *
 *	chain-bench [messages]
 *
 * Ten entries with quick hooks at MAIL, RCPT and the message, beside an empty pipeline; and one
 * hook that may block, which takes the message to a policy thread and back. The memory shared with
 * a master is there as in a relay. Prints two lines; not a test.
 */
#include <check.h>
#include <core/base/clock.h>
#include <core/policy/away.h>
#include <core/policy/crash.h>
#include <core/policy/generation.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../unit/policy_world.h"

#define TEN \
	"  - idle: { id: a }\n  - idle: { id: b }\n  - idle: { id: c }\n  - idle: { id: d }\n" \
	"  - idle: { id: e }\n  - idle: { id: f }\n  - idle: { id: g }\n  - idle: { id: h }\n" \
	"  - idle: { id: i }\n  - idle: { id: j }\n"
#define ROUNDS 5

static struct world world;
static long messages = 100000;

/* Without the helpers of the tests: each check of theirs writes to a file. */
static void
stage(enum pn_stage stage)
{
	struct chain_run run = { 0 };

	if (chain_run(&run, world.txn, stage, false, &world.ruling) != CHAIN_DONE)
		abort();
}

static void
one_message(const struct mail_facts *facts)
{
	struct pn_txn *txn = txn_new(world.generation, facts);
	struct mail_bytes *bytes;

	world.txn = txn;
	txn_begin(txn);
	txn->envelope.sender = txn->envelope.original_sender = "one@example.org";
	stage(PN_STAGE_SENDER);
	mail_envelope_add(&txn->envelope, &txn->arena, "two@example.org");
	txn->recipient = 0;
	stage(PN_STAGE_RECIPIENT);
	txn->recipient = -1;
	if (mail_bytes_new(256, &bytes) < 0 ||
	    mail_bytes_append(bytes, WORLD_MESSAGE, sizeof(WORLD_MESSAGE) - 1, 256) < 0 ||
	    txn_set_message(txn, bytes, 100) < 0)
		abort();
	stage(PN_STAGE_MESSAGE);
	txn_free(&world.txn);
}

static double
cpu_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Microseconds of CPU a message; the best of some rounds, since other programs only ever add. */
static double
measure(const char *pipeline)
{
	const struct mail_facts facts = { .client_address = "192.0.2.7", .listener = "submission" };
	double best = 1e9;

	world_run(&world, pipeline, "");
	for (int round = 0; round < ROUNDS; round++) {
		double began = cpu_us(), took;

		for (long i = 0; i < messages; i++)
			one_message(&facts);
		took = (cpu_us() - began) / (double)messages;
		best = took < best ? took : best;
	}
	return best;
}

/* ---- to a thread and back ---------------------------------------------------------------------
 */

static struct away_place place;
static struct chain_run run;
static long left;

static bool
work(void *owner)
{
	return chain_run(&run, world.txn, PN_STAGE_MESSAGE, true, &world.ruling) != CHAIN_GONE;
}

static void next(void *owner);

static const struct away_ops ops = { .work = work, .back = next, .late = next };

static void
next(void *owner)
{
	if (left-- == 0) {
		loop_stop(place.loop);
		return;
	}
	run = (struct chain_run){ 0 };
	world.txn->hook_ms = 0;
	world.txn->trace_count = 0;
	if (chain_run(&run, world.txn, PN_STAGE_MESSAGE, false, &world.ruling) != CHAIN_HOP)
		abort();
	away_go(&place, &ops, NULL, &run, world.txn, PN_STAGE_MESSAGE);
}

static double
measure_away(void)
{
	long many = messages / 10;
	int64_t began;
	double took;

	world_run(&world, "  - slow\n", "");
	world_begin(&world);
	world_message(&world, WORLD_MESSAGE);
	if (loop_new(&place.loop, NULL) < 0 || jobs_new(4, &place.jobs, NULL) < 0)
		abort();
	left = many;
	next(NULL);
	began = clock_monotonic_us();
	loop_run(place.loop);
	took = (double)(clock_monotonic_us() - began) / (double)many;
	jobs_free(&place.jobs);
	loop_free(&place.loop);
	return took;
}

static void
share_memory(void)
{
	int fd = memfd_create("chain-bench", MFD_CLOEXEC);
	struct pn_error err;

	if (fd < 0 || ftruncate(fd, sizeof(struct crash_memory)) < 0 || crash_open(fd, &err) < 0)
		abort();
}

START_TEST(bench)
{
	double empty, ten;

	world_open(&world);
	share_memory();
	empty = measure("  []\n");
	ten = measure(TEN);
	printf(
	    "ten quick entries that do nothing: %.2f us a message (%.2f us without, 15 us may be "
	    "added)\n",
	    ten - empty, empty);
	printf("one hook that may block: %.2f us, to a thread and back\n", measure_away());
	world_close(&world);
}
END_TEST

/* The helpers want to be in a test. */
int
main(int argc, char **argv)
{
	Suite *suite = suite_create("bench");
	TCase *tests = tcase_create("chain");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (argc > 1)
		messages = atol(argv[1]);
	tcase_add_test(tests, bench);
	suite_add_tcase(suite, tests);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_MINIMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
