/* SPDX-License-Identifier: Apache-2.0 */
/* shaping.c - unit tests of rates, of places for connections, and of the order in a line. */
#include "run.h"
#include <check.h>
#include <core/queue/inside.h>
#include <core/queue/lineup.h>
#include <core/smtp/courier_parts.h>
#include <stdlib.h>

/* ---- rates ----------------------------------------------------------------------------------- */

static const struct rate_limit limits[] = { { 1, 1000 }, { 2, 1000 }, { 19, 1000 }, { 20, 1000 },
	{ 100, 1000 }, { 600, 60000000 }, { 7, 86400000000 }, { 1000, 1000000 } };

/* Whoever takes whatever he can get never has more than `most` in any span of `per`. */
START_TEST(never_more_in_any_span)
{
	enum { COUNT = 5000 };
	const struct rate_limit *limit = &limits[_i];
	int64_t *times = calloc(COUNT, sizeof(*times)), now = 12345, wait;
	struct rate rate = { 0 };

	for (int i = 0; i < COUNT; i++) {
		while ((wait = rate_take(&rate, limit, now)) > 0)
			now += wait;
		times[i] = now;
		if (i % 997 == 0)
			now += 3 * limit->per_us; /* a rest: nothing is saved up beyond the burst */
		if (i >= limit->most)
			ck_assert_int_ge(times[i] - times[i - limit->most], limit->per_us);
	}
	free(times);
}
END_TEST

/* And he gets nearly all of it. */
START_TEST(nearly_all_of_it)
{
	const struct rate_limit *limit = &limits[_i];
	struct rate rate = { 0 };
	int64_t now = 0, wait, taken = 0;

	while (now < 10 * limit->per_us) {
		wait = rate_take(&rate, limit, now);
		taken += wait == 0;
		now += wait;
	}
	ck_assert_int_ge(taken, 9 * limit->most);
}
END_TEST

START_TEST(no_limit)
{
	static const struct rate_limit none = { 0, 60000000 };
	struct rate rate = { 0 };

	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(rate_take(&rate, &none, 5), 0);
	ck_assert_int_eq(rate_interval_us(&none), 0);
}
END_TEST

/* ---- places ---------------------------------------------------------------------------------- */

struct scene {
	struct loop *loop;
	struct shaping *shaping;
	struct shaping_member member;
	struct shape *shapes[3];
	struct shaping_waiter waiters[4];
	unsigned looks;
};

static void
look(struct shaping_member *member)
{
	((struct scene *)(void *)((char *)member - offsetof(struct scene, member)))->looks++;
	loop_stop(member->loop);
}

static void
begin(struct scene *scene, uint32_t all, uint32_t each)
{
	struct shape_limits shape_limits = { .connections = each };
	struct pn_error err;

	*scene = (struct scene){ .member = { .look = look } };
	ck_assert_int_eq(loop_new(&scene->loop, &err), 0);
	scene->member.loop = scene->loop;
	scene->shaping = shaping_new();
	shaping_configure(scene->shaping, all);
	shaping_join(scene->shaping, &scene->member);
	for (int i = 0; i < 3; i++) {
		char key[] = { (char)('a' + i), '\0' };

		scene->shapes[i] = shape_get(scene->shaping, key);
		shape_configure(scene->shapes[i], &shape_limits);
	}
	for (int i = 0; i < 4; i++)
		scene->waiters[i].member = &scene->member;
}

static bool
take(struct scene *scene, int shape, int waiter)
{
	int64_t wait_us;
	bool taken;

	scene->waiters[waiter].shape = scene->shapes[shape];
	taken = shape_take(scene->shapes[shape], &scene->waiters[waiter], 0, &wait_us);
	ck_assert_int_eq(wait_us, 0);
	return taken;
}

static void
end(struct scene *scene)
{
	for (int i = 0; i < 4; i++)
		if (scene->waiters[i].shape)
			shape_unwait(&scene->waiters[i]);
	if (!shaping_leave(&scene->member)) {
		loop_run(scene->loop);
		ck_assert(shaping_leave(&scene->member));
	}
	for (int i = 0; i < 3; i++)
		shape_release(&scene->shapes[i]);
	shaping_release(&scene->shaping);
	loop_free(&scene->loop);
}

/* What is given back is the first waiter's, and nobody can step in between. */
START_TEST(first_come_first_served)
{
	struct scene scene;

	begin(&scene, 2, 10);
	ck_assert(take(&scene, 0, 0));
	ck_assert(take(&scene, 0, 0));
	ck_assert(!take(&scene, 1, 1));
	ck_assert(!take(&scene, 2, 2));
	ck_assert_uint_eq(shaping_waiting(scene.shaping), 2);
	shape_give(scene.shapes[0]);
	ck_assert(!take(&scene, 0, 0));
	loop_run(scene.loop);
	ck_assert_ptr_eq(shaping_granted(&scene.member), &scene.waiters[1]);
	ck_assert(take(&scene, 1, 1));
	ck_assert_ptr_null(shaping_granted(&scene.member));
	/* The second declines: it goes to the third in the line. */
	shape_give(scene.shapes[1]);
	ck_assert_ptr_eq(shaping_granted(&scene.member), &scene.waiters[2]);
	shape_decline(&scene.waiters[2]);
	ck_assert_ptr_eq(shaping_granted(&scene.member), &scene.waiters[0]);
	ck_assert_uint_eq(shaping_waiting(scene.shaping), 0);
	end(&scene);
}
END_TEST

/* Who waits for his own next hop is passed by those who do not. */
START_TEST(own_bound_holds_up_nobody)
{
	struct scene scene;

	begin(&scene, 10, 1);
	ck_assert(take(&scene, 0, 0));
	ck_assert(!take(&scene, 0, 1));
	ck_assert(shape_is_wanted(scene.shapes[0]));
	ck_assert_uint_eq(shaping_waiting(scene.shaping), 0);
	ck_assert(take(&scene, 1, 2));
	ck_assert(!shape_is_wanted(scene.shapes[1]));
	shape_give(scene.shapes[1]);
	ck_assert_ptr_null(shaping_granted(&scene.member));
	shape_unwait(&scene.waiters[1]);
	ck_assert(!shape_is_wanted(scene.shapes[0]));
	shape_give(scene.shapes[0]);
	ck_assert_ptr_null(shaping_granted(&scene.member));
	end(&scene);
}
END_TEST

/* A reload that allows more serves those who wait. */
START_TEST(more_are_allowed)
{
	struct scene scene;

	begin(&scene, 1, 5);
	ck_assert(take(&scene, 0, 0));
	ck_assert(!take(&scene, 0, 1));
	ck_assert(!take(&scene, 2, 2));
	shaping_configure(scene.shaping, 3);
	ck_assert(take(&scene, 0, 1));
	ck_assert(take(&scene, 2, 2));
	end(&scene);
}
END_TEST

START_TEST(sessions_have_a_rate)
{
	struct shape_limits rated = { .connections = 5, .sessions = { 1, 1000 } };
	struct scene scene;
	int64_t wait_us;

	begin(&scene, 2, 5);
	shape_configure(scene.shapes[0], &rated);
	ck_assert(take(&scene, 0, 0));
	ck_assert(!shape_take(scene.shapes[0], &scene.waiters[0], 400, &wait_us));
	ck_assert_int_eq(wait_us, 600);
	/* It does not keep the place meanwhile. */
	ck_assert(take(&scene, 1, 1));
	shape_give(scene.shapes[1]);
	/* As long as it counts the shape is not to be forgotten. */
	ck_assert(!shape_is_rested(scene.shapes[0], 999));
	ck_assert(shape_is_rested(scene.shapes[0], 1000) && shape_is_rested(scene.shapes[1], 0));
	ck_assert(shape_take(scene.shapes[0], &scene.waiters[0], 1000, &wait_us));
	end(&scene);
}
END_TEST

/* ---- a line ---------------------------------------------------------------------------------- */

START_TEST(line_goes_by_priority)
{
	static const int priorities[] = { 0, -9, 9, 0, 100, -100, 3 };
	static const int order[] = { 2, 4, 6, 0, 3, 1, 5 };
	enum { COUNT = sizeof(order) / sizeof(*order) };
	struct delivery *deliveries = calloc(COUNT, sizeof(*deliveries)), *first;
	struct lineup lineup = { 0 };

	ck_assert_ptr_null(lineup_first(&lineup));
	for (int i = 0; i < COUNT; i++) {
		deliveries[i].priority = priorities[i];
		lineup_add_last(&lineup, &deliveries[i]);
	}
	first = lineup_take(&lineup);
	lineup_add_first(&lineup, first);
	ck_assert_uint_eq(lineup.count, COUNT);
	for (int i = 0; i < COUNT; i++) {
		ck_assert_ptr_eq(lineup_first(&lineup), &deliveries[order[i]]);
		ck_assert_ptr_eq(lineup_take(&lineup), &deliveries[order[i]]);
	}
	ck_assert_uint_eq(lineup.count, 0);
	lineup_add_first(&lineup, &deliveries[0]);
	lineup_add_last(&lineup, &deliveries[3]);
	ck_assert_ptr_eq(lineup_take(&lineup), &deliveries[0]);
	ck_assert_ptr_eq(lineup_take(&lineup), &deliveries[3]);
	ck_assert_ptr_null(lineup_first(&lineup));
	free(deliveries);
}
END_TEST

/* ---- addresses ------------------------------------------------------------------------------- */

/* '4' and '6' in the resolver's order, and what is tried of them. */
static const struct {
	enum address_prefer prefer;
	const char *given, *tried;
} families[] = {
	{ ADDRESS_ANY, "4664", "4664" },
	{ ADDRESS_IP6_FIRST, "4664", "6644" },
	{ ADDRESS_IP4_FIRST, "6446", "4466" },
	{ ADDRESS_IP6_ONLY, "464", "6" },
	{ ADDRESS_IP4_ONLY, "464", "44" },
	{ ADDRESS_IP6_ONLY, "44", "" },
	{ ADDRESS_IP4_FIRST, "66", "66" },
};

START_TEST(preferred_family)
{
	struct courier_target target = { .prefer = families[_i].prefer };
	struct resolve_request request = { .count = strlen(families[_i].given) };
	const char *given = families[_i].given, *tried = families[_i].tried;
	uint16_t last[2] = { 0, 0 };

	for (uint16_t i = 0; i < request.count; i++)
		if (given[i] == '6')
			address_set_ip6(
			    &request.addresses[i], &in6addr_loopback, (uint16_t)(i + 1));
		else
			address_set_ip4(
			    &request.addresses[i], &(struct in_addr){ 0 }, (uint16_t)(i + 1));
	ck_assert_int_eq(!courier_choose_addresses(&target, &request), *tried != '\0');
	ck_assert_uint_eq(request.count, strlen(tried));
	for (size_t i = 0; i < request.count; i++) {
		bool ip6 = request.addresses[i].sa.ss_family == AF_INET6;

		ck_assert_int_eq(ip6, tried[i] == '6');
		ck_assert_uint_gt(address_port(&request.addresses[i]), last[ip6]);
		last[ip6] = address_port(&request.addresses[i]);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("shaping");
	TCase *tc = tcase_create("shaping");

	tcase_add_loop_test(tc, never_more_in_any_span, 0, (int)(sizeof(limits) / sizeof(*limits)));
	tcase_add_loop_test(tc, nearly_all_of_it, 0, (int)(sizeof(limits) / sizeof(*limits)));
	tcase_add_test(tc, no_limit);
	tcase_add_test(tc, first_come_first_served);
	tcase_add_test(tc, own_bound_holds_up_nobody);
	tcase_add_test(tc, more_are_allowed);
	tcase_add_test(tc, sessions_have_a_rate);
	tcase_add_test(tc, line_goes_by_priority);
	tcase_add_loop_test(tc, preferred_family, 0, (int)(sizeof(families) / sizeof(*families)));
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
