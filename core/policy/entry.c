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
#include <core/policy/call.h>
#include <core/policy/entry.h>
#include <core/policy/plans.h>
#include <core/policy/slots.h>
#include <core/policy/stage.h>
#include <core/store/db.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/param.h>

struct entry_state {
	uint32_t references; /* atomic */
	bool stopped;
	const struct pn_module *module;
	void *state;
};

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
	entry_read_settings(build, ret);
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
