/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.c - the section `directory`, and the index that finds a sender's account and groups.
 *
 * Read once per configuration; asked per message, from any thread, and but for local parts that are
 * not ASCII without allocating.
 */
#include <core/base/text.h>
#include <core/config/directory.h>
#include <core/config/option.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_SIZE 400

static const struct pn_option account_options[] = {
	PN_OPT_STRINGS("domains", struct config_account, domains, NULL, 0,
	    "Domains whose mail is this account's; a domain is one account's only."),
	PN_OPT_END
};

static const struct pn_option group_options[] = {
	{ .help = "Addresses of the group's members.", .type = PN_TYPE_STRINGS }, PN_OPT_END
};

#define DIRECTORY struct config_directory
const struct pn_option config_directory_options[] = {
	PN_OPT_MAP("accounts", DIRECTORY, accounts, struct config_account, account_options, 0,
	    "Accounts by names of your own; settings may be overridden for each."),
	PN_OPT_MAP("groups", DIRECTORY, groups, struct pn_strings, group_options, 0,
	    "Groups of users by names of your own; settings may be overridden for each."),
	PN_OPT_STRINGS("group_order", DIRECTORY, group_order, NULL, 0,
	    "Whose overrides win for a user in several groups: the first named wins; groups that "
	    "are not named come after them, by name."),
	PN_OPT_END
};

/* GLib 2.74 makes small letters of Cherokee's capitals and capitals of its small ones. */
static void
fold_letter(GString *to, const char *letter, gssize len)
{
	char *once = g_utf8_casefold(letter, len), *twice = g_utf8_casefold(once, -1);

	g_string_append(to, strcmp(once, twice) > 0 ? twice : once);
	g_free(once);
	g_free(twice);
}

/*
 * Canonical caseless matching (Unicode section 3.13, D145), written composed. What is no address
 * any more when it is folded (U+1FEF becomes an accent of ASCII's) stays as it was.
 */
static void
fold(char address[MAIL_ADDRESS_SIZE])
{
	char *plain = g_utf8_normalize(address, -1, G_NORMALIZE_NFD);
	GString *folded = g_string_new(NULL);
	char *composed;
	char checked[MAIL_ADDRESS_SIZE];

	for (const char *c = plain; *c; c += g_utf8_skip[(unsigned char)*c])
		fold_letter(folded, c, g_utf8_skip[(unsigned char)*c]);
	composed = g_utf8_normalize(folded->str, -1, G_NORMALIZE_NFC);
	if (mail_address_canonical(composed, checked) == 0)
		strcpy(address, checked);
	g_free(plain);
	g_string_free(folded, TRUE);
	g_free(composed);
}

int
config_scope_address(const char *address, char ret[MAIL_ADDRESS_SIZE])
{
	int r = mail_address_canonical(address, ret);

	if (r < 0)
		return r;
	text_lower(ret, strlen(ret));
	if (mail_address_is_utf8(ret))
		fold(ret);
	return 0;
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

/* ---- checking -------------------------------------------------------------------------------- */

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

		if (*name && strlen(name) <= 64 &&
		    !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789._-")])
			continue;
		snprintf(path, sizeof(path), "%s.%s", what, name);
		pn_complain(check, path,
		    "\"%s\" is not a name; use up to 64 letters, digits, \".\", \"_\" and \"-\"",
		    name);
	}
}

static void
check_domain(struct pn_check *check, const char *path, const char *account, const char *domain,
    GHashTable *owners)
{
	char canonical[MAIL_DOMAIN_MOST + 1];
	const char *owner;

	if (mail_domain_canonical(domain, canonical) < 0) {
		pn_complain(
		    check, path, "\"%s\" is not a domain; write for example example.com", domain);
		return;
	}
	owner = g_hash_table_lookup(owners, canonical);
	if (owner)
		pn_complain(
		    check, path, "\"%s\" is a domain of the account \"%s\" already", domain, owner);
	else
		g_hash_table_insert(owners, g_strdup(canonical), (gpointer)(uintptr_t)account);
}

static void
check_accounts(struct pn_check *check, const struct pn_map *accounts)
{
	GHashTable *owners = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	const struct config_account *values = accounts->values;
	char path[PATH_SIZE];

	for (size_t i = 0; i < accounts->count; i++) {
		for (size_t k = 0; k < values[i].domains.count; k++) {
			snprintf(
			    path, sizeof(path), "accounts.%s.domains[%zu]", accounts->keys[i], k);
			check_domain(
			    check, path, accounts->keys[i], values[i].domains.items[k], owners);
		}
	}
	g_hash_table_destroy(owners);
}

static void
check_groups(struct pn_check *check, const struct pn_map *groups)
{
	const struct pn_strings *values = groups->values;
	char path[PATH_SIZE];

	for (size_t i = 0; i < groups->count; i++) {
		for (size_t k = 0; k < values[i].count; k++) {
			if (is_address(values[i].items[k]))
				continue;
			snprintf(path, sizeof(path), "groups.%s[%zu]", groups->keys[i], k);
			pn_complain(check, path,
			    "\"%s\" is not an address; write for example ada@example.com",
			    values[i].items[k]);
		}
	}
}

static void
check_order(struct pn_check *check, const struct config_directory *directory)
{
	const struct pn_strings *order = &directory->group_order;
	struct arena *arena = &check->diags->arena;
	char path[PATH_SIZE];

	for (size_t i = 0; i < order->count; i++) {
		size_t first = 0;

		while (strcmp(order->items[first], order->items[i]) != 0)
			first++;
		snprintf(path, sizeof(path), "group_order[%zu]", i);
		if (!config_directory_has_group(directory, order->items[i]))
			pn_complain(check, path,
			    "no group is called \"%s\"; define it in "
			    "directory.groups%s",
			    order->items[i],
			    option_near(arena, order->items[i],
				config_directory_names(&directory->groups, arena)));
		else if (first < i)
			pn_complain(check, path, "\"%s\" stands in it twice", order->items[i]);
	}
}

void
config_directory_check(struct pn_check *check, const struct config_directory *directory)
{
	check_names(check, "accounts", &directory->accounts);
	check_names(check, "groups", &directory->groups);
	check_accounts(check, &directory->accounts);
	check_groups(check, &directory->groups);
	check_order(check, directory);
}

/* ---- settling -------------------------------------------------------------------------------- */

static int
by_domain(const void *a, const void *b)
{
	return strcmp(
	    ((const struct config_home *)a)->domain, ((const struct config_home *)b)->domain);
}

static int
by_user(const void *a, const void *b)
{
	return strcmp(
	    ((const struct config_member *)a)->user, ((const struct config_member *)b)->user);
}

static void
settle_homes(struct config_directory *directory, struct arena *arena)
{
	const struct config_account *accounts = directory->accounts.values;
	char canonical[MAIL_DOMAIN_MOST + 1];
	size_t most = 0;

	for (size_t i = 0; i < directory->accounts.count; i++)
		most += accounts[i].domains.count;
	directory->homes = arena_alloc(arena, most * sizeof(struct config_home));
	directory->home_count = 0;
	for (size_t i = 0; i < directory->accounts.count; i++) {
		for (size_t k = 0; k < accounts[i].domains.count; k++) {
			if (mail_domain_canonical(accounts[i].domains.items[k], canonical) < 0)
				continue;
			directory->homes[directory->home_count++] = (struct config_home){
				arena_text(arena, canonical), directory->accounts.keys[i]
			};
		}
	}
	if (directory->home_count > 0)
		qsort(
		    directory->homes, directory->home_count, sizeof(struct config_home), by_domain);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of all groups, strongest first: those of group_order, then the others by name. */
static const char **
rank_groups(const struct config_directory *directory, struct arena *arena)
{
	const struct pn_strings *order = &directory->group_order;
	size_t count = 0, ordered;
	const char **ranked = arena_alloc(
	    arena, (directory->groups.count + order->count + 1) * sizeof(*ranked));
	GHashTable *seen = g_hash_table_new(g_str_hash, g_str_equal);

	for (size_t i = 0; i < order->count; i++)
		if (config_directory_has_group(directory, order->items[i]) &&
		    g_hash_table_add(seen, (gpointer)(uintptr_t)order->items[i]))
			ranked[count++] = order->items[i];
	ordered = count;
	for (size_t i = 0; i < directory->groups.count; i++)
		if (!g_hash_table_contains(seen, directory->groups.keys[i]))
			ranked[count++] = directory->groups.keys[i];
	if (count > ordered)
		qsort(&ranked[ordered], count - ordered, sizeof(*ranked), by_name);
	g_hash_table_destroy(seen);
	return ranked;
}

static void
join_group(GHashTable *found, struct arena *arena, const char *user, const char *group)
{
	struct config_member *member = g_hash_table_lookup(found, user);
	const char **more;

	if (!member) {
		member = arena_alloc(arena, sizeof(*member));
		member->user = arena_text(arena, user);
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
settle_members(struct config_directory *directory, struct arena *arena)
{
	const struct pn_strings *groups = directory->groups.values;
	const char **ranked = rank_groups(directory, arena);
	GHashTable *found = g_hash_table_new(g_str_hash, g_str_equal);
	char address[MAIL_ADDRESS_SIZE];
	GHashTableIter iter;
	gpointer member;

	for (size_t i = 0; ranked[i]; i++) {
		const struct pn_strings *users = &groups[find_name(&directory->groups, ranked[i])];

		for (size_t k = 0; k < users->count; k++)
			if (config_scope_address(users->items[k], address) == 0 && *address)
				join_group(found, arena, address, ranked[i]);
	}
	directory->members = arena_alloc(
	    arena, g_hash_table_size(found) * sizeof(struct config_member));
	directory->member_count = 0;
	g_hash_table_iter_init(&iter, found);
	while (g_hash_table_iter_next(&iter, NULL, &member))
		directory->members[directory->member_count++] = *(struct config_member *)member;
	g_hash_table_destroy(found);
	if (directory->member_count > 0)
		qsort(directory->members, directory->member_count, sizeof(struct config_member),
		    by_user);
}

void
config_directory_settle(struct config_directory *directory, struct arena *arena)
{
	settle_homes(directory, arena);
	settle_members(directory, arena);
}

/* ---- copying --------------------------------------------------------------------------------- */

static struct pn_strings
copy_strings(const struct pn_strings *from, struct arena *arena)
{
	const char **items = arena_alloc(arena, from->count * sizeof(*items));

	for (size_t i = 0; i < from->count; i++)
		items[i] = arena_text(arena, from->items[i]);
	return (struct pn_strings){ from->count, items };
}

/* A map whose values begin with, and are, lists of strings. */
static struct pn_map
copy_map(const struct pn_map *from, struct arena *arena)
{
	struct pn_strings keys = { from->count, from->keys };
	struct pn_strings *values = arena_alloc(arena, from->count * sizeof(*values));

	for (size_t i = 0; i < from->count; i++)
		values[i] = copy_strings(&((const struct pn_strings *)from->values)[i], arena);
	return (struct pn_map){ from->count, copy_strings(&keys, arena).items, values };
}

_Static_assert(sizeof(struct config_account) == sizeof(struct pn_strings),
    "copy_map() copies accounts as what they are made of");

struct config_directory *
config_directory_copy(const struct config_directory *directory, struct arena *arena)
{
	struct config_directory *copy = arena_alloc(arena, sizeof(*copy));

	copy->accounts = copy_map(&directory->accounts, arena);
	copy->groups = copy_map(&directory->groups, arena);
	copy->group_order = copy_strings(&directory->group_order, arena);
	config_directory_settle(copy, arena);
	return copy;
}

/* ---- finding --------------------------------------------------------------------------------- */

void
config_scope_find(const struct config_directory *directory, const char *user, const char *sender,
    struct config_scope *ret)
{
	const struct config_member *member;
	const struct config_home *home;
	const char *address = user ? user : sender;

	ret->account = NULL;
	ret->group_count = 0;
	ret->groups = NULL;
	if (!address || config_scope_address(address, ret->user) < 0)
		ret->user[0] = '\0';
	ret->domain = mail_address_domain(ret->user);
	if (!directory || !*ret->user)
		return;
	home = directory->home_count == 0
		   ? NULL
		   : bsearch(&(struct config_home){ ret->domain, NULL }, directory->homes,
			 directory->home_count, sizeof(*home), by_domain);
	member = directory->member_count == 0
		     ? NULL
		     : bsearch(&(struct config_member){ .user = ret->user }, directory->members,
			   directory->member_count, sizeof(*member), by_user);
	if (home)
		ret->account = home->account;
	if (member) {
		ret->group_count = member->count;
		ret->groups = member->groups;
	}
}
