/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster_files.c - what the configuration's files say of accounts, users, groups and delegations,
 * put into a roster.
 *
 * Called before anything of a directory server or the database is added. What is no address or no
 * network was complained of by the check, and is left out here.
 */
#include <core/config/roster_inside.h>

static void
add_account(struct roster *roster, const char *name, const struct config_account *config)
{
	const struct config_network *networks = config->networks.items;
	struct pn_account *account = roster_add_account(roster, name);
	struct roster_network network;
	const char *owner;

	account->licences = config->licences;
	account->paid = config->paid;
	account->plan = roster_text(roster, config->plan);
	for (size_t i = 0; i < config->domains.count; i++)
		roster_add_domain(roster, name, config->domains.items[i], &owner);
	for (size_t i = 0; i < config->certificates.count; i++)
		roster_add_certificate(roster, name, config->certificates.items[i], &owner);
	for (size_t i = 0; i < config->networks.count; i++) {
		network = (struct roster_network){ .enabled = networks[i].enabled };
		if (networks[i].range &&
		    network_parse(networks[i].range, &network.network, NULL) == 0)
			roster_add_network(roster, name, &network, &owner);
	}
}

static void
add_user(struct roster *roster, const char *address, const struct config_user *config)
{
	struct roster_user *user = roster_add_user(roster, address);

	if (!user)
		return;
	user->from |= ROSTER_FILES;
	user->account = roster_text(roster, config->account);
	user->enabled = config->enabled;
	user->name = roster_text(roster, config->name);
	user->title = roster_text(roster, config->title);
	user->phone = roster_text(roster, config->phone);
	for (size_t i = 0; i < config->aliases.count; i++)
		roster_add_owner(roster, config->aliases.items[i], address, PN_OWNS_ALIAS);
	for (size_t i = 0; i < config->delegates.count; i++)
		roster_add_owner(roster, address, config->delegates.items[i], PN_OWNS_DELEGATED);
}

static void
add_plans(struct roster *roster, const struct pn_map *plans)
{
	const struct config_plan *values = plans->values;
	size_t count = 0;

	for (size_t i = 0; i < plans->count; i++)
		count += values[i].without.count;
	roster->lacks = arena_alloc(&roster->arena, count * sizeof(*roster->lacks) + 1);
	for (size_t i = 0; i < plans->count; i++)
		for (size_t k = 0; k < values[i].without.count; k++)
			roster->lacks[roster->lack_count++] = (struct roster_lack){
				roster_text(roster, plans->keys[i]),
				roster_text(roster, values[i].without.items[k]),
			};
}

static void
add_delegation(struct roster *roster, const char *address, const struct config_delegation *config)
{
	for (size_t i = 0; i < config->users.count; i++)
		roster_add_owner(roster, address, config->users.items[i], PN_OWNS_DELEGATED);
	for (size_t i = 0; i < config->groups.count; i++)
		roster_add_delegated_group(roster, address, config->groups.items[i]);
}

void
roster_add_directory(struct roster *roster, const struct config_directory *directory)
{
	const struct config_account *accounts = directory->accounts.values;
	const struct config_user *users = directory->users.values;
	const struct pn_strings *groups = directory->groups.values;
	const struct config_delegation *delegations = directory->delegations.values;

	add_plans(roster, &directory->plans);
	for (size_t i = 0; i < directory->accounts.count; i++)
		add_account(roster, directory->accounts.keys[i], &accounts[i]);
	for (size_t i = 0; i < directory->users.count; i++)
		add_user(roster, directory->users.keys[i], &users[i]);
	for (size_t i = 0; i < directory->groups.count; i++) {
		roster_add_group(roster, directory->groups.keys[i]);
		for (size_t k = 0; k < groups[i].count; k++)
			roster_add_member(roster, directory->groups.keys[i], groups[i].items[k]);
	}
	for (size_t i = 0; i < directory->delegations.count; i++)
		add_delegation(roster, directory->delegations.keys[i], &delegations[i]);
}

struct roster *
roster_of_directory(const struct config_directory *directory)
{
	struct roster *roster = roster_new();

	roster_add_directory(roster, directory);
	roster_settle(roster, &directory->group_order, &directory->attribute_by);
	return roster;
}
