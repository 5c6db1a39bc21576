/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_hops.c - unit tests of lists of hosts: a round through one ends, however long it takes, and
 * hosts of different routes do not share connections because they are of one name.
 */
#include "run.h"
#include <check.h>
#include <core/queue/hops.h>

/* ---- rounds ---------------------------------------------------------------------------------- */

static struct loop *loop;
static struct queue queue;
static struct hop of_list[3];
static struct hops list = { .queue = &queue, .hops = of_list, .count = 3 };

static void
setup(void)
{
	struct pn_error err;

	ck_assert_int_eq(loop_new(&loop, &err), 0);
	queue.parts.loop = loop;
	memset(of_list, 0, sizeof(of_list));
	for (unsigned i = 0; i < list.count; i++) {
		of_list[i].rank = i;
		of_list[i].limits.first = of_list[i].limits.most = 1;
	}
}

static void
teardown(void)
{
	loop_free(&loop);
}

static void
stop(struct loop_timer *timer)
{
	loop_stop(loop);
}

/* Until the host may be tried again. */
static void
pass_time_of(const struct hop *hop)
{
	struct loop_timer timer = { .fire = stop };

	while (hop->blocked_until_ms > loop_now(loop)) {
		loop_timer_set(loop, &timer, 2);
		loop_run(loop);
	}
}

START_TEST(round_ends)
{
	for (unsigned i = 0; i < list.count; i++) {
		ck_assert(hops_have_untried(&list));
		hop_block(&list, &of_list[i], false, "451 4.4.1 down");
		pass_time_of(&of_list[i]);
		/* The first could be tried again: the round goes on with those it has not had. */
		ck_assert_ptr_eq(hops_choose(&list), &of_list[0]);
	}
	ck_assert(!hops_have_untried(&list));
	hops_begin_round(&list);
	ck_assert(hops_have_untried(&list));
}
END_TEST

/* It is asked again when the first of them may be tried. */
START_TEST(all_left_alone)
{
	int64_t now = loop_now(loop);

	for (unsigned i = 0; i < list.count; i++)
		of_list[i].blocked_until_ms = now + 5000 + 1000 * (int)((i + 1) % list.count);
	ck_assert_ptr_null(hops_choose(&list));
	ck_assert(!hops_have_untried(&list));
	ck_assert_int_eq(hops_wait_ms(&list), 5000);
	of_list[list.count - 1].blocked_until_ms = now;
	ck_assert_ptr_eq(hops_choose(&list), &of_list[list.count - 1]);
	hops_unblock(&list);
	ck_assert_ptr_eq(hops_choose(&list), &of_list[0]);
}
END_TEST

/* Who is not known to the DNS for now may have the TLS that the others lack: nobody fails for it.
 */
START_TEST(partial_list)
{
	for (unsigned i = 0; i < list.count; i++) {
		ck_assert(!hops_are_unprotected(&list));
		hop_block(&list, &of_list[i], true, "550 5.7.10 no TLS here");
	}
	ck_assert(hops_are_unprotected(&list));
	list.partial = true;
	ck_assert(!hops_are_unprotected(&list));
	list.partial = false;
}
END_TEST

START_TEST(round_goes_on_in_a_new_list)
{
	static struct meeting meetings[3];
	static struct hop fresh[3];
	struct hops other = { .queue = &queue, .hops = fresh, .count = 3 };

	memset(fresh, 0, sizeof(fresh));
	for (unsigned i = 0; i < 3; i++)
		of_list[i].meeting = fresh[2 - i].meeting = &meetings[i];
	hop_block(&list, &of_list[0], false, "451 4.4.1 down");
	hops_inherit(&other, &list);
	ck_assert(fresh[2].tried);
	ck_assert(!fresh[0].tried && !fresh[1].tried);
	ck_assert_int_eq(fresh[2].blocked_until_ms, of_list[0].blocked_until_ms);
}
END_TEST

/* ---- keys ------------------------------------------------------------------------------------ */

static const char *const host_name[] = { "mx.example" };
static const char *const networks[] = { "10.0.0.0/8" };

static struct config_route
route_to(int to)
{
	struct config_route ret = { .to = to, .port = 25 };

	if (to == CONFIG_ROUTE_SMARTHOST)
		ret.host = (struct pn_strings){ 1, host_name };
	return ret;
}

/* Two MX routes, the second with other networks refused, and a smarthost of the exchanger's name.
 */
START_TEST(hosts_of_one_name_stay_apart)
{
	struct config_route from[] = { route_to(CONFIG_ROUTE_MX), route_to(CONFIG_ROUTE_MX),
		route_to(CONFIG_ROUTE_SMARTHOST) };
	struct config_core core = { .routes = { 3, from } };
	struct capability *capability = capability_new();
	struct arena arena = { 0 };
	struct route_host host[3];
	struct routes *routes;
	struct pn_error err;

	from[1].refused_networks = (struct pn_strings){ 1, networks };
	ck_assert_msg(routes_new(&core, NULL, capability, &routes, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(routes_mx_host(routes, routes_at(routes, i), *host_name, &arena,
				     &host[i], &err),
		    0);
	host[2] = routes_at(routes, 2)->hosts[0];
	for (size_t i = 0; i < 3; i++) {
		const struct route_host *other = &host[(i + 1) % 3];

		ck_assert_str_eq(host[i].name, other->name);
		for (unsigned need = 0; need < ROUTE_NEEDS; need++)
			ck_assert_str_ne(host[i].ways[need].key, other->ways[need].key);
	}
	/* And it is the same one each time it is asked for, or nothing would ever be shared. */
	ck_assert_int_eq(
	    routes_mx_host(routes, routes_at(routes, 0), *host_name, &arena, &host[1], &err), 0);
	ck_assert_str_eq(host[0].ways[ROUTE_AS_SET].key, host[1].ways[ROUTE_AS_SET].key);
	arena_free(&arena);
	routes_release(&routes);
	capability_release(&capability);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_hops");
	TCase *tc = tcase_create("queue_hops");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, round_ends);
	tcase_add_test(tc, all_left_alone);
	tcase_add_test(tc, partial_list);
	tcase_add_test(tc, round_goes_on_in_a_new_list);
	tcase_add_test(tc, hosts_of_one_name_stay_apart);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
