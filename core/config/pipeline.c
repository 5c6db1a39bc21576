/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline.c - reads `pipeline:`, the order in which modules run.
 *
 * Called by relay.c once per reading. An item is `- name` or `- name: { id, when, on_fault,
 * timeout, concurrency }`; the module's own options stand in a section of the entry's id, which the
 * policy part reads. Behind all of them runs `protection`, where there is a section of that name:
 * what becomes of mail that no entry protects is said when all have been asked.
 */
#include <core/base/text.h>
#include <core/config/option.h>
#include <core/config/parse.h>
#include <core/config/relay_tables.h>
#include <stdio.h>

static bool
is_id(const char *text)
{
	return *text >= 'a' && *text <= 'z' && strlen(text) <= 64 &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static void
complain(const struct core_fill *fill, struct config_mark mark, const char *what, const char *text)
{
	diag_add(fill->diags, DIAG_ERROR, mark, "%s: %s", what, text);
}

static bool
is_core_section(const char *id)
{
	for (const char *const *section = config_core_sections; *section; section++)
		if (strcmp(*section, id) == 0)
			return true;
	return false;
}

/*
 * Ids are names of sections: they must be free, and one entry's alone. False: the section is the
 * core's, so the entry must not read it.
 */
static bool
check_id(const struct core_fill *fill, const char *where, size_t index, struct config_mark mark)
{
	const struct config_entry *all = fill->core->pipeline, *entry = &all[index];

	if (!is_id(entry->id))
		diag_add(fill->diags, DIAG_ERROR, mark,
		    "%s: \"%s\" is not an id; use small letters, digits and \"-\"", where,
		    entry->id);
	if (is_core_section(entry->id))
		diag_add(fill->diags, DIAG_ERROR, mark,
		    "%s: \"%s\" is a section of the core; give the entry another id", where,
		    entry->id);
	for (size_t i = 0; i < index; i++)
		if (strcmp(all[i].id, entry->id) == 0)
			diag_add(fill->diags, DIAG_ERROR, mark,
			    "%s: \"%s\" is the id of the entry in line %u already; write \"- %s: { "
			    "id: another }\"",
			    where, entry->id, all[i].mark.line, entry->module);
	return !is_core_section(entry->id);
}

/* `<id>: { enabled: no }` */
static bool
is_enabled(const struct core_fill *fill, const char *id)
{
	static const struct pn_option row = { .name = "enabled", .type = PN_TYPE_BOOL };
	const struct config_node *node = config_node_get(
	    config_node_get(fill->tree->root, id), "enabled");
	bool enabled = true;
	struct pn_error err;

	if (!node)
		return true;
	if (node->kind != CONFIG_SCALAR || node->tag != CONFIG_TAG_NONE)
		diag_add(fill->diags, DIAG_ERROR, node->mark, "%s.enabled: must be yes or no", id);
	else if (option_read(&row, node->text, &enabled, &err) < 0)
		diag_add(fill->diags, DIAG_ERROR, node->mark, "%s.enabled: \"%s\" %s", id,
		    node->text, err.text);
	return enabled;
}

#define LAST "protection"

static bool
is_last(const struct config_entry *entry)
{
	return strcmp(entry->module, LAST) == 0;
}

/* True: the last one is there, and need not be added. */
static bool
check_last(const struct core_fill *fill)
{
	const struct config_core *core = fill->core;

	for (size_t i = 0; i + 1 < core->pipeline_count; i++)
		if (is_last(&core->pipeline[i]))
			complain(fill, core->pipeline[i].mark, "pipeline",
			    "protection must be the last entry, as it speaks when all have been "
			    "asked; or take it out, a section \"protection\" is enough");
	return core->pipeline_count > 0 && is_last(&core->pipeline[core->pipeline_count - 1]);
}

/* The options behind "name:", into the entry; `options` NULL: none. False: not to be used. */
static bool
fill_entry(const struct core_fill *fill, const struct config_node *name,
    struct config_node *options, struct config_entry *entry, size_t index)
{
	const char *where = arena_printf(fill->arena, "pipeline.%s", name->text);
	struct settings settings;
	struct pn_check check = { &settings, where, fill->diags };
	const struct config_node *id;

	settings_fill_core(fill->tree, where, options, name->mark, config_entry_options,
	    sizeof(struct pn_option), sizeof(*entry), fill->arena, fill->secrets, fill->diags,
	    &settings);
	*entry = *(struct config_entry *)settings.values;
	entry->module = arena_text(fill->arena, name->text);
	if (!entry->id)
		entry->id = entry->module;
	entry->mark = settings_mark(&settings, "");
	entry->mark.line = name->mark.line;
	entry->mark.column = name->mark.column;
	entry->enabled = is_enabled(fill, entry->id);
	id = config_node_get(options, "id");
	when_check(fill, &check, "when", &entry->when);
	config_when_settle(&entry->when, fill->arena);
	return check_id(fill, where, index, id ? id->mark : name->mark);
}

/* False: it is no entry at all, and that has been said. */
static bool
read_item(const struct core_fill *fill, struct config_node *item, size_t place, size_t index)
{
	struct config_entry *entry = &fill->core->pipeline[index];
	bool is_word = item->kind == CONFIG_SCALAR && !config_node_is_null(item) &&
		       item->tag == CONFIG_TAG_NONE;

	if (!is_word && (item->kind != CONFIG_MAP || item->count != 1)) {
		complain(fill, item->mark, arena_printf(fill->arena, "pipeline[%zu]", place),
		    "must be a module's name, or \"name: { ... }\"");
		return false;
	}
	return fill_entry(
	    fill, is_word ? item : item->keys[0], is_word ? NULL : item->items[0], entry, index);
}

/* The key of the section, as the name of an entry; NULL: there is none. */
static const struct config_node *
section_last(const struct core_fill *fill)
{
	const struct config_node *root = fill->tree->root;

	for (size_t i = 0; root && i < root->count; i++)
		if (root->keys[i]->text && strcmp(root->keys[i]->text, LAST) == 0)
			return root->keys[i];
	return NULL;
}

static void
add_last(const struct core_fill *fill)
{
	struct config_core *core = fill->core;
	const struct config_node *name = section_last(fill);

	if (name)
		core->pipeline_count += fill_entry(
		    fill, name, NULL, &core->pipeline[core->pipeline_count], core->pipeline_count);
}

void
pipeline_fill(const struct core_fill *fill)
{
	struct config_core *core = fill->core;
	const struct config_node *list = config_node_get(fill->tree->root, "pipeline");

	if (!list) {
		if (!fill->tree->incomplete)
			complain(fill, fill->tree->root->mark, "pipeline",
			    "is missing; \"pipeline: []\" is a relay without policies");
		return;
	}
	if (list->kind != CONFIG_LIST && !config_node_is_null(list)) {
		complain(fill, list->mark, "pipeline", "must be a list, each item behind \"- \"");
		return;
	}
	core->pipeline = arena_alloc(fill->arena, (list->count + 1) * sizeof(*core->pipeline));
	for (size_t i = 0; i < list->count; i++)
		core->pipeline_count += read_item(fill, list->items[i], i, core->pipeline_count);
	if (!check_last(fill))
		add_last(fill);
}
