/* SPDX-License-Identifier: Apache-2.0 */
/* directory.h - who is known here: users. Blocks; any thread. */
#ifndef CORE_STORE_DIRECTORY_H
#define CORE_STORE_DIRECTORY_H

#include <core/store/db.h>

int directory_migrate(struct db *db, struct pn_error *err);

/* What the database has of somebody. */
struct directory_row {
	struct pn_user user;
	/* a user of its own; else files or server have to name the user, and it only switches off
	 */
	bool stated;
};
/* -ENOENT: nothing; `ret` has the address alone, where it is one. */
int directory_row_find(
    struct db *db, const char *address, struct directory_row *ret, struct pn_error *err);
/*
 * Makes the row that passwords and fields refer to, for a user whom files or server name; nothing
 * where there is one.
 */
int directory_user_keep(struct db *db, const char *address, struct pn_error *err);
/* -EEXIST, -EINVAL (not an address). */
int directory_user_add(struct db *db, const char *address, struct pn_error *err);
/* What was kept of one whom files or server have named; `ret`: there was such a row. */
int directory_user_forget(struct db *db, const char *address, bool *ret, struct pn_error *err);
int directory_user_remove(struct db *db, const char *address, struct pn_error *err);
/* -ENOENT */
int directory_user_enable(struct db *db, const char *address, bool enabled, struct pn_error *err);
/* -ENOENT also for a row that is no user; `ret` then has the address alone, where it is one. */
int directory_user_find(
    struct db *db, const char *address, struct pn_user *ret, struct pn_error *err);
int directory_users(struct db *db, int (*each)(void *arg, const struct pn_user *user), void *arg,
    struct pn_error *err);

/*
 * Profile: what else is known of a user, as UTF-8 text of one line. Field names, NULL-ended.
 */
extern const char *const directory_fields[];
#define DIRECTORY_FIELD_SIZE 256 /* of a value, with its NUL */
/* "" takes it away. -ENOENT: no such user; -EINVAL: no such field, or not one line of UTF-8. */
int directory_field_set(
    struct db *db, const char *address, const char *field, const char *value, struct pn_error *err);
/* "" where it is not set. -ENOENT, -EINVAL. */
int directory_field_get(struct db *db, const char *address, const char *field,
    char ret[DIRECTORY_FIELD_SIZE], struct pn_error *err);

#endif
