/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.c - brings the tables of the core and of modules up to date.
 *
 * Called when a process starts and when a generation is built, before any hook. Must never run a
 * step twice nor leave half of one: each runs in a transaction together with the note that it ran.
 */
#include <core/base/clock.h>
#include <core/store/sqlite.h>
#include <errno.h>

static const char table_sql[] = "CREATE TABLE IF NOT EXISTS migrations ("
				"owner TEXT NOT NULL, number INTEGER NOT NULL, "
				"applied BIGINT NOT NULL, PRIMARY KEY (owner, number))";

static int
read_number(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

static int
version(struct db *db, const char *owner, int64_t *ret, struct pn_error *err)
{
	*ret = 0;
	return db_query(db, err, "SELECT COALESCE(MAX(number), 0) FROM migrations WHERE owner = ?1",
	    PN_VALUES(PN_TEXT(owner)), read_number, ret);
}

/* Another process may have done it since we looked: look again under the write lock. */
static int
step(struct db *db, const char *owner, const struct pn_migration *row, struct pn_error *err)
{
	int64_t have;
	int r = sqlite_begin(db, err);

	if (r < 0)
		return r;
	r = version(db, owner, &have, err);
	if (r == 0 && have < row->number) {
		r = sqlite_script(db, row->sql, err);
		if (r == 0)
			r = db_run(db, err,
			    "INSERT INTO migrations (owner, number, applied) VALUES (?1, ?2, ?3)",
			    PN_VALUES(
				PN_TEXT(owner), PN_INT(row->number), PN_INT(clock_wall_us())));
	}
	if (r == 0)
		r = sqlite_commit(db, err);
	if (r < 0) {
		sqlite_rollback(db);
		pn_error_in(err, "tables of %s, step %d", owner, (int)row->number);
	}
	return r;
}

static const struct pn_migration *
row_at(const struct pn_migration *rows, size_t row_size, int64_t index)
{
	return (const void *)((const char *)rows + (size_t)index * row_size);
}

int
db_migrate(struct db *db, const char *owner, const struct pn_migration *rows, size_t row_size,
    struct pn_error *err)
{
	int64_t have, last = 0;
	int r = db_run(db, err, table_sql, PN_NO_VALUES);

	if (r == 0)
		r = version(db, owner, &have, err);
	if (r < 0)
		return r;
	for (; row_at(rows, row_size, last)->sql; last++)
		if (row_at(rows, row_size, last)->number != last + 1)
			return pn_error_set(err, -EINVAL,
			    "tables of %s: the steps are not numbered 1, 2, 3 ...", owner);
	if (have > last)
		return pn_error_set(err, -EPROTO,
		    "tables of %s were written by a newer version (step %lld, this one knows %lld)",
		    owner, (long long)have, (long long)last);
	for (; r == 0 && have < last; have++)
		r = step(db, owner, row_at(rows, row_size, have), err);
	return r;
}
