/* SPDX-License-Identifier: Apache-2.0 */
/* mail_overflow.c - unit tests of large messages, most of which is in a file (core/mail). */
#include "run.h"
#include <check.h>
#include <core/mail/message.h>
#include <dirent.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define SIZE ((size_t)3 * 1024 * 1024 + 12345)

static char folder[64];
static char *text; /* SIZE bytes: a header, then lines */

static void
setup(void)
{
	struct pn_error err;
	size_t at;

	strcpy(folder, "/var/tmp/postern-overflow-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(mail_overflow_configure(folder, &err), 0);
	text = g_malloc(SIZE + 64);
	at = (size_t)sprintf(text, "Subject: large\r\n\r\n");
	for (unsigned number = 0; at < SIZE; number++)
		at += (size_t)sprintf(text + at, "line number %u\r\n", number);
	memcpy(text + SIZE - 2, "\r\n", 2);
}

static void
teardown(void)
{
	g_free(text);
	mail_bytes_budget(0);
	mail_overflow_limits(0, 1024 * 1024);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
	ck_assert_int_eq(rmdir(folder), 0); /* nothing in it has a name */
}

/* In pieces of odd sizes, as a session does it. */
static int
fill(struct mail_bytes *bytes, const char *from, size_t size)
{
	size_t part;
	int r = 0;

	for (size_t at = 0; r == 0 && at < size; at += part) {
		part = MIN(size - at, at % 3 ? 70001 : 4099);
		r = mail_bytes_append(bytes, from + at, part, SIZE_MAX);
		if (r == 0 && bytes->lazy && mail_bytes_is_due(bytes, false))
			r = mail_bytes_settle(bytes);
	}
	return r;
}

static struct mail_bytes *
made(unsigned how)
{
	struct mail_bytes *bytes;

	ck_assert_int_eq(mail_bytes_new_message(0, how, &bytes), 0);
	ck_assert_int_eq(fill(bytes, text, SIZE), 0);
	ck_assert_int_eq(mail_bytes_settle(bytes), 0);
	mail_bytes_trim(bytes);
	ck_assert_ptr_nonnull(bytes->rest);
	ck_assert_uint_eq(mail_bytes_size(bytes), SIZE);
	return bytes;
}

static void
same(const struct mail_bytes *bytes, const char *as, size_t size)
{
	char *copy = g_malloc(size);

	ck_assert_uint_eq(mail_bytes_size(bytes), size);
	ck_assert_int_eq(mail_bytes_read(bytes, 0, copy, size), 0);
	ck_assert(memcmp(copy, as, size) == 0);
	g_free(copy);
}

/* The descriptor of the file: the one that is open and in that folder. */
static int
find_file(void)
{
	char target[512];
	DIR *descriptors = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	while ((entry = readdir(descriptors))) {
		ssize_t len = readlinkat(
		    dirfd(descriptors), entry->d_name, target, sizeof(target) - 1);

		if (len <= 0)
			continue;
		target[len] = '\0';
		if (strncmp(target, folder, strlen(folder)) == 0 && strlen(target) > strlen(folder))
			found = atoi(entry->d_name);
	}
	closedir(descriptors);
	return found;
}

START_TEST(leaves_memory)
{
	struct mail_bytes *bytes = made(_i ? MAIL_BYTES_LAZY : 0);
	char window[1000];

	ck_assert_uint_eq(bytes->len, MAIL_KEPT);
	ck_assert_uint_lt(mail_bytes_in_use(), 3 * MAIL_KEPT);
	same(bytes, text, SIZE);
	for (size_t at = 1; at + sizeof(window) <= SIZE; at += 65333) {
		ck_assert_int_eq(mail_bytes_read(bytes, at, window, sizeof(window)), 0);
		ck_assert(memcmp(window, text + at, sizeof(window)) == 0);
	}
	mail_bytes_release(&bytes);
	ck_assert_int_eq(find_file(), -1);
}
END_TEST

START_TEST(is_encrypted)
{
	struct mail_bytes *bytes = made(0), *whole;
	char stored[65536 + 16];
	int fd = find_file();

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, stored, sizeof(stored), sizeof(stored)), sizeof(stored));
	ck_assert_ptr_null(memmem(stored, sizeof(stored), "line", 4));
	/* Nor does it open once somebody has changed it, or put it elsewhere. */
	ck_assert_int_eq(pwrite(fd, stored, sizeof(stored), 0), sizeof(stored));
	ck_assert_int_eq(mail_bytes_read(bytes, MAIL_KEPT, stored, 10), -EIO);
	ck_assert_int_eq(mail_bytes_whole(bytes, &whole), -EIO);
	ck_assert_int_eq(ftruncate(fd, 100), 0);
	ck_assert_int_eq(mail_bytes_read(bytes, MAIL_KEPT, stored, 10), -EIO);
	mail_bytes_release(&bytes);
}
END_TEST

START_TEST(comes_back_as_a_whole)
{
	struct mail_bytes *bytes = made(0), *whole;

	ck_assert_int_eq(mail_bytes_whole(bytes, &whole), 0);
	ck_assert_ptr_null(whole->rest);
	ck_assert_uint_eq(whole->len, SIZE);
	ck_assert(memcmp(whole->data, text, SIZE) == 0);
	mail_bytes_release(&whole);
	mail_bytes_budget(2 * 1024 * 1024);
	ck_assert_int_eq(mail_bytes_whole(bytes, &whole), -ENOMEM);
	mail_bytes_release(&bytes);
}
END_TEST

START_TEST(keeps_its_header)
{
	struct mail_bytes *bytes;
	char *long_header = g_malloc(SIZE);

	for (size_t at = 0; at < SIZE; at++)
		long_header[at] = "X: y\r\n"[at % 6];
	memcpy(long_header + 600000, "\r\n", 2);
	ck_assert_int_eq(mail_bytes_new_message(0, 0, &bytes), 0);
	ck_assert_int_eq(fill(bytes, long_header, SIZE), 0);
	ck_assert_uint_eq(bytes->len, 600002);
	same(bytes, long_header, SIZE);
	mail_bytes_release(&bytes);
	/* One that is larger than allowed leaves memory too, and stays a header: it is refused. */
	memcpy(long_header + 600000, "X:", 2);
	ck_assert_int_eq(mail_bytes_new_message(0, 0, &bytes), 0);
	ck_assert_int_eq(fill(bytes, long_header, SIZE), 0);
	ck_assert_uint_gt(bytes->len, 1024 * 1024);
	ck_assert_uint_lt(bytes->len, 1024 * 1024 + 80000);
	mail_bytes_release(&bytes);
	/* Where larger ones are allowed they are waited for. */
	mail_overflow_limits(0, 2 * SIZE);
	ck_assert_int_eq(mail_bytes_new_message(0, 0, &bytes), 0);
	ck_assert_int_eq(fill(bytes, long_header, SIZE), 0);
	ck_assert_ptr_null(bytes->rest);
	mail_bytes_release(&bytes);
	g_free(long_header);
}
END_TEST

/* One that was accepted when more was allowed is read back with its whole header in front. */
START_TEST(keeps_an_old_header)
{
	struct mail_bytes *bytes;
	struct mail_header header;
	struct arena arena = { 0 };
	char *large = g_malloc(SIZE);

	memset(large, 'x', SIZE);
	memcpy(large, "Subject: ", 9);
	memcpy(large + SIZE - 100, "\r\n\r\n", 4);
	ck_assert_int_eq(mail_bytes_new_message(0, MAIL_BYTES_STAYS, &bytes), 0);
	ck_assert_int_eq(fill(bytes, large, SIZE), 0);
	ck_assert_int_eq(mail_header_index(mail_bytes_front(bytes), SIZE_MAX, &arena, &header), 0);
	ck_assert_uint_eq(header.count, 1);
	ck_assert_uint_eq(header.size, SIZE - 98);
	ck_assert_uint_eq(header.body, SIZE - 96);
	same(bytes, large, SIZE);
	mail_bytes_release(&bytes);
	arena_free(&arena);
	g_free(large);
}
END_TEST

START_TEST(edits_of_the_front_share_the_rest)
{
	struct mail_bytes *bytes = made(0), *edited;
	struct mail_edits edits = { 0 };
	struct arena arena = { 0 };
	char *wanted = g_strdup_printf("X: y\r\n%.*s", (int)SIZE, text);

	mail_edits_add(&edits, &arena, 0, 0, pn_slice_of("X: y\r\n"));
	ck_assert_int_eq(mail_bytes_edit(bytes, &edits, &edited), 0);
	ck_assert_ptr_eq(edited->rest, bytes->rest);
	mail_bytes_release(&bytes);
	same(edited, wanted, SIZE + 6);
	mail_bytes_release(&edited);
	g_free(wanted);
	arena_free(&arena);
}
END_TEST

START_TEST(edits_of_the_rest_make_another)
{
	struct mail_bytes *bytes = made(0), *edited;
	struct mail_edits edits = { 0 };
	struct arena arena = { 0 };
	char *wanted = g_strdup_printf(
	    "X: y\r\n%.*sfooter\r\n", (int)SIZE - 1000000, text + 1000000);

	mail_edits_add(&edits, &arena, 0, 1000000, pn_slice_of("X: y\r\n"));
	mail_edits_add(&edits, &arena, SIZE, 0, pn_slice_of("footer\r\n"));
	ck_assert_int_eq(mail_bytes_edit(bytes, &edits, &edited), 0);
	ck_assert_ptr_nonnull(edited->rest);
	same(edited, wanted, strlen(wanted));
	same(bytes, text, SIZE);
	mail_edits_add(&edits, &arena, SIZE + 1, 1, pn_slice_of("outside"));
	mail_bytes_release(&edited);
	ck_assert_int_eq(mail_bytes_edit(bytes, &edits, &edited), -EINVAL);
	mail_bytes_release(&bytes);
	g_free(wanted);
	arena_free(&arena);
}
END_TEST

START_TEST(parts_are_copied)
{
	struct mail_bytes *bytes = made(0), *part;

	ck_assert_int_eq(mail_bytes_new_message(0, 0, &part), 0);
	ck_assert_int_eq(mail_bytes_append_part(part, bytes, 30000, 200000), 0);
	ck_assert_ptr_null(part->rest);
	same(part, text + 30000, 200000);
	ck_assert_int_eq(mail_bytes_append_part(part, bytes, 230000, SIZE - 230000), 0);
	same(part, text + 30000, SIZE - 30000);
	mail_bytes_release(&part);
	mail_bytes_release(&bytes);
}
END_TEST

/* One byte somewhere in what has left memory; the windows of a reader meet between CR and LF. */
START_TEST(what_is_asked_of_all_bytes)
{
	struct mail_bytes *bytes = made(0);

	ck_assert(!mail_bytes_has_eightbit(bytes, 0));
	ck_assert_int_eq(mail_bytes_bare_newline(bytes), 0);
	mail_bytes_release(&bytes);
	text[SIZE - 1000] = (char)0xe4;
	memcpy(text + MAIL_WINDOW - 1, "\r\n", 2);
	bytes = made(0);
	ck_assert(mail_bytes_has_eightbit(bytes, MAIL_KEPT));
	mail_bytes_release(&bytes);
	text[MAIL_WINDOW] = 'x';
	bytes = made(0);
	ck_assert_int_eq(mail_bytes_bare_newline(bytes), 1);
	mail_bytes_release(&bytes);
}
END_TEST

START_TEST(the_reserve_is_kept)
{
	struct mail_bytes *bytes;

	mail_overflow_limits(INT64_MAX, 1024 * 1024);
	ck_assert_int_eq(mail_bytes_new_message(0, MAIL_BYTES_LAZY, &bytes), 0);
	ck_assert_int_eq(fill(bytes, text, SIZE), -ENOSPC);
	ck_assert_int_eq(mail_bytes_settle(bytes), -EIO);
	mail_bytes_release(&bytes);
	/* What is on a disk already is no concern of the reserve. */
	bytes = made(MAIL_BYTES_STAYS);
	ck_assert_uint_lt(mail_bytes_in_use(), 3 * MAIL_KEPT);
	mail_bytes_release(&bytes);
}
END_TEST

START_TEST(no_descriptors)
{
	struct rlimit before, none;
	struct mail_bytes *bytes;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(mail_bytes_new_message(0, 0, &bytes), 0);
	ck_assert_int_eq(fill(bytes, text, SIZE), -EMFILE);
	mail_bytes_release(&bytes);
	/* It stays in memory, within the budget. */
	ck_assert_int_eq(mail_bytes_new_message(0, MAIL_BYTES_STAYS, &bytes), 0);
	ck_assert_int_eq(fill(bytes, text, SIZE), 0);
	same(bytes, text, SIZE);
	ck_assert_uint_ge(mail_bytes_in_use(), SIZE);
	mail_bytes_release(&bytes);
	mail_bytes_budget(2 * 1024 * 1024);
	ck_assert_int_eq(mail_bytes_new_message(0, MAIL_BYTES_STAYS, &bytes), 0);
	ck_assert_int_eq(fill(bytes, text, SIZE), -ENOMEM);
	mail_bytes_release(&bytes);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}
END_TEST

START_TEST(limits)
{
	struct mail_bytes *bytes;

	ck_assert_uint_eq(mail_bytes_need(1000), 1000);
	ck_assert_uint_eq(mail_bytes_need(UINT64_MAX), MAIL_IN_MEMORY);
	ck_assert_int_eq(mail_bytes_new_message(SIZE, 0, &bytes), 0);
	ck_assert_uint_eq(bytes->capacity, MAIL_IN_MEMORY);
	ck_assert_int_eq(mail_bytes_append(bytes, text, 2000000, 2000000), 0);
	ck_assert_ptr_nonnull(bytes->rest);
	ck_assert_int_eq(mail_bytes_append(bytes, text, 1, 2000000), -E2BIG);
	mail_bytes_release(&bytes);
	mail_bytes_budget(100000);
	ck_assert_int_eq(mail_bytes_new_message(0, 0, &bytes), 0);
	ck_assert_int_eq(fill(bytes, text, SIZE), -ENOMEM);
	mail_bytes_release(&bytes);
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("mail_overflow");
	TCase *tests = tcase_create("overflow");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, leaves_memory, 0, 2);
	tcase_add_test(tests, is_encrypted);
	tcase_add_test(tests, comes_back_as_a_whole);
	tcase_add_test(tests, keeps_its_header);
	tcase_add_test(tests, keeps_an_old_header);
	tcase_add_test(tests, edits_of_the_front_share_the_rest);
	tcase_add_test(tests, edits_of_the_rest_make_another);
	tcase_add_test(tests, parts_are_copied);
	tcase_add_test(tests, what_is_asked_of_all_bytes);
	tcase_add_test(tests, the_reserve_is_kept);
	tcase_add_test(tests, no_descriptors);
	tcase_add_test(tests, limits);
	suite_add_tcase(all, tests);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
