/* SPDX-License-Identifier: Apache-2.0 */
/* spool.c - unit tests of the spool: what goes in comes back, what fails is refused for good. */
#include "tests/unit/memdisk.h"
#include "tests/unit/spool_kit.h"

#include <core/base/text.h>
#include <core/queue/record.h>
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

static struct item *
accept(size_t size, size_t recipients)
{
	struct item *item = kit_item(size, recipients);

	ck_assert_int_eq(kit_append(&kit, item), 0);
	return item;
}

/* The marks given so far are written when a later message is answered. */
static void
settle(void)
{
	struct item *item = accept(10, 1);

	spool_finish(kit.spool, item);
	item_free(&item);
}

static void
finish(struct item **item)
{
	spool_finish(kit.spool, *item);
	item_free(item);
}

static void
check_read(const struct item *item)
{
	struct mail_bytes *bytes = NULL;

	ck_assert_int_eq(spool_read(kit.spool, item, &bytes), 0);
	kit_check_body(item, bytes);
	mail_bytes_release(&bytes);
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

	item->facts = (struct mail_facts){ "192.0.2.7", "[192.0.2.7]", "submission", "client",
		"alice", "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, true, true, false, true, false };
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
	check_read(item);
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
	ck_assert(back->facts.esmtp && back->facts.smtputf8 && back->facts.binary);
	ck_assert(!back->facts.eightbit && !back->facts.requiretls);
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
	check_read(back);
	item_free(&item);
}
END_TEST

START_TEST(marks_come_back)
{
	struct item *item = accept(300, 3), *back;
	uint32_t some[] = { 0, 2 }, last[] = { 2 };

	item->recipients[0] = (struct item_recipient){ &item->envelope.recipients[0],
		ITEM_DELIVERED, 1, 0, 0, 111, "250 2.0.0 ok", "mx.example.net" };
	item->recipients[1].state = ITEM_SENDING;
	item->recipients[2] = (struct item_recipient){ &item->envelope.recipients[2], ITEM_WAITING,
		1, 7, 222, 111, "451 later", NULL };
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
		ck_assert_uint_eq(back->recipients[2].plan, 7);
		ck_assert_int_eq(back->recipients[2].due_us, 222);
		ck_assert_str_eq(back->recipients[2].last_reply, "451 later");
		ck_assert_ptr_null(back->recipients[2].last_remote);
		ck_assert_ptr_eq(back->recipients[2].envelope, &back->envelope.recipients[2]);
	}
	item_free(&item);
}
END_TEST

START_TEST(finished_is_gone)
{
	struct item *first = accept(300, 1), *second = accept(300, 1);
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
		items[i] = accept(i, 1);
	open_again();
	ck_assert_uint_eq(kit.items->len, 40);
	for (size_t i = 0; i < 40; i++) {
		check_read(items[i]);
		check_read(kit_find(&kit, items[i]->id));
		item_free(&items[i]);
	}
}
END_TEST

START_TEST(larger_than_a_segment)
{
	struct item *small = accept(100, 1), *large = accept(1000 * 1000, 1), *next;

	next = accept(100, 1);
	ck_assert_uint_ne(large->place.segment, small->place.segment);
	ck_assert_uint_ne(large->place.segment, next->place.segment);
	open_again();
	ck_assert_uint_eq(kit.items->len, 3);
	check_read(kit_find(&kit, large->id));
	check_read(kit_find(&kit, next->id));
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
		item = accept(10000, 1);
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
		old[i] = accept(5000, 1);
	for (int i = 0; i < 500; i++) {
		struct item *one = old[i % 20];

		item = accept(10000, 1);
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
			check_read(back);
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
	struct item *item, *other;
	const struct item *back;

	item = accept(1000, 3000);
	for (uint32_t i = 0; i < 3000; i++) {
		item->recipients[i].attempts = i;
		item->recipients[i].last_reply =
		    "451 4.3.0 a long reply of the kind that servers give when they are busy";
		if (i % 2)
			item->recipients[i].state = ITEM_DELIVERED;
		spool_mark(kit.spool, item, &i, 1);
	}
	for (int i = 0; i < 200; i++) {
		other = accept(10000, 1);
		finish(&other);
	}
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
	struct item *item = accept(100, 1);
	char id[ITEM_ID_SIZE], next[ITEM_ID_SIZE];

	memcpy(id, item->id, sizeof(id));
	id[0] = 'E'; /* the clock was far ahead */
	memcpy(item->id, id, sizeof(id));
	ck_assert_int_eq(kit_append(&kit, item), 0);
	finish(&item);
	for (int i = 0; i < 100; i++) { /* its record is overwritten */
		item = accept(10000, 1);
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
	struct item *before = accept(200, 1), *refused = kit_item(300, 1), *after;
	uint32_t index = 0;
	struct spool_figures figures;

	memdisk_fail(disk, faults[_i].what, 0, faults[_i].error);
	ck_assert_int_eq(kit_append(&kit, refused), faults[_i].want);
	after = accept(400, 1);
	ck_assert_uint_ne(after->place.segment, before->place.segment);
	before->recipients[0].attempts = 5;
	spool_mark(kit.spool, before, &index, 1);
	spool_figures(kit.spool, &figures);
	ck_assert_uint_eq(figures.sync_failures, 1);
	open_again();
	ck_assert_uint_eq(kit.items->len, 2);
	ck_assert_ptr_null(kit_find(&kit, refused->id));
	check_read(kit_find(&kit, before->id));
	check_read(kit_find(&kit, after->id));
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
	struct item *done = accept(200, 1), *late = accept(200, 2), *refused = kit_item(1, 1);
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
	struct item *before = accept(200, 1), *item;

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
	struct item *before = accept(200, 1), *item = kit_item(200, 1);
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
	item = accept(5000, 2);
	open_again();
	check_read(kit_find(&kit, item->id));
	item_free(&item);
}
END_TEST

/* ---- damage ---- */

static char *
first_segment(void)
{
	return g_strdup(KIT_FOLDER "/00000001.seg");
}

START_TEST(a_damaged_body_is_set_aside_when_read)
{
	struct item *item = accept(5000, 1);
	struct mail_bytes *bytes = NULL;
	char *path = first_segment();

	memdisk_bytes(disk, path)->data[item->place.offset + 1000] ^= 1;
	ck_assert_int_eq(spool_read(kit.spool, item, &bytes), -EBADMSG);
	ck_assert_ptr_null(bytes);
	ck_assert_uint_eq(memdisk_count(disk, KIT_FOLDER "/corrupt/1-"), 1);
	g_free(path);
	item_free(&item);
}
END_TEST

START_TEST(damage_is_reported_once_and_named)
{
	struct item *item = accept(5000, 1), *other = accept(100, 1);
	char *path = first_segment();

	memdisk_bytes(disk, path)->data[item->place.offset + 1000] ^= 1;
	open_again();
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_uint_eq(kit.whats->len, 1);
	ck_assert_ptr_nonnull(strstr(g_ptr_array_index(kit.whats, 0), item->id));
	ck_assert_ptr_nonnull(strstr(g_ptr_array_index(kit.asides, 0), "corrupt/1-8192.record"));
	ck_assert_uint_eq(
	    memdisk_bytes(disk, g_ptr_array_index(kit.asides, 0))->len, item->place.length);
	open_again();
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_uint_eq(kit.whats->len, 0);
	g_free(path);
	item_free(&item);
	item_free(&other);
}
END_TEST

START_TEST(foreign_files_are_left_alone)
{
	static const char *const names[] = { "README", "00000009.seg", "9.seg", "0000000G.seg",
		"0000000A.seg", "core" };
	struct item *item = accept(100, 1);

	kit_close(&kit);
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		char *path = g_strdup_printf(KIT_FOLDER "/%s", names[i]);

		memdisk_put(disk, path, "hello", 5);
		g_free(path);
	}
	memdisk_put(disk, KIT_FOLDER "/0000000a.new", "half", 4);
	open_spool();
	ck_assert_uint_eq(kit.whats->len, G_N_ELEMENTS(names));
	ck_assert_uint_eq(kit.items->len, 1);
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		char *path = g_strdup_printf(KIT_FOLDER "/%s", names[i]);

		ck_assert_uint_eq(memdisk_bytes(disk, path)->len, 5);
		g_free(path);
	}
	ck_assert_ptr_null(memdisk_bytes(disk, KIT_FOLDER "/0000000a.new"));
	item_free(&item);
}
END_TEST

START_TEST(a_copied_segment_counts_once)
{
	struct item *item = accept(100, 1);
	char *path = first_segment();
	const GByteArray *bytes = memdisk_bytes(disk, path);

	kit_close(&kit);
	memdisk_put(disk, KIT_FOLDER "/00000005.seg", bytes->data, bytes->len);
	open_spool();
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_uint_eq(kit.whats->len, 1);
	g_free(path);
	item_free(&item);
}
END_TEST

/* ---- newer versions ---- */

/* Adds a record of that type, flags and head to the end of the first segment. */
static void
forge(uint64_t offset, uint8_t type, uint16_t flags, struct pn_slice head)
{
	char *path = first_segment();
	GByteArray *bytes = memdisk_bytes(disk, path);
	struct segment_io *io = &disk->io;
	struct record_header header = { .type = type, .flags = flags, .sequence = 99 };
	int fd = io->open(io->arg, path, 0);

	memcpy(&header.epoch, bytes->data + 24, 8);
	header.epoch = field_load64((const char *)bytes->data + 24);
	header.head_len = (uint32_t)head.len;
	header.head_crc = text_crc32(0, head.data, head.len);
	record_header_write(&header, (char *)bytes->data + offset);
	if (head.len > 0)
		memcpy(bytes->data + offset + RECORD_HEADER, head.data, head.len);
	io->close(io->arg, fd);
	g_free(path);
}

static const struct {
	uint8_t type;
	uint16_t flags;
	const char *head;
	size_t head_len;
	int want;
} newer[] = {
	{ RECORD_PLAN, 0, NULL, 0, -EPROTONOSUPPORT },
	{ RECORD_COPY, 0, NULL, 0, -EPROTONOSUPPORT },
	{ 100, 0, NULL, 0, -EPROTONOSUPPORT },
	{ 0, 0, NULL, 0, -EPROTONOSUPPORT },
	{ RECORD_CHECKPOINT, 0, "anything", 8, 0 },
	{ 200, 0x0001, NULL, 0, 0 },
	{ 200, 0x0100, NULL, 0, -EPROTONOSUPPORT },
	{ RECORD_ABORT, 0x0001, NULL, 0, 0 },
	{ RECORD_ABORT, 0x8000, NULL, 0, -EPROTONOSUPPORT },
	/* unknown fields: plain, critical; a known one of a newer version */
	{ RECORD_ABORT, 0, "\xff\x00\x01\x00\x02\x00\x00\x00hi", 10, 0 },
	{ RECORD_ABORT, 0, "\xff\x00\x01\x01\x02\x00\x00\x00hi", 10, -EPROTONOSUPPORT },
	{ RECORD_ABORT, 0, "\x01\x00\x02\x00\x00\x00\x00\x00", 8, 0 },
	{ RECORD_ABORT, 0, "\x01\x00\x02\x01\x00\x00\x00\x00", 8, -EPROTONOSUPPORT },
};

START_TEST(newer_records)
{
	struct item *item = accept(100, 1);
	uint64_t end = item->place.offset + item->place.length;
	int r;

	kit_close(&kit);
	forge(end, newer[_i].type, newer[_i].flags, pn_slice(newer[_i].head, newer[_i].head_len));
	r = kit_open(&kit, &disk->io, KIT_FOLDER, 0);
	ck_assert_int_eq(r, newer[_i].want);
	if (r == 0)
		ck_assert_uint_eq(kit.items->len, 1);
	else
		ck_assert_ptr_nonnull(strstr(kit.err.text, "newer version"));
	item_free(&item);
}
END_TEST

/* Version, flags and cipher of a segment header. */
static const struct {
	size_t at;
	uint8_t value;
	int want;
} newer_headers[] = {
	{ 8, 2, -EPROTONOSUPPORT },
	{ 12, 1, -EPROTONOSUPPORT },
	{ 11, 1, -EPROTONOSUPPORT },
	{ 10, 1, 0 },
	{ 300, 1, 0 },
};

START_TEST(newer_segments)
{
	struct item *item = accept(100, 1);
	char *path = first_segment();
	uint8_t *bytes = memdisk_bytes(disk, path)->data;

	kit_close(&kit);
	for (size_t copy = 0; copy <= 4096; copy += 4096) {
		bytes[copy + newer_headers[_i].at] = newer_headers[_i].value;
		field_store32((char *)bytes + copy + 508, text_crc32(0, bytes + copy, 508));
	}
	ck_assert_int_eq(kit_open(&kit, &disk->io, KIT_FOLDER, 0), newer_headers[_i].want);
	ck_assert_uint_eq(kit.items->len, newer_headers[_i].want == 0);
	g_free(path);
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
	tcase_add_test(bad, a_damaged_body_is_set_aside_when_read);
	tcase_add_test(bad, damage_is_reported_once_and_named);
	tcase_add_test(bad, foreign_files_are_left_alone);
	tcase_add_test(bad, a_copied_segment_counts_once);
	tcase_add_loop_test(bad, newer_records, 0, G_N_ELEMENTS(newer));
	tcase_add_loop_test(bad, newer_segments, 0, G_N_ELEMENTS(newer_headers));
	suite_add_tcase(all, good);
	suite_add_tcase(all, bad);
	return all;
}

int
main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
