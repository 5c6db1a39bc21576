/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.c - unit tests of modules/limits, with a clock of their own: windows, unique recipients,
 * reservations, the journal, figures.
 */
#include "../../modules/limits/limits.h"
#include "../../modules/limits/book.h"
#include "../../modules/limits/unique.h"
#include "run.h"
#include <stdio.h>

#define DAY  INT64_C(86400000)
#define NOON (INT64_C(20000) * DAY + DAY / 2) /* of some day */

static const struct span sliding = { DAY, false }, fixed = { DAY, true };

/* ---- windows --------------------------------------------------------------------------------- */

START_TEST(a_sliding_window_ends_to_the_millisecond)
{
	struct tally tally = { NULL };

	tally_add(&tally, &sliding, NOON, 3);
	tally_add(&tally, &sliding, NOON + 1, 4);
	ck_assert_int_eq(tally_count(&tally, &sliding, NOON + 1), 7);
	ck_assert_int_eq(tally_frees(&tally, &sliding, NOON, 6), NOON + DAY);
	ck_assert_int_eq(tally_frees(&tally, &sliding, NOON, 3), NOON + 1 + DAY);
	ck_assert_int_eq(tally_frees(&tally, &sliding, NOON, 7), 0);
	ck_assert_int_eq(tally_count(&tally, &sliding, NOON + DAY - 1), 7);
	ck_assert_int_eq(tally_count(&tally, &sliding, NOON + DAY), 4);
	ck_assert_int_eq(tally_count(&tally, &sliding, NOON + DAY + 1), 0);
	ck_assert_uint_eq(tally_bytes(&tally), 0);
}
END_TEST

START_TEST(a_fixed_window_ends_at_midnight)
{
	struct tally tally = { NULL };
	int64_t midnight = NOON + DAY / 2;

	tally_add(&tally, &fixed, NOON, 1);
	tally_add(&tally, &fixed, midnight - 1, 1);
	tally_add(&tally, &fixed, midnight, 1);
	ck_assert_int_eq(tally_count(&tally, &fixed, midnight - 1), 3);
	ck_assert_int_eq(tally_frees(&tally, &fixed, NOON, 1), midnight);
	ck_assert_int_eq(tally_count(&tally, &fixed, midnight), 1);
	ck_assert_int_eq(tally_count(&tally, &fixed, midnight + DAY), 0);
}
END_TEST

/* Rows of another process come a moment later; a clock may be set back. */
START_TEST(order_of_arrival_does_not_matter)
{
	struct tally tally = { NULL };

	tally_add(&tally, &sliding, NOON + 5, 1);
	tally_add(&tally, &sliding, NOON, 2);
	tally_add(&tally, &sliding, NOON + 3, 4);
	ck_assert_int_eq(tally_count(&tally, &sliding, NOON + DAY), 5);
	ck_assert_int_eq(tally_count(&tally, &sliding, NOON + 3 + DAY), 1);
	tally_clear(&tally);
}
END_TEST

START_TEST(a_tally_is_bounded)
{
	struct tally tally = { NULL };

	for (int64_t i = 0; i < 1000000; i++)
		tally_add(&tally, &sliding, NOON + i * 80, 1);
	ck_assert_int_eq(tally_count(&tally, &sliding, NOON + 80000000), 1000000);
	ck_assert_uint_le(tally.end - tally.first, 300001);
	ck_assert_uint_le(tally_bytes(&tally), 16 * 524288);
	tally_clear(&tally);
}
END_TEST

START_TEST(a_tally_is_bounded_in_any_order)
{
	struct tally tally = { NULL };

	for (int i = 0; i < 100000; i++) {
		tally_add(&tally, &sliding, NOON + 1000, 1);
		tally_add(&tally, &sliding, NOON, 1);
	}
	ck_assert_uint_eq(tally.end - tally.first, 2);
	tally_clear(&tally);
	/* of two processes, the second always half a grain behind */
	for (int64_t i = 0; i < 400000; i++)
		tally_add(&tally, &sliding, NOON + i * 100 - (i % 2) * 500, 1);
	ck_assert_uint_le(tally.end - tally.first, 300001);
	for (size_t i = tally.first + 1; i < tally.end; i++)
		ck_assert_int_lt(tally.rows[i - 1].at, tally.rows[i].at);
	ck_assert_int_eq(tally_count(&tally, &sliding, NOON + 40000000), 400000);
	tally_clear(&tally);
}
END_TEST

/* ---- unique recipients ----------------------------------------------------------------------- */

START_TEST(repeats_are_free)
{
	struct unique *unique = unique_new();

	for (int i = 0; i < 1000; i++) {
		unique_add(unique, 1, NOON + i);
		unique_add(unique, 2, NOON + i);
	}
	ck_assert_uint_eq(unique_count(unique, &sliding, NOON + 1000), 2);
	ck_assert(unique_has(unique, &sliding, NOON + 1000, 1));
	ck_assert(!unique_has(unique, &sliding, NOON + 1000, 3));
	/* from the latest message on */
	ck_assert_uint_eq(unique_count(unique, &sliding, NOON + 999 + DAY - 1), 2);
	ck_assert_uint_eq(unique_count(unique, &sliding, NOON + 999 + DAY), 0);
	unique_free(&unique);
}
END_TEST

START_TEST(what_is_held_stays)
{
	struct unique *unique = unique_new();

	unique_add(unique, 1, NOON);
	unique_hold(unique, 1);
	unique_hold(unique, 2);
	unique_hold(unique, 2);
	ck_assert_uint_eq(unique_count(unique, &sliding, NOON), 2);
	ck_assert_uint_eq(unique_listed(unique), 1);
	ck_assert_uint_eq(unique_count(unique, &sliding, NOON + DAY), 2);
	unique_drop(unique, 1);
	unique_drop(unique, 2);
	ck_assert_uint_eq(unique_count(unique, &sliding, NOON + DAY), 1);
	unique_drop(unique, 2);
	unique_drop(unique, 2); /* once too often */
	ck_assert_uint_eq(unique_count(unique, &sliding, NOON + DAY), 0);
	unique_free(&unique);
}
END_TEST

START_TEST(when_recipients_free)
{
	struct unique *unique = unique_new();

	unique_add(unique, 1, NOON + 10);
	unique_add(unique, 2, NOON + 5);
	unique_add(unique, 3, NOON + 7);
	unique_add(unique, 2, NOON + 1); /* not later: nothing changes */
	ck_assert_int_eq(unique_frees(unique, &sliding, NOON, 2), NOON + 5 + DAY);
	ck_assert_int_eq(unique_frees(unique, &sliding, NOON, 1), NOON + 7 + DAY);
	ck_assert_int_eq(unique_frees(unique, &sliding, NOON, 0), NOON + 10 + DAY);
	ck_assert_int_eq(unique_frees(unique, &sliding, NOON, 3), 0);
	unique_clear(unique);
	ck_assert_uint_eq(unique_count(unique, &sliding, NOON), 0);
	unique_free(&unique);
}
END_TEST

/* ---- figures --------------------------------------------------------------------------------- */

static const struct limits_plan plans[] = {
	{ .relay = true, .recipients = false, .users = true, .messages = 300 },
	{ .relay = true, .recipients = false, .users = false, .messages = 0 },
	{ .relay = true, .recipients = true, .users = true, .messages = 7 },
};
static const char *const plan_names[] = { "email", "premium", "both" };

static const struct limits defaults = {
	.user = { 10000, 10000, DAY },
	.account = { 130, 4600000, DAY },
	.peak = { 9, 319444, 600000 },
	.unpaid = { 100, 50 },
	.plans = { 3, plan_names, plans },
	.memory = 256 * 1024 * 1024,
};

static const struct {
	int64_t licences;
	bool paid;
	const char *plan;
	int64_t messages, day, peak, user;
} figures[] = {
	{ 5, true, NULL, NO_LIMIT, 650, 45, 10000 },                    /* S2-10 */
	{ 100, true, NULL, NO_LIMIT, 13000, 900, 10000 },               /* S2-05, S2-07 */
	{ 40000, true, NULL, NO_LIMIT, 4600000, 319444, 10000 },        /* capped */
	{ INT64_MAX, true, NULL, NO_LIMIT, 4600000, 319444, 10000 },    /* no overflow */
	{ 0, true, NULL, NO_LIMIT, 4600000, 319444, 10000 },            /* none stated */
	{ 5, false, NULL, NO_LIMIT, 100, 50, 10000 },                   /* S2-13 */
	{ 5, true, "email", 300, NO_LIMIT, NO_LIMIT, 10000 },           /* S0-16 */
	{ 5, true, "premium", NO_LIMIT, NO_LIMIT, NO_LIMIT, NO_LIMIT }, /* S0-18 */
	{ 5, false, "both", 7, 100, 50, 10000 },
	{ 5, true, "unknown", NO_LIMIT, 650, 45, 10000 },
};

START_TEST(figures_of_an_account)
{
	struct pn_account account = { .name = "clinic",
		.licences = figures[_i].licences,
		.paid = figures[_i].paid,
		.plan = figures[_i].plan };
	struct rules rules;

	rules_make(&defaults, &account, &rules);
	ck_assert_int_eq(rules.most[ACCOUNT_MESSAGES], figures[_i].messages);
	ck_assert_int_eq(rules.most[ACCOUNT_DAY], figures[_i].day);
	ck_assert_int_eq(rules.most[ACCOUNT_PEAK], figures[_i].peak);
	ck_assert_int_eq(rules.most[USER_MESSAGES], figures[_i].user);
	ck_assert_int_eq(rules.most[USER_UNIQUE], figures[_i].user);
	ck_assert_int_eq(rules_longest(&rules), DAY);
}
END_TEST

START_TEST(figures_of_nobody_s_mail)
{
	struct limits cfg = defaults;
	struct rules rules;

	cfg.user.messages = 0;
	rules_make(&cfg, NULL, &rules);
	ck_assert_int_eq(rules.most[ACCOUNT_DAY], NO_LIMIT);
	ck_assert_int_eq(rules.most[USER_MESSAGES], NO_LIMIT);
	ck_assert_int_eq(rules.most[USER_UNIQUE], 10000);
}
END_TEST

/* ---- the book -------------------------------------------------------------------------------- */

static struct book *book;
static struct rules rules;
static const struct who ada = { "ada@clinic.example", "clinic" },
			bo = { "bo@clinic.example", "clinic" };
static uint64_t next_id;

static void
setup(void)
{
	book = book_new();
	rules_make(&defaults, NULL, &rules);
	next_id = 1;
}

static void
teardown(void)
{
	book_free(&book);
}

static enum counter
mail(uint64_t id, const struct who *who, int64_t now)
{
	return book_message(book, &rules, who, id, now);
}

static enum counter
rcpt(uint64_t id, const struct who *who, uint64_t recipient, size_t position, int64_t now)
{
	bool late;

	return book_recipient(book, &rules, who, id, recipient, position, now, &late);
}

static void
commit(uint64_t id, const struct who *who, const uint64_t *recipients, size_t count, int64_t at)
{
	book_commit(book, &rules, who, id, at, recipients, count, at, NULL);
}

/* A message to one recipient; what refuses it. */
static enum counter
send(const struct who *who, uint64_t recipient, int64_t now)
{
	uint64_t id = next_id++;
	enum counter limit = mail(id, who, now);

	if (limit == LIMIT_NONE)
		limit = rcpt(id, who, recipient, 1, now);
	if (limit == LIMIT_NONE)
		commit(id, who, &recipient, 1, now);
	else
		book_abort(book, id);
	return limit;
}

static struct figure
figure(const char *name, enum counter counter, int64_t now)
{
	struct figure all[COUNTERS];
	size_t count = book_figures(book, &rules, name, counter <= ACCOUNT_PEAK, now, all);

	for (size_t i = 0; i < count; i++)
		if (all[i].counter == counter)
			return all[i];
	ck_abort_msg("no such counter");
}

static int64_t
counted(const char *name, enum counter counter, int64_t now)
{
	struct figure found = figure(name, counter, now);

	ck_assert_int_eq(found.reserved, 0);
	return found.count;
}

/* S2-09: "counts as 2 for the per user limit, but 2000 for the customer limit". */
START_TEST(a_thousand_to_each_of_two)
{
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(send(&ada, 'A', NOON + i), LIMIT_NONE);
		ck_assert_int_eq(send(&ada, 'B', NOON + i), LIMIT_NONE);
	}
	ck_assert_int_eq(counted("ada@clinic.example", USER_UNIQUE, NOON + 1000), 2);
	ck_assert_int_eq(counted("ada@clinic.example", USER_MESSAGES, NOON + 1000), 2000);
	ck_assert_int_eq(counted("clinic", ACCOUNT_DAY, NOON + 1000), 2000);
	ck_assert_int_eq(counted("clinic", ACCOUNT_PEAK, NOON + 600000 + 500), 998);
}
END_TEST

START_TEST(each_limit_at_its_place)
{
	rules.most[USER_MESSAGES] = 3;
	rules.most[USER_UNIQUE] = 2;
	ck_assert_int_eq(send(&ada, 1, NOON), LIMIT_NONE);
	ck_assert_int_eq(send(&ada, 2, NOON), LIMIT_NONE);
	ck_assert_int_eq(mail(90, &ada, NOON), LIMIT_NONE);
	ck_assert_int_eq(rcpt(90, &ada, 3, 1, NOON), USER_UNIQUE);
	ck_assert_int_eq(rcpt(90, &ada, 2, 1, NOON), LIMIT_NONE); /* repeats are free */
	commit(90, &ada, (uint64_t[]){ 2 }, 1, NOON);
	ck_assert_int_eq(mail(91, &ada, NOON), USER_MESSAGES);
	ck_assert_int_eq(mail(92, &bo, NOON), LIMIT_NONE);
	ck_assert_int_eq(mail(93, &ada, NOON + DAY), LIMIT_NONE);
}
END_TEST

/* S2-04, D1. */
START_TEST(the_customer_speaks_first)
{
	rules.most[USER_MESSAGES] = 2;
	rules.most[USER_UNIQUE] = 2;
	rules.most[ACCOUNT_DAY] = 3;
	rules.most[ACCOUNT_PEAK] = 2;
	ck_assert_int_eq(send(&ada, 1, NOON), LIMIT_NONE);
	ck_assert_int_eq(send(&ada, 2, NOON), LIMIT_NONE);
	/* at MAIL, in place of the user's message limit */
	ck_assert_int_eq(send(&ada, 3, NOON), ACCOUNT_PEAK);
	/* at RCPT, before unique recipients */
	rules.most[USER_MESSAGES] = NO_LIMIT;
	ck_assert_int_eq(send(&ada, 3, NOON), ACCOUNT_PEAK);
	ck_assert_int_eq(send(&ada, 3, NOON + 600000), USER_UNIQUE);
	ck_assert_int_eq(send(&ada, 1, NOON + 600000), LIMIT_NONE);
	/* for the day before for the moment */
	rules.most[ACCOUNT_PEAK] = 1;
	ck_assert_int_eq(send(&ada, 1, NOON + 600000), ACCOUNT_DAY);
	ck_assert_int_eq(send(&bo, 1, NOON + 600000), ACCOUNT_DAY);
}
END_TEST

START_TEST(parallel_sessions_do_not_overshoot)
{
	rules.most[USER_MESSAGES] = 2;
	rules.most[ACCOUNT_DAY] = 3;
	ck_assert_int_eq(mail(1, &ada, NOON), LIMIT_NONE);
	ck_assert_int_eq(mail(2, &ada, NOON), LIMIT_NONE);
	ck_assert_int_eq(mail(3, &ada, NOON), USER_MESSAGES);
	ck_assert_int_eq(rcpt(1, &ada, 1, 1, NOON), LIMIT_NONE);
	ck_assert_int_eq(rcpt(1, &ada, 2, 2, NOON), LIMIT_NONE);
	ck_assert_int_eq(rcpt(2, &ada, 1, 1, NOON), LIMIT_NONE);
	ck_assert_int_eq(rcpt(2, &ada, 2, 2, NOON), ACCOUNT_DAY);
	book_abort(book, 1); /* RSET releases */
	ck_assert_int_eq(rcpt(2, &ada, 2, 2, NOON), LIMIT_NONE);
	ck_assert_int_eq(mail(3, &ada, NOON), LIMIT_NONE);
	book_abort(book, 3);
	book_abort(book, 2);
	book_abort(book, 2);
	ck_assert_int_eq(counted("clinic", ACCOUNT_DAY, NOON), 0);
	ck_assert_int_eq(counted("ada@clinic.example", USER_UNIQUE, NOON), 0);
	ck_assert_ptr_null(book_take(book));
}
END_TEST

/* It then has the place of the one before in the envelope. */
START_TEST(what_another_entry_refuses_is_given_back)
{
	rules.most[USER_UNIQUE] = 2;
	ck_assert_int_eq(mail(1, &ada, NOON), LIMIT_NONE);
	ck_assert_int_eq(rcpt(1, &ada, 1, 1, NOON), LIMIT_NONE);
	ck_assert_int_eq(rcpt(1, &ada, 2, 2, NOON), LIMIT_NONE);
	for (uint64_t i = 3; i < 10; i++)
		ck_assert_int_eq(rcpt(1, &ada, i, 2, NOON), LIMIT_NONE);
	ck_assert_int_eq(rcpt(1, &ada, 10, 3, NOON), USER_UNIQUE);
	ck_assert_int_eq(rcpt(1, &ada, 9, 3, NOON), LIMIT_NONE);
	ck_assert_int_eq(figure("ada@clinic.example", USER_UNIQUE, NOON).reserved, 2);
	/* 9 was refused again, and 77 is a copy that an entry added */
	commit(1, &ada, (uint64_t[]){ 1, 77 }, 2, NOON);
	ck_assert_int_eq(counted("ada@clinic.example", USER_UNIQUE, NOON), 1);
	ck_assert_int_eq(counted("clinic", ACCOUNT_DAY, NOON), 1);
}
END_TEST

/* MAIL was not asked about, for a condition on recipients: the first of them is. */
START_TEST(a_late_message_has_its_limits)
{
	uint64_t one = 1;
	bool late = false;

	rules.most[USER_MESSAGES] = 1;
	rules.most[ACCOUNT_MESSAGES] = 2;
	ck_assert_int_eq(book_recipient(book, &rules, &ada, 1, 1, 1, NOON, &late), LIMIT_NONE);
	ck_assert(late);
	/* also where the first was refused by another entry in the end */
	late = false;
	ck_assert_int_eq(book_recipient(book, &rules, &ada, 1, 1, 1, NOON, &late), LIMIT_NONE);
	ck_assert(late);
	ck_assert_int_eq(rcpt(2, &ada, 1, 1, NOON), USER_MESSAGES);
	ck_assert_int_eq(rcpt(3, &bo, 1, 1, NOON), LIMIT_NONE);
	ck_assert_int_eq(rcpt(3, &bo, 2, 2, NOON), LIMIT_NONE);
	rules.most[USER_MESSAGES] = NO_LIMIT;
	ck_assert_int_eq(rcpt(2, &ada, 1, 1, NOON), ACCOUNT_MESSAGES);
	commit(1, &ada, &one, 1, NOON);
	book_abort(book, 2);
	book_abort(book, 3);
	ck_assert_int_eq(counted("ada@clinic.example", USER_MESSAGES, NOON), 1);
	ck_assert_int_eq(counted("clinic", ACCOUNT_MESSAGES, NOON), 1);
	ck_assert_int_eq(counted("clinic", ACCOUNT_DAY, NOON), 1);
	rules.memory = 0;
	ck_assert_int_eq(rcpt(4, &bo, 1, 1, NOON), LIMIT_MEMORY);
}
END_TEST

START_TEST(nothing_counts_twice)
{
	uint64_t one = 1;

	for (int i = 0; i < 3; i++)
		commit(5, &ada, &one, 1, NOON);
	ck_assert_int_eq(counted("ada@clinic.example", USER_MESSAGES, NOON), 1);
	/* also long after it was seen for the first time, if it keeps being asked */
	for (int64_t at = 0; at < 3600000; at += 60000) {
		commit(5, &ada, &one, 1, NOON);
		book_sweep(book, &rules, NOON + at);
	}
	ck_assert_int_eq(counted("ada@clinic.example", USER_MESSAGES, NOON), 1);
}
END_TEST

START_TEST(idle_parties_are_forgotten)
{
	size_t before = book_bytes(book);

	for (uint64_t i = 0; i < 100; i++)
		send(&ada, i, NOON);
	mail(1000, &bo, NOON);
	ck_assert_uint_gt(book_bytes(book), before);
	g_byte_array_unref(book_take(book));
	for (int64_t at = 0; at <= 4; at++)
		book_sweep(book, &rules, NOON + DAY + at * 3600000);
	ck_assert_uint_eq(book_bytes(book), before);
	/* what was reserved and never ended as well */
	ck_assert_int_eq(counted("bo@clinic.example", USER_MESSAGES, NOON + DAY), 0);
}
END_TEST

START_TEST(memory_has_an_end)
{
	enum counter limit = LIMIT_NONE;
	uint64_t i = 0;

	rules.memory = 4 * 1024 * 1024;
	while (limit == LIMIT_NONE && i < 100000)
		limit = send(&ada, i++, NOON);
	ck_assert_int_eq(limit, USER_MESSAGES); /* 10,000 fit */
	limit = LIMIT_NONE;
	rules.most[USER_MESSAGES] = rules.most[USER_UNIQUE] = 1000000;
	while (limit == LIMIT_NONE && i < 100000)
		limit = send(&ada, i++, NOON);
	ck_assert_int_eq(limit, LIMIT_MEMORY);
}
END_TEST

/* Which it has all of after a restart; they go within minutes. */
START_TEST(memory_is_not_of_what_was_seen)
{
	struct record record = { .type = RECORD_MESSAGE, .at = NOON };

	record.user = pn_slice_of(ada.user);
	rules.memory = 1024 * 1024;
	for (; record.id < 100000; record.id++)
		book_apply(book, &rules, &record);
	ck_assert_uint_gt(book_bytes(book), (size_t)rules.memory);
	ck_assert_int_eq(send(&bo, 1, NOON), LIMIT_NONE);
}
END_TEST

START_TEST(a_million_unique_recipients)
{
	rules.most[USER_UNIQUE] = 1000000;
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t recipients[1000];

		for (uint64_t j = 0; j < 1000; j++)
			recipients[j] = (i * 1000 + j) * UINT64_C(0x9e3779b97f4a7c15);
		commit(i + 1, &ada, recipients, 1000, NOON + (int64_t)i);
	}
	ck_assert_int_eq(counted("ada@clinic.example", USER_UNIQUE, NOON + 1000), 1000000);
	ck_assert_int_eq(rcpt(5000, &ada, 7, 1, NOON + 1000), USER_UNIQUE);
	ck_assert_int_eq(
	    rcpt(5000, &ada, UINT64_C(0x9e3779b97f4a7c15), 1, NOON + 1000), LIMIT_NONE);
	ck_assert_uint_le(book_bytes(book), 1000000 * UNIQUE_BYTES + 10 * 1024 * 1024);
}
END_TEST

/* ---- warnings -------------------------------------------------------------------------------- */

START_TEST(one_warning_a_window)
{
	GPtrArray *warnings = book_warnings_new();
	const struct warning *warning;

	rules.warn_percent = 80;
	rules.most[USER_MESSAGES] = 10;
	for (uint64_t i = 1; i <= 9; i++) {
		uint64_t one = 1;

		book_commit(
		    book, &rules, &ada, i, NOON + (int64_t)i, &one, 1, NOON + (int64_t)i, warnings);
		ck_assert_uint_eq(warnings->len, i >= 8);
	}
	warning = warnings->pdata[0];
	ck_assert_int_eq(warning->counter, USER_MESSAGES);
	ck_assert_str_eq(warning->name, "ada@clinic.example");
	ck_assert_int_eq(warning->count, 8);
	ck_assert_int_eq(warning->frees, NOON + 1 + DAY);
	ck_assert_int_eq(warning->since, NOON / DAY * DAY);
	for (uint64_t i = 10; i <= 19; i++)
		book_commit(book, &rules, &ada, i, NOON + DAY + 10 + (int64_t)i, NULL, 0,
		    NOON + DAY + 10 + (int64_t)i, warnings);
	ck_assert_uint_eq(warnings->len, 2);
	warning = warnings->pdata[1];
	ck_assert_int_eq(warning->since, NOON / DAY * DAY + DAY);
	g_ptr_array_unref(warnings);
}
END_TEST

/* Once more after a reset, in the same window: it is another warning. */
START_TEST(a_warning_after_a_reset)
{
	struct record record = {
		.type = RECORD_RESET, .at = NOON + 10, .user = pn_slice_of("ada@clinic.example")
	};
	GPtrArray *warnings = book_warnings_new();
	const struct warning *first, *second;

	rules.warn_percent = 50;
	rules.most[USER_MESSAGES] = 2;
	book_commit(book, &rules, &ada, 1, NOON, NULL, 0, NOON, warnings);
	book_apply(book, &rules, &record);
	book_commit(book, &rules, &ada, 2, NOON + 20, NULL, 0, NOON + 20, warnings);
	ck_assert_uint_eq(warnings->len, 2);
	first = warnings->pdata[0];
	second = warnings->pdata[1];
	ck_assert_int_lt(first->since, second->since);
	ck_assert_int_eq(second->since, NOON + 10);
	g_ptr_array_unref(warnings);
}
END_TEST

/* ---- the journal ----------------------------------------------------------------------------- */

static size_t
replay(struct pn_slice bytes)
{
	struct record record;
	size_t count = 0;

	for (; journal_next(&bytes, &record); count++)
		book_apply(book, &rules, &record);
	return count;
}

static GByteArray *
three_messages(void)
{
	GPtrArray *warnings = book_warnings_new();
	GByteArray *journal;

	rules.warn_percent = 50;
	rules.most[USER_MESSAGES] = 4;
	for (uint64_t i = 1; i <= 3; i++)
		book_commit(book, &rules, &ada, i, NOON, (uint64_t[]){ 1, i }, 2, NOON, warnings);
	ck_assert_uint_eq(warnings->len, 1);
	g_ptr_array_unref(warnings);
	journal = book_take(book);
	book_free(&book);
	book = book_new();
	return journal;
}

START_TEST(the_journal_makes_the_counters_again)
{
	GByteArray *journal = three_messages();
	GPtrArray *warnings = book_warnings_new();

	ck_assert_uint_eq(replay(pn_slice(journal->data, journal->len)), 4);
	ck_assert_uint_eq(replay(pn_slice(journal->data, journal->len)), 4); /* as two relays do */
	ck_assert_int_eq(counted("ada@clinic.example", USER_MESSAGES, NOON), 3);
	ck_assert_int_eq(counted("ada@clinic.example", USER_UNIQUE, NOON), 3);
	ck_assert_int_eq(counted("clinic", ACCOUNT_DAY, NOON), 6);
	ck_assert_ptr_null(book_take(book));
	/* nor does a committed hook that runs again after a crash count, or warn, once more */
	book_commit(book, &rules, &ada, 3, NOON, (uint64_t[]){ 1, 3 }, 2, NOON, warnings);
	book_commit(book, &rules, &ada, 4, NOON, (uint64_t[]){ 1 }, 1, NOON, warnings);
	ck_assert_int_eq(counted("ada@clinic.example", USER_MESSAGES, NOON), 4);
	ck_assert_uint_eq(warnings->len, 0);
	g_ptr_array_unref(warnings);
	g_byte_array_unref(journal);
}
END_TEST

START_TEST(a_journal_cut_anywhere_gives_what_is_whole)
{
	GByteArray *journal = three_messages();
	int64_t before = 0;

	for (guint cut = 0; cut <= journal->len; cut++) {
		char *copy = g_memdup2(journal->data, cut); /* so that a sanitizer sees its end */
		int64_t now;

		replay(pn_slice(copy, cut));
		g_free(copy);
		now = counted("ada@clinic.example", USER_MESSAGES, NOON);
		ck_assert_int_ge(now, before);
		before = now;
	}
	ck_assert_int_eq(before, 3);
	g_byte_array_unref(journal);
}
END_TEST

START_TEST(a_broken_journal_breaks_nothing)
{
	GByteArray *journal = three_messages();

	for (guint at = 0; at < journal->len; at++)
		for (int bit = 0; bit < 8; bit++) {
			journal->data[at] ^= (guint8)(1 << bit);
			replay(pn_slice(journal->data, journal->len));
			journal->data[at] ^= (guint8)(1 << bit);
		}
	g_byte_array_unref(journal);
}
END_TEST

START_TEST(a_journal_that_cannot_be_written_is_kept)
{
	GByteArray *first;

	send(&ada, 1, NOON);
	first = book_take(book);
	send(&ada, 2, NOON);
	book_give_back(book, first);
	first = book_take(book);
	book_free(&book);
	book = book_new();
	ck_assert_uint_eq(replay(pn_slice(first->data, first->len)), 2);
	g_byte_array_unref(first);
}
END_TEST

START_TEST(a_reset_begins_anew)
{
	struct record record = {
		.type = RECORD_RESET, .at = NOON, .user = pn_slice_of("ada@clinic.example")
	};

	send(&ada, 1, NOON);
	ck_assert_int_eq(mail(50, &ada, NOON), LIMIT_NONE);
	book_apply(book, &rules, &record);
	ck_assert_int_eq(figure("ada@clinic.example", USER_MESSAGES, NOON).count, 0);
	ck_assert_int_eq(figure("ada@clinic.example", USER_MESSAGES, NOON).reserved, 1);
	ck_assert_int_eq(counted("clinic", ACCOUNT_DAY, NOON), 1);
	book_abort(book, 50);
	ck_assert_int_eq(counted("ada@clinic.example", USER_MESSAGES, NOON), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("limits");
	TCase *tc = tcase_create("windows");

	tcase_add_test(tc, a_sliding_window_ends_to_the_millisecond);
	tcase_add_test(tc, a_fixed_window_ends_at_midnight);
	tcase_add_test(tc, order_of_arrival_does_not_matter);
	tcase_add_test(tc, a_tally_is_bounded);
	tcase_add_test(tc, a_tally_is_bounded_in_any_order);
	tcase_add_test(tc, repeats_are_free);
	tcase_add_test(tc, what_is_held_stays);
	tcase_add_test(tc, when_recipients_free);
	tcase_add_loop_test(
	    tc, figures_of_an_account, 0, (int)(sizeof(figures) / sizeof(figures[0])));
	tcase_add_test(tc, figures_of_nobody_s_mail);
	suite_add_tcase(suite, tc);
	tc = tcase_create("the book");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_thousand_to_each_of_two);
	tcase_add_test(tc, each_limit_at_its_place);
	tcase_add_test(tc, the_customer_speaks_first);
	tcase_add_test(tc, parallel_sessions_do_not_overshoot);
	tcase_add_test(tc, what_another_entry_refuses_is_given_back);
	tcase_add_test(tc, a_late_message_has_its_limits);
	tcase_add_test(tc, nothing_counts_twice);
	tcase_add_test(tc, idle_parties_are_forgotten);
	tcase_add_test(tc, memory_has_an_end);
	tcase_add_test(tc, memory_is_not_of_what_was_seen);
	tcase_add_test(tc, a_million_unique_recipients);
	tcase_add_test(tc, one_warning_a_window);
	tcase_add_test(tc, a_warning_after_a_reset);
	tcase_add_test(tc, the_journal_makes_the_counters_again);
	tcase_add_test(tc, a_journal_cut_anywhere_gives_what_is_whole);
	tcase_add_test(tc, a_broken_journal_breaks_nothing);
	tcase_add_test(tc, a_journal_that_cannot_be_written_is_kept);
	tcase_add_test(tc, a_reset_begins_anew);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
