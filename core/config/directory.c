/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.c - the table of the section `directory`, and what its names are.
 *
 * Read once per configuration. What the table cannot say is checked in directory_check.c.
 */
#include <core/config/directory.h>
#include <core/config/option.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NETWORK struct config_network
static const struct pn_option network_options[] = {
	PN_OPT_STRING("range", NETWORK, range, NULL, PN_REQUIRED,
	    "An address or a network, as in 192.0.2.7, 192.0.2.0/24 or \"2001:db8::/112\"; keep it "
	    "narrow."),
	PN_OPT_STRING("description", NETWORK, description, NULL, 0, "What sends from there."),
	PN_OPT_BOOL(
	    "enabled", NETWORK, enabled, "yes", 0, "Off, the line stays and counts for nothing."),
	PN_OPT_END
};

#define ACCOUNT struct config_account
static const struct pn_option account_options[] = {
	PN_OPT_INT("licences", ACCOUNT, licences, "0", 0, 100000000, 0,
	    "Users that are paid for: no more can be registered, and limits are counted by it; 0, "
	    "none is stated and there may be any number."),
	PN_OPT_BOOL("paid", ACCOUNT, paid, "yes", 0,
	    "Whether the account has paid; off, the limits of a trial hold."),
	PN_OPT_STRING("plan", ACCOUNT, plan, NULL, 0,
	    "The plan that the account is on, by its name: directory.plans says what it does not "
	    "include, and modules how much."),
	PN_OPT_STRINGS("domains", ACCOUNT, domains, NULL, 0,
	    "Domains whose mail is this account's, with all below them; a domain is one account's "
	    "only."),
	PN_OPT_LIST("networks", ACCOUNT, networks, NETWORK, network_options, 0,
	    "Where the account's own servers send from: who connects from there may send without "
	    "logging in, unless the listener requires it, and the mail is the account's. The "
	    "narrowest network around an address counts."),
	PN_OPT_STRINGS("certificates", ACCOUNT, certificates, NULL, 0,
	    "Certificates of the account's own servers, by SHA-256 fingerprint: who shows one, on "
	    "a listener whose client_ca vouches for it, may send without logging in, unless the "
	    "listener requires it, and the mail is the account's."),
	PN_OPT_END
};

#define USER struct config_user
static const struct pn_option user_options[] = {
	PN_OPT_STRING("account", USER, account, NULL, 0,
	    "The account whose user this is; left out, the one that has the address's domain."),
	PN_OPT_BOOL("enabled", USER, enabled, "yes", 0,
	    "Off, this is nobody's address and takes no licence."),
	PN_OPT_STRING("name", USER, name, NULL, 0, "Full name."),
	PN_OPT_STRING("title", USER, title, NULL, 0, "Title or position."),
	PN_OPT_STRING("phone", USER, phone, NULL, 0, "Telephone number."),
	PN_OPT_STRINGS("aliases", USER, aliases, NULL, 0,
	    "Further addresses of this user, who may send with them."),
	PN_OPT_STRINGS(
	    "delegates", USER, delegates, NULL, 0, "Users who may send with this user's address."),
	PN_OPT_END
};

static const struct pn_option group_options[] = {
	{ .help = "Addresses of the group's members.", .type = PN_TYPE_STRINGS }, PN_OPT_END
};

#define DELEGATION struct config_delegation
static const struct pn_option delegation_options[] = {
	PN_OPT_STRINGS("users", DELEGATION, users, NULL, 0, "Users who may send with the address."),
	PN_OPT_STRINGS("groups", DELEGATION, groups, NULL, 0,
	    "Groups whose members may send with the address."),
	PN_OPT_END
};

#define PLAN struct config_plan
static const struct pn_option plan_options[] = {
	PN_OPT_STRINGS("without", PLAN, without, NULL, 0,
	    "Entries of the pipeline, by id, that are no part of the plan: they do not run for "
	    "mail "
	    "of its accounts, and settings of their own for these accounts are refused."),
	PN_OPT_END
};

static const struct pn_choice ways[] = {
	{ "user", PN_BY_USER, "the user who logged in" },
	{ "certificate", PN_BY_CERTIFICATE, "the certificate that the client has shown" },
	{ "network", PN_BY_NETWORK, "the network that the client is in" },
	{ "helo", PN_BY_HELO, "the name that the client says in HELO or EHLO: anybody can" },
	{ "sender", PN_BY_SENDER, "the return path: anybody can" },
	{ NULL, 0, NULL },
};

#define DIRECTORY struct config_directory
const struct pn_option config_directory_options[] = {
	PN_OPT_MAP("accounts", DIRECTORY, accounts, ACCOUNT, account_options, 0,
	    "Accounts by names of your own; settings may be overridden for each."),
	PN_OPT_MAP("users", DIRECTORY, users, USER, user_options, 0,
	    "Users by their addresses, beside those that posternctl adds."),
	PN_OPT_MAP("groups", DIRECTORY, groups, struct pn_strings, group_options, 0,
	    "Groups of users by names of your own; settings may be overridden for each."),
	PN_OPT_MAP("plans", DIRECTORY, plans, PLAN, plan_options, 0,
	    "What accounts are not entitled to, by the name of their plan."),
	PN_OPT_STRINGS("group_order", DIRECTORY, group_order, NULL, 0,
	    "Whose overrides win for a user in several groups: the first named wins; groups that "
	    "are not named come after them, by name."),
	PN_OPT_MAP("delegations", DIRECTORY, delegations, DELEGATION, delegation_options, 0,
	    "Addresses that several people send with, such as info@example.com, and who they are."),
	PN_OPT_WORDS("attribute_by", DIRECTORY, attribute_by, "[user, certificate, network]", ways,
	    0,
	    "What may say whose mail it is, for counting: tried in the order user, certificate, "
	    "network, helo, sender, whatever the order here. It lets nobody send who may not "
	    "otherwise."),
	PN_OPT_INT("largest_network", DIRECTORY, largest_network, "65536", 1, INT64_C(1) << 32, 0,
	    "Addresses that a network of an account may hold."),
	PN_OPT_DURATION("address_code_age", DIRECTORY, address_code_age, "1d", 1000,
	    INT64_C(2592000000), 0,
	    "How long a code is good that confirms a further address: posternctl address add."),
	PN_OPT_GROUP("ldap", DIRECTORY, ldap, struct config_ldap, config_ldap_options, 0,
	    "A directory server that has users, and groups and accounts if wanted, beside files "
	    "and database. The relay reads all of them again and again and keeps what it read "
	    "last; no session waits for the server."),
	PN_OPT_END
};

int
config_scope_address(const char *address, char ret[MAIL_ADDRESS_SIZE])
{
	return mail_address_compared(address, ret);
}

/* ---- names ----------------------------------------------------------------------------------- */

static size_t
find_name(const struct pn_map *map, const char *name)
{
	size_t i = 0;

	while (i < map->count && strcmp(map->keys[i], name) != 0)
		i++;
	return i;
}

bool
config_directory_has_account(const struct config_directory *directory, const char *name)
{
	return find_name(&directory->accounts, name) < directory->accounts.count;
}

bool
config_directory_has_group(const struct config_directory *directory, const char *name)
{
	return find_name(&directory->groups, name) < directory->groups.count;
}

const char *const *
config_directory_names(const struct pn_map *map, struct arena *arena)
{
	const char **names = arena_alloc(arena, (map->count + 1) * sizeof(*names));

	for (size_t i = 0; i < map->count; i++)
		names[i] = map->keys[i];
	return names;
}

bool
config_directory_is_name(const char *name)
{
	return *name && strlen(name) <= 64 &&
	       !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789._-")];
}

int64_t
config_network_size(const struct network *network)
{
	return network->bits <= 128 - 63 ? INT64_MAX : INT64_C(1) << (128 - network->bits);
}
