/* SPDX-License-Identifier: Apache-2.0 */
/* pki_warn.c - administrators are told of keys that end: of all of them, each once a threshold. */
#include "policy_world.h"
#include "run.h"
#include <stdio.h>
#include <time.h>

#define DAY  86400
#define MANY 450

static struct world world;

static int
count_row(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

static int64_t
count(const char *sql)
{
	struct pn_error err = { 0 };
	int64_t ret = -1;

	ck_assert_msg(
	    db_query(world.db, &err, sql, PN_NO_VALUES, count_row, &ret) == 0, "%s", err.text);
	return ret;
}

static void
change(const char *sql, struct pn_values values)
{
	struct pn_error err = { 0 };

	ck_assert_msg(db_run(world.db, &err, sql, values) == 0, "%s", err.text);
}

static void
add(const char *kind, const char *address, int64_t days)
{
	change("INSERT INTO pki_keys (address, kind, fingerprint, material, not_before, not_after, "
	       "source, state, added) VALUES (?1, ?2, 'f00d', 'x', 0, ?3, 'import', 'active', 0)",
	    PN_VALUES(PN_TEXT(address), PN_TEXT(kind), PN_INT(time(NULL) + days * DAY - 60)));
}

/* An hour later, for what was looked at. */
static void
tick(void)
{
	change("DELETE FROM keyvalue WHERE name = 'looked'", PN_NO_VALUES);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_TICK), RULING_PASS);
}

static int64_t
told_of(const char *address)
{
	char sql[200];

	snprintf(
	    sql, sizeof(sql), "SELECT COUNT(*) FROM outbox WHERE body LIKE '%%  %s  %%'", address);
	return count(sql);
}

START_TEST(test_each_once)
{
	char address[40];

	world_open(&world);
	world_run(&world, "  - pki\n", "pki:\n  warn: [\"admin@example.org\"]\n");
	world_begin(&world);
	for (int i = 0; i < MANY; i++) {
		snprintf(address, sizeof(address), "user%03d@example.org", i);
		add("smime", address, 20);
	}
	add("pgp", "pgp@example.org", 7);
	add("smime", "later@example.org", 32);
	add("smime", "over@example.org", -1);
	change("INSERT INTO pki_private VALUES ('example.org', 'f00d', 'x', 'x', ?1, 0, 0, NULL)",
	    PN_VALUES(PN_INT(time(NULL) + DAY / 2)));
	for (int i = 0; i < 5; i++)
		tick();
	ck_assert_int_eq(count("SELECT COUNT(*) FROM outbox"), 3);
	for (int i = 0; i < MANY; i += 149) {
		snprintf(address, sizeof(address), "user%03d@example.org", i);
		ck_assert_int_eq(told_of(address), 1);
	}
	ck_assert_int_eq(told_of("pgp@example.org"), 1);
	ck_assert_int_eq(told_of("example.org"), 1);
	ck_assert_int_eq(told_of("later@example.org"), 0);
	ck_assert_int_eq(told_of("over@example.org"), 0);
	/* The next threshold, and a new key at the same address. */
	change("UPDATE pki_keys SET not_after = ?1 WHERE address = 'user000@example.org'",
	    PN_VALUES(PN_INT(time(NULL) + 6 * DAY)));
	change("UPDATE pki_keys SET fingerprint = 'beef' WHERE address = 'user001@example.org'",
	    PN_NO_VALUES);
	tick();
	tick();
	ck_assert_int_eq(count("SELECT COUNT(*) FROM outbox"), 4);
	ck_assert_int_eq(told_of("user000@example.org"), 2);
	ck_assert_int_eq(told_of("user001@example.org"), 2);
	ck_assert_int_eq(told_of("user002@example.org"), 1);
	world_close(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pki_warn");
	TCase *tc = tcase_create("pki_warn");

	tcase_add_test(tc, test_each_once);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
