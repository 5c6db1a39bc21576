/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.h - what core/store knows of its engine, and nobody outside core/store does.
 *
 * Each thread gets a connection of its own, made at its first call and closed when the thread ends
 * or the database does. Everything here may block, up to the busy timeout where another writer has
 * the file.
 */
#ifndef CORE_STORE_SQLITE_H
#define CORE_STORE_SQLITE_H

#include <core/store/db.h>

/*
 * A transaction on this thread's connection; between begin and the end db_run and db_query are part
 * of it. Nothing nests. Begin takes the write lock at once, so that what was read stays true.
 */
int sqlite_begin(struct db *db, struct pn_error *err);
int sqlite_commit(struct db *db, struct pn_error *err);
void sqlite_rollback(struct db *db);
/* Commits where `r` is 0; what is not, or cannot be, is rolled back. The result of it all. */
int sqlite_end(struct db *db, int r, struct pn_error *err) PN_WARN_UNUSED;

/* Any number of statements without values, inside a transaction. */
int sqlite_script(struct db *db, const char *sql, struct pn_error *err);

#endif
