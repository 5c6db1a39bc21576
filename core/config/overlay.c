/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay.c - reads what a section says for accounts, domains, groups and users.
 *
 * Called once per section and configuration. Complains about names that nobody has and about keys
 * that are for all or nobody; whether the values fit is seen when they are filled in.
 */
#include <core/config/overlay.h>
#include <core/config/parse.h>
#include <errno.h>
#include <glib.h>

/* ---- merging --------------------------------------------------------------------------------- */

static struct config_node *
writable(const struct config_node *node)
{
	return (struct config_node *)(uintptr_t)node; /* trees hold no const ones; nobody writes */
}

static struct config_node *
new_map(struct arena *arena, const struct config_node *like)
{
	struct config_node *map = arena_alloc(arena, sizeof(*map));

	map->kind = CONFIG_MAP;
	map->mark = like->mark;
	return map;
}

const struct config_node *
overlay_merge(struct arena *arena, const struct config_node *below, const struct config_node *above)
{
	struct config_node *map;

	if (!below || !above)
		return above ? above : below;
	if (below->kind != CONFIG_SCALAR && config_node_is_null(above))
		return below;
	if (below->kind != CONFIG_MAP || above->kind != CONFIG_MAP)
		return above;
	map = new_map(arena, above);
	for (size_t i = 0; i < below->count; i++)
		config_node_add(arena, map, below->keys[i],
		    writable(overlay_merge(
			arena, below->items[i], config_node_get(above, below->keys[i]->text))));
	for (size_t i = 0; i < above->count; i++)
		if (!config_node_get(below, above->keys[i]->text))
			config_node_add(arena, map, above->keys[i], above->items[i]);
	return map;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* One scope of one section. */
struct reading {
	struct scopes *scopes;
	struct fill fill; /* for complaints only */
	enum config_scope_kind kind;
	GHashTable *seen; /* names of this kind */
};

/* Half of what belongs together would come from another scope. */
static void
check_whole(const struct fill *fill, const struct place *place, const struct pn_option *group,
    const struct config_node *map, enum config_scope_kind kind)
{
	struct pn_option row;

	for (size_t i = 0; (row = option_row(group->nested, fill->row_size, i)).type != PN_TYPE_END;
	     i++)
		if (!config_node_get(map, row.name))
			fill_complain(fill, place, map->mark,
			    "has no \"%s\"; per %s it is set as a whole", row.name,
			    scope_word(kind));
}

static void
check_keys(const struct fill *fill, const struct place *place, const struct pn_option *rows,
    const struct config_node *map, bool inherited, enum config_scope_kind kind)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct config_node *key = map->keys[i], *value = map->items[i];
		struct pn_option row = option_find(rows, fill->row_size, key->text, NULL);
		struct place at = { place, key->text, 0 };
		bool scoped = scope_allows(&row, inherited);

		if (row.type == PN_TYPE_END)
			continue; /* `enabled`, or filling knows better what was meant */
		if (row.type == PN_TYPE_GROUP && value->kind == CONFIG_MAP && row.flags & PN_WHOLE)
			check_whole(fill, &at, &row, value, kind);
		if (row.type == PN_TYPE_GROUP && value->kind == CONFIG_MAP)
			check_keys(fill, &at, row.nested, value, scoped, kind);
		else if (!scoped)
			fill_complain(fill, &at, key->mark,
			    "is one for all and cannot be set per %s", scope_word(kind));
		else if (row.flags & PN_ACCOUNT_ONLY && kind > SCOPE_ACCOUNT)
			fill_complain(fill, &at, key->mark,
			    "is a whole account's and cannot be set per %s", scope_word(kind));
		else if (config_node_is_null(value))
			fill_complain(fill, &at, value->mark,
			    "has no value; write one, or leave the line out");
	}
}

void
overlay_check_keys(const struct fill *fill, const struct pn_option *rows,
    const struct config_node *map, enum config_scope_kind kind)
{
	check_keys(fill, NULL, rows, map, kind == SCOPE_DEFAULT, kind);
}

static void
unknown_name(const struct reading *reading, const struct config_node *key)
{
	const struct config_directory *directory = reading->scopes->how.directory;
	const struct pn_map *known = reading->kind == SCOPE_GROUP ? &directory->groups
								  : &directory->accounts;
	struct arena *arena = &reading->fill.diags->arena;

	fill_complain(&reading->fill, NULL, key->mark,
	    "no %s is called \"%s\"; define it in directory.%s%s", scope_word(reading->kind),
	    key->text, scope_key(reading->kind),
	    option_near(arena, key->text, config_directory_names(known, arena)));
}

static bool
is_known(const struct reading *reading, const char *name)
{
	const struct config_directory *directory = reading->scopes->how.directory;

	if (reading->scopes->how.tree->incomplete)
		return true;
	if (reading->kind == SCOPE_ACCOUNT)
		return config_directory_has_account(directory, name);
	return reading->kind != SCOPE_GROUP || config_directory_has_group(directory, name);
}

/* False: complained. */
static bool
read_name(const struct reading *reading, const struct config_node *key, char ret[MAIL_ADDRESS_SIZE])
{
	const struct fill *fill = &reading->fill;

	if (scope_name(reading->kind, key->text, ret) < 0)
		fill_complain(fill, NULL, key->mark, "\"%s\" is not %s", key->text,
		    reading->kind == SCOPE_DOMAIN
			? "a domain; write for example example.com"
			: "an address; write for example ada@example.com");
	else if (!is_known(reading, ret))
		unknown_name(reading, key);
	else if (!g_hash_table_add(reading->seen, g_strdup(ret)))
		fill_complain(fill, NULL, key->mark, "\"%s\" stands there already", ret);
	else
		return true;
	return false;
}

/* S0-17: nobody is given what the account's plan is without. False: complained. */
static bool
is_entitled(const struct reading *reading, const struct config_node *key, const char *name)
{
	const struct scopes_how *how = &reading->scopes->how;
	const char *plan = scopes_plan_without(how, reading->kind, name);

	if (plan)
		fill_complain(&reading->fill, NULL, key->mark,
		    "the plan \"%s\" of that account is without %s: directory.plans.%s.without",
		    plan, how->where, plan);
	return !plan;
}

/* Full at powers of two. */
struct scope_layer *
overlay_new_layer(struct scopes *scopes)
{
	if ((scopes->count & (scopes->count - 1)) == 0) {
		struct scope_layer *more = arena_alloc(
		    scopes->how.arena, (scopes->count ? 2 * scopes->count : 1) * sizeof(*more));

		if (scopes->count > 0)
			memcpy(more, scopes->layers, scopes->count * sizeof(*more));
		scopes->layers = more;
	}
	return &scopes->layers[scopes->count++];
}

static void
read_layer(struct reading *reading, const struct config_node *key, const struct config_node *map)
{
	const struct scopes_how *how = &reading->scopes->how;
	const char *where = arena_printf(
	    how->arena, "%s.%s.%s", how->where, scope_key(reading->kind), key->text);
	char name[MAIL_ADDRESS_SIZE];
	struct scope_layer *layer;

	if (config_node_is_null(map))
		return;
	if (map->kind != CONFIG_MAP) {
		diag_add(reading->fill.diags, DIAG_ERROR, map->mark, "%s: must be a map of options",
		    where);
		return;
	}
	if (!read_name(reading, key, name) || !is_entitled(reading, key, name))
		return;
	layer = overlay_new_layer(reading->scopes);
	layer->kind = reading->kind;
	layer->name = arena_text(how->arena, name);
	layer->where = reading->fill.where = where;
	layer->text = arena_printf(how->arena, "%s %s", scope_word(layer->kind), name);
	layer->node = map;
	overlay_check_keys(&reading->fill, how->rows, map, layer->kind);
}

static void
read_kind(struct reading *reading, enum config_scope_kind kind, const struct config_node *names)
{
	const struct scopes_how *how = &reading->scopes->how;
	const char *where = arena_printf(how->arena, "%s.%s", how->where, scope_key(kind));

	if (!names || config_node_is_null(names))
		return;
	reading->kind = kind;
	reading->fill.where = where;
	if (names->kind != CONFIG_MAP) {
		fill_complain(&reading->fill, NULL, names->mark,
		    "must be a map, each %s with the options that are different there",
		    scope_word(kind));
		return;
	}
	if (kind == SCOPE_GROUP && names->count > SCOPES_GROUPS) {
		fill_complain(
		    &reading->fill, NULL, names->mark, "more than %d groups", SCOPES_GROUPS);
		return;
	}
	g_hash_table_remove_all(reading->seen);
	for (size_t i = 0; i < names->count; i++) {
		read_layer(reading, names->keys[i], names->items[i]);
		reading->fill.where = where;
	}
}

static bool
is_scope(const char *key)
{
	for (int kind = SCOPE_ACCOUNT; kind < SCOPE_KINDS; kind++)
		if (strcmp(key, scope_key((enum config_scope_kind)kind)) == 0)
			return true;
	return false;
}

void
overlay_read(struct scopes *ret, struct config_node *section, struct diags *diags)
{
	const struct scopes_how *how = &ret->how;
	struct reading reading = { .scopes = ret,
		.fill = { .tree = how->tree,
		    .where = how->where,
		    .row_size = how->row_size,
		    .arena = how->arena,
		    .diags = diags },
		.seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) };
	struct config_node *rest = new_map(how->arena, section);

	for (size_t i = 0; i < section->count; i++)
		if (!is_scope(section->keys[i]->text))
			config_node_add(how->arena, rest, section->keys[i], section->items[i]);
	ret->section = rest;
	for (int kind = SCOPE_ACCOUNT; kind < SCOPE_KINDS; kind++)
		read_kind(&reading, (enum config_scope_kind)kind,
		    config_node_get(section, scope_key((enum config_scope_kind)kind)));
	g_hash_table_destroy(reading.seen);
}
