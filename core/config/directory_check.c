/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory_check.c - what no table can say about the section `directory`.
 *
 * Called once per reading of a configuration. Must name both places where two contradict each
 * other.
 */
#include <core/config/directory.h>
#include <core/config/option.h>
#include <glib.h>
#include <stdio.h>

#define PATH_SIZE     700
#define WIDE_NETWORK  256 /* addresses; wider ones get a hint */
#define ADDRESS_RIGHT "\"%s\" is not an address; write for example ada@example.com"

/* Keys are in the form that is compared; whose they are is borrowed. */
struct directory_check {
	struct pn_check *check;
	const struct config_directory *directory;
	GHashTable *domains, *networks, *certificates; /* -> account */
	GHashTable *addresses; /* -> user as written; own ones, and aliases too */
};

static bool
is_address(const char *text)
{
	char address[MAIL_ADDRESS_SIZE];

	return mail_address_check(pn_slice_of(text), true, address) == 0 &&
	       *mail_address_domain(address) && config_scope_address(text, address) == 0;
}

static void
check_names(struct pn_check *check, const char *what, const struct pn_map *map)
{
	char path[PATH_SIZE];

	for (size_t i = 0; i < map->count; i++) {
		const char *name = map->keys[i];

		if (config_directory_is_name(name))
			continue;
		snprintf(path, sizeof(path), "%s.%s", what, name);
		pn_complain(check, path,
		    "\"%s\" is not a name; use up to 64 letters, digits, \".\", \"_\" and \"-\"",
		    name);
	}
}

/* Whose it is already; NULL: now `owner`'s. */
static const char *
claim(GHashTable *owners, const char *key, const char *owner)
{
	const char *other = g_hash_table_lookup(owners, key);

	if (!other)
		g_hash_table_insert(owners, g_strdup(key), (gpointer)(uintptr_t)owner);
	return other;
}

/* ---- accounts -------------------------------------------------------------------------------- */

static void
check_domain(struct directory_check *c, const char *path, const char *account, const char *domain)
{
	char canonical[MAIL_DOMAIN_MOST + 1];
	const char *owner;

	if (mail_domain_canonical(domain, canonical) < 0) {
		pn_complain(c->check, path, "\"%s\" is not a domain; write for example example.com",
		    domain);
		return;
	}
	owner = claim(c->domains, canonical, account);
	if (owner)
		pn_complain(c->check, path, "\"%s\" is a domain of the account \"%s\" already",
		    domain, owner);
}

static void
check_network(struct directory_check *c, const char *path, const char *account,
    const struct config_network *config)
{
	struct network network;
	struct pn_error err;
	const char *owner;
	char key[40];
	int64_t size;

	if (!config->range)
		return;
	if (network_parse(config->range, &network, &err) < 0) {
		pn_complain(c->check, path, "%s", err.text);
		return;
	}
	for (int i = 0; i < 16; i++)
		snprintf(key + 2 * i, 3, "%02x", network.bytes[i]);
	snprintf(key + 32, sizeof(key) - 32, "/%u", network.bits);
	owner = claim(c->networks, key, account);
	size = config_network_size(&network);
	if (owner)
		pn_complain(c->check, path,
		    "\"%s\" is a network of the account \"%s\" already; whose mail comes from it?",
		    config->range, owner);
	else if (size > c->directory->largest_network)
		pn_complain(c->check, path,
		    "\"%s\" holds more addresses than directory.largest_network allows, %lld; "
		    "name the hosts that send",
		    config->range, (long long)c->directory->largest_network);
	else if (size > WIDE_NETWORK && config->enabled)
		pn_warn(c->check, path,
		    "\"%s\" holds %lld addresses, and each of them may send for the account "
		    "\"%s\"; name only the hosts that do",
		    config->range, (long long)size, account);
}

static void
check_print(struct directory_check *c, const char *path, const char *account, const char *text)
{
	char print[CERTIFICATE_PRINT + 1];
	const char *owner;

	if (certificate_read_print(text, print) < 0) {
		pn_complain(c->check, path,
		    "\"%s\" is not the SHA-256 fingerprint of a certificate, 64 hexadecimal "
		    "digits; "
		    "openssl x509 -fingerprint -sha256 shows it",
		    text);
		return;
	}
	owner = claim(c->certificates, print, account);
	if (owner)
		pn_complain(c->check, path,
		    "that is a certificate of the account \"%s\" already; whose mail comes with "
		    "it?",
		    owner);
}

static void
check_accounts(struct directory_check *c)
{
	const struct pn_map *accounts = &c->directory->accounts;
	const struct config_account *values = accounts->values;
	char path[PATH_SIZE];

	for (size_t i = 0; i < accounts->count; i++) {
		const struct config_network *networks = values[i].networks.items;

		for (size_t k = 0; k < values[i].domains.count; k++) {
			snprintf(
			    path, sizeof(path), "accounts.%s.domains[%zu]", accounts->keys[i], k);
			check_domain(c, path, accounts->keys[i], values[i].domains.items[k]);
		}
		for (size_t k = 0; k < values[i].certificates.count; k++) {
			snprintf(path, sizeof(path), "accounts.%s.certificates[%zu]",
			    accounts->keys[i], k);
			check_print(c, path, accounts->keys[i], values[i].certificates.items[k]);
		}
		for (size_t k = 0; k < values[i].networks.count; k++) {
			snprintf(path, sizeof(path), "accounts.%s.networks[%zu].range",
			    accounts->keys[i], k);
			check_network(c, path, accounts->keys[i], &networks[k]);
		}
	}
}

/* ---- users ----------------------------------------------------------------------------------- */

static void
check_addresses(struct pn_check *check, const char *path, const struct pn_strings *addresses)
{
	char at[PATH_SIZE + 24];

	for (size_t i = 0; i < addresses->count; i++) {
		if (is_address(addresses->items[i]))
			continue;
		snprintf(at, sizeof(at), "%s[%zu]", path, i);
		pn_complain(check, at, ADDRESS_RIGHT, addresses->items[i]);
	}
}

/* An address that can be one user's only. */
static void
check_own(struct directory_check *c, const char *path, const char *user, const char *address)
{
	char compared[MAIL_ADDRESS_SIZE];
	const char *owner;

	if (!is_address(address) || config_scope_address(address, compared) < 0) {
		pn_complain(c->check, path, ADDRESS_RIGHT, address);
		return;
	}
	owner = claim(c->addresses, compared, user);
	if (owner == user && user != address)
		pn_complain(c->check, path,
		    "\"%s\" is the user's own address already, or named twice; leave it out",
		    address);
	else if (owner)
		pn_complain(
		    c->check, path, "\"%s\" is an address of \"%s\" already", address, owner);
}

static void
check_user(struct directory_check *c, const char *address, const struct config_user *user)
{
	const struct pn_map *accounts = &c->directory->accounts;
	struct arena *arena = &c->check->diags->arena;
	char path[PATH_SIZE];

	for (size_t i = 0; i < user->aliases.count; i++) {
		snprintf(path, sizeof(path), "users.%s.aliases[%zu]", address, i);
		check_own(c, path, address, user->aliases.items[i]);
	}
	snprintf(path, sizeof(path), "users.%s.delegates", address);
	check_addresses(c->check, path, &user->delegates);
	snprintf(path, sizeof(path), "users.%s.account", address);
	if (user->account && !config_directory_has_account(c->directory, user->account))
		pn_complain(c->check, path,
		    "no account is called \"%s\"; define it in directory.accounts%s", user->account,
		    option_near(arena, user->account, config_directory_names(accounts, arena)));
}

static void
check_users(struct directory_check *c)
{
	const struct pn_map *users = &c->directory->users;
	const struct config_user *values = users->values;
	char path[PATH_SIZE];

	/* Own addresses first: an alias that is another's own is the alias's mistake. */
	for (size_t i = 0; i < users->count; i++) {
		snprintf(path, sizeof(path), "users.%s", users->keys[i]);
		check_own(c, path, users->keys[i], users->keys[i]);
	}
	for (size_t i = 0; i < users->count; i++)
		check_user(c, users->keys[i], &values[i]);
}

/* The account that a user takes a licence of; NULL: none's. */
static const char *
account_of(const struct directory_check *c, const char *address, const struct config_user *user)
{
	char canonical[MAIL_ADDRESS_SIZE];
	const char *domain, *account = NULL;

	if (user->account || config_scope_address(address, canonical) < 0)
		return user->account;
	domain = mail_address_domain(canonical);
	while (*domain && !(account = g_hash_table_lookup(c->domains, domain))) {
		domain += strcspn(domain, ".");
		domain += *domain == '.';
	}
	return account;
}

static void
check_licences(struct directory_check *c)
{
	const struct pn_map *users = &c->directory->users, *accounts = &c->directory->accounts;
	const struct config_account *values = accounts->values;
	const struct config_user *user = users->values;
	GHashTable *counts = g_hash_table_new(g_str_hash, g_str_equal);
	char path[PATH_SIZE];

	for (size_t i = 0; i < users->count; i++) {
		const char *account = account_of(c, users->keys[i], &user[i]);
		size_t count = account ? GPOINTER_TO_SIZE(g_hash_table_lookup(counts, account)) : 0;

		if (account && user[i].enabled)
			g_hash_table_insert(
			    counts, (gpointer)(uintptr_t)account, GSIZE_TO_POINTER(count + 1));
	}
	for (size_t i = 0; i < accounts->count; i++) {
		size_t count = GPOINTER_TO_SIZE(g_hash_table_lookup(counts, accounts->keys[i]));

		snprintf(path, sizeof(path), "accounts.%s.licences", accounts->keys[i]);
		if (values[i].licences > 0 && count > (size_t)values[i].licences)
			pn_complain(c->check, path,
			    "%lld licences, and directory.users has %zu users of the account",
			    (long long)values[i].licences, count);
	}
	g_hash_table_destroy(counts);
}

/* ---- groups and delegations ------------------------------------------------------------------ */

static void
check_groups(struct pn_check *check, const struct pn_map *groups)
{
	const struct pn_strings *values = groups->values;
	char path[PATH_SIZE];

	for (size_t i = 0; i < groups->count; i++) {
		snprintf(path, sizeof(path), "groups.%s", groups->keys[i]);
		check_addresses(check, path, &values[i]);
	}
}

static void
check_group_name(struct pn_check *check, const struct config_directory *directory, const char *path,
    size_t i, const char *name)
{
	struct arena *arena = &check->diags->arena;
	char at[PATH_SIZE + 24];

	snprintf(at, sizeof(at), "%s[%zu]", path, i);
	if (!config_directory_has_group(directory, name))
		pn_complain(check, at, "no group is called \"%s\"; define it in directory.groups%s",
		    name,
		    option_near(arena, name, config_directory_names(&directory->groups, arena)));
}

static void
check_order(struct pn_check *check, const struct config_directory *directory)
{
	const struct pn_strings *order = &directory->group_order;
	char path[PATH_SIZE];

	for (size_t i = 0; i < order->count; i++) {
		size_t first = 0;

		while (strcmp(order->items[first], order->items[i]) != 0)
			first++;
		snprintf(path, sizeof(path), "group_order[%zu]", i);
		if (first == i)
			check_group_name(check, directory, "group_order", i, order->items[i]);
		else if (config_directory_has_group(directory, order->items[i]))
			pn_complain(check, path, "\"%s\" stands in it twice", order->items[i]);
	}
}

static void
check_delegations(struct pn_check *check, const struct config_directory *directory)
{
	const struct pn_map *map = &directory->delegations;
	const struct config_delegation *values = map->values;
	char path[PATH_SIZE];

	for (size_t i = 0; i < map->count; i++) {
		snprintf(path, sizeof(path), "delegations.%s", map->keys[i]);
		if (!is_address(map->keys[i]))
			pn_complain(check, path, ADDRESS_RIGHT, map->keys[i]);
		snprintf(path, sizeof(path), "delegations.%s.users", map->keys[i]);
		check_addresses(check, path, &values[i].users);
		snprintf(path, sizeof(path), "delegations.%s.groups", map->keys[i]);
		for (size_t k = 0; k < values[i].groups.count; k++)
			check_group_name(check, directory, path, k, values[i].groups.items[k]);
	}
}

/* Anybody can say such a thing: counted for an account, it uses up what the account may send. */
static void
warn_of_claims(struct pn_check *check, const struct config_directory *directory)
{
	const struct pn_strings *by = &directory->attribute_by;
	char path[PATH_SIZE];

	for (size_t i = 0; i < by->count; i++) {
		snprintf(path, sizeof(path), "attribute_by[%zu]", i);
		if (strcmp(by->items[i], "sender") == 0)
			pn_warn(check, path,
			    "whoever may send can have mail counted for any account by its return "
			    "path");
	}
}

void
config_directory_check(struct pn_check *check, const struct config_directory *directory)
{
	struct directory_check c = { check, directory,
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) };

	check_names(check, "accounts", &directory->accounts);
	check_names(check, "groups", &directory->groups);
	check_accounts(&c);
	check_users(&c);
	check_licences(&c);
	check_groups(check, &directory->groups);
	check_order(check, directory);
	check_delegations(check, directory);
	warn_of_claims(check, directory);
	config_ldap_check(check, &directory->ldap);
	g_hash_table_destroy(c.domains);
	g_hash_table_destroy(c.networks);
	g_hash_table_destroy(c.certificates);
	g_hash_table_destroy(c.addresses);
}
