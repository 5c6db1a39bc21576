/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_directory.c - what a hook may ask of the directory.
 *
 * Called by hooks, quick ones too: the roster of the call's generation answers. What it asks must
 * never look into the database.
 */
#include <core/base/clock.h>
#include <core/config/roster.h>
#include <core/policy/api_db.h>
#include <core/policy/call.h>
#include <core/store/records.h>
#include <errno.h>
#include <stdio.h>

static bool
give(const struct pn_account *account, struct pn_account *ret)
{
	*ret = account ? *account : (struct pn_account){ 0 };
	return account;
}

static void
find(const struct pn_txn *txn, struct config_scope *ret)
{
	config_scope_find(
	    generation_roster(txn->generation), &txn->facts, txn->envelope.original_sender, ret);
}

bool
pn_txn_account(const struct pn_txn *txn, struct pn_account *ret)
{
	struct config_scope scope;

	find(txn, &scope);
	return give(scope.counted, ret);
}

enum pn_account_by
pn_txn_account_by(const struct pn_txn *txn)
{
	struct config_scope scope;

	find(txn, &scope);
	return scope.by;
}

bool
pn_domain_account(const struct pn_call *call, const char *domain, struct pn_account *ret)
{
	return give(roster_domain_account(generation_roster(call->generation), domain), ret);
}

bool
pn_account_find(const struct pn_call *call, const char *name, struct pn_account *ret)
{
	return give(roster_account(generation_roster(call->generation), name), ret);
}

const void *
pn_settings_for(
    struct pn_call *call, const char *user, struct pn_account *ret_account, struct pn_error *err)
{
	struct config_scope scope;
	const char *fault;

	if (call->txn) {
		pn_error_set(err, -EINVAL, "hooks have the settings of their mail");
		return NULL;
	}
	config_scope_of(generation_roster(call->generation), user, &scope);
	if (ret_account)
		give(scope.counted, ret_account);
	effective_release(&call->asked);
	call->asked = effective_for(call->entry, &scope);
	fault = call->asked ? call->asked->fault : call->entry->fault;
	if (fault) {
		pn_error_set(err, -EINVAL, "%s", fault);
		return NULL;
	}
	return call->asked ? call->asked->settings.values : call->entry->settings.values;
}

enum pn_owns
pn_user_owns(const struct pn_call *call, const char *user, const char *address)
{
	return roster_owns(generation_roster(call->generation), user, address);
}

int
pn_user_confirm(struct pn_call *call, const char *user, const char *address, bool confirmed,
    struct pn_error *err)
{
	char who[MAIL_ADDRESS_SIZE], what[MAIL_ADDRESS_SIZE], when[24];
	const char *const columns[RECORD_COLUMNS] = { what, who, when };
	struct db *db;
	int r;

	if (mail_address_compared(user, who) < 0 || mail_address_compared(address, what) < 0 ||
	    !*mail_address_domain(who) || !*mail_address_domain(what))
		return pn_error_set(err, -EINVAL, "that is no mail address");
	snprintf(when, sizeof(when), "%lld", (long long)clock_wall_us());
	r = api_db_begin(call, &db, err);
	if (r < 0)
		return r;
	r = confirmed ? records_put(db, RECORD_CONFIRMED, columns, err)
		      : records_remove(db, RECORD_CONFIRMED, columns, err);
	return api_db_end(call, db, r, err);
}

bool
pn_user_known(const struct pn_call *call, const char *address)
{
	const struct roster_user *user = roster_user(generation_roster(call->generation), address);

	return user && user->enabled;
}

bool
pn_user_in_group(const struct pn_call *call, const char *user, const char *group)
{
	return roster_in_group(generation_roster(call->generation), user, group);
}
