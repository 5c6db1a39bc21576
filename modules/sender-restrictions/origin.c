/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin.c - whose message it is, and which addresses may stand in it.
 *
 * Asked by the hooks, on the event loop: all of it is answered from memory. Must never take a name
 * that a client gave itself for whose it is, but for HELO where the directory allows that.
 */
#include "sender_restrictions.h"

struct origin
origin_of(struct pn_call *call, const struct pn_txn *txn)
{
	struct origin origin = {
		.call = call, .txn = txn, .cfg = pn_settings(call), .user = pn_txn_user(txn)
	};

	origin.has_account = pn_txn_account(txn, &origin.account);
	return origin;
}

bool
origin_is_known(const struct origin *origin)
{
	return origin->user || origin->has_account;
}

static const char *
domain_of(const char *address)
{
	const char *at = strrchr(address, '@');

	return at ? at + 1 : "";
}

static bool
is_of_account(const struct origin *origin, const char *domain)
{
	struct pn_account owner;

	return origin->has_account && pn_domain_account(origin->call, domain, &owner) &&
	       !strcmp(owner.name, origin->account.name);
}

bool
origin_has_domain_of(const struct origin *origin, const char *address)
{
	char canonical[PN_ADDRESS_SIZE];

	if (pn_address_canonical(address, canonical) < 0)
		return false;
	if (origin->has_account)
		return is_of_account(origin, domain_of(canonical));
	return origin->user && pn_domain_within(domain_of(canonical), domain_of(origin->user));
}

bool
origin_owns(const struct origin *origin, const char *address)
{
	return origin->user && pn_user_owns(origin->call, origin->user, address) != PN_OWNS_NOT;
}

/* Reports and automatic answers (a null return path) speak for the system: From is no user then. */
bool
origin_allows(const struct origin *origin, const char *address)
{
	if (origin->cfg->allowed == ANY)
		return true;
	if (!origin_has_domain_of(origin, address))
		return false;
	return origin->cfg->allowed == ACCOUNT_DOMAINS ||
	       (!origin->user && !*pn_txn_sender(origin->txn)) ||
	       pn_user_known(origin->call, address);
}

/* The account's domain that this one is in: the one with the longest name. */
static const char *
registered_domain(const struct origin *origin, const char *domain)
{
	const char *found = NULL;

	for (size_t i = 0; i < origin->account.domain_count; i++) {
		const char *item = origin->account.domains[i];

		if (pn_domain_within(domain, item) && (!found || strlen(item) > strlen(found)))
			found = item;
	}
	return found;
}

const char *
origin_domain(const struct origin *origin)
{
	const struct pn_account *account = &origin->account;
	char address[PN_ADDRESS_SIZE], canonical[PN_ADDRESS_SIZE];
	const char *own = NULL;

	if (origin->user) {
		own = registered_domain(origin, domain_of(origin->user));
		if (!own && account->domain_count > 0)
			own = account->domains[0];
		return own ? own : domain_of(origin->user);
	}
	if (g_snprintf(address, sizeof(address), "x@%s", pn_txn_helo(origin->txn)) <
		(int)sizeof(address) &&
	    pn_address_canonical(address, canonical) == 0)
		own = registered_domain(origin, domain_of(canonical));
	return own;
}

enum treatment
origin_treatment(const struct origin *origin, int given)
{
	if (given != AUTO)
		return (enum treatment)given;
	return origin->cfg->allowed == ANY ? AS_ALLOWED : MUST_MATCH;
}
