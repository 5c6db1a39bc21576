/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records.c - the tables of accounts, domains, networks, groups and addresses.
 *
 * Called by posternctl for changes, and by whoever makes a roster. Must never change a row without
 * counting the version up in the same transaction, which is the caller's.
 */
#include <core/store/records.h>
#include <errno.h>
#include <stdio.h>

/* No module is called so: it has a blank. */
#define OWNER "directory records"

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE directory_accounts (name TEXT NOT NULL PRIMARY KEY, licences TEXT, "
	    "paid TEXT, plan TEXT); "
	    "CREATE TABLE directory_domains (domain TEXT NOT NULL PRIMARY KEY, "
	    "account TEXT NOT NULL); "
	    "CREATE TABLE directory_networks (network TEXT NOT NULL PRIMARY KEY, "
	    "account TEXT NOT NULL, description TEXT, enabled TEXT NOT NULL); "
	    "CREATE TABLE directory_registered (member TEXT NOT NULL PRIMARY KEY, "
	    "account TEXT NOT NULL); "
	    "CREATE TABLE directory_groups (name TEXT NOT NULL PRIMARY KEY); "
	    "CREATE TABLE directory_members (name TEXT NOT NULL, member TEXT NOT NULL, "
	    "PRIMARY KEY (name, member)); "
	    "CREATE TABLE directory_aliases (address TEXT NOT NULL PRIMARY KEY, "
	    "member TEXT NOT NULL); "
	    "CREATE TABLE directory_delegates (address TEXT NOT NULL, who TEXT NOT NULL, "
	    "kind TEXT NOT NULL, PRIMARY KEY (address, who, kind)); "
	    "CREATE TABLE directory_confirmed (address TEXT NOT NULL, member TEXT NOT NULL, "
	    "confirmed TEXT NOT NULL, PRIMARY KEY (address, member)); "
	    "CREATE TABLE directory_version (number BIGINT NOT NULL); "
	    "INSERT INTO directory_version (number) VALUES (0)" },
	{ 2, 0,
	    "CREATE TABLE user_relays (member TEXT NOT NULL, address TEXT NOT NULL, "
	    "host TEXT NOT NULL, port BIGINT NOT NULL, implicit INTEGER NOT NULL, "
	    "verify INTEGER NOT NULL, sealed BLOB NOT NULL, changed BIGINT NOT NULL, "
	    "PRIMARY KEY (member, address))" },
	{ 0, 0, NULL },
};

static const char *const of_account[] = {
	"DELETE FROM directory_domains WHERE account = ?1",
	"DELETE FROM directory_networks WHERE account = ?1",
	"DELETE FROM directory_registered WHERE account = ?1",
	NULL,
};
static const char *const of_group[] = {
	"DELETE FROM directory_members WHERE name = ?1",
	"DELETE FROM directory_delegates WHERE kind = 'group' AND who = ?1",
	NULL,
};
static const char *const of_user[] = {
	"DELETE FROM directory_registered WHERE member = ?1",
	"DELETE FROM directory_members WHERE member = ?1",
	"DELETE FROM directory_aliases WHERE member = ?1",
	"DELETE FROM directory_delegates WHERE address = ?1",
	"DELETE FROM directory_delegates WHERE kind = 'user' AND who = ?1",
	"DELETE FROM directory_confirmed WHERE member = ?1",
	"DELETE FROM address_codes WHERE member = ?1",
	"DELETE FROM user_relays WHERE lower(member) = lower(?1)", /* older rows: as it was typed */
	NULL,
};

/* The key first. */
static const struct record_table {
	int columns, keys;
	const char *select, *put, *remove;
	const char *const *more; /* that go with it, by the first of its key; NULL-ended */
} tables[RECORD_KINDS] = {
	[RECORD_ACCOUNT] = { 4, 1,
	    "SELECT name, licences, paid, plan FROM directory_accounts ORDER BY name",
	    "INSERT INTO directory_accounts (name, licences, paid, plan) VALUES (?1, ?2, ?3, ?4) "
	    "ON CONFLICT (name) DO UPDATE SET licences = excluded.licences, "
	    "paid = excluded.paid, plan = excluded.plan",
	    "DELETE FROM directory_accounts WHERE name = ?1", of_account },
	[RECORD_DOMAIN] = { 2, 1, "SELECT domain, account FROM directory_domains ORDER BY domain",
	    "INSERT INTO directory_domains (domain, account) VALUES (?1, ?2) "
	    "ON CONFLICT (domain) DO UPDATE SET account = excluded.account",
	    "DELETE FROM directory_domains WHERE domain = ?1", NULL },
	[RECORD_NETWORK] = { 4, 1,
	    "SELECT network, account, description, enabled FROM directory_networks "
	    "ORDER BY network",
	    "INSERT INTO directory_networks (network, account, description, enabled) "
	    "VALUES (?1, ?2, ?3, ?4) ON CONFLICT (network) DO UPDATE SET "
	    "account = excluded.account, description = excluded.description, "
	    "enabled = excluded.enabled",
	    "DELETE FROM directory_networks WHERE network = ?1", NULL },
	[RECORD_REGISTERED] = { 2, 1,
	    "SELECT member, account FROM directory_registered ORDER BY member",
	    "INSERT INTO directory_registered (member, account) VALUES (?1, ?2) "
	    "ON CONFLICT (member) DO UPDATE SET account = excluded.account",
	    "DELETE FROM directory_registered WHERE member = ?1", NULL },
	[RECORD_GROUP] = { 1, 1, "SELECT name FROM directory_groups ORDER BY name",
	    "INSERT INTO directory_groups (name) VALUES (?1) ON CONFLICT (name) DO NOTHING",
	    "DELETE FROM directory_groups WHERE name = ?1", of_group },
	[RECORD_MEMBER] = { 2, 2,
	    "SELECT name, member FROM directory_members ORDER BY name, member",
	    "INSERT INTO directory_members (name, member) VALUES (?1, ?2) "
	    "ON CONFLICT (name, member) DO NOTHING",
	    "DELETE FROM directory_members WHERE name = ?1 AND member = ?2", NULL },
	[RECORD_ALIAS] = { 2, 1, "SELECT address, member FROM directory_aliases ORDER BY address",
	    "INSERT INTO directory_aliases (address, member) VALUES (?1, ?2) "
	    "ON CONFLICT (address) DO UPDATE SET member = excluded.member",
	    "DELETE FROM directory_aliases WHERE address = ?1", NULL },
	[RECORD_DELEGATE] = { 3, 3,
	    "SELECT address, who, kind FROM directory_delegates ORDER BY address, kind, who",
	    "INSERT INTO directory_delegates (address, who, kind) VALUES (?1, ?2, ?3) "
	    "ON CONFLICT (address, who, kind) DO NOTHING",
	    "DELETE FROM directory_delegates WHERE address = ?1 AND who = ?2 AND kind = ?3", NULL },
	[RECORD_CONFIRMED] = { 3, 2,
	    "SELECT address, member, confirmed FROM directory_confirmed ORDER BY address, member",
	    "INSERT INTO directory_confirmed (address, member, confirmed) VALUES (?1, ?2, ?3) "
	    "ON CONFLICT (address, member) DO UPDATE SET confirmed = excluded.confirmed",
	    "DELETE FROM directory_confirmed WHERE address = ?1 AND member = ?2", NULL },
	[RECORD_USER] = { 3, 1,
	    "SELECT address, CASE enabled WHEN 0 THEN '0' ELSE '1' END, "
	    "CASE stated WHEN 0 THEN '0' ELSE '1' END FROM users "
	    "ORDER BY address",
	    NULL, NULL, NULL },
	[RECORD_FIELD] = { 3, 2,
	    "SELECT \"user\", field, value FROM user_fields ORDER BY \"user\", field", NULL, NULL,
	    NULL },
};

int
records_migrate(struct db *db, struct pn_error *err)
{
	return db_migrate(db, OWNER, migrations, sizeof(migrations[0]), err);
}

static int
read_number(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

int
records_version(struct db *db, int64_t *ret, struct pn_error *err)
{
	*ret = 0;
	return db_query(
	    db, err, "SELECT number FROM directory_version", PN_NO_VALUES, read_number, ret);
}

int
records_touch(struct db *db, struct pn_error *err)
{
	return db_run(db, err, "UPDATE directory_version SET number = number + 1", PN_NO_VALUES);
}

/* ---- reading --------------------------------------------------------------------------------- */

#define TEXT_SIZE 600 /* the longest is a description or a profile field */

struct giving {
	const struct record_table *table;
	record_fn *each;
	void *arg;
	char texts[RECORD_COLUMNS][TEXT_SIZE];
};

static int
give(void *arg, const struct pn_row *row)
{
	struct giving *to = arg;
	const char *columns[RECORD_COLUMNS] = { NULL };

	for (int i = 0; i < to->table->columns; i++) {
		struct pn_slice bytes = pn_row_bytes(row, i);

		if (!bytes.data)
			continue;
		snprintf(to->texts[i], TEXT_SIZE, "%.*s", (int)bytes.len, bytes.data);
		columns[i] = to->texts[i];
	}
	return to->each(to->arg, columns);
}

int
records_each(struct db *db, enum record_kind kind, record_fn *each, void *arg, struct pn_error *err)
{
	struct giving to = { .table = &tables[kind], .each = each, .arg = arg };

	return db_query(db, err, to.table->select, PN_NO_VALUES, give, &to);
}

/* ---- changing -------------------------------------------------------------------------------- */

static struct pn_values
values_of(const char *const columns[RECORD_COLUMNS], int count, struct pn_value *values)
{
	for (int i = 0; i < count; i++)
		values[i] = columns[i] ? PN_TEXT(columns[i]) : PN_NULL;
	return (struct pn_values){ (size_t)count, values };
}

int
records_put(struct db *db, enum record_kind kind, const char *const columns[RECORD_COLUMNS],
    struct pn_error *err)
{
	const struct record_table *table = &tables[kind];
	struct pn_value values[RECORD_COLUMNS];
	int r = db_run(db, err, table->put, values_of(columns, table->columns, values));

	return r < 0 ? r : records_touch(db, err);
}

struct looking {
	const char *const *columns;
	int keys;
	bool found;
};

static int
look(void *arg, const char *const columns[RECORD_COLUMNS])
{
	struct looking *looking = arg;
	int same = 0;

	while (same < looking->keys && strcmp(columns[same], looking->columns[same]) == 0)
		same++;
	looking->found |= same == looking->keys;
	return 0;
}

static int
run_all(struct db *db, const char *const *statements, const char *key, struct pn_error *err)
{
	int r = 0;

	for (; r == 0 && statements && *statements; statements++)
		r = db_run(db, err, *statements, PN_VALUES(PN_TEXT(key)));
	return r;
}

int
records_remove(struct db *db, enum record_kind kind, const char *const columns[RECORD_COLUMNS],
    struct pn_error *err)
{
	const struct record_table *table = &tables[kind];
	struct looking looking = { columns, table->keys, false };
	struct pn_value values[RECORD_COLUMNS];
	int r = records_each(db, kind, look, &looking, err);

	if (r == 0 && !looking.found)
		return pn_error_set(err, -ENOENT, "the database has no such row");
	if (r == 0)
		r = db_run(db, err, table->remove, values_of(columns, table->keys, values));
	if (r == 0)
		r = run_all(db, table->more, columns[0], err);
	return r < 0 ? r : records_touch(db, err);
}

int
records_forget_user(struct db *db, const char *user, struct pn_error *err)
{
	return run_all(db, of_user, user, err);
}
