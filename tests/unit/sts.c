/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sts.c - unit tests of what is known of domains' MTA-STS policies where neither the DNS nor a
 * policy host answers; the network's part is in system/test_mta_sts.
 */
#include "run.h"
#include "tests/unit/store_folder.h"
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/store/audit.h>
#include <core/store/sts.h>
#include <core/sts/sts.h>
#include <glib.h>
#include <pthread.h>

#define TEXT "version: STSv1\nmode: enforce\nmax_age: 86400\nmx: mx.a.example\n"
#define DAY  (INT64_C(24) * 3600 * 1000000)
#define LONG 60000

static struct sts_parts parts;
static struct sts *sts;
static struct sts_answer answer;
static int answers;
static struct pn_error err;

static void
setup(void)
{
	static const char *const servers[] = { "127.0.0.1:1" }; /* nobody */
	struct dns_settings dns = { .servers = { 1, servers }, .timeout = 100 };
	struct sts_settings settings = { .enabled = true, .timeout_ms = 100 };

	log_setup("test", PN_LOG_ERROR, LOG_LOGFMT);
	parts.db = store_folder_open();
	ck_assert_int_eq(sts_migrate(parts.db, &err), 0);
	ck_assert_int_eq(audit_migrate(parts.db, &err), 0);
	ck_assert_int_eq(tls_counts_migrate(parts.db, &err), 0);
	ck_assert_int_eq(loop_new(&parts.loop, &err), 0);
	ck_assert_int_eq(jobs_new(1, &parts.jobs, &err), 0);
	ck_assert_int_eq(dns_new(&parts.dns, &err), 0);
	dns_configure(parts.dns, &dns);
	parts.counts = counts_new();
	ck_assert_int_eq(sts_new(&parts, &sts, &err), 0);
	sts_configure(sts, &settings);
	answers = 0;
	answer = (struct sts_answer){ 0 };
}

static void
teardown(void)
{
	sts_answer_clear(&answer);
	ck_assert(sts_end(sts, LONG));
	jobs_free(&parts.jobs);
	dns_free(&parts.dns);
	sts_free(&sts);
	counts_release(&parts.counts);
	loop_free(&parts.loop);
	store_folder_close(&parts.db);
}

static void
on_answer(void *arg, struct sts_answer *given)
{
	sts_answer_clear(&answer);
	answer = *given;
	answers++;
	loop_stop(parts.loop);
}

static void
ask(const char *domain, int64_t within_ms)
{
	sts_ask(sts, parts.loop, domain, within_ms, on_answer, NULL);
	ck_assert_int_eq(answers, 0);
	loop_run(parts.loop);
	ck_assert_int_eq(answers, 1);
	answers = 0;
}

static void
keep(const char *domain, int64_t expires_us)
{
	struct sts_kept kept = { domain, "1", TEXT, clock_wall_us(), expires_us };

	ck_assert_int_eq(sts_keep(parts.db, &kept, &err), 0);
}

static void
run_sql(const char *sql)
{
	ck_assert_int_eq(db_run(parts.db, &err, sql, PN_NO_VALUES), 0);
}

START_TEST(nobody_answers)
{
	struct sts_answer look;

	ck_assert(!sts_look(sts, "a.example", &look));
	ck_assert_int_eq(look.known, STS_KNOWN_NOT);
	ask("a.example", LONG);
	ck_assert_int_eq(answer.known, STS_KNOWN_NOT);
	ck_assert_str_ne(answer.why, "");
	/* For a while nobody waits for that again. */
	ck_assert(sts_look(sts, "a.example", &look));
	ck_assert_int_eq(look.known, STS_KNOWN_NOT);
	ck_assert(sts_look(sts, "[192.0.2.1]", &look));
	ck_assert_int_eq(look.known, STS_KNOWN_NONE);
}
END_TEST

/* RFC 8461 section 5.1: what is kept holds, whoever does not answer. */
START_TEST(kept)
{
	struct sts_answer look;

	keep("a.example", clock_wall_us() + DAY);
	ask("a.example", LONG);
	ck_assert_int_eq(answer.known, STS_KNOWN_POLICY);
	ck_assert_int_eq(answer.mode, STS_ENFORCE);
	ck_assert(sts_answer_allows(&answer, "mx.a.example"));
	ck_assert(!sts_answer_allows(&answer, "mx.b.example"));
	ck_assert_str_eq(sts_answer_text(&answer), TEXT);
	ck_assert(sts_look(sts, "a.example", &look));
	ck_assert(sts_answer_equal(&look, &answer));
	sts_answer_clear(&look);
}
END_TEST

START_TEST(kept_too_long)
{
	keep("a.example", clock_wall_us() - 1);
	ask("a.example", LONG);
	ck_assert_int_eq(answer.known, STS_KNOWN_NOT);
}
END_TEST

START_TEST(database_fails)
{
	struct sts_answer look;

	keep("a.example", clock_wall_us() + DAY);
	keep("b.example", clock_wall_us() + DAY);
	ask("a.example", LONG);
	run_sql("ALTER TABLE sts_policies RENAME TO elsewhere");
	ask("b.example", LONG);
	ck_assert_int_eq(answer.known, STS_KNOWN_LATER);
	ck_assert(sts_look(sts, "a.example", &look)); /* memory has it */
	ck_assert_int_eq(look.known, STS_KNOWN_POLICY);
	sts_answer_clear(&look);
}
END_TEST

static void
override(const char *domain, const char *mode, int64_t until_us)
{
	struct sts_override row = { domain, mode, until_us, "ada" };
	uint64_t before = sts_changes(sts);

	ck_assert_int_eq(sts_override_set(parts.db, &row, &err), 0);
	sts_tend(sts);
	ck_assert_uint_gt(sts_changes(sts), before);
}

/* C06 */
START_TEST(overridden)
{
	struct sts_answer look;

	keep("a.example", clock_wall_us() + DAY);
	override("a.example", "none", clock_wall_us() + DAY);
	override("b.example", "enforce", clock_wall_us() + DAY);
	ck_assert(sts_look(sts, "a.example", &look)); /* nobody has to be asked */
	ck_assert(look.known == STS_KNOWN_POLICY && look.mode == STS_NONE && look.overridden);
	sts_answer_clear(&look);
	ask("b.example", LONG);
	ck_assert(answer.known == STS_KNOWN_POLICY && answer.mode == STS_ENFORCE);
	ck_assert(sts_answer_allows(&answer, "whatever.example"));
	override("a.example", "none", clock_wall_us() - 1);
	ask("a.example", LONG);
	ck_assert(answer.mode == STS_ENFORCE && !answer.overridden);
}
END_TEST

START_TEST(patience_ends)
{
	struct sts_request *request = sts_ask(sts, parts.loop, "a.example", LONG, on_answer, NULL);

	sts_cancel(&request);
	ask("a.example", LONG);
	ck_assert_int_eq(answer.known, STS_KNOWN_NOT);
}
END_TEST

static pthread_mutex_t hanging = PTHREAD_MUTEX_INITIALIZER;

static void
hang(struct job *job)
{
	(void)job;
	pthread_mutex_lock(&hanging);
	pthread_mutex_unlock(&hanging);
}

/* It may keep a policy: until it has been read nothing may leave. */
START_TEST(database_hangs)
{
	struct job job = { .work = hang };

	keep("b.example", clock_wall_us() + DAY);
	pthread_mutex_lock(&hanging);
	jobs_submit(parts.jobs, &job); /* its only thread */
	ask("b.example", 1);
	ck_assert_int_eq(answer.known, STS_KNOWN_LATER);
	ck_assert_str_ne(answer.why, "");
	pthread_mutex_unlock(&hanging);
	ask("b.example", LONG);
	ck_assert_int_eq(answer.known, STS_KNOWN_POLICY);
}
END_TEST

START_TEST(switched_off)
{
	struct sts_settings off = { .enabled = false };
	struct sts_answer look;

	keep("a.example", clock_wall_us() + DAY);
	ask("a.example", LONG);
	sts_configure(sts, &off);
	ck_assert(sts_look(sts, "a.example", &look));
	ck_assert_int_eq(look.known, STS_KNOWN_NONE);
}
END_TEST

static int
add_up(void *arg, const struct tls_count *count)
{
	*(int64_t *)arg += count->number;
	return 0;
}

static int64_t
counted(void)
{
	int64_t sum = 0, day = clock_wall_us() / DAY;

	for (int64_t each = day - 1; each <= day; each++) /* it may be midnight */
		ck_assert_int_eq(
		    tls_counts_each(parts.db, each, "a.example", add_up, &sum, &err), 0);
	return sum;
}

/* What could not be written is not lost. */
START_TEST(counts_survive_a_failure)
{
	struct tls_count one = { 0, "a.example", "sts", "", "mx", "", "", 0 };

	counts_note(parts.counts, &one);
	counts_note(parts.counts, &one);
	run_sql("ALTER TABLE tls_counts RENAME TO elsewhere");
	ck_assert_int_lt(counts_flush(parts.counts, parts.db, &err), 0);
	run_sql("ALTER TABLE elsewhere RENAME TO tls_counts");
	counts_note(parts.counts, &one);
	ck_assert_int_eq(counts_flush(parts.counts, parts.db, &err), 0);
	ck_assert_int_eq(counts_flush(parts.counts, parts.db, &err), 0);
	ck_assert_int_eq(counted(), 3);
}
END_TEST

START_TEST(counts_are_bounded)
{
	char host[32];
	struct tls_count one = { 0, "a.example", "sts", "", host, "", "", 0 };

	for (int i = 0; i < TLS_COUNTS_PENDING + 10; i++) {
		snprintf(host, sizeof(host), "mx%d", i);
		counts_note(parts.counts, &one);
	}
	ck_assert_int_eq(counts_flush(parts.counts, parts.db, &err), 0);
	ck_assert_int_eq(counted(), TLS_COUNTS_PENDING);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sts");
	TCase *tcase = tcase_create("sts");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, nobody_answers);
	tcase_add_test(tcase, kept);
	tcase_add_test(tcase, kept_too_long);
	tcase_add_test(tcase, database_fails);
	tcase_add_test(tcase, overridden);
	tcase_add_test(tcase, patience_ends);
	tcase_add_test(tcase, database_hangs);
	tcase_add_test(tcase, switched_off);
	tcase_add_test(tcase, counts_survive_a_failure);
	tcase_add_test(tcase, counts_are_bounded);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
