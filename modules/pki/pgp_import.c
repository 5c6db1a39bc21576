/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pgp_import.c - OpenPGP keys out of a file into the store, each under every address that it is
 * for.
 *
 * Called by the commands. Must never store one that could not be used, nor leave one out without
 * saying why.
 */
#include "pgp.h"
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <time.h>

struct importing {
	struct pn_call *call;
	struct pn_console *console;
	struct pn_slice bytes;
	const char *source;
	unsigned stored, refused;
	char first[400]; /* that was refused, and why */
	struct pn_error *err;
};

bool
pgp_is_keys(struct pn_slice bytes)
{
	unsigned char first = bytes.len > 0 ? (unsigned char)bytes.data[0] : 0;

	if (g_strstr_len(bytes.data ? bytes.data : "", (gssize)bytes.len, "-----BEGIN PGP "))
		return true;
	/* A key or a secret key: tag 6 or 5 in one of the two forms of a packet's first octet. */
	return (first & 0xc0) == 0xc0 ? (first & 0x3f) == 6 || (first & 0x3f) == 5
	       : (first & 0x80)       ? ((first >> 2) & 15) == 6 || ((first >> 2) & 15) == 5
				      : false;
}

static void
show(struct importing *importing, const struct pn_openpgp_key *key, const char *address,
    const char *result)
{
	char until[32] = "-";
	time_t at = (time_t)key->expires;
	struct tm parts;

	if (key->expires > 0 && gmtime_r(&at, &parts))
		strftime(until, sizeof(until), "%Y-%m-%d", &parts);
	pn_console_row(importing->console);
	pn_console_field(importing->console, "address", address);
	pn_console_field(importing->console, "kind", PKI_PGP);
	pn_console_field(importing->console, "fingerprint", key->fingerprint);
	pn_console_field(importing->console, "until", until);
	pn_console_field(importing->console, "result", result);
}

static void
refuse(struct importing *importing, const struct pn_openpgp_key *key, const char *address,
    const char *reason)
{
	show(importing, key, address, reason);
	if (importing->refused++ == 0)
		snprintf(importing->first, sizeof(importing->first), "%s%s%.16s: the key %s",
		    address, *address ? ": " : "", key->fingerprint, reason);
}

static int
store(struct importing *importing, const struct pn_openpgp_key *key, const char *address)
{
	struct pki_owner owner;
	struct pki_key row = {
		.kind = PKI_PGP,
		.fingerprint = key->fingerprint,
		.source = importing->source,
		.material = key->minimal,
		.not_before = key->created,
		.not_after = key->expires,
	};
	int r;

	if (key->reason) {
		refuse(importing, key, address, key->reason);
		return 0;
	}
	r = pki_owner_find(importing->call, address, &owner, importing->err);
	if (r == -EINVAL) {
		refuse(importing, key, address, "has an address that mail cannot go to");
		return 0;
	}
	if (r == 0)
		r = pki_key_put(importing->call, &owner, &row, importing->err);
	if (r < 0)
		return r;
	importing->stored++;
	show(importing, key, owner.address, "stored");
	return 0;
}

/* The key once more, with the user id of this address instead of its first. */
static int
store_for(struct importing *importing, const char *fingerprint, const char *address)
{
	const struct pn_openpgp_keys *keys;
	const struct pn_openpgp_key *key;
	int r = pn_openpgp_inspect(
	    importing->call, importing->bytes, address, 0, &keys, importing->err);

	if (r < 0)
		return r;
	for (size_t i = 0; (key = pn_openpgp_key(keys, i)); i++)
		if (strcmp(key->fingerprint, fingerprint) == 0)
			return store(importing, key, address);
	return -EIO;
}

static bool
is_before(const char *const *addresses, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (g_ascii_strcasecmp(addresses[i], addresses[at]) == 0)
			return true;
	return false;
}

static int
take(struct importing *importing, const struct pn_openpgp_key *key)
{
	const char *const *addresses = key->addresses;
	int r = 0;

	if (key->reason) {
		refuse(importing, key, addresses[0] ? addresses[0] : "", key->reason);
		return 0;
	}
	if (!addresses[0])
		refuse(importing, key, "", "names no mail address at all");
	else if (!addresses[1])
		return store(importing, key, addresses[0]);
	for (size_t i = 0; addresses[i] && r == 0; i++)
		if (!is_before(addresses, i))
			r = store_for(importing, key->fingerprint, addresses[i]);
	return r;
}

int
pgp_import(struct pn_call *call, struct pn_console *console, struct pn_slice bytes,
    const char *source, struct pn_error *err)
{
	struct importing importing = {
		.call = call, .console = console, .bytes = bytes, .source = source, .err = err
	};
	const struct pn_openpgp_keys *keys;
	const struct pn_openpgp_key *key;
	int r = pn_openpgp_inspect(call, bytes, NULL, 0, &keys, err);

	for (size_t i = 0; r == 0 && (key = pn_openpgp_key(keys, i)); i++)
		r = take(&importing, key);
	if (r == 0 && importing.stored == 0)
		r = pn_error_set(err, -ENOKEY, "nothing of it was stored: %s",
		    importing.refused ? importing.first : "there is no key in it");
	return r;
}
