/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scopes.c - the effective settings of an entry: a section and what scopes lay over it.
 *
 * Called while a configuration is read, and by the policy part for senders, from any thread: then
 * nothing of the scopes changes, and nothing is read from disk.
 */
#include <core/config/fill.h>
#include <core/config/overlay.h>
#include <core/config/parse.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *word, *key;
} kinds[SCOPE_KINDS] = {
	[SCOPE_DEFAULT] = { "default", NULL },
	[SCOPE_ACCOUNT] = { "account", "accounts" },
	[SCOPE_DOMAIN] = { "domain", "domains" },
	[SCOPE_GROUP] = { "group", "groups" },
	[SCOPE_USER] = { "user", "users" },
};

const char *
scope_word(enum config_scope_kind kind)
{
	return kinds[kind].word;
}

const char *
scope_key(enum config_scope_kind kind)
{
	return kinds[kind].key;
}

int
scope_name(enum config_scope_kind kind, const char *name, char ret[MAIL_ADDRESS_SIZE])
{
	char checked[MAIL_ADDRESS_SIZE];

	if (kind == SCOPE_DOMAIN)
		return mail_domain_canonical(name, ret);
	if (kind == SCOPE_USER) {
		int r = mail_address_check(pn_slice_of(name), true, checked);

		if (r == 0 && !*mail_address_domain(checked))
			r = -EINVAL;
		return r < 0 ? r : config_scope_address(checked, ret);
	}
	if (!*name || strlen(name) >= MAIL_ADDRESS_SIZE)
		return -EINVAL;
	strcpy(ret, name);
	return 0;
}

const char *
scopes_plan_without(const struct scopes_how *how, enum config_scope_kind kind, const char *name)
{
	const struct pn_account *account = NULL;

	if (kind == SCOPE_ACCOUNT)
		account = roster_account(how->roster, name);
	else if (kind == SCOPE_DOMAIN)
		account = roster_domain_account(how->roster, name);
	else if (kind == SCOPE_USER)
		account = roster_user_account(how->roster, name);
	return roster_plan_lacks(how->roster, account, how->where) ? account->plan : NULL;
}

const char *
scopes_table_fault(const struct pn_option *rows, size_t row_size)
{
	for (int kind = SCOPE_ACCOUNT; kind < SCOPE_KINDS; kind++)
		if (option_find(rows, row_size, kinds[kind].key, NULL).type != PN_TYPE_END)
			return "the keys accounts, domains, groups and users are every section's "
			       "own";
	return NULL;
}

/* ---- matching -------------------------------------------------------------------------------- */

static int
by_kind_and_name(const void *left, const void *right)
{
	const struct scope_layer *a = left, *b = right;

	return a->kind != b->kind ? (int)a->kind - (int)b->kind : strcmp(a->name, b->name);
}

static void
add_match(const struct scopes *scopes, enum config_scope_kind kind, const char *name,
    struct scope_stack *ret)
{
	struct scope_layer wanted = { .kind = kind, .name = name };
	const struct scope_layer *found;

	if (!name || !*name || scopes->count == 0)
		return;
	found = bsearch(&wanted, scopes->layers, scopes->count, sizeof(wanted), by_kind_and_name);
	if (found)
		ret->layers[ret->count++] = (uint32_t)(found - scopes->layers);
}

void
scopes_match(
    const struct scopes *scopes, const struct config_scope *sender, struct scope_stack *ret)
{
	ret->count = 0;
	add_match(scopes, SCOPE_ACCOUNT, sender->account, ret);
	add_match(scopes, SCOPE_DOMAIN, sender->domain, ret);
	for (size_t i = sender->group_count; i-- > 0;)
		add_match(scopes, SCOPE_GROUP, sender->groups[i], ret);
	add_match(scopes, SCOPE_USER, sender->user, ret);
}

/* ---- filling --------------------------------------------------------------------------------- */

const struct config_node *
scopes_merge(const struct scopes *scopes, const struct scope_stack *stack, struct arena *arena)
{
	const struct config_node *node = scopes->section;

	for (size_t i = 0; i < stack->count; i++)
		node = overlay_merge(arena, node, scopes->layers[stack->layers[i]].node);
	return node;
}

/* The switch that every section has. The pipeline has complained of the section's own. */
static bool
read_enabled(const struct fill *fill, const struct config_node *map, bool complain)
{
	static const struct pn_option row = { .name = "enabled", .type = PN_TYPE_BOOL };
	const struct config_node *node = config_node_get(map, row.name);
	struct place place = { NULL, row.name, 0 };
	struct diags silent = { 0 };
	struct fill own = *fill;
	bool enabled = true;

	if (!complain)
		own.diags = &silent;
	if (node)
		fill_scalar(&own, &place, &row, node, &enabled);
	diags_free(&silent);
	return enabled;
}

int
scopes_fill(const struct scopes *scopes, const struct scope_stack *stack,
    const struct scopes_fill *to, struct settings *ret, bool *ret_enabled, const char **ret_lacking)
{
	static const char *const more_keys[] = { "enabled", "accounts", "domains", "groups",
		"users", NULL };
	static const char *const layer_keys[] = { "enabled", NULL };
	const struct scopes_how *how = &scopes->how;
	const struct config_node *node = scopes_merge(scopes, stack, to->arena);
	struct fill fill = { .tree = how->tree,
		.where = how->where,
		.row_size = how->row_size,
		.arena = to->arena,
		.secrets = to->secrets,
		.diags = to->diags,
		.lacking = ret_lacking,
		.more_keys = more_keys };
	size_t before = to->diags->errors, first = to->diags->count;

	if (stack->count > 0) {
		fill.where = scopes_where(scopes, stack);
		fill.more_keys = layer_keys;
	}
	if (ret_lacking)
		*ret_lacking = NULL;
	*ret_enabled = read_enabled(&fill, node, stack->count > 0);
	fill_entry(&fill, node, node ? node->mark : how->mark, how->rows, how->size, ret);
	scopes_blame(scopes, stack, to->diags, first);
	return to->diags->errors > before ? -EINVAL : 0;
}

/* ---- every stack there can be ---------------------------------------------------------------- */

struct each {
	const struct scopes *scopes;
	void (*each)(void *arg, const struct scope_stack *stack);
	void *arg;
	GHashTable *seen; /* GBytes of layers */
};

static void
give(struct each *each, const struct scope_stack *stack)
{
	GBytes *key = g_bytes_new(stack->layers, stack->count * sizeof(stack->layers[0]));

	if (stack->count > 0 && g_hash_table_add(each->seen, key)) /* takes the key */
		each->each(each->arg, stack);
}

static void
give_sender(struct each *each, const char *address)
{
	struct config_scope sender;
	struct scope_stack stack;

	config_scope_of(each->scopes->how.roster, address, &sender);
	scopes_match(each->scopes, &sender, &stack);
	give(each, &stack);
}

static void
give_layer(struct each *each, uint32_t index)
{
	const struct scope_layer *layer = &each->scopes->layers[index];
	struct scope_stack stack = { 1, { index } };
	char address[MAIL_ADDRESS_SIZE];

	if (layer->kind == SCOPE_USER) {
		give_sender(each, layer->name);
	} else if (layer->kind == SCOPE_DOMAIN &&
		   snprintf(address, sizeof(address), "x@%s", layer->name) < MAIL_ADDRESS_MOST) {
		/* with its account; nobody's address, so no user's or group's */
		struct config_scope sender;

		config_scope_of(each->scopes->how.roster, address, &sender);
		sender.group_count = 0;
		sender.user[0] = '\0';
		scopes_match(each->scopes, &sender, &stack);
		give(each, &stack);
	} else {
		give(each, &stack);
	}
}

void
scopes_each(const struct scopes *scopes, void (*each)(void *arg, const struct scope_stack *stack),
    void *arg)
{
	struct each all = { scopes, each, arg,
		g_hash_table_new_full(
		    g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL) };
	const char *member;
	bool groups = false;

	for (uint32_t i = 0; i < scopes->count; i++) {
		give_layer(&all, i);
		groups |= scopes->layers[i].kind == SCOPE_GROUP;
	}
	for (size_t i = 0; groups && (member = roster_member_at(scopes->how.roster, i)); i++)
		give_sender(&all, member);
	g_hash_table_destroy(all.seen);
}

/* ---- reading --------------------------------------------------------------------------------- */

void
scopes_read(const struct scopes_how *how, struct diags *diags, struct scopes *ret)
{
	struct config_node *section = config_node_get(how->tree->root, how->where);

	*ret = (struct scopes){ .how = *how };
	if (section && section->kind == CONFIG_MAP)
		overlay_read(ret, section, diags);
	else if (section && !config_node_is_null(section))
		ret->section = section; /* filling says what is wrong with it */
	ret->plain = ret->section;
	if (how->stored_count > 0)
		stored_read(ret, diags);
	if (ret->count > 0)
		qsort(ret->layers, ret->count, sizeof(ret->layers[0]), by_kind_and_name);
}
