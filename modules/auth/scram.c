/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scram.c - keys of SCRAM-SHA-256 in the database.
 *
 * Called by auth.c on policy threads, and by `user passwd`. Who has the keys can try passwords as
 * fast as PBKDF2 lets him, much faster than against Argon2id: so they exist only where somebody
 * asked for them. Must never answer differently for a user that is not there or has no keys.
 */
#include "scram.h"
#include <errno.h>
#include <gsasl.h>
#include <sodium.h>

_Static_assert(SCRAM_SALT_SIZE == crypto_generichash_BYTES_MIN, "a salt is a short hash");

#define SECRET_KEY "scram-secret"

int
scram_derive(const char *password, const uint8_t salt[SCRAM_SALT_SIZE], uint32_t iterations,
    struct scram_keys *ret)
{
	char salted[SCRAM_KEY_SIZE], client[SCRAM_KEY_SIZE];
	int code = gsasl_scram_secrets_from_password(GSASL_HASH_SHA256, password, iterations,
	    (const char *)salt, SCRAM_SALT_SIZE, salted, client, (char *)ret->server,
	    (char *)ret->stored);

	sodium_memzero(salted, sizeof(salted));
	sodium_memzero(client, sizeof(client));
	memcpy(ret->salt, salt, SCRAM_SALT_SIZE);
	ret->iterations = iterations;
	return code == GSASL_OK ? 0 : code == GSASL_MALLOC_ERROR ? -ENOMEM : -EINVAL;
}

/* ---- nobody's keys --------------------------------------------------------------------------- */

int
scram_secret_get(struct pn_call *call, struct scram_secret *ret, struct pn_error *err)
{
	struct pn_slice have;
	int r = pn_store_get(call, SECRET_KEY, &have, err);

	if (r == 0 && have.len == sizeof(ret->bytes)) {
		memcpy(ret->bytes, have.data, sizeof(ret->bytes));
		return 0;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	randombytes_buf(ret->bytes, sizeof(ret->bytes));
	if (pn_is_trial(call))
		return 0;
	return pn_store_put(call, SECRET_KEY, pn_slice(ret->bytes, sizeof(ret->bytes)), 0, err);
}

/*
 * `address` as the directory writes it: a salt that differs between two spellings of one address
 * would tell that nobody has it.
 */
static void
invent(const struct scram_secret *secret, const char *address, struct scram_keys *ret)
{
	crypto_generichash(ret->salt, sizeof(ret->salt), (const unsigned char *)address,
	    strlen(address), secret->bytes, sizeof(secret->bytes));
	randombytes_buf(ret->stored, sizeof(ret->stored)); /* no proof fits */
	randombytes_buf(ret->server, sizeof(ret->server));
	ret->iterations = SCRAM_ITERATIONS;
}

/* ---- the database ---------------------------------------------------------------------------- */

static int
read_keys(void *arg, const struct pn_row *row)
{
	struct scram_user *user = arg;
	struct pn_slice salt = pn_row_bytes(row, 0);
	struct pn_slice stored = pn_row_bytes(row, 2), server = pn_row_bytes(row, 3);

	if (salt.len != sizeof(user->keys.salt) || stored.len != sizeof(user->keys.stored) ||
	    server.len != sizeof(user->keys.server))
		return -EBADMSG;
	memcpy(user->keys.salt, salt.data, salt.len);
	memcpy(user->keys.stored, stored.data, stored.len);
	memcpy(user->keys.server, server.data, server.len);
	user->keys.iterations = (uint32_t)pn_row_int(row, 1);
	user->found = true;
	return 0;
}

int
scram_find(struct pn_call *call, const struct scram_secret *secret, const char *address,
    struct scram_user *ret, struct pn_error *err)
{
	bool known;
	int r;

	memset(ret, 0, sizeof(*ret));
	r = pn_user_find(call, address, &ret->user, err);
	if (r < 0 && r != -ENOENT)
		return r;
	known = r == 0;
	if (*ret->user.address)
		address = ret->user.address;
	invent(secret, address, &ret->keys);
	r = pn_db_query(call, err,
	    "SELECT salt, iterations, stored_key, server_key FROM auth_scram WHERE address = ?1",
	    PN_VALUES(PN_TEXT(address)), read_keys, ret);
	if (ret->found && !known) { /* added between the two questions */
		invent(secret, address, &ret->keys);
		ret->found = false;
	}
	return r;
}

int
scram_store(
    struct pn_call *call, const char *address, const struct scram_keys *keys, struct pn_error *err)
{
	if (!keys)
		return pn_db_run(call, err, "DELETE FROM auth_scram WHERE address = ?1",
		    PN_VALUES(PN_TEXT(address)));
	return pn_db_run(call, err,
	    "INSERT INTO auth_scram (address, salt, iterations, stored_key, server_key) "
	    "VALUES (?1, ?2, ?3, ?4, ?5)",
	    PN_VALUES(PN_TEXT(address), PN_BLOB(keys->salt, sizeof(keys->salt)),
		PN_INT(keys->iterations), PN_BLOB(keys->stored, sizeof(keys->stored)),
		PN_BLOB(keys->server, sizeof(keys->server))));
}
