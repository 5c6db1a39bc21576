/* SPDX-License-Identifier: Apache-2.0 */
/* sender_restrictions.h - what the files of this module share: settings, who asks, whose is what.
 */
#ifndef MODULES_SENDER_RESTRICTIONS_SENDER_RESTRICTIONS_H
#define MODULES_SENDER_RESTRICTIONS_SENDER_RESTRICTIONS_H

#include <glib.h>
#include <postern/module.h>

enum allowed { REGISTERED_USERS, ACCOUNT_DOMAINS, ANY };
/* Of an address that is not the user's. The first is what follows from `allowed`. */
enum treatment { AUTO, MUST_MATCH, REWRITE, ADD_SENDER, AS_ALLOWED, ANYTHING };

struct sender_restrictions {
	int allowed, envelope, from_header;
	const char *text;
	struct pn_strings clients, clients_denied;
};

/* Who sends, as far as it is known. */
struct origin {
	struct pn_call *call;
	const struct pn_txn *txn;
	const struct sender_restrictions *cfg;
	const char *user; /* NULL: nobody has logged in */
	struct pn_account account;
	bool has_account;
};

/* ---- origin.c: who may use which address ----------------------------------------------------- */

struct origin origin_of(struct pn_call *call, const struct pn_txn *txn);
/* Somebody's: a user's or an account's. */
bool origin_is_known(const struct origin *origin);
/* In the account's domains; of a user without account, in the user's own. */
bool origin_has_domain_of(const struct origin *origin, const char *address);
bool origin_owns(const struct origin *origin, const char *address);
/* What `allowed` says of it. */
bool origin_allows(const struct origin *origin, const char *address);
/* The domain that AUTH or HELO stands for (S2-24); NULL: neither does. */
const char *origin_domain(const struct origin *origin);
enum treatment origin_treatment(const struct origin *origin, int given);

/* ---- fields.c: From and Sender --------------------------------------------------------------- */

struct pn_verdict fields_judge(const struct origin *origin);

#endif
