/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private.h - private keys of addresses and of domains, sealed in the database.
 *
 * A key is opened for one use and wiped behind it. Nothing here hands one out but for signing and,
 * where the administrator has named somebody for it, for recovery.
 */
#ifndef MODULES_PKI_PRIVATE_H
#define MODULES_PKI_PRIVATE_H

#include "identity.h"
#include "pki.h"

/* What is stored of one. Borrowed until the function returns. */
struct private_row {
	const char *name; /* an address, or a domain, in one spelling */
	const char *fingerprint;
	struct pn_slice certificates, sealed;
	int64_t not_after, added, exported; /* seconds since 1970; 0: never */
};
typedef int private_fn(void *arg, const struct private_row *row);

/* "ada@example.org" or "example.org" in the spelling of the table; -EINVAL. */
int private_name(
    struct pn_call *call, const char *text, char ret[PN_ADDRESS_SIZE], struct pn_error *err);
/* In the order of names; `name` NULL: all. What `each` returns other than 0 stops, and is returned.
 */
int private_each(
    struct pn_call *call, const char *name, private_fn *each, void *arg, struct pn_error *err);

/*
 * The key that signs for an address: its own, else its domain's. `*ret_name` says whose it is,
 * until the hook returns. -ENOENT: neither has one. identity_clear().
 */
int private_find(struct pn_call *call, const char *address, struct identity *ret,
    char ret_name[PN_ADDRESS_SIZE], struct pn_error *err);
/* -ENOENT: there is none of that name; -ENOKEY, -EBADMSG: it cannot be opened. */
int private_open(struct pn_call *call, const struct private_row *row, struct identity *ret,
    struct pn_error *err);

/* Seals and stores it, in place of one that is there. */
int private_put(struct pn_call *call, const char *name, const struct identity *identity,
    const char *fingerprint, int64_t not_after, struct pn_error *err);
/* -ENOENT */
int private_remove(struct pn_call *call, const char *name, struct pn_error *err);
/* Seals all under the first key; how many there were. */
int private_reseal(struct pn_call *call, size_t *ret, struct pn_error *err);
/* That it was handed out for recovery, in the audit log. */
int private_mark_exported(
    struct pn_call *call, const char *name, const char *to, struct pn_error *err);

/* private_command.c: posternctl pki private ... */
typedef int private_command_fn(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err);
private_command_fn private_run_import, private_run_list, private_run_remove, private_run_reseal,
    private_run_export;

#endif
