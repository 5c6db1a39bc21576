/* SPDX-License-Identifier: Apache-2.0 */
/* crowd.c - connections counted in all and by network, and the rates of new ones. */
#include <check.h>
#include <core/smtp/crowd.h>
#include <errno.h>
#include <stdio.h>

#include "run.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof(*(table))))

static struct crowd *crowd;

static void
open_crowd(void)
{
	ck_assert_int_eq(crowd_new(&crowd), 0);
}

static void
close_crowd(void)
{
	ck_assert_int_eq(crowd_size(crowd), 0);
	crowd_free(&crowd);
	crowd_free(&crowd);
}

static int
come(const struct crowd_limits *limits, const char *from, int64_t now, struct crowd_place **ret)
{
	struct address client;

	ck_assert_int_eq(address_parse(from, 25, &client, NULL), 0);
	return crowd_enter(crowd, limits, &client, now, ret);
}

/* Comes and goes at once. */
static int
visit(const struct crowd_limits *limits, const char *from, int64_t now)
{
	struct crowd_place *place;
	int r = come(limits, from, now, &place);

	if (r == 0)
		crowd_leave(crowd, place, now);
	return r;
}

/* ---- at one time ---- */

static const struct {
	unsigned ip6_bits;
	const char *from[3];
	int r;
} pairs[] = {
	{ 64, { "192.0.2.1", "192.0.2.1", "192.0.2.1" }, -EUSERS },
	{ 64, { "192.0.2.1", "192.0.2.1", "192.0.2.2" }, 0 },
	{ 64, { "[::ffff:192.0.2.1]", "192.0.2.1", "192.0.2.1" }, -EUSERS },
	{ 32, { "[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]", "[::ffff:192.0.2.2]" }, 0 },
	{ 64, { "[2001:db8::1]", "[2001:db8::2]", "[2001:db8::ffff:0:0:3]" }, -EUSERS },
	{ 64, { "[2001:db8::1]", "[2001:db8::2]", "[2001:db8:0:1::1]" }, 0 },
	{ 56, { "[2001:db8::1]", "[2001:db8::2]", "[2001:db8:0:1::1]" }, -EUSERS },
	{ 128, { "[2001:db8::1]", "[2001:db8::1]", "[2001:db8::2]" }, 0 },
};

START_TEST(by_network)
{
	const struct crowd_limits limits = { 100, 2, 0, 0, pairs[_i].ip6_bits };
	struct crowd_place *places[3];

	ck_assert_int_eq(come(&limits, pairs[_i].from[0], 0, &places[0]), 0);
	ck_assert_int_eq(come(&limits, pairs[_i].from[1], 0, &places[1]), 0);
	ck_assert_int_eq(come(&limits, pairs[_i].from[2], 0, &places[2]), pairs[_i].r);
	for (int i = 0; i < 3 - (pairs[_i].r < 0); i++)
		crowd_leave(crowd, places[i], 0);
	ck_assert_int_eq(visit(&limits, pairs[_i].from[2], 0), 0); /* as many as have gone */
}
END_TEST

START_TEST(in_all)
{
	const struct crowd_limits limits = { 2, 2, 0, 0, 64 };
	struct crowd_place *one, *nobody;

	ck_assert_int_eq(come(&limits, "192.0.2.1", 0, &one), 0);
	ck_assert_int_eq(crowd_enter(crowd, &limits, NULL, 0, &nobody), 0);
	ck_assert_ptr_null(nobody);
	ck_assert_int_eq(crowd_size(crowd), 2);
	ck_assert_int_eq(visit(&limits, "192.0.2.2", 0), -EMFILE);
	ck_assert_int_eq(crowd_enter(crowd, &limits, NULL, 0, &nobody), -EMFILE);
	crowd_leave(crowd, NULL, 0);
	crowd_leave(crowd, one, 0);
}
END_TEST

/* ---- rates ---- */

START_TEST(per_minute)
{
	const struct crowd_limits limits = { 100, 10, 0, 6, 64 };

	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(visit(&limits, "192.0.2.1", 1000), 0);
	ck_assert_int_eq(visit(&limits, "192.0.2.1", 1000), -EDQUOT);
	ck_assert_int_eq(visit(&limits, "192.0.2.2", 1000), 0);
	ck_assert_int_eq(visit(&limits, "192.0.2.1", 10999), -EDQUOT);
	/* One more each ten seconds, whatever was refused in between. */
	ck_assert_int_eq(visit(&limits, "192.0.2.1", 11000), 0);
	ck_assert_int_eq(visit(&limits, "192.0.2.1", 11000), -EDQUOT);
	/* And all of them after a quiet minute. */
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(visit(&limits, "192.0.2.1", 71000), 0);
	ck_assert_int_eq(visit(&limits, "192.0.2.1", 71000), -EDQUOT);
}
END_TEST

START_TEST(per_second)
{
	const struct crowd_limits limits = { 100, 10, 3, 0, 64 };
	char from[32];

	for (int i = 0; i < 3; i++) {
		snprintf(from, sizeof(from), "192.0.2.%d", i);
		ck_assert_int_eq(visit(&limits, from, 5000), 0);
	}
	ck_assert_int_eq(visit(&limits, "192.0.2.9", 5000), -EBUSY);
	ck_assert_int_eq(visit(&limits, "192.0.2.9", 5334), 0);
	ck_assert_int_eq(visit(&limits, "192.0.2.8", 5334), -EBUSY);
}
END_TEST

START_TEST(charged)
{
	const struct crowd_limits limits = { 100, 10, 0, 60, 64 };
	struct crowd_place *place;

	ck_assert_int_eq(come(&limits, "192.0.2.1", 0, &place), 0);
	crowd_charge(crowd, &limits, place, 1000, 0); /* a whole minute, not more */
	crowd_charge(crowd, &limits, NULL, 1000, 0);
	crowd_leave(crowd, place, 0);
	ck_assert_int_eq(visit(&limits, "192.0.2.1", 999), -EDQUOT);
	ck_assert_int_eq(visit(&limits, "192.0.2.1", 1000), 0);
}
END_TEST

/* A rate that is taken away by a reload, or given, is the new one at once. */
START_TEST(other_rates)
{
	const struct crowd_limits few = { 100, 10, 1, 1, 64 }, any = { 100, 10, 0, 0, 64 };

	ck_assert_int_eq(visit(&few, "192.0.2.1", 0), 0);
	ck_assert_int_eq(visit(&few, "192.0.2.1", 0), -EDQUOT);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(visit(&any, "192.0.2.1", 0), 0);
	ck_assert_int_eq(visit(&few, "192.0.2.1", 60000), 0);
}
END_TEST

/* Whoever comes from ever new networks fills no memory, and drives nobody out of it. */
START_TEST(many_networks)
{
	const struct crowd_limits limits = { 100, 10, 0, 1, 64 };
	struct crowd_place *stays;
	char from[64];

	ck_assert_int_eq(come(&limits, "192.0.2.1", 0, &stays), 0);
	for (int i = 0; i < 200000; i++) {
		snprintf(from, sizeof(from), "[2001:db8:%x:%x::1]", i >> 16, i & 0xffff);
		ck_assert_int_eq(visit(&limits, from, 1), 0);
	}
	ck_assert_int_eq(visit(&limits, "192.0.2.1", 2), -EDQUOT);
	ck_assert_int_eq(visit(&limits, "[2001:db8::1]", 2), -EDQUOT);
	ck_assert_int_eq(visit(&limits, from, 2), 0); /* one too many to be remembered */
	ck_assert_int_eq(visit(&limits, "[2001:db8::1]", 60001), 0);
	crowd_leave(crowd, stays, 60001);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("crowd");
	TCase *tc = tcase_create("crowd");

	tcase_add_checked_fixture(tc, open_crowd, close_crowd);
	tcase_add_loop_test(tc, by_network, 0, COUNT(pairs));
	tcase_add_test(tc, in_all);
	tcase_add_test(tc, per_minute);
	tcase_add_test(tc, per_second);
	tcase_add_test(tc, charged);
	tcase_add_test(tc, other_rates);
	tcase_add_test(tc, many_networks);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
