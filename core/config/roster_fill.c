/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster_fill.c - makes a roster: what there is, from wherever it comes, and then its indexes.
 *
 * Called by one thread per roster. What comes later lies over what came before: a user who is in
 * YAML and in the database is one user.
 */
#include <core/config/roster_inside.h>
#include <errno.h>
#include <stdlib.h>

struct filling_network {
	struct network network;
	const char *account;
	bool enabled;
};

static guint
hash_network(gconstpointer key)
{
	const struct network *network = key;
	guint hash = network->bits;

	for (int i = 0; i < 16; i++)
		hash = hash * 31 + network->bytes[i];
	return hash;
}

static gboolean
same_network(gconstpointer a, gconstpointer b)
{
	const struct network *left = a, *right = b;

	return left->bits == right->bits &&
	       memcmp(left->bytes, right->bytes, sizeof(left->bytes)) == 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
free_filling(struct roster *roster)
{
	struct roster_filling *filling = roster->filling;

	roster->filling = NULL;
	if (!filling)
		return;
	g_hash_table_destroy(filling->accounts);
	g_hash_table_destroy(filling->users);
	g_hash_table_destroy(filling->domains);
	g_hash_table_destroy(filling->networks);
	g_hash_table_destroy(filling->certificates);
	g_hash_table_destroy(filling->groups);
	g_array_free(filling->owners, TRUE);
	g_array_free(filling->relays, TRUE);
	g_free(filling);
}

static void
free_users(gpointer users)
{
	g_ptr_array_free(users, TRUE);
}

struct roster *
roster_new(void)
{
	struct roster *roster = g_new0(struct roster, 1);
	struct roster_filling *filling = g_new0(struct roster_filling, 1);

	roster->references = 1;
	roster->filling = filling;
	filling->accounts = g_hash_table_new(g_str_hash, g_str_equal);
	filling->users = g_hash_table_new(g_str_hash, g_str_equal);
	filling->domains = g_hash_table_new(g_str_hash, g_str_equal);
	filling->networks = g_hash_table_new(hash_network, same_network);
	filling->certificates = g_hash_table_new(g_str_hash, g_str_equal);
	filling->groups = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_users);
	filling->owners = g_array_new(FALSE, FALSE, sizeof(struct roster_owner));
	filling->relays = g_array_new(FALSE, FALSE, sizeof(struct roster_sender));
	return roster;
}

struct roster *
roster_hold(const struct roster *roster)
{
	struct roster *held = (struct roster *)(uintptr_t)roster;

	if (held)
		__atomic_fetch_add(&held->references, 1, __ATOMIC_RELAXED);
	return held;
}

void
roster_release(struct roster **roster)
{
	struct roster *old = *roster;

	*roster = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	free_filling(old);
	arena_free(&old->arena);
	g_free(old);
}

const char *
roster_text(struct roster *roster, const char *text)
{
	return text ? arena_text_of(&roster->arena, pn_slice_of(text)) : NULL;
}

/* ---- accounts -------------------------------------------------------------------------------- */

struct pn_account *
roster_add_account(struct roster *roster, const char *name)
{
	struct pn_account *account = g_hash_table_lookup(roster->filling->accounts, name);

	if (account)
		return account;
	account = arena_alloc(&roster->arena, sizeof(*account));
	account->name = roster_text(roster, name);
	account->paid = true;
	g_hash_table_insert(roster->filling->accounts, (gpointer)(uintptr_t)account->name, account);
	return account;
}

bool
roster_add_domain(
    struct roster *roster, const char *account, const char *domain, const char **ret_owner)
{
	GHashTable *domains = roster->filling->domains;
	char canonical[MAIL_DOMAIN_MOST + 1];
	struct roster_home *home;

	if (mail_domain_canonical(domain, canonical) < 0)
		return true;
	home = g_hash_table_lookup(domains, canonical);
	if (home) {
		*ret_owner = home->account->name;
		return strcmp(home->account->name, account) == 0;
	}
	home = arena_alloc(&roster->arena, sizeof(*home));
	home->domain = roster_text(roster, canonical);
	home->account = roster_add_account(roster, account);
	g_hash_table_insert(domains, (gpointer)(uintptr_t)home->domain, home);
	return true;
}

bool
roster_add_network(struct roster *roster, const char *account, const struct roster_network *network,
    const char **ret_owner)
{
	GHashTable *networks = roster->filling->networks;
	struct filling_network *found = g_hash_table_lookup(networks, &network->network);

	if (!found) {
		found = arena_alloc(&roster->arena, sizeof(*found));
		found->network = network->network;
		found->account = roster_add_account(roster, account)->name;
		g_hash_table_insert(networks, &found->network, found);
	}
	*ret_owner = found->account;
	if (strcmp(found->account, account) != 0)
		return false;
	found->enabled = network->enabled;
	return true;
}

bool
roster_add_certificate(
    struct roster *roster, const char *account, const char *fingerprint, const char **ret_owner)
{
	GHashTable *certificates = roster->filling->certificates;
	struct roster_certificate *found;
	char canonical[CERTIFICATE_PRINT + 1];

	if (certificate_read_print(fingerprint, canonical) < 0)
		return true;
	found = g_hash_table_lookup(certificates, canonical);
	if (!found) {
		found = arena_alloc(&roster->arena, sizeof(*found));
		found->fingerprint = roster_text(roster, canonical);
		found->account = roster_add_account(roster, account);
		g_hash_table_insert(certificates, (gpointer)(uintptr_t)found->fingerprint, found);
	}
	*ret_owner = found->account->name;
	return strcmp(found->account->name, account) == 0;
}

/* ---- users and groups ------------------------------------------------------------------------ */

/* The text is kept once, however often the address comes. NULL: it is no address. */
static const char *
compared(struct roster *roster, const char *address)
{
	char text[MAIL_ADDRESS_SIZE];
	struct roster_user *user;

	if (config_scope_address(address, text) < 0 || !*text)
		return NULL;
	user = g_hash_table_lookup(roster->filling->users, text);
	return user ? user->address : roster_text(roster, text);
}

struct roster_user *
roster_add_user(struct roster *roster, const char *address)
{
	const char *text = compared(roster, address);
	struct roster_user *user;

	if (!text)
		return NULL;
	user = g_hash_table_lookup(roster->filling->users, text);
	if (user)
		return user;
	user = arena_alloc(&roster->arena, sizeof(*user));
	user->address = text;
	user->enabled = true;
	g_hash_table_insert(roster->filling->users, (gpointer)(uintptr_t)text, user);
	return user;
}

struct roster_user *
roster_find_user(struct roster *roster, const char *address)
{
	const char *text = compared(roster, address);

	return text ? g_hash_table_lookup(roster->filling->users, text) : NULL;
}

void
roster_add_owner(struct roster *roster, const char *address, const char *user, enum pn_owns owns)
{
	struct roster_owner owner = { compared(roster, address), compared(roster, user), false,
		owns };

	if (owner.address && owner.who)
		g_array_append_val(roster->filling->owners, owner);
}

void
roster_add_relay(struct roster *roster, const struct roster_relay *relay)
{
	struct roster_sender sender = { compared(roster, relay->user),
		compared(roster, relay->address), *relay };

	if (!sender.user || !sender.address)
		return;
	sender.relay.user = roster_text(roster, relay->user);
	sender.relay.address = roster_text(roster, relay->address);
	sender.relay.host = roster_text(roster, relay->host);
	sender.relay.sealed.data = arena_slice(&roster->arena, relay->sealed);
	g_array_append_val(roster->filling->relays, sender);
}

static GPtrArray *
group_of(struct roster *roster, const char *name, const char **ret_name)
{
	GHashTable *groups = roster->filling->groups;
	gpointer key, users;

	if (g_hash_table_lookup_extended(groups, name, &key, &users)) {
		*ret_name = key;
		return users;
	}
	*ret_name = roster_text(roster, name);
	users = g_ptr_array_new();
	g_hash_table_insert(groups, (gpointer)(uintptr_t)*ret_name, users);
	return users;
}

void
roster_add_group(struct roster *roster, const char *group)
{
	const char *name;

	group_of(roster, group, &name);
}

void
roster_add_member(struct roster *roster, const char *group, const char *user)
{
	const char *name, *address = compared(roster, user);
	GPtrArray *users = group_of(roster, group, &name);

	if (address)
		g_ptr_array_add(users, (gpointer)(uintptr_t)address);
}

void
roster_add_delegated_group(struct roster *roster, const char *address, const char *group)
{
	struct roster_owner owner = { compared(roster, address), NULL, true, PN_OWNS_DELEGATED };

	group_of(roster, group, &owner.who);
	if (owner.address)
		g_array_append_val(roster->filling->owners, owner);
}

/* ---- settling -------------------------------------------------------------------------------- */

/* The values of a table as an array of pointers. */
static void *
values_of(struct roster *roster, GHashTable *table, size_t *ret_count)
{
	void **values = arena_alloc(&roster->arena, g_hash_table_size(table) * sizeof(*values));
	GHashTableIter iter;
	gpointer value;

	*ret_count = 0;
	g_hash_table_iter_init(&iter, table);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		values[(*ret_count)++] = value;
	return values;
}

static void
sort(void *items, size_t count, size_t size, int (*compare)(const void *a, const void *b))
{
	if (count > 1)
		qsort(items, count, size, compare);
}

/* What each account has of the homes, in their order. */
static void
give_domains(struct roster *roster)
{
	GHashTable *lists = g_hash_table_new_full(NULL, NULL, NULL, free_users);
	GPtrArray *list;

	for (size_t i = 0; i < roster->home_count; i++) {
		gpointer account = (gpointer)(uintptr_t)roster->homes[i].account;

		list = g_hash_table_lookup(lists, account);
		if (!list)
			g_hash_table_insert(lists, account, list = g_ptr_array_new());
		g_ptr_array_add(list, (gpointer)(uintptr_t)roster->homes[i].domain);
	}
	for (size_t i = 0; i < roster->account_count; i++) {
		list = g_hash_table_lookup(lists, roster->accounts[i]);
		if (!list)
			continue;
		roster->accounts[i]->domain_count = list->len;
		roster->accounts[i]->domains = arena_copy(
		    &roster->arena, list->pdata, list->len * sizeof(*list->pdata));
	}
	g_hash_table_destroy(lists);
}

static void
settle_certificates(struct roster *roster)
{
	struct roster_certificate **all = values_of(
	    roster, roster->filling->certificates, &roster->certificate_count);

	roster->certificates = arena_alloc(
	    &roster->arena, roster->certificate_count * sizeof(*roster->certificates));
	for (size_t i = 0; i < roster->certificate_count; i++)
		roster->certificates[i] = *all[i];
	sort(roster->certificates, roster->certificate_count, sizeof(*roster->certificates),
	    roster_compare_certificates);
}

static void
settle_accounts(struct roster *roster)
{
	struct filling_network **networks;
	struct roster_home **homes;
	size_t count;

	roster->accounts = values_of(roster, roster->filling->accounts, &roster->account_count);
	sort(roster->accounts, roster->account_count, sizeof(*roster->accounts),
	    roster_compare_accounts);
	homes = values_of(roster, roster->filling->domains, &roster->home_count);
	roster->homes = arena_alloc(&roster->arena, roster->home_count * sizeof(*roster->homes));
	for (size_t i = 0; i < roster->home_count; i++)
		roster->homes[i] = *homes[i];
	sort(roster->homes, roster->home_count, sizeof(*roster->homes), roster_compare_homes);
	give_domains(roster);
	networks = values_of(roster, roster->filling->networks, &count);
	roster->ranges = arena_alloc(&roster->arena, count * sizeof(*roster->ranges));
	for (size_t i = 0; i < count; i++)
		if (networks[i]->enabled)
			roster->ranges[roster->range_count++] = (struct roster_range){
				networks[i]->network,
				roster_add_account(roster, networks[i]->account),
			};
	sort(roster->ranges, roster->range_count, sizeof(*roster->ranges), roster_compare_ranges);
}

/* Strongest first: those of `order`, then the others by name. */
static const char **
rank_groups(const struct roster *roster, const struct pn_strings *order, GHashTable *seen)
{
	const char **ranked = g_new0(const char *, roster->group_count + 1);
	size_t count = 0;

	for (size_t i = 0; i < order->count; i++)
		if (roster_has_group(roster, order->items[i]) &&
		    g_hash_table_add(seen, (gpointer)(uintptr_t)order->items[i]))
			ranked[count++] = order->items[i];
	for (size_t i = 0; i < roster->group_count; i++)
		if (!g_hash_table_contains(seen, roster->groups[i]))
			ranked[count++] = roster->groups[i];
	return ranked;
}

static void
join_group(GHashTable *found, struct arena *arena, const char *user, const char *group)
{
	struct roster_member *member = g_hash_table_lookup(found, user);
	const char **more;

	if (!member) {
		member = arena_alloc(arena, sizeof(*member));
		member->user = user;
		g_hash_table_insert(found, (gpointer)(uintptr_t)member->user, member);
	}
	if (member->count > 0 && strcmp(member->groups[member->count - 1], group) == 0)
		return;                                   /* named twice in one group */
	if ((member->count & (member->count - 1)) == 0) { /* full only at powers of two */
		more = arena_alloc(arena, (member->count ? 2 * member->count : 1) * sizeof(*more));
		if (member->count > 0)
			memcpy(more, member->groups, member->count * sizeof(*more));
		member->groups = more;
	}
	member->groups[member->count++] = group;
}

static void
settle_groups(struct roster *roster, const struct pn_strings *order)
{
	GHashTable *seen = g_hash_table_new(g_str_hash, g_str_equal);
	GHashTable *found = g_hash_table_new(g_str_hash, g_str_equal);
	struct roster_member **members;
	const char **ranked;
	GHashTableIter iter;
	gpointer name;

	roster->groups = arena_alloc(
	    &roster->arena, g_hash_table_size(roster->filling->groups) * sizeof(*roster->groups));
	g_hash_table_iter_init(&iter, roster->filling->groups);
	while (g_hash_table_iter_next(&iter, &name, NULL))
		roster->groups[roster->group_count++] = name;
	sort(roster->groups, roster->group_count, sizeof(*roster->groups), roster_compare_names);
	ranked = rank_groups(roster, order, seen);
	for (size_t i = 0; ranked[i]; i++) {
		const char *group;
		const GPtrArray *users = group_of(roster, ranked[i], &group);

		for (guint k = 0; k < users->len; k++)
			join_group(found, &roster->arena, users->pdata[k], group);
	}
	members = values_of(roster, found, &roster->member_count);
	roster->members = arena_alloc(
	    &roster->arena, roster->member_count * sizeof(*roster->members));
	for (size_t i = 0; i < roster->member_count; i++)
		roster->members[i] = *members[i];
	sort(roster->members, roster->member_count, sizeof(*roster->members),
	    roster_compare_members);
	g_free(ranked);
	g_hash_table_destroy(found);
	g_hash_table_destroy(seen);
}

/* Who owns an address twice does so in the stronger way. */
static void
settle_owners(struct roster *roster)
{
	const GArray *from = roster->filling->owners;
	size_t count = 0;

	roster->owners = arena_copy(
	    &roster->arena, from->data, from->len * sizeof(*roster->owners));
	sort(roster->owners, from->len, sizeof(*roster->owners), roster_compare_owners);
	for (guint i = 0; i < from->len; i++) {
		struct roster_owner *last = count > 0 ? &roster->owners[count - 1] : NULL;

		if (!last || roster_compare_owners(last, &roster->owners[i]) != 0)
			roster->owners[count++] = roster->owners[i];
		else if (roster->owners[i].owns < last->owns)
			last->owns = roster->owners[i].owns;
	}
	roster->owner_count = count;
}

static void
settle_relays(struct roster *roster)
{
	const GArray *from = roster->filling->relays;

	roster->relay_count = from->len;
	roster->relays = arena_copy(
	    &roster->arena, from->data, from->len * sizeof(*roster->relays));
	sort(roster->relays, from->len, sizeof(*roster->relays), roster_compare_relays);
}

static unsigned
read_ways(const struct pn_strings *by)
{
	static const char *const words[] = { [PN_BY_USER] = "user",
		[PN_BY_NETWORK] = "network",
		[PN_BY_HELO] = "helo",
		[PN_BY_SENDER] = "sender",
		[PN_BY_CERTIFICATE] = "certificate" };
	unsigned ways = 0;

	for (size_t i = 0; i < by->count; i++)
		for (unsigned way = PN_BY_USER; way <= PN_BY_CERTIFICATE; way++)
			if (strcmp(by->items[i], words[way]) == 0)
				ways |= 1u << way;
	return ways;
}

/* Whose the address is already; NULL: now it is the alias's. */
static const char *
earlier_owner(struct roster *roster, GHashTable *owners, const struct roster_owner *alias)
{
	const struct roster_user *user = g_hash_table_lookup(
	    roster->filling->users, alias->address);
	const char *owner = user && user->from ? user->address
					       : g_hash_table_lookup(owners, alias->address);

	if (!owner)
		g_hash_table_insert(
		    owners, (gpointer)(uintptr_t)alias->address, (gpointer)(uintptr_t)alias->who);
	return owner;
}

void
roster_one_owner(struct roster *roster,
    void (*each)(void *arg, const char *address, const char *owner, const char *other), void *arg)
{
	GHashTable *owners = g_hash_table_new(g_str_hash, g_str_equal);
	GArray *all = roster->filling->owners;
	guint kept = 0;

	for (guint i = 0; i < all->len; i++) {
		struct roster_owner *one = &g_array_index(all, struct roster_owner, i);
		const char *owner = one->owns == PN_OWNS_ALIAS ? earlier_owner(roster, owners, one)
							       : NULL;

		if (!owner)
			g_array_index(all, struct roster_owner, kept++) = *one;
		else if (strcmp(owner, one->who) != 0)
			each(arg, one->address, owner, one->who);
	}
	g_array_set_size(all, kept);
	g_hash_table_destroy(owners);
}

void
roster_settle(struct roster *roster, const struct pn_strings *order, const struct pn_strings *by)
{
	roster->by = read_ways(by);
	settle_accounts(roster);
	settle_certificates(roster);
	roster->users = values_of(roster, roster->filling->users, &roster->user_count);
	sort(roster->users, roster->user_count, sizeof(*roster->users), roster_compare_users);
	settle_groups(roster, order);
	settle_owners(roster);
	settle_relays(roster);
	free_filling(roster);
}

/* ---- licences -------------------------------------------------------------------------------- */

static size_t
add_to(GHashTable *counts, const struct pn_account *account, int more)
{
	gpointer key = (gpointer)(uintptr_t)account;
	int count = GPOINTER_TO_INT(g_hash_table_lookup(counts, key)) + more;

	g_hash_table_insert(counts, key, GINT_TO_POINTER(count));
	return (size_t)count;
}

/* The last one that came; NULL: it has a licence, or needs none. */
static const struct pn_account *
surplus_of(struct roster *roster, GHashTable *counts, struct roster_user *user)
{
	const struct pn_account *account = user ? roster_user_account(roster, user->address) : NULL;

	if (!account || !user->enabled || account->licences == 0 ||
	    add_to(counts, account, 0) <= (size_t)account->licences)
		return NULL;
	add_to(counts, account, -1);
	user->enabled = false;
	return account;
}

void
roster_limit(struct roster *roster, const char *const *addresses, size_t count,
    void (*each)(void *arg, const struct pn_account *account, size_t off, const char *address),
    void *arg)
{
	GHashTable *counts = g_hash_table_new(NULL, NULL), *off = g_hash_table_new(NULL, NULL);
	GHashTable *last = g_hash_table_new(NULL, NULL);
	const struct pn_account *account;

	for (size_t i = 0; i < roster->user_count; i++)
		if (roster->users[i]->enabled &&
		    (account = roster_user_account(roster, roster->users[i]->address)))
			add_to(counts, account, 1);
	for (size_t i = count; i-- > 0;) {
		struct roster_user *user = (struct roster_user *)(uintptr_t)roster_user(
		    roster, addresses[i]);

		account = surplus_of(roster, counts, user);
		if (!account)
			continue;
		add_to(off, account, 1);
		g_hash_table_insert(
		    last, (gpointer)(uintptr_t)account, (gpointer)(uintptr_t)user->address);
	}
	for (size_t i = 0; i < roster->account_count; i++)
		if (g_hash_table_contains(off, roster->accounts[i]))
			each(arg, roster->accounts[i], add_to(off, roster->accounts[i], 0),
			    g_hash_table_lookup(last, roster->accounts[i]));
	g_hash_table_destroy(counts);
	g_hash_table_destroy(off);
	g_hash_table_destroy(last);
}
