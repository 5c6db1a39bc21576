/* SPDX-License-Identifier: Apache-2.0 */
/* spool_cipher.c - the encrypted spool: what is on the disk, keys that change or are missing. */
#include "run.h"
#include "tests/unit/memdisk.h"
#include "tests/unit/spool_kit.h"

#include <core/base/text.h>
#include <core/queue/record.h>
#include <core/queue/segment.h>
#include <errno.h>

#define ONE      "one 00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef\n"
#define TWO      "two ffeeddccbbaa99887766554433221100fedcba9876543210fedcba9876543210\n"
#define NOT_ONE  "one ffeeddccbbaa99887766554433221100fedcba9876543210fedcba9876543210\n"
#define SEGMENT1 KIT_FOLDER "/00000001.seg"

static struct memdisk *disk;
static struct kit kit;

static void
open_with(const char *keys)
{
	kit.keys = keys;
	ck_assert_msg(kit_open(&kit, &disk->io, KIT_FOLDER, 0) == 0, "%s", kit.err.text);
}

static void
again_with(const char *keys)
{
	kit_close(&kit);
	open_with(keys);
}

static void
setup(void)
{
	disk = memdisk_new();
	open_with(ONE);
}

static void
teardown(void)
{
	kit_close(&kit);
	memdisk_free(&disk);
}

/* A message that the test needs no more. */
static void
accept_one(size_t size)
{
	struct item *item = kit_accept(&kit, size, 1);

	item_free(&item);
}

/* ---- what is on the disk ---- */

static bool
is_on_disk(const void *bytes, size_t len)
{
	GHashTableIter iter;
	gpointer name, file;

	g_hash_table_iter_init(&iter, disk->names);
	while (g_hash_table_iter_next(&iter, &name, &file)) {
		const GByteArray *all = ((struct memdisk_file *)file)->bytes;

		if (all->len > 0 && memmem(all->data, all->len, bytes, len))
			return true;
	}
	return false;
}

static void
set_text(struct item *item, const char *text)
{
	for (size_t i = 0; i < item->size; i++)
		item->bytes->data[i] = text[i % strlen(text)];
}

/* Around what a tag, a record's end and the window of a large record (1 MiB) make special. */
static const size_t sizes[] = { 0, 1, 15, 16, 17, 4096, 1048576 - 300, 1048576 - 16, 1048576,
	1048577, 3 * 1048576, 3 * 1048576 + 5 };

START_TEST(nothing_is_in_clear)
{
	static const char marker[] = "confidential-marker ";
	struct item *item = kit_item(sizes[_i], 1);
	uint32_t index = 0;

	set_text(item, marker);
	item->envelope.sender = item->envelope.original_sender = "very-secret-sender@example.org";
	ck_assert_int_eq(kit_append(&kit, item), 0);
	item->recipients[0].last_reply = "450 a reply that names somebody";
	item->recipients[0].attempts = 1;
	spool_mark(kit.spool, item, &index, 1);
	accept_one(10);
	ck_assert(!is_on_disk(marker, sizeof(marker) - 1));
	ck_assert(!is_on_disk("very-secret", 11));
	ck_assert(!is_on_disk("names somebody", 14));
	ck_assert(!is_on_disk("example.net", 11));
	again_with(ONE);
	ck_assert_uint_eq(kit.items->len, 2);
	ck_assert_uint_eq(kit.asides->len, 0);
	ck_assert_str_eq(
	    kit_find(&kit, item->id)->envelope.sender, "very-secret-sender@example.org");
	ck_assert_str_eq(
	    kit_find(&kit, item->id)->recipients[0].last_reply, "450 a reply that names somebody");
	item_free(&item);
}
END_TEST

START_TEST(sizes_come_back)
{
	struct item *item = kit_accept(&kit, sizes[_i], 3);

	kit_check_read(&kit, item);
	again_with(ONE);
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_uint_eq(kit_find(&kit, item->id)->size, sizes[_i]);
	kit_check_read(&kit, kit_find(&kit, item->id));
	item_free(&item);
}
END_TEST

/* More recipients than a window holds, and no body. */
START_TEST(a_large_head_comes_back)
{
	struct item *item = kit_accept(&kit, 0, 30000);

	again_with(ONE);
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_uint_eq(kit_find(&kit, item->id)->envelope.count, 30000);
	item_free(&item);
}
END_TEST

START_TEST(each_segment_has_a_key_of_its_own)
{
	GByteArray *first;
	char wrap[CIPHER_WRAP];
	guint at = 80;

	accept_one(100);
	first = memdisk_bytes(disk, SEGMENT1);
	ck_assert_uint_eq(first->data[12], 1);
	ck_assert_int_eq(memcmp(first->data + at + 60, "one", 4), 0);
	memcpy(wrap, first->data + at, sizeof(wrap));
	accept_one(60000);
	first = memdisk_bytes(disk, KIT_FOLDER "/00000002.seg");
	/* Nonce, key and tag. */
	for (size_t i = 0; i < 60; i += 12)
		ck_assert_int_ne(memcmp(first->data + at + i, wrap + i, 12), 0);
}
END_TEST

/* Its body goes out in windows: each of the writes may fail, and some write less than they could.
 */
START_TEST(a_large_message_that_cannot_be_written)
{
	struct item *before = kit_accept(&kit, 100, 1), *item = kit_item(3 << 20, 1);
	struct item *after = kit_item(3 << 20, 1);
	int r = -EIO;

	/* Behind the header's two the segment before gets its index, which nobody waits for. */
	memdisk_fail(disk, MEMDISK_FAIL_WRITE, _i < 2 ? _i : _i + 2, EIO);
	ck_assert_int_eq(kit_append(&kit, item), -EIO);
	disk->short_writes = true;
	/* A segment that failed when it was new is not tried again for a second. */
	for (int i = 0; r == -EIO && i < 500; i++) {
		g_usleep(10000);
		r = kit_append(&kit, after);
	}
	ck_assert_int_eq(r, 0);
	again_with(ONE);
	ck_assert_uint_eq(kit.items->len, 2);
	kit_check_read(&kit, kit_find(&kit, before->id));
	kit_check_read(&kit, kit_find(&kit, after->id));
	item_free(&before);
	item_free(&item);
	item_free(&after);
}
END_TEST

/* ---- damage, also by somebody who can write CRCs ---- */

enum part { HEAD, BODY, TAG_OF_BODY, SEQUENCE, HEAD_LENGTH };

static void
harm(uint8_t *record, enum part part)
{
	struct record_header header;
	uint64_t epoch = field_load64((char *)record + 8);

	ck_assert_int_eq(record_header_read(pn_slice(record, RECORD_HEADER), epoch, &header), 0);
	if (part == SEQUENCE)
		header.sequence++;
	else if (part == HEAD_LENGTH) {
		header.head_len -= 16;
		header.body_len += 16;
	} else
		record[RECORD_HEADER + (part == HEAD ? 5
					   : part == BODY
					       ? header.head_len + 7
					       : header.head_len + header.body_len - 1)] ^= 1;
	header.head_crc = text_crc32(0, record + RECORD_HEADER, header.head_len);
	header.body_crc = text_crc32(0, record + RECORD_HEADER + header.head_len, header.body_len);
	record_header_write(&header, (char *)record);
}

START_TEST(forged_bytes_are_set_aside)
{
	struct item *item = kit_accept(&kit, 5000, 1);
	struct mail_bytes *bytes = NULL;
	bool body = _i == BODY || _i == TAG_OF_BODY;

	item_free(&item);
	accept_one(100);
	harm(memdisk_bytes(disk, SEGMENT1)->data + SEGMENT_RECORDS_AT, (enum part)_i);
	again_with(ONE);
	/* A body's tag is looked at when it is read. */
	ck_assert_uint_eq(kit.items->len, body ? 2 : 1);
	ck_assert_uint_eq(kit.asides->len, body ? 0 : 1);
	if (body)
		ck_assert_int_eq(
		    spool_read(kit.spool, g_ptr_array_index(kit.items, 0), &bytes), -EBADMSG);
	ck_assert_ptr_null(bytes);
	ck_assert_uint_eq(memdisk_count(disk, KIT_FOLDER "/corrupt/1-"), 1);
	ck_assert(!is_on_disk("example.net", 11));
}
END_TEST

/* ---- keys that are missing ---- */

/* With the wrong keys it waits; then with others, and how much is there then. */
static const struct {
	const char *wrong, *then;
	guint count;
} missing[] = {
	{ NULL, ONE, 2 }, { TWO, ONE TWO, 2 },
	{ NOT_ONE, ONE, 0 }, /* now the later one waits, and what lies before it */
};

START_TEST(without_its_key_a_segment_waits)
{
	struct item *item = kit_accept(&kit, 5000, 1), *later;
	GByteArray *before, *file;

	kit_close(&kit);
	file = memdisk_bytes(disk, SEGMENT1);
	before = g_byte_array_append(g_byte_array_new(), file->data, file->len);
	open_with(missing[_i].wrong);
	ck_assert_uint_eq(kit.items->len, 0);
	ck_assert_uint_eq(kit.asides->len, 1);
	ck_assert_str_eq(g_ptr_array_index(kit.asides, 0), SEGMENT1);
	ck_assert_ptr_nonnull(strstr(g_ptr_array_index(kit.whats, 0), "the key \"one\""));
	/* New mail flows, and whatever it does the segment stays. */
	for (int i = 0; i < 100; i++) {
		later = kit_accept(&kit, 20000, 1);
		spool_finish(kit.spool, later);
		item_free(&later);
	}
	later = kit_accept(&kit, 100, 1);
	again_with(missing[_i].wrong);
	ck_assert_uint_eq(kit.items->len, 1);
	kit_check_read(&kit, kit_find(&kit, later->id));
	file = memdisk_bytes(disk, SEGMENT1);
	ck_assert_uint_eq(file->len, before->len);
	ck_assert_int_eq(memcmp(file->data, before->data, before->len), 0);
	again_with(missing[_i].then);
	ck_assert_uint_eq(kit.items->len, missing[_i].count);
	if (missing[_i].count > 0)
		kit_check_read(&kit, kit_find(&kit, item->id));
	g_byte_array_unref(before);
	item_free(&item);
	item_free(&later);
}
END_TEST

/* What is said of messages in a locked segment is kept, however much is written meanwhile. */
START_TEST(what_was_finished_does_not_come_back)
{
	struct item *items[8], *later;

	for (int i = 0; i < 8; i++)
		items[i] = kit_accept(&kit, 5000, 1);
	/* Their ends stand in other segments. */
	again_with(TWO ONE);
	for (int i = 0; i < 8; i++) {
		struct item *mine = kit_find(&kit, items[i]->id);

		ck_assert_ptr_nonnull(mine);
		if (i > 0)
			spool_finish(kit.spool, mine);
		item_free(&items[i]);
	}
	again_with(TWO);
	ck_assert_uint_eq(kit.items->len, 0);
	/* Marks may be lost: all is written down anew, and segments before that could go. */
	later = kit_accept(&kit, 100, 1);
	spool_finish(kit.spool, later);
	item_free(&later);
	memdisk_fail(disk, MEMDISK_FAIL_SYNC, 0, EIO);
	later = kit_item(100, 1);
	ck_assert_int_eq(kit_append(&kit, later), -EIO);
	item_free(&later);
	for (int i = 0; i < 100; i++) {
		later = kit_accept(&kit, 20000, 1);
		spool_finish(kit.spool, later);
		item_free(&later);
	}
	again_with(TWO ONE);
	ck_assert_uint_eq(kit.items->len, 1);
	kit_check_read(&kit, g_ptr_array_index(kit.items, 0));
}
END_TEST

/*
 * A segment behind a locked one stays when it is empty, too. That it is empty is said again before
 * what said so first is written over.
 */
START_TEST(what_was_finished_beside_a_locked_segment_stays_so)
{
	struct item *locked = kit_accept(&kit, 5000, 1), *beside[6], *later;

	again_with(TWO ONE);
	for (int i = 0; i < 6; i++)
		beside[i] = kit_accept(&kit, 5000, 1);
	again_with(TWO);
	ck_assert_uint_eq(kit.items->len, 6);
	/* An end in every second segment or so: so many can only leave by a checkpoint. */
	for (int i = 0; i < 60; i++) {
		if (i % 5 == 0 && i / 5 < 6)
			spool_finish(kit.spool, beside[i / 5]);
		later = kit_accept(&kit, 20000, 1);
		spool_finish(kit.spool, later);
		item_free(&later);
	}
	again_with(TWO);
	ck_assert_uint_eq(kit.items->len, 0);
	again_with(TWO ONE);
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_ptr_nonnull(kit_find(&kit, locked->id));
	item_free(&locked);
	for (int i = 0; i < 6; i++)
		item_free(&beside[i]);
}
END_TEST

/* The mail in clear may have been delivered; only the locked segment could say so. */
START_TEST(what_lies_before_a_locked_segment_waits)
{
	struct item *first, *second;

	again_with(NULL);
	first = kit_accept(&kit, 100, 1);
	again_with(ONE);
	second = kit_accept(&kit, 100, 1);
	spool_finish(kit.spool, first);
	again_with(NULL);
	ck_assert_uint_eq(kit.items->len, 0);
	ck_assert_uint_eq(kit.asides->len, 2);
	again_with(ONE);
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_ptr_nonnull(kit_find(&kit, second->id));
	item_free(&first);
	item_free(&second);
}
END_TEST

/* ---- keys that change ---- */

static void
add_needed(void *arg, const char *key)
{
	g_string_append_printf(arg, "%s ", key);
}

static void
change_to(const char *text, GString *needed)
{
	struct keyring *keys = kit_keys(text);

	ck_assert_int_eq(spool_set_keys(kit.spool, keys, add_needed, needed), 0);
	keyring_release(&keys);
}

START_TEST(keys_change_while_mail_flows)
{
	GString *needed = g_string_new(NULL);
	struct item *items[4];

	items[0] = kit_accept(&kit, 1000, 1); /* "one" */
	change_to(NULL, needed);
	items[1] = kit_accept(&kit, 1000, 1); /* in clear */
	ck_assert_str_eq(needed->str, "one ");
	ck_assert(is_on_disk("example.net", 11));
	change_to(TWO, needed);
	items[2] = kit_accept(&kit, 1000, 1);
	ck_assert_str_eq(needed->str, "one one ");
	change_to(TWO, needed); /* no change */
	change_to(TWO ONE, needed);
	items[3] = kit_accept(&kit, 1000, 1);
	ck_assert_str_eq(needed->str, "one one ");
	for (size_t i = 0; i < G_N_ELEMENTS(items); i++)
		kit_check_read(&kit, items[i]);
	ck_assert_int_eq(
	    memcmp(memdisk_bytes(disk, KIT_FOLDER "/00000003.seg")->data + 140, "two", 4), 0);
	again_with(ONE TWO);
	ck_assert_uint_eq(kit.items->len, 4);
	ck_assert_uint_eq(kit.asides->len, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(items); i++) {
		kit_check_read(&kit, kit_find(&kit, items[i]->id));
		item_free(&items[i]);
	}
	g_string_free(needed, TRUE);
}
END_TEST

/* ---- key files ---- */

#define HEX "00112233445566778899aabbccddeeff0123456789abcdef0123456789ABCDEF"

static const struct {
	const char *text, *names, *said;
} files[] = {
	{ "a " HEX, "a ", NULL },
	{ "a " HEX "\n", "a ", NULL },
	{ "# a comment\n\n  2026-11 \t " HEX " \r\nold_1.x " HEX "\n", "2026-11 old_1.x ", NULL },
	{ "", NULL, "has no key" },
	{ "# nothing\n", NULL, "has no key" },
	{ HEX, NULL, "line 1 of the key file must be a name" },
	{ "a" HEX, NULL, "line 1 of the key file must be a name" },
	{ "a " HEX "\nb\n", NULL, "line 2 of the key file must be a name" },
	{ "a/b " HEX, NULL, "line 1 of the key file must be a name" },
	{ "abcdefghijklmnopqrstuvwxyz0123456789x " HEX, NULL, "up to 36 letters" },
	{ "a 0011", NULL, "64 hexadecimal digits" },
	{ "a " HEX "00", NULL, "64 hexadecimal digits" },
	{ "a " HEX " b", NULL, "64 hexadecimal digits" },
	{ "a 0x112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef01", NULL,
	    "64 hexadecimal digits" },
	{ "a " HEX "\na " HEX, NULL, "line 2 of the key file: an earlier line" },
};

START_TEST(key_files)
{
	struct keyring *keys = NULL;
	GString *names = g_string_new(NULL);
	struct pn_error err = { 0 };
	int r = keyring_parse(pn_slice_of(files[_i].text), &keys, &err);

	ck_assert_int_eq(r, files[_i].names ? 0 : -EINVAL);
	for (size_t i = 0; i < keyring_count(keys); i++)
		g_string_append_printf(names, "%s ", keyring_name(keys, i));
	if (files[_i].names)
		ck_assert_str_eq(names->str, files[_i].names);
	else
		ck_assert_msg(strstr(err.text, files[_i].said) != NULL, "%s", err.text);
	ck_assert_ptr_null(strstr(err.text, "001122"));
	if (keys)
		ck_assert_uint_eq(keyring_key(keys, 0)[1], 0x11);
	g_string_free(names, TRUE);
	keyring_release(&keys);
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("spool_cipher");
	TCase *tests = tcase_create("spool_cipher"), *parse = tcase_create("keyring");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, nothing_is_in_clear, 1, G_N_ELEMENTS(sizes));
	tcase_add_loop_test(tests, sizes_come_back, 0, G_N_ELEMENTS(sizes));
	tcase_add_test(tests, a_large_head_comes_back);
	tcase_add_test(tests, each_segment_has_a_key_of_its_own);
	tcase_add_loop_test(tests, a_large_message_that_cannot_be_written, 2, 7);
	tcase_add_loop_test(tests, forged_bytes_are_set_aside, HEAD, HEAD_LENGTH + 1);
	tcase_add_loop_test(tests, without_its_key_a_segment_waits, 0, G_N_ELEMENTS(missing));
	tcase_add_test(tests, what_was_finished_does_not_come_back);
	tcase_add_test(tests, what_lies_before_a_locked_segment_waits);
	tcase_add_test(tests, what_was_finished_beside_a_locked_segment_stays_so);
	tcase_add_test(tests, keys_change_while_mail_flows);
	suite_add_tcase(all, tests);
	tcase_add_loop_test(parse, key_files, 0, G_N_ELEMENTS(files));
	suite_add_tcase(all, parse);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
