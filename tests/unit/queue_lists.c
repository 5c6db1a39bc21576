/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_lists.c - unit tests of what a connection's end says of a destination's other hosts and
 * connections, on a queue with real ones.
 */
#include "tests/unit/queue_scene.h"
#include "tests/unit/run.h"
#include <core/queue/destination.h>

/* Takes a connection and says nothing. */
static const char *const silent[] = { "A", "H", NULL };

static bool
has_connected(struct scene *scene)
{
	struct destination *destination = scene_destination(scene);

	return destination && destination->connections->len > 0;
}

static bool
has_deferred(struct scene *scene)
{
	return scene_figures(scene).deferred > 0;
}

/* Mail in line, and a connection that has not been greeted. */
static struct destination *
begin(struct scene *scene)
{
	scene_begin(scene, silent);
	scene->settings.retry_first_ms = scene->settings.retry_most_ms = 3600000;
	queue_configure(scene->queue, &scene->settings, scene->routes);
	scene_send(scene, "", "a@r.example");
	scene_run(scene, has_connected);
	return scene_destination(scene);
}

/* What one connection is refused says nothing for good while another may do better. */
START_TEST(refused_beside_another)
{
	struct scene scene;
	struct destination *destination = begin(&scene);
	struct hop *hop = &destination->hops->hops[0];

	hop->tried = hop->unprotected = true;
	hop->blocked_until_ms = loop_now(scene.loop) + 3600000;
	destination_refuse(destination, "550 5.7.10 no TLS here");
	ck_assert_uint_eq(scene_figures(&scene).failed, 0);
	ck_assert_uint_eq(destination->lineup.count, 1);
	ck_assert_int_gt(hop->blocked_until_ms, loop_now(scene.loop));
	scene_end(&scene);
}
END_TEST

/* The DNS has named other hosts meanwhile: the failure of one that is none any more is not theirs.
 */
START_TEST(failure_of_a_former_host)
{
	struct scene scene;
	struct destination *destination = begin(&scene);
	struct connection *connection = g_ptr_array_index(destination->connections, 0);
	struct hops *old = destination->hops;
	const struct route *other = routes_at(scene.routes, 3); /* where nobody listens */

	destination->hops = hops_of_route(scene.queue, scene.routes, other, ROUTE_AS_SET);
	hops_release(&old);
	courier_abandon(connection->courier, "not worth waiting for");
	scene_run(&scene, has_deferred);
	ck_assert_ptr_nonnull(strstr(destination->reason, "127.0.0.1:1"));
	ck_assert_uint_eq(destination->failures, 1);
	scene_end(&scene);
}
END_TEST

/* It is found in a newer list that still has it, and left alone there. */
START_TEST(failure_in_a_newer_list)
{
	struct scene scene;
	struct destination *destination = begin(&scene);
	struct connection *connection = g_ptr_array_index(destination->connections, 0);
	struct hops *old = destination->hops;
	const struct route *same = routes_at(scene.routes, 2);

	destination->hops = hops_of_route(scene.queue, scene.routes, same, ROUTE_AS_SET);
	hops_release(&old);
	courier_abandon(connection->courier, "not worth waiting for");
	scene_run(&scene, has_deferred);
	ck_assert_ptr_nonnull(strstr(destination->reason, "not worth waiting for"));
	ck_assert_uint_eq(destination->hops->hops[0].failures, 1);
	ck_assert_ptr_nonnull(strstr(destination->hops->hops[0].reason, "not worth"));
	scene_end(&scene);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_lists");
	TCase *tc = tcase_create("queue_lists");

	tcase_add_test(tc, refused_beside_another);
	tcase_add_test(tc, failure_of_a_former_host);
	tcase_add_test(tc, failure_in_a_newer_list);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
