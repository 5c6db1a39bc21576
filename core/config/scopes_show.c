/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scopes_show.c - effective settings as text: what holds, and who said so.
 *
 * Called by posternctl. Shows what stands in YAML, not what `!file` gives; must never show a
 * secret.
 */
#include <core/config/overlay.h>
#include <core/config/parse.h>
#include <errno.h>

#define TEXT_MOST (64u * 1024)

struct showing {
	const struct scopes *scopes;
	const struct scope_stack *stack;
	const struct config_node *merged;
	const char *only;
	struct arena *arena;
	void (*each)(void *arg, const struct scope_value *value);
	void *arg;
	size_t count;
};

/* ---- YAML on one line ------------------------------------------------------------------------ */

static bool
is_plain(const struct config_node *node)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "_./+-";

	return !config_node_is_null(node) && *node->text && *node->text != '-' &&
	       !node->text[strspn(node->text, good)];
}

static int
write_scalar(struct buf *ret, const struct config_node *node)
{
	int r = 0;

	if (node->tag == CONFIG_TAG_FILE)
		r = buf_add_text(ret, "!file ");
	else if (node->tag == CONFIG_TAG_ENV)
		r = buf_add_text(ret, "!env ");
	if (r == 0 && is_plain(node))
		return buf_add_text(ret, node->text);
	if (r == 0)
		r = buf_add_text(ret, "\"");
	for (const char *c = node->text; *c && r == 0; c++) {
		if (*c == '"' || *c == '\\')
			r = buf_printf(ret, "\\%c", *c);
		else if ((unsigned char)*c < ' ' || *c == 0x7f)
			r = buf_printf(ret, "\\x%02x", (unsigned char)*c);
		else
			r = buf_add(ret, c, 1);
	}
	return r < 0 ? r : buf_add_text(ret, "\"");
}

static int
write_node(struct buf *ret, const struct config_node *node)
{
	bool is_map = node->kind == CONFIG_MAP;
	int r;

	if (node->kind == CONFIG_SCALAR)
		return config_node_is_null(node) ? buf_add_text(ret, "~") : write_scalar(ret, node);
	r = buf_add_text(ret, is_map ? "{" : "[");
	for (size_t i = 0; i < node->count && r == 0; i++) {
		r = buf_add_text(ret, i ? ", " : is_map ? " " : "");
		if (r == 0 && is_map)
			r = write_scalar(ret, node->keys[i]);
		if (r == 0 && is_map)
			r = buf_add_text(ret, ": ");
		if (r == 0)
			r = write_node(ret, node->items[i]);
	}
	return r < 0 ? r : buf_add_text(ret, is_map && node->count ? " }" : is_map ? "}" : "]");
}

static const char *
text_of(const struct showing *showing, const struct pn_option *row, const struct config_node *node)
{
	struct buf text = BUF_INIT(TEXT_MOST);
	const char *ret;

	if (row->type == PN_TYPE_SECRET)
		return node ? "(secret)" : "";
	if (!node)
		return row->fallback ? row->fallback : "";
	ret = write_node(&text, node) == 0 ? arena_text(showing->arena, buf_text(&text))
					   : "(too long to show)";
	buf_free(&text);
	return ret;
}

/* ---- who said so ----------------------------------------------------------------------------- */

static const struct config_node *
find(const struct config_node *map, const char *path)
{
	while (map && *path) {
		size_t len = strcspn(path, ".");
		const struct config_node *found = NULL;

		for (size_t i = 0; map->kind == CONFIG_MAP && i < map->count; i++)
			if (strlen(map->keys[i]->text) == len &&
			    memcmp(map->keys[i]->text, path, len) == 0)
				found = map->items[i];
		map = found;
		path += len + (path[len] == '.');
	}
	return map;
}

static bool
is_wanted(const struct showing *showing, const char *path)
{
	size_t len = showing->only ? strlen(showing->only) : 0;

	return !showing->only || strcmp(path, showing->only) == 0 ||
	       (strncmp(path, showing->only, len) == 0 && path[len] == '.');
}

static void
show(struct showing *showing, const struct pn_option *row, const char *path)
{
	const struct scopes *scopes = showing->scopes;
	const struct config_node *node = find(scopes->section, path);
	struct scope_value value = { .key = path, .scope = "everybody" };

	if (!is_wanted(showing, path))
		return;
	if (node)
		value.mark = node->mark;
	for (size_t i = 0; i < showing->stack->count; i++) {
		const struct scope_layer *layer = &scopes->layers[showing->stack->layers[i]];

		node = layer->node ? find(layer->node, path) : NULL;
		if (node) {
			value.scope = layer->text;
			value.mark = node->mark;
		}
	}
	value.value = text_of(showing, row, find(showing->merged, path));
	showing->each(showing->arg, &value);
	showing->count++;
}

static void
show_rows(struct showing *showing, const struct pn_option *rows, const char *above)
{
	struct pn_option row;

	for (size_t i = 0;
	     (row = option_row(rows, showing->scopes->how.row_size, i)).type != PN_TYPE_END; i++) {
		const char *path = arena_printf(
		    showing->arena, "%s%s%s", above, *above ? "." : "", row.name);

		if (row.type == PN_TYPE_GROUP)
			show_rows(showing, row.nested, path);
		else
			show(showing, &row, path);
	}
}

int
scopes_show(const struct scopes *scopes, const struct scope_stack *stack, const char *only,
    struct arena *arena, void (*each)(void *arg, const struct scope_value *value), void *arg)
{
	static const struct pn_option enabled = {
		.name = "enabled", .type = PN_TYPE_BOOL, .fallback = "yes"
	};
	const struct scopes_how *how = &scopes->how;
	struct showing showing = { .scopes = scopes,
		.stack = stack,
		.merged = scopes_merge(scopes, stack, arena),
		.only = only,
		.arena = arena,
		.each = each,
		.arg = arg };

	if (option_find(how->rows, how->row_size, enabled.name, NULL).type == PN_TYPE_END)
		show(&showing, &enabled, enabled.name);
	show_rows(&showing, how->rows, "");
	return showing.count > 0 ? 0 : -ENOENT;
}
