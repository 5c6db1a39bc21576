/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overrides.c - the table of settings that the database has.
 *
 * Called by posternctl for changes, and by the relay, which asks for the version every few seconds.
 * Must never leave a change without its row in the audit log.
 */
#include <core/base/clock.h>
#include <core/store/audit.h>
#include <core/store/overrides.h>
#include <core/store/sqlite.h>
#include <errno.h>
#include <string.h>

/* No module is called so: it has a blank. */
#define OWNER "settings overrides"

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE settings_overrides (kind TEXT NOT NULL, name TEXT NOT NULL, "
	    "entry TEXT NOT NULL, path TEXT NOT NULL, value TEXT NOT NULL, "
	    "changed BIGINT NOT NULL, PRIMARY KEY (kind, name, entry, path)); "
	    "CREATE TABLE settings_version (number BIGINT NOT NULL); "
	    "INSERT INTO settings_version (number) VALUES (0)" },
	{ 0, 0, NULL },
};

int
overrides_migrate(struct db *db, struct pn_error *err)
{
	return db_migrate(db, OWNER, migrations, sizeof(migrations[0]), err);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int
read_number(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

int
overrides_version(struct db *db, int64_t *ret, struct pn_error *err)
{
	*ret = 0;
	return db_query(
	    db, err, "SELECT number FROM settings_version", PN_NO_VALUES, read_number, ret);
}

struct reading {
	struct arena *arena;
	struct overrides *ret;
	size_t capacity;
};

static int
read_override(void *arg, const struct pn_row *row)
{
	struct reading *reading = arg;
	struct overrides *ret = reading->ret;
	const char *texts[5];

	if (ret->count == reading->capacity) {
		size_t capacity = reading->capacity ? 2 * reading->capacity : 16;
		struct override *items = arena_alloc(reading->arena, capacity * sizeof(*items));

		if (ret->count > 0)
			memcpy(items, ret->items, ret->count * sizeof(*items));
		ret->items = items;
		reading->capacity = capacity;
	}
	for (int i = 0; i < 5; i++)
		texts[i] = arena_slice(reading->arena, pn_row_bytes(row, i));
	ret->items[ret->count++] = (struct override){ texts[0], texts[1], texts[2], texts[3],
		texts[4], NULL };
	return 0;
}

/*
 * The version first: a change between the two statements is seen as a newer version the next time,
 * and the settings are read once more.
 */
int
overrides_read(struct db *db, struct arena *arena, struct overrides *ret, struct pn_error *err)
{
	struct reading reading = { arena, ret, 0 };
	int r;

	*ret = (struct overrides){ 0 };
	r = overrides_version(db, &ret->version, err);
	if (r < 0)
		return r;
	return db_query(db, err,
	    "SELECT kind, name, entry, path, value FROM settings_overrides "
	    "ORDER BY kind, name, entry, path",
	    PN_NO_VALUES, read_override, &reading);
}

/* ---- changing -------------------------------------------------------------------------------- */

struct before {
	struct arena arena;
	const char *value;
};

static int
read_before(void *arg, const struct pn_row *row)
{
	struct before *before = arg;

	before->value = arena_slice(&before->arena, pn_row_bytes(row, 0));
	return 0;
}

#define KEY(o)    PN_TEXT((o)->kind), PN_TEXT((o)->name), PN_TEXT((o)->entry), PN_TEXT((o)->path)
#define WHERE_KEY " WHERE kind = ?1 AND name = ?2 AND entry = ?3 AND path = ?4"

static int
store(struct db *db, const struct override *override, struct pn_error *err)
{
	int r = db_run(
	    db, err, "DELETE FROM settings_overrides" WHERE_KEY, PN_VALUES(KEY(override)));

	if (r < 0 || !override->value)
		return r;
	return db_run(db, err,
	    "INSERT INTO settings_overrides (kind, name, entry, path, value, changed) "
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	    PN_VALUES(KEY(override), PN_TEXT(override->value), PN_INT(clock_wall_us())));
}

static int
write_audit(struct db *db, const struct override *override, const char *before, const char *who,
    struct pn_error *err)
{
	struct arena arena = { 0 };
	struct audit_row row = { .who = who,
		.action = override->value ? "settings set" : "settings unset",
		.scope = *override->name
			     ? arena_printf(&arena, "%s %s", override->kind, override->name)
			     : override->kind,
		.object = arena_printf(&arena, "%s.%s", override->entry, override->path),
		.before = before,
		.after = override->value };
	int r = audit_add(db, &row, err);

	arena_free(&arena);
	return r;
}

static int
change(struct db *db, const struct override *override, const char *who, struct before *before,
    struct pn_error *err)
{
	int r = db_query(db, err, "SELECT value FROM settings_overrides" WHERE_KEY,
	    PN_VALUES(KEY(override)), read_before, before);

	if (r == 0 && !override->value && !before->value)
		return pn_error_set(err, -ENOENT, "the database has no %s.%s for %s %s",
		    override->entry, override->path, override->kind, override->name);
	if (r == 0)
		r = store(db, override, err);
	if (r == 0)
		r = write_audit(db, override, before->value, who, err);
	if (r == 0)
		r = db_run(
		    db, err, "UPDATE settings_version SET number = number + 1", PN_NO_VALUES);
	return r;
}

int
overrides_change(
    struct db *db, const struct override *override, const char *who, struct pn_error *err)
{
	struct before before = { 0 };
	int r = sqlite_begin(db, err);

	if (r < 0)
		return r;
	r = change(db, override, who, &before, err);
	if (r == 0)
		r = sqlite_commit(db, err);
	if (r < 0)
		sqlite_rollback(db);
	arena_free(&before.arena);
	return r;
}
