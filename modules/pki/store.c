/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - the key store: tables, keys of an address.
 *
 * Called by commands and hooks on policy threads. Must never call an error of the database "no
 * key", nor keep the keys of a removed user for the next one of that name.
 */
#include "pki.h"
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <time.h>

#define PRINT_LEAST 8u

/* `owner`: the user whose removal takes the key along; NULL for everybody else's. */
const struct pn_migration pki_migrations[] = {
	{ 1, 0,
	    "CREATE TABLE pki_keys ("
	    "address TEXT NOT NULL, kind TEXT NOT NULL, fingerprint TEXT NOT NULL, "
	    "material BLOB NOT NULL, declared BLOB, not_before BIGINT NOT NULL, "
	    "not_after BIGINT NOT NULL, source TEXT NOT NULL, state TEXT NOT NULL, "
	    "added BIGINT NOT NULL, owner TEXT REFERENCES users (address) ON DELETE CASCADE, "
	    "PRIMARY KEY (address, kind, fingerprint)); "
	    "CREATE INDEX pki_keys_owner ON pki_keys (owner)" },
	{ 2, 0,
	    "CREATE TABLE pki_private ("
	    "name TEXT NOT NULL PRIMARY KEY, fingerprint TEXT NOT NULL, certificates BLOB NOT "
	    "NULL, sealed BLOB NOT NULL, not_after BIGINT NOT NULL, added BIGINT NOT NULL, "
	    "exported BIGINT NOT NULL, owner TEXT REFERENCES users (address) ON DELETE CASCADE); "
	    "CREATE INDEX pki_private_owner ON pki_private (owner)" },
	{ 3, 0,
	    "CREATE TABLE pki_preferences (address TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, "
	    "owner TEXT REFERENCES users (address) ON DELETE CASCADE); "
	    "CREATE INDEX pki_preferences_owner ON pki_preferences (owner)" },
	{ 0, 0, NULL },
};

int
pki_owner_find(
    struct pn_call *call, const char *address, struct pki_owner *ret, struct pn_error *err)
{
	struct pn_user user = { "", false };
	int r = pn_user_find(call, address, &user, err);

	*ret = (struct pki_owner){ .user = r == 0, .enabled = r == 0 && user.enabled };
	if (r < 0 && r != -ENOENT)
		return r;
	if (!*user.address)
		return pn_error_set(err, -EINVAL, "\"%.320s\" is no mail address", address);
	g_strlcpy(ret->address, user.address, sizeof(ret->address));
	return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A row of its own: whoever looks at it may take seconds, and a read of the database must not. */
struct kept {
	char *texts[5];
	GBytes *material, *declared;
	int64_t numbers[3];
};

struct reading {
	pki_key_fn *each;
	void *arg;
	GPtrArray *kept; /* NULL: each row is given as it comes */
};

static GBytes *
bytes_of(const struct pn_row *row, int column)
{
	struct pn_slice bytes = pn_row_bytes(row, column);

	return g_bytes_new(bytes.data, bytes.len);
}

static struct pn_slice
slice_of(GBytes *bytes)
{
	gsize len;
	const void *data = g_bytes_get_data(bytes, &len);

	return pn_slice(data ? data : "", len);
}

static void
kept_free(void *arg)
{
	struct kept *kept = arg;

	for (size_t i = 0; i < G_N_ELEMENTS(kept->texts); i++)
		g_free(kept->texts[i]);
	g_bytes_unref(kept->material);
	g_bytes_unref(kept->declared);
	g_free(kept);
}

static int
give(const struct reading *reading, const struct kept *kept)
{
	const struct pki_key key = { kept->texts[0], kept->texts[1], kept->texts[2], kept->texts[3],
		kept->texts[4], slice_of(kept->material), slice_of(kept->declared),
		kept->numbers[0], kept->numbers[1], kept->numbers[2] };

	return reading->each(reading->arg, &key);
}

static int
read_key(void *arg, const struct pn_row *row)
{
	const struct reading *reading = arg;
	struct kept *kept = g_new0(struct kept, 1);
	int r;

	for (int i = 0; i < 5; i++) {
		struct pn_slice text = pn_row_bytes(row, i);

		kept->texts[i] = g_strndup(text.data ? text.data : "", text.len);
	}
	kept->material = bytes_of(row, 5);
	kept->declared = bytes_of(row, 6);
	for (int i = 0; i < 3; i++)
		kept->numbers[i] = pn_row_int(row, 7 + i);
	if (reading->kept) {
		g_ptr_array_add(reading->kept, kept);
		return 0;
	}
	r = give(reading, kept);
	kept_free(kept);
	return r;
}

#define KEY_COLUMNS \
	"SELECT address, kind, fingerprint, source, state, material, declared, not_before, " \
	"not_after, added FROM pki_keys "

/* They are few, so they are all read before the first one is looked at. */
static int
each_of(struct pn_call *call, const char *address, const char *kind, struct reading *reading,
    struct pn_error *err)
{
	int r;

	reading->kept = g_ptr_array_new_with_free_func(kept_free);
	r = pn_db_query(call, err,
	    KEY_COLUMNS "WHERE (?1 IS NULL OR kind = ?1) AND address = ?2 "
			"ORDER BY kind, added DESC, fingerprint",
	    PN_VALUES(kind ? PN_TEXT(kind) : PN_NULL, PN_TEXT(address)), read_key, reading);
	for (guint i = 0; r == 0 && i < reading->kept->len; i++)
		r = give(reading, reading->kept->pdata[i]);
	g_ptr_array_free(reading->kept, TRUE);
	return r;
}

int
pki_keys_each(struct pn_call *call, const char *address, const char *kind, pki_key_fn *each,
    void *arg, struct pn_error *err)
{
	struct reading reading = { each, arg, NULL };

	if (address)
		return each_of(call, address, kind, &reading, err);
	return pn_db_query(call, err,
	    KEY_COLUMNS "WHERE (?1 IS NULL OR kind = ?1) ORDER BY address, kind, "
			"added DESC, fingerprint",
	    PN_VALUES(kind ? PN_TEXT(kind) : PN_NULL), read_key, &reading);
}

/* ---- changing -------------------------------------------------------------------------------- */

static void
note(struct pn_call *call, const struct pki_owner *owner, const struct pki_key *key, bool was,
    bool made)
{
	char *object = g_strdup_printf("pki %s %s %s", key->kind, owner->address, key->fingerprint);

	pn_audit(call, owner->user ? owner->address : NULL, object, was ? key->source : NULL,
	    made ? key->source : NULL);
	g_free(object);
}

struct counting {
	const struct pki_key *key;
	unsigned others;
	bool there;
};

static int
count_key(void *arg, const struct pki_key *key)
{
	struct counting *counting = arg;

	if (strcmp(key->fingerprint, counting->key->fingerprint) == 0)
		counting->there = true;
	else
		counting->others++;
	return 0;
}

static struct pn_value
blob_or_null(struct pn_slice bytes)
{
	return bytes.len > 0 ? PN_BLOB(bytes.data, bytes.len) : PN_NULL;
}

static int
write_key(struct pn_call *call, const struct pki_owner *owner, const struct pki_key *key,
    struct pn_error *err)
{
	return pn_db_run(call, err,
	    "INSERT INTO pki_keys (address, kind, fingerprint, material, declared, not_before, "
	    "not_after, source, state, added, owner) "
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) "
	    "ON CONFLICT (address, kind, fingerprint) DO UPDATE SET material = excluded.material, "
	    "declared = COALESCE (excluded.declared, declared), not_before = excluded.not_before, "
	    "not_after = excluded.not_after, source = excluded.source, state = excluded.state, "
	    "added = excluded.added, owner = excluded.owner",
	    PN_VALUES(PN_TEXT(owner->address), PN_TEXT(key->kind), PN_TEXT(key->fingerprint),
		PN_BLOB(key->material.data, key->material.len), blob_or_null(key->declared),
		PN_INT(key->not_before), PN_INT(key->not_after), PN_TEXT(key->source),
		PN_TEXT(key->state ? key->state : "active"),
		PN_INT(key->added ? key->added : time(NULL)),
		owner->user ? PN_TEXT(owner->address) : PN_NULL));
}

int
pki_key_put(struct pn_call *call, const struct pki_owner *owner, const struct pki_key *key,
    struct pn_error *err)
{
	struct counting counting = { .key = key };
	int r;

	if (key->material.len == 0 || key->material.len > PKI_MATERIAL_MOST ||
	    key->declared.len > PKI_DECLARED_MOST)
		return pn_error_set(err, -E2BIG, "a key of %zu bytes; %u are the most",
		    key->material.len, PKI_MATERIAL_MOST);
	r = pki_keys_each(call, owner->address, key->kind, count_key, &counting, err);
	if (r < 0)
		return r;
	if (!counting.there && counting.others >= PKI_KEYS_MOST)
		return pn_error_set(err, -E2BIG,
		    "%.320s has %u keys of this kind already; remove one that is not used",
		    owner->address, counting.others);
	note(call, owner, key, counting.there, true);
	r = owner->user ? pn_user_keep(call, owner->address, err) : 0;
	return r < 0 ? r : write_key(call, owner, key, err);
}

struct matching {
	const char *prefix;
	unsigned count;
	char kind[8], fingerprint[CERTIFICATE_PRINT_SIZE], source[16];
};

static int
match_key(void *arg, const struct pki_key *key)
{
	struct matching *matching = arg;

	if (g_ascii_strncasecmp(key->fingerprint, matching->prefix, strlen(matching->prefix)) != 0)
		return 0;
	matching->count++;
	g_strlcpy(matching->kind, key->kind, sizeof(matching->kind));
	g_strlcpy(matching->fingerprint, key->fingerprint, sizeof(matching->fingerprint));
	g_strlcpy(matching->source, key->source, sizeof(matching->source));
	return 0;
}

int
pki_key_remove(struct pn_call *call, const struct pki_owner *owner, const char *fingerprint,
    struct pn_error *err)
{
	struct matching matching = { .prefix = fingerprint };
	struct pki_key key = { 0 };
	int r;

	if (strlen(fingerprint) < PRINT_LEAST)
		return pn_error_set(err, -EINVAL,
		    "\"%.64s\" is too little of a fingerprint; %u digits at least", fingerprint,
		    PRINT_LEAST);
	r = pki_keys_each(call, owner->address, NULL, match_key, &matching, err);
	if (r < 0)
		return r;
	if (matching.count != 1)
		return pn_error_set(err, matching.count ? -EEXIST : -ENOENT,
		    matching.count ? "more than one key of %.320s begins with %.64s"
				   : "%.320s has no key that begins with %.64s",
		    owner->address, fingerprint);
	key.kind = matching.kind;
	key.fingerprint = matching.fingerprint;
	key.source = matching.source;
	note(call, owner, &key, true, false);
	return pn_db_run(call, err,
	    "DELETE FROM pki_keys WHERE address = ?1 AND kind = ?2 AND fingerprint = ?3",
	    PN_VALUES(
		PN_TEXT(owner->address), PN_TEXT(matching.kind), PN_TEXT(matching.fingerprint)));
}

/* ---- preferences ----------------------------------------------------------------------------- */

static int
read_kind(void *arg, const struct pn_row *row)
{
	struct pn_slice kind = pn_row_bytes(row, 0);

	if (kind.len >= PKI_KIND_SIZE)
		return -EBADMSG;
	memcpy(arg, kind.data, kind.len);
	((char *)arg)[kind.len] = '\0';
	return 1;
}

int
pki_preference_get(
    struct pn_call *call, const char *address, char ret[PKI_KIND_SIZE], struct pn_error *err)
{
	int r;

	*ret = '\0';
	r = pn_db_query(call, err, "SELECT kind FROM pki_preferences WHERE address = ?1",
	    PN_VALUES(PN_TEXT(address)), read_kind, ret);
	return r == 0 ? -ENOENT : r < 0 ? r : 0;
}

int
pki_preference_set(
    struct pn_call *call, const struct pki_owner *owner, const char *kind, struct pn_error *err)
{
	char before[PKI_KIND_SIZE], *object;
	int r = pki_preference_get(call, owner->address, before, err);

	if (r < 0 && r != -ENOENT)
		return r;
	object = g_strdup_printf("pki preference %s", owner->address);
	pn_audit(call, owner->user ? owner->address : NULL, object, r == 0 ? before : NULL, kind);
	g_free(object);
	if (!kind)
		return pn_db_run(call, err, "DELETE FROM pki_preferences WHERE address = ?1",
		    PN_VALUES(PN_TEXT(owner->address)));
	r = owner->user ? pn_user_keep(call, owner->address, err) : 0;
	if (r < 0)
		return r;
	return pn_db_run(call, err,
	    "INSERT INTO pki_preferences (address, kind, owner) VALUES (?1, ?2, ?3) "
	    "ON CONFLICT (address) DO UPDATE SET kind = excluded.kind, owner = excluded.owner",
	    PN_VALUES(PN_TEXT(owner->address), PN_TEXT(kind),
		owner->user ? PN_TEXT(owner->address) : PN_NULL));
}
