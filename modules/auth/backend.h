/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend.h - where a name and a password are judged: one function per backend, one file each.
 *
 * login.c asks them in the order of the setting `backends`, on policy threads; they may block. None
 * of them may tell, by the work that it does, who is unknown from whose password is wrong, nor
 * answer "no" because what it asks does not answer.
 */
#ifndef MODULES_AUTH_BACKEND_H
#define MODULES_AUTH_BACKEND_H

#include "attempt.h"

struct backend_answer {
	struct cache_hit hit; /* where it says yes: who, and by what */
	const char *reason;   /* where it says no: for the log; static */
	bool put_off; /* no, but neither a wrong password: the right one would not be tried now */
};

/*
 * 1: yes; 0: no; negative errno, with the text in `err`: it cannot be asked. `ret` comes all zero.
 */
typedef int backend_fn(
    const struct attempt *attempt, struct backend_answer *ret, struct pn_error *err);

backend_fn backend_database, backend_ldap, backend_saslauthd, backend_dovecot;

/* The one spelling of a domain: lower case and A-labels. False: it is none. */
bool saslauthd_domain(const char *domain, char ret[PN_ADDRESS_SIZE]);

/* A user whom no table of ours knows: the name, to be made an address by login.c. */
int backend_yes(struct backend_answer *ret, struct pn_slice user);

#endif
