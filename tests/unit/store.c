/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - unit tests of core/store. */
#include "run.h"
#include <check.h>
#include <core/store/directory.h>
#include <core/store/records.h>
#include <core/store/snapshot.h>
#include <core/store/spelling.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[80];
static struct db *db;

static void
setup(void)
{
	struct pn_error err = { 0 };

	strcpy(folder, "/tmp/postern-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/test.db", folder);
	ck_assert_msg(db_open(path, false, &db, &err) == 0, "%s", err.text);
}

static void
teardown(void)
{
	static const char *const files[] = { "test.db", "test.db-wal", "test.db-shm" };
	char name[100];

	db_close(&db);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(name, sizeof(name), "%s/%s", folder, files[i]);
		unlink(name);
	}
	ck_assert_int_eq(rmdir(folder), 0);
}

static int
first_int(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

static int64_t
number(const char *sql)
{
	struct pn_error err = { 0 };
	int64_t value = -1;

	ck_assert_msg(
	    db_query(db, &err, sql, PN_NO_VALUES, first_int, &value) == 0, "%s", err.text);
	return value;
}

static void
make_table(void)
{
	struct pn_error err = { 0 };

	ck_assert_msg(
	    db_run(db, &err, "CREATE TABLE t (a BIGINT PRIMARY KEY, b TEXT)", PN_NO_VALUES) == 0,
	    "%s", err.text);
}

START_TEST(files_are_private)
{
	struct stat status;

	make_table();
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_eq(status.st_mode & 0777, 0600);
	strcat(path, "-wal");
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_eq(status.st_mode & 0777, 0600);
}
END_TEST

static int
check_values(void *arg, const struct pn_row *row)
{
	ck_assert_int_eq(pn_row_int(row, 0), INT64_MIN);
	ck_assert(pn_slice_equals(pn_row_bytes(row, 1), pn_slice("a\0b", 3)));
	ck_assert(pn_slice_equals(pn_row_bytes(row, 2), pn_slice_of("h\xc3\xa4")));
	ck_assert_ptr_null(pn_row_bytes(row, 3).data);
	ck_assert_ptr_nonnull(pn_row_bytes(row, 4).data);
	ck_assert_uint_eq(pn_row_bytes(row, 4).len, 0);
	return 42;
}

START_TEST(values_come_back)
{
	struct pn_error err = { 0 };

	ck_assert_int_eq(db_query(db, &err, "SELECT ?1, ?2, ?3, ?4, ?5",
			     PN_VALUES(PN_INT(INT64_MIN), PN_BLOB("a\0b", 3), PN_TEXT("h\xc3\xa4"),
				 PN_NULL, PN_TEXT("")),
			     check_values, NULL),
	    42);
}
END_TEST

static const struct {
	const char *sql;
	int want;
} refused[] = {
	{ "INSERT INTO t (a) VALUES (1)", -EEXIST },
	{ "SELECT nothing FROM t", -EINVAL },
	{ "SELECT 1; SELECT 2", -EINVAL },
	{ "", -EINVAL },
	{ "SELECT ?1", -EINVAL },
	{ "BEGIN", -EINVAL },
	{ "INSERT INTO fk (a) VALUES (7)", -EINVAL },
};

START_TEST(statements_are_refused)
{
	struct pn_error err = { 0 };

	make_table();
	ck_assert_int_eq(db_run(db, &err, "INSERT INTO t (a) VALUES (1)", PN_NO_VALUES), 0);
	ck_assert_int_eq(
	    db_run(db, &err, "CREATE TABLE fk (a BIGINT REFERENCES t (a))", PN_NO_VALUES), 0);
	ck_assert_int_eq(db_run(db, &err, refused[_i].sql, PN_NO_VALUES), refused[_i].want);
	ck_assert_str_ne(err.text, "");
	/* and it goes on */
	ck_assert_int_eq(db_run(db, &err, "INSERT INTO t (a) VALUES (2)", PN_NO_VALUES), 0);
	ck_assert_int_eq(number("SELECT COUNT(*) FROM t"), 2);
}
END_TEST

/* The same text inside its own rows. */
static int
nested(void *arg, const struct pn_row *row)
{
	int *depth = arg;

	if (++*depth < 3)
		ck_assert_int_eq(
		    db_query(db, NULL, "SELECT ?1", PN_VALUES(PN_INT(1)), nested, depth), 0);
	return 0;
}

START_TEST(a_query_may_run_inside_itself)
{
	int depth = 0;

	ck_assert_int_eq(db_query(db, NULL, "SELECT ?1", PN_VALUES(PN_INT(1)), nested, &depth), 0);
	ck_assert_int_eq(depth, 3);
}
END_TEST

START_TEST(reading_only)
{
	struct pn_error err = { 0 };
	struct db *reader = NULL;

	make_table();
	ck_assert_int_eq(db_open(path, true, &reader, &err), 0);
	ck_assert_int_eq(db_run(reader, &err, "SELECT COUNT(*) FROM t", PN_NO_VALUES), 0);
	ck_assert_int_eq(
	    db_run(reader, &err, "INSERT INTO t (a) VALUES (2)", PN_NO_VALUES), -EROFS);
	db_close(&reader);
	ck_assert_int_lt(db_open("/nonexistent/x.db", true, &reader, &err), 0);
	ck_assert_int_eq(db_open("/nonexistent/x.db", false, &reader, &err), -ENOENT);
	ck_assert_ptr_null(reader);
}
END_TEST

static void *
insert_many(void *arg)
{
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(db_run(db, NULL, "INSERT INTO t (a, b) VALUES (?1, ?2)",
				     PN_VALUES(PN_INT(*(int *)arg + i), PN_TEXT("x"))),
		    0);
	return NULL;
}

START_TEST(threads_have_their_own_connections)
{
	pthread_t threads[4];
	int begin[4] = { 0, 1000, 2000, 3000 };

	make_table();
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, insert_many, &begin[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(number("SELECT COUNT(*) FROM t"), 200);
}
END_TEST

/* ---- migrations ------------------------------------------------------------------------------ */

static const struct pn_migration grown[] = {
	{ 1, 0, "CREATE TABLE m (a BIGINT); INSERT INTO m VALUES (1)" },
	{ 2, 0, "INSERT INTO m VALUES (2)" },
	{ 3, 0, "INSERT INTO m VALUES (3); INSERT INTO nowhere VALUES (1)" },
	{ 0, 0, NULL },
};
static const struct pn_migration one[] = {
	{ 1, 0, "CREATE TABLE m (a BIGINT); INSERT INTO m VALUES (1)" },
	{ 0, 0, NULL },
};
static const struct pn_migration gap[] = { { 2, 0, "SELECT 1" }, { 0, 0, NULL } };

START_TEST(migrations_run_once_and_whole)
{
	struct pn_error err = { 0 };
	const size_t size = sizeof(one[0]);

	ck_assert_int_eq(db_migrate(db, "mod", one, size, &err), 0);
	ck_assert_int_eq(db_migrate(db, "mod", one, size, &err), 0);
	ck_assert_int_eq(number("SELECT COUNT(*) FROM m"), 1);
	/* the third step fails: the second stands, of the third nothing */
	ck_assert_int_eq(db_migrate(db, "mod", grown, size, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "tables of mod, step 3"));
	ck_assert_int_eq(number("SELECT MAX(a) FROM m"), 2);
	ck_assert_int_eq(number("SELECT MAX(number) FROM migrations WHERE owner = 'mod'"), 2);
	/* written by a newer version */
	ck_assert_int_eq(db_migrate(db, "mod", one, size, &err), -EPROTO);
	ck_assert_int_eq(db_migrate(db, "other", gap, size, &err), -EINVAL);
	/* and the connection is not left in a transaction */
	ck_assert_int_eq(db_run(db, &err, "INSERT INTO m VALUES (9)", PN_NO_VALUES), 0);
}
END_TEST

/* ---- records -----------------------------------------------------------------------------------
 */

struct listed {
	char text[400];
};

static int
list_record(void *arg, const char *const columns[RECORD_COLUMNS])
{
	struct listed *listed = arg;
	size_t len = strlen(listed->text);

	snprintf(listed->text + len, sizeof(listed->text) - len, "%s=%s,%s,%s;", columns[0],
	    columns[1] ? columns[1] : "-", columns[2] ? columns[2] : "-",
	    columns[3] ? columns[3] : "-");
	return 0;
}

static const char *
records(enum record_kind kind)
{
	static struct listed listed;

	*listed.text = '\0';
	ck_assert_int_eq(records_each(db, kind, list_record, &listed, NULL), 0);
	return listed.text;
}

static void
put(enum record_kind kind, const char *a, const char *b, const char *c, const char *d)
{
	const char *const columns[RECORD_COLUMNS] = { a, b, c, d };

	ck_assert_int_eq(records_put(db, kind, columns, NULL), 0);
}

START_TEST(records_come_and_go)
{
	static const char *const lab[RECORD_COLUMNS] = { "lab" };
	int64_t before, after;

	ck_assert_int_eq(directory_migrate(db, NULL), 0);
	ck_assert_int_eq(records_version(db, &before, NULL), 0);
	put(RECORD_ACCOUNT, "lab", "10", NULL, NULL);
	put(RECORD_ACCOUNT, "lab", "12", "0", NULL);
	put(RECORD_ACCOUNT, "clinic", NULL, NULL, "basic");
	ck_assert_str_eq(records(RECORD_ACCOUNT), "clinic=-,-,basic;lab=12,0,-;");
	put(RECORD_DOMAIN, "lab.example", "lab", NULL, NULL);
	put(RECORD_NETWORK, "192.0.2.0/24", "lab", NULL, "1");
	put(RECORD_NETWORK, "192.0.2.7/32", "clinic", "one", "0");
	ck_assert_int_eq(records_version(db, &after, NULL), 0);
	ck_assert_int_eq(after - before, 6);
	ck_assert_int_eq(records_remove(db, RECORD_ACCOUNT, lab, NULL), 0);
	ck_assert_int_eq(records_remove(db, RECORD_ACCOUNT, lab, NULL), -ENOENT);
	ck_assert_str_eq(records(RECORD_DOMAIN), "");
	ck_assert_str_eq(records(RECORD_NETWORK), "192.0.2.7/32=clinic,one,0;");
}
END_TEST

START_TEST(what_hangs_on_a_user_goes_too)
{
	int64_t before, after;

	ck_assert_int_eq(directory_migrate(db, NULL), 0);
	ck_assert_int_eq(directory_user_add(db, "a@x.example", NULL), 0);
	put(RECORD_REGISTERED, "a@x.example", "lab", NULL, NULL);
	put(RECORD_MEMBER, "nurses", "a@x.example", NULL, NULL);
	put(RECORD_MEMBER, "nurses", "b@x.example", NULL, NULL);
	put(RECORD_ALIAS, "c@x.example", "a@x.example", NULL, NULL);
	put(RECORD_DELEGATE, "i@x.example", "a@x.example", "user", NULL);
	put(RECORD_DELEGATE, "i@x.example", "nurses", "group", NULL);
	put(RECORD_CONFIRMED, "e@y.example", "a@x.example", "1", NULL);
	ck_assert_int_eq(records_version(db, &before, NULL), 0);
	ck_assert_int_eq(directory_user_enable(db, "a@x.example", false, NULL), 0);
	ck_assert_str_eq(records(RECORD_USER), "a@x.example=0,1,-;");
	ck_assert_int_eq(directory_user_remove(db, "a@x.example", NULL), 0);
	ck_assert_int_eq(records_version(db, &after, NULL), 0);
	ck_assert_int_eq(after - before, 2);
	ck_assert_str_eq(records(RECORD_REGISTERED), "");
	ck_assert_str_eq(records(RECORD_MEMBER), "nurses=b@x.example,-,-;");
	ck_assert_str_eq(records(RECORD_ALIAS), "");
	ck_assert_str_eq(records(RECORD_DELEGATE), "i@x.example=nurses,group,-;");
	ck_assert_str_eq(records(RECORD_CONFIRMED), "");
}
END_TEST

/* ---- directory ------------------------------------------------------------------------------- */

static const struct {
	const char *typed, *found;
} spellings[] = {
	{ "ada@example.org", "ada@example.org" },
	{ "ada@EXAMPLE.org", "ada@example.org" },
	{ "Ada@example.org", "ada@example.org" },
	{ "Bo@example.org", NULL },
	{ "bo@b\xc3\xbc"
	  "cher.example",
	    "bo@xn--bcher-kva.example" },
	{ "bo@XN--BCHER-KVA.example", "bo@xn--bcher-kva.example" },
	{ "", NULL },
	{ "ada", NULL },
	{ "postmaster", NULL },
	{ "ada@example.org' OR '1'='1", NULL },
};

START_TEST(users_by_any_spelling)
{
	struct pn_error err = { 0 };
	struct pn_user user;
	int r;

	ck_assert_int_eq(directory_migrate(db, &err), 0);
	ck_assert_int_eq(directory_user_add(db, "ada@Example.ORG", &err), 0);
	ck_assert_int_eq(directory_user_add(db,
			     "bo@b\xc3\xbc"
			     "cher.example",
			     &err),
	    0);
	memset(&user, 'x', sizeof(user));
	r = directory_user_find(db, spellings[_i].typed, &user, &err);
	if (!spellings[_i].found) {
		ck_assert_int_eq(r, -ENOENT);
		/* of what is an address its one form stays, of anything else nothing */
		ck_assert_str_eq(user.address, _i == 3 ? "bo@example.org" : "");
		ck_assert(!user.enabled);
		return;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_str_eq(user.address, spellings[_i].found);
	ck_assert(user.enabled);
}
END_TEST

static int
count_enabled(void *arg, const struct pn_user *user)
{
	*(int *)arg += user->enabled ? 1 : 100;
	return 0;
}

START_TEST(users_come_and_go)
{
	struct pn_error err = { 0 };
	int seen = 0;

	ck_assert_int_eq(directory_migrate(db, &err), 0);
	ck_assert_int_eq(directory_user_add(db, "no address", &err), -EINVAL);
	ck_assert_int_eq(directory_user_add(db, "postmaster", &err), -EINVAL);
	ck_assert_int_eq(directory_user_add(db, "a@example.org", &err), 0);
	ck_assert_int_eq(directory_user_add(db, "a@EXAMPLE.org", &err), -EEXIST);
	ck_assert_int_eq(directory_user_add(db, "b@example.org", &err), 0);
	ck_assert_int_eq(directory_user_enable(db, "b@example.org", false, &err), 0);
	ck_assert_int_eq(directory_user_enable(db, "c@example.org", false, &err), -ENOENT);
	ck_assert_int_eq(directory_users(db, count_enabled, &seen, &err), 0);
	ck_assert_int_eq(seen, 101);
	ck_assert_int_eq(directory_user_remove(db, "b@example.org", &err), 0);
	ck_assert_int_eq(directory_user_remove(db, "b@example.org", &err), -ENOENT);
}
END_TEST

/* What hangs on a user whom somebody else names is no user, until one is added. */
START_TEST(rows_that_are_no_users)
{
	struct pn_error err = { 0 };
	struct directory_row row;
	struct pn_user user;

	ck_assert_int_eq(directory_migrate(db, &err), 0);
	ck_assert_int_eq(directory_user_keep(db, "Ada@x.example", &err), 0);
	ck_assert_int_eq(directory_user_keep(db, "ada@x.example", &err), 0);
	ck_assert_int_eq(directory_user_find(db, "ada@x.example", &user, &err), -ENOENT);
	ck_assert_int_eq(directory_row_find(db, "ADA@x.example", &row, &err), 0);
	ck_assert(!row.stated && row.user.enabled);
	ck_assert_int_eq(directory_field_set(db, "ada@x.example", "title", "Dr", &err), 0);
	ck_assert_int_eq(directory_user_add(db, "ada@X.example", &err), 0);
	ck_assert_int_eq(directory_user_add(db, "ada@x.example", &err), -EEXIST);
	ck_assert_int_eq(directory_user_find(db, "ada@x.example", &user, &err), 0);
	ck_assert_str_eq(records(RECORD_FIELD), "ada@x.example=title,Dr,-;");
}
END_TEST

/* Rows of before: two of one user, what a module has of both, and every other place. */
START_TEST(servers_fall_with_their_user)
{
	struct pn_error err = { 0 };

	ck_assert_int_eq(directory_migrate(db, &err), 0);
	ck_assert_int_eq(directory_user_add(db, "ada@x.example", &err), 0);
	ck_assert_int_eq(db_run(db, &err,
			     "INSERT INTO user_relays VALUES ('Ada@x.example', 'a@y.example', 'h', "
			     "587, 0, 1, 'sealed', 1), ('bo@x.example', 'b@y.example', 'h', 587, "
			     "0, 1, 'sealed', 1)",
			     PN_NO_VALUES),
	    0);
	ck_assert_int_eq(directory_user_remove(db, "ADA@x.example", &err), 0);
	ck_assert_int_eq(number("SELECT COUNT(*) FROM user_relays"), 1);
}
END_TEST

START_TEST(one_spelling_for_all)
{
	static const char *const old[] = {
		"CREATE TABLE child (address TEXT PRIMARY KEY REFERENCES users (address) "
		"ON DELETE CASCADE, note TEXT)",
		"INSERT INTO users (address, enabled, created) VALUES ('Ada@x.example', 0, 1), "
		"('ada@x.example', 1, 2), ('BO@x.example', 1, 3), ('cy@x.example', 1, 4)",
		"INSERT INTO child VALUES ('Ada@x.example', 'lost'), ('ada@x.example', 'kept'), "
		"('BO@x.example', 'moved')",
		"INSERT INTO user_fields VALUES ('Ada@x.example', 'title', 'Dr')",
		"INSERT INTO directory_members VALUES ('g', 'BO@x.example'), ('g', 'bo@x.example')",
		"INSERT INTO directory_aliases VALUES ('B@x.example', 'BO@x.example')",
		"INSERT INTO directory_delegates VALUES ('Info@x.example', 'BO@x.example', "
		"'user'), "
		"('Info@x.example', 'Nurses', 'group'), "
		"('Info@x.example', 'Postmaster', 'group')",
	};
	struct pn_error err = { 0 };

	ck_assert_int_eq(directory_migrate(db, &err), 0);
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++)
		ck_assert_msg(db_run(db, &err, old[i], PN_NO_VALUES) == 0, "%s", err.text);
	ck_assert_msg(spelling_migrate(db, &err) == 0, "%s", err.text);
	ck_assert_str_eq(
	    records(RECORD_USER), "ada@x.example=0,1,-;bo@x.example=1,1,-;cy@x.example=1,1,-;");
	ck_assert_str_eq(records(RECORD_FIELD), "ada@x.example=title,Dr,-;");
	ck_assert_str_eq(records(RECORD_MEMBER), "g=bo@x.example,-,-;");
	ck_assert_str_eq(records(RECORD_ALIAS), "b@x.example=bo@x.example,-,-;");
	ck_assert_str_eq(records(RECORD_DELEGATE),
	    "info@x.example=Nurses,group,-;info@x.example=Postmaster,group,-;"
	    "info@x.example=bo@x.example,user,-;");
	ck_assert_int_eq(number("SELECT COUNT(*) FROM child"), 2);
	ck_assert_int_eq(number("SELECT COUNT(*) FROM child WHERE note IN ('kept', 'moved') AND "
				"address IN ('ada@x.example', 'bo@x.example')"),
	    2);
	ck_assert_int_eq(spelling_migrate(db, &err), 0);
}
END_TEST

/* What snapshot_each() gives, as text. */
static int
write_line(void *arg, enum record_kind kind, const char *const columns[RECORD_COLUMNS])
{
	GString *text = arg;

	g_string_append_printf(text, "%d:%s,%s,%s;", kind, columns[0],
	    columns[1] ? columns[1] : "-", columns[2] ? columns[2] : "-");
	return 0;
}

static GHashTable *
lines_of(const char *const (*rows)[RECORD_COLUMNS], size_t count)
{
	GHashTable *lines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (size_t i = 0; i < count; i++)
		g_hash_table_add(lines, snapshot_line(RECORD_USER, rows[i]));
	return lines;
}

/* A line that stays keeps its place: whoever was there first. */
START_TEST(a_snapshot_changes_by_lines)
{
	static const char *const first[][RECORD_COLUMNS] = { { "b@x.example" },
		{ "c@x.example", "0" } };
	static const char *const second[][RECORD_COLUMNS] = { { "a@x.example" },
		{ "b@x.example" } };
	GHashTable *lines = lines_of(first, 2);
	GString *text = g_string_new(NULL);
	struct snapshot_state state;
	struct pn_error err = { 0 };
	int64_t before, after;

	ck_assert_int_eq(directory_migrate(db, &err), 0);
	ck_assert_msg(snapshot_migrate(db, &err) == 0, "%s", err.text);
	ck_assert_int_eq(records_version(db, &before, &err), 0);
	ck_assert_int_eq(snapshot_state(db, &state, &err), 0);
	ck_assert(!state.any);
	ck_assert_msg(snapshot_replace(db, lines, "one", &err) == 0, "%s", err.text);
	g_hash_table_destroy(lines);
	lines = lines_of(second, 2);
	ck_assert_int_eq(snapshot_replace(db, lines, "two", &err), 0);
	g_hash_table_destroy(lines);
	ck_assert_int_eq(snapshot_each(db, write_line, text, &err), 0);
	ck_assert_str_eq(text->str, "9:b@x.example,-,-;9:a@x.example,-,-;");
	ck_assert_int_eq(snapshot_state(db, &state, &err), 0);
	ck_assert(state.any && state.read_us > 0);
	ck_assert_str_eq(state.source, "two");
	ck_assert_int_eq(records_version(db, &after, &err), 0);
	ck_assert_int_eq(after, before + 2);
	ck_assert_int_eq(snapshot_forget(db, &err), 0);
	ck_assert_int_eq(snapshot_state(db, &state, &err), 0);
	ck_assert(!state.any);
	ck_assert_int_eq(number("SELECT COUNT(*) FROM directory_server"), 0);
	g_string_free(text, TRUE);
}
END_TEST

START_TEST(profiles)
{
	char value[DIRECTORY_FIELD_SIZE], endless[DIRECTORY_FIELD_SIZE + 1];
	struct pn_error err = { 0 };

	memset(endless, 'x', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = '\0';
	ck_assert_int_eq(directory_migrate(db, &err), 0);
	ck_assert_int_eq(directory_user_add(db, "ada@example.org", &err), 0);
	ck_assert_int_eq(directory_field_get(db, "ada@EXAMPLE.org", "title", value, &err), 0);
	ck_assert_str_eq(value, "");
	ck_assert_int_eq(directory_field_set(db, "ada@example.org", "title", "Ärztin", &err), 0);
	ck_assert_int_eq(
	    directory_field_set(db, "ada@EXAMPLE.org", "title", "Chefärztin", &err), 0);
	ck_assert_int_eq(directory_field_get(db, "ada@example.org", "title", value, &err), 0);
	ck_assert_str_eq(value, "Chefärztin");
	ck_assert_int_eq(directory_field_set(db, "ada@example.org", "shoe", "38", &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "there are name, title, phone"));
	ck_assert_int_eq(directory_field_set(db, "bo@example.org", "title", "x", &err), -ENOENT);
	ck_assert_int_eq(directory_field_set(db, "ada@example.org", "name", "a\nb", &err), -EINVAL);
	ck_assert_int_eq(directory_field_set(db, "ada@example.org", "name", "\xff", &err), -EINVAL);
	ck_assert_int_eq(
	    directory_field_set(db, "ada@example.org", "name", endless, &err), -EINVAL);
	ck_assert_int_eq(directory_field_set(db, "ada@example.org", "title", "", &err), 0);
	ck_assert_int_eq(directory_field_get(db, "ada@example.org", "title", value, &err), 0);
	ck_assert_str_eq(value, "");
	ck_assert_int_eq(directory_field_set(db, "ada@example.org", "phone", "1", &err), 0);
	ck_assert_int_eq(directory_user_remove(db, "ada@example.org", &err), 0);
	ck_assert_int_eq(directory_user_add(db, "ada@example.org", &err), 0);
	ck_assert_int_eq(directory_field_get(db, "ada@example.org", "phone", value, &err), 0);
	ck_assert_str_eq(value, "");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store");
	TCase *tests = tcase_create("store");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, files_are_private);
	tcase_add_test(tests, values_come_back);
	tcase_add_loop_test(tests, statements_are_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tests, a_query_may_run_inside_itself);
	tcase_add_test(tests, reading_only);
	tcase_add_test(tests, threads_have_their_own_connections);
	tcase_add_test(tests, migrations_run_once_and_whole);
	tcase_add_loop_test(
	    tests, users_by_any_spelling, 0, sizeof(spellings) / sizeof(spellings[0]));
	tcase_add_test(tests, users_come_and_go);
	tcase_add_test(tests, records_come_and_go);
	tcase_add_test(tests, what_hangs_on_a_user_goes_too);
	tcase_add_test(tests, profiles);
	tcase_add_test(tests, a_snapshot_changes_by_lines);
	tcase_add_test(tests, rows_that_are_no_users);
	tcase_add_test(tests, servers_fall_with_their_user);
	tcase_add_test(tests, one_spelling_for_all);
	suite_add_tcase(suite, tests);
	return unit_run(suite);
}
