/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.h - whose mail it is, who is known, and who may use which address.
 *
 * Every question is answered from memory, out of the directory as the configuration, the database
 * and LDAP have it: one state of it for the whole call, renewed between transactions.  Asking
 * does not block, so a PN_QUICK hook may ask. What a user logs in with, and profile fields, are
 * db.h's.
 *
 * Addresses are compared without regard to case and to how letters with marks are written, domains
 * in any spelling. Users who are switched off are known to nobody: they own and are members of
 * nothing.
 *
 * Ownership: strings are borrowed and valid until the hook (or `start`, or the command) returns.
 * Threads: any that has the call or the transaction.
 */
#ifndef POSTERN_DIRECTORY_H
#define POSTERN_DIRECTORY_H

#include <postern/base.h>

struct pn_call;
struct pn_txn;

struct pn_account {
	const char *name;
	int64_t licences; /* users that are paid for; 0: none stated */
	bool paid;
	const char *plan; /* NULL: none */
	size_t domain_count;
	const char *const *domains; /* canonical: lower case, A-labels */
};

/* How an account was found. */
enum pn_account_by {
	PN_BY_NOTHING, /* it was not */
	PN_BY_USER,    /* the user who logged in is registered for it, or has an address in its
			  domains */
	PN_BY_NETWORK, /* the client's address is in one of its networks; the narrowest counts */
	PN_BY_HELO,    /* the name in HELO or EHLO is in its domains, where that is allowed */
	PN_BY_SENDER,  /* the return path is in its domains, where that is allowed */
	PN_BY_CERTIFICATE, /* since ABI 5: the client's certificate is one of its own */
};

/*
 * The account that the transaction's mail is counted for: the first of user, certificate,
 * network, HELO and sender that finds one, among those that `directory.attribute_by` allows. Where
 * a user has logged in, nothing but the user is looked at. Before MAIL there is no sender yet,
 * before HELO no name, before AUTH no user. False: nobody's, and `ret` is all zero.
 */
PN_PUBLIC bool pn_txn_account(const struct pn_txn *txn, struct pn_account *ret);
PN_PUBLIC enum pn_account_by pn_txn_account_by(const struct pn_txn *txn);

/*
 * Whose domain it is: exactly that name or a name below one of the account's. False: nobody's, or
 * no domain; `ret` is then all zero.
 */
PN_PUBLIC bool pn_domain_account(
    const struct pn_call *call, const char *domain, struct pn_account *ret);

/* By its name. */
PN_PUBLIC bool pn_account_find(
    const struct pn_call *call, const char *name, struct pn_account *ret);

/* What a user is to an address. */
enum pn_owns {
	PN_OWNS_NOT,
	PN_OWNS_SELF,      /* it is the user's own */
	PN_OWNS_ALIAS,     /* one more of the user's */
	PN_OWNS_DELEGATED, /* another's, who lets the user send with it */
	PN_OWNS_CONFIRMED, /* from elsewhere; its owner confirmed by a mailed code to be the user */
};
/* PN_OWNS_NOT also where either is no address. An address owns itself if it is no user's, too. */
PN_PUBLIC enum pn_owns pn_user_owns(
    const struct pn_call *call, const char *user, const char *address);

/*
 * Keeps, or no longer keeps, that the user has shown to be the owner of an address from elsewhere:
 * from the next transactions on, PN_OWNS_CONFIRMED. When, and what it answers: as pn_db_run(); it
 * blocks. -EINVAL: one of the two is no address; -ENOENT: nothing is kept that could be dropped.
 */
PN_PUBLIC int pn_user_confirm(struct pn_call *call, const char *user, const char *address,
    bool confirmed, struct pn_error *err);

/* A user who is registered and enabled, by the user's own address; aliases are not followed. */
PN_PUBLIC bool pn_user_known(const struct pn_call *call, const char *address);
/* A member need not be a registered user. False also where there is no such group. */
PN_PUBLIC bool pn_user_in_group(const struct pn_call *call, const char *user, const char *group);

#endif
