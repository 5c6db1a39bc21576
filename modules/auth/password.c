/* SPDX-License-Identifier: Apache-2.0 */
/*
 * password.c - Argon2id hashes in the database, and `posternctl user passwd`, which makes keys for
 * SCRAM as well.
 *
 * Called by auth.c on policy threads, and by posternctl. A password falls with its user. Must never
 * show or log a password or a hash.
 */
#include "auth.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <time.h>

_Static_assert(PASSWORD_HASH_SIZE >= crypto_pwhash_STRBYTES, "a hash fits, with its NUL");

#define PASSWORD_MOST 512

const struct pn_migration password_migrations[] = {
	{ 1, 0,
	    "CREATE TABLE auth_passwords ("
	    "address TEXT NOT NULL PRIMARY KEY REFERENCES users (address) ON DELETE CASCADE, "
	    "hash TEXT NOT NULL, changed BIGINT NOT NULL)" },
	{ 2, 0,
	    "CREATE TABLE auth_scram ("
	    "address TEXT NOT NULL PRIMARY KEY REFERENCES users (address) ON DELETE CASCADE, "
	    "salt BLOB NOT NULL, iterations INTEGER NOT NULL, stored_key BLOB NOT NULL, "
	    "server_key BLOB NOT NULL)" },
	{ 3, 0,
	    "CREATE TABLE auth_app_passwords ("
	    "number BIGINT NOT NULL PRIMARY KEY, "
	    "address TEXT NOT NULL REFERENCES users (address) ON DELETE CASCADE, "
	    "name TEXT NOT NULL, hash BLOB NOT NULL, made BIGINT NOT NULL, used BIGINT NOT NULL, "
	    "UNIQUE (address, name))" },
	{ 4, 0,
	    "CREATE TABLE auth_certificates ("
	    "address TEXT NOT NULL REFERENCES users (address) ON DELETE CASCADE, "
	    "fingerprint TEXT NOT NULL, made BIGINT NOT NULL, "
	    "PRIMARY KEY (fingerprint, address))" },
	{ 0, 0, NULL },
};

static int
read_password(void *arg, const struct pn_row *row)
{
	struct password *password = arg;
	struct pn_slice hash = pn_row_bytes(row, 0);

	if (hash.len >= sizeof(password->hash))
		return -EINVAL;
	memcpy(password->hash, hash.data, hash.len);
	password->changed = pn_row_int(row, 1);
	password->found = true;
	return 0;
}

int
password_find(struct pn_call *call, const char *address, struct password *ret, struct pn_error *err)
{
	bool known;
	int r;

	memset(ret, 0, sizeof(*ret));
	r = pn_user_find(call, address, &ret->user, err);
	if (r < 0 && r != -ENOENT)
		return r;
	known = r == 0;
	r = pn_db_query(call, err, "SELECT hash, changed FROM auth_passwords WHERE address = ?1",
	    PN_VALUES(PN_TEXT(known ? ret->user.address : address)), read_password, ret);
	ret->found = ret->found && known;
	return r;
}

static int
learn_row(void *arg, const struct pn_row *row)
{
	struct pn_slice hash = pn_row_bytes(row, 0);
	char text[PASSWORD_HASH_SIZE];

	if (hash.len >= sizeof(text))
		return 0;
	memcpy(text, hash.data, hash.len);
	text[hash.len] = '\0';
	verifier_learn(arg, text);
	sodium_memzero(text, sizeof(text));
	return 0;
}

int
password_learn(struct pn_call *call, struct verifier *verifier, struct pn_error *err)
{
	/* One of each beginning, which has the method and more of what makes a kind. */
	return pn_db_query(call, err,
	    "SELECT MIN(hash) FROM auth_passwords WHERE hash NOT LIKE '$argon2%' "
	    "GROUP BY SUBSTR(hash, 1, 7)",
	    PN_NO_VALUES, learn_row, verifier);
}

/* ---- user passwd ----------------------------------------------------------------------------- */

/* What becomes of a password. */
struct change {
	bool scram, given; /* with keys; as a hash */
	const char *how;   /* for the audit log */
	char hash[PASSWORD_HASH_SIZE];
	struct scram_keys keys;
};

static int64_t
stamp(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int
hash_password(const char *password, char hash[PASSWORD_HASH_SIZE], struct pn_error *err)
{
	char *prepared = sasl_prepare(password);
	int r = 0;

	if (!prepared)
		return pn_error_set(err, -ENOMEM, "out of memory");
	if (crypto_pwhash_str(hash, prepared, strlen(prepared), crypto_pwhash_OPSLIMIT_INTERACTIVE,
		crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
		r = pn_error_set(err, -ENOMEM, "out of memory: hashing a password takes 64 MiB");
	sasl_wipe(prepared);
	return r;
}

static int
store_hash(struct pn_call *call, const char *address, const char *hash, struct pn_error *err)
{
	return pn_db_run(call, err,
	    "INSERT INTO auth_passwords (address, hash, changed) VALUES (?1, ?2, ?3) "
	    "ON CONFLICT (address) DO UPDATE SET hash = excluded.hash, "
	    "changed = excluded.changed",
	    PN_VALUES(PN_TEXT(address), PN_TEXT(hash), PN_INT(stamp())));
}

static int
derive_keys(const char *password, struct scram_keys *ret, struct pn_error *err)
{
	char *prepared = sasl_prepare(password);
	uint8_t salt[SCRAM_SALT_SIZE];
	int r;

	if (!prepared)
		return pn_error_set(err, -ENOMEM, "out of memory");
	randombytes_buf(salt, sizeof(salt));
	r = scram_derive(prepared, salt, SCRAM_ITERATIONS, ret);
	sasl_wipe(prepared);
	return r < 0 ? pn_error_set(err, r, "no keys for SCRAM can be made of that password") : 0;
}

static int
read_any(void *arg, const struct pn_row *row)
{
	*(bool *)arg = true;
	return 0;
}

static int
audit(struct pn_call *call, const char *address, const char *how, struct pn_error *err)
{
	bool any = false;
	int r = pn_db_query(call, err, "SELECT 1 FROM auth_passwords WHERE address = ?1",
	    PN_VALUES(PN_TEXT(address)), read_any, &any);

	if (r == 0)
		pn_audit(call, address, "password", any ? "set" : NULL, how);
	return r;
}

/* The keys of the password before go first: it must not be good for SCRAM any longer. */
static int
store(struct pn_call *call, const char *address, const struct change *change, struct pn_error *err)
{
	int r = audit(call, address, change->how, err);

	if (r == 0)
		r = scram_store(call, address, NULL, err);
	if (r == 0)
		r = store_hash(call, address, change->hash, err);
	if (r == 0 && change->scram)
		r = scram_store(call, address, &change->keys, err);
	return r;
}

static int
ask_password(struct pn_console *console, struct change *ret, struct pn_error *err)
{
	char password[PASSWORD_MOST];
	int r = pn_console_secret(console, "New password: ", true, password, sizeof(password), err);

	if (r == 0 && !*password)
		r = pn_error_set(err, -EINVAL, "the password is empty");
	if (r == 0)
		r = hash_password(password, ret->hash, err);
	if (r == 0 && ret->scram)
		r = derive_keys(password, &ret->keys, err);
	sodium_memzero(password, sizeof(password));
	return r;
}

static int
ask_hash(struct pn_console *console, struct change *ret, struct pn_error *err)
{
	int r = pn_console_secret(console, "Hash: ", false, ret->hash, sizeof(ret->hash), err);
	const char *fault = r == 0 ? verifier_fault(ret->hash) : NULL;

	return fault ? pn_error_set(err, -EINVAL, "what was given %s", fault) : r;
}

/* The first word of two: what kind of change it is. */
static int
read_option(const char *word, struct change *ret, struct pn_error *err)
{
	ret->scram = strcmp(word, "--scram") == 0;
	ret->given = strcmp(word, "--hash") == 0;
	if (!ret->scram && !ret->given)
		return pn_error_set(
		    err, -EINVAL, "\"%.40s\": only --scram or --hash may stand there", word);
	ret->how = ret->scram ? "set anew, with keys for SCRAM" : "set anew, by its hash";
	return 0;
}

int
password_command(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct change change = { .how = "set anew" };
	struct pn_user user;
	int r;

	if (sodium_init() < 0)
		return pn_error_set(err, -ENOTSUP, "libsodium cannot be used here");
	r = argc == 2 ? read_option(argv[0], &change, err) : 0;
	if (r == 0)
		r = pn_user_find(call, argv[argc - 1], &user, err);
	if (r == 0)
		r = pn_user_keep(call, user.address, err);
	if (r < 0)
		return r;
	r = change.given ? ask_hash(console, &change, err) : ask_password(console, &change, err);
	if (r == 0)
		r = store(call, user.address, &change, err);
	sodium_memzero(&change, sizeof(change));
	if (r < 0)
		return r;
	pn_console_row(console);
	pn_console_field(console, "user", user.address);
	pn_console_field(console, "password", "changed");
	pn_console_field(
	    console, "scram", argc == 2 && strcmp(argv[0], "--scram") == 0 ? "yes" : "no");
	return 0;
}
