/* SPDX-License-Identifier: Apache-2.0 */
/* keyvalue.h - values by owner and key, with an optional end of their time. Blocks; any thread. */
#ifndef CORE_STORE_KEYVALUE_H
#define CORE_STORE_KEYVALUE_H

#include <core/base/arena.h>
#include <core/store/db.h>
#include <postern/store.h>

struct keyvalue_owner {
	const char *module, *entry;
};

int keyvalue_migrate(struct db *db, struct pn_error *err);
/* The value goes into the arena. Results as in postern/store.h. */
int keyvalue_get(struct db *db, const struct keyvalue_owner *owner, const char *key,
    struct arena *arena, struct pn_slice *ret, struct pn_error *err);
int keyvalue_put(struct db *db, const struct keyvalue_owner *owner, const char *key,
    struct pn_slice value, int64_t keep_ms, struct pn_error *err);
int keyvalue_delete(
    struct db *db, const struct keyvalue_owner *owner, const char *key, struct pn_error *err);
int keyvalue_each(struct db *db, const struct keyvalue_owner *owner, const char *prefix,
    pn_store_fn *each, void *arg, struct pn_error *err);

#endif
