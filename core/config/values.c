/* SPDX-License-Identifier: Apache-2.0 */
/*
 * values.c - single values and lists of strings: tags followed, paths made absolute, defaults.
 *
 * Called by settings.c for each row. What came by `!file` or `!env` is never shown in a complaint,
 * since it may be a secret that was put in the wrong place.
 */
#include <core/config/fill.h>
#include <core/config/parse.h>
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOWN_MOST 60 /* bytes of a value in a complaint */

/* How a value is called in a complaint. */
static const char *
shown(const struct fill *fill, const struct config_node *node)
{
	size_t len = strlen(node->text);

	if (node->tag != CONFIG_TAG_NONE)
		return arena_printf(&fill->diags->arena, "what %s %s gives",
		    node->tag == CONFIG_TAG_FILE ? "!file" : "!env", node->text);
	if (len <= SHOWN_MOST)
		return arena_printf(&fill->diags->arena, "\"%s\"", node->text);
	for (len = SHOWN_MOST; len > 0 && (node->text[len] & 0xc0) == 0x80;)
		len--;
	return arena_printf(&fill->diags->arena, "\"%.*s...\"", (int)len, node->text);
}

/* The folder of the YAML file that a value stands in; defaults count from the tree's folder. */
static const char *
folder_of(const struct fill *fill, const struct config_node *node)
{
	const char *file = node && node->mark.file ? node->mark.file : NULL;
	const char *slash = file ? strrchr(file, '/') : NULL;

	if (slash)
		return arena_slice(fill->arena, pn_slice(file, (size_t)(slash - file)));
	return file ? "." : fill->tree->folder;
}

static const char *
join(const struct fill *fill, const char *folder, const char *path)
{
	return *path == '/' ? path : arena_printf(fill->arena, "%s/%s", folder, path);
}

static const char *
absolute(const struct fill *fill, const struct config_node *node, const char *path)
{
	const char *joined = join(fill, folder_of(fill, node), path);
	char *here;

	if (*joined == '/')
		return joined;
	here = g_get_current_dir();
	joined = join(fill, here, strncmp(joined, "./", 2) == 0 ? joined + 2 : joined);
	g_free(here);
	return joined;
}

/* ---- `!file` and `!env` ---- */

/* One newline at the end is the editor's, not the value's. */
static size_t
without_newline(const char *data, size_t len)
{
	if (len > 0 && data[len - 1] == '\n')
		len--;
	if (len > 0 && data[len - 1] == '\r')
		len--;
	return len;
}

/* The bytes behind a tag, `ret->data` malloc'ed. False: complained. */
static bool
follow(const struct fill *fill, const struct place *place, const struct config_node *node,
    struct source_file *ret)
{
	struct source *source = fill->tree->source;
	struct pn_error err;
	const char *value;

	if (node->tag == CONFIG_TAG_FILE && !source) {
		fill_complain(fill, place, node->mark, "%s is no longer at hand", node->text);
		return false;
	}
	if (node->tag == CONFIG_TAG_FILE) {
		if (source->ops->read(
			source, join(fill, folder_of(fill, node), node->text), ret, &err) == 0)
			return true;
		fill_complain(fill, place, node->mark, "%s", err.text);
		return false;
	}
	value = getenv(node->text);
	if (!value) {
		fill_complain(fill, place, node->mark, "!env %s: the environment has no such name",
		    node->text);
		return false;
	}
	*ret = (struct source_file){ .data = strdup(value), .len = strlen(value) };
	if (!ret->data)
		fill_complain(fill, place, node->mark, "out of memory");
	return ret->data;
}

static void
drop(struct source_file *file)
{
	if (file->data)
		explicit_bzero(file->data, file->len);
	free(file->data);
	*file = (struct source_file){ 0 };
}

/* The text of a scalar, tag followed; NULL: complained. */
static const char *
text_of(const struct fill *fill, const struct place *place, const struct config_node *node)
{
	struct config_followed *followed = node->followed;
	struct source_file file = { 0 };

	/* Copies, since settings outlive the tree. */
	if (node->tag == CONFIG_TAG_NONE)
		return arena_text(fill->arena, node->text);
	if (followed->text)
		return arena_text(fill->arena, followed->text);
	if (!follow(fill, place, node, &file))
		return NULL;
	if (g_utf8_validate(file.data, (gssize)file.len, NULL))
		followed->text = arena_slice(
		    followed->arena, pn_slice(file.data, without_newline(file.data, file.len)));
	else
		fill_complain(
		    fill, place, node->mark, "%s is not a text in UTF-8", shown(fill, node));
	drop(&file);
	return arena_text(fill->arena, followed->text);
}

/* ---- values ---- */

static void
fill_secret(const struct fill *fill, const struct place *place, const struct config_node *node,
    const struct pn_secret **field)
{
	struct source_file file = { 0 };
	size_t len;

	if (node->tag == CONFIG_TAG_NONE) {
		fill_complain(fill, place, node->mark,
		    "a secret must not stand in the YAML; write !file PATH or !env NAME");
		return;
	}
	*field = node->followed->secret;
	if (*field || !follow(fill, place, node, &file))
		return;
	len = without_newline(file.data, file.len);
	if (node->tag == CONFIG_TAG_FILE && (file.mode & S_IROTH))
		fill_complain(fill, place, node->mark,
		    "everybody can read %s, so it is no secret; run chmod o-r on it", node->text);
	else if (len == 0)
		fill_complain(fill, place, node->mark, "%s is empty", shown(fill, node));
	else if (!(*field = secret_keep(fill->secrets, file.data, len)))
		fill_complain(fill, place, node->mark, "out of memory");
	node->followed->secret = *field;
	drop(&file);
}

static const char *
string_of(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node)
{
	const char *text;

	if (!(row->flags & PN_PATH))
		return text_of(fill, place, node);
	if (node->tag == CONFIG_TAG_FILE) {
		fill_complain(fill, place, node->mark,
		    "this is a path; write it without !file, which would read the file");
		return NULL;
	}
	text = text_of(fill, place, node);
	if (text && !*text) {
		fill_complain(fill, place, node->mark, "a path must not be empty");
		return NULL;
	}
	return text ? absolute(fill, node, text) : NULL;
}

static void
fill_default(
    const struct fill *fill, const struct place *place, const struct pn_option *row, void *field)
{
	struct pn_error err;

	if (!row->fallback)
		return;
	if (row->type == PN_TYPE_STRING)
		*(const char **)field = row->flags & PN_PATH
					    ? absolute(fill, NULL, row->fallback)
					    : arena_text(fill->arena, row->fallback);
	else if (option_read(row, row->fallback, field, &err) < 0)
		fill_complain(fill, place, (struct config_mark){ 0 },
		    "the module's own default \"%s\" %s", row->fallback, err.text);
}

static const char *
name_of(const struct pn_option *row)
{
	static const char *const names[] = {
		[PN_TYPE_STRING] = "a text",
		[PN_TYPE_BOOL] = "yes or no",
		[PN_TYPE_INT] = "a number",
		[PN_TYPE_SIZE] = "a size",
		[PN_TYPE_DURATION] = "a duration",
		[PN_TYPE_CHOICE] = "a word",
		[PN_TYPE_SECRET] = "!file PATH or !env NAME",
	};

	return names[row->type];
}

/* A scalar with something in it. False: complained. */
static bool
has_value(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node)
{
	if (node->kind != CONFIG_SCALAR)
		fill_complain(fill, place, node->mark, "must be %s, not a %s", name_of(row),
		    node->kind == CONFIG_LIST ? "list" : "map");
	else if (config_node_is_null(node))
		fill_complain(fill, place, node->mark,
		    "has no value; write %s, or leave the line out", name_of(row));
	else
		return true;
	return false;
}

void
fill_scalar(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, void *field)
{
	struct pn_error err;
	const char *text;

	/* Also after a mistake, so that later checks do not stumble over a zero. */
	fill_default(fill, place, row, field);
	if (!node || !has_value(fill, place, row, node))
		return;
	if (row->type == PN_TYPE_SECRET) {
		fill_secret(fill, place, node, field);
	} else if (row->type == PN_TYPE_STRING) {
		*(const char **)field = string_of(fill, place, row, node);
	} else {
		text = text_of(fill, place, node);
		if (text && option_read(row, text, field, &err) < 0)
			fill_complain(
			    fill, place, node->mark, "%s %s", shown(fill, node), err.text);
	}
}

/* ---- lists of strings ---- */

static bool
accept_word(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, const char *word)
{
	struct pn_error err;
	int value;

	if (!row->choices || option_choose(row->choices, word, &value, &err) == 0)
		return true;
	fill_complain(fill, place, node->mark, "%s %s", shown(fill, node), err.text);
	return false;
}

/* A list by `!file`, or by `!env`: one item per line, empty lines left out. */
static void
fill_lines(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, struct pn_strings *field)
{
	const char *text = text_of(fill, place, node);
	const char **items;
	size_t lines = 1;

	if (!text)
		return;
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	items = arena_alloc(fill->arena, lines * sizeof(*items));
	for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
		size_t len;

		end = line + strcspn(line, "\n");
		len = (size_t)(end - line);
		if (len > 0 && line[len - 1] == '\r')
			len--;
		if (len == 0)
			continue;
		items[field->count] = arena_slice(fill->arena, pn_slice(line, len));
		if (accept_word(fill, place, row, node, items[field->count]))
			field->count++;
	}
	field->items = items;
}

static void
fill_items(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *list, struct pn_strings *field)
{
	const char **items = arena_alloc(fill->arena, list->count * sizeof(*items));

	for (size_t i = 0; i < list->count; i++) {
		struct place at = { place, NULL, i };
		const struct config_node *node = list->items[i];
		const char *text = NULL;

		if (node->kind != CONFIG_SCALAR)
			fill_complain(fill, &at, node->mark, "must be a text, not a %s",
			    node->kind == CONFIG_LIST ? "list" : "map");
		else if (config_node_is_null(node))
			fill_complain(fill, &at, node->mark, "has no value");
		else
			text = string_of(fill, &at, row, node);
		if (text && accept_word(fill, &at, row, node, text))
			items[field->count++] = text;
	}
	field->items = items;
}

/* The default as a node, parsed like any other YAML. */
static const struct config_node *
default_node(const struct fill *fill, const struct place *place, const struct pn_option *row)
{
	struct parse_budget budget = { 0 };
	struct diags diags = { 0 };
	const struct config_node *node = NULL;
	bool whole;

	if (row->fallback)
		node = parse_yaml(
		    pn_slice_of(row->fallback), NULL, fill->arena, &budget, &diags, &whole);
	if (diags.errors > 0)
		fill_complain(fill, place, (struct config_mark){ 0 },
		    "the module's own default \"%s\" is not YAML", row->fallback);
	diags_free(&diags);
	return node;
}

void
fill_strings(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, void *field)
{
	struct config_node one = { .kind = CONFIG_LIST, .count = 1 };

	if (!node)
		node = default_node(fill, place, row);
	if (!node || config_node_is_null(node))
		return;
	if (node->kind == CONFIG_MAP) {
		fill_complain(fill, place, node->mark, "must be a list of texts, not a map");
	} else if (node->kind == CONFIG_LIST) {
		fill_items(fill, place, row, node, field);
	} else if (node->tag != CONFIG_TAG_NONE && !(row->flags & PN_PATH)) {
		fill_lines(fill, place, row, node, field);
	} else {
		struct config_node *item = (struct config_node *)(uintptr_t)node;

		one.items = &item;
		fill_items(fill, place, row, &one, field);
	}
}
