/* SPDX-License-Identifier: Apache-2.0 */
/* directory.h - the roster out of the files and the database together. Blocks; any thread. */
#ifndef CORE_POLICY_DIRECTORY_H
#define CORE_POLICY_DIRECTORY_H

#include <core/config/diag.h>
#include <core/config/roster.h>

struct db;

/*
 * `db` NULL: the files alone. The database lies over the files, but whose a domain, a network or an
 * address is stays as the files say where the two contradict each other, with a warning. 0, or
 * negative with an error in `diags`. `ret_version` is of the database's rows.
 */
int directory_load(struct db *db, const struct config_directory *directory, struct diags *diags,
    struct roster **ret, int64_t *ret_version);

#endif
