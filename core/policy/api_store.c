/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_store.c - the key-value store as modules may use it.
 *
 * Called by hooks on policy threads, by `start`, and by commands; when is api_db.c's to say.
 */
#include <core/policy/api_db.h>
#include <core/store/keyvalue.h>

static struct keyvalue_owner
owner(const struct pn_call *call)
{
	return (struct keyvalue_owner){ call->entry->module->name, call->entry->config->id };
}

int
pn_store_get(struct pn_call *call, const char *key, struct pn_slice *ret, struct pn_error *err)
{
	struct keyvalue_owner mine = owner(call);
	struct db *db;
	int r = api_db_read(call, &db, err);

	return r < 0 ? r : keyvalue_get(db, &mine, key, &call->arena, ret, err);
}

int
pn_store_put(struct pn_call *call, const char *key, struct pn_slice value, int64_t keep_ms,
    struct pn_error *err)
{
	struct keyvalue_owner mine = owner(call);
	struct db *db;
	int r = api_db_begin(call, &db, err);

	return r < 0 ? r
		     : api_db_end(call, db, keyvalue_put(db, &mine, key, value, keep_ms, err), err);
}

int
pn_store_delete(struct pn_call *call, const char *key, struct pn_error *err)
{
	struct keyvalue_owner mine = owner(call);
	struct db *db;
	int r = api_db_begin(call, &db, err);

	return r < 0 ? r : api_db_end(call, db, keyvalue_delete(db, &mine, key, err), err);
}

int
pn_store_each(
    struct pn_call *call, const char *prefix, pn_store_fn *each, void *arg, struct pn_error *err)
{
	struct keyvalue_owner mine = owner(call);
	struct db *db;
	int r = api_db_read(call, &db, err);

	return r < 0 ? r : keyvalue_each(db, &mine, prefix, each, arg, err);
}
