/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records.h - the directory's rows in the database beside users: accounts, domains, networks,
 * groups, addresses.
 *
 * All are texts, by position; addresses are canonical; what they mean is checked by whoever writes
 * them. Every change counts the version up, also those of users and profiles, so that a process can
 * tell cheaply whether its roster is still what there is. Blocks; any thread.
 */
#ifndef CORE_STORE_RECORDS_H
#define CORE_STORE_RECORDS_H

#include <core/store/db.h>

enum record_kind {
	RECORD_ACCOUNT,    /* name; licences, paid ("1", "0"), plan, each NULL: not said */
	RECORD_DOMAIN,     /* domain; account */
	RECORD_NETWORK,    /* range; account, description, enabled ("1", "0") */
	RECORD_REGISTERED, /* user; account: registered there whatever the address's domain */
	RECORD_GROUP,      /* name */
	RECORD_MEMBER,     /* group, user */
	RECORD_ALIAS,      /* address; user */
	RECORD_DELEGATE,   /* address, user or group, "user" or "group" */
	RECORD_CONFIRMED,  /* address, user: who has shown to be its owner; when, in us */
	/* address; enabled ("1", "0"), stated (likewise). Only read: directory.h changes it */
	RECORD_USER,
	RECORD_FIELD, /* user, field; value. Likewise */
	RECORD_KINDS
};
#define RECORD_COLUMNS 4

int records_migrate(struct db *db, struct pn_error *err);
int records_version(struct db *db, int64_t *ret, struct pn_error *err);
/* For whoever changes users: part of the change. */
int records_touch(struct db *db, struct pn_error *err);

/* Each row in the order of its key; what `each` gets is good until it returns. */
typedef int record_fn(void *arg, const char *const columns[RECORD_COLUMNS]);
int records_each(
    struct db *db, enum record_kind kind, record_fn *each, void *arg, struct pn_error *err);

/* Makes the row or replaces it. */
int records_put(struct db *db, enum record_kind kind, const char *const columns[RECORD_COLUMNS],
    struct pn_error *err);
/*
 * Takes the row of that key away, and what hangs on it: an account's domains and networks, a
 * group's members. -ENOENT: there is none.
 */
int records_remove(struct db *db, enum record_kind kind, const char *const columns[RECORD_COLUMNS],
    struct pn_error *err);

/* What hangs on a user who is removed, as part of it. `user` is as in the rows. */
int records_forget_user(struct db *db, const char *user, struct pn_error *err);

#endif
