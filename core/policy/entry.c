/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.c - makes one entry of the pipeline: module, settings, derived data, state.
 *
 * Called by generation.c on the main thread; entry_free() by whoever lets the last hold of a
 * generation go. Must never start anything while only checking.
 */
#include <core/base/metric.h>
#include <core/client/clients.h>
#include <core/net/jobs.h>
#include <core/policy/blob.h>
#include <core/policy/call.h>
#include <core/policy/entry.h>
#include <core/policy/plans.h>
#include <core/policy/slots.h>
#include <core/policy/stage.h>
#include <core/policy/trace.h>
#include <core/store/overrides.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/param.h>

struct entry_state {
	uint32_t references; /* atomic */
	bool stopped;
	const struct pn_module *module;
	void *state;
};

/* ---- settings -------------------------------------------------------------------------------- */

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

static void
read_settings(const struct entry_build *build, struct chain_entry *entry)
{
	static const struct pn_option none[] = { PN_OPT_END };
	const struct pn_module *module = entry->module;
	struct scopes_how how = { .tree = build->tree,
		.directory = &generation_core(build->generation)->directory,
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

/* ---- conditions ------------------------------------------------------------------------------ */

static int32_t
known_from(const struct config_when *when)
{
	if (when->larger_than > 0 || when->header.count > 0)
		return PN_STAGE_MESSAGE;
	if (when->recipient.count > 0 || when->recipient_domain.count > 0)
		return PN_STAGE_RECIPIENT;
	if (when->sender.count > 0 || when->sender_domain.count > 0 || when->user.count > 0 ||
	    when->tag.count > 0 || when->group.count > 0 || when->account.count > 0)
		return PN_STAGE_SENDER;
	return PN_STAGE_CONNECT;
}

/* DESIGN section 10: hooks before the facts of `when` are known do not run, and check says so. */
static void
warn_of_idle_hooks(const struct entry_build *build, const struct chain_entry *entry)
{
	int32_t from = known_from(&entry->config->when);

	for (int32_t stage = PN_STAGE_CONNECT; stage < from; stage++)
		if (entry->hooks[stage])
			diag_add(build->diags, DIAG_WARNING, entry->config->mark,
			    "%s: does nothing at the stage \"%s\", where what its \"when\" asks "
			    "for "
			    "is not known yet",
			    entry->config->id, stage_name(stage));
}

/* From a quick hook's microseconds to the deadline of the chain. */
static const double hook_bounds[] = { 0.00001, 0.0001, 0.001, 0.01, 0.1, 0.5, 1, 5, 20, 60 };

static const struct pn_metric_about hook_seconds = {
	PN_METRIC_HEAD,
	.type = PN_METRIC_HISTOGRAM,
	.name = "hook_seconds",
	.help = "Time that hooks took, by entry and stage.",
	.labels = "entry module stage",
	.bounds = hook_bounds,
	.bound_count = sizeof(hook_bounds) / sizeof(hook_bounds[0]),
};

static const struct pn_metric_about hook_faults = {
	PN_METRIC_HEAD,
	.type = PN_METRIC_COUNTER,
	.name = "hook_faults_total",
	.help = "Hooks that could not decide, by entry and stage.",
	.labels = "entry module stage",
};

static void
count_hook(struct chain_entry *entry, int32_t at)
{
	const char *id = entry->config->id, *module = entry->module->name;
	const char *stage = stage_name(at);

	entry->hook_seconds[at] = metric_own(&hook_seconds, id, module, stage, NULL);
	entry->hook_faults[at] = metric_own(&hook_faults, id, module, stage, NULL);
}

bool
entry_may_run(const struct chain_entry *entry)
{
	return entry->enabled || entry->fault ||
	       (entry->scopes && entry_scopes_any_enabled(entry->scopes));
}

static void
set_hooks(struct chain_entry *entry)
{
	const struct pn_hook *hook = entry->module->hooks;

	if (!entry_may_run(entry))
		return;
	for (; hook && hook->stage != PN_STAGE_END; hook++) {
		entry->hooks[hook->stage] = hook->run;
		entry->hook_flags[hook->stage] = hook->flags;
		count_hook(entry, hook->stage);
	}
	if (provider_table(entry->module)) {
		entry->hooks[PN_STAGE_PROTECT] = protect_render;
		count_hook(entry, PN_STAGE_PROTECT);
	}
}

void
entry_load(const struct entry_build *build, const struct config_entry *config,
    const struct chain_entry *known, struct chain_entry *ret)
{
	struct pn_error err = { 0 };

	*ret = (struct chain_entry){ .config = config, .enabled = config->enabled };
	if (known) {
		ret->module = known->module;
	} else if (loader_open(config->module, build->how->module_path, &ret->module, &err) < 0) {
		diag_add(build->diags, DIAG_ERROR, config->mark, "pipeline: %s", err.text);
		return;
	}
	read_settings(build, ret);
	set_hooks(ret);
	warn_of_idle_hooks(build, ret);
}

/* ---- states ---------------------------------------------------------------------------------- */

static bool
wanted_here(const struct entry_build *build, const struct chain_entry *entry)
{
	uint32_t roles = entry->module->roles ? entry->module->roles : PN_ROLE_RELAY;

	return entry_may_run(entry) && entry->module->start && (roles & build->how->role);
}

static int
migrate(const struct entry_build *build, const struct chain_entry *entry, struct pn_error *err)
{
	const struct pn_module *module = entry->module;

	if (!module->migrations || !build->how->db || build->how->trial)
		return 0;
	return db_migrate(
	    build->how->db, module->name, module->migrations, module->migration_size, err);
}

static int
start(const struct entry_build *build, struct chain_entry *entry, struct pn_error *err)
{
	struct entry_state *shared = calloc(1, sizeof(*shared));
	struct pn_call call;
	int r;

	if (!shared)
		return pn_error_set(err, -ENOMEM, "out of memory");
	call_begin(&call, build->generation, entry, NULL, PN_STAGE_END, true);
	r = entry->module->start(&call, &shared->state, err);
	call_end(&call);
	if (r < 0) {
		free(shared);
		return r;
	}
	shared->module = entry->module;
	shared->references = 1;
	entry->shared = shared;
	entry->state = shared->state;
	return 0;
}

static int
share_clients(
    const struct entry_build *build, struct chain_entry *entry, const struct chain_entry *before)
{
	if (!entry_may_run(entry) || !build->how->role)
		return 0;
	entry->clients = before && before->clients && before->module == entry->module
			     ? clients_hold(before->clients)
			     : clients_new();
	return entry->clients ? 0 : -ENOMEM;
}

/* Half of the threads: one slow entry starves only itself. */
static unsigned
concurrency(const struct entry_build *build, const struct chain_entry *entry)
{
	if (entry->config->concurrency > 0)
		return (unsigned)entry->config->concurrency;
	return MAX(1, jobs_threads(generation_core(build->generation)->relay.policy_threads) / 2);
}

/* Those of the entry before, with what is still running in them. */
static void
take_slots(
    const struct entry_build *build, struct chain_entry *entry, const struct chain_entry *before)
{
	unsigned limit = concurrency(build, entry);

	if (before && before->slots) {
		entry->slots = slots_hold(before->slots);
		slots_limit(entry->slots, limit);
	} else {
		entry->slots = slots_new(limit);
	}
}

int
entry_start(
    const struct entry_build *build, struct chain_entry *entry, const struct chain_entry *before)
{
	struct pn_error err = { 0 };
	int r = migrate(build, entry, &err);

	if (r == 0)
		r = share_clients(build, entry, before);
	take_slots(build, entry, before);
	if (r == 0 && wanted_here(build, entry)) {
		if (before && before->shared && before->module == entry->module) {
			entry->shared = before->shared;
			entry->state = before->state;
			__atomic_fetch_add(&entry->shared->references, 1, __ATOMIC_RELAXED);
		} else {
			r = start(build, entry, &err);
		}
	}
	if (r < 0)
		diag_add(build->diags, DIAG_ERROR, entry->config->mark, "%s: cannot start: %s",
		    entry->config->id, err.text[0] ? err.text : strerror(-r));
	return r;
}

void
entry_stop(struct chain_entry *entry)
{
	struct entry_state *shared = entry->shared;

	if (!shared || shared->stopped)
		return;
	shared->stopped = true;
	shared->module->stop(shared->state);
}

void
entry_free(struct chain_entry *entry)
{
	struct entry_state *shared = entry->shared;

	if (entry->derived)
		entry->module->release(entry->derived);
	entry->derived = NULL;
	clients_release(&entry->clients);
	entry_scopes_free(&entry->scopes);
	slots_release(&entry->slots);
	if (!shared || __atomic_sub_fetch(&shared->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	entry_stop(entry);
	free(shared);
	entry->shared = NULL;
}
