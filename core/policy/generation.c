/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation.c - makes a configuration true: all of it, or nothing with every reason.
 *
 * Called by the checker, the relay and posternctl on their main thread, at start and at reload.
 * Must never change the generation before it, and never stop at the first error.
 */
#include <core/base/text.h>
#include <core/policy/blob.h>
#include <core/policy/call.h>
#include <core/policy/directory.h>
#include <core/policy/directory_ldap.h>
#include <core/policy/entry.h>
#include <core/policy/provider.h>
#include <core/queue/route.h>
#include <core/store/audit.h>
#include <core/store/overrides.h>
#include <core/store/records.h>
#include <errno.h>
#include <stdlib.h>

struct generation {
	uint32_t references; /* atomic */
	uint64_t number;
	struct generation *root; /* held: whose tree and core this one shares; NULL: its own */
	struct arena arena;
	struct config_tree tree; /* settings and marks point into it */
	struct settings_secrets *secrets;
	struct config_core core;
	struct roster *roster; /* held */
	int64_t directory_version;
	bool directory_held; /* `roster` is of before: what is stored was read by other settings */
	struct chain_entry *entries;
	size_t count;
	struct db *db;
	struct routes *routes;
	struct blobs *blobs; /* held; NULL: none */
	bool trial;
	bool has[PN_STAGE_COUNT];
};

/* ---- what stands where ----------------------------------------------------------------------- */

static bool
runs_before(const struct generation *generation, size_t index, struct pn_slice module)
{
	for (size_t i = 0; i < index; i++) {
		const struct chain_entry *entry = &generation->entries[i];

		if (entry_may_run(entry) &&
		    pn_slice_equals(pn_slice_of(entry->config->module), module))
			return true;
	}
	return false;
}

/* Nothing reorders: a pipeline that breaks `needs` is refused. */
static void
check_needs(const struct generation *generation, size_t index, struct diags *diags)
{
	const struct chain_entry *entry = &generation->entries[index];
	const char *needs = entry->module && entry_may_run(entry) ? entry->module->needs : NULL;

	while (needs && *needs) {
		size_t len = strcspn(needs, " ");

		if (len > 0 && !runs_before(generation, index, pn_slice(needs, len)))
			diag_add(diags, DIAG_ERROR, entry->config->mark,
			    "pipeline: %s needs \"%.*s\" before it", entry->config->id, (int)len,
			    needs);
		needs += len;
		needs += strspn(needs, " ");
	}
}

/* Names that may stand at the top level, NULL-ended. */
static const char *const *
sections(struct generation *generation)
{
	size_t core = 0;
	const char **names;

	while (config_core_sections[core])
		core++;
	names = arena_alloc(&generation->arena, (core + generation->count + 1) * sizeof(names[0]));
	for (size_t i = 0; i < core; i++)
		names[i] = config_core_sections[i];
	for (size_t i = 0; i < generation->count; i++)
		names[core + i] = generation->entries[i].config->id;
	return names;
}

static bool
among(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(word, *words))
			return true;
	return false;
}

static void
check_sections(struct generation *generation, struct diags *diags)
{
	const struct config_node *root = generation->tree.root;
	const char *const *names = sections(generation);

	if (generation->tree.incomplete)
		return; /* the entry may stand in what could not be read */
	for (size_t i = 0; root && i < root->count; i++) {
		const char *key = root->keys[i]->text, *nearest;

		if (!key || among(key, names))
			continue;
		nearest = text_nearest(key, names);
		if (nearest)
			diag_add(diags, DIAG_ERROR, root->keys[i]->mark,
			    "unknown section \"%s\"; did you mean \"%s\"?", key, nearest);
		else
			diag_add(diags, DIAG_ERROR, root->keys[i]->mark,
			    "unknown section \"%s\"; no entry of the pipeline has that name", key);
	}
}

/* ---- building -------------------------------------------------------------------------------- */

static const struct chain_entry *
entry_of(const struct generation *generation, const char *id)
{
	for (size_t i = 0; generation && i < generation->count; i++)
		if (!strcmp(generation->entries[i].config->id, id))
			return &generation->entries[i];
	return NULL;
}

/* What the database has for entries that are not there (any more). */
static void
check_overrides(const struct generation *generation, const struct entry_build *build)
{
	const struct overrides *overrides = build->how->overrides;

	for (size_t i = 0; overrides && i < overrides->count; i++) {
		const struct override *one = &overrides->items[i];

		if (!entry_of(generation, one->entry))
			diag_add(build->diags, one->label ? DIAG_ERROR : DIAG_WARNING,
			    (struct config_mark){ one->label ? one->label : SCOPES_STORED, 0, 0 },
			    "%s.%s: no entry of the pipeline is called \"%s\"", one->entry,
			    one->path, one->entry);
	}
}

static void
load_entries(struct generation *generation, const struct entry_build *build)
{
	const struct config_core *core = generation_core(generation);

	generation->entries = arena_alloc(
	    &generation->arena, (core->pipeline_count + 1) * sizeof(generation->entries[0]));
	for (size_t i = 0; i < core->pipeline_count; i++) {
		struct chain_entry *entry = &generation->entries[generation->count++];

		entry_load(build, &core->pipeline[i],
		    generation->root ? &generation->root->entries[i] : NULL, entry);
		for (int stage = 0; stage < PN_STAGE_COUNT; stage++)
			if (entry->hooks[stage])
				generation->has[stage] = true;
	}
	for (size_t i = 0; i < generation->count; i++)
		check_needs(generation, i, build->diags);
	providers_check(generation, build->diags);
	check_overrides(generation, build);
	if (generation->root)
		return;
	providers_warn(generation, build->diags);
	check_sections(generation, build->diags);
}

static void
start_entries(struct generation *generation, const struct entry_build *build)
{
	for (size_t i = 0; i < generation->count; i++) {
		struct chain_entry *entry = &generation->entries[i];

		if (entry_start(build, entry, entry_of(build->how->before, entry->config->id)) < 0)
			return; /* what has started is stopped with the generation */
	}
}

static void
share_directory(struct generation *generation, const struct generation *with)
{
	generation->roster = roster_hold(with->roster);
	generation->directory_version = with->directory_version;
}

static bool
keeps_served(const struct generation_how *how)
{
	return how->db && how->role == PN_ROLE_RELAY && !how->trial;
}

/* A relay that knows nothing of the server's users yet would refuse their mail for good. */
static int
ensure_served(
    const struct generation *generation, const struct generation_how *how, struct diags *diags)
{
	struct ldap_reading reading;
	struct pn_error err = { 0 };

	if (!keeps_served(how))
		return 0;
	if (directory_ldap_ensure(
		how->db, &generation_core(generation)->directory.ldap, &reading, &err) < 0) {
		diag_add(diags, DIAG_ERROR, (struct config_mark){ 0 },
		    "directory.ldap: nothing was read by these settings before, and now: %s",
		    err.text);
		return -EINVAL;
	}
	if (reading.removed > 0)
		diag_add(diags, DIAG_WARNING, (struct config_mark){ 0 },
		    "directory.ldap: by these settings %zu users are read; of what was read by "
		    "others %zu rows are gone, and %zu are new",
		    reading.users, reading.removed, reading.added);
	return 0;
}

/* When nothing can refuse the configuration any more. Rows that stay are in nobody's roster. */
static void
forget_served(
    const struct generation *generation, const struct generation_how *how, struct diags *diags)
{
	struct pn_error err = { 0 };

	if (keeps_served(how) &&
	    directory_ldap_forget(how->db, &generation_core(generation)->directory.ldap, &err) < 0)
		diag_add(diags, DIAG_WARNING, (struct config_mark){ SCOPES_STORED, 0, 0 },
		    "directory: %s", err.text);
}

static void
take_directory(struct generation *generation, const struct generation_how *how, struct diags *diags)
{
	if (how->directory)
		share_directory(generation, how->directory);
	else
		directory_load(how->db, &generation_core(generation)->directory, diags,
		    &generation->roster, &generation->directory_version);
}

/*
 * Somebody has read the server by settings that are not in force (yet), and this configuration must
 * not make a roster of that. The relay then reads by its own, and not on this thread.
 */
static void
hold_directory(struct generation *generation, const struct generation_how *how, struct diags *diags)
{
	share_directory(generation, how->before);
	generation->directory_held = true;
	diag_add(diags, DIAG_WARNING, (struct config_mark){ SCOPES_STORED, 0, 0 },
	    "directory: what is kept of the directory server was read by other settings than those "
	    "in force; the directory stays as it was until the server is read again");
}

/* The one before has it, unless the database has changed. */
static void
renew_directory(
    struct generation *generation, const struct generation_how *how, struct diags *diags)
{
	int64_t version = how->before->directory_version;
	bool is_own = true;
	struct pn_error err;

	if (how->db && (records_version(how->db, &version, &err) < 0 ||
			   directory_ldap_is_own(how->db,
			       &generation_core(generation)->directory.ldap, &is_own, &err) < 0)) {
		diag_add(diags, DIAG_ERROR, (struct config_mark){ SCOPES_STORED, 0, 0 },
		    "directory: %s", err.text);
		return;
	}
	if (version == how->before->directory_version)
		share_directory(generation, how->before);
	else if (!is_own)
		hold_directory(generation, how, diags);
	else
		take_directory(generation, how, diags);
	generation->directory_version = version;
}

static void
fill(struct generation *generation, const struct generation_how *how, struct diags *diags)
{
	struct entry_build build = { how, generation, &generation->tree, &generation->arena,
		&generation->secrets, diags };
	struct pn_error err = { 0 };

	if (config_tree_load(&generation->tree, how->source, how->folder, diags, &err) < 0) {
		diag_add(diags, DIAG_ERROR, (struct config_mark){ 0 }, "%s", err.text);
		return;
	}
	config_core_fill(
	    &generation->tree, &generation->arena, &generation->secrets, diags, &generation->core);
	if (diags->errors > 0 || ensure_served(generation, how, diags) == 0)
		take_directory(generation, how, diags);
	load_entries(generation, &build);
	generation->tree.source = NULL; /* borrowed; what it gave is kept with the tree */
	if (diags->errors == 0 && how->role)
		start_entries(generation, &build);
	if (diags->errors == 0)
		forget_served(generation, how, diags);
}

static struct generation *
new_generation(const struct generation_how *how)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	if (!generation)
		return NULL;
	generation->references = 1;
	generation->number = how->before ? how->before->number + 1 : 1;
	generation->db = how->db;
	generation->blobs = how->blobs ? blobs_hold(how->blobs) : NULL;
	generation->trial = how->trial;
	return generation;
}

static int
settle(struct generation *generation, const struct diags *diags, struct generation **ret)
{
	if (diags->errors > 0) {
		generation_release(&generation);
		return -EINVAL;
	}
	*ret = generation;
	return 0;
}

int
generation_build(const struct generation_how *how, struct diags *diags, struct generation **ret)
{
	struct generation *generation = new_generation(how);

	if (!generation)
		return -ENOMEM;
	fill(generation, how, diags);
	return settle(generation, diags, ret);
}

int
generation_again(const struct generation_how *how, struct diags *diags, struct generation **ret)
{
	struct generation *generation = new_generation(how), *before = how->before;
	struct entry_build build = { .how = how, .generation = generation, .diags = diags };

	if (!generation)
		return -ENOMEM;
	generation->root = generation_hold(before->root ? before->root : before);
	if (!generation->blobs && before->blobs)
		generation->blobs = blobs_hold(before->blobs);
	renew_directory(generation, how, diags);
	build.tree = &generation->root->tree;
	build.arena = &generation->arena;
	build.secrets = &generation->secrets;
	load_entries(generation, &build);
	if (diags->errors == 0 && how->role)
		start_entries(generation, &build);
	return settle(generation, diags, ret);
}

/* ---- life ------------------------------------------------------------------------------------ */

void
generation_take_routes(struct generation *generation, struct routes *routes)
{
	struct routes *old = generation->routes;

	generation->routes = routes_hold(routes);
	routes_release(&old);
}

const struct routes *
generation_routes(const struct generation *generation)
{
	return generation->routes;
}

struct generation *
generation_hold(struct generation *generation)
{
	__atomic_fetch_add(&generation->references, 1, __ATOMIC_RELAXED);
	return generation;
}

void
generation_release(struct generation **generation)
{
	struct generation *old = *generation;

	*generation = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = old->count; i-- > 0;)
		entry_free(&old->entries[i]);
	settings_secrets_free(&old->secrets);
	routes_release(&old->routes);
	roster_release(&old->roster);
	config_tree_free(&old->tree);
	arena_free(&old->arena);
	blobs_release(&old->blobs);
	if (old->root)
		generation_release(&old->root);
	free(old);
}

void
generation_stop(struct generation *generation)
{
	for (size_t i = generation->count; i-- > 0;)
		entry_stop(&generation->entries[i]);
}

const struct config_core *
generation_core(const struct generation *generation)
{
	return generation->root ? &generation->root->core : &generation->core;
}

const struct roster *
generation_roster(const struct generation *generation)
{
	return generation->roster;
}

int64_t
generation_directory_version(const struct generation *generation)
{
	return generation->directory_version;
}

bool
generation_directory_held(const struct generation *generation)
{
	return generation->directory_held;
}

uint64_t
generation_number(const struct generation *generation)
{
	return generation->number;
}

size_t
generation_entries(const struct generation *generation, const struct chain_entry **ret)
{
	*ret = generation->entries;
	return generation->count;
}

bool
generation_has(const struct generation *generation, enum pn_stage stage)
{
	return generation->has[stage];
}

int64_t
generation_shortest_timeout(const struct generation *generation)
{
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < generation->count; i++)
		if (generation->entries[i].config->timeout < least)
			least = generation->entries[i].config->timeout;
	return least;
}

struct blobs *
generation_blobs(const struct generation *generation)
{
	return generation->blobs;
}

struct db *
generation_db(const struct generation *generation)
{
	return generation->db;
}

bool
generation_is_trial(const struct generation *generation)
{
	return generation->trial;
}

/* ---- commands -------------------------------------------------------------------------------- */

/* How many words of `argv` are the name "user passwd"; 0: it is another command. */
static int
matching_words(const char *name, int argc, char *const *argv)
{
	int words = 0;

	for (; *name; words++) {
		size_t len = strcspn(name, " ");

		if (words == argc || strlen(argv[words]) != len || memcmp(argv[words], name, len))
			return 0;
		name += len;
		name += strspn(name, " ");
	}
	return words;
}

const struct pn_command *
generation_command(const struct generation *generation, int argc, char *const *argv,
    const struct chain_entry **ret_entry, int *ret_words)
{
	for (size_t i = 0; i < generation->count; i++) {
		const struct pn_command *command = generation->entries[i].module->commands;

		for (; command && command->name; command++) {
			int words = matching_words(command->name, argc, argv);

			if (words > 0) {
				*ret_entry = &generation->entries[i];
				*ret_words = words;
				return command;
			}
		}
	}
	return NULL;
}

static const char *
arguments_text(struct arena *arena, int argc, char **argv)
{
	const char *text = argc > 0 ? argv[0] : "";

	for (int i = 1; i < argc; i++)
		text = arena_printf(arena, "%s %s", text, argv[i]);
	return text;
}

int
generation_command_run(struct generation *generation, const char *who,
    const struct chain_entry *entry, const struct pn_command *command, struct pn_console *console,
    int argc, char **argv, struct pn_error *err)
{
	struct audit_row row = { .who = who, .action = command->name, .scope = "default" };
	struct pn_call call;
	int r;

	if (argc < command->min_arguments || argc > command->max_arguments)
		return pn_error_set(
		    err, -EINVAL, "usage: posternctl %s %s", command->name, command->arguments);
	call_begin(&call, generation, entry, NULL, PN_STAGE_END, true);
	row.object = arguments_text(&call.arena, argc, argv);
	call.audit = call.audited = &row;
	r = command->run(&call, console, argc, argv, err);
	call_end(&call);
	return r;
}
