/* SPDX-License-Identifier: Apache-2.0 */
/* spool.c - unit tests of the spool: what goes in comes back, what fails is refused for good. */
#include "run.h"
#include "tests/unit/memdisk.h"
#include "tests/unit/spool_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct memdisk *disk;
static struct kit kit;

static void
open_spool(void)
{
	int r = kit_open(&kit, &disk->io, KIT_FOLDER, 0);

	ck_assert_msg(r == 0, "%s", kit.err.text);
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
	kit_close(&kit);
	memdisk_free(&disk);
}

/* The marks given so far are written when a later message is answered. */
static void
settle(void)
{
	struct item *item = kit_accept(&kit, 10, 1);

	spool_finish(kit.spool, item);
	item_free(&item);
}

static void
finish(struct item **item)
{
	spool_finish(kit.spool, *item);
	item_free(item);
}

/* ---- ids ---- */

START_TEST(ids_grow)
{
	char before[ITEM_ID_SIZE] = "", id[ITEM_ID_SIZE];

	for (int i = 0; i < 10000; i++) {
		item_id_new(id);
		ck_assert_uint_eq(strlen(id), 13);
		ck_assert_int_gt(strcmp(id, before), 0);
		memcpy(before, id, sizeof(id));
	}
}
END_TEST

START_TEST(ids_stay_above_the_floor)
{
	static const char bad[][ITEM_ID_SIZE] = { "", "not an id ...", "0", "ZZZZZZZZZZZZZ" };
	char id[ITEM_ID_SIZE], floor[ITEM_ID_SIZE];

	item_id_new(floor);
	floor[1] = floor[1] == 'Z' ? 'Z' : (char)(floor[1] + 1); /* years from now */
	item_id_floor(floor);
	item_id_new(id);
	ck_assert_int_gt(strcmp(id, floor), 0);
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		item_id_floor(bad[i]);
	item_id_new(floor);
	ck_assert_int_gt(strcmp(floor, id), 0);
}
END_TEST

/* ---- round trips ---- */

static struct item *
full_item(void)
{
	struct item *item = kit_item(1000, 2);
	struct mail_recipient *recipient = &item->envelope.recipients[1];
	const char **tags = arena_alloc(&item->arena, 2 * sizeof(*tags));
	struct item_effect *effect = arena_alloc(&item->arena, sizeof(*effect));

	static const struct certificate certificate = { .subject = "CN=ada",
		.fingerprint = "0123" };

	item->facts = (struct mail_facts){ "192.0.2.7", "[192.0.2.7]", "submission", "client",
		"alice", "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, &certificate, true, true, false,
		true, true };
	item->facts.client_uid = "1000";
	item->envelope.original_sender = "Alice@example.org";
	item->envelope.envid = "QQ314159";
	item->envelope.auth = "";
	item->envelope.ret = MAIL_RET_HDRS;
	recipient->original = "alias@example.net";
	recipient->orcpt = "rfc822;alias@example.net";
	recipient->notify = MAIL_NOTIFY_SUCCESS | MAIL_NOTIFY_FAILURE;
	tags[0] = "phi";
	tags[1] = "";
	item->tags = tags;
	item->tag_count = 2;
	*effect = (struct item_effect){ "tracking", "row", pn_slice("a\0b", 3) };
	item->effects = effect;
	item->effect_count = 1;
	item->needs_utf8 = true;
	return item;
}

START_TEST(all_of_an_item_comes_back)
{
	struct item *item = full_item(), *back;

	ck_assert_int_eq(kit_append(&kit, item), 0);
	ck_assert_uint_gt(item->place.segment, 0);
	kit_check_read(&kit, item);
	open_again();
	back = kit_find(&kit, item->id);
	ck_assert_ptr_nonnull(back);
	ck_assert_int_eq(back->accepted_us, item->accepted_us);
	ck_assert_str_eq(back->facts.client_address, "192.0.2.7");
	ck_assert_str_eq(back->facts.client_literal, "[192.0.2.7]");
	ck_assert_str_eq(back->facts.listener, "submission");
	ck_assert_str_eq(back->facts.helo, "client");
	ck_assert_str_eq(back->facts.user, "alice");
	ck_assert_str_eq(back->facts.tls_version, "TLSv1.3");
	ck_assert_str_eq(back->facts.tls_cipher, "TLS_AES_256_GCM_SHA384");
	ck_assert_int_eq(back->facts.tls_bits, 256);
	ck_assert_str_eq(back->facts.client_uid, "1000");
	ck_assert_str_eq(back->facts.certificate->fingerprint, "0123");
	ck_assert_str_eq(back->facts.certificate->subject, "CN=ada");
	ck_assert_uint_eq(back->facts.certificate->address_count, 0);
	ck_assert(back->facts.esmtp && back->facts.smtputf8 && back->facts.binary);
	ck_assert(!back->facts.eightbit && back->facts.requiretls);
	ck_assert_str_eq(back->envelope.sender, "alice@example.org");
	ck_assert_str_eq(back->envelope.original_sender, "Alice@example.org");
	ck_assert_str_eq(back->envelope.envid, "QQ314159");
	ck_assert_str_eq(back->envelope.auth, "");
	ck_assert_int_eq(back->envelope.ret, MAIL_RET_HDRS);
	ck_assert_uint_eq(back->envelope.count, 2);
	ck_assert_ptr_eq(
	    back->envelope.recipients[0].original, back->envelope.recipients[0].address);
	ck_assert_ptr_null(back->envelope.recipients[0].orcpt);
	ck_assert_str_eq(back->envelope.recipients[1].address, "r1@example.net");
	ck_assert_str_eq(back->envelope.recipients[1].original, "alias@example.net");
	ck_assert_str_eq(back->envelope.recipients[1].orcpt, "rfc822;alias@example.net");
	ck_assert_uint_eq(back->envelope.recipients[1].notify, 6);
	ck_assert_uint_eq(back->tag_count, 2);
	ck_assert_str_eq(back->tags[0], "phi");
	ck_assert_str_eq(back->tags[1], "");
	ck_assert_uint_eq(back->effect_count, 1);
	ck_assert_str_eq(back->effects[0].entry, "tracking");
	ck_assert_str_eq(back->effects[0].name, "row");
	ck_assert(pn_slice_equals(back->effects[0].bytes, pn_slice("a\0b", 3)));
	ck_assert(!back->effects_done && back->needs_utf8 && !back->has_eightbit);
	ck_assert_ptr_null(back->bytes);
	ck_assert_uint_eq(back->size, 1000);
	ck_assert_uint_eq(back->unfinished, 2);
	kit_check_read(&kit, back);
	item_free(&item);
}
END_TEST

START_TEST(marks_come_back)
{
	struct item *item = kit_accept(&kit, 300, 3), *back;
	uint32_t some[] = { 0, 2 }, last[] = { 2 };

	item->recipients[0] = (struct item_recipient){ &item->envelope.recipients[0],
		ITEM_DELIVERED, 1, { 0 }, 0, 111, "250 2.0.0 ok", "mx.example.net" };
	item->recipients[1].state = ITEM_SENDING;
	item->recipients[2] = (struct item_recipient){ &item->envelope.recipients[2], ITEM_WAITING,
		1, { 0 }, 222, 111, "451 later", NULL };
	spool_mark(kit.spool, item, some, 2);
	spool_mark_effects(kit.spool, item);
	item->recipients[2].state = ITEM_SENDING;
	item->recipients[2].attempts = 2;
	spool_mark(kit.spool, item, last, 1);
	/* Twice: the second time it comes from what recovery put into the index. */
	for (int i = 0; i < 2; i++) {
		open_again();
		back = kit_find(&kit, item->id);
		ck_assert_ptr_nonnull(back);
		ck_assert(back->effects_done);
		ck_assert_uint_eq(back->unfinished, 2);
		ck_assert_int_eq(back->recipients[0].state, ITEM_DELIVERED);
		ck_assert_str_eq(back->recipients[0].last_reply, "250 2.0.0 ok");
		ck_assert_str_eq(back->recipients[0].last_remote, "mx.example.net");
		ck_assert_int_eq(back->recipients[1].state, ITEM_WAITING);
		ck_assert_uint_eq(back->recipients[1].attempts, 0);
		ck_assert_int_eq(back->recipients[2].state, ITEM_WAITING);
		ck_assert_uint_eq(back->recipients[2].attempts, 2);
		ck_assert_int_eq(back->recipients[2].due_us, 222);
		ck_assert_str_eq(back->recipients[2].last_reply, "451 later");
		ck_assert_ptr_null(back->recipients[2].last_remote);
		ck_assert_ptr_eq(back->recipients[2].envelope, &back->envelope.recipients[2]);
	}
	item_free(&item);
}
END_TEST

static void
check_held(const struct item *back)
{
	const struct item_hold *hold = back->recipients[1].hold;

	ck_assert_ptr_null(back->recipients[0].hold);
	ck_assert_int_eq(back->recipients[1].state, ITEM_WAITING);
	ck_assert_ptr_nonnull(hold);
	ck_assert_str_eq(hold->reason, "legal asks");
	ck_assert_str_eq(hold->owner, "root");
	ck_assert_int_eq(hold->since_us, 111);
	ck_assert_int_eq(hold->until_us, 222);
	ck_assert_int_eq(hold->end, ITEM_HOLD_DELETE);
}

static void
fill_segments(void)
{
	for (int i = 0; i < 200; i++) {
		struct item *other = kit_accept(&kit, 10000, 1);

		finish(&other);
	}
}

/* Also where only a STATE record says so, and gone when he was released. */
START_TEST(held_comes_back)
{
	struct item_hold hold = { "legal asks", "root", 111, 222, ITEM_HOLD_DELETE };
	struct item *item = kit_accept(&kit, 300, 2);
	uint32_t second = 1;

	item->recipients[1].hold = &hold;
	spool_mark(kit.spool, item, &second, 1);
	ck_assert_int_eq(kit_sync(&kit), 0);
	for (int i = 0; i < 2; i++) {
		open_again();
		check_held(kit_find(&kit, item->id));
	}
	fill_segments();
	open_again();
	check_held(kit_find(&kit, item->id));
	item->recipients[1].hold = NULL;
	spool_mark(kit.spool, item, &second, 1);
	open_again();
	ck_assert_ptr_null(kit_find(&kit, item->id)->recipients[1].hold);
	item_free(&item);
}
END_TEST

START_TEST(finished_is_gone)
{
	struct item *first = kit_accept(&kit, 300, 1), *second = kit_accept(&kit, 300, 1);
	char id[ITEM_ID_SIZE];

	memcpy(id, second->id, sizeof(id));
	finish(&first);
	open_again();
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_ptr_nonnull(kit_find(&kit, id));
	item_free(&second);
}
END_TEST

START_TEST(empty_and_odd_sizes)
{
	struct item *items[40];

	for (size_t i = 0; i < 40; i++)
		items[i] = kit_accept(&kit, i, 1);
	open_again();
	ck_assert_uint_eq(kit.items->len, 40);
	for (size_t i = 0; i < 40; i++) {
		kit_check_read(&kit, items[i]);
		kit_check_read(&kit, kit_find(&kit, items[i]->id));
		item_free(&items[i]);
	}
}
END_TEST

START_TEST(larger_than_a_segment)
{
	struct item *small = kit_accept(&kit, 100, 1), *large = kit_accept(&kit, 1000 * 1000, 1),
		    *next;

	next = kit_accept(&kit, 100, 1);
	ck_assert_uint_ne(large->place.segment, small->place.segment);
	ck_assert_uint_ne(large->place.segment, next->place.segment);
	open_again();
	ck_assert_uint_eq(kit.items->len, 3);
	kit_check_read(&kit, kit_find(&kit, large->id));
	kit_check_read(&kit, kit_find(&kit, next->id));
	/* Its segment is of no use for others, and goes. */
	finish(&small);
	finish(&large);
	finish(&next);
	settle();
	open_again();
	ck_assert_uint_eq(kit.items->len, 0);
	kit_close(&kit);
	ck_assert_uint_le(memdisk_count(disk, KIT_FOLDER "/0"), 3);
	open_spool();
}
END_TEST

/* ---- many segments ---- */

START_TEST(segments_are_used_again)
{
	struct spool_figures figures;
	struct item *item;

	for (int i = 0; i < 500; i++) {
		item = kit_accept(&kit, 10000, 1);
		finish(&item);
	}
	spool_figures(kit.spool, &figures);
	ck_assert_uint_eq(figures.appended, 500);
	ck_assert_uint_le(figures.segments, 8);
	open_again();
	ck_assert_uint_eq(kit.items->len, 0);
}
END_TEST

/* An old message, and what was said of it, outlives the segments that said it. */
START_TEST(old_messages_do_not_hold_the_rest)
{
	struct item *old[20], *item;
	uint32_t index = 0;
	struct spool_figures figures;

	for (int i = 0; i < 20; i++)
		old[i] = kit_accept(&kit, 5000, 1);
	for (int i = 0; i < 500; i++) {
		struct item *one = old[i % 20];

		item = kit_accept(&kit, 10000, 1);
		if (one) {
			one->recipients[0].attempts++;
			spool_mark(kit.spool, one, &index, 1);
		}
		finish(&item);
		if (i == 250)
			for (int k = 0; k < 20; k += 2)
				finish(&old[k]);
	}
	spool_figures(kit.spool, &figures);
	ck_assert_uint_le(figures.segments, 20);
	for (int round = 0; round < 3; round++) {
		open_again();
		ck_assert_uint_eq(kit.items->len, 10);
		for (int k = 1; k < 20; k += 2) {
			const struct item *back = kit_find(&kit, old[k]->id);

			ck_assert_ptr_nonnull(back);
			ck_assert_uint_eq(back->recipients[0].attempts, 25);
			kit_check_read(&kit, back);
		}
		settle();
	}
	for (int k = 1; k < 20; k += 2)
		finish(&old[k]);
	settle();
	open_again();
	ck_assert_uint_eq(kit.items->len, 0);
}
END_TEST

/* STATE records are cut into several where a segment holds much. */
START_TEST(many_recipients_survive_a_checkpoint)
{
	struct item *item;
	const struct item *back;

	item = kit_accept(&kit, 1000, 3000);
	for (uint32_t i = 0; i < 3000; i++) {
		item->recipients[i].attempts = i;
		item->recipients[i].last_reply =
		    "451 4.3.0 a long reply of the kind that servers give when they are busy";
		if (i % 2)
			item->recipients[i].state = ITEM_DELIVERED;
		spool_mark(kit.spool, item, &i, 1);
	}
	fill_segments();
	open_again();
	back = kit_find(&kit, item->id);
	ck_assert_ptr_nonnull(back);
	ck_assert_uint_eq(back->unfinished, 1500);
	for (uint32_t i = 0; i < 3000; i++)
		ck_assert_uint_eq(back->recipients[i].attempts, i);
	item_free(&item);
}
END_TEST

START_TEST(ids_grow_across_restarts)
{
	struct item *item = kit_accept(&kit, 100, 1);
	char id[ITEM_ID_SIZE], next[ITEM_ID_SIZE];

	memcpy(id, item->id, sizeof(id));
	id[0] = 'E'; /* the clock was far ahead */
	memcpy(item->id, id, sizeof(id));
	ck_assert_int_eq(kit_append(&kit, item), 0);
	finish(&item);
	for (int i = 0; i < 100; i++) { /* its record is overwritten */
		item = kit_accept(&kit, 10000, 1);
		finish(&item);
	}
	open_again();
	item_id_new(next);
	ck_assert_int_gt(strcmp(next, id), 0);
}
END_TEST

/* ---- failures ---- */

static const struct {
	enum memdisk_fault what;
	int error, want;
} faults[] = {
	{ MEMDISK_FAIL_SYNC, EIO, -EIO },
	{ MEMDISK_FAIL_WRITE, EIO, -EIO },
	{ MEMDISK_FAIL_WRITE, ENOSPC, -ENOSPC },
	{ MEMDISK_FAIL_WRITE, EDQUOT, -ENOSPC },
	{ MEMDISK_FAIL_SYNC, EDQUOT, -ENOSPC },
};

START_TEST(a_failed_commit_is_refused_for_good)
{
	struct item *before = kit_accept(&kit, 200, 1), *refused = kit_item(300, 1), *after;
	uint32_t index = 0;
	struct spool_figures figures;

	memdisk_fail(disk, faults[_i].what, 0, faults[_i].error);
	ck_assert_int_eq(kit_append(&kit, refused), faults[_i].want);
	after = kit_accept(&kit, 400, 1);
	ck_assert_uint_ne(after->place.segment, before->place.segment);
	before->recipients[0].attempts = 5;
	spool_mark(kit.spool, before, &index, 1);
	spool_figures(kit.spool, &figures);
	ck_assert_uint_eq(figures.sync_failures, 1);
	open_again();
	ck_assert_uint_eq(kit.items->len, 2);
	ck_assert_ptr_null(kit_find(&kit, refused->id));
	kit_check_read(&kit, kit_find(&kit, before->id));
	kit_check_read(&kit, kit_find(&kit, after->id));
	ck_assert_uint_eq(kit_find(&kit, before->id)->recipients[0].attempts, 5);
	item_free(&before);
	item_free(&refused);
	item_free(&after);
}
END_TEST

static uint64_t
failures(void)
{
	struct spool_figures figures;

	spool_figures(kit.spool, &figures);
	return figures.sync_failures;
}

/* Marks that went down with a segment are said again in the next. */
START_TEST(marks_survive_a_failed_segment)
{
	struct item *done = kit_accept(&kit, 200, 1), *late = kit_accept(&kit, 200, 2),
		    *refused = kit_item(1, 1);
	uint32_t index = 0;

	memdisk_fail(disk, MEMDISK_FAIL_WRITE, 0, EIO);
	late->recipients[0].state = ITEM_DELIVERED;
	spool_mark(kit.spool, late, &index, 1); /* fails */
	while (failures() == 0)
		g_usleep(100);
	finish(&done);
	settle();
	open_again();
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_uint_eq(kit_find(&kit, late->id)->unfinished, 1);
	item_free(&late);
	item_free(&refused);
}
END_TEST

START_TEST(a_broken_disk_refuses_and_does_not_hang)
{
	struct item *before = kit_accept(&kit, 200, 1), *item;

	memdisk_break(disk, MEMDISK_FAIL_SYNC, 0, EIO);
	for (int i = 0; i < 20; i++) {
		item = kit_item(300, 1);
		ck_assert_int_eq(kit_append(&kit, item), -EIO);
		item_free(&item);
	}
	kit_close(&kit);
	memdisk_mend(disk);
	open_spool();
	ck_assert_ptr_nonnull(kit_find(&kit, before->id));
	item_free(&before);
}
END_TEST

START_TEST(a_full_disk_refuses_before_writing)
{
	struct item *before = kit_accept(&kit, 200, 1), *item = kit_item(200, 1);
	uint32_t index = 0;

	kit_close(&kit);
	disk->free_bytes = 1000000;
	ck_assert_int_eq(kit_open(&kit, &disk->io, KIT_FOLDER, 2000000), 0);
	ck_assert_int_eq(kit_append(&kit, item), -ENOSPC);
	/* What was accepted can still be noted. */
	before->recipients[0].attempts = 3;
	spool_mark(kit.spool, before, &index, 1);
	kit_close(&kit);
	disk->free_bytes = UINT64_MAX / 2;
	open_spool();
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_uint_eq(kit_find(&kit, before->id)->recipients[0].attempts, 3);
	item_free(&before);
	item_free(&item);
}
END_TEST

START_TEST(no_room_for_a_segment)
{
	struct item *item = NULL;
	int r = 0, accepted = 0;

	memdisk_break(disk, MEMDISK_FAIL_ALLOCATE, 1, ENOSPC);
	for (int i = 0; i < 30 && r == 0; i++) {
		item_free(&item);
		item = kit_item(10000, 1);
		r = kit_append(&kit, item);
		accepted += r == 0;
	}
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_int_ge(accepted, 5);
	item_free(&item);
	kit_close(&kit);
	memdisk_mend(disk);
	open_spool();
	ck_assert_int_eq((int)kit.items->len, accepted);
}
END_TEST

START_TEST(short_writes_are_continued)
{
	struct item *item;

	disk->short_writes = true;
	item = kit_accept(&kit, 5000, 2);
	open_again();
	kit_check_read(&kit, kit_find(&kit, item->id));
	item_free(&item);
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("spool");
	TCase *good = tcase_create("good"), *bad = tcase_create("bad");

	tcase_set_timeout(good, 60);
	tcase_set_timeout(bad, 60);
	tcase_add_checked_fixture(good, setup, teardown);
	tcase_add_checked_fixture(bad, setup, teardown);
	tcase_add_test(good, ids_grow);
	tcase_add_test(good, ids_stay_above_the_floor);
	tcase_add_test(good, all_of_an_item_comes_back);
	tcase_add_test(good, marks_come_back);
	tcase_add_test(good, held_comes_back);
	tcase_add_test(good, finished_is_gone);
	tcase_add_test(good, empty_and_odd_sizes);
	tcase_add_test(good, larger_than_a_segment);
	tcase_add_test(good, segments_are_used_again);
	tcase_add_test(good, old_messages_do_not_hold_the_rest);
	tcase_add_test(good, many_recipients_survive_a_checkpoint);
	tcase_add_test(good, ids_grow_across_restarts);
	tcase_add_loop_test(bad, a_failed_commit_is_refused_for_good, 0, G_N_ELEMENTS(faults));
	tcase_add_test(bad, marks_survive_a_failed_segment);
	tcase_add_test(bad, a_broken_disk_refuses_and_does_not_hang);
	tcase_add_test(bad, a_full_disk_refuses_before_writing);
	tcase_add_test(bad, no_room_for_a_segment);
	tcase_add_test(bad, short_writes_are_continued);
	suite_add_tcase(all, good);
	suite_add_tcase(all, bad);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
