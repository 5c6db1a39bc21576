/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c - libyaml's events as nodes with marks.
 *
 * Called by tree.c for each file. The text is an operator's or a bundle's and may be anything:
 * depth, nodes and aliases are bounded before memory is spent. Aliases are copied, so that merging
 * files into one place never changes another.
 */
#include <core/config/parse.h>
#include <glib.h>
#include <yaml.h>

struct parse {
	yaml_parser_t yaml;
	struct pn_slice text;
	const char *file;
	struct arena *arena;
	struct parse_budget *budget;
	struct diags *diags;
	GHashTable *anchors; /* name -> finished node */
	unsigned depth;
	bool stopped; /* nothing more can be read from this file */
};

static struct config_node *build(struct parse *p, yaml_event_t *event);

static struct config_mark
mark_of(const struct parse *p, const yaml_mark_t *mark)
{
	return (
	    struct config_mark){ p->file, (uint32_t)mark->line + 1, (uint32_t)mark->column + 1 };
}

#define complain(p, mark, ...) diag_add((p)->diags, DIAG_ERROR, (mark), __VA_ARGS__)

static void
stop(struct parse *p, struct config_mark mark, const char *text)
{
	if (!p->stopped)
		complain(p, mark, "%s", text);
	p->stopped = true;
}

bool
config_node_is_null(const struct config_node *node)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	if (node->kind != CONFIG_SCALAR || node->quoted || node->tag != CONFIG_TAG_NONE)
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
		if (strcmp(node->text, words[i]) == 0)
			return true;
	return false;
}

static struct config_node **
grow(struct arena *arena, struct config_node **items, size_t count)
{
	struct config_node **more;

	if (count != 0 && (count & (count - 1)) != 0) /* full only at powers of two */
		return items;
	more = arena_alloc(arena, (count ? count * 2 : 1) * sizeof(struct config_node *));
	if (count > 0)
		memcpy(more, items, count * sizeof(struct config_node *));
	return more;
}

void
config_node_add(
    struct arena *arena, struct config_node *to, struct config_node *key, struct config_node *value)
{
	if (key) {
		to->keys = grow(arena, to->keys, to->count);
		to->keys[to->count] = key;
	}
	to->items = grow(arena, to->items, to->count);
	to->items[to->count++] = value;
}

/* `at` is where to complain when it is one too many. */
static struct config_node *
new_node(
    struct parse *p, enum config_node_kind kind, struct config_mark mark, struct config_mark at)
{
	struct config_node *node = arena_alloc(p->arena, sizeof(*node));

	node->kind = kind;
	node->mark = mark;
	if (++p->budget->nodes > PARSE_NODES_MOST)
		stop(p, at, "the configuration has too many values, or aliases (*name) blow it up");
	return node;
}

/* ---- what libyaml cannot read ---- */

/* Reader errors have an offset in bytes, and no mark. */
static struct config_mark
mark_at(const struct parse *p, size_t offset)
{
	struct config_mark mark = { p->file, 1, 1 };

	for (size_t i = 0; i < offset && i < p->text.len; i++) {
		unsigned char c = (unsigned char)p->text.data[i];

		if (c == '\n' || (c == '\r' && p->text.data[i + 1] != '\n')) {
			mark.line++;
			mark.column = 1;
		} else if (c != '\r' && (c & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return mark;
}

/* True if a tab stands in the white space that the line begins with. */
static bool
is_tab_indented(const struct parse *p, size_t line)
{
	const char *at = p->text.data, *end = at + p->text.len;

	for (; line > 0 && at; line--) {
		at = memchr(at, '\n', (size_t)(end - at));
		at = at ? at + 1 : NULL;
	}
	while (at && at < end && *at == ' ')
		at++;
	return at && at < end && *at == '\t';
}

static void
report(struct parse *p)
{
	const yaml_parser_t *yaml = &p->yaml;
	const char *problem = yaml->problem ? yaml->problem : "out of memory";
	char text[300];

	if (yaml->error == YAML_READER_ERROR) {
		snprintf(text, sizeof(text), "not a YAML text in UTF-8: %s", problem);
		stop(p, mark_at(p, yaml->problem_offset), text);
		return;
	}
	if (is_tab_indented(p, yaml->problem_mark.line))
		snprintf(text, sizeof(text), "%s: a tab cannot indent, write spaces", problem);
	else if (yaml->context)
		snprintf(text, sizeof(text), "%s (%s that begins in line %zu)", problem,
		    yaml->context, yaml->context_mark.line + 1);
	else
		snprintf(text, sizeof(text), "%s", problem);
	stop(p, mark_of(p, &yaml->problem_mark), text);
}

static bool
next_event(struct parse *p, yaml_event_t *ret)
{
	if (p->stopped)
		return false;
	if (yaml_parser_parse(&p->yaml, ret))
		return true;
	report(p);
	return false;
}

/* ---- nodes ---- */

#define YAML_CORE "tag:yaml.org,2002:" /* what "!!" stands for */

static bool
read_tag(struct parse *p, const yaml_event_t *event, const char *tag, enum config_tag *ret)
{
	struct config_mark mark = mark_of(p, &event->start_mark);
	bool is_core = tag && strncmp(tag, YAML_CORE, strlen(YAML_CORE)) == 0;

	*ret = CONFIG_TAG_NONE;
	if (!tag)
		return true;
	if (strcmp(tag, "!file") == 0)
		*ret = CONFIG_TAG_FILE;
	else if (strcmp(tag, "!env") == 0)
		*ret = CONFIG_TAG_ENV;
	if (*ret == CONFIG_TAG_NONE)
		complain(p, mark, "unknown tag \"%s%s\"; known are !file and !env",
		    is_core ? "!!" : "", is_core ? tag + strlen(YAML_CORE) : tag);
	else if (event->type != YAML_SCALAR_EVENT)
		complain(p, mark, "%s takes one %s, not a list or map", tag,
		    *ret == CONFIG_TAG_FILE ? "path" : "name");
	else if (event->data.scalar.length == 0)
		complain(p, mark, "%s: nothing stands behind it", tag);
	else
		return true;
	return false;
}

static void
keep_anchor(struct parse *p, const yaml_char_t *anchor, struct config_node *node)
{
	if (anchor)
		g_hash_table_insert(p->anchors, g_strdup((const char *)anchor), node);
}

static struct config_node *
build_scalar(struct parse *p, const yaml_event_t *event)
{
	struct config_mark mark = mark_of(p, &event->start_mark);
	struct config_node *node = new_node(p, CONFIG_SCALAR, mark, mark);
	const char *value = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;

	if (memchr(value, '\0', len))
		complain(p, mark, "a NUL character cannot stand in a value");
	node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	node->text = arena_slice(p->arena, pn_slice(value, len));
	read_tag(p, event, (const char *)event->data.scalar.tag, &node->tag);
	if (node->tag != CONFIG_TAG_NONE) {
		node->followed = arena_alloc(p->arena, sizeof(*node->followed));
		node->followed->arena = p->arena;
	}
	keep_anchor(p, event->data.scalar.anchor, node);
	return node;
}

static struct config_node *
build_list(struct parse *p, const yaml_event_t *start)
{
	struct config_mark mark = mark_of(p, &start->start_mark);
	struct config_node *list = new_node(p, CONFIG_LIST, mark, mark), *item;
	yaml_event_t event;

	while (next_event(p, &event)) {
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&event);
			break;
		}
		item = build(p, &event);
		if (item)
			config_node_add(p->arena, list, NULL, item);
	}
	return list;
}

/* A key that may stand there; complains and says no otherwise. */
static bool
accept_key(struct parse *p, GHashTable *seen, const struct config_node *key)
{
	const struct config_node *first;

	if (key->kind != CONFIG_SCALAR || key->tag != CONFIG_TAG_NONE) {
		complain(p, key->mark, "a key must be a plain word");
		return false;
	}
	if (strcmp(key->text, "<<") == 0) {
		complain(p, key->mark,
		    "merge keys (<<) are not supported; write the keys out, or give the whole "
		    "value an anchor (&name) and repeat it by *name");
		return false;
	}
	first = g_hash_table_lookup(seen, key->text);
	if (first) {
		complain(p, key->mark, "\"%s\" is given twice; first at %s:%u:%u", key->text,
		    first->mark.file, first->mark.line, first->mark.column);
		return false;
	}
	g_hash_table_insert(seen, (void *)(uintptr_t)key->text, (void *)(uintptr_t)key);
	return true;
}

static struct config_node *
build_map(struct parse *p, const yaml_event_t *start)
{
	struct config_mark mark = mark_of(p, &start->start_mark);
	struct config_node *map = new_node(p, CONFIG_MAP, mark, mark);
	GHashTable *seen = g_hash_table_new(g_str_hash, g_str_equal);
	yaml_event_t event;

	while (next_event(p, &event)) {
		struct config_node *key, *value = NULL;

		if (event.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&event);
			break;
		}
		key = build(p, &event);
		if (next_event(p, &event))
			value = build(p, &event);
		if (key && value && accept_key(p, seen, key))
			config_node_add(p->arena, map, key, value);
	}
	g_hash_table_destroy(seen);
	return map;
}

static struct config_node *
copy_node(struct parse *p, const struct config_node *from, struct config_mark alias)
{
	struct config_node *copy = new_node(p, from->kind, from->mark, alias);

	if (from->kind == CONFIG_SCALAR) {
		*copy = *from; /* texts are shared, they never change */
		return copy;
	}
	for (size_t i = 0; i < from->count && !p->stopped; i++)
		config_node_add(p->arena, copy,
		    from->keys ? copy_node(p, from->keys[i], alias) : NULL,
		    copy_node(p, from->items[i], alias));
	return copy;
}

static struct config_node *
build_alias(struct parse *p, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct config_mark mark = mark_of(p, &event->start_mark);
	const struct config_node *node = g_hash_table_lookup(p->anchors, name);

	if (++p->budget->aliases > PARSE_ALIASES_MOST) {
		stop(p, mark, "too many aliases (*name)");
		return NULL;
	}
	if (!node) {
		complain(p, mark, "nothing before this is marked &%s", name);
		return NULL;
	}
	return copy_node(p, node, mark);
}

/* A list or a map: known by its anchor only when finished, so that none can hold itself. */
static struct config_node *
build_nested(struct parse *p, const yaml_event_t *event)
{
	bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
	const yaml_char_t *tag = is_list ? event->data.sequence_start.tag
					 : event->data.mapping_start.tag;
	struct config_node *node;
	enum config_tag none;

	read_tag(p, event, (const char *)tag, &none);
	if (p->depth >= PARSE_DEPTH_MOST) {
		stop(p, mark_of(p, &event->start_mark), "lists and maps are nested too deep");
		return NULL;
	}
	p->depth++;
	node = is_list ? build_list(p, event) : build_map(p, event);
	p->depth--;
	keep_anchor(p,
	    is_list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor, node);
	return node;
}

/* Takes the event. NULL where the value is missing; `stopped` says if more can follow. */
static struct config_node *
build(struct parse *p, yaml_event_t *event)
{
	struct config_node *node;

	if (event->type == YAML_SCALAR_EVENT)
		node = build_scalar(p, event);
	else if (event->type == YAML_ALIAS_EVENT)
		node = build_alias(p, event);
	else
		node = build_nested(p, event);
	yaml_event_delete(event);
	return node;
}

/* Stream start, document start, one value, document end, stream end. */
static struct config_node *
build_document(struct parse *p)
{
	struct config_node *root = NULL;
	bool ended = false, begun = false;
	yaml_event_t event;

	while (!ended && next_event(p, &event)) {
		switch (event.type) {
		case YAML_STREAM_END_EVENT:
			ended = true;
			break;
		case YAML_DOCUMENT_START_EVENT:
			if (begun)
				stop(p, mark_of(p, &event.start_mark),
				    "a second document (---) begins; a file holds one");
			begun = true;
			break;
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		default:
			root = build(p, &event);
			continue; /* build() took the event */
		}
		yaml_event_delete(&event);
	}
	return root;
}

struct config_node *
parse_yaml(struct pn_slice text, const char *file, struct arena *arena, struct parse_budget *budget,
    struct diags *diags, bool *ret_whole)
{
	struct parse p = { .file = file, .arena = arena, .budget = budget, .diags = diags };
	struct config_node *root;

	/* A byte order mark would count as a column. */
	if (text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
		text = pn_slice(text.data + 3, text.len - 3);
	p.text = text;
	if (!yaml_parser_initialize(&p.yaml)) {
		stop(&p, (struct config_mark){ .file = file }, "out of memory");
		*ret_whole = false;
		return NULL;
	}
	yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text.data, text.len);
	p.anchors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	root = build_document(&p);
	g_hash_table_destroy(p.anchors);
	yaml_parser_delete(&p.yaml);
	*ret_whole = !p.stopped;
	return root;
}
