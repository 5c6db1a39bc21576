/* SPDX-License-Identifier: Apache-2.0 */
/* policy_blob.c - unit tests of what modules compile: keys, the way between processes, damage. */
#include "policy_world.h"
#include "run.h"
#include <check.h>
#include <core/policy/blob.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct world world;

static void
setup(void)
{
	world_open(&world);
}

static void
teardown(void)
{
	world_close(&world);
}

static const struct chain_entry *
entry(void)
{
	const struct chain_entry *entries;

	ck_assert_uint_eq(generation_entries(world.generation, &entries), 1);
	return entries;
}

/* The key under the settings that `section` gives. */
static void
key_of(const char *section, char ret[BLOB_KEY + 1])
{
	static const struct scope_stack none = { 0 };
	struct blobs *blobs = blobs_new();
	struct blob_access access;

	world_run(&world, "  - tuner\n", section);
	blob_access_begin(&access, blobs, entry()->module, entry()->layers, &none);
	ck_assert_uint_eq(strlen(access.key), BLOB_KEY);
	strcpy(ret, access.key);
	blob_access_end(&access);
	blobs_release(&blobs);
}

START_TEST(keys_are_of_the_settings)
{
	static const char *const same[] = { "tuner: { value: v, map: { a: [b] } }\n",
		"\n\ntuner:\n  value: v\n  map:\n    a: [b]\n" };
	static const char *const others[] = { "tuner: { value: w, map: { a: [b] } }\n",
		"tuner: { value: v, map: { a: [b, c] } }\n",
		"tuner: { value: v, map: { ab: [''] } }\n", "tuner: { value: v }\n" };
	char first[BLOB_KEY + 1], key[BLOB_KEY + 1];

	key_of(same[0], first);
	key_of(same[1], key);
	ck_assert_str_eq(first, key);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		key_of(others[i], key);
		ck_assert_str_ne(first, key);
	}
}
END_TEST

/* What a file holds is part of it, not only its name. */
START_TEST(keys_are_of_what_files_hold)
{
	char first[BLOB_KEY + 1], key[BLOB_KEY + 1];
	FILE *file = fopen(world_path(&world, "words"), "w");

	fputs("one\n", file);
	fclose(file);
	key_of("tuner: { value: v, words: !file words }\n", first);
	file = fopen(world_path(&world, "words"), "a");
	fputs("two\n", file);
	fclose(file);
	key_of("tuner: { value: v, words: !file words }\n", key);
	ck_assert_str_ne(first, key);
}
END_TEST

START_TEST(there_and_back)
{
	struct blobs *blobs = blobs_new(), *others = blobs_new();
	struct blob_access access = { .blobs = blobs, .key = "0123" };
	struct pn_check check = { .blobs = &access };
	struct buf bytes = BUF_INIT(1 << 20), small = BUF_INIT(10);
	struct pn_slice found;
	char *large = calloc(1, BLOBS_MOST);

	ck_assert(!pn_blob_get(&check, "a", &found));
	ck_assert_int_eq(pn_blob_put(&check, "a", pn_slice("x\0y", 3)), 0);
	ck_assert_int_eq(pn_blob_put(&check, "b", pn_slice("", 0)), 0);
	ck_assert_int_eq(pn_blob_put(&check, "Not a name", pn_slice("", 0)), -EINVAL);
	ck_assert_int_eq(pn_blob_put(&check, "c", pn_slice(large, BLOBS_MOST)), -E2BIG);
	ck_assert_int_eq(blobs_write(blobs, &bytes), 0);
	ck_assert_int_eq(blobs_write(blobs, &small), -E2BIG);
	ck_assert_int_eq(blobs_read(others, buf_slice(&bytes)), 0);
	access.blobs = others;
	ck_assert(pn_blob_get(&check, "a", &found));
	ck_assert(pn_slice_equals(found, pn_slice("x\0y", 3)));
	ck_assert(pn_blob_get(&check, "b", &found));
	ck_assert_uint_eq(found.len, 0);
	access.blobs = blobs_hold(others);
	blob_access_end(&access);
	access = (struct blob_access){ .blobs = blobs_hold(others), .key = "0124" };
	ck_assert(!pn_blob_get(&check, "a", &found)); /* other settings */
	blob_access_end(&access);
	ck_assert(!pn_blob_get(&check, "a", &found)); /* nobody keeps any */
	ck_assert_int_eq(pn_blob_put(&check, "a", pn_slice("x", 1)), 0);
	for (size_t len = 1; len < bytes.len; len++) {
		char *cut = malloc(len); /* exactly as long, for the sanitizer */

		memcpy(cut, bytes.data, len);
		blobs_read(others, pn_slice(cut, len));
		free(cut);
	}
	bytes.data[0] = (char)0xff;
	ck_assert_int_eq(blobs_read(others, buf_slice(&bytes)), -EBADMSG);
	blobs_release(&blobs);
	blobs_release(&others);
	buf_free(&bytes);
	buf_free(&small);
	free(large);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policy blob");
	TCase *tc = tcase_create("blob");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, keys_are_of_the_settings);
	tcase_add_test(tc, keys_are_of_what_files_hold);
	tcase_add_test(tc, there_and_back);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
