/* SPDX-License-Identifier: Apache-2.0 */
/* base.c - unit tests of core/base. */
#include "run.h"
#include <check.h>
#include <core/base/arena.h>
#include <core/base/clock.h>
#include <core/base/text.h>
#include <errno.h>
#include <stdlib.h>

static const struct {
	const char *plain, *coded;
} base64_good[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foobar", "Zm9vYmFy" },
};

START_TEST(base64_round_trip)
{
	struct buf buf = BUF_INIT(64);

	ck_assert_int_eq(text_base64_encode(pn_slice_of(base64_good[_i].plain), &buf), 0);
	ck_assert(pn_slice_equals(buf_slice(&buf), pn_slice_of(base64_good[_i].coded)));
	buf_reset(&buf);
	ck_assert_int_eq(text_base64_decode(pn_slice_of(base64_good[_i].coded), &buf), 0);
	ck_assert(pn_slice_equals(buf_slice(&buf), pn_slice_of(base64_good[_i].plain)));
	buf_free(&buf);
}
END_TEST

static const char *const base64_bad[] = { "Zg", "Zg=", "Z===", "====", "Zm 9", "Zm\n9",
	"Zg==Zg==", "Zm9v!" };

START_TEST(base64_refuses)
{
	struct buf buf = BUF_INIT(64);

	ck_assert_int_eq(text_base64_decode(pn_slice_of(base64_bad[_i]), &buf), -EINVAL);
	buf_free(&buf);
}
END_TEST

START_TEST(buf_ceiling)
{
	struct buf buf = BUF_INIT(10);

	ck_assert_int_eq(buf_add(&buf, "0123456789", 10), 0);
	ck_assert_int_eq(buf_add(&buf, "x", 1), -E2BIG);
	ck_assert_str_eq(buf_text(&buf), "0123456789");
	buf_consume(&buf, 4);
	ck_assert_int_eq(buf_printf(&buf, "%d", 1234), 0);
	ck_assert_str_eq(buf_text(&buf), "4567891234");
	buf_wipe(&buf);
}
END_TEST

START_TEST(arena_keeps)
{
	struct arena arena = { 0 };
	char *first = arena_text(&arena, "first");

	for (int i = 0; i < 1000; i++)
		arena_printf(&arena, "line %d", i);
	memset(arena_alloc(&arena, 100000), 'x', 100000);
	ck_assert_str_eq(first, "first");
	ck_assert_ptr_null(arena_text(&arena, NULL));
	arena_free(&arena);
	ck_assert_ptr_null(arena.blocks);
}
END_TEST

static const char *const words[] = { "text", "html", "max_body", NULL };
static const struct {
	const char *word, *nearest;
} near[] = {
	{ "txt", "text" },
	{ "maxbody", "max_body" },
	{ "HTML", "html" },
	{ "zebra", NULL },
};

START_TEST(nearest_word)
{
	const char *found = text_nearest(near[_i].word, words);

	if (near[_i].nearest)
		ck_assert_str_eq(found, near[_i].nearest);
	else
		ck_assert_ptr_null(found);
}
END_TEST

START_TEST(dates)
{
	char date[CLOCK_DATE_SIZE];

	clock_mail_date(1795341600000000, date);
	ck_assert_str_eq(date, "Sun, 22 Nov 2026 10:00:00 +0000");
	clock_log_date(1795341600123000, date);
	ck_assert_str_eq(date, "2026-11-22T10:00:00.123Z");
}
END_TEST

START_TEST(errors_stack)
{
	struct pn_error err = { 0 };

	ck_assert_int_eq(pn_error_set(&err, -ENOENT, "%s: not there", "x"), -ENOENT);
	ck_assert_int_eq(pn_error_in(&err, "route %d", 1), -ENOENT);
	ck_assert_str_eq(err.text, "route 1: x: not there");
	ck_assert_int_eq(pn_error_set(NULL, -EIO, "nobody listens"), -EIO);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base");
	TCase *tc = tcase_create("base");

	tcase_add_loop_test(
	    tc, base64_round_trip, 0, (int)(sizeof(base64_good) / sizeof(*base64_good)));
	tcase_add_loop_test(tc, base64_refuses, 0, (int)(sizeof(base64_bad) / sizeof(*base64_bad)));
	tcase_add_test(tc, buf_ceiling);
	tcase_add_test(tc, arena_keeps);
	tcase_add_loop_test(tc, nearest_word, 0, (int)(sizeof(near) / sizeof(*near)));
	tcase_add_test(tc, dates);
	tcase_add_test(tc, errors_stack);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
