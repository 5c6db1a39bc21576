/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - unit tests of the queue: on a real spool, with a next hop that follows a script. */
#include "run.h"
#include "tests/unit/queue_scene.h"
#include <check.h>
#include <core/base/clock.h>
#include <core/queue/schedule.h>
#include <glib.h>
#include <stdlib.h>
#include <sys/stat.h>

#define HELLO "A", "S 220 hop", "C EHLO relay.test"
#define PIPED "S 250-hop\r\n250 PIPELINING"
#define OK    "S 250 2.0.0 ok"
#define GO    "S 354 go on"
#define BYE   "C QUIT", "S 221 bye", "H"
#define ONE   "C MAIL FROM", "C RCPT TO:<a@r.example>", "C DATA", OK, OK, GO, "D", OK
#define LIST(...) \
	(const char *const[]) \
	{ \
		__VA_ARGS__, NULL \
	}

/* ---- schedule ---------------------------------------------------------------------------------
 */

START_TEST(heap_keeps_order)
{
	enum { COUNT = 2000 };
	struct schedule_entry *entries = calloc(COUNT, sizeof(*entries));
	struct schedule schedule = { 0 };
	struct schedule_entry *first;
	int64_t last = INT64_MIN;
	unsigned left = 0;

	srand(1);
	for (int i = 0; i < COUNT; i++)
		schedule_put(&schedule, &entries[i], rand() % 1000);
	for (int i = 0; i < COUNT; i += 3)
		schedule_put(&schedule, &entries[i], rand() % 1000);
	for (int i = 0; i < COUNT; i += 7)
		schedule_remove(&schedule, &entries[i]);
	for (int i = 0; i < COUNT; i++)
		left += entries[i].place != 0;
	for (; (first = schedule_first(&schedule)); left--) {
		ck_assert_int_ge(first->due_us, last);
		last = first->due_us;
		schedule_remove(&schedule, first);
		schedule_remove(&schedule, first);
	}
	ck_assert_uint_eq(left, 0);
	schedule_free(&schedule);
	free(entries);
}
END_TEST

static const struct {
	int64_t first, most;
	uint32_t attempts;
	int64_t about;
} delays[] = {
	{ 300, 14400, 1, 300 },
	{ 300, 14400, 2, 600 },
	{ 300, 14400, 3, 1200 },
	{ 300, 14400, 7, 14400 },
	{ 300, 14400, 4000000000u, 14400 },
	{ 500, 100, 1, 100 },
};

START_TEST(delay_doubles)
{
	int64_t least = INT64_MAX, most = 0;

	for (int i = 0; i < 200; i++) {
		int64_t ms = schedule_delay_ms(
		    delays[_i].first, delays[_i].most, delays[_i].attempts);

		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	ck_assert_int_ge(least, delays[_i].about * 7 / 8);
	ck_assert_int_le(most, delays[_i].about * 9 / 8);
	ck_assert_int_lt(least, most); /* jitter */
}
END_TEST

/* ---- ways out ---------------------------------------------------------------------------------
 */

START_TEST(discard)
{
	struct scene scene;

	scene_begin(&scene, NULL);
	scene_send(&scene, "a@s.example", "x@d.example y@d.example");
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene.answered, 1);
	ck_assert_uint_eq(scene.refused, 0);
	ck_assert_uint_eq(scene_figures(&scene).delivered, 2);
	scene_close(&scene);
	scene_open(&scene);
	ck_assert_uint_eq(scene.recovered, 0);
	scene_end(&scene);
}
END_TEST

START_TEST(maildir)
{
	struct scene scene;
	char *text;

	scene_begin(&scene, NULL);
	scene_send(&scene, "a@s.example", "bob@s.example eve@s.example");
	scene_run(&scene, scene_is_empty);
	text = scene_mailbox(&scene, "eve");
	ck_assert_str_eq(
	    text, "Return-Path: <a@s.example>\r\nDelivered-To: eve@s.example\r\n" SCENE_BODY);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "bob"), 1);
	g_free(text);
	scene_end(&scene);
}
END_TEST

/* A crash came between its folders. */
START_TEST(maildir_half_made)
{
	static const char *const folders[] = { "mail", "mail/bob", "mail/bob/tmp" };
	struct scene scene;
	char path[300];

	scene_begin(&scene, NULL);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", scene.folder, folders[i]);
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
	scene_send(&scene, "a@s.example", "bob@s.example");
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).delivered, 1);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "bob"), 1);
	scene_end(&scene);
}
END_TEST

static const struct {
	const char *address, *folder;
} strange[] = {
	{ "../../etc@s.example", "_._.._etc" },
	{ "..@s.example", "_." },
	{ ".@s.example", "_" },
	{ "a/b@s.example", "a_b" },
	{ "\".\"@s.example", "\".\"" },
};

START_TEST(maildir_stays_inside)
{
	struct scene scene;

	scene_begin(&scene, NULL);
	scene_all_to_maildir(&scene);
	scene_send(&scene, "", strange[_i].address);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).delivered, 1);
	ck_assert_uint_eq(scene_mailbox_count(&scene, strange[_i].folder), 1);
	scene_end(&scene);
}
END_TEST

/* Recipients of one next hop go in one transaction, the others their own way. */
START_TEST(grouped)
{
	struct scene scene;

	scene_begin(
	    &scene, LIST(HELLO, PIPED, "C MAIL FROM:<a@s.example>", "C RCPT TO:<b@r.example>",
			"C RCPT TO:<c@r.example>", "C DATA", OK, OK, OK, GO, "D", OK, BYE));
	scene_send(&scene, "a@s.example", "b@r.example x@s.example c@r.example y@d.example");
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).delivered, 4);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "x"), 1);
	scene_end(&scene);
}
END_TEST

START_TEST(connection_is_reused)
{
	struct scene scene;

	scene_begin(&scene, LIST(HELLO, PIPED, ONE, ONE, ONE, ONE, BYE));
	for (int i = 0; i < 3; i++)
		scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, scene_is_empty);
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).delivered, 4);
	scene_end(&scene);
}
END_TEST

START_TEST(connection_has_its_limit)
{
	struct scene scene;

	scene_begin(&scene, LIST(HELLO, PIPED, ONE, ONE, BYE, HELLO, PIPED, ONE, BYE));
	scene.settings.messages_per_connection = 2;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	for (int i = 0; i < 3; i++)
		scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).delivered, 3);
	scene_end(&scene);
}
END_TEST

/* The next hop hangs up between two messages: that is nobody's failure. */
START_TEST(stale_connection)
{
	struct scene scene;

	scene_begin(
	    &scene, LIST(HELLO, PIPED, ONE, "C MAIL", "S 421 4.4.2 idle", HELLO, PIPED, ONE, BYE));
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, scene_is_empty);
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).delivered, 2);
	ck_assert_uint_eq(scene_figures(&scene).deferred, 0);
	scene_end(&scene);
}
END_TEST

/* ---- later ------------------------------------------------------------------------------------
 */

static bool
has_deferred(struct scene *scene)
{
	return scene_figures(scene).deferred > 0;
}

START_TEST(retried_from_the_spool)
{
	struct scene scene;

	scene_begin(&scene,
	    LIST(HELLO, PIPED, "C MAIL", "C RCPT", "C DATA", OK, "S 451 4.2.1 later", "S 503 none",
		"C RSET", "C MAIL", "C RCPT", "C DATA", OK, OK, OK, GO, "D", OK, BYE));
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, has_deferred);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).delivered, 1);
	scene_close(&scene);
	ck_assert(pn_slice_equals(next_hop_messages(scene.hop), pn_slice_of(SCENE_BODY)));
	scene_end(&scene);
}
END_TEST

/* One recipient is done, one waits; after a restart only the latter is tried. */
START_TEST(restart_in_between)
{
	struct scene scene;

	scene_begin(&scene, LIST(HELLO, PIPED, ONE, BYE));
	scene.settings.retry_first_ms = 200;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	scene_send(&scene, "a@s.example", "a@x.example b@s.example");
	scene_run(&scene, has_deferred);
	scene_close(&scene);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "b"), 1);

	scene_open(&scene);
	ck_assert_uint_eq(scene.recovered, 1);
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, has_deferred);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "b"), 1);
	scene_end(&scene);
}
END_TEST

static bool
all_answered(struct scene *scene)
{
	return scene->answered >= 50 && scene_figures(scene).deferred >= 50 &&
	       scene_figures(scene).delivered >= 1;
}

/* A dead next hop costs the others nothing, and is not tried for each message. */
START_TEST(dead_destination)
{
	struct scene scene;

	scene_begin(&scene, LIST(HELLO, PIPED, ONE, BYE));
	scene.settings.retry_first_ms = 60000;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	for (int i = 0; i < 50; i++)
		scene_send(&scene, "a@s.example", "a@x.example");
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, all_answered);
	ck_assert_uint_eq(scene_figures(&scene).waiting, 50);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
	scene_end(&scene);
}
END_TEST

static bool
has_thirty_deferred(struct scene *scene)
{
	return scene_figures(scene).deferred >= 30;
}

static bool
has_sixty_deferred(struct scene *scene)
{
	return scene_figures(scene).deferred >= 60;
}

static void
latest_due(void *arg, struct item *item)
{
	int64_t *latest = arg;

	*latest = MAX(*latest, item->recipients[0].due_us);
}

/* Twenty connections that fail at once, after a restart, count once: seconds later it is tried. */
START_TEST(failures_at_once_count_once)
{
	struct scene scene;
	int64_t latest = 0;

	scene_begin(&scene, LIST(HELLO, PIPED, ONE, BYE));
	scene.settings.connections_per_destination = 20;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	for (int i = 0; i < 30; i++)
		scene_send(&scene, "a@s.example", "a@x.example");
	scene_run(&scene, has_thirty_deferred);
	scene_close(&scene);
	scene_open(&scene);
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, has_sixty_deferred);
	scene_each(&scene, latest_due, &latest);
	ck_assert_int_gt(latest, 0);
	ck_assert_int_lt(latest, clock_wall_us() + 5000000);
	scene_end(&scene);
}
END_TEST

static bool
has_many_deferred(struct scene *scene)
{
	return scene_figures(scene).deferred >= 700;
}

/* One connection speaks for all: a second one would find nobody who says a word. */
START_TEST(one_try_for_all)
{
	struct scene scene;

	scene_begin(&scene, LIST("A", "S 421 4.3.2 busy", "H"));
	scene.settings.retry_first_ms = 60000;
	scene.settings.connections_per_destination = 20;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, has_deferred);
	for (int i = 0; i < 699; i++)
		scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, has_many_deferred);
	ck_assert_uint_eq(scene_figures(&scene).waiting, 700);
	scene_end(&scene);
}
END_TEST

static bool
has_answer(struct scene *scene)
{
	return scene->answered > 0;
}

START_TEST(no_room)
{
	struct scene scene;

	scene_begin(&scene, NULL);
	scene_close(&scene);
	scene.reserve = UINT64_MAX / 4;
	scene_open(&scene);
	scene_send(&scene, "a@s.example", "x@d.example");
	scene_run(&scene, has_answer);
	ck_assert_uint_eq(scene.refused, 1);
	ck_assert(scene_is_empty(&scene));
	scene_end(&scene);
}
END_TEST

/* ---- effects, drain ---------------------------------------------------------------------------
 */

static struct item *committed_item;

static void
commit_at_once(void *arg, struct queue *queue, struct item *item)
{
	queue_effects_done(queue, item, true);
}

static void
commit_later(void *arg, struct queue *queue, struct item *item)
{
	committed_item = item;
}

static bool
has_result(struct scene *scene)
{
	struct queue_figures figures = scene_figures(scene);

	return figures.deferred + figures.failed > 0 || figures.delivered > 0;
}

static bool
is_committing(struct scene *scene)
{
	return committed_item && scene_figures(scene).delivered == 1;
}

START_TEST(effects_end_the_item)
{
	struct scene scene;

	scene_begin(&scene, NULL);
	scene_close(&scene);
	scene.committed = commit_at_once;
	scene_open(&scene);
	scene_send(&scene, "a@s.example", "b@d.example");
	scene_run(&scene, scene_is_empty);
	scene_close(&scene);

	/* Delivered, but the hooks have not run when we stop: they run after the restart. */
	scene.committed = commit_later;
	scene_open(&scene);
	ck_assert_uint_eq(scene.recovered, 0);
	scene_send(&scene, "a@s.example", "b@d.example");
	scene_run(&scene, is_committing);
	ck_assert(!scene_is_empty(&scene));
	scene_close(&scene);
	committed_item = NULL;
	scene_open(&scene);
	ck_assert_uint_eq(scene.recovered, 1);
	ck_assert_ptr_nonnull(committed_item);
	queue_effects_done(scene.queue, committed_item, true);
	ck_assert(scene_is_empty(&scene));
	scene_end(&scene);
}
END_TEST

START_TEST(drain_keeps_what_waits)
{
	struct scene scene;

	scene_begin(&scene,
	    LIST(HELLO, PIPED, "C MAIL", "C RCPT", "C DATA", OK, OK, GO, "D", OK, BYE, "L 0"));
	for (int i = 0; i < 5; i++)
		scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, has_result);
	scene_close(&scene);
	scene_open(&scene);
	/* At least those that had not begun. */
	ck_assert_uint_ge(scene.recovered, 1);
	ck_assert_uint_le(scene.recovered, 4);
	scene_close(&scene);
	next_hop_end(scene.hop);
	next_hop_free(&scene.hop);
	scene_end(&scene);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue");
	TCase *tc = tcase_create("queue");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, heap_keeps_order);
	tcase_add_loop_test(tc, delay_doubles, 0, (int)(sizeof(delays) / sizeof(*delays)));
	tcase_add_test(tc, discard);
	tcase_add_test(tc, maildir);
	tcase_add_test(tc, maildir_half_made);
	tcase_add_loop_test(tc, maildir_stays_inside, 0, (int)(sizeof(strange) / sizeof(*strange)));
	tcase_add_test(tc, grouped);
	tcase_add_test(tc, connection_is_reused);
	tcase_add_test(tc, connection_has_its_limit);
	tcase_add_test(tc, stale_connection);
	tcase_add_test(tc, retried_from_the_spool);
	tcase_add_test(tc, restart_in_between);
	tcase_add_test(tc, dead_destination);
	tcase_add_test(tc, failures_at_once_count_once);
	tcase_add_test(tc, one_try_for_all);
	tcase_add_test(tc, no_room);
	tcase_add_test(tc, effects_end_the_item);
	tcase_add_test(tc, drain_keeps_what_waits);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
