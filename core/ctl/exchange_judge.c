/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange_judge.c - whether the directory may be what an import has made of it.
 *
 * Called inside the import's transaction: the roster that is asked is made of its rows. What cannot
 * be for one command cannot be for a file either.
 */
#include <core/ctl/exchange.h>
#include <core/policy/directory.h>
#include <errno.h>

struct judging {
	struct exchange *exchange;
	const struct roster *before;
	struct roster *after;
	GHashTable *counts;        /* account -> int *, users that have its licences */
	GHashTable *freed, *taken; /* sets of users: a row may say the same again */
};

static bool
is_counted(const struct roster *roster, const char *user, const struct pn_account *account)
{
	const struct roster_user *found = roster_user(roster, user);
	const struct pn_account *own = roster_user_account(roster, user);

	return found && found->enabled && own && strcmp(own->name, account->name) == 0;
}

/* At first as before the import. */
static int64_t *
count_of(struct judging *judging, const struct pn_account *account)
{
	const struct pn_account *old = roster_account(judging->before, account->name);
	int64_t *count = g_hash_table_lookup(judging->counts, account->name);

	if (count)
		return count;
	count = g_new(int64_t, 1);
	*count = old ? (int64_t)roster_count_users(judging->before, old) : 0;
	g_hash_table_insert(judging->counts, (gpointer)(uintptr_t)account->name, count);
	return count;
}

/* One who has no licence any more frees it, wherever in the file he stands. */
static void
count_freed(struct judging *judging)
{
	for (guint i = 0; i < judging->exchange->claims->len; i++) {
		const struct claim *claim = &g_array_index(
		    judging->exchange->claims, struct claim, i);
		const struct pn_account *account = roster_user_account(
		    judging->before, claim->what);

		if (claim->kind == CLAIM_LICENCE && account &&
		    is_counted(judging->before, claim->what, account) &&
		    !is_counted(judging->after, claim->what, account) &&
		    g_hash_table_add(judging->freed, (gpointer)(uintptr_t)claim->what))
			--*count_of(judging, account);
	}
}

/* User 11 of 10 is the one that is named. */
static void
judge_licence(struct judging *judging, const struct claim *claim)
{
	const struct pn_account *account = roster_user_account(judging->after, claim->what);
	const char *owner = roster_user(judging->before, claim->what)
				? NULL
				: roster_alias_owner(judging->before, claim->what);

	if (owner)
		exchange_complain_at(judging->exchange, claim->line, claim->column,
		    "%s is an alias of %s", claim->what, owner);
	if (!account || account->licences == 0 ||
	    !is_counted(judging->after, claim->what, account) ||
	    is_counted(judging->before, claim->what, account) ||
	    !g_hash_table_add(judging->taken, (gpointer)(uintptr_t)claim->what))
		return;
	if (++*count_of(judging, account) > account->licences)
		exchange_complain_at(judging->exchange, claim->line, claim->column,
		    "all licences of the account %s are taken (%lld)", account->name,
		    (long long)account->licences);
}

static void
judge_domain(struct judging *judging, const struct claim *claim)
{
	const struct pn_account *owner = roster_domain_account(judging->after, claim->what);

	if (owner && strcmp(owner->name, claim->whose) != 0)
		exchange_complain_at(judging->exchange, claim->line, claim->column,
		    "%s is a domain of the account %s already", claim->what, owner->name);
}

static void
judge_alias(struct judging *judging, const struct claim *claim)
{
	const char *owner = roster_user(judging->after, claim->what)
				? claim->what
				: roster_alias_owner(judging->after, claim->what);

	if (owner && strcmp(owner, claim->whose) != 0)
		exchange_complain_at(judging->exchange, claim->line, claim->column,
		    "%s is an address of %s already", claim->what, owner);
}

static void
judge_there(struct judging *judging, const struct claim *claim, const char *what, const void *found)
{
	if (!found)
		exchange_complain_at(judging->exchange, claim->line, claim->column,
		    "there is no %s \"%.320s\"; add it first", what, claim->what);
}

static void
judge(struct judging *judging, const struct claim *claim)
{
	switch (claim->kind) {
	case CLAIM_ACCOUNT:
		judge_there(judging, claim, "account", roster_account(judging->after, claim->what));
		break;
	case CLAIM_DOMAIN:
		judge_domain(judging, claim);
		break;
	case CLAIM_LICENCE:
		judge_licence(judging, claim);
		break;
	case CLAIM_USER:
		judge_there(judging, claim, "user", roster_user(judging->after, claim->what));
		break;
	case CLAIM_ALIAS:
		judge_alias(judging, claim);
		break;
	case CLAIM_GROUP:
		judge_there(judging, claim, "group",
		    roster_has_group(judging->after, claim->what) ? claim : NULL);
		break;
	}
}

int
exchange_judge(struct exchange *exchange, struct pn_error *err)
{
	const struct generation *generation = exchange->ctl->generation;
	struct judging judging = { exchange, generation_roster(generation), NULL,
		g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free),
		g_hash_table_new(g_str_hash, g_str_equal),
		g_hash_table_new(g_str_hash, g_str_equal) };
	struct diags diags = { 0 };
	int64_t version;
	int r = directory_load(exchange->ctl->db, &generation_core(generation)->directory, &diags,
	    &judging.after, &version);

	if (r < 0)
		pn_error_set(err, r, "%s",
		    diags.count ? diags.items[diags.count - 1].text
				: "the directory makes no sense");
	if (r == 0)
		count_freed(&judging);
	for (guint i = 0; r == 0 && i < exchange->claims->len; i++)
		judge(&judging, &g_array_index(exchange->claims, struct claim, i));
	roster_release(&judging.after);
	g_hash_table_destroy(judging.counts);
	g_hash_table_destroy(judging.freed);
	g_hash_table_destroy(judging.taken);
	diags_free(&diags);
	return r;
}
