/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.h - a thin SQL layer: portable statements, values by position, rows by callback.
 *
 * Any thread; each thread gets a connection of its own. Everything here may block.
 */
#ifndef CORE_STORE_DB_H
#define CORE_STORE_DB_H

#include <postern/db.h>

struct db;

/* Opens or creates the file. `read_only` for the checker and for reports. */
int db_open(const char *path, bool read_only, struct db **ret, struct pn_error *err);
void db_close(struct db **db);
/* Brings the tables of one owner ("core" or a module's name) up to date, in a transaction each. */
int db_migrate(struct db *db, const char *owner, const struct pn_migration *rows, size_t row_size,
    struct pn_error *err);
/*
 * Copies the database as it is at one moment, whoever writes meanwhile, into the file `to`, which
 * is empty or new; it is synced. `progress` hears of pages.
 */
int db_copy(struct db *db, const char *to, void (*progress)(void *arg, int64_t done, int64_t of),
    void *arg, struct pn_error *err);
int db_run(struct db *db, struct pn_error *err, const char *sql, struct pn_values values);
int db_query(struct db *db, struct pn_error *err, const char *sql, struct pn_values values,
    pn_row_fn *each, void *arg);

#endif
