/* SPDX-License-Identifier: Apache-2.0 */
/* mail_message.c - unit tests of message bytes, header index and splices (core/mail). */
#include "run.h"
#include <check.h>
#include <core/mail/message.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- bytes ---------------------------------------------------------------------------------- */

START_TEST(bytes_grow)
{
	struct mail_bytes *bytes = NULL, *second;

	ck_assert_int_eq(mail_bytes_new(0, &bytes), 0);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
	for (int i = 0; i < 10000; i++)
		ck_assert_int_eq(mail_bytes_append(bytes, "0123456789", 10, 100000), 0);
	ck_assert_int_eq(mail_bytes_append(bytes, "x", 1, 100000), -E2BIG);
	ck_assert_uint_eq(bytes->len, 100000);
	ck_assert_uint_eq(bytes->capacity, 100000);
	ck_assert(memcmp(bytes->data + 99990, "0123456789", 10) == 0);
	second = mail_bytes_hold(bytes);
	mail_bytes_release(&bytes);
	ck_assert_ptr_null(bytes);
	ck_assert_uint_eq(mail_bytes_in_use(), 100000);
	ck_assert_int_eq(second->data[0], '0');
	mail_bytes_release(&second);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
	mail_bytes_release(&second);
}
END_TEST

START_TEST(bytes_trim)
{
	struct mail_bytes *bytes;

	ck_assert_int_eq(mail_bytes_new(1 << 20, &bytes), 0);
	ck_assert_uint_eq(mail_bytes_in_use(), 1 << 20);
	ck_assert_int_eq(mail_bytes_append(bytes, "hello", 5, SIZE_MAX), 0);
	mail_bytes_trim(bytes);
	ck_assert_uint_eq(mail_bytes_in_use(), 5);
	ck_assert(memcmp(bytes->data, "hello", 5) == 0);
	ck_assert_int_eq(mail_bytes_append(bytes, "!", 1, SIZE_MAX), 0);
	mail_bytes_release(&bytes);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

START_TEST(bytes_budget)
{
	struct mail_bytes *bytes, *other = NULL;

	mail_bytes_budget(10000);
	ck_assert_int_eq(mail_bytes_new(8000, &bytes), 0);
	ck_assert_int_eq(mail_bytes_new(2001, &other), -ENOMEM);
	ck_assert_ptr_null(other);
	ck_assert_int_eq(mail_bytes_new(2000, &other), 0);
	bytes->len = 8000;
	ck_assert_int_eq(mail_bytes_append(bytes, "x", 1, SIZE_MAX), -ENOMEM);
	ck_assert_uint_eq(bytes->len, 8000);
	mail_bytes_release(&other);
	ck_assert_int_eq(mail_bytes_append(bytes, "x", 1, 9000), 0);
	ck_assert_uint_eq(mail_bytes_in_use(), 9000);
	mail_bytes_release(&bytes);
	mail_bytes_budget(0);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

#define THREADS 4

/* What a thread does to bytes that others hold too: its own holds, and bytes of its own. */
static gpointer
share(gpointer data)
{
	struct mail_bytes *bytes = data, *again, *own;

	for (int i = 0; i < 2000; i++) {
		again = mail_bytes_hold(bytes);
		if (mail_bytes_new((size_t)i, &own) == 0)
			mail_bytes_release(&own);
		mail_bytes_release(&again);
	}
	mail_bytes_release(&bytes);
	return NULL;
}

START_TEST(bytes_on_threads)
{
	struct mail_bytes *bytes;
	GThread *threads[THREADS];

	ck_assert_int_eq(mail_bytes_new(100, &bytes), 0);
	for (int i = 0; i < THREADS; i++)
		threads[i] = g_thread_new("share", share, mail_bytes_hold(bytes));
	mail_bytes_release(&bytes);
	for (int i = 0; i < THREADS; i++)
		g_thread_join(threads[i]);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

/* ---- header index --------------------------------------------------------------------------- */

/* Fields as "name|value" separated by ";", junk as "-", then the body. */
static const struct {
	const char *bytes, *fields, *body;
} indexed[] = {
	{ "", "", "" },
	{ "\r\n", "", "" },
	{ "\r\nbody", "", "body" },
	{ "A: b\r\n\r\nbody\r\n", "A| b;", "body\r\n" },
	{ "A: b\r\nC:d\r\n\r\n", "A| b;C|d;", "" },
	{ "A: b\r\nC:d\r\n", "A| b;C|d;", "" }, /* no empty line */
	{ "A: b\r\nC:d", "A| b;C|d;", "" },     /* no last CRLF */
	{ "A: b\r\n c\r\n\td\r\nE: f\r\n\r\n", "A| b\r\n c\r\n\td;E| f;", "" },
	{ "A:\r\n\r\n", "A|;", "" },
	{ "A \t: b\r\n\r\n", "A| b;", "" },                /* RFC 5322 section 4.5.3 */
	{ "A: b\r\n \r\n\r\nbody", "A| b\r\n ;", "body" }, /* a line of blanks ends nothing */
	{ " x\r\nA: b\r\n\r\n", "-;A| b;", "" },
	{ "From a@b Mon Jan  1\r\nA: b\r\n\r\n", "-;A| b;", "" },
	{ "A: b\r\njunk\r\n more\r\nC: d\r\n\r\n", "A| b;-;C| d;", "" },
	{ ": no name\r\n\r\n", "-;", "" },
	{ "A b: c\r\n\r\n", "-;", "" },
	{ "A\r\n : c\r\n\r\n", "-;", "" },
	{ "\xc3\xbc: c\r\n\r\n", "-;", "" },
	{ "A: b\nC: d\r\n\r\n", "A| b\nC: d;", "" }, /* a bare LF ends no line */
	{ "A: b\r\n\nc\r\n\r\n", "A| b;-;", "" },
	{ "A: b\r", "A| b\r;", "" },
	{ "A: b\r\n\r", "A| b;-;", "" },
	{ "http://example.org/ is text\r\n", "http|//example.org/ is text;", "" },
};

static void
show(struct pn_slice bytes, const struct mail_header *header, char *ret, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < header->count; i++) {
		struct pn_header field;

		if (mail_header_field(bytes, header, i, &field))
			len += (size_t)snprintf(ret + len, size - len, "%.*s|%.*s;",
			    (int)field.name.len, field.name.data, (int)field.value.len,
			    field.value.data);
		else
			len += (size_t)snprintf(ret + len, size - len, "-;");
	}
	ret[len] = '\0';
}

START_TEST(header_index)
{
	struct pn_slice bytes = pn_slice_of(indexed[_i].bytes);
	struct arena arena = { 0 };
	struct mail_header header;
	struct pn_header field;
	char shown[256];
	size_t at = 0;

	ck_assert_int_eq(mail_header_index(bytes, 10, &arena, &header), 0);
	show(bytes, &header, shown, sizeof(shown));
	ck_assert_str_eq(shown, indexed[_i].fields);
	for (size_t i = 0; i < header.count; i++) {
		ck_assert_uint_eq(header.fields[i].start, at);
		at = header.fields[i].end;
	}
	ck_assert_uint_eq(header.size, at);
	ck_assert_str_eq(bytes.data + header.body, indexed[_i].body);
	ck_assert(!mail_header_field(bytes, &header, header.count, &field));
	arena_free(&arena);
}
END_TEST

START_TEST(header_limit)
{
	struct arena arena = { 0 };
	struct mail_header header;
	char text[1000 * 3 + 2];

	for (size_t i = 0; i < 600; i++)
		memcpy(text + i * 5, "A:b\r\n", 5);
	memcpy(text + 3000, "\r\n", 2);
	ck_assert_int_eq(mail_header_index(pn_slice(text, 3002), 599, &arena, &header), -E2BIG);
	ck_assert_int_eq(mail_header_index(pn_slice(text, 3002), 600, &arena, &header), 0);
	ck_assert_uint_eq(header.count, 600);
	for (size_t i = 0; i < header.count; i++)
		ck_assert_uint_eq(header.fields[i].start, i * 5);
	ck_assert_uint_eq(header.body, 3002);
	arena_free(&arena);
}
END_TEST

START_TEST(header_find)
{
	struct pn_slice bytes = pn_slice_of(
	    "to: a\r\njunk\r\nSubject : x\r\nTO: b\r\nTo2: c\r\n\r\nTo: body\r\n");
	struct arena arena = { 0 };
	struct mail_header header;

	ck_assert_int_eq(mail_header_index(bytes, 10, &arena, &header), 0);
	ck_assert_int_eq(mail_header_find(bytes, &header, "To", 0), 0);
	ck_assert_int_eq(mail_header_find(bytes, &header, "To", 1), 3);
	ck_assert_int_eq(mail_header_find(bytes, &header, "To", 2), -ENOENT);
	ck_assert_int_eq(mail_header_find(bytes, &header, "SUBJECT", 0), 2);
	ck_assert_int_eq(mail_header_find(bytes, &header, "", 0), -ENOENT);
	arena_free(&arena);
}
END_TEST

/* ---- splices -------------------------------------------------------------------------------- */

struct step {
	size_t offset, length;
	const char *bytes;
	int want;
};

static const struct {
	struct step steps[5];
	const char *outcome; /* of "0123456789"; NULL: refused when applied */
} spliced[] = {
	{ { { 0, 0, "", 0 } }, "0123456789" },
	{ { { 0, 0, "a", 0 }, { 0, 0, "b", 0 } }, "ab0123456789" },
	{ { { 10, 0, "z", 0 }, { 0, 0, "a", 0 } }, "a0123456789z" },
	{ { { 3, 4, "x", 0 }, { 1, 1, "", 0 }, { 8, 2, "yyy", 0 } }, "02x7yyy" },
	{ { { 3, 4, "x", 0 }, { 4, 0, "y", -EINVAL } }, "012x789" },
	{ { { 3, 4, "x", 0 }, { 6, 2, "y", -EINVAL }, { 2, 2, "y", -EINVAL } }, "012x789" },
	{ { { 3, 4, "x", 0 }, { 3, 4, "y", -EINVAL }, { 0, 10, "y", -EINVAL } }, "012x789" },
	{ { { 3, 4, "x", 0 }, { 3, 0, "<", 0 }, { 7, 0, ">", 0 }, { 3, 0, "=", 0 } },
	    "012<=x>789" },
	{ { { 3, 0, "<", 0 }, { 3, 4, "x", 0 }, { 3, 0, "=", 0 } }, "012<=x789" },
	{ { { 5, 0, "y", 0 }, { 3, 4, "x", -EINVAL }, { 3, 2, "x", 0 } }, "012xy56789" },
	{ { { 0, 10, "", 0 } }, "" },
	{ { { 2, 3, "abc", 0 }, { 5, 3, "def", 0 }, { 0, 2, "!", 0 } }, "!abcdef89" },
	{ { { 11, 0, "x", 0 } }, NULL },
	{ { { 9, 2, "x", 0 } }, NULL },
	{ { { SIZE_MAX, 1, "x", -EINVAL }, { 1, SIZE_MAX, "x", -EINVAL } }, "0123456789" },
};

START_TEST(edits_apply)
{
	struct pn_slice from = pn_slice_of("0123456789");
	struct mail_bytes *bytes = NULL;
	struct mail_edits edits = { 0 };
	struct arena arena = { 0 };

	for (const struct step *step = spliced[_i].steps; step->bytes; step++)
		ck_assert_int_eq(mail_edits_add(&edits, &arena, step->offset, step->length,
				     pn_slice_of(step->bytes)),
		    step->want);
	if (!spliced[_i].outcome) {
		ck_assert_int_eq(mail_edits_apply(&edits, from, 100, &bytes), -EINVAL);
		ck_assert_ptr_null(bytes);
	} else {
		ck_assert_int_eq(mail_edits_apply(&edits, from, 100, &bytes), 0);
		ck_assert(pn_slice_equals(
		    pn_slice(bytes->data, bytes->len), pn_slice_of(spliced[_i].outcome)));
	}
	mail_bytes_release(&bytes);
	arena_free(&arena);
}
END_TEST

START_TEST(edits_many)
{
	struct mail_bytes *bytes;
	struct mail_edits edits = { 0 };
	struct arena arena = { 0 };

	for (size_t i = 100; i-- > 0;) /* backwards, the slow way round */
		ck_assert_int_eq(mail_edits_add(&edits, &arena, i, 0, pn_slice("ab", 2)), 0);
	ck_assert_int_eq(
	    mail_edits_apply(&edits, pn_slice(arena_alloc(&arena, 100), 100), 299, &bytes), -E2BIG);
	ck_assert_int_eq(
	    mail_edits_apply(&edits, pn_slice(arena_alloc(&arena, 100), 100), 300, &bytes), 0);
	for (size_t i = 0; i < 100; i++)
		ck_assert(memcmp(bytes->data + 3 * i, "ab", 3) == 0);
	mail_bytes_release(&bytes);
	arena_free(&arena);
}
END_TEST

/* ---- names and values ----------------------------------------------------------------------- */

static const struct {
	const char *text;
	bool name, value;
} valid[] = {
	{ "Subject", true, true },
	{ "X-a_b!", true, true },
	{ "", false, true },
	{ "A b", false, true },
	{ "A:", false, true },
	{ "\xc3\xbc", false, true },
	{ "a\tb", false, true },
	{ "a\r\n b", false, true },
	{ "\r\n b\r\n\tc", false, true },
	{ "a\r\nb: c", false, false },
	{ "a\r\n", false, false },
	{ "a\nb", false, false },
	{ "a\rb", false, false },
	{ "a\n b", false, false },
	{ "a\r b", false, false },
	{ "a\r\n\r\n b", false, false },
	{ "a\r\n \r\n b", false, false }, /* a line of blanks */
	{ "a\r\n ", false, false },
};

START_TEST(header_valid)
{
	ck_assert_int_eq(mail_header_name_valid(valid[_i].text), valid[_i].name);
	ck_assert_int_eq(mail_header_value_valid(valid[_i].text), valid[_i].value);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof(*(table))))

int
main(void)
{
	Suite *suite = suite_create("mail_message");
	TCase *tcase = tcase_create("all");

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, bytes_grow);
	tcase_add_test(tcase, bytes_trim);
	tcase_add_test(tcase, bytes_budget);
	tcase_add_test(tcase, bytes_on_threads);
	tcase_add_loop_test(tcase, header_index, 0, COUNT(indexed));
	tcase_add_test(tcase, header_limit);
	tcase_add_test(tcase, header_find);
	tcase_add_loop_test(tcase, edits_apply, 0, COUNT(spliced));
	tcase_add_test(tcase, edits_many);
	tcase_add_loop_test(tcase, header_valid, 0, COUNT(valid));
	return unit_run(suite);
}
