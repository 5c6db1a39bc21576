/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.h - who changed what, when, and what stood there before.
 *
 * Rows are added by whoever makes the change, in the same transaction; nothing changes or deletes
 * them. Blocks; any thread.
 */
#ifndef CORE_STORE_AUDIT_H
#define CORE_STORE_AUDIT_H

#include <core/store/db.h>

struct audit_row {
	int64_t number, at_us;      /* by audit_add() */
	const char *who;            /* "root", "ada (by root)" */
	const char *action;         /* "settings set" */
	const char *scope;          /* "user ada@clinic.example", "default" */
	const char *object;         /* "legal.text" */
	const char *before, *after; /* NULL: nothing */
};

int audit_migrate(struct db *db, struct pn_error *err);
int audit_add(struct db *db, const struct audit_row *row, struct pn_error *err);
/*
 * Around a change on this thread: both or neither. audit_end() takes the change's result, adds the
 * row and commits, or where `r` is negative undoes the change; it returns the result of all.
 */
int audit_begin(struct db *db, struct pn_error *err);
int audit_end(struct db *db, const struct audit_row *row, int r, struct pn_error *err);
/* The newest `most` rows, oldest first. What `each` gets is good until it returns. */
int audit_each(struct db *db, int64_t most, int (*each)(void *arg, const struct audit_row *row),
    void *arg, struct pn_error *err);

#endif
