/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_index.c - unit tests of the index of routes: it finds what looking at each in turn would,
 * and many routes cost a recipient no more than few.
 */
#include "run.h"
#include <core/queue/route.h>
#include <core/queue/route_index.h>
#include <glib.h>
#include <time.h>

#define ROUTES 400u

/* ---- the same as one by one ------------------------------------------------------------------ */

static const char *const addresses[] = { "ada@a.example", "Bo@a.example", "bo@b.a.example",
	"cy@c.b.a.example", "di@xn--bcher-kva.example", "ed@b\303\274cher.example", "fi@example",
	"", "\"ada\"@A.Example", "no domain", "gil@other.test" };
static const char *const domains[] = { "a.example", "*.a.example", "*.b.a.example", "b.a.example",
	"b\303\274cher.example", "*.example", "example", ".", "", "*.test", "*" };

static const char *
any(GRand *chance, const char *const *of, size_t count)
{
	return of[g_rand_int_range(chance, 0, (gint)count)];
}

static void
fill(GRand *chance, struct pn_strings *ret, struct arena *arena, const char *const *of, size_t most)
{
	const char **items = arena_alloc(arena, 3 * sizeof(*items));
	size_t count = (size_t)g_rand_int_range(chance, 0, 12); /* mostly none */

	for (size_t i = 0; i < 3 && i < count && count < 4; i++)
		items[i] = any(chance, of, most);
	*ret = (struct pn_strings){ count < 4 ? MIN(count, 3) : 0, items };
}

static struct config_when *
random_whens(GRand *chance, struct arena *arena)
{
	struct config_when *whens = arena_alloc(arena, ROUTES * sizeof(*whens));

	memset(whens, 0, ROUTES * sizeof(*whens));
	for (size_t i = 0; i < ROUTES; i++) {
		fill(chance, &whens[i].recipient, arena, addresses, G_N_ELEMENTS(addresses));
		fill(chance, &whens[i].recipient_domain, arena, domains, G_N_ELEMENTS(domains));
		fill(chance, &whens[i].sender, arena, addresses, G_N_ELEMENTS(addresses));
		fill(chance, &whens[i].sender_domain, arena, domains, G_N_ELEMENTS(domains));
		fill(chance, &whens[i].user, arena, addresses, G_N_ELEMENTS(addresses));
		if (g_rand_int_range(chance, 0, 4) > 0) /* the first without any would end it */
			whens[i].larger_than = 1 + (int64_t)i;
		config_when_settle(&whens[i], arena);
	}
	return whens;
}

static size_t
one_by_one(const struct config_when *whens, const struct config_subject *subject)
{
	size_t i = 0;

	while (i < ROUTES && !config_when_matches(&whens[i], subject))
		i++;
	return i;
}

START_TEST(same_as_one_by_one)
{
	GRand *chance = g_rand_new_with_seed((guint32)_i);
	struct arena arena = { 0 };
	struct config_when *whens = random_whens(chance, &arena);
	struct route_index *index = route_index_new(whens, ROUTES);
	unsigned found = 0;

	for (unsigned i = 0; i < 3000; i++) {
		struct mail_facts facts = { .user = any(
						chance, addresses, G_N_ELEMENTS(addresses)) };
		struct config_subject subject = { .facts = i % 3 ? &facts : NULL,
			.sender = i % 5 ? any(chance, addresses, G_N_ELEMENTS(addresses)) : NULL,
			.recipient = any(chance, addresses, G_N_ELEMENTS(addresses)),
			.size = (size_t)g_rand_int_range(chance, 0, ROUTES) };
		size_t want = one_by_one(whens, &subject);

		ck_assert_uint_eq(route_index_match(index, &subject), want);
		found += want > 0 && want < ROUTES;
	}
	ck_assert_uint_gt(found, 100);
	route_index_free(&index);
	arena_free(&arena);
	g_rand_free(chance);
}
END_TEST

/* A user is whatever a backend calls him. */
START_TEST(user_of_any_length)
{
	char *name = g_strnfill(2000, 'u');
	const char *const items[] = { name };
	struct config_when when = { .user = { 1, items } };
	struct mail_facts facts = { .user = name };
	struct config_subject subject = { .facts = &facts };
	struct arena arena = { 0 };
	struct route_index *index;

	config_when_settle(&when, &arena);
	index = route_index_new(&when, 1);
	ck_assert_uint_eq(route_index_match(index, &subject), 0);
	facts.user = "u";
	ck_assert_uint_eq(route_index_match(index, &subject), 1);
	route_index_free(&index);
	arena_free(&arena);
	g_free(name);
}
END_TEST

/* ---- what it costs --------------------------------------------------------------------------- */

static struct routes *
routes_to(unsigned count, struct capability *capability, struct arena *arena)
{
	struct config_route *from = arena_alloc(arena, count * sizeof(*from));
	struct config_core core = { .routes = { count, from } };
	struct routes *routes;
	struct pn_error err;

	memset(from, 0, count * sizeof(*from));
	for (unsigned i = 0; i < count; i++) {
		const char **item = arena_alloc(arena, sizeof(*item));

		*item = arena_printf(arena, "*.d%u.example", i);
		from[i].to = CONFIG_ROUTE_DISCARD;
		from[i].when.recipient_domain = (struct pn_strings){ 1, item };
		config_when_settle(&from[i].when, arena);
	}
	ck_assert_msg(routes_new(&core, NULL, capability, &routes, &err) == 0, "%s", err.text);
	return routes;
}

/* Nanoseconds of this thread for a thousand recipients; the least of some rounds. */
static int64_t
cost_of(struct routes *routes, unsigned count)
{
	int64_t least = INT64_MAX;
	struct timespec began, ended;
	char recipient[64];

	for (unsigned round = 0; round < 5; round++) {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began);
		for (unsigned i = 0; i < 1000; i++) {
			struct config_subject subject = { .sender = "ada@a.example",
				.recipient = recipient };
			const char *refusal;

			snprintf(recipient, sizeof(recipient), "bo@mail.d%u.example",
			    count - 1 - i % 10);
			ck_assert_ptr_eq(routes_find(routes, &subject, &refusal),
			    routes_at(routes, count - 1 - i % 10));
		}
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended);
		least = MIN(least,
		    (ended.tv_sec - began.tv_sec) * 1000000000LL + (ended.tv_nsec - began.tv_nsec));
	}
	return least;
}

/* One by one, the second is a hundred times the first. */
START_TEST(many_cost_as_few)
{
	struct capability *capability = capability_new();
	struct arena arena = { 0 };
	struct routes *few = routes_to(10, capability, &arena),
		      *many = routes_to(2000, capability, &arena);

	ck_assert_int_lt(cost_of(many, 2000), 20 * cost_of(few, 10));
	routes_release(&few);
	routes_release(&many);
	capability_release(&capability);
	arena_free(&arena);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("route_index");
	TCase *tc = tcase_create("route_index");

	tcase_add_loop_test(tc, same_as_one_by_one, 0, 3);
	tcase_add_test(tc, user_of_any_length);
	tcase_add_test(tc, many_cost_as_few);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
