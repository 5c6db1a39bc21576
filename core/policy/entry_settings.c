/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_settings.c - an entry's section, with what the database has for it, filled and checked.
 *
 * Called by entry.c on the main thread. Must never let a hook see settings that its module's check
 * has refused.
 */
#include <core/policy/blob.h>
#include <core/policy/effective.h>
#include <core/policy/entry.h>
#include <core/store/overrides.h>
#include <errno.h>
#include <stdlib.h>

static enum config_scope_kind
kind_of(const char *word)
{
	int kind = SCOPE_DEFAULT;

	while (kind < SCOPE_KINDS && strcmp(scope_word((enum config_scope_kind)kind), word) != 0)
		kind++;
	return (enum config_scope_kind)kind;
}

/* What the database has for this entry. */
static void
stored_of(const struct entry_build *build, const char *id, struct scopes_how *ret)
{
	const struct overrides *overrides = build->how->overrides;
	size_t count = overrides ? overrides->count : 0;
	struct stored_setting *stored = arena_alloc(build->arena, count * sizeof(*stored));

	for (size_t i = 0; i < count; i++) {
		const struct override *from = &overrides->items[i];

		if (strcmp(from->entry, id) == 0 && kind_of(from->kind) < SCOPE_KINDS)
			stored[ret->stored_count++] = (struct stored_setting){ kind_of(from->kind),
				arena_text(build->arena, from->name),
				arena_text(build->arena, from->path),
				arena_text(build->arena, from->value), from->label };
	}
	ret->stored = stored;
}

/* What the section is for whoever has no overrides. False: not to be used. */
static bool
fill(const struct entry_build *build, struct chain_entry *entry, const struct scopes *scopes)
{
	static const struct scope_stack none = { 0 };
	struct scopes_fill to = { build->arena, build->secrets, build->diags };
	const struct config_node *section = scopes->section;
	struct config_mark mark = section ? section->mark : scopes->how.mark;
	const char *lacking = NULL;
	int r = scopes_fill(scopes, &none, &to, &entry->settings, &entry->enabled,
	    scopes->count > 0 ? &lacking : NULL);

	if (r < 0 || !lacking)
		return r == 0;
	if (config_node_get(section, "enabled") && entry->enabled)
		diag_add(build->diags, DIAG_ERROR, mark, "%s is missing, and there is no default",
		    lacking);
	else if (entry->enabled)
		diag_add(build->diags, DIAG_WARNING, mark,
		    "%s is missing, so %s is off for everybody whose scope does not give it; "
		    "enabled: no says that it is meant so",
		    lacking, entry->config->id);
	entry->enabled = false;
	return false;
}

static void
check(const struct entry_build *build, struct chain_entry *entry, const struct scopes *scopes)
{
	static const struct scope_stack none = { 0 };
	const struct pn_module *module = entry->module;
	struct blob_access access = { 0 };
	struct pn_check check = { &entry->settings, entry->config->id, build->diags, &access };
	size_t errors = build->diags->errors;
	int r;

	if (module->check)
		module->check(&check, entry->settings.values);
	if (!module->prepare || build->diags->errors > errors)
		return;
	blob_access_begin(&access, generation_blobs(build->generation), module, scopes, &none);
	r = module->prepare(&check, entry->settings.values, &entry->derived);
	blob_access_end(&access);
	if (r < 0 && build->diags->errors == errors)
		diag_add(build->diags, DIAG_ERROR, entry->config->mark,
		    "%s: cannot be prepared: %s", entry->config->id, strerror(-r));
}

/* The same, and to the end: filled, checked, prepared. */
static void
make(const struct entry_build *build, struct chain_entry *entry, const struct scopes *scopes)
{
	if (fill(build, entry, scopes))
		check(build, entry, scopes);
}

/*
 * With what the database has for everybody. If that does not fit, the entry cannot decide: its
 * settings are then the section's, which no hook gets to see.
 */
static void
make_stored(const struct entry_build *build, struct chain_entry *entry, struct scopes *scopes)
{
	struct diags found = { 0 };
	struct entry_build own = *build;

	own.diags = &found;
	make(&own, entry, scopes);
	for (size_t i = 0; i < found.count; i++) {
		const struct diag *diag = &found.items[i];
		bool stored = effective_is_stored(diag);

		diag_add(
		    build->diags, stored ? DIAG_WARNING : diag->kind, diag->mark, "%s", diag->text);
		if (stored && diag->kind == DIAG_ERROR && !scopes->fault)
			scopes->fault = arena_text(build->arena, diag->text);
	}
	diags_free(&found);
	if (!scopes->fault)
		return;
	if (entry->derived)
		entry->module->release(entry->derived);
	entry->derived = NULL;
	scopes->section = scopes->plain;
	make(build, entry, scopes);
}

struct following {
	const struct scopes *scopes;
	struct scopes_fill to;
};

static void
follow_stack(void *arg, const struct scope_stack *stack)
{
	struct following *following = arg;
	struct settings settings;
	const char *lacking;
	bool enabled;

	scopes_fill(following->scopes, stack, &following->to, &settings, &enabled, &lacking);
}

/* Reads what the files give also where the database hides it now: that may change. */
static void
follow_all(const struct entry_build *build, struct scopes_how how)
{
	static const struct scope_stack none = { 0 };
	struct arena scratch = { 0 };
	struct diags silent = { 0 };
	struct scopes scopes;
	struct following following = { &scopes, { &scratch, build->secrets, &silent } };

	if (!build->tree->source)
		return;
	how.stored_count = 0;
	how.arena = &scratch;
	scopes_read(&how, &silent, &scopes);
	follow_stack(&following, &none);
	scopes_each(&scopes, follow_stack, &following);
	diags_free(&silent);
	arena_free(&scratch);
}

void
entry_read_settings(const struct entry_build *build, struct chain_entry *entry)
{
	static const struct pn_option none[] = { PN_OPT_END };
	const struct pn_module *module = entry->module;
	struct scopes_how how = { .tree = build->tree,
		.directory = &generation_core(build->generation)->directory,
		.roster = generation_roster(build->generation),
		.where = entry->config->id,
		.mark = entry->config->mark,
		.rows = module->settings ? module->settings : none,
		.row_size = module->option_size,
		.size = module->settings_size,
		.arena = build->arena };
	struct scopes *scopes = arena_alloc(build->arena, sizeof(*scopes));

	stored_of(build, entry->config->id, &how);
	if (how.stored_count > 0)
		follow_all(build, how);
	scopes_read(&how, build->diags, scopes);
	entry->layers = scopes;
	if (scopes->section != scopes->plain || scopes->fault)
		make_stored(build, entry, scopes);
	else
		make(build, entry, scopes);
	entry->fault = scopes->fault;
	if (scopes->count == 0)
		return;
	entry->scopes = entry_scopes_new(entry, generation_blobs(build->generation));
	if (!entry->scopes)
		abort(); /* as arena.h */
	entry_scopes_check(entry->scopes, build->secrets, build->how->role == 0, build->diags);
}
