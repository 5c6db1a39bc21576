/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_clock.c - unit tests of the queue while the machine's clock is set: forward, back, and
 * between two runs. The C library's clock_gettime() is replaced by one that the tests can set.
 */
#include "run.h"
#include "tests/unit/queue_scene.h"
#include <check.h>
#include <core/base/clock.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DAY    INT64_C(86400)
#define SECOND INT64_C(1000000)

static _Atomic int64_t set_by; /* seconds */

int
clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, id, ret);

	if (id == CLOCK_REALTIME)
		ret->tv_sec += atomic_load(&set_by);
	return r;
}

static unsigned wanted; /* deferrals */

static bool
is_deferred(struct scene *scene)
{
	return scene_figures(scene).deferred >= wanted;
}

static void
only_item(void *arg, struct item *item)
{
	*(const struct item **)arg = item;
}

static const struct item *
item_of(struct scene *scene)
{
	const struct item *item = NULL;

	scene_each(scene, only_item, &item);
	ck_assert_ptr_nonnull(item);
	return item;
}

static void
begin(struct scene *scene)
{
	atomic_store(&set_by, 0);
	scene_begin(scene, NULL);
	scene->settings.give_up_ms = 5 * DAY * 1000;
	queue_configure(scene->queue, &scene->settings, scene->routes);
	scene_send(scene, "a@s.example", "a@x.example");
	wanted = 1;
	scene_run(scene, is_deferred);
}

/* A next hop that is down, and the clock set by that much: tried on, not expired, as old as before.
 */
static const int64_t jumps[] = { 3600, -3600, 30 * DAY, -30 * DAY, 20000 * DAY, -10000 * DAY };

START_TEST(schedule_goes_on)
{
	struct scene scene;
	const struct item *item;
	int64_t age;

	begin(&scene);
	age = clock_wall_us() - item_of(&scene)->accepted_us;
	atomic_store(&set_by, jumps[_i]);
	wanted = 3;
	scene_run(&scene, is_deferred);
	item = item_of(&scene);
	ck_assert_uint_eq(scene_figures(&scene).failed, 0);
	ck_assert_int_eq(item->recipients[0].state, ITEM_WAITING);
	ck_assert_int_ge(clock_wall_us() - item->accepted_us, age);
	ck_assert_int_lt(clock_wall_us() - item->accepted_us, age + 20 * SECOND);
	ck_assert_int_lt(item->recipients[0].due_us, clock_wall_us() + 60 * SECOND);
	/* And back again. */
	atomic_store(&set_by, 0);
	wanted = 4;
	scene_run(&scene, is_deferred);
	ck_assert_uint_eq(scene_figures(&scene).failed, 0);
	scene_end(&scene);
}
END_TEST

/* New mail beside old: each by its own age. */
START_TEST(new_mail_after_a_jump)
{
	struct scene scene;

	begin(&scene);
	atomic_store(&set_by, 30 * DAY);
	scene_send(&scene, "a@s.example", "b@s.example c@x.example");
	wanted = 6;
	scene_run(&scene, is_deferred);
	ck_assert_uint_eq(scene_figures(&scene).failed, 0);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "b"), 1);
	scene_end(&scene);
}
END_TEST

/* Set back by a year while nothing ran: what was due then is not kept for a year. */
START_TEST(set_back_between_two_runs)
{
	struct scene scene;

	begin(&scene);
	scene_close(&scene);
	atomic_store(&set_by, -365 * DAY);
	scene_open(&scene);
	ck_assert_uint_eq(scene.recovered, 1);
	wanted = 2;
	scene_run(&scene, is_deferred);
	ck_assert_int_le(item_of(&scene)->accepted_us, clock_wall_us());
	ck_assert_uint_eq(scene_figures(&scene).failed, 0);
	scene_end(&scene);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_clock");
	TCase *tc = tcase_create("queue_clock");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, schedule_goes_on, 0, (int)(sizeof(jumps) / sizeof(*jumps)));
	tcase_add_test(tc, new_mail_after_a_jump);
	tcase_add_test(tc, set_back_between_two_runs);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
