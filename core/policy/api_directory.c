/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_directory.c - what a hook may ask of the directory.
 *
 * Called by hooks, quick ones too: the roster of the call's generation answers. Must never look
 * into the database.
 */
#include <core/config/roster.h>
#include <core/policy/call.h>

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

enum pn_owns
pn_user_owns(const struct pn_call *call, const char *user, const char *address)
{
	return roster_owns(generation_roster(call->generation), user, address);
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
