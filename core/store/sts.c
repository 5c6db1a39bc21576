/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sts.c - the tables of MTA-STS.
 *
 * Called by the relay (core/sts) on threads that may block, and by posternctl. Must never drop a
 * policy that still holds to make room while one that does not is there.
 */
#include <core/base/clock.h>
#include <core/store/audit.h>
#include <core/store/sqlite.h>
#include <core/store/sts.h>
#include <errno.h>
#include <stdio.h>

/* No module is called so: it has a blank. */
#define OWNER "mta sts"

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE sts_policies (domain TEXT PRIMARY KEY, id TEXT NOT NULL, "
	    "policy TEXT NOT NULL, fetched BIGINT NOT NULL, expires BIGINT NOT NULL, "
	    "tried BIGINT NOT NULL); "
	    "CREATE INDEX sts_policies_tried ON sts_policies (tried); "
	    "CREATE TABLE sts_overrides (domain TEXT PRIMARY KEY, mode TEXT NOT NULL, "
	    "until BIGINT NOT NULL, who TEXT NOT NULL); "
	    "CREATE TABLE sts_version (number BIGINT NOT NULL); "
	    "INSERT INTO sts_version (number) VALUES (0)" },
	{ 0, 0, NULL },
};

int
sts_migrate(struct db *db, struct pn_error *err)
{
	return db_migrate(db, OWNER, migrations, sizeof(migrations[0]), err);
}

/* ---- policies -------------------------------------------------------------------------------- */

struct finding {
	struct arena *arena;
	struct sts_kept *ret;
	bool found;
};

static int
read_kept(void *arg, const struct pn_row *row)
{
	struct finding *finding = arg;

	finding->found = true;
	finding->ret->id = arena_slice(finding->arena, pn_row_bytes(row, 0));
	finding->ret->policy = arena_slice(finding->arena, pn_row_bytes(row, 1));
	finding->ret->fetched_us = pn_row_int(row, 2);
	finding->ret->expires_us = pn_row_int(row, 3);
	return 0;
}

int
sts_find(struct db *db, const char *domain, struct arena *arena, struct sts_kept *ret,
    struct pn_error *err)
{
	struct finding finding = { arena, ret, false };
	int r;

	*ret = (struct sts_kept){ .domain = domain };
	r = db_query(db, err,
	    "SELECT id, policy, fetched, expires FROM sts_policies WHERE domain = ?1",
	    PN_VALUES(PN_TEXT(domain)), read_kept, &finding);
	return r < 0 ? r : finding.found ? 0 : -ENOENT;
}

static int
read_number(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

/* What has expired goes first, then what was fetched longest ago. */
static int
make_room(struct db *db, int64_t now_us, struct pn_error *err)
{
	int64_t count = 0;
	int r = db_query(
	    db, err, "SELECT COUNT(*) FROM sts_policies", PN_NO_VALUES, read_number, &count);

	if (r < 0 || count <= STS_KEPT_MOST)
		return r;
	r = db_run(
	    db, err, "DELETE FROM sts_policies WHERE expires < ?1", PN_VALUES(PN_INT(now_us)));
	if (r == 0)
		r = db_query(db, err, "SELECT COUNT(*) FROM sts_policies", PN_NO_VALUES,
		    read_number, &count);
	if (r < 0 || count <= STS_KEPT_MOST)
		return r;
	return db_run(db, err,
	    "DELETE FROM sts_policies WHERE domain IN "
	    "(SELECT domain FROM sts_policies ORDER BY fetched LIMIT ?1)",
	    PN_VALUES(PN_INT(count - STS_KEPT_MOST)));
}

static int
keep(struct db *db, const struct sts_kept *kept, struct pn_error *err)
{
	int r = db_run(db, err, "DELETE FROM sts_policies WHERE domain = ?1",
	    PN_VALUES(PN_TEXT(kept->domain)));

	if (r == 0)
		r = db_run(db, err,
		    "INSERT INTO sts_policies (domain, id, policy, fetched, expires, tried) "
		    "VALUES (?1, ?2, ?3, ?4, ?5, ?4)",
		    PN_VALUES(PN_TEXT(kept->domain), PN_TEXT(kept->id), PN_TEXT(kept->policy),
			PN_INT(kept->fetched_us), PN_INT(kept->expires_us)));
	return r < 0 ? r : make_room(db, kept->fetched_us, err);
}

int
sts_keep(struct db *db, const struct sts_kept *kept, struct pn_error *err)
{
	int r = sqlite_begin(db, err);

	return r < 0 ? r : sqlite_end(db, keep(db, kept, err), err);
}

struct due {
	void (*each)(void *arg, const char *domain);
	void *arg;
	struct arena arena;
	const char **domains;
	size_t count;
};

static int
read_due(void *arg, const struct pn_row *row)
{
	struct due *due = arg;

	due->domains[due->count++] = arena_slice(&due->arena, pn_row_bytes(row, 0));
	return 0;
}

static int
mark_due(struct db *db, struct due *due, int64_t now_us, struct pn_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < due->count; i++)
		r = db_run(db, err, "UPDATE sts_policies SET tried = ?2 WHERE domain = ?1",
		    PN_VALUES(PN_TEXT(due->domains[i]), PN_INT(now_us)));
	for (size_t i = 0; r == 0 && i < due->count; i++)
		due->each(due->arg, due->domains[i]);
	return r;
}

int
sts_due(struct db *db, int64_t before_us, int64_t now_us, int most,
    void (*each)(void *arg, const char *domain), void *arg, struct pn_error *err)
{
	struct due due = { .each = each, .arg = arg };
	int r;

	due.domains = arena_alloc(&due.arena, (size_t)most * sizeof(*due.domains));
	r = db_query(db, err,
	    "SELECT domain FROM sts_policies WHERE tried < ?1 AND expires > ?2 "
	    "ORDER BY tried LIMIT ?3",
	    PN_VALUES(PN_INT(before_us), PN_INT(now_us), PN_INT(most)), read_due, &due);
	if (r == 0)
		r = mark_due(db, &due, now_us, err);
	arena_free(&due.arena);
	return r;
}

/* ---- overrides ------------------------------------------------------------------------------- */

int
sts_overrides_version(struct db *db, int64_t *ret, struct pn_error *err)
{
	*ret = 0;
	return db_query(db, err, "SELECT number FROM sts_version", PN_NO_VALUES, read_number, ret);
}

struct each_override {
	void (*each)(void *arg, const struct sts_override *override);
	void *arg;
};

static int
give_override(void *arg, const struct pn_row *row)
{
	const struct each_override *to = arg;
	struct arena arena = { 0 };
	struct sts_override override = { .domain = arena_slice(&arena, pn_row_bytes(row, 0)),
		.mode = arena_slice(&arena, pn_row_bytes(row, 1)),
		.until_us = pn_row_int(row, 2),
		.who = arena_slice(&arena, pn_row_bytes(row, 3)) };

	to->each(to->arg, &override);
	arena_free(&arena);
	return 0;
}

int
sts_overrides_each(struct db *db, void (*each)(void *arg, const struct sts_override *override),
    void *arg, struct pn_error *err)
{
	struct each_override to = { each, arg };

	return db_query(db, err,
	    "SELECT domain, mode, until, who FROM sts_overrides ORDER BY domain", PN_NO_VALUES,
	    give_override, &to);
}

struct before {
	struct arena arena;
	const char *text; /* NULL: there was none */
};

/* "testing until 2026-12-01T00:00:00.000Z" */
static const char *
describe(struct arena *arena, const char *mode, int64_t until_us)
{
	char when[CLOCK_DATE_SIZE];

	clock_log_date(until_us, when);
	return arena_printf(arena, "%s until %s", mode, when);
}

static int
read_before(void *arg, const struct pn_row *row)
{
	struct before *before = arg;
	const char *mode = arena_slice(&before->arena, pn_row_bytes(row, 0));

	before->text = describe(&before->arena, mode, pn_row_int(row, 1));
	return 0;
}

/* Takes away what was there; `after` NULL: nothing takes its place, and -ENOENT may be said. */
static int
take_away(struct db *db, const char *domain, struct before *before, struct pn_error *err)
{
	int r = db_query(db, err, "SELECT mode, until FROM sts_overrides WHERE domain = ?1",
	    PN_VALUES(PN_TEXT(domain)), read_before, before);

	if (r == 0)
		r = db_run(db, err, "DELETE FROM sts_overrides WHERE domain = ?1",
		    PN_VALUES(PN_TEXT(domain)));
	return r < 0 ? r
		     : db_run(db, err, "UPDATE sts_version SET number = number + 1", PN_NO_VALUES);
}

static int
put(struct db *db, const struct sts_override *override, struct pn_error *err)
{
	int64_t count = 0;
	int r = db_query(
	    db, err, "SELECT COUNT(*) FROM sts_overrides", PN_NO_VALUES, read_number, &count);

	if (r == 0 && count >= STS_OVERRIDES_MOST)
		r = pn_error_set(err, -EDQUOT,
		    "there are %d overrides already: remove some (posternctl sts list)",
		    STS_OVERRIDES_MOST);
	if (r < 0)
		return r;
	return db_run(db, err,
	    "INSERT INTO sts_overrides (domain, mode, until, who) VALUES (?1, ?2, ?3, ?4)",
	    PN_VALUES(PN_TEXT(override->domain), PN_TEXT(override->mode),
		PN_INT(override->until_us), PN_TEXT(override->who)));
}

int
sts_override_set(struct db *db, const struct sts_override *override, struct pn_error *err)
{
	struct before before = { 0 };
	struct audit_row row = {
		.who = override->who, .action = "sts override", .object = "mta-sts"
	};
	int r = audit_begin(db, err);

	if (r < 0)
		return r;
	row.scope = arena_printf(&before.arena, "domain %s", override->domain);
	row.after = describe(&before.arena, override->mode, override->until_us);
	r = take_away(db, override->domain, &before, err);
	if (r == 0)
		r = put(db, override, err);
	row.before = before.text;
	r = audit_end(db, &row, r, err);
	arena_free(&before.arena);
	return r;
}

int
sts_override_remove(struct db *db, const char *domain, const char *who, struct pn_error *err)
{
	struct before before = { 0 };
	struct audit_row row = { .who = who, .action = "sts remove", .object = "mta-sts" };
	int r = audit_begin(db, err);

	if (r < 0)
		return r;
	row.scope = arena_printf(&before.arena, "domain %s", domain);
	r = take_away(db, domain, &before, err);
	if (r == 0 && !before.text)
		r = pn_error_set(err, -ENOENT, "nothing is overridden for %s", domain);
	row.before = before.text;
	r = audit_end(db, &row, r, err);
	arena_free(&before.arena);
	return r;
}
