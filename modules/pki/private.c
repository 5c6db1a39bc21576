/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private.c - private keys in the database: sealed, found, opened.
 *
 * Called by commands and by whoever signs. Must never store a key that is not sealed, nor use what
 * was opened for longer than the call.
 */
#include "private.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TABLE "pki_private"

int
private_name(
    struct pn_call *call, const char *text, char ret[PN_ADDRESS_SIZE], struct pn_error *err)
{
	char address[PN_ADDRESS_SIZE + 2], canonical[PN_ADDRESS_SIZE];
	struct pki_owner owner;
	int r;

	if (strchr(text, '@')) {
		r = pki_owner_find(call, text, &owner, err);
		g_strlcpy(ret, r == 0 ? owner.address : "", PN_ADDRESS_SIZE);
		return r;
	}
	if (strlen(text) >= PN_ADDRESS_SIZE - 2 ||
	    snprintf(address, sizeof(address), "x@%s", text) < 0 || !*text ||
	    pn_address_canonical(address, canonical) < 0)
		return pn_error_set(
		    err, -EINVAL, "\"%.320s\" is neither a mail address nor a domain", text);
	g_strlcpy(ret, canonical + 2, PN_ADDRESS_SIZE);
	return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct walk {
	private_fn *each;
	void *arg;
};

static int
read_row(void *arg, const struct pn_row *row)
{
	const struct walk *walk = arg;
	struct pn_slice name = pn_row_bytes(row, 0), print = pn_row_bytes(row, 1);
	char *texts[] = { g_strndup(name.data, name.len), g_strndup(print.data, print.len) };
	struct private_row read = { texts[0], texts[1], pn_row_bytes(row, 2), pn_row_bytes(row, 3),
		pn_row_int(row, 4), pn_row_int(row, 5), pn_row_int(row, 6) };
	int r = walk->each(walk->arg, &read);

	g_free(texts[0]);
	g_free(texts[1]);
	return r;
}

int
private_each(
    struct pn_call *call, const char *name, private_fn *each, void *arg, struct pn_error *err)
{
	struct walk walk = { each, arg };

	return pn_db_query(call, err,
	    "SELECT name, fingerprint, certificates, sealed, not_after, added, exported "
	    "FROM " TABLE " WHERE (?1 IS NULL OR name = ?1) ORDER BY name",
	    PN_VALUES(name ? PN_TEXT(name) : PN_NULL), read_row, &walk);
}

/* ---- opening --------------------------------------------------------------------------------- */

struct opening {
	struct pn_call *call;
	struct pn_error *err;
	struct pn_slice certificates;
	struct identity *identity;
	bool found;
};

static int
join(void *arg, struct pn_slice secret)
{
	struct opening *opening = arg;
	int r = identity_join(opening->certificates, secret, opening->identity);

	return r < 0 ? pn_error_set(opening->err, r, "key and certificate do not belong together")
		     : 0;
}

int
private_open(
    struct pn_call *call, const struct private_row *row, struct identity *ret, struct pn_error *err)
{
	const struct pki *cfg = pn_settings(call);
	struct opening opening = { call, err, row->certificates, ret, true };

	*ret = (struct identity){ 0 };
	return pn_secret_open(
	    call, cfg->seal_with, TABLE, row->name, row->sealed, join, &opening, err);
}

static int
open_row(void *arg, const struct private_row *row)
{
	struct opening *opening = arg;

	opening->found = true;
	return private_open(opening->call, row, opening->identity, opening->err);
}

static int
find(struct pn_call *call, const char *name, struct identity *ret, struct pn_error *err)
{
	struct opening opening = { .call = call, .err = err, .identity = ret };
	int r = private_each(call, name, open_row, &opening, err);

	return r < 0 ? r : opening.found ? 0 : -ENOENT;
}

int
private_find(struct pn_call *call, const char *address, struct identity *ret,
    char ret_name[PN_ADDRESS_SIZE], struct pn_error *err)
{
	const char *at;
	int r = private_name(call, address, ret_name, err);

	*ret = (struct identity){ 0 };
	if (r < 0)
		return r;
	r = find(call, ret_name, ret, err);
	at = strrchr(ret_name, '@');
	if (r != -ENOENT || !at)
		return r;
	memmove(ret_name, at + 1, strlen(at));
	return find(call, ret_name, ret, err);
}

/* ---- changing -------------------------------------------------------------------------------- */

static void
note(struct pn_call *call, const char *name, const char *before, const char *after)
{
	char *object = g_strdup_printf("pki private key%s%s", *name ? " of " : "s", name);

	pn_audit(call, NULL, object, before, after);
	g_free(object);
}

static int
seal(struct pn_call *call, const char *name, struct pn_slice secret, struct pn_slice *ret,
    struct pn_error *err)
{
	const struct pki *cfg = pn_settings(call);

	return pn_secret_seal(call, cfg->seal_with, TABLE, name, secret, ret, err);
}

static int
seal_identity(struct pn_call *call, const char *name, const struct identity *identity,
    struct pn_slice *ret, struct pn_error *err)
{
	size_t len;
	unsigned char *secret = identity_secret(identity, &len);
	int r = secret ? seal(call, name, pn_slice(secret, len), ret, err)
		       : pn_error_set(err, -ENOMEM, "not enough memory");

	OPENSSL_clear_free(secret, len);
	return r;
}

/* Whose removal takes it along; NULL: nobody's. */
static int
keep_owner(struct pn_call *call, const char *name, const char **ret, struct pn_error *err)
{
	struct pki_owner owner;
	int r;

	*ret = NULL;
	if (!strchr(name, '@'))
		return 0;
	r = pki_owner_find(call, name, &owner, err);
	if (r < 0 || !owner.user)
		return r;
	*ret = name;
	return pn_user_keep(call, name, err);
}

int
private_put(struct pn_call *call, const char *name, const struct identity *identity,
    const char *fingerprint, int64_t not_after, struct pn_error *err)
{
	GByteArray *certificates = identity_certificates(identity);
	struct pn_slice sealed;
	const char *owner = NULL;
	int r = certificates ? seal_identity(call, name, identity, &sealed, err)
			     : pn_error_set(err, -ENOMEM, "not enough memory");

	if (r == 0) {
		note(call, name, NULL, fingerprint);
		r = keep_owner(call, name, &owner, err);
	}
	if (r == 0)
		r = pn_db_run(call, err,
		    "INSERT INTO " TABLE " (name, fingerprint, certificates, sealed, not_after, "
		    "added, exported, owner) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7) "
		    "ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint, "
		    "certificates = excluded.certificates, sealed = excluded.sealed, not_after = "
		    "excluded.not_after, added = excluded.added, exported = 0, "
		    "owner = excluded.owner",
		    PN_VALUES(PN_TEXT(name), PN_TEXT(fingerprint),
			PN_BLOB(certificates->data, certificates->len),
			PN_BLOB(sealed.data, sealed.len), PN_INT(not_after), PN_INT(time(NULL)),
			owner ? PN_TEXT(owner) : PN_NULL));
	if (certificates)
		g_byte_array_free(certificates, TRUE);
	return r;
}

static int
count_row(void *arg, const struct private_row *row)
{
	(void)row;
	++*(size_t *)arg;
	return 0;
}

int
private_remove(struct pn_call *call, const char *name, struct pn_error *err)
{
	size_t count = 0;
	int r = private_each(call, name, count_row, &count, err);

	if (r < 0)
		return r;
	if (count == 0)
		return pn_error_set(
		    err, -ENOENT, "there is no private key of %.320s; see pki private list", name);
	note(call, name, "stored", NULL);
	return pn_db_run(
	    call, err, "DELETE FROM " TABLE " WHERE name = ?1", PN_VALUES(PN_TEXT(name)));
}

int
private_mark_exported(struct pn_call *call, const char *name, const char *to, struct pn_error *err)
{
	char *after = g_strdup_printf("exported to %s", to);
	int r;

	note(call, name, "sealed", after);
	r = pn_db_run(call, err, "UPDATE " TABLE " SET exported = ?2 WHERE name = ?1",
	    PN_VALUES(PN_TEXT(name), PN_INT(time(NULL))));
	g_free(after);
	return r;
}

/* ---- the key changes ------------------------------------------------------------------------- */

struct resealing {
	struct pn_call *call;
	struct pn_error *err;
	GPtrArray *names, *old, *fresh; /* char *, GBytes *, GBytes * */
	const char *name;
};

static int
seal_again(void *arg, struct pn_slice secret)
{
	struct resealing *resealing = arg;
	struct pn_slice sealed;
	int r = seal(resealing->call, resealing->name, secret, &sealed, resealing->err);

	if (r == 0)
		g_ptr_array_add(resealing->fresh, g_bytes_new(sealed.data, sealed.len));
	return r;
}

static int
reseal_row(void *arg, const struct private_row *row)
{
	struct resealing *resealing = arg;
	const struct pki *cfg = pn_settings(resealing->call);
	int r;

	if (pn_sealed_is_fresh(cfg->seal_with, row->sealed))
		return 0;
	resealing->name = row->name;
	r = pn_secret_open(resealing->call, cfg->seal_with, TABLE, row->name, row->sealed,
	    seal_again, resealing, resealing->err);
	if (r < 0)
		return r;
	g_ptr_array_add(resealing->names, g_strdup(row->name));
	g_ptr_array_add(resealing->old, g_bytes_new(row->sealed.data, row->sealed.len));
	return 0;
}

/* One that somebody has just replaced stays as it is then. */
static int
write_fresh(struct resealing *resealing, size_t i)
{
	gsize fresh, old;
	const void *to = g_bytes_get_data(resealing->fresh->pdata[i], &fresh);
	const void *from = g_bytes_get_data(resealing->old->pdata[i], &old);

	return pn_db_run(resealing->call, resealing->err,
	    "UPDATE " TABLE " SET sealed = ?2 WHERE name = ?1 AND sealed = ?3",
	    PN_VALUES(PN_TEXT(resealing->names->pdata[i]), PN_BLOB(to, fresh), PN_BLOB(from, old)));
}

/* All are opened before the first one is written: a key that lacks changes nothing. */
int
private_reseal(struct pn_call *call, size_t *ret, struct pn_error *err)
{
	struct resealing resealing = { call, err, g_ptr_array_new_with_free_func(g_free),
		g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref),
		g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref), NULL };
	int r = private_each(call, NULL, reseal_row, &resealing, err);

	*ret = 0;
	note(call, "", NULL, "sealed under the first key");
	for (size_t i = 0; r == 0 && i < resealing.names->len; i++) {
		r = write_fresh(&resealing, i);
		*ret += r == 0;
	}
	g_ptr_array_free(resealing.names, TRUE);
	g_ptr_array_free(resealing.old, TRUE);
	g_ptr_array_free(resealing.fresh, TRUE);
	return r;
}
