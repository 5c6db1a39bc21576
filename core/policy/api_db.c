/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_db.c - the database and the directory as modules may use them.
 *
 * Called by hooks on policy threads, by `start`, and by commands. Must never let a hook write
 * before its message is durable, nor block an event loop.
 */
#include <core/policy/api_db.h>
#include <core/store/audit.h>
#include <core/store/directory.h>
#include <errno.h>
#include <stdio.h>

int
api_db_read(const struct pn_call *call, struct db **ret, struct pn_error *err)
{
	if (!call->may_block)
		return pn_error_set(err, -EWOULDBLOCK, "the database is not for a quick hook");
	*ret = generation_db(call->generation);
	return *ret ? 0 : pn_error_set(err, -ENODEV, "no database is open here");
}

/* Before the message is durable nothing outside it changes. */
#define WRITING \
	(CALL_AT(PN_STAGE_COMMITTED) | CALL_AT(PN_STAGE_ABORTED) | CALL_AT(PN_STAGE_OUTCOME) | \
	    CALL_AT(PN_STAGE_TICK) | CALL_AT(PN_STAGE_FLUSH))

int
api_db_write(const struct pn_call *call, struct db **ret, struct pn_error *err)
{
	int r = api_db_read(call, ret, err);

	if (r < 0)
		return r;
	if (generation_is_trial(call->generation))
		return pn_error_set(err, -EROFS, "the database is not changed in a trial");
	if (call->txn && !(WRITING & CALL_AT(call->stage)))
		return pn_error_set(
		    err, -EROFS, "the database may be changed once the message is committed");
	if (call_overdue(call))
		return pn_error_set(err, -ECANCELED, "the time of this call is up");
	return 0;
}

int
api_db_begin(const struct pn_call *call, struct db **ret, struct pn_error *err)
{
	int r = api_db_write(call, ret, err);

	return r == 0 && call->audit ? audit_begin(*ret, err) : r;
}

int
api_db_end(struct pn_call *call, struct db *db, int r, struct pn_error *err)
{
	if (!call->audit)
		return r;
	r = audit_end(db, call->audit, r, err);
	if (r == 0)
		call->audit = NULL;
	return r;
}

int
pn_db_run(struct pn_call *call, struct pn_error *err, const char *sql, struct pn_values values)
{
	struct db *db;
	int r = api_db_begin(call, &db, err);

	return r < 0 ? r : api_db_end(call, db, db_run(db, err, sql, values), err);
}

void
pn_audit(struct pn_call *call, const char *user, const char *object, const char *before,
    const char *after)
{
	struct audit_row *row = call->audited;

	if (!row)
		return;
	call->audit = row;
	row->scope = user ? arena_printf(&call->arena, "user %s", user) : "default";
	row->object = arena_text(&call->arena, object);
	row->before = arena_text(&call->arena, before);
	row->after = arena_text(&call->arena, after);
}

int
pn_db_query(struct pn_call *call, struct pn_error *err, const char *sql, struct pn_values values,
    pn_row_fn *each, void *arg)
{
	struct db *db;
	int r = api_db_read(call, &db, err);

	return r < 0 ? r : db_query(db, err, sql, values, each, arg);
}

int
pn_user_find(struct pn_call *call, const char *address, struct pn_user *ret, struct pn_error *err)
{
	const struct roster_user *user;
	struct directory_row row;
	struct db *db;
	int found, r = api_db_read(call, &db, err);

	if (r < 0)
		return r;
	found = directory_row_find(db, address, &row, err);
	*ret = row.user;
	if ((found == 0 && row.stated) || (found < 0 && found != -ENOENT))
		return found;
	user = roster_user(generation_roster(call->generation), address);
	ret->enabled = user && user->enabled && (found < 0 || row.user.enabled);
	return user && user->from & (ROSTER_FILES | ROSTER_SERVER)
		   ? 0
		   : pn_error_set(err, -ENOENT, "there is no user \"%.320s\"", address);
}

int
pn_user_keep(struct pn_call *call, const char *address, struct pn_error *err)
{
	struct pn_user user;
	struct db *db;
	int r = pn_user_find(call, address, &user, err);

	if (r == 0)
		r = api_db_write(call, &db, err);
	return r < 0 ? r : directory_user_keep(db, user.address, err);
}

/* What the database does not say, files may. */
static int
field_of_files(const struct pn_call *call, const char *address, const char *field,
    char ret[PN_USER_FIELD_SIZE], int r)
{
	const struct roster_user *user = roster_user(generation_roster(call->generation), address);
	const char *value = NULL;

	if (!user)
		return r;
	if (strcmp(field, "name") == 0)
		value = user->name;
	else if (strcmp(field, "title") == 0)
		value = user->title;
	else if (strcmp(field, "phone") == 0)
		value = user->phone;
	snprintf(ret, PN_USER_FIELD_SIZE, "%s", value ? value : "");
	return 0;
}

int
pn_user_field(struct pn_call *call, const char *address, const char *field,
    char ret[PN_USER_FIELD_SIZE], struct pn_error *err)
{
	struct db *db;
	int r = api_db_read(call, &db, err);

	_Static_assert(PN_USER_FIELD_SIZE == DIRECTORY_FIELD_SIZE, "one size for a field");
	if (r < 0)
		return r;
	r = directory_field_get(db, address, field, ret, err);
	return (r == 0 && !*ret) || r == -ENOENT ? field_of_files(call, address, field, ret, r) : r;
}
