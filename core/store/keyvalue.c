/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyvalue.c - the key-value store of modules.
 *
 * Called through core/policy/api_store.c. What has expired is nobody's any more; it is deleted a
 * few rows at a time by whoever writes next, so that no write waits for the sins of the others.
 */
#include <core/base/clock.h>
#include <core/store/keyvalue.h>
#include <errno.h>
#include <glib.h>

/* No module is called so: it has a blank. */
#define OWNER "key-value store"

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE keyvalue (module TEXT NOT NULL, entry TEXT NOT NULL, name TEXT NOT NULL, "
	    "value BLOB NOT NULL, expires BIGINT, PRIMARY KEY (module, entry, name)); "
	    "CREATE INDEX keyvalue_expires ON keyvalue (expires)" },
	{ 0, 0, NULL },
};

int
keyvalue_migrate(struct db *db, struct pn_error *err)
{
	return db_migrate(db, OWNER, migrations, sizeof(migrations[0]), err);
}

static int
check_key(const char *key, struct pn_error *err)
{
	size_t len = strlen(key);

	if (len == 0 || len > PN_STORE_KEY_MOST)
		return pn_error_set(
		    err, -EINVAL, "a key has 1 to %d bytes, not %zu", PN_STORE_KEY_MOST, len);
	if (!g_utf8_validate(key, -1, NULL))
		return pn_error_set(err, -EINVAL, "a key is UTF-8");
	for (const char *at = key; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return pn_error_set(err, -EINVAL, "a key has no control characters");
	return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct found {
	struct arena *arena;
	struct pn_slice *value;
	bool any;
};

static int
read_found(void *arg, const struct pn_row *row)
{
	struct found *found = arg;
	struct pn_slice value = pn_row_bytes(row, 0);

	*found->value = pn_slice(arena_slice(found->arena, value), value.len);
	found->any = true;
	return 0;
}

int
keyvalue_get(struct db *db, const struct keyvalue_owner *owner, const char *key,
    struct arena *arena, struct pn_slice *ret, struct pn_error *err)
{
	struct found found = { arena, ret, false };
	int r = check_key(key, err);

	if (r == 0)
		r = db_query(db, err,
		    "SELECT value FROM keyvalue WHERE module = ?1 AND entry = ?2 AND name = ?3 "
		    "AND (expires IS NULL OR expires > ?4)",
		    PN_VALUES(PN_TEXT(owner->module), PN_TEXT(owner->entry), PN_TEXT(key),
			PN_INT(clock_wall_us())),
		    read_found, &found);
	if (r == 0 && !found.any)
		return pn_error_set(err, -ENOENT, "there is no key \"%s\"", key);
	return r;
}

struct walk {
	pn_store_fn *each;
	void *arg;
	struct pn_slice prefix;
	bool past; /* behind the last key that begins so */
};

static int
walk_row(void *arg, const struct pn_row *row)
{
	struct walk *walk = arg;
	struct pn_slice name = pn_row_bytes(row, 0);
	char key[PN_STORE_KEY_MOST + 1];

	if (name.len < walk->prefix.len ||
	    memcmp(name.data, walk->prefix.data, walk->prefix.len) != 0) {
		walk->past = true;
		return 1;
	}
	if (name.len > PN_STORE_KEY_MOST)
		return -EBADMSG; /* not written by us */
	memcpy(key, name.data, name.len);
	key[name.len] = '\0';
	return walk->each(walk->arg, key, pn_row_bytes(row, 1));
}

int
keyvalue_each(struct db *db, const struct keyvalue_owner *owner, const char *prefix,
    pn_store_fn *each, void *arg, struct pn_error *err)
{
	struct walk walk = { each, arg, pn_slice_of(prefix), false };
	int r = *prefix ? check_key(prefix, err) : 0;

	if (r == 0)
		r = db_query(db, err,
		    "SELECT name, value FROM keyvalue WHERE module = ?1 AND entry = ?2 "
		    "AND name >= ?3 AND (expires IS NULL OR expires > ?4) ORDER BY name",
		    PN_VALUES(PN_TEXT(owner->module), PN_TEXT(owner->entry), PN_TEXT(prefix),
			PN_INT(clock_wall_us())),
		    walk_row, &walk);
	return walk.past ? 0 : r;
}

/* ---- changing -------------------------------------------------------------------------------- */

/* Each write makes at most one row, so a hundred at a time keep up with any number of them. */
static int
delete_expired(struct db *db, int64_t now, struct pn_error *err)
{
	return db_run(db, err,
	    "DELETE FROM keyvalue WHERE (module, entry, name) IN "
	    "(SELECT module, entry, name FROM keyvalue WHERE expires <= ?1 LIMIT 100)",
	    PN_VALUES(PN_INT(now)));
}

int
keyvalue_put(struct db *db, const struct keyvalue_owner *owner, const char *key,
    struct pn_slice value, int64_t keep_ms, struct pn_error *err)
{
	int64_t now = clock_wall_us();
	int r = check_key(key, err);

	if (r < 0)
		return r;
	if (value.len > PN_STORE_VALUE_MOST)
		return pn_error_set(err, -E2BIG, "a value has %d bytes at most, not %zu",
		    PN_STORE_VALUE_MOST, value.len);
	if (keep_ms < 0 || keep_ms > (INT64_MAX - now) / 1000)
		return pn_error_set(err, -EINVAL, "a key cannot be kept for that time");
	r = delete_expired(db, now, err);
	if (r < 0)
		return r;
	return db_run(db, err,
	    "INSERT INTO keyvalue (module, entry, name, value, expires) "
	    "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (module, entry, name) "
	    "DO UPDATE SET value = excluded.value, expires = excluded.expires",
	    PN_VALUES(PN_TEXT(owner->module), PN_TEXT(owner->entry), PN_TEXT(key),
		PN_BLOB(value.data, value.len),
		keep_ms > 0 ? PN_INT(now + keep_ms * 1000) : PN_NULL));
}

int
keyvalue_delete(
    struct db *db, const struct keyvalue_owner *owner, const char *key, struct pn_error *err)
{
	int r = check_key(key, err);

	if (r < 0)
		return r;
	return db_run(db, err,
	    "DELETE FROM keyvalue WHERE module = ?1 AND entry = ?2 AND name = ?3",
	    PN_VALUES(PN_TEXT(owner->module), PN_TEXT(owner->entry), PN_TEXT(key)));
}
