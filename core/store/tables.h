/* SPDX-License-Identifier: Apache-2.0 */
/* tables.h - all tables of the core: made or brought up to date before anything uses them. */
#ifndef CORE_STORE_TABLES_H
#define CORE_STORE_TABLES_H

#include <core/store/db.h>

/* Blocks. Several processes may do it at once. */
int tables_migrate(struct db *db, struct pn_error *err);

#endif
