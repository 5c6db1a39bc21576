/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.c - the log of changes that people make.
 *
 * Called by what changes the database for posternctl, and by posternctl to show it. Must never hold
 * a secret: those do not come by way of the database.
 */
#include <core/base/arena.h>
#include <core/base/clock.h>
#include <core/store/audit.h>
#include <core/store/sqlite.h>

/* No module is called so: it has a blank. */
#define OWNER "audit log"

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE audit (number INTEGER PRIMARY KEY, at BIGINT NOT NULL, "
	    "who TEXT NOT NULL, action TEXT NOT NULL, scope TEXT NOT NULL, object TEXT NOT NULL, "
	    "before TEXT, after TEXT)" },
	{ 0, 0, NULL },
};

int
audit_migrate(struct db *db, struct pn_error *err)
{
	return db_migrate(db, OWNER, migrations, sizeof(migrations[0]), err);
}

static struct pn_value
text_or_null(const char *text)
{
	return text ? PN_TEXT(text) : PN_NULL;
}

int
audit_add(struct db *db, const struct audit_row *row, struct pn_error *err)
{
	return db_run(db, err,
	    "INSERT INTO audit (at, who, action, scope, object, before, after) "
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	    PN_VALUES(PN_INT(clock_wall_us()), PN_TEXT(row->who), PN_TEXT(row->action),
		PN_TEXT(row->scope), PN_TEXT(row->object), text_or_null(row->before),
		text_or_null(row->after)));
}

int
audit_begin(struct db *db, struct pn_error *err)
{
	return sqlite_begin(db, err);
}

int
audit_end(struct db *db, const struct audit_row *row, int r, struct pn_error *err)
{
	if (r == 0)
		r = audit_add(db, row, err);
	if (r == 0)
		r = sqlite_commit(db, err);
	if (r < 0)
		sqlite_rollback(db);
	return r;
}

struct each_row {
	int (*each)(void *arg, const struct audit_row *row);
	void *arg;
};

static const char *
text_of(struct arena *arena, const struct pn_row *row, int column)
{
	struct pn_slice bytes = pn_row_bytes(row, column);

	return bytes.data ? arena_slice(arena, bytes) : NULL;
}

static int
give_row(void *arg, const struct pn_row *row)
{
	struct each_row *to = arg;
	struct arena arena = { 0 };
	struct audit_row one = { .number = pn_row_int(row, 0),
		.at_us = pn_row_int(row, 1),
		.who = text_of(&arena, row, 2),
		.action = text_of(&arena, row, 3),
		.scope = text_of(&arena, row, 4),
		.object = text_of(&arena, row, 5),
		.before = text_of(&arena, row, 6),
		.after = text_of(&arena, row, 7) };
	int r = to->each(to->arg, &one);

	arena_free(&arena);
	return r;
}

int
audit_each(struct db *db, int64_t most, int (*each)(void *arg, const struct audit_row *row),
    void *arg, struct pn_error *err)
{
	struct each_row to = { each, arg };

	return db_query(db, err,
	    "SELECT number, at, who, action, scope, object, before, after FROM "
	    "(SELECT * FROM audit ORDER BY number DESC LIMIT ?1) AS newest ORDER BY number",
	    PN_VALUES(PN_INT(most)), give_row, &to);
}
