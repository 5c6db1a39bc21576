/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hook.c - one call of one hook: what its verdict means, what of its work stands, what is said.
 *
 * Called by chain.c for each entry that takes part in a stage. Must never block in a call with
 * `may_block` false, nor touch a transaction that was taken away while the hook ran.
 */
#include <assert.h>
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/base/metric.h>
#include <core/policy/crash.h>
#include <core/policy/hook.h>
#include <core/policy/slots.h>
#include <core/policy/stage.h>
#include <core/policy/trace.h>
#include <errno.h>
#include <stdio.h>

#define STALL_MS 100 /* longer than this on the loop gets a line with the culprit's name */

/* What each verdict is called, where it may be given, and what it becomes. */
static const struct {
	const char *name;
	unsigned stages;
	enum ruling_kind ruling;
} verdicts[] = {
#define REFUSING \
	(CALL_AT(PN_STAGE_CONNECT) | CALL_AT(PN_STAGE_HELO) | CALL_AT(PN_STAGE_AUTH) | \
	    CALL_AT(PN_STAGE_SENDER) | CALL_AT(PN_STAGE_RECIPIENT) | CALL_AT(PN_STAGE_MESSAGE) | \
	    CALL_AT(PN_STAGE_SELECT) | CALL_AT(PN_STAGE_PROTECT))
	[VERDICT_NONE] = { "none", 0, RULING_PASS },
	[VERDICT_PASS] = { "pass", ~0u, RULING_PASS },
	[VERDICT_REJECT] = { "reject", REFUSING, RULING_REJECT },
	[VERDICT_DEFER] = { "defer", REFUSING, RULING_DEFER },
	[VERDICT_DISCARD] = { "discard", CALL_AT(PN_STAGE_MESSAGE), RULING_DISCARD },
	[VERDICT_FAULT] = { "fault", ~0u, RULING_PASS },
	[VERDICT_NOT_QUICK] = { "not-quick", ~0u, RULING_PASS },
	[VERDICT_CHALLENGE] = { "challenge", CALL_AT(PN_STAGE_AUTH), RULING_CHALLENGE },
	[VERDICT_IDENTIFIED] = { "identified", CALL_AT(PN_STAGE_AUTH), RULING_IDENTIFIED },
	[VERDICT_CHOOSE] = { "choose", CALL_AT(PN_STAGE_SELECT), RULING_CHOSEN },
	[VERDICT_HOLD] = { "hold", CALL_AT(PN_STAGE_MESSAGE), RULING_HOLD },
};

static void
set_fault(struct pn_call *call, const char *text)
{
	call->kind = VERDICT_FAULT;
	call->text = arena_text(&call->arena, text);
}

/* Leaves in call->kind what the hook meant; whatever it may not mean is a fault. */
static void
judge(struct pn_call *call, struct pn_verdict verdict)
{
	int32_t kind = verdict.kind;

	if (kind <= VERDICT_NONE || kind > VERDICT_HOLD) {
		set_fault(call, "returned no verdict");
	} else if (kind == VERDICT_NOT_QUICK) {
		call->kind = kind;
		if (call->may_block)
			set_fault(call, "asked twice for a thread");
	} else if (kind == VERDICT_PASS && verdict.detail == 0) { /* pn_pass() */
		call->kind = kind;
		call->text = NULL;
	} else if (verdict.detail != call->serial || kind != call->kind) {
		set_fault(call, "returned a verdict of another call");
	} else if (!(verdicts[kind].stages & CALL_AT(call->stage))) {
		set_fault(call, arena_printf(&call->arena, "gave a verdict of another stage: %s",
				    verdicts[kind].name));
	}
}

static const char *const fault_words[] = {
	[CONFIG_FAULT_DEFER] = "defer",
	[CONFIG_FAULT_SKIP] = "skip",
	[CONFIG_FAULT_REJECT] = "reject",
};

static int
on_fault(const struct pn_call *call)
{
	return call->refused ? CONFIG_FAULT_DEFER : call->entry->config->on_fault;
}

static void
log_fault(const struct pn_call *call)
{
	const struct config_entry *config = call->entry->config;

	log_event(PN_LOG_WARNING, "fault", "entry", config->id, "module", call->entry->module->name,
	    "stage", stage_name(call->stage), "id", call->txn->id[0] ? call->txn->id : NULL,
	    "client", call->txn->facts.client_address, "on_fault",
	    stage_is(call->stage, STAGE_EVERY) ? NULL : fault_words[on_fault(call)], "error",
	    call->text, NULL);
}

/* The entry's on_fault speaks. RFC 4954 section 6 has its own code for AUTH. */
static enum hook_step
rule_fault(struct pn_call *call, struct chain_run *run, struct ruling *ret)
{
	bool auth = call->stage == PN_STAGE_AUTH;

	log_fault(call);
	pn_metric_add(call->entry->hook_faults[call->stage], 1);
	run->faults++;
	if (stage_is(call->stage, STAGE_EVERY) || on_fault(call) == CONFIG_FAULT_SKIP)
		return HOOK_NEXT;
	if (on_fault(call) == CONFIG_FAULT_REJECT)
		*ret = (struct ruling){ .kind = RULING_REJECT,
			.code = 550,
			.enhanced = "5.7.1",
			.text = "Refused: a policy check failed",
			.entry = call->entry->config->id };
	else if (call->starved)
		*ret = (struct ruling){ .kind = RULING_DEFER,
			.code = 452,
			.enhanced = "4.3.1",
			.text = "Not enough memory for a message of this size, try again later",
			.entry = call->entry->config->id };
	else
		*ret = (struct ruling){ .kind = RULING_DEFER,
			.code = auth ? 454 : 451,
			.enhanced = auth ? "4.7.0" : "4.7.1",
			.text = "Temporary failure, try again later",
			.entry = call->entry->config->id };
	return HOOK_END;
}

static enum hook_step
rule(struct pn_call *call, struct chain_run *run, struct ruling *ret)
{
	struct arena *arena = &call->txn->arena;

	if (call->kind == VERDICT_FAULT)
		return rule_fault(call, run, ret);
	if (call->kind == VERDICT_PASS)
		return HOOK_NEXT;
	*ret = (struct ruling){
		.kind = verdicts[call->kind].ruling,
		.code = call->code,
		.enhanced = call->enhanced ? arena_text(arena, call->enhanced) : NULL,
		.text = call->text ? arena_text(arena, call->text) : NULL,
		.entry = call->entry->config->id,
		.challenge = pn_slice(arena_slice(arena, call->challenge), call->challenge.len),
		.chosen = call->chosen,
		.choice = pn_slice(arena_slice(arena, call->choice), call->choice.len),
		.hold_ms = call->hold_ms,
		.hold_end = call->hold_end,
	};
	return HOOK_END;
}

static void
log_stall(const struct pn_call *call, int64_t took_ms)
{
	char took[24];

	snprintf(took, sizeof(took), "%lld", (long long)took_ms);
	log_event(PN_LOG_WARNING, "stall", "entry", call->entry->config->id, "module",
	    call->entry->module->name, "stage", stage_name(call->stage), "ms", took, NULL);
}

/* Waiting for a thread counts too: the client waits as well. */
static void
account(const struct pn_call *call, const struct chain_run *run, int64_t began_us, int64_t now_us)
{
	int64_t took_us = now_us - began_us;

	pn_metric_observe(call->entry->hook_seconds[call->stage], (double)took_us / 1e6);
	if (stage_is(call->stage, STAGE_IN_CHAIN))
		call->txn->hook_ms += now_us / 1000 - run->began_ms;
	if (!call->may_block && took_us / 1000 > STALL_MS)
		log_stall(call, took_us / 1000);
}

/* Whether its code may run at all, after what it did before; a fault where not. */
static bool
may_run(struct pn_call *call, int64_t now_us)
{
	if (now_us / 1000 >= call->due_ms) {
		set_fault(call, "no time is left for it");
		return false;
	}
	switch (crash_rule(call->entry, call->txn, call->stage)) {
	case CRASH_RUN:
		return true;
	case CRASH_REFUSE:
		call->refused = true;
		set_fault(call, "not run: it has crashed on this before");
		return false;
	case CRASH_DISABLED:
		set_fault(call, "not run until the next reload: it has crashed too often");
		return false;
	}
	return false;
}

/* The module's code is about to run on this thread. */
static void
enter(const struct pn_call *call, struct guard *guard)
{
	crash_enter(call->entry, call->txn, call->stage);
	if (guard)
		guard_enter(guard, call->due_ms);
}

/* It has returned. False: the transaction is not ours any more. */
static bool
leave(struct guard *guard)
{
	crash_leave();
	return !guard || guard_leave(guard);
}

/* Settings that nobody has had yet, in the hook's own time. False: as leave(). */
static bool
make_settings(struct pn_call *call, struct guard *guard, const struct scope_stack *stack)
{
	switch (effective_claim(call->entry, stack, call->due_ms, &call->effective)) {
	case EFFECTIVE_FOUND:
		break;
	case EFFECTIVE_YOURS:
		enter(call, guard);
		call->effective = effective_make(call->entry, stack);
		return leave(guard);
	case EFFECTIVE_NOT_YET:
		set_fault(call,
		    arena_printf(&call->arena, "its settings for %s have not been prepared in time",
			effective_scope(call->entry, stack, &call->arena)));
		break;
	}
	return true;
}

/* Whatever it meant, it has not seen the message that it asked for. */
static void
miss_nothing(struct pn_call *call)
{
	int r = reading_error(call->txn);

	if (r == 0)
		return;
	call->refused = true;
	call->starved = true;
	set_fault(call, arena_printf(&call->arena,
			    "the message could not be brought into memory: %s", strerror(-r)));
}

/*
 * Calls the hook; what it meant is in call->kind, and what it staged stands if it passed. False:
 * the transaction is not ours any more.
 */
static bool
call_hook(struct pn_call *call, const struct chain_run *run, struct guard *guard, int64_t began_us)
{
	const char *fault = call->effective ? call->effective->fault : call->entry->fault;
	bool alone = stage_is(call->stage, STAGE_ALONE);
	struct pn_verdict verdict;
	int64_t now_us;
	int r;

	if (fault) {
		set_fault(call, fault);
		return true;
	}
	if (alone && !slots_begin_alone(call->entry->slots, call->stage)) {
		set_fault(call, "the one before has not returned yet");
		return true;
	}
	enter(call, guard);
	verdict = call->entry->hooks[call->stage](call, call->txn);
	if (alone)
		slots_end_alone(call->entry->slots, call->stage);
	if (!leave(guard))
		return false;
	judge(call, verdict);
	miss_nothing(call);
	now_us = clock_monotonic_us();
	account(call, run, began_us, now_us);
	if (call->kind != VERDICT_FAULT && now_us / 1000 >= call->due_ms)
		set_fault(call, "answered after its time was up");
	if (call->kind == VERDICT_PASS || call->kind == VERDICT_CHOOSE ||
	    call->kind == VERDICT_HOLD) {
		r = call->txn->provisional ? 0 : call_apply(call);
		if (r < 0)
			set_fault(call, arena_printf(&call->arena, "its edits cannot be made: %s",
					    strerror(-r)));
	}
	return true;
}

/* For the trace: with the code, where there is one. */
static const char *
reason(struct pn_call *call)
{
	if (call->kind == VERDICT_CHOOSE)
		return arena_printf(&call->arena, "%s%s%s", call->chosen.method,
		    *call->text ? ": " : "", call->text);
	if (call->kind == VERDICT_PASS && !call->text && call->want.why)
		return call->want.why;
	if (call->kind != VERDICT_REJECT && call->kind != VERDICT_DEFER)
		return call->text;
	return arena_printf(&call->arena, "%d %s %s", call->code, call->enhanced, call->text);
}

bool
hook_hears_of_end(const struct chain_entry *entry, const struct pn_txn *txn, int32_t stage)
{
	for (size_t i = 0; stage_is(stage, STAGE_EFFECTS) && i < txn->effect_count; i++)
		if (!strcmp(txn->effects[i].entry, entry->config->id))
			return true;
	return false;
}

static bool
is_off(const struct pn_call *call, enum effective_step is)
{
	return is == EFFECTIVE_OFF && !hook_hears_of_end(call->entry, call->txn, call->stage);
}

static enum hook_step
conclude(struct pn_call *call, struct chain_run *run, struct ruling *ret)
{
	struct pn_txn *txn = call->txn;
	enum hook_step step = HOOK_HOP;

	if (call->kind != VERDICT_NOT_QUICK) {
		step = rule(call, run, ret);
		trace_add(txn, call->entry, call->effective, call->stage, verdicts[call->kind].name,
		    reason(call));
	}
	call_end(call);
	if (call->kind == VERDICT_CHALLENGE)
		txn->challenger = run->next + 1;
	else if (call->stage == PN_STAGE_AUTH && call->kind != VERDICT_NOT_QUICK)
		txn_drop_kept(txn); /* the next entry must not find what this one kept */
	return step;
}

/* A slot may have been waited for already. */
static bool
take_slot(struct guard *guard, const struct chain_entry *entry)
{
	if (guard->held == entry->slots)
		return true;
	assert(!guard->held);
	if (!slots_try(entry->slots))
		return false;
	guard->held = entry->slots;
	return true;
}

static void
leave_slot(struct guard *guard)
{
	struct slots *held = guard ? guard->held : NULL;

	if (!held)
		return;
	guard->held = NULL;
	slots_leave(held);
}

/* Settings first, where there are none yet, then the hook. False: as call_hook(). */
static bool
call_prepared(struct pn_call *call, const struct chain_run *run, struct guard *guard,
    enum effective_step *is, const struct scope_stack *stack, int64_t began_us)
{
	if (!may_run(call, began_us))
		return true;
	if (*is == EFFECTIVE_MAKE) {
		if (!make_settings(call, guard, stack))
			return false;
		if (call->kind == VERDICT_FAULT)
			return true;
		*is = effective_step(call->effective, call->stage);
		if (is_off(call, *is))
			return true;
	}
	return call_hook(call, run, guard, began_us);
}

/* Switched off for the sender. */
static enum hook_step
pass_over(struct pn_call *call)
{
	trace_off(call->txn, call->entry, call->effective, call->stage);
	call_end(call);
	return HOOK_NEXT;
}

enum hook_step
hook_run(struct chain_run *run, const struct chain_entry *entry, struct pn_txn *txn, int32_t stage,
    bool may_block, struct ruling *ret)
{
	struct guard *guard = may_block ? run->guard : NULL;
	struct scope_stack stack;
	struct pn_call call;
	enum effective_step is;
	int64_t now_us;
	bool ours;

	if (guard && !take_slot(guard, entry))
		return HOOK_HOP;
	call_begin(&call, txn->generation, entry, txn, stage, may_block);
	is = effective_find(entry, txn, stage, &stack, &call.effective);
	if (is == EFFECTIVE_MAKE && !may_block)
		return HOOK_HOP; /* nothing is in the call yet */
	if (is_off(&call, is)) {
		leave_slot(guard);
		return pass_over(&call);
	}
	now_us = clock_monotonic_us();
	if (run->began_ms == 0)
		run->began_ms = now_us / 1000;
	call.due_ms = call_due(entry, txn, stage, run->began_ms);
	if (guard)
		atomic_store(&guard->in, guard->held);
	ours = call_prepared(&call, run, guard, &is, &stack, now_us);
	if (!ours && guard->held)
		slots_regain(guard->held);
	leave_slot(guard);
	if (ours)
		return is_off(&call, is) ? pass_over(&call) : conclude(&call, run, ret);
	call_drop(&call);
	return HOOK_GONE;
}

enum hook_step
hook_late(struct chain_run *run, const struct chain_entry *entry, struct pn_txn *txn, int32_t stage,
    struct ruling *ret)
{
	struct pn_call call;

	call_begin(&call, txn->generation, entry, txn, stage, true);
	set_fault(&call, run->late);
	account(&call, run, run->began_ms * 1000, clock_monotonic_us());
	return conclude(&call, run, ret);
}
