/* SPDX-License-Identifier: Apache-2.0 */
/* convert_turn.c - unit tests of the turns of conversions: a large one is alone, small ones are
 * not. */
#include "run.h"
#include <core/mail/convert_turn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#define LARGE ((size_t)25 * 1024 * 1024)
#define ALL   100u /* what a large one counts for, so that nobody beside it goes unseen */

static atomic_uint at_work, most, begun;

static void *
convert(void *arg)
{
	unsigned weight = *(const size_t *)arg == LARGE ? ALL : 1, now, seen;
	size_t taken;

	atomic_fetch_add(&begun, 1);
	convert_turn_take(*(const size_t *)arg, &taken);
	now = atomic_fetch_add(&at_work, weight) + weight;
	seen = atomic_load(&most);
	while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
		;
	for (unsigned i = 0; i < 1000; i++) /* so that another would be seen here */
		sched_yield();
	atomic_fetch_sub(&at_work, weight);
	convert_turn_give(taken);
	return NULL;
}

START_TEST(large_is_alone)
{
	static size_t sizes[] = { LARGE, 1, LARGE, 1000, LARGE, LARGE };
	enum { COUNT = sizeof(sizes) / sizeof(*sizes) };
	pthread_t threads[COUNT];
	size_t taken;

	convert_turn_take(LARGE, &taken);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, convert, &sizes[i]), 0);
	while (atomic_load(&begun) < COUNT)
		sched_yield();
	ck_assert_uint_eq(atomic_load(&at_work), 0);
	convert_turn_give(taken);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(atomic_load(&most), ALL);
}
END_TEST

START_TEST(small_ones_together)
{
	size_t taken[4];

	for (unsigned i = 0; i < 4; i++)
		convert_turn_take(1024 * 1024, &taken[i]);
	for (unsigned i = 0; i < 4; i++)
		convert_turn_give(taken[i]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("convert_turn");
	TCase *tc = tcase_create("convert_turn");

	tcase_add_test(tc, large_is_alone);
	tcase_add_test(tc, small_ones_together);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
