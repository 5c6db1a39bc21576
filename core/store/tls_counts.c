/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_counts.c - the tables of TLS counts.
 *
 * Called by the relay every few seconds (core/sts/counts.c) and by posternctl. Must never grow with
 * what strangers call their hosts: rows are bounded, and old days go.
 */
#include <core/base/arena.h>
#include <core/store/sqlite.h>
#include <core/store/tls_counts.h>
#include <errno.h>

/* No module is called so: it has a blank. */
#define OWNER "tls counts"

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE tls_counts (day BIGINT NOT NULL, domain TEXT NOT NULL, "
	    "type TEXT NOT NULL, result TEXT NOT NULL, host TEXT NOT NULL, "
	    "sent_by TEXT NOT NULL, address TEXT NOT NULL, number BIGINT NOT NULL, "
	    "PRIMARY KEY (day, domain, type, result, host, sent_by, address)); "
	    "CREATE TABLE tls_count_policies (day BIGINT NOT NULL, domain TEXT NOT NULL, "
	    "type TEXT NOT NULL, text TEXT NOT NULL, hosts TEXT NOT NULL, "
	    "PRIMARY KEY (day, domain, type))" },
	{ 0, 0, NULL },
};

int
tls_counts_migrate(struct db *db, struct pn_error *err)
{
	return db_migrate(db, OWNER, migrations, sizeof(migrations[0]), err);
}

/* ---- adding ---------------------------------------------------------------------------------- */

static int
read_number(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

#define KEY(c) \
	PN_INT((c)->day), PN_TEXT((c)->domain), PN_TEXT((c)->type), PN_TEXT((c)->result), \
	    PN_TEXT((c)->host), PN_TEXT((c)->sent_by), PN_TEXT((c)->address)
#define WHERE_KEY \
	" WHERE day = ?1 AND domain = ?2 AND type = ?3 AND result = ?4 AND host = ?5 " \
	"AND sent_by = ?6 AND address = ?7"

static int
add_one(struct db *db, const struct tls_count *count, int64_t *rows, int64_t *dropped,
    struct pn_error *err)
{
	int64_t there = 0;
	int r = db_query(db, err, "SELECT COUNT(*) FROM tls_counts" WHERE_KEY,
	    PN_VALUES(KEY(count)), read_number, &there);

	if (r < 0)
		return r;
	if (there > 0)
		return db_run(db, err, "UPDATE tls_counts SET number = number + ?8" WHERE_KEY,
		    PN_VALUES(KEY(count), PN_INT(count->number)));
	if (*rows >= TLS_COUNTS_MOST) {
		*dropped += count->number;
		return 0;
	}
	++*rows;
	return db_run(db, err,
	    "INSERT INTO tls_counts (day, domain, type, result, host, sent_by, address, number) "
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	    PN_VALUES(KEY(count), PN_INT(count->number)));
}

static int
put_policy(struct db *db, const struct tls_count_policy *policy, struct pn_error *err)
{
	int r = db_run(db, err,
	    "DELETE FROM tls_count_policies WHERE day = ?1 AND domain = ?2 AND type = ?3",
	    PN_VALUES(PN_INT(policy->day), PN_TEXT(policy->domain), PN_TEXT(policy->type)));

	if (r < 0)
		return r;
	return db_run(db, err,
	    "INSERT INTO tls_count_policies (day, domain, type, text, hosts) "
	    "VALUES (?1, ?2, ?3, ?4, ?5)",
	    PN_VALUES(PN_INT(policy->day), PN_TEXT(policy->domain), PN_TEXT(policy->type),
		PN_TEXT(policy->text), PN_TEXT(policy->hosts)));
}

int
tls_counts_add(struct db *db, const struct tls_count *counts, size_t count,
    const struct tls_count_policy *policies, size_t policy_count, int64_t *ret_dropped,
    struct pn_error *err)
{
	int64_t rows = 0, policy_rows = 0;
	int r = sqlite_begin(db, err);

	*ret_dropped = 0;
	if (r < 0)
		return r;
	r = db_query(db, err, "SELECT COUNT(*) FROM tls_counts", PN_NO_VALUES, read_number, &rows);
	if (r == 0)
		r = db_query(db, err, "SELECT COUNT(*) FROM tls_count_policies", PN_NO_VALUES,
		    read_number, &policy_rows);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_one(db, &counts[i], &rows, ret_dropped, err);
	for (size_t i = 0; r == 0 && i < policy_count; i++)
		if (policy_rows + (int64_t)i < TLS_COUNTS_MOST / 10)
			r = put_policy(db, &policies[i], err);
	return sqlite_end(db, r, err);
}

int
tls_counts_forget(struct db *db, int64_t before_day, struct pn_error *err)
{
	int r = db_run(
	    db, err, "DELETE FROM tls_counts WHERE day < ?1", PN_VALUES(PN_INT(before_day)));

	if (r < 0)
		return r;
	return db_run(db, err, "DELETE FROM tls_count_policies WHERE day < ?1",
	    PN_VALUES(PN_INT(before_day)));
}

/* ---- reading --------------------------------------------------------------------------------- */

struct each_count {
	int64_t day;
	int (*each)(void *arg, const struct tls_count *count);
	void *arg;
};

static int
give_count(void *arg, const struct pn_row *row)
{
	const struct each_count *to = arg;
	struct arena arena = { 0 };
	struct tls_count count = { .day = to->day,
		.domain = arena_slice(&arena, pn_row_bytes(row, 0)),
		.type = arena_slice(&arena, pn_row_bytes(row, 1)),
		.result = arena_slice(&arena, pn_row_bytes(row, 2)),
		.host = arena_slice(&arena, pn_row_bytes(row, 3)),
		.sent_by = arena_slice(&arena, pn_row_bytes(row, 4)),
		.address = arena_slice(&arena, pn_row_bytes(row, 5)),
		.number = pn_row_int(row, 6) };
	int r = to->each(to->arg, &count);

	arena_free(&arena);
	return r;
}

int
tls_counts_each(struct db *db, int64_t day, const char *domain,
    int (*each)(void *arg, const struct tls_count *count), void *arg, struct pn_error *err)
{
	struct each_count to = { day, each, arg };

	return db_query(db, err,
	    "SELECT domain, type, result, host, sent_by, address, number FROM tls_counts "
	    "WHERE day = ?1 AND (?2 = '' OR domain = ?2) "
	    "ORDER BY domain, type, result, host, sent_by, address",
	    PN_VALUES(PN_INT(day), PN_TEXT(domain ? domain : "")), give_count, &to);
}

struct each_policy {
	struct tls_count_policy policy;
	int (*each)(void *arg, const struct tls_count_policy *policy);
	void *arg;
};

static int
give_policy(void *arg, const struct pn_row *row)
{
	struct each_policy *to = arg;
	struct arena arena = { 0 };
	int r;

	to->policy.text = arena_slice(&arena, pn_row_bytes(row, 0));
	to->policy.hosts = arena_slice(&arena, pn_row_bytes(row, 1));
	r = to->each(to->arg, &to->policy);
	arena_free(&arena);
	return r;
}

int
tls_counts_policy(struct db *db, int64_t day, const char *domain, const char *type,
    int (*each)(void *arg, const struct tls_count_policy *policy), void *arg, struct pn_error *err)
{
	struct each_policy to = { { day, domain, type, NULL, NULL }, each, arg };

	return db_query(db, err,
	    "SELECT text, hosts FROM tls_count_policies "
	    "WHERE day = ?1 AND domain = ?2 AND type = ?3",
	    PN_VALUES(PN_INT(day), PN_TEXT(domain), PN_TEXT(type)), give_policy, &to);
}
