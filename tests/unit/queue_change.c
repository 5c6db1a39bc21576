/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting mail that an administrator holds, releases, tries again and deletes; the walk over it. */
#include "tests/unit/queue_scene.h"
#include "tests/unit/run.h"
#include <core/base/clock.h>
#include <core/queue/destination.h>

static const char *const no_talk[] = { NULL };
static const char *const silent[] = { "A", "H", NULL }; /* takes a connection and says nothing */

struct asked {
	struct queue *queue;
	enum queue_change (*change)(struct queue *queue, struct item *item, uint32_t index);
	enum queue_change answer;
	const char *state;
	unsigned visited;
};

static const struct item_hold legal = { .reason = "legal asks", .owner = "root" };

static enum queue_change
hold(struct queue *queue, struct item *item, uint32_t index)
{
	return queue_hold(queue, item, index, &legal);
}

static enum queue_change
delete_one(struct queue *queue, struct item *item, uint32_t index)
{
	return queue_delete(queue, item, index, false, "root");
}

static void
ask_one(void *arg, struct item *item)
{
	struct asked *asked = arg;

	asked->visited++;
	if (asked->change)
		asked->answer = asked->change(asked->queue, item, 0);
	asked->state = queue_state_name(&item->recipients[0]);
	queue_changed(asked->queue, item);
}

static struct asked
ask(struct scene *scene,
    enum queue_change (*change)(struct queue *queue, struct item *item, uint32_t index))
{
	struct asked asked = { .queue = scene->queue, .change = change };

	scene_each(scene, ask_one, &asked);
	return asked;
}

static void
begin(struct scene *scene)
{
	scene_begin(scene, no_talk);
	scene->settings.retry_first_ms = scene->settings.retry_most_ms = 3600000;
	queue_configure(scene->queue, &scene->settings, scene->routes);
}

static void
make_old(void *arg, struct item *item)
{
	item->accepted_us -= INT64_C(7200000000);
}

static bool
is_sending(struct scene *scene)
{
	return scene_figures(scene).sending == 1;
}

static bool
was_deferred(struct scene *scene)
{
	return scene_figures(scene).deferred > 0 && scene_figures(scene).sending == 0;
}

START_TEST(held_and_released)
{
	struct scene scene;

	begin(&scene);
	scene_send(&scene, "a@s.example", "a@x.example");
	scene_run(&scene, was_deferred);
	ck_assert_int_eq(ask(&scene, queue_release).answer, QUEUE_UNCHANGED);
	ck_assert_int_eq(ask(&scene, hold).answer, QUEUE_CHANGED);
	ck_assert_int_eq(ask(&scene, queue_retry).answer, QUEUE_UNCHANGED);
	ck_assert_str_eq(ask(&scene, NULL).state, "held");
	ck_assert_uint_eq(scene_figures(&scene).held, 1);
	scene_close(&scene);
	scene_open(&scene);
	ck_assert_str_eq(ask(&scene, NULL).state, "held");
	ck_assert_uint_eq(scene_figures(&scene).held, 1);
	ck_assert_int_eq(ask(&scene, queue_release).answer, QUEUE_CHANGED);
	ck_assert_uint_eq(scene_figures(&scene).held, 0);
	scene_run(&scene, was_deferred); /* so it was tried */
	scene_end(&scene);
}
END_TEST

static bool
had_an_answer(struct scene *scene)
{
	return scene_figures(scene).deferred > 1 || scene_figures(scene).failed > 0 ||
	       scene_is_empty(scene);
}

/* Older than mail may be when it is released, while its next hop is left alone: it is tried once.
 */
START_TEST(released_while_left_alone)
{
	struct scene scene;
	struct asked asked;

	begin(&scene);
	scene_send(&scene, "", "a@x.example");
	scene_run(&scene, was_deferred);
	ck_assert_int_eq(ask(&scene, hold).answer, QUEUE_CHANGED);
	scene.settings.give_up_ms = 3600000;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	scene_each(&scene, make_old, NULL);
	scene_destination(&scene)->blocked_until_ms = loop_now(scene.loop) + 3600000;
	ck_assert_int_eq(ask(&scene, queue_release).answer, QUEUE_CHANGED);
	scene_run(&scene, had_an_answer);
	ck_assert_uint_eq(scene_figures(&scene).failed, 0);
	asked = ask(&scene, queue_retry); /* unblocks as well */
	ck_assert_int_eq(asked.answer, QUEUE_CHANGED);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).failed, 1);
	ck_assert_uint_eq(scene_figures(&scene).deferred, 2);
	scene_end(&scene);
}
END_TEST

/* A letter that has begun ends as it does; until it went through, he is held. */
START_TEST(held_while_under_way)
{
	struct scene scene;
	struct asked asked;

	scene_begin(&scene, silent);
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, is_sending);
	ck_assert_int_eq(ask(&scene, delete_one).answer, QUEUE_BUSY);
	asked = ask(&scene, hold);
	ck_assert_int_eq(asked.answer, QUEUE_CHANGED);
	ck_assert_str_eq(asked.state, "sending");
	scene_close(&scene);
	scene_open(&scene);
	ck_assert_str_eq(ask(&scene, NULL).state, "held");
	scene_end(&scene);
}
END_TEST

/* A result that somebody has already goes with him when others are taken out before him. */
START_TEST(results_move_with_their_recipients)
{
	struct item *item = scene_item("a@s.example", "a@r.example b@r.example c@r.example");
	struct queued owner = { .item = item };
	struct delivery *delivery = g_malloc0(
	    sizeof(*delivery) + 3 * (sizeof(struct courier_result) + sizeof(uint32_t)));

	delivery->owner = &owner;
	delivery->indices = (uint32_t *)(void *)&delivery->results[3];
	delivery->count = delivery->letter.count = 3;
	for (uint32_t i = 0; i < 3; i++) {
		delivery->indices[i] = i;
		item->recipients[i].state = ITEM_SENDING;
	}
	delivery->results[1] = (struct courier_result){ .outcome = COURIER_FAILED,
		.reply = "550 b" };
	item->recipients[0].hold = &legal;
	ck_assert(change_prune(delivery));
	ck_assert_uint_eq(delivery->count, 2);
	ck_assert_uint_eq(delivery->letter.count, 2);
	ck_assert_uint_eq(delivery->indices[0], 1);
	ck_assert_uint_eq(delivery->indices[1], 2);
	ck_assert_int_eq(delivery->results[0].outcome, COURIER_FAILED);
	ck_assert_str_eq(delivery->results[0].reply, "550 b");
	ck_assert_int_eq(delivery->results[1].outcome, COURIER_OPEN);
	ck_assert_int_eq(item->recipients[0].state, ITEM_WAITING);
	ck_assert_int_eq(item->recipients[1].state, ITEM_SENDING);
	g_free(delivery);
	item_free(&item);
}
END_TEST

static bool
hundred_deferred(struct scene *scene)
{
	return scene_figures(scene).deferred >= 100;
}

static void
note_item(void *arg, struct item *item)
{
	++*(unsigned *)arg;
}

/* Items leave by the walker's own hand, and by another's while it waits for its next step. */
START_TEST(walk_over_what_leaves)
{
	struct scene scene;
	struct queue_walk walk;
	unsigned seen = 0;
	struct asked asked;

	begin(&scene);
	for (int i = 0; i < 100; i++)
		scene_send(&scene, "a@s.example", "a@x.example");
	scene_run(&scene, hundred_deferred);
	queue_walk_start(scene.queue, &walk);
	ck_assert(queue_walk_step(&walk, 0, note_item, &seen));
	ck_assert_uint_lt(seen, 100);
	asked = ask(&scene, delete_one);
	ck_assert_uint_eq(asked.visited, 100);
	ck_assert_int_eq(asked.answer, QUEUE_CHANGED);
	ck_assert(scene_is_empty(&scene));
	ck_assert(!queue_walk_step(&walk, 0, note_item, &seen));
	ck_assert_uint_lt(seen, 100);
	ck_assert_uint_eq(scene_figures(&scene).deleted, 100);
	scene_close(&scene);
	scene_open(&scene);
	ck_assert(scene_is_empty(&scene));
	scene_end(&scene);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_change");
	TCase *tc = tcase_create("queue_change");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, held_and_released);
	tcase_add_test(tc, released_while_left_alone);
	tcase_add_test(tc, held_while_under_way);
	tcase_add_test(tc, results_move_with_their_recipients);
	tcase_add_test(tc, walk_over_what_leaves);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
