/* SPDX-License-Identifier: Apache-2.0 */
/* spelling.h - one spelling for each address of the directory (mail_address_compared()). */
#ifndef CORE_STORE_SPELLING_H
#define CORE_STORE_SPELLING_H

#include <core/store/db.h>

/* After the tables of users and records are there. Blocks; several processes may do it at once. */
int spelling_migrate(struct db *db, struct pn_error *err);

#endif
