/* SPDX-License-Identifier: Apache-2.0 */
/* master_crashes.c - unit tests of core/master/crashes.c: what deaths of relays are counted for. */
#include "run.h"
#include <check.h>
#include <core/master/crashes.h>
#include <core/policy/stage.h>
#include <signal.h>
#include <string.h>

static struct crashes crashes;

static void
setup(void)
{
	struct pn_error err = { 0 };

	memset(&crashes, 0, sizeof(crashes));
	ck_assert_int_eq(crashes_open(&crashes, &err), 0);
}

static void
teardown(void)
{
	crashes_close(&crashes);
}

/* A thread of the relay is inside a hook of the message stage. */
static void
inside(size_t slot, pid_t pid, const char *entry, uint64_t message)
{
	struct crash_slot *is = &crashes.memory->slots[slot];

	memset(&is->culprit, 0, sizeof(is->culprit));
	strcpy(is->culprit.entry, entry);
	strcpy(is->culprit.module, "module");
	is->culprit.stage = PN_STAGE_MESSAGE;
	is->culprit.of_message = 1;
	is->culprit.fingerprint = message;
	is->pid = pid;
	is->signal = 0;
	is->inside = 1;
}

static void
die_killed(pid_t pid)
{
	crashes_note(&crashes, pid, true, 1000);
}

/* Rows that relays look up: what is refused (stage, fingerprint), what is not run (end, 0). */
static bool
is_known(const char *entry, int32_t stage, uint64_t fingerprint)
{
	for (size_t i = 0; i < CRASH_KNOWN_MOST; i++) {
		const struct crash_known *known = &crashes.memory->known[i];

		if (known->used && !strcmp(known->entry, entry) && known->stage == stage &&
		    known->fingerprint == fingerprint)
			return true;
	}
	return false;
}

static size_t
known_count(void)
{
	size_t count = 0;

	for (size_t i = 0; i < CRASH_KNOWN_MOST; i++)
		count += crashes.memory->known[i].used;
	return count;
}

START_TEST(a_fault_counts_at_once)
{
	inside(0, 10, "one", 7);
	inside(1, 10, "other", 8); /* innocent */
	crashes.memory->slots[0].signal = SIGSEGV;
	crashes_note(&crashes, 10, false, 1000);
	ck_assert_uint_eq(crashes.memory->slots[1].pid, 0);
	inside(0, 11, "one", 7);
	crashes.memory->slots[0].signal = SIGSEGV;
	crashes_note(&crashes, 11, false, 1000);
	ck_assert(is_known("one", PN_STAGE_MESSAGE, 7));
	ck_assert_uint_eq(known_count(), 1);
}
END_TEST

START_TEST(the_same_message_at_two_kills)
{
	inside(0, 10, "one", 7);
	inside(1, 10, "one", 8);
	die_killed(10);
	ck_assert_uint_eq(known_count(), 0);
	inside(5, 11, "one", 7);
	inside(6, 11, "other", 8); /* the same message, but inside another entry */
	die_killed(11);
	ck_assert(is_known("one", PN_STAGE_MESSAGE, 7));
	ck_assert_uint_eq(known_count(), 1);
}
END_TEST

START_TEST(other_messages_at_many_kills)
{
	for (pid_t pid = 10; pid < 30; pid++) {
		inside(0, pid, "one", (uint64_t)pid);
		inside(1, pid, "one", (uint64_t)pid + 100);
		die_killed(pid);
	}
	ck_assert_uint_eq(known_count(), 0);
}
END_TEST

/* It went through, or was not there, in between. */
START_TEST(not_in_a_row)
{
	for (pid_t pid = 10; pid < 16; pid++) {
		inside(0, pid, "one", (uint64_t)(pid % 2));
		die_killed(pid);
	}
	ck_assert_uint_eq(known_count(), 0);
	inside(0, 20, "one", 7);
	die_killed(20);
	inside(0, 21, "other", 9);
	crashes.memory->slots[0].signal = SIGBUS;
	crashes_note(&crashes, 21, false, 1000);
	inside(0, 22, "one", 7);
	die_killed(22);
	ck_assert_uint_eq(known_count(), 0);
}
END_TEST

/* One client, or one sender, is nobody's message: it would be inside at most kills under load. */
START_TEST(clients_are_not_counted)
{
	for (pid_t pid = 10; pid < 16; pid++) {
		inside(0, pid, "one", 7);
		crashes.memory->slots[0].culprit.stage = PN_STAGE_AUTH;
		crashes.memory->slots[0].culprit.of_message = 0;
		die_killed(pid);
	}
	ck_assert_uint_eq(known_count(), 0);
}
END_TEST

/* The master's own kills, and ends of other kinds. */
START_TEST(ends_that_are_no_kills)
{
	for (pid_t pid = 10; pid < 16; pid++) {
		inside(0, pid, "one", 7);
		crashes_note(&crashes, pid, false, 1000);
		ck_assert_uint_eq(crashes.memory->slots[0].pid, 0);
	}
	ck_assert_uint_eq(known_count(), 0);
}
END_TEST

/* Many messages at one kill are one crash of the entry; the third within a minute is too much. */
START_TEST(an_entry_that_keeps_being_killed)
{
	for (pid_t pid = 10; pid < 14; pid++) {
		ck_assert(!is_known("one", PN_STAGE_END, 0));
		for (size_t i = 0; i < 8; i++)
			inside(i, pid, "one", i / 2); /* each twice: a hook that was left behind */
		die_killed(pid);
	}
	ck_assert(is_known("one", PN_STAGE_END, 0));
	crashes_forgive(&crashes);
	ck_assert(!is_known("one", PN_STAGE_END, 0));
	ck_assert(is_known("one", PN_STAGE_MESSAGE, 3));
}
END_TEST

/* A tick, say, whose fingerprint is always the same. */
START_TEST(a_reload_forgives_what_is_no_message)
{
	for (pid_t pid = 10; pid < 12; pid++) {
		for (size_t i = 0; i < 2; i++) {
			inside(i, pid, "one", 7 + i);
			crashes.memory->slots[i].culprit.of_message = i == 0;
			crashes.memory->slots[i].signal = SIGSEGV;
		}
		crashes_note(&crashes, pid, false, 1000);
	}
	ck_assert(is_known("one", PN_STAGE_MESSAGE, 7));
	ck_assert(is_known("one", PN_STAGE_MESSAGE, 8));
	ck_assert(is_known("one", PN_STAGE_END, 0));
	crashes_forgive(&crashes);
	ck_assert(is_known("one", PN_STAGE_MESSAGE, 7));
	ck_assert_uint_eq(known_count(), 1);
}
END_TEST

/* More threads than are remembered of one death. */
START_TEST(many_inside)
{
	for (pid_t pid = 10; pid < 12; pid++) {
		for (size_t i = 0; i < CRASH_SLOTS; i++)
			inside(i, pid, "one", i);
		die_killed(pid);
	}
	ck_assert(is_known("one", PN_STAGE_MESSAGE, CRASHES_SUSPECTS - 1));
	ck_assert(!is_known("one", PN_STAGE_MESSAGE, CRASHES_SUSPECTS));
}
END_TEST

/* What a hostile or broken relay may have left there. */
START_TEST(nothing_is_believed)
{
	for (pid_t pid = 10; pid < 12; pid++) {
		inside(0, pid, "one", 7);
		memset(&crashes.memory->slots[0].culprit, 0xff, sizeof(struct crash_culprit));
		inside(1, pid, "one", 8);
		memset(crashes.memory->slots[1].culprit.entry, 'x', CRASH_NAME);
		die_killed(pid);
	}
	ck_assert_uint_eq(known_count(), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("master crashes");
	TCase *tc = tcase_create("crashes");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_fault_counts_at_once);
	tcase_add_test(tc, the_same_message_at_two_kills);
	tcase_add_test(tc, other_messages_at_many_kills);
	tcase_add_test(tc, not_in_a_row);
	tcase_add_test(tc, clients_are_not_counted);
	tcase_add_test(tc, ends_that_are_no_kills);
	tcase_add_test(tc, an_entry_that_keeps_being_killed);
	tcase_add_test(tc, a_reload_forgives_what_is_no_message);
	tcase_add_test(tc, many_inside);
	tcase_add_test(tc, nothing_is_believed);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
