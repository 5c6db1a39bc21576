/* SPDX-License-Identifier: Apache-2.0 */
/* codes.c - unit tests of mailed codes: what is right once, what never is, and what is kept. */
#include "run.h"
#include "tests/unit/store_folder.h"
#include <check.h>
#include <core/base/clock.h>
#include <core/store/codes.h>
#include <ctype.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>

#define ADDRESS "ada@elsewhere.example"
#define USER    "ada@clinic.example"
#define HOUR    INT64_C(3600000000)

static struct db *db;

static void
setup(void)
{
	struct pn_error err = { 0 };

	db = store_folder_open();
	ck_assert_msg(codes_migrate(db, &err) == 0, "%s", err.text);
}

static void
teardown(void)
{
	store_folder_close(&db);
}

static const char *
made(int64_t age_us)
{
	static char code[CODE_SIZE];
	struct pn_error err = { 0 };

	ck_assert_msg(codes_make(db, ADDRESS, USER, clock_wall_us() + age_us, code, &err) == 0,
	    "%s", err.text);
	return code;
}

static enum code_answer
answer(const char *user, const char *code, int left)
{
	struct pn_error err = { 0 };
	enum code_answer ret;
	int have;

	ck_assert_msg(codes_try(db, ADDRESS, user, code, &ret, &have, &err) == 0, "%s", err.text);
	if (left >= 0)
		ck_assert_int_eq(have, left);
	return ret;
}

START_TEST(right_once)
{
	char code[CODE_SIZE], typed[40];

	strcpy(code, made(HOUR));
	ck_assert_uint_eq(strlen(code), CODE_SIZE - 1);
	ck_assert_str_ne(code, made(HOUR)); /* and the one before is void */
	ck_assert_int_eq(answer(USER, code, 4), CODE_WRONG);
	strcpy(code, made(HOUR)); /* with all its tries */
	ck_assert_int_eq(answer("bo@clinic.example", code, -1), CODE_NONE);
	for (size_t i = 0; i < CODE_SIZE; i++)
		typed[i] = code[i] == '1'   ? 'l'
			   : code[i] == '0' ? 'o'
			   : code[i] == '-' ? ' '
					    : (char)tolower((unsigned char)code[i]);
	ck_assert_int_eq(answer(USER, typed, 5), CODE_RIGHT);
	ck_assert_int_eq(answer(USER, code, -1), CODE_USED);
	ck_assert_int_eq(answer(USER, "x", -1), CODE_USED);
	ck_assert_int_eq(answer(USER, made(HOUR), 5), CODE_RIGHT);
}
END_TEST

START_TEST(wrong)
{
	char code[CODE_SIZE], longer[CODE_SIZE + 1], shorter[CODE_SIZE];

	strcpy(code, made(HOUR));
	snprintf(longer, sizeof(longer), "%sX", code);
	snprintf(shorter, sizeof(shorter), "%.*s", CODE_SIZE - 2, code);
	ck_assert_int_eq(answer(USER, longer, 4), CODE_WRONG);
	ck_assert_int_eq(answer(USER, shorter, 3), CODE_WRONG);
	ck_assert_int_eq(answer(USER, "", 2), CODE_WRONG);
	ck_assert_int_eq(answer(USER, "0000-0000-0000-0000", 1), CODE_WRONG);
	ck_assert_int_eq(answer(USER, "\xff", 0), CODE_WRONG);
	ck_assert_int_eq(answer(USER, code, 0), CODE_SPENT);
	ck_assert_int_eq(answer(USER, made(0), -1), CODE_EXPIRED);
}
END_TEST

static int
look(void *arg, const struct code_state *state)
{
	int *found = arg;

	ck_assert_str_eq(state->address, ADDRESS);
	ck_assert_str_eq(state->user, USER);
	ck_assert_int_gt(state->expires_us, clock_wall_us());
	ck_assert_int_eq(state->used_us, 0);
	*found = state->tries;
	return 0;
}

static int
look_at_hash(void *arg, const struct pn_row *row)
{
	struct pn_slice hash = pn_row_bytes(row, 0);

	ck_assert_uint_eq(hash.len, 64);
	ck_assert_uint_eq(strspn(hash.data, "0123456789abcdef"), hash.len);
	return 0;
}

START_TEST(kept)
{
	char code[CODE_SIZE];
	struct pn_error err;
	int tries = -1;

	ck_assert_int_eq(codes_drop(db, ADDRESS, USER, &err), -ENOENT);
	strcpy(code, made(HOUR));
	answer(USER, "x", 4);
	ck_assert_int_eq(codes_each(db, look, &tries, &err), 0);
	ck_assert_int_eq(tries, 1);
	/* A hash, not the code. */
	ck_assert_int_eq(
	    db_query(db, &err, "SELECT hash FROM address_codes", PN_NO_VALUES, look_at_hash, NULL),
	    0);
	ck_assert_int_eq(codes_drop(db, ADDRESS, USER, &err), 0);
	ck_assert_int_eq(answer(USER, code, -1), CODE_NONE);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("codes");
	TCase *tcase = tcase_create("codes");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, right_once);
	tcase_add_test(tcase, wrong);
	tcase_add_test(tcase, kept);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
