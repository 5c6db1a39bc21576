/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_failed.c - what calls of the disk that failed, or a kill, leave behind: then the power
 * goes, and everything that was not synced with it.
 */
#include "run.h"
#include "tests/unit/memdisk.h"
#include "tests/unit/spool_kit.h"

#include <errno.h>

#define WHOLE 50000 /* a message of this size has a segment of 64 KiB for itself */

static struct memdisk *disk;
static struct kit kit;

static void
setup(void)
{
	disk = memdisk_new();
	memdisk_trace(disk);
	ck_assert_int_eq(kit_open(&kit, &disk->io, KIT_FOLDER, 0), 0);
}

static void
teardown(void)
{
	if (kit.spool)
		kit_close(&kit);
	memdisk_free(&disk);
}

static size_t
keep_none(void *arg, guint event)
{
	return 0;
}

/* The power goes behind event `cut` - 1. Close both. */
static struct memdisk *
open_after_cut(const struct memdisk *before, guint cut, struct kit *ret)
{
	struct memdisk *left = memdisk_cut(before, cut, keep_none, NULL);

	ck_assert_msg(kit_open(ret, &left->io, KIT_FOLDER, 0) == 0, "%s", ret->err.text);
	return left;
}

static void
finish(struct item *item)
{
	spool_finish(kit.spool, item);
}

/* Until what was lost is said again and on the disk; a segment that cannot be begun is tried again
 * a second later.
 */
static void
wait_for_sync(void)
{
	while (kit_sync(&kit) < 0)
		g_usleep(10000);
}

/* No room for the mark, and none for another segment: its message lies in the one being written. */
START_TEST(a_lost_mark_about_the_tail_is_said_again)
{
	struct item *item = kit_accept(&kit, 40000, 60);
	uint32_t indices[60];
	char reply[301] = "";
	struct kit after = { 0 };
	struct memdisk *left;
	const struct item *back;

	memset(reply, 'x', sizeof(reply) - 1);
	for (uint32_t i = 0; i < 60; i++) {
		indices[i] = i;
		item->recipients[i].attempts = i + 7;
		item->recipients[i].last_reply = reply;
	}
	memdisk_break(disk, MEMDISK_FAIL_ALLOCATE, 0, ENOSPC);
	spool_mark(kit.spool, item, indices, 60);
	ck_assert_int_eq(kit_sync(&kit), -EIO);
	memdisk_mend(disk);
	wait_for_sync();
	left = open_after_cut(disk, disk->trace->len, &after);
	back = kit_find(&after, item->id);
	ck_assert_ptr_nonnull(back);
	for (uint32_t i = 0; i < 60; i++)
		ck_assert_uint_eq(back->recipients[i].attempts, i + 7);
	kit_close(&after);
	memdisk_free(&left);
	item_free(&item);
}
END_TEST

/*
 * Segments: 1 stays, and 2 says something about it, so that 2 does not leave; the end of the last
 * message of 2 goes down with 3.
 */
START_TEST(a_segment_that_a_lost_finish_emptied_is_covered)
{
	struct item *stays = kit_accept(&kit, 3000, 2), *first = kit_accept(&kit, 49000, 1),
		    *last = kit_accept(&kit, 5000, 1), *second, *third;
	uint32_t index = 1;
	struct kit after = { 0 };
	struct memdisk *left;

	stays->recipients[1].attempts = 3;
	spool_mark(kit.spool, stays, &index, 1);
	second = kit_accept(&kit, 48000, 1);
	third = kit_accept(&kit, 5000, 1);
	ck_assert_uint_eq(last->place.segment, 2);
	ck_assert_uint_eq(second->place.segment, 2);
	ck_assert_uint_eq(third->place.segment, 3);
	finish(second);
	ck_assert_int_eq(kit_sync(&kit), 0);
	memdisk_fail(disk, MEMDISK_FAIL_SYNC, 0, EIO);
	finish(last);
	ck_assert_int_eq(kit_sync(&kit), -EIO);
	wait_for_sync();
	left = open_after_cut(disk, disk->trace->len, &after);
	ck_assert_uint_eq(after.items->len, 3);
	ck_assert_uint_eq(kit_find(&after, stays->id)->recipients[1].attempts, 3);
	ck_assert_ptr_nonnull(kit_find(&after, first->id));
	ck_assert_ptr_nonnull(kit_find(&after, third->id));
	kit_close(&after);
	memdisk_free(&left);
	item_free(&stays);
	item_free(&first);
	item_free(&last);
	item_free(&second);
	item_free(&third);
}
END_TEST

/* That the message of segment 1 is finished stands in 2; 1 cannot be opened to be used again. */
START_TEST(a_free_segment_that_cannot_be_opened_is_not_forgotten)
{
	struct item *first = kit_accept(&kit, WHOLE, 1), *second = kit_accept(&kit, WHOLE, 1),
		    *next = kit_item(WHOLE, 1), *more;
	struct kit after = { 0 };
	struct memdisk *left;

	finish(first);
	finish(second);
	wait_for_sync();
	memdisk_fail(disk, MEMDISK_FAIL_OPEN, 0, EMFILE);
	ck_assert_int_eq(kit_append(&kit, next), -EIO);
	while (kit_append(&kit, next) < 0)
		g_usleep(10000);
	ck_assert_uint_eq(next->place.segment, 3);
	more = kit_accept(&kit, WHOLE, 1);
	left = open_after_cut(disk, disk->trace->len, &after);
	ck_assert_uint_eq(after.items->len, 2);
	ck_assert_ptr_nonnull(kit_find(&after, next->id));
	ck_assert_ptr_nonnull(kit_find(&after, more->id));
	kit_close(&after);
	memdisk_free(&left);
	item_free(&first);
	item_free(&second);
	item_free(&next);
	item_free(&more);
}
END_TEST

/* Written, and the process killed before it is synced: the event behind that write. */
static guint
take_over_unsynced(struct item *old, struct item *by)
{
	static const uint32_t index[] = { 0 };
	guint before = disk->trace->len;

	memcpy(by->replaces, old->id, ITEM_ID_SIZE);
	by->replaced = index;
	by->replaced_count = 1;
	ck_assert_int_eq(kit_append(&kit, by), 0);
	ck_assert_uint_eq(by->place.segment, old->place.segment);
	while (g_array_index(disk->trace, struct memdisk_event, before).kind != MEMDISK_WRITE)
		before++;
	return before + 1;
}

static bool
would_send(const struct kit *after, const struct item *item)
{
	const struct item *back = kit_find(after, item->id);

	return back && !item_is_final(back->recipients[0].state);
}

/*
 * A start that counts on what only the page cache has ends the old message; with the power goes the
 * one that took over.
 */
START_TEST(what_a_start_reads_is_synced_first)
{
	struct item *old = kit_accept(&kit, 3000, 1), *by = kit_item(3000, 1), *later;
	guint cut = take_over_unsynced(old, by);
	struct memdisk *killed = memdisk_kill(disk, cut), *left;
	struct kit after = { 0 };

	kit_close(&kit);
	ck_assert_int_eq(kit_open(&kit, &killed->io, KIT_FOLDER, 0), 0);
	ck_assert(!would_send(&kit, old));
	ck_assert(would_send(&kit, by));
	finish(old);
	later = kit_accept(&kit, 3000, 1);
	for (; cut <= killed->trace->len; cut++) {
		left = open_after_cut(killed, cut, &after);
		ck_assert_msg(
		    would_send(&after, old) + would_send(&after, by) == 1, "at event %u", cut);
		kit_close(&after);
		memdisk_free(&left);
	}
	kit_close(&kit);
	memdisk_free(&killed);
	item_free(&old);
	item_free(&by);
	item_free(&later);
}
END_TEST

/* ---- reads at a start ---- */

#define BAD_READS 3 /* one after the other */

static struct segment_io flaky; /* the disk's, but for its reads */
static int (*whole_open)(void *arg, const char *path, int flags);
static ssize_t (*whole_read)(void *arg, int fd, void *bytes, size_t len, uint64_t offset);
static int bad_read;         /* counted down; the last ones fail */
static const char *bad_path; /* of which a block cannot be read */
static uint64_t bad_block;
static int bad_fd = -1;

static int
flaky_open(void *arg, const char *path, int flags)
{
	int fd = whole_open(arg, path, flags);

	if (bad_path && strcmp(path, bad_path) == 0)
		bad_fd = fd;
	return fd;
}

static ssize_t
flaky_read(void *arg, int fd, void *bytes, size_t len, uint64_t offset)
{
	if (bad_read > 0 && --bad_read < BAD_READS)
		return -EIO;
	if (bad_path && fd == bad_fd && offset < bad_block + 4096 && offset + len > bad_block)
		return -EIO;
	return whole_read(arg, fd, bytes, len, offset);
}

static const struct segment_io *
make_flaky(struct memdisk *of)
{
	flaky = of->io;
	whole_open = flaky.open;
	whole_read = flaky.read;
	flaky.open = flaky_open;
	flaky.read = flaky_read;
	return &flaky;
}

/* The header of a segment could not be read: the file stays, for the next start. */
static bool
is_left_alone(const struct kit *after)
{
	for (guint i = 0; i < after->whats->len; i++)
		if (strstr(g_ptr_array_index(after->whats, i), "left alone"))
			return true;
	return false;
}

/* An error that passes costs nothing, whichever of a start's reads it meets. */
START_TEST(reads_that_fail_for_a_while_lose_nothing)
{
	struct item *items[8];
	bool met = true;

	for (int i = 0; i < 8; i++)
		items[i] = kit_accept(&kit, 20000, 1);
	kit_close(&kit);
	for (int at = 1; met; at++) {
		struct memdisk *copy = memdisk_copy(disk);
		struct kit after = { .no_index = _i == 1 };

		bad_read = at + BAD_READS - 1;
		ck_assert_msg(kit_open(&after, make_flaky(copy), KIT_FOLDER, 0) == 0, "read %d: %s",
		    at, after.err.text);
		met = bad_read < BAD_READS;
		bad_read = 0;
		for (int i = 0; i < 8; i++)
			ck_assert_msg(is_left_alone(&after) || kit_find(&after, items[i]->id),
			    "read %d failed: message %d is lost", at, i);
		kit_close(&after);
		memdisk_free(&copy);
	}
	for (int i = 0; i < 8; i++)
		item_free(&items[i]);
}
END_TEST

/* What the disk never gives is not written over: the file is kept. */
START_TEST(a_segment_that_is_unreadable_in_part_is_kept)
{
	struct item *first = kit_accept(&kit, 6000, 1), *hidden = kit_accept(&kit, 6000, 1);
	struct item *last = kit_accept(&kit, 6000, 1), *filler;
	struct kit after = { .no_index = true };
	struct item *one, *other;

	bad_block = hidden->place.offset & ~(uint64_t)4095;
	kit_close(&kit);
	bad_path = KIT_FOLDER "/00000001.seg";
	ck_assert_int_eq(kit_open(&after, make_flaky(disk), KIT_FOLDER, 0), 0);
	ck_assert_ptr_null(kit_find(&after, hidden->id));
	one = (struct item *)kit_find(&after, first->id);
	other = (struct item *)kit_find(&after, last->id);
	ck_assert_ptr_nonnull(other);
	if (one)
		spool_finish(after.spool, one);
	spool_finish(after.spool, other);
	for (int i = 0; i < 6 && memdisk_count(disk, KIT_FOLDER "/corrupt/00000001") == 0; i++) {
		filler = kit_accept(&after, 50000, 1);
		spool_finish(after.spool, filler);
		(void)kit_sync(&after);
		item_free(&filler);
	}
	kit_close(&after);
	bad_path = NULL;
	ck_assert_uint_eq(memdisk_count(disk, KIT_FOLDER "/00000001.seg"), 0);
	ck_assert_uint_eq(memdisk_count(disk, KIT_FOLDER "/corrupt/1-"), 2);
	item_free(&first);
	item_free(&hidden);
	item_free(&last);
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("spool_failed");
	TCase *tests = tcase_create("failed");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_lost_mark_about_the_tail_is_said_again);
	tcase_add_test(tests, a_segment_that_a_lost_finish_emptied_is_covered);
	tcase_add_test(tests, a_free_segment_that_cannot_be_opened_is_not_forgotten);
	tcase_add_test(tests, what_a_start_reads_is_synced_first);
	tcase_add_loop_test(tests, reads_that_fail_for_a_while_lose_nothing, 0, 2);
	tcase_add_test(tests, a_segment_that_is_unreadable_in_part_is_kept);
	suite_add_tcase(all, tests);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
