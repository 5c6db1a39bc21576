/* SPDX-License-Identifier: Apache-2.0 */
/*
 * external.c - SASL EXTERNAL (RFC 4422 appendix A): a client is who its certificate says.
 *
 * Called by auth.c, on a policy thread: certificates of users are in the database. The core has
 * verified the certificate, or there is none. Must never count a failure against a user: there is
 * nothing to guess, and whoever has any good certificate could lock others out.
 */
#include "certificate.h"
#include <errno.h>

/* Whom the certificate could stand for, as far as it was asked. */
struct candidates {
	const struct attempt *attempt;
	const char *wanted; /* "": whoever it is */
	size_t count;       /* of different users */
	char user[CACHE_USER_SIZE];
};

/* Disabled users, and who is not in the directory, are nobody. */
static void
consider(struct candidates *candidates, const char *address)
{
	const struct pn_call *call = candidates->attempt->call;
	const char *other = *candidates->wanted ? candidates->wanted : candidates->user;
	char canonical[PN_ADDRESS_SIZE];
	bool same;

	_Static_assert(CACHE_USER_SIZE >= PN_ADDRESS_SIZE, "an address fits");
	if (pn_address_canonical(address, canonical) < 0 || !pn_user_known(call, canonical))
		return;
	same = *other && pn_user_owns(call, other, canonical) == PN_OWNS_SELF;
	if (*candidates->wanted ? !same : same)
		return;
	memcpy(candidates->user, canonical, sizeof(canonical));
	candidates->count++;
}

static int
consider_row(void *arg, const struct pn_row *row)
{
	struct pn_slice address = pn_row_bytes(row, 0);
	char text[PN_ADDRESS_SIZE];

	if (address.len >= sizeof(text))
		return 0;
	memcpy(text, address.data, address.len);
	text[address.len] = '\0';
	consider(arg, text);
	return 0;
}

static int
consider_print(struct candidates *candidates, struct pn_error *err)
{
	const struct attempt *attempt = candidates->attempt;
	const char *print = pn_txn_certificate(attempt->txn);
	const struct pn_map *map = &attempt->cfg->certificates;
	const struct pn_strings *lists = map->values;
	char canonical[PN_FINGERPRINT_SIZE];

	for (size_t i = 0; i < map->count; i++)
		for (size_t k = 0; k < lists[i].count; k++)
			if (pn_fingerprint_canonical(lists[i].items[k], canonical) == 0 &&
			    strcmp(canonical, print) == 0)
				consider(candidates, map->keys[i]);
	return pn_db_query(attempt->call, err,
	    "SELECT address FROM auth_certificates WHERE fingerprint = ?1",
	    PN_VALUES(PN_TEXT(print)), consider_row, candidates);
}

static void
consider_addresses(struct candidates *candidates)
{
	const struct pn_txn *txn = candidates->attempt->txn;
	const char *address;

	for (size_t i = 0; (address = pn_txn_certificate_address_at(txn, i)); i++)
		consider(candidates, address);
}

/* The fingerprint comes first: it was stored for somebody on purpose. */
static int
find(struct candidates *candidates, struct pn_error *err)
{
	const struct auth *cfg = candidates->attempt->cfg;
	int r = 0;

	if (auth_has_word(&cfg->external_by, "fingerprint"))
		r = consider_print(candidates, err);
	if (r == 0 && candidates->count == 0 && auth_has_word(&cfg->external_by, "address"))
		consider_addresses(candidates);
	return r;
}

static struct pn_verdict
refuse(const struct attempt *attempt, const char *reason)
{
	pn_log(attempt->call, PN_LOG_INFO, "refused client=%s certificate=%s: %s",
	    pn_txn_client_address(attempt->txn),
	    pn_txn_certificate(attempt->txn) ? pn_txn_certificate(attempt->txn) : "none", reason);
	return pn_reject(attempt->call, 535, "5.7.8", "Authentication credentials invalid");
}

struct pn_verdict
external_decide(const struct attempt *attempt)
{
	struct candidates candidates = { .attempt = attempt, .wanted = attempt->said->user };
	struct pn_error err = { 0 };
	int r;

	if (!pn_txn_certificate(attempt->txn))
		return refuse(attempt, "no certificate");
	if (!pn_may_block(attempt->call))
		return pn_not_quick();
	r = find(&candidates, &err);
	if (r < 0)
		return pn_fault(attempt->call, r, "cannot look the user up: %s", err.text);
	if (candidates.count == 0)
		return refuse(attempt, *candidates.wanted ? "the certificate is not that user's"
							  : "the certificate is no user's");
	if (candidates.count > 1 && !*candidates.wanted)
		return refuse(attempt, "the certificate is several users', and none was named");
	return pn_identified(attempt->call, candidates.user);
}
