/* SPDX-License-Identifier: Apache-2.0 */
/* metric.c - unit tests of the process's numbers and of their text. */
#include "run.h"
#include <core/base/metric.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

static const struct pn_metric_about counter = { PN_METRIC_HEAD, PN_METRIC_COUNTER, "things_total",
	"Things.", "kind" };
static const struct pn_metric_about gauge = { PN_METRIC_HEAD, PN_METRIC_GAUGE, "depth",
	"A \\ and a\nbreak." };
static const struct pn_metric_about histogram = { PN_METRIC_HEAD, PN_METRIC_HISTOGRAM,
	"wait_seconds", "Waits.", NULL, (const double[]){ 0.1, 1 }, 2 };

/* Each test is a process of its own, so the table begins empty. */
static const char *
text(void)
{
	static struct buf out = { .ceiling = 1u << 20 };

	buf_reset(&out);
	ck_assert_int_eq(metric_text(&out), 0);
	return buf_text(&out);
}

START_TEST(test_nothing)
{
	ck_assert_str_eq(text(), "");
	pn_metric_add(NULL, 1);
	pn_metric_set(NULL, 1);
	pn_metric_observe(NULL, 1);
}
END_TEST

START_TEST(test_text)
{
	struct pn_metric *waits = metric_own(&histogram, NULL);

	pn_metric_add(metric_own(&counter, "b", NULL), 1.5);
	pn_metric_add(metric_own(&counter, "a\"\\\n", NULL), 2);
	pn_metric_add(metric_own(&counter, "b", NULL), 1);
	pn_metric_set(metric_own(&gauge, NULL), -3);
	pn_metric_observe(waits, 0.1);
	pn_metric_observe(waits, 0.2);
	pn_metric_observe(waits, 7);
	ck_assert_str_eq(text(), "# HELP postern_depth A \\\\ and a\\nbreak.\n"
				 "# TYPE postern_depth gauge\n"
				 "postern_depth -3\n"
				 "# HELP postern_things_total Things.\n"
				 "# TYPE postern_things_total counter\n"
				 "postern_things_total{kind=\"a\\\"\\\\?\"} 2\n"
				 "postern_things_total{kind=\"b\"} 2.5\n"
				 "# HELP postern_wait_seconds Waits.\n"
				 "# TYPE postern_wait_seconds histogram\n"
				 "postern_wait_seconds_bucket{le=\"0.1\"} 1\n"
				 "postern_wait_seconds_bucket{le=\"1\"} 2\n"
				 "postern_wait_seconds_bucket{le=\"+Inf\"} 3\n"
				 "postern_wait_seconds_sum 7.3\n"
				 "postern_wait_seconds_count 3\n");
}
END_TEST

/* What is of another type, falls, or is no number changes nothing. */
START_TEST(test_misuse)
{
	struct pn_metric *count = metric_own(&counter, "a", NULL);
	struct pn_metric *waits = metric_own(&histogram, NULL);
	const char *before;

	pn_metric_add(count, 3);
	before = strdup(text());
	pn_metric_add(count, -1);
	pn_metric_add(count, NAN);
	pn_metric_set(count, 9);
	pn_metric_observe(count, 9);
	pn_metric_add(waits, 9);
	pn_metric_set(waits, 9);
	pn_metric_observe(waits, NAN);
	metric_set_counter(waits, 9);
	ck_assert_str_eq(text(), before);
	free((void *)(uintptr_t)before);
}
END_TEST

static int
code_of(struct pn_metric_about about, const char *const *values)
{
	struct pn_error err = { 0 };

	return metric_get("mod", "id", &about, values, &err) ? 0 : err.code;
}

#define WITH(...) \
	(struct pn_metric_about) \
	{ \
		PN_METRIC_HEAD, .type = PN_METRIC_GAUGE, .name = "x", .help = "X.", __VA_ARGS__ \
	}

/* Initialisers given twice are meant: the second counts. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"

START_TEST(test_descriptions)
{
	static const double falling[] = { 2, 1 }, endless[] = { 1, INFINITY };
	static const char *const names[] = { "", "X", "1x", "_x", "x_", "a__b", "a-b", "a b",
		"x_total", "x_count", "x_sum", "x_bucket", "\xc3\xa4", NULL };
	static const char *const labels[] = { "entry", "le", "quantile", "a a", "A", "_a",
		"a b c d e", NULL };

	ck_assert_int_eq(code_of(WITH(.help = "Y."), PN_NO_LABELS), 0);
	for (size_t i = 0; names[i]; i++)
		ck_assert_int_eq(code_of(WITH(.name = names[i]), PN_NO_LABELS), -EINVAL);
	for (size_t i = 0; labels[i]; i++)
		ck_assert_int_eq(code_of(WITH(.name = "y", .labels = labels[i]),
				     PN_LABELS("1", "2", "3", "4", "5")),
		    -EINVAL);
	ck_assert_int_eq(code_of(WITH(.name = NULL), PN_NO_LABELS), -EINVAL);
	ck_assert_int_eq(code_of(WITH(.help = ""), PN_NO_LABELS), -EINVAL);
	ck_assert_int_eq(code_of(WITH(.type = 0), PN_NO_LABELS), -EINVAL);
	ck_assert_int_eq(code_of(WITH(.type = PN_METRIC_COUNTER), PN_NO_LABELS), -EINVAL);
	ck_assert_int_eq(code_of(WITH(.size = 8), PN_NO_LABELS), -EINVAL);
	ck_assert_int_eq(code_of(WITH(.bounds = falling, .bound_count = 1), PN_NO_LABELS), -EINVAL);
	ck_assert_int_eq(
	    code_of(WITH(.type = PN_METRIC_HISTOGRAM, .bounds = falling, .bound_count = 2),
		PN_NO_LABELS),
	    -EINVAL);
	ck_assert_int_eq(
	    code_of(WITH(.type = PN_METRIC_HISTOGRAM, .bounds = endless, .bound_count = 2),
		PN_NO_LABELS),
	    -EINVAL);
}
END_TEST

START_TEST(test_who_has_a_name)
{
	ck_assert_int_eq(code_of(WITH(.labels = "a"), PN_LABELS("1")), 0);
	ck_assert_int_eq(code_of(WITH(.labels = "a"), PN_LABELS("2")), 0);
	ck_assert_int_eq(code_of(WITH(.labels = "a"), PN_NO_LABELS), -EINVAL);
	ck_assert_int_eq(code_of(WITH(.labels = "a"), PN_LABELS("1", "2")), -EINVAL);
	ck_assert_int_eq(code_of(WITH(.labels = "b"), PN_LABELS("1")), -EEXIST);
	ck_assert_int_eq(
	    code_of(WITH(.labels = "a", .type = PN_METRIC_HISTOGRAM), PN_LABELS("1")), -EEXIST);
	/* postern_mod_x of the core */
	ck_assert_ptr_null(metric_own(&WITH(.name = "mod_x", .labels = "a"), "1", NULL));
}
END_TEST

#pragma GCC diagnostic pop

START_TEST(test_labels)
{
	char value[400];
	struct pn_error err;

	memset(value, 'v', sizeof(value));
	memcpy(value + 99, "\xc3\xa4", 2);
	value[sizeof(value) - 1] = '\0';
	ck_assert_ptr_nonnull(metric_get("a-b", "id\x1f\xff", &counter, PN_LABELS(value), &err));
	value[99] = '\0';
	ck_assert_ptr_nonnull(
	    strstr(text(), "postern_a_b_things_total{entry=\"id?\xef\xbf\xbd\",kind=\"vv"));
	strcat(value, "\"} 0\n");
	ck_assert_ptr_nonnull(strstr(text(), value));
}
END_TEST

START_TEST(test_bounded)
{
	struct pn_error err = { 0 };
	char value[24];
	int i;

	for (i = 0; i <= PN_METRIC_SERIES_MOST; i++) {
		snprintf(value, sizeof(value), "%d", i);
		if (!metric_get("mod", "id", &counter, PN_LABELS(value), &err))
			break;
	}
	ck_assert_int_eq(i, PN_METRIC_SERIES_MOST);
	ck_assert_int_eq(err.code, -E2BIG);
	ck_assert_ptr_nonnull(metric_get("mod", "id", &counter, PN_LABELS("7"), &err));
}
END_TEST

#define ROUNDS 20000

static void *
count_up(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		pn_metric_add(metric_own(&counter, i % 2 ? "odd" : "even", NULL), 1);
		pn_metric_observe(metric_own(&histogram, NULL), 0.5);
	}
	return NULL;
}

/* Nothing is lost between threads, nor while somebody reads. */
START_TEST(test_threads)
{
	pthread_t threads[4];

	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_up, NULL), 0);
	for (size_t i = 0; i < 20; i++)
		text();
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_ptr_nonnull(strstr(text(), "{kind=\"odd\"} 40000\n"));
	ck_assert_ptr_nonnull(strstr(text(), "_seconds_sum 40000\n"));
	ck_assert_ptr_nonnull(strstr(text(), "_seconds_count 80000\n"));
}
END_TEST

static Suite *
metric(void)
{
	Suite *suite = suite_create("metric");
	TCase *test = tcase_create("metric");

	tcase_add_test(test, test_nothing);
	tcase_add_test(test, test_text);
	tcase_add_test(test, test_misuse);
	tcase_add_test(test, test_descriptions);
	tcase_add_test(test, test_who_has_a_name);
	tcase_add_test(test, test_labels);
	tcase_add_test(test, test_bounded);
	tcase_add_test(test, test_threads);
	suite_add_tcase(suite, test);
	return suite;
}

int
main(void)
{
	return unit_run(metric());
}
