/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.c - which parts of the core keep tables.
 *
 * Called by the relay and by posternctl when they open the database, before any module's tables.
 */
#include <core/store/audit.h>
#include <core/store/directory.h>
#include <core/store/keyvalue.h>
#include <core/store/outbox.h>
#include <core/store/overrides.h>
#include <core/store/snapshot.h>
#include <core/store/spelling.h>
#include <core/store/sts.h>
#include <core/store/tables.h>
#include <core/store/tls_counts.h>

int
tables_migrate(struct db *db, struct pn_error *err)
{
	int r = directory_migrate(db, err);

	if (r == 0)
		r = spelling_migrate(db, err);
	if (r == 0)
		r = snapshot_migrate(db, err);
	if (r == 0)
		r = keyvalue_migrate(db, err);
	if (r == 0)
		r = audit_migrate(db, err);
	if (r == 0)
		r = outbox_migrate(db, err);
	if (r == 0)
		r = sts_migrate(db, err);
	if (r == 0)
		r = tls_counts_migrate(db, err);
	return r < 0 ? r : overrides_migrate(db, err);
}
