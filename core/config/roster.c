/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster.c - asks the directory: whose mail it is, who is known, who may use which address.
 *
 * Called for every message, on event loops too: must never wait, read anything, or change a roster.
 */
#include <core/config/roster_inside.h>
#include <errno.h>
#include <stdlib.h>

/* ---- orders ---------------------------------------------------------------------------------- */

int
roster_compare_homes(const void *a, const void *b)
{
	return strcmp(
	    ((const struct roster_home *)a)->domain, ((const struct roster_home *)b)->domain);
}

int
roster_compare_accounts(const void *a, const void *b)
{
	return strcmp((*(const struct pn_account *const *)a)->name,
	    (*(const struct pn_account *const *)b)->name);
}

int
roster_compare_users(const void *a, const void *b)
{
	return strcmp((*(const struct roster_user *const *)a)->address,
	    (*(const struct roster_user *const *)b)->address);
}

int
roster_compare_ranges(const void *a, const void *b)
{
	const struct network *left = &((const struct roster_range *)a)->network;
	const struct network *right = &((const struct roster_range *)b)->network;

	if (left->bits != right->bits)
		return left->bits > right->bits ? -1 : 1;
	return memcmp(left->bytes, right->bytes, sizeof(left->bytes));
}

int
roster_compare_certificates(const void *a, const void *b)
{
	return strcmp(((const struct roster_certificate *)a)->fingerprint,
	    ((const struct roster_certificate *)b)->fingerprint);
}

int
roster_compare_members(const void *a, const void *b)
{
	return strcmp(
	    ((const struct roster_member *)a)->user, ((const struct roster_member *)b)->user);
}

int
roster_compare_owners(const void *a, const void *b)
{
	const struct roster_owner *left = a, *right = b;
	int order = strcmp(left->address, right->address);

	if (order == 0 && left->is_group != right->is_group)
		order = left->is_group ? 1 : -1;
	return order == 0 ? strcmp(left->who, right->who) : order;
}

int
roster_compare_relays(const void *a, const void *b)
{
	const struct roster_sender *left = a, *right = b;
	int order = strcmp(left->user, right->user);

	return order == 0 ? strcmp(left->address, right->address) : order;
}

int
roster_compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void *
search(const void *key, const void *items, size_t count, size_t size,
    int (*compare)(const void *a, const void *b))
{
	return count == 0 ? NULL : bsearch(key, items, count, size, compare);
}

/* ---- accounts -------------------------------------------------------------------------------- */

const struct pn_account *
roster_account(const struct roster *roster, const char *name)
{
	const struct pn_account wanted = { .name = name }, *key = &wanted, **found;

	if (!roster)
		return NULL;
	found = search(
	    &key, roster->accounts, roster->account_count, sizeof(*found), roster_compare_accounts);
	return found ? *found : NULL;
}

bool
roster_has_plans(const struct roster *roster)
{
	return roster && roster->lack_count > 0;
}

bool
roster_plan_lacks(const struct roster *roster, const struct pn_account *account, const char *entry)
{
	for (size_t i = 0; roster && account && account->plan && i < roster->lack_count; i++)
		if (strcmp(roster->lacks[i].plan, account->plan) == 0 &&
		    strcmp(roster->lacks[i].entry, entry) == 0)
			return true;
	return false;
}

/* `domain` is canonical. */
static const struct pn_account *
account_above(const struct roster *roster, const char *domain)
{
	const struct roster_home *found;

	if (!roster)
		return NULL;
	while (*domain) {
		struct roster_home key = { .domain = domain };

		found = search(
		    &key, roster->homes, roster->home_count, sizeof(key), roster_compare_homes);
		if (found)
			return found->account;
		domain += strcspn(domain, ".");
		domain += *domain == '.';
	}
	return NULL;
}

const struct pn_account *
roster_domain_account(const struct roster *roster, const char *domain)
{
	char canonical[MAIL_DOMAIN_MOST + 1];

	return mail_domain_canonical(domain, canonical) < 0 ? NULL
							    : account_above(roster, canonical);
}

/* Narrow ones first, so the first that fits is it; each width is searched by halves. */
const struct pn_account *
roster_network_account(const struct roster *roster, const struct address *address)
{
	size_t end;

	for (size_t i = 0; roster && i < roster->range_count; i = end) {
		struct roster_range key = { .network = { .bits = roster->ranges[i].network.bits } };
		const struct roster_range *found;

		for (end = i; end < roster->range_count &&
			      roster->ranges[end].network.bits == key.network.bits;)
			end++;
		if (!network_around(address, key.network.bits, &key.network))
			continue;
		found = search(
		    &key, &roster->ranges[i], end - i, sizeof(key), roster_compare_ranges);
		if (found)
			return found->account;
	}
	return NULL;
}

const struct pn_account *
roster_certificate_account(const struct roster *roster, const struct certificate *certificate)
{
	struct roster_certificate key = { 0 };
	const struct roster_certificate *found;

	if (!roster || !certificate || !certificate->fingerprint)
		return NULL;
	key.fingerprint = certificate->fingerprint;
	found = search(&key, roster->certificates, roster->certificate_count, sizeof(key),
	    roster_compare_certificates);
	return found ? found->account : NULL;
}

/* ---- users and groups ------------------------------------------------------------------------ */

/* `user` as compared. */
static const struct roster_user *
user_of(const struct roster *roster, const char *address)
{
	const struct roster_user wanted = { .address = address }, *key = &wanted, **found;

	if (!roster)
		return NULL;
	found = search(
	    &key, roster->users, roster->user_count, sizeof(*found), roster_compare_users);
	return found ? *found : NULL;
}

static const struct roster_member *
member_of(const struct roster *roster, const char *user)
{
	struct roster_member key = { .user = user };

	return roster ? search(&key, roster->members, roster->member_count, sizeof(key),
			    roster_compare_members)
		      : NULL;
}

const struct roster_user *
roster_user(const struct roster *roster, const char *address)
{
	char compared[MAIL_ADDRESS_SIZE];

	if (config_scope_address(address, compared) < 0 || !*compared)
		return NULL;
	return user_of(roster, compared);
}

bool
roster_has_group(const struct roster *roster, const char *name)
{
	return roster && search(&name, roster->groups, roster->group_count, sizeof(name),
			     roster_compare_names);
}

static bool
is_in(const struct roster_member *member, const char *group)
{
	for (size_t i = 0; member && i < member->count; i++)
		if (strcmp(member->groups[i], group) == 0)
			return true;
	return false;
}

static bool
is_disabled(const struct roster *roster, const char *compared)
{
	const struct roster_user *user = user_of(roster, compared);

	return user && !user->enabled;
}

bool
roster_in_group(const struct roster *roster, const char *user, const char *group)
{
	char compared[MAIL_ADDRESS_SIZE];

	return config_scope_address(user, compared) == 0 && *compared &&
	       !is_disabled(roster, compared) && is_in(member_of(roster, compared), group);
}

const char *
roster_member_at(const struct roster *roster, size_t index)
{
	return roster && index < roster->member_count ? roster->members[index].user : NULL;
}

/* The owners of an address stand together, its groups last. */
static enum pn_owns
owned_by_group(const struct roster *roster, const char *user, const char *address)
{
	const struct roster_member *member = member_of(roster, user);

	for (size_t i = 0; member && i < member->count; i++) {
		struct roster_owner key = { address, member->groups[i], true, PN_OWNS_NOT };
		const struct roster_owner *found = search(
		    &key, roster->owners, roster->owner_count, sizeof(key), roster_compare_owners);

		if (found)
			return found->owns;
	}
	return PN_OWNS_NOT;
}

enum pn_owns
roster_owns(const struct roster *roster, const char *user, const char *address)
{
	char who[MAIL_ADDRESS_SIZE], what[MAIL_ADDRESS_SIZE];
	struct roster_owner key = { what, who, false, PN_OWNS_NOT };
	const struct roster_owner *found;

	if (config_scope_address(user, who) < 0 || config_scope_address(address, what) < 0 ||
	    !*who || !*what || is_disabled(roster, who))
		return PN_OWNS_NOT;
	if (strcmp(who, what) == 0)
		return PN_OWNS_SELF;
	if (!roster)
		return PN_OWNS_NOT;
	found = search(
	    &key, roster->owners, roster->owner_count, sizeof(key), roster_compare_owners);
	return found ? found->owns : owned_by_group(roster, who, what);
}

/* ---- servers of users ------------------------------------------------------------------------ */

const struct roster_relay *
roster_relay(const struct roster *roster, const char *user, const char *address)
{
	char who[MAIL_ADDRESS_SIZE], what[MAIL_ADDRESS_SIZE];
	const struct roster_sender key = { .user = who, .address = what }, *found;

	if (!roster || config_scope_address(user, who) < 0 ||
	    config_scope_address(address, what) < 0)
		return NULL;
	found = search(
	    &key, roster->relays, roster->relay_count, sizeof(key), roster_compare_relays);
	return found ? &found->relay : NULL;
}

/* Who can write into the database must not be able to have it sent elsewhere, or less safely. */
int
roster_relay_about(const struct roster_relay *relay, struct buf *ret)
{
	return buf_printf(ret, "user relay\n%s\n%s\n%s\n%u\n%d\n", relay->user, relay->address,
	    relay->host, (unsigned)relay->port, relay->verify);
}

const struct roster_relay *
roster_relay_at(const struct roster *roster, size_t index)
{
	return roster && index < roster->relay_count ? &roster->relays[index].relay : NULL;
}

/* ---- all of them ----------------------------------------------------------------------------- */

const struct pn_account *
roster_account_at(const struct roster *roster, size_t index)
{
	return roster && index < roster->account_count ? roster->accounts[index] : NULL;
}

const struct roster_user *
roster_user_at(const struct roster *roster, size_t index)
{
	return roster && index < roster->user_count ? roster->users[index] : NULL;
}

const char *
roster_group_at(const struct roster *roster, size_t index)
{
	return roster && index < roster->group_count ? roster->groups[index] : NULL;
}

const char *
roster_alias_owner(const struct roster *roster, const char *address)
{
	char compared[MAIL_ADDRESS_SIZE];

	if (config_scope_address(address, compared) < 0)
		return NULL;
	for (size_t i = 0; roster && i < roster->owner_count; i++)
		if (roster->owners[i].owns == PN_OWNS_ALIAS &&
		    strcmp(roster->owners[i].address, compared) == 0)
			return roster->owners[i].who;
	return NULL;
}

void
roster_each_owner(const struct roster *roster,
    int (*each)(void *arg, const char *address, const char *who, bool is_group, enum pn_owns owns),
    void *arg)
{
	int r = 0;

	for (size_t i = 0; roster && i < roster->owner_count && r == 0; i++)
		r = each(arg, roster->owners[i].address, roster->owners[i].who,
		    roster->owners[i].is_group, roster->owners[i].owns);
}

/* ---- whose mail it is ------------------------------------------------------------------------ */

/* Of a user who logged in; `address` as compared. */
static const struct pn_account *
account_of_user(const struct roster *roster, const char *address)
{
	const struct roster_user *user = user_of(roster, address);

	if (user && user->account)
		return roster_account(roster, user->account);
	return account_above(roster, mail_address_domain(address));
}

const struct pn_account *
roster_user_account(const struct roster *roster, const char *address)
{
	char compared[MAIL_ADDRESS_SIZE];

	return config_scope_address(address, compared) < 0 ? NULL
							   : account_of_user(roster, compared);
}

size_t
roster_count_users(const struct roster *roster, const struct pn_account *account)
{
	size_t count = 0;

	for (size_t i = 0; roster && i < roster->user_count; i++)
		count += roster->users[i]->enabled &&
			 account_of_user(roster, roster->users[i]->address) == account;
	return count;
}

static const struct pn_account *
account_of_client(const struct roster *roster, const struct mail_facts *facts)
{
	struct address client;

	if (roster->range_count == 0 || !facts || !facts->client_address ||
	    address_parse(facts->client_address, 0, &client, NULL) < 0)
		return NULL;
	return roster_network_account(roster, &client);
}

static bool
may_find(const struct roster *roster, enum pn_account_by by)
{
	return roster->by & 1u << by;
}

/* By what a client says of itself without having logged in; `ret->user` is the sender. */
static void
count_stranger(
    const struct roster *roster, const struct mail_facts *facts, struct config_scope *ret)
{
	if (may_find(roster, PN_BY_CERTIFICATE) && facts) {
		ret->by = PN_BY_CERTIFICATE;
		ret->counted = roster_certificate_account(roster, facts->certificate);
	}
	if (!ret->counted && may_find(roster, PN_BY_NETWORK)) {
		ret->by = PN_BY_NETWORK;
		ret->counted = account_of_client(roster, facts);
	}
	if (!ret->counted && may_find(roster, PN_BY_HELO) && facts && facts->helo) {
		ret->by = PN_BY_HELO;
		ret->counted = roster_domain_account(roster, facts->helo);
	}
	if (!ret->counted && may_find(roster, PN_BY_SENDER)) {
		ret->by = PN_BY_SENDER;
		ret->counted = account_above(roster, ret->domain);
	}
}

static void
count_for(const struct roster *roster, const struct mail_facts *facts, struct config_scope *ret)
{
	bool has_user = facts && facts->user;

	if (has_user && may_find(roster, PN_BY_USER)) {
		ret->by = PN_BY_USER;
		ret->counted = account_of_user(roster, ret->user);
	} else if (!has_user) {
		count_stranger(roster, facts, ret);
	}
	if (!ret->counted)
		ret->by = PN_BY_NOTHING;
}

void
config_scope_find(const struct roster *roster, const struct mail_facts *facts, const char *sender,
    struct config_scope *ret)
{
	const char *address = facts && facts->user ? facts->user : sender;
	const struct roster_member *member;
	const struct pn_account *account;

	ret->account = NULL;
	ret->counted = NULL;
	ret->by = PN_BY_NOTHING;
	ret->group_count = 0;
	ret->groups = NULL;
	if (!address || config_scope_address(address, ret->user) < 0)
		ret->user[0] = '\0';
	ret->domain = mail_address_domain(ret->user);
	if (!roster)
		return;
	count_for(roster, facts, ret);
	account = ret->counted;
	if (!account)
		account = account_of_user(roster, ret->user);
	if (account)
		ret->account = account->name;
	member = *ret->user ? member_of(roster, ret->user) : NULL;
	if (member) {
		ret->group_count = member->count;
		ret->groups = member->groups;
	}
}

void
config_scope_of(const struct roster *roster, const char *address, struct config_scope *ret)
{
	const struct mail_facts facts = { .user = address };

	config_scope_find(roster, &facts, NULL, ret);
}
