/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.c - what the database has of the directory, laid over what the files have.
 *
 * Called when a generation is made. What is stored may be older than the files: nothing in it may
 * refuse a configuration or go unsaid.
 */
#include <core/config/scopes.h>
#include <core/policy/directory.h>
#include <core/store/records.h>
#include <stdlib.h>

struct loading {
	struct roster *roster;
	struct diags *diags;
};

static void
warn(const struct loading *loading, const char *what, const char *text, const char *owner,
    const char *other)
{
	diag_add(loading->diags, DIAG_WARNING, (struct config_mark){ SCOPES_STORED, 0, 0 },
	    "directory: %s \"%s\" is \"%s\"'s already, and not \"%s\"'s as the database has it",
	    what, text, owner, other);
}

static int
add_account(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;
	struct pn_account *account = roster_add_account(loading->roster, columns[0]);

	if (columns[1])
		account->licences = strtoll(columns[1], NULL, 10);
	if (columns[2])
		account->paid = *columns[2] == '1';
	if (columns[3])
		account->plan = roster_text(loading->roster, columns[3]);
	return 0;
}

static int
add_domain(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;
	const char *owner;

	if (!roster_add_domain(loading->roster, columns[1], columns[0], &owner))
		warn(loading, "domain", columns[0], owner, columns[1]);
	return 0;
}

static int
add_network(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;
	struct roster_network network = { .enabled = *columns[3] == '1' };
	const char *owner;

	if (network_parse(columns[0], &network.network, NULL) == 0 &&
	    !roster_add_network(loading->roster, columns[1], &network, &owner))
		warn(loading, "network", columns[0], owner, columns[1]);
	return 0;
}

static int
add_user(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;
	struct roster_user *user = roster_add_user(loading->roster, columns[0]);

	if (user)
		user->enabled = *columns[1] == '1';
	return 0;
}

static int
add_registered(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;
	struct roster_user *user = roster_add_user(loading->roster, columns[0]);

	if (user)
		user->account = roster_text(loading->roster, columns[1]);
	return 0;
}

static int
add_field(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;
	struct roster_user *user = roster_add_user(loading->roster, columns[0]);
	const char *value = roster_text(loading->roster, columns[2]);

	if (user && strcmp(columns[1], "name") == 0)
		user->name = value;
	else if (user && strcmp(columns[1], "title") == 0)
		user->title = value;
	else if (user && strcmp(columns[1], "phone") == 0)
		user->phone = value;
	return 0;
}

static int
add_group(void *arg, const char *const columns[RECORD_COLUMNS])
{
	roster_add_group(((const struct loading *)arg)->roster, columns[0]);
	return 0;
}

static int
add_member(void *arg, const char *const columns[RECORD_COLUMNS])
{
	roster_add_member(((const struct loading *)arg)->roster, columns[0], columns[1]);
	return 0;
}

static int
add_alias(void *arg, const char *const columns[RECORD_COLUMNS])
{
	roster_add_owner(
	    ((const struct loading *)arg)->roster, columns[0], columns[1], PN_OWNS_ALIAS);
	return 0;
}

static int
add_delegate(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;

	if (strcmp(columns[2], "group") == 0)
		roster_add_delegated_group(loading->roster, columns[0], columns[1]);
	else
		roster_add_owner(loading->roster, columns[0], columns[1], PN_OWNS_DELEGATED);
	return 0;
}

static int
add_confirmed(void *arg, const char *const columns[RECORD_COLUMNS])
{
	roster_add_owner(
	    ((const struct loading *)arg)->roster, columns[0], columns[1], PN_OWNS_CONFIRMED);
	return 0;
}

/* The version first: a change meanwhile is seen as a newer version the next time. */
static int
add_records(struct db *db, struct loading *loading, int64_t *ret_version, struct pn_error *err)
{
	static record_fn *const add[RECORD_KINDS] = { [RECORD_ACCOUNT] = add_account,
		[RECORD_DOMAIN] = add_domain,
		[RECORD_NETWORK] = add_network,
		[RECORD_REGISTERED] = add_registered,
		[RECORD_GROUP] = add_group,
		[RECORD_MEMBER] = add_member,
		[RECORD_ALIAS] = add_alias,
		[RECORD_DELEGATE] = add_delegate,
		[RECORD_CONFIRMED] = add_confirmed,
		[RECORD_USER] = add_user,
		[RECORD_FIELD] = add_field };
	int r = records_version(db, ret_version, err);

	for (int kind = 0; r == 0 && kind < RECORD_KINDS; kind++)
		r = records_each(db, (enum record_kind)kind, add[kind], loading, err);
	return r;
}

int
directory_load(struct db *db, const struct config_directory *directory, struct diags *diags,
    struct roster **ret, int64_t *ret_version)
{
	struct loading loading = { roster_new(), diags };
	struct pn_error err = { 0 };
	int r = 0;

	*ret_version = 0;
	roster_add_directory(loading.roster, directory);
	if (db)
		r = add_records(db, &loading, ret_version, &err);
	roster_settle(loading.roster, &directory->group_order, &directory->attribute_by);
	if (r < 0) {
		diag_add(diags, DIAG_ERROR, (struct config_mark){ SCOPES_STORED, 0, 0 },
		    "directory: %s", err.text);
		roster_release(&loading.roster);
		return r;
	}
	*ret = loading.roster;
	return 0;
}
