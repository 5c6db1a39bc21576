/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stored.c - settings that the database has, as trees over a section and its layers.
 *
 * Called by scopes.c when a configuration is read. What is stored may be older than the module that
 * is to read it: nothing in it may crash, refuse the configuration or go unsaid.
 */
#include <core/config/overlay.h>
#include <core/config/parse.h>
#include <errno.h>
#include <glib.h>

/* One of them. */
struct one {
	struct scopes *scopes;
	const struct stored_setting *stored;
	struct fill fill; /* complaints go to a list of its own first */
	struct config_mark mark;
};

/* ---- what may never come from there ---------------------------------------------------------- */

static void forbid_keys(const struct one *one, const struct place *place,
    const struct pn_option *rows, const struct config_node *map);

static void
forbid_path(const struct one *one, const struct place *place, const struct config_node *node)
{
	if (node->kind == CONFIG_SCALAR && *node->text != '/')
		fill_complain(&one->fill, place, node->mark,
		    "a path that does not stand in a file must begin with \"/\"");
	for (size_t i = 0; node->kind == CONFIG_LIST && i < node->count; i++)
		forbid_path(one, place, node->items[i]);
}

/* A struct in a list or a map. */
static void
forbid_struct(const struct one *one, const struct place *place, const struct pn_option *row,
    const struct config_node *node)
{
	if (node->kind == CONFIG_MAP && !option_is_bare(row->nested, one->fill.row_size))
		forbid_keys(one, place, row->nested, node);
}

static void
forbid(const struct one *one, const struct place *place, const struct pn_option *row,
    const struct config_node *node)
{
	if (row->flags & PN_FILE_ONLY)
		fill_complain(&one->fill, place, node->mark, "stands in the YAML files only");
	else if (row->type == PN_TYPE_SECRET)
		fill_complain(&one->fill, place, node->mark,
		    "a secret stands in the YAML files only, as !file PATH or !env NAME");
	else if (row->flags & PN_PATH)
		forbid_path(one, place, node);
	else if (row->type == PN_TYPE_GROUP && node->kind == CONFIG_MAP)
		forbid_keys(one, place, row->nested, node);
	else if (row->type == PN_TYPE_LIST || row->type == PN_TYPE_MAP ||
		 row->type == PN_TYPE_UNION)
		for (size_t i = 0; i < node->count; i++)
			forbid_struct(one, place, row, node->items[i]);
}

static void
forbid_keys(const struct one *one, const struct place *place, const struct pn_option *rows,
    const struct config_node *map)
{
	for (size_t i = 0; i < map->count; i++) {
		struct place at = { place, map->keys[i]->text, 0 };
		struct pn_option row = option_find(
		    rows, one->fill.row_size, map->keys[i]->text, NULL);

		if (row.type != PN_TYPE_END)
			forbid(one, &at, &row, map->items[i]);
	}
}

/* ---- as a tree ------------------------------------------------------------------------------- */

/* Its own mark everywhere; a value that is about to be stored has lines and columns of its own. */
static void
set_marks(const struct one *one, struct config_node *node)
{
	if (node->tag != CONFIG_TAG_NONE)
		fill_complain(
		    &one->fill, NULL, node->mark, "!file and !env stand in the YAML files only");
	node->tag = CONFIG_TAG_NONE;
	if (!one->stored->label)
		node->mark = one->mark;
	for (size_t i = 0; i < node->count; i++) {
		if (node->keys)
			set_marks(one, node->keys[i]);
		set_marks(one, node->items[i]);
	}
}

static struct config_node *
read_value(const struct one *one)
{
	struct parse_budget budget = { 0 };
	struct config_node *node;
	struct arena *arena = one->scopes->how.arena;
	bool whole;

	node = parse_yaml(pn_slice_of(one->stored->value), one->mark.file, arena, &budget,
	    one->fill.diags, &whole);
	if (!node) {
		node = arena_alloc(arena, sizeof(*node));
		node->kind = CONFIG_SCALAR;
		node->text = "";
		node->mark = one->mark;
	}
	set_marks(one, node);
	return node;
}

#define PATH_DEEP 16 /* groups in groups */

/* The path is no part of the value, and is not told as if it were. */
static struct config_mark
key_mark(const struct one *one)
{
	struct config_mark mark = one->mark;

	if (one->stored->label)
		mark.file = SCOPES_KEY;
	return mark;
}

/* `a.b` and its value as { a: { b: value } }. */
static struct config_node *
wrap(const struct one *one, const char *path, struct config_node *value, unsigned depth)
{
	struct arena *arena = one->scopes->how.arena;
	struct config_node *map = arena_alloc(arena, sizeof(*map));
	struct config_node *key = arena_alloc(arena, sizeof(*key));
	size_t len = depth < PATH_DEEP ? strcspn(path, ".") : strlen(path);

	map->kind = CONFIG_MAP;
	key->kind = CONFIG_SCALAR;
	map->mark = key->mark = key_mark(one);
	key->text = arena_slice(arena, pn_slice(path, len));
	if (path[len])
		value = wrap(one, path + len + 1, value, depth + 1);
	config_node_add(arena, map, key, value);
	return map;
}

/* ---- where it belongs ------------------------------------------------------------------------ */

static bool
is_known(const struct one *one, const char *name)
{
	const struct roster *roster = one->scopes->how.roster;

	if (one->stored->kind == SCOPE_ACCOUNT)
		return roster_account(roster, name);
	return one->stored->kind != SCOPE_GROUP || roster_has_group(roster, name);
}

/* NULL: one group more than a stack of layers has room for. */
static struct scope_layer *
layer_of(struct one *one, const char *name)
{
	struct scopes *scopes = one->scopes;
	struct arena *arena = scopes->how.arena;
	enum config_scope_kind kind = one->stored->kind;
	struct scope_layer *layer;
	size_t groups = 0;

	for (size_t i = 0; i < scopes->count; i++) {
		if (scopes->layers[i].kind == kind && strcmp(scopes->layers[i].name, name) == 0)
			return &scopes->layers[i];
		groups += scopes->layers[i].kind == SCOPE_GROUP;
	}
	if (kind == SCOPE_GROUP && groups >= SCOPES_GROUPS)
		return NULL;
	layer = overlay_new_layer(scopes);
	layer->kind = kind;
	layer->name = arena_text(arena, name);
	layer->where = arena_printf(arena, "%s.%s.%s", scopes->how.where, scope_key(kind), name);
	layer->text = arena_printf(arena, "%s %s", scope_word(kind), name);
	return layer;
}

/* Complaints as what they are: warnings about what is stored, errors about what is to be. */
static void
pass_on(const struct one *one, const struct diags *found, struct diags *diags, const char **fault)
{
	for (size_t i = 0; i < found->count; i++) {
		const struct diag *diag = &found->items[i];
		bool is_error = diag->kind == DIAG_ERROR;

		diag_add(diags, is_error && !one->stored->label ? DIAG_WARNING : diag->kind,
		    diag->mark, "%s", diag->text);
		if (is_error && !*fault)
			*fault = arena_text(one->scopes->how.arena, diag->text);
	}
}

static void
read_for_layer(struct one *one, struct diags *found, struct diags *diags, const char *name)
{
	const struct scopes_how *how = &one->scopes->how;
	struct scope_layer *layer = layer_of(one, name);
	const struct config_node *map;

	if (!layer) {
		one->fill.where = how->where;
		fill_complain(&one->fill, NULL, one->mark,
		    "more than %d groups have settings of their own, with \"%s\"", SCOPES_GROUPS,
		    name);
		/* Whom it was for is not known without a layer: nobody gets weaker settings. */
		pass_on(one, found, diags, &one->scopes->fault);
		return;
	}
	one->fill.where = layer->where;
	map = wrap(one, one->stored->path, read_value(one), 0);
	overlay_check_keys(&one->fill, how->rows, map, layer->kind);
	forbid_keys(one, NULL, how->rows, map);
	if (found->errors == 0)
		layer->node = overlay_merge(how->arena, layer->node, map);
	pass_on(one, found, diags, &layer->fault);
}

static void
read_for_all(struct one *one, struct diags *found, struct diags *diags)
{
	struct scopes *scopes = one->scopes;
	const struct config_node *map;

	one->fill.where = scopes->how.where;
	map = wrap(one, one->stored->path, read_value(one), 0);
	overlay_check_keys(&one->fill, scopes->how.rows, map, SCOPE_DEFAULT);
	forbid_keys(one, NULL, scopes->how.rows, map);
	if (found->errors == 0)
		scopes->section = overlay_merge(scopes->how.arena, scopes->section, map);
	pass_on(one, found, diags, &scopes->fault);
}

static void
read_one(struct one *one, struct diags *diags)
{
	const struct stored_setting *stored = one->stored;
	char name[MAIL_ADDRESS_SIZE];
	struct diags found = { 0 };
	const char *plan;

	one->fill.diags = &found;
	if (stored->kind == SCOPE_DEFAULT)
		read_for_all(one, &found, diags);
	else if (scope_name(stored->kind, stored->name, name) < 0 || !is_known(one, name))
		diag_add(diags, stored->label ? DIAG_ERROR : DIAG_WARNING, one->mark,
		    "%s.%s: no %s is called \"%s\"", one->scopes->how.where, stored->path,
		    scope_word(stored->kind), stored->name);
	else if ((plan = scopes_plan_without(&one->scopes->how, stored->kind, name)))
		diag_add(diags, stored->label ? DIAG_ERROR : DIAG_WARNING, one->mark,
		    "%s.%s: the plan \"%s\" of the %s \"%s\" is without %s", one->scopes->how.where,
		    stored->path, plan, scope_word(stored->kind), stored->name,
		    one->scopes->how.where);
	else
		read_for_layer(one, &found, diags, name);
	diags_free(&found);
}

void
stored_read(struct scopes *ret, struct diags *diags)
{
	const struct scopes_how *how = &ret->how;

	for (size_t i = 0; i < how->stored_count; i++) {
		const struct stored_setting *stored = &how->stored[i];
		struct one one = { .scopes = ret,
			.stored = stored,
			.fill = { .tree = how->tree,
			    .row_size = how->row_size,
			    .arena = how->arena },
			.mark = { stored->label ? stored->label : SCOPES_STORED, 0, 0 } };

		read_one(&one, diags);
	}
}
