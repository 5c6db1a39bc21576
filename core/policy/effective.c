/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effective.c - finds or makes the settings that hold for a sender.
 *
 * Called by hook.c before each hook, on event loops and policy threads; by entry.c when a
 * generation is made. Must never run a module's `check` or `prepare` outside of effective_make(),
 * around which stand the guard and crash attribution of hooks.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/policy/blob.h>
#include <core/policy/effective.h>
#include <core/policy/stage.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/param.h>

#define KEPT_MOST 4096 /* per entry and generation; what nobody uses goes first */

struct entry_scopes {
	const struct scopes *scopes;
	const struct pn_module *module;
	const char *id;
	struct blobs *blobs; /* the generation's, or NULL */
	bool any_enabled;
	pthread_mutex_t lock;   /* of what follows */
	pthread_cond_t settled; /* something that was being made is made */
	GHashTable *made;       /* GBytes of layers -> struct effective */
	GHashTable *making;     /* the same -> int64_t, until when its maker may take */
};

struct entry_scopes *
entry_scopes_new(const struct chain_entry *entry, struct blobs *blobs)
{
	struct entry_scopes *own = calloc(1, sizeof(*own));
	pthread_condattr_t clock;

	if (!own)
		return NULL;
	own->scopes = entry->layers;
	own->blobs = blobs;
	own->module = entry->module;
	own->id = entry->config->id;
	pthread_mutex_init(&own->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&own->settled, &clock);
	pthread_condattr_destroy(&clock);
	own->made = g_hash_table_new_full(
	    g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
	own->making = g_hash_table_new_full(
	    g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, g_free);
	return own;
}

void
entry_scopes_free(struct entry_scopes **scopes)
{
	struct entry_scopes *old = *scopes;
	GHashTableIter iter;
	gpointer value;

	*scopes = NULL;
	if (!old)
		return;
	g_hash_table_iter_init(&iter, old->made);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct effective *effective = value;

		effective_release(&effective);
	}
	g_hash_table_destroy(old->made);
	g_hash_table_destroy(old->making);
	pthread_cond_destroy(&old->settled);
	pthread_mutex_destroy(&old->lock);
	free(old);
}

struct effective *
effective_hold(struct effective *effective)
{
	__atomic_fetch_add(&effective->references, 1, __ATOMIC_RELAXED);
	return effective;
}

void
effective_release(struct effective **effective)
{
	struct effective *old = *effective;

	*effective = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (old->derived)
		old->module->release(old->derived);
	arena_free(&old->arena);
	free(old);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* "user ada@clinic.example, group doctors" */
static const char *
scope_text(const struct scopes *scopes, const struct scope_stack *stack, struct arena *arena)
{
	const char *text = "";

	for (size_t i = stack->count; i-- > 0;)
		text = arena_printf(arena, "%s%s%s", text, *text ? ", " : "",
		    scopes->layers[stack->layers[i]].text);
	return text;
}

static void
run_check(const struct entry_scopes *own, const struct scope_stack *stack,
    struct effective *effective, struct diags *diags)
{
	const char *where = scopes_where(own->scopes, stack);
	struct blob_access access = { 0 };
	struct pn_check check = { &effective->settings, where, diags, &access };
	size_t errors = diags->errors, first = diags->count;
	int r;

	if (own->module->check)
		own->module->check(&check, effective->settings.values);
	if (own->module->prepare && diags->errors == errors) {
		blob_access_begin(&access, own->blobs, own->module, own->scopes, stack);
		r = own->module->prepare(&check, effective->settings.values, &effective->derived);
		blob_access_end(&access);
		if (r < 0 && diags->errors == errors)
			pn_complain(&check, "", "cannot be prepared: %s", strerror(-r));
	}
	scopes_blame(own->scopes, stack, diags, first);
}

/* New ones, not kept. `secrets` NULL: all have been read. */
static struct effective *
make(struct entry_scopes *own, const struct scope_stack *stack, struct settings_secrets **secrets,
    bool thorough, struct diags *diags)
{
	struct effective *effective = calloc(1, sizeof(*effective));
	struct settings_secrets *none = NULL;
	struct scopes_fill to;

	if (!effective)
		abort(); /* as arena.h */
	effective->references = 1;
	effective->module = own->module;
	effective->scope = scope_text(own->scopes, stack, &effective->arena);
	to = (struct scopes_fill){ &effective->arena, secrets ? secrets : &none, diags };
	if (scopes_fill(own->scopes, stack, &to, &effective->settings, &effective->enabled, NULL) ==
		0 &&
	    thorough)
		run_check(own, stack, effective, diags);
	return effective;
}

/* Something that is stored for one of them, or for everybody, and does not fit. */
static const char *
stored_fault(const struct scopes *scopes, const struct scope_stack *stack)
{
	const char *fault = scopes->fault;

	for (size_t i = 0; i < stack->count && !fault; i++)
		fault = scopes->layers[stack->layers[i]].fault;
	return fault;
}

/* What nobody found while the configuration was checked: a combination of overrides. */
static struct effective *
make_lasting(struct entry_scopes *own, const struct scope_stack *stack)
{
	struct diags diags = { 0 };
	struct effective *effective = make(own, stack, NULL, true, &diags);
	struct arena *arena = &effective->arena;

	effective->fault = stored_fault(own->scopes, stack);
	diags_sort(&diags);
	for (size_t i = 0; i < diags.count && !effective->fault; i++)
		if (diags.items[i].kind == DIAG_ERROR)
			effective->fault = arena_printf(arena, "its settings for %s do not fit: %s",
			    effective->scope, diag_format(&diags.items[i], arena));
	if (effective->fault)
		log_event(
		    PN_LOG_ERROR, "settings", "entry", own->id, "error", effective->fault, NULL);
	diags_free(&diags);
	return effective;
}

/* ---- keeping --------------------------------------------------------------------------------- */

static GBytes *
key_of(const struct scope_stack *stack)
{
	return g_bytes_new(stack->layers, stack->count * sizeof(stack->layers[0]));
}

/* With the lock held. */
static struct effective *
look_up(struct entry_scopes *own, GBytes *key)
{
	struct effective *found = g_hash_table_lookup(own->made, key);

	return found ? effective_hold(found) : NULL;
}

static gboolean
is_idle(gpointer key, gpointer value, gpointer arg)
{
	struct effective *effective = value;

	if (__atomic_load_n(&effective->references, __ATOMIC_ACQUIRE) > 1)
		return FALSE;
	effective_release(&effective); /* none can take hold of it: the lock is ours */
	return TRUE;
}

/* Takes `fresh`; gives the one that everybody uses, held. Nobody makes it any more. */
static struct effective *
keep(struct entry_scopes *own, const struct scope_stack *stack, struct effective *fresh)
{
	GBytes *key = key_of(stack);
	struct effective *found;

	pthread_mutex_lock(&own->lock);
	found = look_up(own, key);
	if (!found) {
		if (g_hash_table_size(own->made) >= KEPT_MOST)
			g_hash_table_foreach_remove(own->made, is_idle, NULL);
		g_hash_table_insert(own->made, g_bytes_ref(key), effective_hold(fresh));
		found = fresh;
		fresh = NULL;
	}
	g_hash_table_remove(own->making, key);
	pthread_cond_broadcast(&own->settled);
	pthread_mutex_unlock(&own->lock);
	effective_release(&fresh);
	g_bytes_unref(key);
	return found;
}

/* ---- making ---------------------------------------------------------------------------------- */

static struct timespec
time_of(int64_t ms)
{
	return (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
}

/* With the lock held, and left for a while. False: nobody makes it, or it takes him too long. */
static bool
wait_for_maker(struct entry_scopes *own, GBytes *key, int64_t until_ms)
{
	const int64_t *maker_ms = g_hash_table_lookup(own->making, key);
	struct timespec until;

	if (!maker_ms || clock_monotonic_ms() >= MIN(*maker_ms, until_ms))
		return false;
	until = time_of(MIN(*maker_ms, until_ms));
	pthread_cond_timedwait(&own->settled, &own->lock, &until);
	return true;
}

enum effective_claim
effective_claim(const struct chain_entry *entry, const struct scope_stack *stack, int64_t until_ms,
    struct effective **ret)
{
	struct entry_scopes *own = entry->scopes;
	enum effective_claim claim = EFFECTIVE_FOUND;
	GBytes *key = key_of(stack);

	pthread_mutex_lock(&own->lock);
	do
		*ret = look_up(own, key);
	while (!*ret && wait_for_maker(own, key, until_ms));
	if (!*ret && g_hash_table_contains(own->making, key)) {
		claim = EFFECTIVE_NOT_YET;
	} else if (!*ret) {
		claim = EFFECTIVE_YOURS;
		g_hash_table_insert(
		    own->making, g_bytes_ref(key), g_memdup2(&until_ms, sizeof(until_ms)));
	}
	pthread_mutex_unlock(&own->lock);
	g_bytes_unref(key);
	return claim;
}

struct effective *
effective_make(const struct chain_entry *entry, const struct scope_stack *stack)
{
	return keep(entry->scopes, stack, make_lasting(entry->scopes, stack));
}

const char *
effective_scope(
    const struct chain_entry *entry, const struct scope_stack *stack, struct arena *arena)
{
	return scope_text(entry->scopes->scopes, stack, arena);
}

/* ---- finding --------------------------------------------------------------------------------- */

/* Found once per transaction: whose mail it is does not change with what hooks edit. */
static const struct config_scope *
sender_of(struct pn_txn *txn)
{
	if (!txn->scope || txn->scope_sender != txn->envelope.original_sender) {
		txn->scope = arena_alloc(&txn->arena, sizeof(*txn->scope));
		txn->scope_sender = txn->envelope.original_sender;
		config_scope_find(generation_roster(txn->generation), &txn->facts,
		    txn->envelope.original_sender, txn->scope);
	}
	return txn->scope;
}

static struct effective *
find(struct entry_scopes *own, const struct scope_stack *stack)
{
	GBytes *key = key_of(stack);
	struct effective *found;

	pthread_mutex_lock(&own->lock);
	found = look_up(own, key);
	pthread_mutex_unlock(&own->lock);
	g_bytes_unref(key);
	return found;
}

/* Nobody's mail, or chosen by another. */
static bool
is_always(int32_t stage)
{
	return stage_is(stage, STAGE_ALWAYS);
}

enum effective_step
effective_step(const struct effective *effective, int32_t stage)
{
	return effective->enabled || effective->fault || is_always(stage) ? EFFECTIVE_ON
									  : EFFECTIVE_OFF;
}

/* Not by what a client says of itself: it would choose what runs. */
static bool
is_proven(enum pn_account_by by)
{
	return by == PN_BY_USER || by == PN_BY_CERTIFICATE || by == PN_BY_NETWORK;
}

/* The plan of the account that the mail is counted for is without the entry. */
static bool
is_not_in_plan(const struct chain_entry *entry, struct pn_txn *txn, int32_t stage)
{
	const struct roster *roster = generation_roster(txn->generation);

	return roster_has_plans(roster) && !stage_is(stage, STAGE_IN_SESSION) && txn->id[0] &&
	       !is_always(stage) && is_proven(sender_of(txn)->by) &&
	       roster_plan_lacks(roster, sender_of(txn)->counted, entry->config->id);
}

enum effective_step
effective_find(const struct chain_entry *entry, struct pn_txn *txn, int32_t stage,
    struct scope_stack *ret_stack, struct effective **ret)
{
	struct entry_scopes *own = entry->scopes;

	*ret = NULL;
	ret_stack->count = 0;
	if (is_not_in_plan(entry, txn, stage))
		return EFFECTIVE_OFF;
	/* Before MAIL, and where there is no sender at all, the default speaks. */
	if (own && !stage_is(stage, STAGE_IN_SESSION) && txn->id[0])
		scopes_match(own->scopes, sender_of(txn), ret_stack);
	if (ret_stack->count == 0)
		return entry->enabled || entry->fault || is_always(stage) ? EFFECTIVE_ON
									  : EFFECTIVE_OFF;
	*ret = find(own, ret_stack);
	if (!*ret && (own->module->check || own->module->prepare))
		return EFFECTIVE_MAKE;
	if (!*ret)
		*ret = effective_make(entry, ret_stack);
	return effective_step(*ret, stage);
}

struct effective *
effective_for(const struct chain_entry *entry, const struct config_scope *scope)
{
	struct scope_stack stack = { .count = 0 };
	struct effective *found;

	if (entry->scopes)
		scopes_match(entry->scopes->scopes, scope, &stack);
	if (stack.count == 0)
		return NULL;
	found = find(entry->scopes, &stack);
	return found ? found : effective_make(entry, &stack);
}

/* ---- checking -------------------------------------------------------------------------------- */

struct checking {
	struct entry_scopes *own;
	struct settings_secrets **secrets;
	bool thorough;
	struct diags *diags;
};

bool
effective_is_stored(const struct diag *diag)
{
	return diag->mark.file && diag->mark.line == 0 &&
	       strcmp(diag->mark.file, SCOPES_STORED) == 0;
}

/* At the same place, among the first `count`: by the section's own check, or by a stack before. */
static bool
was_said(const struct diags *diags, size_t count, const struct diag *diag)
{
	for (size_t i = 0; i < count; i++) {
		const struct diag *old = &diags->items[i];

		if (old->kind == diag->kind && old->mark.line == diag->mark.line &&
		    old->mark.column == diag->mark.column &&
		    g_strcmp0(old->mark.file, diag->mark.file) == 0)
			return true;
	}
	return false;
}

static void
check_stack(void *arg, const struct scope_stack *stack)
{
	struct checking *checking = arg;
	struct diags found = { 0 };
	size_t before = checking->diags->count;
	struct effective *effective = make(
	    checking->own, stack, checking->secrets, checking->thorough, &found);

	for (size_t i = 0; i < found.count; i++) {
		const struct diag *diag = &found.items[i];
		bool stored = effective_is_stored(diag);

		if (stored || !was_said(checking->diags, before, diag))
			diag_add(checking->diags, stored ? DIAG_WARNING : diag->kind, diag->mark,
			    "%s", diag->text);
	}
	checking->own->any_enabled |= effective->enabled || found.errors > 0 ||
				      stored_fault(checking->own->scopes, stack);
	effective_release(&effective);
	diags_free(&found);
}

void
entry_scopes_check(struct entry_scopes *scopes, struct settings_secrets **secrets, bool thorough,
    struct diags *diags)
{
	struct checking checking = { scopes, secrets, thorough, diags };

	scopes_each(scopes->scopes, check_stack, &checking);
}

bool
entry_scopes_any_enabled(const struct entry_scopes *scopes)
{
	return scopes->any_enabled;
}
