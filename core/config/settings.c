/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.c - fills a settings struct from a tree by a table of options.
 *
 * Called for the core's own sections and, by the policy part, for each entry of the pipeline. Goes
 * on after every mistake, so that one run tells them all; must never write outside the struct that
 * the table describes (settings_table_fault() checks a table for that).
 */
#include <core/config/fill.h>
#include <core/config/parse.h>
#include <errno.h>
#include <stdio.h>

#define TEXT_MOST 4096u

/* ---- complaints ---- */

static void
write_place(const struct place *place, struct buf *ret, int *r)
{
	if (!place || *r < 0)
		return;
	write_place(place->up, ret, r);
	if (*r < 0)
		return;
	if (place->key)
		*r = buf_printf(ret, ".%s", place->key);
	else
		*r = buf_printf(ret, "[%zu]", place->index);
}

static const char *
place_text(const struct fill *fill, const struct place *place)
{
	struct buf buf = BUF_INIT(TEXT_MOST);
	int r = 0;
	const char *text;

	write_place(place, &buf, &r);
	text = arena_printf(
	    &fill->diags->arena, "%s%s", fill->where, buf.len ? buf_text(&buf) : "");
	buf_free(&buf);
	return text;
}

void
fill_complain(const struct fill *fill, const struct place *place, struct config_mark mark,
    const char *format, ...)
{
	char text[1000];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	diag_add(fill->diags, DIAG_ERROR, mark, "%s: %s", place_text(fill, place), text);
}

void
fill_unknown(const struct fill *fill, const struct place *place, struct config_mark mark,
    const char *what, const char *word, const char *const *words)
{
	diag_add(fill->diags, DIAG_ERROR, mark, "%s: unknown %s \"%s\"%s", place_text(fill, place),
	    what, word, option_hint(&fill->diags->arena, word, words));
}

#define KEYS_MOST 300u

void
fill_unknown_key(const struct fill *fill, const struct place *place, const struct pn_option *rows,
    const struct config_node *key, const char *what)
{
	const char *words[KEYS_MOST + 1] = { NULL };
	struct pn_option row;
	size_t count = 0;

	while (count < KEYS_MOST &&
	       (row = option_row(rows, fill->row_size, count)).type != PN_TYPE_END)
		words[count++] = row.name;
	for (size_t i = 0; !place && fill->more_keys && fill->more_keys[i]; i++)
		if (count < KEYS_MOST)
			words[count++] = fill->more_keys[i];
	fill_unknown(fill, place, key->mark, what, key->text, words);
}

/* ---- rows ---- */

/* What surrounds a value: the struct it goes into, and the place to name when it is missing. */
struct outer {
	void *base;
	struct config_mark mark;
	bool asked;  /* required rows are asked for */
	bool open;   /* the section itself, or a group of options in it */
	bool scoped; /* a group that this is in may be given per scope */
};

static void fill_rows(const struct fill *fill, const struct place *place,
    const struct pn_option *rows, const struct config_node *map, struct outer outer);

/* A struct in a list, a map or a union: a map of options, or one bare value. */
static void fill_struct(const struct fill *fill, const struct place *place,
    const struct pn_option *rows, const struct config_node *node, void *base);

static bool
is_kind(const struct fill *fill, const struct place *place, const struct config_node *node,
    enum config_node_kind kind, const char *wanted)
{
	if (node->kind == kind)
		return true;
	fill_complain(fill, place, node->mark, "must be %s", wanted);
	return false;
}

static void
fill_list(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, struct pn_list *field)
{
	char *items;

	if (!is_kind(fill, place, node, CONFIG_LIST, "a list, each item behind \"- \""))
		return;
	items = arena_alloc(fill->arena, node->count * row->nested_size);
	for (size_t i = 0; i < node->count; i++) {
		struct place at = { place, NULL, i };

		fill_struct(fill, &at, row->nested, node->items[i], items + i * row->nested_size);
	}
	*field = (struct pn_list){ node->count, items };
}

static void
fill_map(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, struct pn_map *field)
{
	const char **keys;
	char *values;

	if (!is_kind(fill, place, node, CONFIG_MAP, "a map, as in \"name: ...\""))
		return;
	keys = arena_alloc(fill->arena, node->count * sizeof(*keys));
	values = arena_alloc(fill->arena, node->count * row->nested_size);
	for (size_t i = 0; i < node->count; i++) {
		struct place at = { place, node->keys[i]->text, 0 };

		keys[i] = arena_text(fill->arena, node->keys[i]->text);
		fill_struct(fill, &at, row->nested, node->items[i], values + i * row->nested_size);
	}
	*field = (struct pn_map){ node->count, keys, values };
}

static void fill_row(const struct fill *fill, const struct place *up, const struct pn_option *row,
    const struct config_node *node, struct outer outer);

/* `- word` or `- word: value`. False: complained, and nothing to keep. */
static bool
fill_tagged(const struct fill *fill, const struct place *place, const struct pn_option *outer_row,
    const struct config_node *node, struct pn_tagged *ret)
{
	bool is_word = node->kind == CONFIG_SCALAR && node->tag == CONFIG_TAG_NONE;
	const struct config_node *key, *value;
	struct pn_option row;
	void *base;
	size_t tag;

	if (!is_word && (node->kind != CONFIG_MAP || node->count != 1)) {
		fill_complain(fill, place, node->mark, "must be one word, or one \"word: value\"");
		return false;
	}
	key = is_word ? node : node->keys[0];
	value = is_word || config_node_is_null(node->items[0]) ? NULL : node->items[0];
	row = option_find(outer_row->nested, fill->row_size, key->text, &tag);
	if (row.type == PN_TYPE_END) {
		fill_unknown_key(fill, place, outer_row->nested, key, "word");
		return false;
	}
	*ret = (struct pn_tagged){ .tag = (int32_t)tag };
	if (!value && !(row.flags & PN_REQUIRED))
		return true;
	ret->value = base = arena_alloc(fill->arena, outer_row->nested_size);
	fill_row(fill, place, &row, value,
	    (struct outer){ .base = base, .mark = key->mark, .asked = true });
	return true;
}

static void
fill_union(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, struct pn_list *field)
{
	struct pn_tagged *items;

	if (!is_kind(fill, place, node, CONFIG_LIST, "a list, each item behind \"- \""))
		return;
	items = arena_alloc(fill->arena, node->count * sizeof(*items));
	for (size_t i = 0; i < node->count; i++) {
		struct place at = { place, NULL, i };

		field->count += fill_tagged(fill, &at, row, node->items[i], &items[field->count]);
	}
	field->items = items;
}

/* Left out whole, a group gives its defaults; its required keys are asked for only if it is. */
static void
fill_group(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, struct outer outer)
{
	bool wrong = node && !is_kind(fill, place, node, CONFIG_MAP, "a map of options");

	if (wrong)
		node = NULL;
	if (node) {
		outer.mark = node->mark;
		outer.asked = true;
	} else {
		outer.asked = outer.asked && !wrong && (row->flags & PN_REQUIRED);
	}
	outer.scoped |= (row->flags & PN_SCOPED) != 0;
	fill_rows(fill, place, row->nested, node, outer);
}

static bool
is_given(const struct pn_option *row, const struct config_node *node)
{
	if (!node)
		return false;
	switch (row->type) {
	case PN_TYPE_STRINGS:
	case PN_TYPE_LIST:
	case PN_TYPE_MAP:
	case PN_TYPE_UNION:
		return node->kind == CONFIG_SCALAR ? !config_node_is_null(node) : node->count > 0;
	default:
		return true;
	}
}

static void
fill_value(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, struct outer outer)
{
	void *field = outer.base;

	switch (row->type) {
	case PN_TYPE_GROUP:
		fill_group(fill, place, row, node, outer);
		break;
	case PN_TYPE_STRINGS:
		fill_strings(fill, place, row, node, field);
		break;
	case PN_TYPE_LIST:
		if (node)
			fill_list(fill, place, row, node, field);
		break;
	case PN_TYPE_MAP:
		if (node)
			fill_map(fill, place, row, node, field);
		break;
	case PN_TYPE_UNION:
		if (node)
			fill_union(fill, place, row, node, field);
		break;
	default:
		fill_scalar(fill, place, row, node, field);
		break;
	}
}

static void
missing(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, const struct outer *outer)
{
	bool scoped = outer->open && (outer->scoped || row->flags & PN_SCOPED);

	if (fill->tree->incomplete)
		return;
	if (node)
		fill_complain(fill, place, node->mark, "must not be empty");
	else if (!fill->lacking || !scoped)
		fill_complain(fill, place, outer->mark, "is missing, and there is no default");
	else if (!*fill->lacking)
		*fill->lacking = arena_text(fill->arena, place_text(fill, place));
}

/* `node` NULL: not given. `outer.base` is the struct that the row's offset counts in. */
static void
fill_row(const struct fill *fill, const struct place *up, const struct pn_option *row,
    const struct config_node *node, struct outer outer)
{
	struct place at = { up, row->name, 0 };
	const struct place *place = row->name ? &at : up;
	bool nests = row->type >= PN_TYPE_GROUP && row->type <= PN_TYPE_UNION;

	if (row->flags & PN_REQUIRED && row->type != PN_TYPE_GROUP && outer.asked &&
	    !is_given(row, node)) {
		missing(fill, place, row, node, &outer);
		return;
	}
	if (node && nests && config_node_is_null(node))
		node = NULL;
	outer.base = (char *)outer.base + row->offset;
	fill_value(fill, place, row, node, outer);
}

static void
fill_rows(const struct fill *fill, const struct place *place, const struct pn_option *rows,
    const struct config_node *map, struct outer outer)
{
	struct pn_option row;
	size_t index;

	for (size_t i = 0; (row = option_row(rows, fill->row_size, i)).type != PN_TYPE_END; i++)
		fill_row(fill, place, &row, config_node_get(map, row.name), outer);
	for (size_t i = 0; map && i < map->count; i++) {
		row = option_find(rows, fill->row_size, map->keys[i]->text, &index);
		if (row.type == PN_TYPE_END)
			fill_unknown_key(fill, place, rows, map->keys[i], "option");
	}
}

static void
fill_struct(const struct fill *fill, const struct place *place, const struct pn_option *rows,
    const struct config_node *node, void *base)
{
	struct outer outer = { .base = base, .mark = node->mark, .asked = true };
	struct pn_option row = option_row(rows, fill->row_size, 0);

	if (option_is_bare(rows, fill->row_size))
		fill_row(fill, place, &row, node, outer);
	else if (is_kind(fill, place, node, CONFIG_MAP, "a map of options"))
		fill_rows(fill, place, rows, node, outer);
}

/* ---- the section ---- */

/* The pipeline's switch, known to every section and read by the pipeline's owner. */
static const struct config_node *
without_enabled(struct arena *arena, const struct config_node *map, const struct pn_option *rows,
    const struct fill *fill)
{
	struct config_node *copy;
	size_t index;

	if (!config_node_get(map, "enabled") ||
	    option_find(rows, fill->row_size, "enabled", &index).type != PN_TYPE_END)
		return map;
	copy = arena_alloc(arena, sizeof(*copy));
	copy->kind = CONFIG_MAP;
	copy->mark = map->mark;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->keys[i]->text, "enabled") != 0)
			config_node_add(arena, copy, map->keys[i], map->items[i]);
	return copy;
}

static int
fill_section(struct fill *fill, const struct config_node *node, struct config_mark mark,
    const struct pn_option *rows, size_t size, struct settings *ret)
{
	size_t before = fill->diags->errors;
	struct outer outer;

	ret->values = arena_alloc(fill->arena, size);
	ret->marks = marks_copy(fill->arena, node, mark);
	outer = (struct outer){ ret->values, node ? node->mark : mark, true, true, false };
	if (node && config_node_is_null(node) && !option_is_bare(rows, fill->row_size))
		node = NULL;
	if (option_is_bare(rows, fill->row_size)) {
		struct pn_option row = option_row(rows, fill->row_size, 0);

		fill_row(fill, NULL, &row, node, outer);
	} else {
		if (node && !is_kind(fill, NULL, node, CONFIG_MAP, "a map of options")) {
			node = NULL;
			outer.asked = false;
		}
		fill_rows(fill, NULL, rows, node, outer);
	}
	return fill->diags->errors > before ? -EINVAL : 0;
}

int
settings_fill_core(const struct config_tree *tree, const char *where, struct config_node *node,
    struct config_mark mark, const struct pn_option *rows, size_t row_size, size_t size,
    struct arena *arena, struct settings_secrets **secrets, struct diags *diags,
    struct settings *ret)
{
	struct fill fill = { .tree = tree,
		.where = where,
		.row_size = row_size,
		.arena = arena,
		.secrets = secrets,
		.diags = diags };

	return fill_section(&fill, node, mark, rows, size, ret);
}

int
fill_entry(struct fill *fill, const struct config_node *node, struct config_mark mark,
    const struct pn_option *rows, size_t size, struct settings *ret)
{
	return fill_section(
	    fill, without_enabled(fill->arena, node, rows, fill), mark, rows, size, ret);
}

int
settings_fill(const struct config_tree *tree, const char *where, struct config_node *node,
    struct config_mark mark, const struct pn_option *rows, size_t row_size, size_t size,
    struct arena *arena, struct settings_secrets **secrets, struct diags *diags,
    struct settings *ret)
{
	struct fill fill = { .tree = tree,
		.where = where,
		.row_size = row_size,
		.arena = arena,
		.secrets = secrets,
		.diags = diags };

	return fill_entry(&fill, node, mark, rows, size, ret);
}
