/* SPDX-License-Identifier: Apache-2.0 */
/* spool_damage.c - the spool meets damage, files that are not its own, and newer versions. */
#include "run.h"
#include "tests/unit/memdisk.h"
#include "tests/unit/spool_kit.h"

#include <core/base/text.h>
#include <core/queue/record.h>
#include <errno.h>
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

static char *
first_segment(void)
{
	return g_strdup(KIT_FOLDER "/00000001.seg");
}

START_TEST(a_damaged_body_is_set_aside_when_read)
{
	struct item *item = kit_accept(&kit, 5000, 1);
	struct mail_bytes *bytes = NULL;
	char *path = first_segment();

	memdisk_bytes(disk, path)->data[item->place.offset + 1000] ^= 1;
	ck_assert_int_eq(spool_read(kit.spool, item, &bytes), -EBADMSG);
	ck_assert_ptr_null(bytes);
	ck_assert_uint_eq(memdisk_count(disk, KIT_FOLDER "/corrupt/1-"), 1);
	/* Named, and once. */
	ck_assert_int_eq(spool_read(kit.spool, item, &bytes), -EBADMSG);
	ck_assert_uint_eq(kit.whats->len, 1);
	ck_assert_ptr_nonnull(strstr(g_ptr_array_index(kit.whats, 0), item->id));
	g_free(path);
	item_free(&item);
}
END_TEST

START_TEST(damage_is_reported_once_and_named)
{
	struct item *item = kit_accept(&kit, 5000, 1), *other = kit_accept(&kit, 100, 1);
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
	struct item *item = kit_accept(&kit, 100, 1);

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
	struct item *item = kit_accept(&kit, 100, 1);
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
	{ 6, 0, NULL, 0, -EPROTONOSUPPORT },
	{ RECORD_COPY + 1, 0, NULL, 0, -EPROTONOSUPPORT },
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
	struct item *item = kit_accept(&kit, 100, 1);
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
	{ 12, 2, -EPROTONOSUPPORT },
	{ 11, 1, -EPROTONOSUPPORT },
	{ 10, 1, 0 },
	{ 300, 1, 0 },
};

START_TEST(newer_segments)
{
	struct item *item = kit_accept(&kit, 100, 1);
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
	Suite *all = suite_create("spool_damage");
	TCase *tests = tcase_create("damage");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_damaged_body_is_set_aside_when_read);
	tcase_add_test(tests, damage_is_reported_once_and_named);
	tcase_add_test(tests, foreign_files_are_left_alone);
	tcase_add_test(tests, a_copied_segment_counts_once);
	tcase_add_loop_test(tests, newer_records, 0, G_N_ELEMENTS(newer));
	tcase_add_loop_test(tests, newer_segments, 0, G_N_ELEMENTS(newer_headers));
	suite_add_tcase(all, tests);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
