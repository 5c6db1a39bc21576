/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_power.c - the spool after a power cut at any moment, and with any byte flipped.
 *
 * A workload runs on a file system that remembers every write and sync. Then the power is cut
 * behind each of them, with what was not synced kept, lost, torn or reordered, and the spool
 * opened.
 */
#include "run.h"
#include "tests/unit/memdisk.h"
#include "tests/unit/spool_kit.h"

#include <core/queue/record.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 400

/* What the workload did; the trace has the order in notes. */
static struct {
	char id[ITEM_ID_SIZE];
	int replaces; /* the message whose recipients it takes over, from 1; 0: none */
} messages[MOST];
static int message_count;
static GHashTable *by_id;

static struct memdisk *disk;
static struct kit kit;

static void
setup(void)
{
	disk = memdisk_new();
	memdisk_trace(disk);
	by_id = g_hash_table_new(g_str_hash, g_str_equal);
	message_count = 0;
	memset(messages, 0, sizeof(messages));
	ck_assert_int_eq(kit_open(&kit, &disk->io, KIT_FOLDER, 0), 0);
}

static void
teardown(void)
{
	if (kit.spool)
		kit_close(&kit);
	memdisk_free(&disk);
	g_hash_table_unref(by_id);
}

/* ---- the workload, with notes ---- */

struct work {
	struct item *item;
	int number;
};

static struct work
submit_item(struct item *item)
{
	struct work work = { item, message_count++ };
	char *id = messages[work.number].id;

	memcpy(id, work.item->id, ITEM_ID_SIZE);
	g_hash_table_insert(by_id, id, GINT_TO_POINTER(work.number));
	memdisk_note(disk, "submit", work.number);
	if (kit_append(&kit, work.item) == 0)
		memdisk_note(disk, "accepted", work.number);
	else
		memdisk_note(disk, "refused", work.number);
	return work;
}

static struct work
submit(size_t size)
{
	return submit_item(kit_item(size, 2));
}

/* New plans for both recipients. */
static struct work
replan(struct work *old, size_t size)
{
	static const uint32_t indices[] = { 0, 1 };
	struct item *item = kit_item(size, 2);

	memcpy(item->replaces, old->item->id, ITEM_ID_SIZE);
	item->replaced = indices;
	item->replaced_count = 2;
	messages[message_count].replaces = old->number + 1;
	return submit_item(item);
}

static void
mark(struct work *work)
{
	uint32_t index = 1;

	work->item->recipients[1].attempts++;
	memdisk_note(disk, "mark", work->number);
	spool_mark(kit.spool, work->item, &index, 1);
}

static void
finish(struct work *work)
{
	uint32_t index[] = { 0, 1 };

	work->item->recipients[0].state = work->item->recipients[1].state = ITEM_DELIVERED;
	memdisk_note(disk, "finish", work->number);
	spool_mark(kit.spool, work->item, index, 2);
	spool_finish(kit.spool, work->item);
	item_free(&work->item);
}

/* ---- what must be there ---- */

struct expected {
	bool accepted, refused, finish_asked, finish_durable;
	uint32_t marks, durable_marks;
};

static void
durable_so_far(struct expected *all, const struct expected *at_submit)
{
	for (int i = 0; i < message_count; i++) {
		all[i].finish_durable |= at_submit[i].finish_asked;
		all[i].durable_marks = MAX(all[i].durable_marks, at_submit[i].marks);
	}
}

/* From the notes before the cut. Messages are submitted one at a time. */
static void
expect(guint cut, struct expected all[MOST])
{
	static struct expected at_submit[MOST];

	memset(all, 0, MOST * sizeof(*all));
	for (guint i = 0; i < cut; i++) {
		const struct memdisk_event *event = &g_array_index(
		    disk->trace, struct memdisk_event, i);
		struct expected *one = &all[event->number];

		if (event->kind != MEMDISK_NOTE)
			continue;
		if (strcmp(event->name, "submit") == 0) {
			memcpy(at_submit, all, sizeof(at_submit));
		} else if (strcmp(event->name, "accepted") == 0) {
			one->accepted = true;
			durable_so_far(all, at_submit);
		} else if (strcmp(event->name, "refused") == 0) {
			one->refused = true;
		} else if (strcmp(event->name, "mark") == 0) {
			one->marks++;
		} else if (strcmp(event->name, "finish") == 0) {
			one->finish_asked = true;
		}
	}
}

static void
check_one(const struct kit *after, int number, const struct expected *want, const char *how)
{
	const struct item *item = kit_find(after, messages[number].id);

	if (want->accepted && !want->finish_asked)
		ck_assert_msg(item != NULL, "%s: message %d is lost", how, number);
	if (want->finish_durable)
		ck_assert_msg(!item, "%s: message %d came back", how, number);
	if (want->refused)
		ck_assert_msg(!item, "%s: refused message %d is there", how, number);
	/* Of those who went over to another message, a copy or a STATE says only that. */
	if (item && item->recipients[1].state != ITEM_REPLANNED)
		ck_assert_msg(item->recipients[1].attempts >= want->durable_marks,
		    "%s: message %d has lost marks", how, number);
}

/* Would it still be sent to that recipient? */
static bool
would_send(const struct kit *after, int number, uint32_t index)
{
	const struct item *item = kit_find(after, messages[number].id);

	return item && !item_is_final(item->recipients[index].state);
}

/* To each recipient goes one of them: the old message, or one of those that took over from it. */
static void
check_replan(const struct kit *after, int old, const struct expected *all, const char *how)
{
	for (uint32_t index = 0; index < 2; index++) {
		int senders = would_send(after, old, index);
		bool due = all[old].accepted && !all[old].finish_asked;

		for (int i = 0; i < message_count; i++) {
			if (messages[i].replaces != old + 1)
				continue;
			senders += would_send(after, i, index);
			due = due && !all[i].finish_asked;
			ck_assert_msg(!all[i].finish_durable || !would_send(after, old, index),
			    "%s: %d came back behind %d", how, old, i);
		}
		ck_assert_msg(senders <= 1, "%s: %d is sent %d times", how, old, senders);
		ck_assert_msg(!due || senders == 1, "%s: %d is not sent", how, old);
	}
}

static void
check_bodies(struct kit *after)
{
	for (guint i = 0; i < after->items->len; i++) {
		struct item *item = g_ptr_array_index(after->items, i);
		struct mail_bytes *bytes = NULL;

		ck_assert_int_eq(spool_read(after->spool, item, &bytes), 0);
		kit_check_body(item, bytes);
		mail_bytes_release(&bytes);
	}
}

/* ---- ways to lose what was not synced ---- */

static size_t
keep_all(void *arg, guint event)
{
	return SIZE_MAX;
}

static size_t
keep_none(void *arg, guint event)
{
	return 0;
}

static size_t
keep_some(void *arg, guint event)
{
	return g_rand_boolean(arg) ? SIZE_MAX : 0;
}

static size_t
keep_pieces(void *arg, guint event)
{
	return g_rand_boolean(arg) ? SIZE_MAX : (size_t)g_rand_int_range(arg, 0, 6000);
}

struct torn {
	guint event;
	size_t bytes;
};

static size_t
keep_torn(void *arg, guint event)
{
	const struct torn *torn = arg;

	return event == torn->event ? torn->bytes : SIZE_MAX;
}

static unsigned long cuts, acknowledged; /* so far, and messages that were, at each cut */

static void
check_cut(guint cut, memdisk_keeps_fn *keeps, void *arg, const char *how)
{
	static struct expected all[MOST];
	struct memdisk *left = memdisk_cut(disk, cut, keeps, arg);
	struct kit after = { 0 };
	int r = kit_open(&after, &left->io, KIT_FOLDER, 0);

	ck_assert_msg(r == 0, "%s at %u: %s", how, cut, after.err.text);
	expect(cut, all);
	cuts++;
	for (int i = 0; i < message_count; i++)
		acknowledged += all[i].accepted;
	for (int i = 0; i < message_count; i++)
		check_replan(&after, i, all, how);
	for (int i = 0; i < message_count; i++)
		check_one(&after, i, &all[i], how);
	if (keeps == keep_some) /* takes long, and every CRC was right */
		check_bodies(&after);
	kit_close(&after);
	/* Opening wrote to it, perhaps; the same must come out again. */
	if (keeps == keep_some) {
		ck_assert_int_eq(kit_open(&after, &left->io, KIT_FOLDER, 0), 0);
		for (int i = 0; i < message_count; i++)
			check_one(&after, i, &all[i], how);
		kit_close(&after);
	}
	memdisk_free(&left);
}

/* Instrumented, one in four takes its turn: what the spool decides is the same, and seen without.
 */
static bool
is_turn(guint cut, guint way)
{
	const char *sanitizers = getenv("SANITIZERS");

	return !sanitizers || strcmp(sanitizers, "no") == 0 || cut % 4 == way;
}

static void
cut_everywhere(void)
{
	GRand *rand = g_rand_new_with_seed(4711);

	kit_close(&kit);
	for (guint cut = 1; cut <= disk->trace->len; cut++) {
		if (g_array_index(disk->trace, struct memdisk_event, cut - 1).kind == MEMDISK_NOTE)
			continue;
		if (is_turn(cut, 0))
			check_cut(cut, keep_all, NULL, "all kept");
		if (is_turn(cut, 1))
			check_cut(cut, keep_none, NULL, "unsynced lost");
		if (is_turn(cut, 2))
			check_cut(cut, keep_some, rand, "some lost");
		if (is_turn(cut, 3))
			check_cut(cut, keep_pieces, rand, "torn");
	}
	g_rand_free(rand);
	/* For docs/reliability.md. */
	printf("power: %lu cuts, %lu acknowledged\n", cuts, acknowledged);
	fflush(stdout);
}

/* ---- tests ---- */

/* Segments fill, empty, are used again and deleted; some messages stay for long. */
START_TEST(cut_while_segments_are_used_again)
{
	struct work old[4], recent[12], work;

	for (int i = 0; i < 4; i++)
		old[i] = submit(2000);
	for (int i = 0; i < 12; i++)
		recent[i] = submit(6000);
	for (int i = 0; i < 55; i++) {
		work = submit(i == 25 ? 100000 : 9000);
		mark(&old[i % 4]);
		finish(&recent[i % 12]);
		recent[i % 12] = work;
	}
	for (int i = 0; i < 12; i++)
		finish(&recent[i]);
	work = submit(10);
	finish(&work);
	for (int i = 0; i < 4; i++)
		finish(&old[i]);
	work = submit(10);
	finish(&work);
	cut_everywhere();
}
END_TEST

/* Plans change while segments are used again; some of the new ones fail to be written. */
static void
replan_in_turn(bool fail)
{
	struct work old[6], work, filler;

	for (int i = 0; i < 6; i++)
		old[i] = submit(1500);
	for (int i = 0; i < 30; i++) {
		struct work *one = &old[i % 6];

		if (fail && i % 5 == 2)
			memdisk_fail(disk, i % 2 ? MEMDISK_FAIL_SYNC : MEMDISK_FAIL_WRITE, 0, EIO);
		work = replan(one, 2500);
		memdisk_mend(disk);
		if (work.item->place.segment > 0) {
			/* Nothing is left of the old one to send. */
			memdisk_note(disk, "finish", one->number);
			spool_finish(kit.spool, one->item);
			item_free(&one->item);
			*one = work;
		} else {
			item_free(&work.item);
		}
		mark(one);
		filler = submit(20000);
		finish(&filler);
		if (i % 4 == 3) {
			finish(one);
			*one = submit(1500);
		}
	}
	for (int i = 0; i < 6; i++)
		finish(&old[i]);
	cut_everywhere();
}

START_TEST(cut_while_plans_change)
{
	replan_in_turn(_i == 1);
}
END_TEST

struct burst {
	struct spool_request request; /* first */
	int number;
	_Atomic bool answered;
};

static void
burst_done(struct spool_request *request, int r)
{
	struct burst *burst = (struct burst *)request;

	ck_assert_int_eq(r, 0);
	memdisk_note(disk, "accepted", burst->number);
	burst->answered = true;
}

/* Several messages in one commit, which may end one segment and begin the next. */
START_TEST(cut_while_many_commit_together)
{
	static struct burst bursts[60];

	for (int i = 0; i < 60; i++) {
		struct item *item = kit_item(i % 7 == 0 ? 20000 : 5000, 2);

		bursts[i] = (struct burst){ .request = { .done = burst_done, .item = item },
			.number = message_count++ };
		memcpy(messages[i].id, item->id, ITEM_ID_SIZE);
		memdisk_note(disk, "submit", i);
		spool_append(kit.spool, &bursts[i].request);
		for (int k = i; i % 10 == 9 && k >= 0; k--)
			while (!bursts[k].answered)
				g_usleep(100);
	}
	cut_everywhere();
	for (int i = 0; i < 60; i++)
		item_free(&bursts[i].request.item);
}
END_TEST

START_TEST(cut_after_failed_syncs)
{
	struct work old = submit(2000), work;

	for (int i = 0; i < 12; i++) {
		if (i % 3 == 2)
			memdisk_fail(disk, i % 2 ? MEMDISK_FAIL_SYNC : MEMDISK_FAIL_WRITE, 0, EIO);
		work = submit(3000);
		mark(&old);
		finish(&work);
		/* A mark may have met the failure; then that was the test. */
		memdisk_mend(disk);
	}
	finish(&old);
	work = submit(10);
	finish(&work);
	cut_everywhere();
}
END_TEST

START_TEST(cut_at_every_byte)
{
	struct work works[5];
	char how[64];

	for (int i = 0; i < 5; i++) {
		works[i] = submit((size_t)i * 37);
		if (i > 0)
			mark(&works[i - 1]);
	}
	finish(&works[1]);
	works[1] = submit(20);
	kit_close(&kit);
	for (guint event = 0; event < disk->trace->len; event++) {
		struct memdisk_event *this = &g_array_index(
		    disk->trace, struct memdisk_event, event);
		struct torn torn = { event, 0 };

		if (this->kind != MEMDISK_WRITE)
			continue;
		/* Segment headers are long and mostly zero. */
		for (; torn.bytes < this->bytes->len; torn.bytes += this->offset < 8192 ? 17 : 1) {
			if (!is_turn((guint)torn.bytes, 0))
				continue;
			g_snprintf(how, sizeof(how), "event %u torn at %zu", event, torn.bytes);
			check_cut(event + 1, keep_torn, &torn, how);
		}
	}
	for (int i = 0; i < 5; i++)
		item_free(&works[i].item);
}
END_TEST

/* Which messages overlap this byte of the segment? */
static void
check_flipped(const struct memdisk *flipped, struct kit *after, guint at)
{
	int lost = 0;

	for (int i = 0; i < message_count; i++) {
		const struct item *item = kit_find(after, messages[i].id);

		if (item || i == 1) /* that one was finished: it may come back */
			continue;
		lost++;
	}
	ck_assert_msg(lost <= 1, "byte %u: %d messages lost", at, lost);
	if (lost > 0)
		ck_assert_msg(after->whats->len == 1, "byte %u: %u reports for a lost message", at,
		    after->whats->len);
	for (guint i = 0; i < after->asides->len; i++)
		ck_assert_ptr_nonnull(memdisk_bytes(
		    (struct memdisk *)(uintptr_t)flipped, g_ptr_array_index(after->asides, i)));
}

START_TEST(a_flipped_byte_costs_one_record)
{
	struct work works[5];
	struct memdisk *flipped;
	GByteArray *bytes;
	guint end, reports = 0;

	for (int i = 0; i < 5; i++) {
		works[i] = submit((size_t)i * 37);
		if (i > 0)
			mark(&works[i - 1]);
	}
	finish(&works[1]);
	works[1] = submit(20);
	end = (guint)(works[1].item->place.offset + works[1].item->place.length);
	kit_close(&kit);
	for (guint at = 0; at < end + 64; at++) {
		struct kit after = { 0 };

		if (at == 600)
			at = 4090;
		if (at == 4096 + 600)
			at = 8190;
		flipped = memdisk_copy(disk);
		bytes = memdisk_bytes(flipped, KIT_FOLDER "/00000001.seg");
		bytes->data[at] ^= (guint8)(1 + at % 255);
		ck_assert_int_eq(kit_open(&after, &flipped->io, KIT_FOLDER, 0), 0);
		check_flipped(flipped, &after, at);
		reports += after.whats->len;
		kit_close(&after);
		memdisk_free(&flipped);
	}
	/* All but padding is noticed. */
	ck_assert_uint_ge(reports, (end - 8192) * 8 / 10);
	for (int i = 0; i < 5; i++)
		item_free(&works[i].item);
}
END_TEST

/* New plans for one that stays, which itself is left to what comes then. */
static void
replan_one(struct work *one)
{
	struct work work = replan(one, 700);

	if (work.item->place.segment == 0) { /* refused */
		item_free(&work.item);
		return;
	}
	memdisk_note(disk, "finish", one->number);
	spool_finish(kit.spool, one->item);
	item_free(&one->item);
	*one = work;
}

/* One message of each segment stays, and is moved more than once; some copies cannot be written. */
START_TEST(cut_while_messages_move)
{
	struct work stays[24], goes[24][3];
	struct spool_figures figures;
	int count = 24;

	for (int i = 0; i < count; i++) {
		stays[i] = submit(i % 5 == 0 ? 9000 : 700);
		for (int k = 0; k < 3; k++)
			goes[i][k] = submit(17000);
		mark(&stays[i]);
		if (_i == 1 && i % 4 == 3)
			memdisk_fail(
			    disk, i % 8 == 3 ? MEMDISK_FAIL_SYNC : MEMDISK_FAIL_WRITE, i % 3, EIO);
		for (int k = 0; i >= 4 && k < 3; k++)
			finish(&goes[i - 4][k]);
		if (i % 3 == 2)
			mark(&stays[i / 2]);
		if (i % 6 == 5)
			replan_one(&stays[i - 3]);
		g_usleep(1000); /* for the committer to move some; how many does not matter */
	}
	memdisk_mend(disk);
	for (int i = 20; i < 24; i++)
		for (int k = 0; k < 3; k++)
			finish(&goes[i][k]);
	for (int i = 0; i < count; i += 2)
		finish(&stays[i]);
	spool_figures(kit.spool, &figures);
	ck_assert_uint_gt(figures.moved, 0);
	cut_everywhere();
	for (int i = 1; i < count; i += 2)
		item_free(&stays[i].item);
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("spool_power");
	TCase *tests = tcase_create("power");

	tcase_set_timeout(tests, 300);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, cut_while_segments_are_used_again);
	tcase_add_loop_test(tests, cut_while_plans_change, 0, 2);
	tcase_add_test(tests, cut_while_many_commit_together);
	tcase_add_test(tests, cut_after_failed_syncs);
	tcase_add_loop_test(tests, cut_while_messages_move, 0, 2);
	tcase_add_test(tests, cut_at_every_byte);
	tcase_add_test(tests, a_flipped_byte_costs_one_record);
	suite_add_tcase(all, tests);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
