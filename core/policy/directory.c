/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.c - what the directory server and the database have of the directory, laid over what
 * the files have.
 *
 * Called when a generation is made. What is stored may be older than the files: nothing in it may
 * refuse a configuration or go unsaid.
 */
#include <core/config/scopes.h>
#include <core/policy/directory.h>
#include <core/policy/directory_ldap.h>
#include <core/store/records.h>
#include <core/store/snapshot.h>
#include <core/store/user_relays.h>
#include <stdlib.h>

struct loading {
	struct roster *roster;
	const struct config_directory *directory;
	struct diags *diags;
	enum roster_from from; /* whose rows are being added */
	GPtrArray *served; /* addresses of the server's users, in the order in which they came */
};

static void
warn(const struct loading *loading, const char *what, const char *text, const char *owner,
    const char *other)
{
	diag_add(loading->diags, DIAG_WARNING, (struct config_mark){ SCOPES_STORED, 0, 0 },
	    "directory: %s \"%s\" is \"%s\"'s already, and not \"%s\"'s as the %s has it", what,
	    text, owner, other, loading->from == ROSTER_SERVER ? "directory server" : "database");
}

/* What the files say stays; the database lies over both. */
static bool
is_files(const struct loading *loading, const struct roster_user *user)
{
	return loading->from == ROSTER_SERVER && user->from & ROSTER_FILES;
}

static int
add_account(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;
	struct pn_account *account = roster_add_account(loading->roster, columns[0]);

	if (loading->from == ROSTER_SERVER &&
	    config_directory_has_account(loading->directory, columns[0]))
		return 0;
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

/* The database may only hang something on a user whom files or server name (`stated` "0"). */
static struct roster_user *
of_row(const struct loading *loading, const char *address, const char *stated)
{
	struct roster_user *user = roster_find_user(loading->roster, address);

	return user || (stated && *stated == '0') ? user
						  : roster_add_user(loading->roster, address);
}

/* Of what hangs on a user. The server's rows come in any order. */
static struct roster_user *
owner_of_row(const struct loading *loading, const char *address)
{
	return of_row(loading, address, loading->from == ROSTER_SERVER ? "1" : "0");
}

/* Switched off by files or server is switched off, unless the database says otherwise. */
static int
add_user(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;
	struct roster_user *user = of_row(loading, columns[0], columns[2]);

	if (!user)
		return 0;
	if (!columns[2] || *columns[2] == '1')
		user->from |= loading->from;
	else if (*columns[1] == '1')
		return 0;
	if (columns[1] && (!is_files(loading, user) || user->enabled))
		user->enabled = *columns[1] == '1';
	if (loading->from == ROSTER_SERVER)
		g_ptr_array_add(loading->served, (gpointer)(uintptr_t)user->address);
	return 0;
}

static int
add_registered(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;
	struct roster_user *user = owner_of_row(loading, columns[0]);

	if (user && !(is_files(loading, user) && user->account))
		user->account = roster_text(loading->roster, columns[1]);
	return 0;
}

static int
add_field(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct loading *loading = arg;
	struct roster_user *user = owner_of_row(loading, columns[0]);
	const char **field = NULL;

	if (user && strcmp(columns[1], "name") == 0)
		field = &user->name;
	else if (user && strcmp(columns[1], "title") == 0)
		field = &user->title;
	else if (user && strcmp(columns[1], "phone") == 0)
		field = &user->phone;
	if (field && !(is_files(loading, user) && *field))
		*field = roster_text(loading->roster, columns[2]);
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

static int
add_served(void *arg, enum record_kind kind, const char *const columns[RECORD_COLUMNS])
{
	return add[kind] ? add[kind](arg, columns) : 0;
}

static int
add_relay(void *arg, const struct user_relay_row *row)
{
	const struct loading *loading = arg;
	const struct roster_relay relay = {
		.user = row->user,
		.address = row->address,
		.host = row->host,
		.port = (uint16_t)row->port,
		.implicit_tls = row->implicit_tls,
		.verify = row->verify,
		.sealed = row->sealed,
		.changed_us = row->changed_us,
	};

	roster_add_relay(loading->roster, &relay);
	return 0;
}

/* The version first: a change meanwhile is seen as a newer version the next time. */
static int
add_records(struct db *db, struct loading *loading, int64_t *ret_version, struct pn_error *err)
{
	int r = records_version(db, ret_version, err);

	loading->from = ROSTER_SERVER;
	if (r == 0 && loading->directory->ldap.server.uris.count > 0)
		r = snapshot_each(db, add_served, loading, err);
	loading->from = ROSTER_DATABASE;
	if (r == 0) /* first of all: others hang on them */
		r = records_each(db, RECORD_USER, add_user, loading, err);
	for (int kind = 0; r == 0 && kind < RECORD_KINDS; kind++)
		if (kind != RECORD_USER)
			r = records_each(db, (enum record_kind)kind, add[kind], loading, err);
	return r < 0 ? r : user_relays_each(db, add_relay, loading, err);
}

static void
warn_of_alias(void *arg, const char *address, const char *owner, const char *other)
{
	const struct loading *loading = arg;

	diag_add(loading->diags, DIAG_WARNING, (struct config_mark){ SCOPES_STORED, 0, 0 },
	    "directory: the address \"%s\" is \"%s\"'s already, and not an alias of \"%s\"",
	    address, owner, other);
}

static void
warn_of_licences(void *arg, const struct pn_account *account, size_t off, const char *address)
{
	const struct loading *loading = arg;

	diag_add(loading->diags, DIAG_WARNING, (struct config_mark){ SCOPES_STORED, 0, 0 },
	    "directory: all licences of the account \"%s\" are taken (%lld); of the directory "
	    "server's users %zu have none and are switched off, \"%s\" among them",
	    account->name, (long long)account->licences, off, address);
}

/* Those whom nobody else names: the others have been counted where they were added. */
static void
limit(struct loading *loading)
{
	guint count = 0;

	for (guint i = 0; i < loading->served->len; i++) {
		const struct roster_user *user = roster_user(
		    loading->roster, loading->served->pdata[i]);

		if (user && user->from == ROSTER_SERVER)
			loading->served->pdata[count++] = loading->served->pdata[i];
	}
	roster_limit(loading->roster, (const char *const *)loading->served->pdata, count,
	    warn_of_licences, loading);
}

int
directory_load(struct db *db, const struct config_directory *directory, struct diags *diags,
    struct roster **ret, int64_t *ret_version)
{
	struct loading loading = { roster_new(), directory, diags, ROSTER_FILES,
		g_ptr_array_new() };
	struct pn_error err = { 0 };
	int r = 0;

	*ret_version = 0;
	roster_add_directory(loading.roster, directory);
	if (db)
		r = add_records(db, &loading, ret_version, &err);
	roster_one_owner(loading.roster, warn_of_alias, &loading);
	roster_settle(loading.roster, &directory->group_order, &directory->attribute_by);
	limit(&loading);
	g_ptr_array_free(loading.served, TRUE);
	if (r < 0) {
		diag_add(diags, DIAG_ERROR, (struct config_mark){ SCOPES_STORED, 0, 0 },
		    "directory: %s", err.text);
		roster_release(&loading.roster);
		return r;
	}
	*ret = loading.roster;
	return 0;
}
