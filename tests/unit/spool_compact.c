/* SPDX-License-Identifier: Apache-2.0 */
/* spool_compact.c - unit tests of compaction: few messages left in a segment are moved out of it.
 */
#include "run.h"
#include "tests/unit/memdisk.h"
#include "tests/unit/spool_kit.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#define SEGMENTS 40
#define OF_EACH  6 /* messages of 10,000 bytes in a segment of 64 KiB, about */

static struct memdisk *disk;
static struct kit kit;

static void
setup(void)
{
	disk = memdisk_new();
	ck_assert_int_eq(kit_open(&kit, &disk->io, KIT_FOLDER, 0), 0);
}

static void
teardown(void)
{
	kit_close(&kit);
	memdisk_free(&disk);
}

static struct spool_figures
figures(void)
{
	struct spool_figures now;

	spool_figures(kit.spool, &now);
	return now;
}

/* Many segments, all of whose messages stay. */
static void
fill(struct item *items[SEGMENTS][OF_EACH])
{
	uint32_t index = 1;

	for (int i = 0; i < SEGMENTS; i++) {
		for (int k = 0; k < OF_EACH; k++)
			items[i][k] = kit_accept(&kit, 10000, 2);
		items[i][0]->recipients[1].attempts = (uint32_t)i + 1;
		items[i][0]->recipients[1].last_reply = "451 4.3.0 later";
		spool_mark(kit.spool, items[i][0], &index, 1);
	}
}

/* All but one of each segment. */
static void
finish_most(struct item *items[SEGMENTS][OF_EACH])
{
	for (int i = 0; i < SEGMENTS; i++)
		for (int k = 1; k < OF_EACH; k++) {
			spool_finish(kit.spool, items[i][k]);
			item_free(&items[i][k]);
		}
}

static void
wait_for_moves(uint64_t least)
{
	while (figures().moved < least)
		g_usleep(200);
}

static void
check_all(struct item *items[SEGMENTS][OF_EACH])
{
	ck_assert_uint_eq(kit.items->len, SEGMENTS);
	for (int i = 0; i < SEGMENTS; i++) {
		const struct item *back = kit_find(&kit, items[i][0]->id);

		ck_assert_ptr_nonnull(back);
		ck_assert_uint_eq(back->recipients[1].attempts, (uint32_t)i + 1);
		ck_assert_str_eq(back->recipients[1].last_reply, "451 4.3.0 later");
		kit_check_read(&kit, back);
	}
}

static void
free_all(struct item *items[SEGMENTS][OF_EACH])
{
	for (int i = 0; i < SEGMENTS; i++)
		item_free(&items[i][0]);
}

START_TEST(few_left_do_not_pin_segments)
{
	static struct item *items[SEGMENTS][OF_EACH];
	uint64_t before;

	fill(items);
	before = figures().segments;
	ck_assert_uint_ge(before, SEGMENTS);
	finish_most(items);
	wait_for_moves(SEGMENTS / 2);
	/* 40 of 10,000 bytes: 7 segments full, and some that are free or about to be. */
	while (figures().segments > 20)
		g_usleep(200);
	for (int i = 0; i < SEGMENTS; i++)
		kit_check_read(&kit, items[i][0]);
	for (int round = 0; round < 2; round++) {
		kit_close(&kit);
		ck_assert_int_eq(kit_open(&kit, &disk->io, KIT_FOLDER, 0), 0);
		ck_assert_uint_eq(kit.whats->len, 0);
		check_all(items);
	}
	free_all(items);
}
END_TEST

/* Held, moved, held still after a start; and released. */
START_TEST(held_and_moved_is_released)
{
	static struct item *items[SEGMENTS][OF_EACH];
	struct item_hold hold = { "legal asks", "root", 111, 222, ITEM_HOLD_DELETE };
	uint32_t index = 1;

	fill(items);
	for (int i = 0; i < SEGMENTS; i++) {
		items[i][0]->recipients[1].hold = &hold;
		spool_mark(kit.spool, items[i][0], &index, 1);
	}
	finish_most(items);
	wait_for_moves(SEGMENTS / 2);
	kit_close(&kit);
	ck_assert_int_eq(kit_open(&kit, &disk->io, KIT_FOLDER, 0), 0);
	check_all(items);
	for (int i = 0; i < SEGMENTS; i++) {
		struct item *back = kit_find(&kit, items[i][0]->id);

		ck_assert_ptr_nonnull(back->recipients[1].hold);
		ck_assert_str_eq(back->recipients[1].hold->reason, "legal asks");
		ck_assert_int_eq(back->recipients[1].hold->until_us, 222);
		ck_assert_int_eq(back->recipients[1].hold->end, ITEM_HOLD_DELETE);
		back->recipients[1].hold = NULL;
		spool_mark(kit.spool, back, &index, 1);
	}
	kit_close(&kit);
	ck_assert_int_eq(kit_open(&kit, &disk->io, KIT_FOLDER, 0), 0);
	check_all(items);
	for (int i = 0; i < SEGMENTS; i++)
		ck_assert_ptr_null(kit_find(&kit, items[i][0]->id)->recipients[1].hold);
	free_all(items);
}
END_TEST

/* What is finished after it was moved stays so, whatever segments were used again meanwhile. */
START_TEST(moved_and_finished_is_gone)
{
	static struct item *items[SEGMENTS][OF_EACH];
	struct item *item;

	fill(items);
	finish_most(items);
	wait_for_moves(SEGMENTS / 2);
	for (int i = 0; i < SEGMENTS; i++)
		spool_finish(kit.spool, items[i][0]);
	for (int i = 0; i < 100; i++) {
		item = kit_accept(&kit, 10000, 1);
		spool_finish(kit.spool, item);
		item_free(&item);
		if (i % 20 != 10)
			continue;
		kit_close(&kit);
		ck_assert_int_eq(kit_open(&kit, &disk->io, KIT_FOLDER, 0), 0);
		ck_assert_uint_eq(kit.items->len, 0);
	}
	free_all(items);
}
END_TEST

struct reader {
	struct item **items; /* the first of every OF_EACH */
	atomic_bool stop;
	uint64_t count;
};

static void *
read_all_the_time(void *arg)
{
	struct reader *reader = arg;

	for (int i = 0; !atomic_load(&reader->stop); i = (i + 1) % SEGMENTS) {
		kit_check_read(&kit, reader->items[(size_t)i * OF_EACH]);
		reader->count++;
	}
	return NULL;
}

START_TEST(reads_race_moves)
{
	static struct item *items[SEGMENTS][OF_EACH];
	struct reader reader = { .items = &items[0][0] };
	struct item *other;
	pthread_t thread;

	fill(items);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_all_the_time, &reader), 0);
	finish_most(items);
	/* Others come and go, so that what was freed is written over while it is read. */
	for (int i = 0; i < 300 || figures().moved < SEGMENTS / 2; i++) {
		other = kit_accept(&kit, 10000, 1);
		spool_finish(kit.spool, other);
		item_free(&other);
	}
	atomic_store(&reader.stop, true);
	pthread_join(thread, NULL);
	ck_assert_uint_gt(reader.count, 0);
	ck_assert_uint_eq(memdisk_count(disk, KIT_FOLDER "/corrupt"), 0);
	free_all(items);
}
END_TEST

/* Segments with a damaged message stay, and so does what is whole in them. */
START_TEST(damaged_is_not_moved)
{
	static struct item *items[SEGMENTS][OF_EACH];
	char path[64];
	struct mail_bytes *bytes = NULL;

	fill(items);
	for (int i = 0; i < SEGMENTS; i += 4) {
		g_snprintf(path, sizeof(path), KIT_FOLDER "/%08x.seg",
		    (unsigned)items[i][0]->place.segment);
		memdisk_bytes(disk, path)->data[items[i][0]->place.offset + 2000] ^= 1;
	}
	finish_most(items);
	wait_for_moves(SEGMENTS / 4);
	for (int i = 0; i < SEGMENTS; i++)
		if (i % 4 != 0)
			kit_check_read(&kit, items[i][0]);
		else
			ck_assert_int_eq(spool_read(kit.spool, items[i][0], &bytes), -EBADMSG);
	free_all(items);
}
END_TEST

/* No new file may be made: what fits into old ones is moved, nothing is lost. */
START_TEST(a_full_disk_stops_it)
{
	static struct item *items[SEGMENTS][OF_EACH];

	fill(items);
	memdisk_break(disk, MEMDISK_FAIL_ALLOCATE, 0, ENOSPC);
	finish_most(items);
	g_usleep(20000);
	for (int i = 0; i < SEGMENTS; i++)
		kit_check_read(&kit, items[i][0]);
	kit_close(&kit);
	memdisk_mend(disk);
	ck_assert_int_eq(kit_open(&kit, &disk->io, KIT_FOLDER, 0), 0);
	for (int i = 0; i < SEGMENTS; i++)
		ck_assert_ptr_nonnull(kit_find(&kit, items[i][0]->id));
	free_all(items);
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("spool_compact");
	TCase *tests = tcase_create("compact");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, few_left_do_not_pin_segments);
	tcase_add_test(tests, held_and_moved_is_released);
	tcase_add_test(tests, moved_and_finished_is_gone);
	tcase_add_test(tests, reads_race_moves);
	tcase_add_test(tests, damaged_is_not_moved);
	tcase_add_test(tests, a_full_disk_stops_it);
	suite_add_tcase(all, tests);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
