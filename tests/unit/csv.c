/* SPDX-License-Identifier: Apache-2.0 */
/* csv.c - unit tests of core/base/csv.c. */
#include "run.h"
#include <check.h>
#include <core/base/csv.h>
#include <errno.h>
#include <stdio.h>

/* Cells as "text@line:column", rows by ";"; or what is wrong and where. */
static const struct {
	const char *text, *read;
} good[] = {
	{ "a,b\r\nc,d\r\n", "a@1:1 b@1:3 ;c@2:1 d@2:3 ;" },
	{ "a,b\nc,d", "a@1:1 b@1:3 ;c@2:1 d@2:3 ;" },
	{ "\xef\xbb\xbf"
	  "a,b\n",
	    "a@1:1 b@1:3 ;" },
	{ "\"a,\"\"b\"\"\",\"\",c", "a,\"b\"@1:1 @1:11 c@1:14 ;" },
	{ "\"two\r\nlines\",x\n\"y\"", "two\r\nlines@1:1 x@2:8 ;y@3:1 ;" },
	{ "\n\r\n,\n", "@3:1 @3:2 ;" },
	{ "\xc3\xbc,b", "\xc3\xbc@1:1 b@1:3 ;" },
	{ "a,b,", "a@1:1 b@1:3 @1:5 ;" },
	{ "", "" },
	{ " a , \"b", "!1:6: a quote may not" },
	{ "a\n\"b", "!2:1: the quote here has no end" },
	{ "\"a\"b", "!1:4: a comma or the line's end" },
	{ "a\"b", "!1:2: a quote may not" },
	{ "a\rb", "!1:2: a CR without LF" },
	{ "a\nb\xff", "!2:2: is not UTF-8" },
	{ "a;b", "a;b@1:1 ;" },
};

static int
read_row(struct csv *csv, char *ret, size_t size, struct pn_error *err)
{
	struct arena arena = { 0 };
	struct csv_row row;
	size_t len = strlen(ret);
	int r = csv_next(csv, &arena, &row, err);

	for (size_t i = 0; r == 1 && i < row.count; i++)
		len += (size_t)snprintf(ret + len, size - len, "%s@%zu:%zu ", row.cells[i].text,
		    row.cells[i].line, row.cells[i].column);
	if (r == 1)
		snprintf(ret + len, size - len, ";");
	arena_free(&arena);
	return r;
}

START_TEST(rows_and_mistakes)
{
	struct pn_error err = { 0 };
	char said[200] = "", wrong[600];
	struct csv csv;
	int r = csv_open(&csv, pn_slice_of(good[_i].text), &err);

	if (r == 0)
		while ((r = read_row(&csv, said, sizeof(said), &err)) == 1)
			;
	if (*good[_i].read != '!') {
		ck_assert_int_eq(r, 0);
		ck_assert_str_eq(said, good[_i].read);
		return;
	}
	ck_assert_int_eq(r, -EINVAL);
	snprintf(wrong, sizeof(wrong), "!%zu:%zu: %s", csv.line, csv.column, err.text);
	ck_assert_msg(strncmp(wrong, good[_i].read, strlen(good[_i].read)) == 0, "%s", wrong);
}
END_TEST

START_TEST(bounds)
{
	static char text[CSV_CELL_MOST + 2];
	struct arena arena = { 0 };
	struct csv_row row;
	struct csv csv;

	memset(text, 'x', CSV_CELL_MOST + 1);
	ck_assert_int_eq(csv_open(&csv, pn_slice(text, CSV_CELL_MOST), NULL), 0);
	ck_assert_int_eq(csv_next(&csv, &arena, &row, NULL), 1);
	ck_assert_int_eq(csv_open(&csv, pn_slice(text, CSV_CELL_MOST + 1), NULL), 0);
	ck_assert_int_eq(csv_next(&csv, &arena, &row, NULL), -E2BIG);
	memset(text, ',', CSV_CELLS_MOST);
	ck_assert_int_eq(csv_open(&csv, pn_slice(text, CSV_CELLS_MOST - 1), NULL), 0);
	ck_assert_int_eq(csv_next(&csv, &arena, &row, NULL), 1);
	ck_assert_uint_eq(row.count, CSV_CELLS_MOST);
	ck_assert_int_eq(csv_open(&csv, pn_slice(text, CSV_CELLS_MOST), NULL), 0);
	ck_assert_int_eq(csv_next(&csv, &arena, &row, NULL), -E2BIG);
	ck_assert_int_eq(csv_open(&csv, pn_slice("a\0b", 3), NULL), -EINVAL);
	ck_assert_uint_eq(csv.column, 2);
	arena_free(&arena);
}
END_TEST

/* What is written, and what comes back. */
static const struct {
	const char *text, *written;
} cells[] = {
	{ "plain", "plain" },
	{ "a,b", "\"a,b\"" },
	{ "say \"x\"", "\"say \"\"x\"\"\"" },
	{ "=1+1", "'=1+1" },
	{ "+49 30 1", "'+49 30 1" },
	{ "-1", "'-1" },
	{ "@cmd", "'@cmd" },
	{ "\tx", "'\tx" },
	{ "'=1", "''=1" },
	{ "'quoted'", "'quoted'" },
	{ "O'Hara", "O'Hara" },
	{ "=\"x\"", "\"'=\"\"x\"\"\"" },
	{ "", "" },
};

START_TEST(cells_come_back)
{
	struct buf to = BUF_INIT(200);
	struct arena arena = { 0 };
	struct csv_row row;
	struct csv csv;

	ck_assert_int_eq(csv_add(&to, "x", true), 0);
	ck_assert_int_eq(csv_add(&to, cells[_i].text, false), 0);
	ck_assert_int_eq(csv_end_row(&to), 0);
	ck_assert_uint_eq(to.len, strlen(cells[_i].written) + 4);
	ck_assert_mem_eq(to.data + 2, cells[_i].written, strlen(cells[_i].written));
	ck_assert_int_eq(csv_open(&csv, buf_slice(&to), NULL), 0);
	ck_assert_int_eq(csv_next(&csv, &arena, &row, NULL), 1);
	ck_assert_uint_eq(row.count, 2);
	ck_assert_str_eq(csv_plain(row.cells[1].text), cells[_i].text);
	arena_free(&arena);
	buf_free(&to);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("csv");
	TCase *tests = tcase_create("csv");

	tcase_add_loop_test(tests, rows_and_mistakes, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_test(tests, bounds);
	tcase_add_loop_test(tests, cells_come_back, 0, sizeof(cells) / sizeof(cells[0]));
	suite_add_tcase(suite, tests);
	return unit_run(suite);
}
