/* SPDX-License-Identifier: Apache-2.0 */
/* spool_index.c - unit tests of the index at a segment's end: a start that reads no bodies. */
#include "run.h"
#include "tests/unit/memdisk.h"
#include "tests/unit/spool_kit.h"

#include <core/base/text.h>
#include <core/queue/segment.h>
#include <core/queue/segment_index.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SIZE    (64u * 1024)
#define TRAILER (SIZE - SEGMENT_INDEX_TRAILER)
#define ONE     "one 00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef\n"
#define TWO     "two ffeeddccbbaa99887766554433221100fedcba9876543210fedcba9876543210\n"

static struct memdisk *disk;
static struct kit kit;

static void
open_spool(void)
{
	ck_assert_msg(kit_open(&kit, &disk->io, KIT_FOLDER, 0) == 0, "%s", kit.err.text);
}

static void
open_again(void)
{
	kit_close(&kit);
	open_spool();
}

static void
setup(void)
{
	disk = memdisk_new();
	open_spool();
}

static void
teardown(void)
{
	if (kit.spool)
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

static uint8_t *
segment_bytes(struct memdisk *of, unsigned slot)
{
	char path[64];
	GByteArray *bytes;

	g_snprintf(path, sizeof(path), KIT_FOLDER "/%08x.seg", slot);
	bytes = memdisk_bytes(of, path);
	return bytes ? bytes->data : NULL;
}

/* 0: it has none of its own. */
static uint64_t
index_at(const uint8_t *segment)
{
	const char *trailer = (const char *)segment + TRAILER;

	if (memcmp(trailer, "PNINDEX\n", 8) != 0 ||
	    field_load64(trailer + 8) != field_load64((const char *)segment + 24))
		return 0;
	return field_load64(trailer + 16);
}

static unsigned
count_indexes(unsigned last)
{
	unsigned count = 0;

	for (unsigned slot = 1; slot <= last; slot++)
		count += segment_bytes(disk, slot) && index_at(segment_bytes(disk, slot)) > 0;
	return count;
}

/* All that a start hands out, as text. */
static char *
dump(const struct kit *from)
{
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < from->items->len; i++) {
		const struct item *item = g_ptr_array_index(from->items, i);

		g_string_append_printf(text, "%s %lu %lu %lu %s %s\n", item->id,
		    (unsigned long)item->place.segment, (unsigned long)item->place.offset,
		    (unsigned long)item->size, item->envelope.sender, item->replaces);
		for (size_t k = 0; k < item->envelope.count; k++)
			g_string_append_printf(text, " %s %d %u\n",
			    item->envelope.recipients[k].address, (int)item->recipients[k].state,
			    item->recipients[k].attempts);
	}
	return g_string_free(text, FALSE);
}

/* What a start from a copy of `from` hands out; the caller's to free. */
static char *
start_from(const struct memdisk *from, bool no_index, struct spool_figures *ret, guint *ret_told)
{
	struct memdisk *copy = memdisk_copy((struct memdisk *)(uintptr_t)from);
	struct kit other = { .no_index = no_index };
	char *text;

	ck_assert_int_eq(kit_open(&other, &copy->io, KIT_FOLDER, 0), 0);
	text = dump(&other);
	if (ret)
		spool_figures(other.spool, ret);
	if (ret_told)
		*ret_told = other.whats->len;
	kit_close(&other);
	memdisk_free(&copy);
	return text;
}

static void
check_alike(const struct memdisk *from, const char *how)
{
	struct memdisk *now = memdisk_copy((struct memdisk *)(uintptr_t)from);
	char *by_index = start_from(now, false, NULL, NULL);
	char *whole = start_from(now, true, NULL, NULL);

	ck_assert_msg(
	    strcmp(by_index, whole) == 0, "%s: by index:\n%swhole:\n%s", how, by_index, whole);
	memdisk_free(&now);
	g_free(by_index);
	g_free(whole);
}

static void
mark(struct item *item)
{
	uint32_t index = 1;

	item->recipients[1].attempts++;
	spool_mark(kit.spool, item, &index, 1);
}

static void
finish(struct item **item)
{
	spool_finish(kit.spool, *item);
	item_free(item);
}

static void
fill(struct item *items[], size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++) {
		items[i] = kit_accept(&kit, size, 2);
		if (i % 3 == 2)
			mark(items[i / 2]);
	}
	ck_assert_int_eq(kit_sync(&kit), 0); /* nothing is under way */
}

static void
free_all(struct item *items[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		item_free(&items[i]);
}

/* ---- what is read ---- */

/* 60 bodies of 5,000 bytes: 300,000 in all. */
START_TEST(bodies_are_not_read)
{
	struct item *items[60];
	struct spool_figures now;

	fill(items, 60, 5000);
	kit_close(&kit);
	disk->read_bytes = 0;
	open_spool();
	now = figures();
	ck_assert_uint_ge(now.indexed, 5);
	ck_assert_uint_eq(now.scanned, 1);
	ck_assert_uint_eq(kit.whats->len, 0);
	/* Of the last segment all, perhaps twice; of the others what they lead to. */
	ck_assert_uint_lt(disk->read_bytes, 2 * SIZE + 60 * 600 + now.indexed * 2048);
	ck_assert_uint_eq(kit.items->len, 60);
	for (size_t i = 0; i < 60; i++) {
		const struct item *back = kit_find(&kit, items[i]->id);

		ck_assert_ptr_nonnull(back);
		ck_assert_uint_eq(back->recipients[1].attempts, items[i]->recipients[1].attempts);
		kit_check_read(&kit, back);
	}
	free_all(items, 60);
}
END_TEST

/* Found by its index and damaged: that is seen when it is read, and costs nobody else. */
START_TEST(a_damaged_body_is_found_later)
{
	struct item *items[30];
	struct mail_bytes *bytes = NULL;

	fill(items, 30, 5000);
	segment_bytes(disk, 1)[items[1]->place.offset + 2000] ^= 1;
	open_again();
	ck_assert_uint_eq(kit.items->len, 30);
	ck_assert_uint_eq(kit.whats->len, 0);
	ck_assert_int_eq(spool_read(kit.spool, kit_find(&kit, items[1]->id), &bytes), -EBADMSG);
	ck_assert_uint_eq(memdisk_count(disk, KIT_FOLDER "/corrupt/1-"), 1);
	ck_assert_uint_eq(kit.whats->len, 1);
	ck_assert_ptr_nonnull(strstr(g_ptr_array_index(kit.whats, 0), items[1]->id));
	for (size_t i = 0; i < 30; i++)
		if (i != 1)
			kit_check_read(&kit, kit_find(&kit, items[i]->id));
	/* It is reported to its sender, and leaves. */
	spool_finish(kit.spool, items[1]);
	open_again();
	ck_assert_uint_eq(kit.items->len, 29);
	free_all(items, 30);
}
END_TEST

/* A segment made for one large message has an index as well. */
START_TEST(large_messages)
{
	struct item *items[6];

	for (size_t i = 0; i < 6; i++)
		items[i] = kit_accept(&kit, 3 << 20, 1);
	kit_close(&kit);
	disk->read_bytes = 0;
	open_spool();
	ck_assert_uint_eq(figures().indexed, 5);
	ck_assert_uint_lt(disk->read_bytes, 3 * (3 << 20));
	for (size_t i = 0; i < 6; i++)
		kit_check_read(&kit, kit_find(&kit, items[i]->id));
	free_all(items, 6);
}
END_TEST

/* Where heads are much of a segment an index would save little and cost much. */
START_TEST(small_messages_have_none)
{
	struct item *item;

	for (size_t i = 0; i < 800; i++) {
		item = kit_accept(&kit, 100, 2);
		item_free(&item);
	}
	open_again();
	ck_assert_uint_eq(figures().indexed, 0);
	ck_assert_uint_gt(figures().scanned, 3);
	ck_assert_uint_eq(kit.items->len, 800);
}
END_TEST

/* ---- damage ---- */

/* Two segments and the beginning of a third; returns where the first one's index is. */
static uint64_t
two_and_a_bit(void)
{
	struct item *items[26];
	uint64_t at;

	fill(items, 26, 5000);
	finish(&items[3]);
	items[3] = kit_accept(&kit, 10, 1); /* so that this is written */
	kit_close(&kit);
	at = index_at(segment_bytes(disk, 1));
	ck_assert_uint_gt(at, SEGMENT_RECORDS_AT);
	ck_assert_uint_eq(count_indexes(9), 2);
	free_all(items, 26);
	return at;
}

static uint64_t
end_of_index(uint64_t at)
{
	const char *record = (const char *)segment_bytes(disk, 1) + at;

	return at + RECORD_HEADER + field_load32(record + 32) + field_load64(record + 24);
}

/* The disk has one byte of the first index flipped: no difference, but it is said. */
static void
check_flipped(const struct memdisk *flipped, uint64_t at, const char *want)
{
	struct spool_figures now;
	guint told;
	char *got = start_from(flipped, false, &now, &told);
	bool counts = at < TRAILER || at >= TRAILER + 16;

	ck_assert_msg(strcmp(got, want) == 0, "byte %lu: %s", (unsigned long)at, got);
	ck_assert_msg(
	    now.indexed == 1 && now.scanned == 2, "byte %lu was believed", (unsigned long)at);
	/* Under another magic or epoch it is none of this segment's. */
	ck_assert_msg(counts ? told >= 1 : told == 0, "byte %lu: told %u", (unsigned long)at, told);
	g_free(got);
}

START_TEST(a_flipped_byte)
{
	uint64_t at = two_and_a_bit(), end = end_of_index(at);
	char *want = start_from(disk, true, NULL, NULL);

	for (uint64_t i = at; i < SIZE; i += i >= TRAILER ? 1 : 5) {
		struct memdisk *flipped = memdisk_copy(disk);

		if (i >= end && i < TRAILER) /* nothing is there */
			i = TRAILER;
		segment_bytes(flipped, 1)[i] ^= (uint8_t)(1 + i % 255);
		check_flipped(flipped, i, want);
		memdisk_free(&flipped);
	}
	g_free(want);
}
END_TEST

/* The power went while it was written: it ends anywhere, in zeroes or in what was there before. */
START_TEST(a_torn_index)
{
	uint64_t at = two_and_a_bit(), end = end_of_index(at);
	char *want = start_from(disk, true, NULL, NULL);

	for (uint64_t from = at; from < end; from += 29) {
		struct memdisk *torn = memdisk_copy(disk);
		struct spool_figures now;
		char *got;

		memset(segment_bytes(torn, 1) + from, _i ? 0x55 : 0, end - from);
		got = start_from(torn, false, &now, NULL);
		ck_assert_str_eq(got, want);
		ck_assert_uint_eq(now.indexed, 1);
		g_free(got);
		/* Or its trailer was not. */
		memset(segment_bytes(torn, 1) + TRAILER, 0, SEGMENT_INDEX_TRAILER);
		got = start_from(torn, false, &now, NULL);
		ck_assert_str_eq(got, want);
		ck_assert_uint_eq(now.indexed, 1);
		g_free(got);
		memdisk_free(&torn);
	}
	g_free(want);
}
END_TEST

/* ---- other epochs ---- */

static void
put_trailer(uint8_t *segment, uint64_t epoch, uint64_t offset)
{
	segment_index_trailer(epoch, offset, (char *)segment + TRAILER);
}

/* The file that has this segment, if it also has an index from an earlier use. */
static unsigned
find_used_again(uint64_t segment)
{
	for (unsigned slot = 1; slot < 20; slot++) {
		const char *bytes = (const char *)segment_bytes(disk, slot);

		if (bytes && field_load64(bytes + 16) == segment &&
		    memcmp(bytes + TRAILER, "PNINDEX\n", 8) == 0)
			return slot;
	}
	return 0;
}

/* The file is used again: whatever its end says is about messages long gone. */
START_TEST(an_old_index_is_not_believed)
{
	struct item *items[26], *last = NULL;
	uint64_t left;
	unsigned old = 0;

	fill(items, 26, 5000);
	for (size_t i = 0; i < 26; i++)
		finish(&items[i]);
	for (int i = 0; i < 20 && old == 0; i++) {
		for (int k = 0; k < 7; k++) {
			if (last)
				finish(&last);
			last = kit_accept(&kit, 9000, 1);
		}
		kit_close(&kit);
		old = find_used_again(last->place.segment);
		if (old == 0)
			open_spool();
	}
	ck_assert_uint_gt(old, 0);
	left = field_load64((const char *)segment_bytes(disk, old) + TRAILER + 8);
	ck_assert_uint_eq(index_at(segment_bytes(disk, old)), 0);
	check_alike(disk, "used again");
	/* And not either where somebody has put this epoch over it. */
	put_trailer(segment_bytes(disk, old),
	    field_load64((const char *)segment_bytes(disk, old) + 24),
	    field_load64((const char *)segment_bytes(disk, old) + TRAILER + 16));
	check_alike(disk, "under a new epoch");
	put_trailer(segment_bytes(disk, old), left, 3);
	check_alike(disk, "under an old one");
	open_spool();
	ck_assert_uint_eq(kit.items->len, 1);
	kit_check_read(&kit, kit_find(&kit, last->id));
	item_free(&last);
}
END_TEST

/* ---- offsets that a trailer may not have ---- */

static const uint64_t wrong[] = { 0, SEGMENT_RECORDS_AT - 16, SEGMENT_RECORDS_AT,
	SEGMENT_RECORDS_AT + 8, SIZE - 48, SIZE, UINT64_MAX, UINT64_MAX - 47 };

START_TEST(trailers_that_lead_nowhere)
{
	struct spool_figures now;
	char *want, *got;
	guint told;

	two_and_a_bit();
	want = start_from(disk, true, NULL, NULL);
	put_trailer(segment_bytes(disk, 1), field_load64((const char *)segment_bytes(disk, 1) + 24),
	    wrong[_i]);
	got = start_from(disk, false, &now, &told);
	ck_assert_str_eq(got, want);
	ck_assert_uint_eq(now.indexed, 1);
	ck_assert_uint_eq(told, 1);
	g_free(got);
	g_free(want);
}
END_TEST

/* ---- keys ---- */

static void
open_with(const char *keys)
{
	if (kit.spool)
		kit_close(&kit);
	kit.keys = keys;
	open_spool();
}

START_TEST(keys_change)
{
	struct keyring *keys = kit_keys(TWO ONE);
	struct item *items[40];

	open_with(ONE);
	fill(items, 20, 5000);
	ck_assert_int_eq(spool_set_keys(kit.spool, keys, NULL, NULL), 0);
	keyring_release(&keys);
	fill(items + 20, 20, 5000);
	open_with(TWO ONE);
	ck_assert_uint_ge(figures().indexed, 3);
	ck_assert_uint_eq(kit.items->len, 40);
	ck_assert_uint_eq(kit.whats->len, 0);
	for (size_t i = 0; i < 40; i++)
		kit_check_read(&kit, kit_find(&kit, items[i]->id));
	free_all(items, 40);
}
END_TEST

static unsigned
count_encrypted(const char *text)
{
	unsigned count = 0;

	for (unsigned slot = 1; slot < 20; slot++) {
		const uint8_t *bytes = segment_bytes(disk, slot);

		count += bytes && memmem(bytes, SIZE, text, strlen(text));
	}
	return count;
}

/* Heads in an index are as secret as heads. */
START_TEST(nothing_of_it_is_in_clear)
{
	struct item *items[30];

	open_with(ONE);
	fill(items, 30, 5000);
	ck_assert_uint_ge(count_indexes(9), 2);
	ck_assert_uint_eq(count_encrypted("example.net"), 0);
	ck_assert_uint_eq(count_encrypted(items[0]->id), 0);
	free_all(items, 30);
}
END_TEST

START_TEST(none_beside_a_locked_segment)
{
	struct item *items[30], *first;

	open_with(ONE);
	first = kit_accept(&kit, 100, 2);
	open_with(TWO);
	ck_assert_uint_eq(kit.items->len, 0);
	fill(items, 30, 5000);
	ck_assert_uint_eq(count_indexes(9), 0);
	open_with(TWO ONE);
	ck_assert_uint_eq(figures().indexed, 0);
	ck_assert_uint_eq(kit.items->len, 31);
	free_all(items, 30);
	/* And again, when it is not locked any more. */
	fill(items, 30, 5000);
	ck_assert_uint_ge(count_indexes(9), 2);
	kit_check_read(&kit, kit_find(&kit, first->id));
	free_all(items, 30);
	item_free(&first);
}
END_TEST

/* ---- the disk does not do as it should ---- */

START_TEST(an_index_that_cannot_be_written)
{
	struct item *items[60];
	size_t count = 0, of_each;

	do {
		items[count++] = kit_accept(&kit, 5000, 2);
	} while (items[count - 1]->place.segment == 1);
	ck_assert_uint_eq(count_indexes(9), 1);
	of_each = count - 1;
	while (count < 2 * of_each)
		items[count++] = kit_accept(&kit, 5000, 2);
	ck_assert_uint_eq(items[count - 1]->place.segment, 2);
	/* The third: its header twice, then the index of the second and the trailer. */
	memdisk_fail(disk, MEMDISK_FAIL_WRITE, 2 + _i, EIO);
	items[count++] = kit_accept(&kit, 5000, 2);
	ck_assert_int_eq(disk->faults[MEMDISK_FAIL_WRITE], -1);
	ck_assert_uint_eq(items[count - 1]->place.segment, 3);
	memdisk_mend(disk);
	ck_assert_uint_eq(figures().sync_failures, 0);
	for (size_t i = 0; i < 15; i++)
		items[count++] = kit_accept(&kit, 5000, 2);
	open_again();
	ck_assert_uint_eq(kit.items->len, count);
	for (size_t i = 0; i < count; i++)
		kit_check_read(&kit, kit_find(&kit, items[i]->id));
	free_all(items, count);
}
END_TEST

/* No other segment may be begun: marks take the room that the index would have had. */
START_TEST(marks_go_before_an_index)
{
	struct item *items[8], *next;
	uint32_t marks = 0;
	int r;

	for (size_t i = 0; i < 8; i++)
		items[i] = kit_accept(&kit, 6000, 2);
	ck_assert_uint_eq(items[7]->place.segment, 1);
	memdisk_break(disk, MEMDISK_FAIL_ALLOCATE, 0, ENOSPC);
	for (; marks < 36; marks++)
		mark(items[0]);
	ck_assert_int_eq(kit_sync(&kit), 0);
	memdisk_mend(disk);
	/* For a second no other is tried. */
	next = kit_item(6000, 2);
	while ((r = kit_append(&kit, next)) == -ENOSPC)
		g_usleep(10000);
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(next->place.segment, 2);
	ck_assert_uint_eq(index_at(segment_bytes(disk, 1)), 0);
	open_again();
	ck_assert_uint_eq(kit.items->len, 9);
	ck_assert_uint_eq(kit_find(&kit, items[0]->id)->recipients[1].attempts, marks);
	free_all(items, 8);
	item_free(&next);
}
END_TEST

/* ---- with all that the log knows ---- */

static struct item *
replan(struct item *old)
{
	static const uint32_t indices[] = { 0, 1 };
	struct item *item = kit_item(3000, 2);

	memcpy(item->replaces, old->id, ITEM_ID_SIZE);
	item->replaced = indices;
	item->replaced_count = 2;
	ck_assert_int_eq(kit_append(&kit, item), 0);
	spool_finish(kit.spool, old);
	item_free(&old);
	return item;
}

/* New plans, moves, failures, segments used again: all of it many times over. */
static void
live_a_little(struct item *stays[12])
{
	struct item *goes[5];

	for (int i = 0; i < 12; i++)
		stays[i] = kit_accept(&kit, 2500, 2);
	for (int i = 0; i < 48; i++) {
		for (int k = 0; k < 5; k++)
			goes[k] = kit_accept(&kit, 7000, 2);
		mark(stays[i % 12]);
		if (i % 5 == 4)
			stays[i % 12] = replan(stays[i % 12]);
		if (i % 11 == 10) {
			struct item *lost = kit_item(100, 2);

			memdisk_fail(disk, MEMDISK_FAIL_SYNC, 0, EIO);
			(void)kit_append(&kit, lost);
			memdisk_mend(disk);
			item_free(&lost);
		}
		for (int k = 0; k < 5; k++)
			finish(&goes[k]);
	}
}

START_TEST(start_compaction_start)
{
	struct item *stays[12], *last;

	live_a_little(stays);
	for (int round = 0; round < 4; round++) {
		kit_close(&kit);
		check_alike(disk, "between starts");
		open_spool();
		ck_assert_uint_eq(kit.items->len, 12);
		for (int i = 0; i < 12; i++) {
			const struct item *back = kit_find(&kit, stays[i]->id);

			ck_assert_ptr_nonnull(back);
			ck_assert_uint_eq(
			    back->recipients[1].attempts, stays[i]->recipients[1].attempts);
			kit_check_read(&kit, back);
		}
		/* What is left is moved, and where it was is used again. */
		for (int i = 0; i < 40; i++) {
			last = kit_accept(&kit, 9000, 2);
			finish(&last);
		}
	}
	for (int i = 0; i < 12; i++)
		finish(&stays[i]);
	last = kit_accept(&kit, 10, 1);
	finish(&last);
	open_again();
	ck_assert_uint_eq(kit.items->len, 0);
}
END_TEST

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

static void
check_readable(struct memdisk *left)
{
	struct kit after = { 0 };

	ck_assert_int_eq(kit_open(&after, &left->io, KIT_FOLDER, 0), 0);
	for (guint i = 0; i < after.items->len; i++)
		kit_check_read(&after, g_ptr_array_index(after.items, i));
	kit_close(&after);
}

/* Wherever the power goes: by its indexes the log says what it says without them. */
START_TEST(cut_anywhere_it_says_the_same)
{
	GRand *rand = g_rand_new_with_seed(4711);
	struct item *stays[12];

	kit_close(&kit);
	memdisk_free(&disk);
	disk = memdisk_new();
	memdisk_trace(disk);
	open_spool();
	live_a_little(stays);
	kit_close(&kit);
	for (guint cut = 1 + (guint)_i; cut <= disk->trace->len; cut += 8) {
		struct memdisk *left = memdisk_cut(
		    disk, cut, cut / 8 % 2 ? keep_some : keep_pieces, rand);

		check_alike(left, "cut");
		check_readable(left);
		memdisk_free(&left);
	}
	g_rand_free(rand);
	free_all(stays, 12);
}
END_TEST

/* Of what is not synced only headers and indexes get to the disk: the worst of all orders. */
static size_t
keep_indexes(void *arg, guint at)
{
	const struct memdisk *from = arg;
	const struct memdisk_event *event = &g_array_index(from->trace, struct memdisk_event, at);
	const uint8_t *bytes = event->kind == MEMDISK_WRITE ? event->bytes->data : NULL;

	if (!bytes || event->offset < SEGMENT_RECORDS_AT || event->offset == TRAILER)
		return SIZE_MAX;
	return bytes[5] == RECORD_CHECKPOINT ? SIZE_MAX : 0;
}

START_TEST(no_index_before_its_records)
{
	struct item *items[30];
	unsigned kept = 0;

	memdisk_trace(disk);
	for (int i = 0; i < 30; i++) {
		items[i] = kit_accept(&kit, 7000, 2);
		if (i > 2)
			finish(
			    &items[i - 2]); /* synced with the next one, or in the next segment */
	}
	kit_close(&kit);
	for (guint cut = 1; cut <= disk->trace->len; cut++) {
		struct memdisk *left = memdisk_cut(disk, cut, keep_indexes, disk);

		check_alike(left, "cut");
		check_readable(left);
		kept += segment_bytes(left, 1) && index_at(segment_bytes(left, 1)) > 0;
		memdisk_free(&left);
	}
	ck_assert_uint_gt(kept, 0);
	free_all(items, 30);
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("spool_index");
	TCase *tests = tcase_create("index");

	tcase_set_timeout(tests, 300);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, bodies_are_not_read);
	tcase_add_test(tests, a_damaged_body_is_found_later);
	tcase_add_test(tests, large_messages);
	tcase_add_test(tests, small_messages_have_none);
	tcase_add_test(tests, a_flipped_byte);
	tcase_add_loop_test(tests, a_torn_index, 0, 2);
	tcase_add_test(tests, an_old_index_is_not_believed);
	tcase_add_loop_test(tests, trailers_that_lead_nowhere, 0, G_N_ELEMENTS(wrong));
	tcase_add_test(tests, keys_change);
	tcase_add_test(tests, nothing_of_it_is_in_clear);
	tcase_add_test(tests, none_beside_a_locked_segment);
	tcase_add_loop_test(tests, an_index_that_cannot_be_written, 0, 2);
	tcase_add_test(tests, marks_go_before_an_index);
	tcase_add_test(tests, start_compaction_start);
	tcase_add_test(tests, no_index_before_its_records);
	tcase_add_loop_test(tests, cut_anywhere_it_says_the_same, 0, 2);
	suite_add_tcase(all, tests);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
