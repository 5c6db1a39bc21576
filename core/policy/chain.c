/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.c - the stages: which entries run, what their verdicts mean, what of their work stands.
 *
 * Called by the session on its loop and on policy threads, and for accepted items on policy
 * threads. Must never block in a call with `may_block` false, and never talk to the client: it only
 * says what is to be said.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/policy/chain.h>
#include <core/policy/trace.h>
#include <errno.h>
#include <stdio.h>

#define STALL_MS 100 /* longer than this on the loop gets a line with the culprit's name */

bool
chain_has(const struct generation *generation, enum pn_stage stage)
{
	return generation_has(generation, stage);
}

/* ---- does an entry take part ----------------------------------------------------------------- */

static bool
any_recipient_matches(const struct config_when *when, struct config_subject *subject,
    const struct mail_envelope *envelope)
{
	for (size_t i = 0; i < envelope->count; i++) {
		subject->recipient = envelope->recipients[i].address;
		if (config_when_matches(when, subject))
			return true;
	}
	return false;
}

static bool
staged_something(const struct chain_entry *entry, const struct pn_txn *txn)
{
	for (size_t i = 0; i < txn->effect_count; i++)
		if (!strcmp(txn->effects[i].entry, entry->config->id))
			return true;
	return false;
}

static bool
takes_part(const struct chain_entry *entry, const struct pn_txn *txn, int32_t stage)
{
	const struct config_when *when = &entry->config->when;
	struct config_subject subject = {
		.facts = &txn->facts,
		.sender = txn->id[0] ? txn->envelope.sender : NULL,
		.tags = txn->tags,
		.tag_count = txn->tag_count,
		.size = txn->view ? txn->view->len : txn->size,
	};

	if (!when->given)
		return true;
	/* Who staged something hears of the end, whatever was edited since. */
	if (stage >= PN_STAGE_COMMITTED && staged_something(entry, txn))
		return true;
	if (stage == PN_STAGE_RECIPIENT && txn->recipient >= 0)
		subject.recipient = txn->envelope.recipients[txn->recipient].address;
	else if (stage >= PN_STAGE_MESSAGE &&
		 (when->recipient.count > 0 || when->recipient_domain.count > 0))
		return any_recipient_matches(when, &subject, &txn->envelope);
	return config_when_matches(when, &subject);
}

/* ---- what a refusal puts back ---------------------------------------------------------------- */

static void
run_begin(struct chain_run *run, struct pn_txn *txn, int32_t stage)
{
	run->begun = true;
	run->sender = txn->envelope.sender;
	run->recipients = txn->envelope.count;
	run->tags = txn->tag_count;
	run->effects = txn->effect_count;
	run->effect_bytes = txn->effect_bytes;
	run->effect_rows = txn->effects;
	if (stage == PN_STAGE_HELO)
		buf_reset(&txn->offers);
	if (stage == PN_STAGE_AUTH && txn->challenger > 0)
		run->next = txn->challenger - 1;
}

/* After the message stage nothing of the transaction is left to put right. */
static void
run_undo(const struct chain_run *run, struct pn_txn *txn, int32_t stage)
{
	if (stage != PN_STAGE_SENDER && stage != PN_STAGE_RECIPIENT)
		return;
	txn->envelope.sender = run->sender;
	txn->envelope.count = run->recipients;
	txn->tag_count = run->tags;
	txn->effects = run->effect_rows;
	txn->effect_count = run->effects;
	txn->effect_bytes = run->effect_bytes;
}

/* ---- one hook -------------------------------------------------------------------------------- */

enum step { STEP_NEXT, STEP_END, STEP_HOP };

/* What each verdict is called, where it may be given, and what it becomes. */
static const struct {
	const char *name;
	unsigned stages;
	enum ruling_kind ruling;
} verdicts[] = {
#define REFUSING \
	(CALL_AT(PN_STAGE_CONNECT) | CALL_AT(PN_STAGE_HELO) | CALL_AT(PN_STAGE_AUTH) | \
	    CALL_AT(PN_STAGE_SENDER) | CALL_AT(PN_STAGE_RECIPIENT) | CALL_AT(PN_STAGE_MESSAGE))
	[VERDICT_NONE] = { "none", 0, RULING_PASS },
	[VERDICT_PASS] = { "pass", ~0u, RULING_PASS },
	[VERDICT_REJECT] = { "reject", REFUSING, RULING_REJECT },
	[VERDICT_DEFER] = { "defer", REFUSING, RULING_DEFER },
	[VERDICT_DISCARD] = { "discard", CALL_AT(PN_STAGE_MESSAGE), RULING_DISCARD },
	[VERDICT_FAULT] = { "fault", ~0u, RULING_PASS },
	[VERDICT_NOT_QUICK] = { "not-quick", ~0u, RULING_PASS },
	[VERDICT_CHALLENGE] = { "challenge", CALL_AT(PN_STAGE_AUTH), RULING_CHALLENGE },
	[VERDICT_IDENTIFIED] = { "identified", CALL_AT(PN_STAGE_AUTH), RULING_IDENTIFIED },
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

	if (kind <= VERDICT_NONE || kind > VERDICT_IDENTIFIED) {
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

static void
log_fault(const struct pn_call *call)
{
	const struct config_entry *config = call->entry->config;

	log_event(PN_LOG_WARNING, "fault", "entry", config->id, "module", call->entry->module->name,
	    "stage", trace_stage_name(call->stage), "id", call->txn->id[0] ? call->txn->id : NULL,
	    "client", call->txn->facts.client_address, "on_fault",
	    call->stage < PN_STAGE_COMMITTED ? fault_words[config->on_fault] : NULL, "error",
	    call->text, NULL);
}

/* The entry's on_fault speaks. RFC 4954 section 6 has its own code for AUTH. */
static enum step
rule_fault(struct pn_call *call, struct chain_run *run, struct ruling *ret)
{
	bool auth = call->stage == PN_STAGE_AUTH;

	log_fault(call);
	run->faults++;
	if (call->stage >= PN_STAGE_COMMITTED || call->entry->config->on_fault == CONFIG_FAULT_SKIP)
		return STEP_NEXT;
	if (call->entry->config->on_fault == CONFIG_FAULT_REJECT)
		*ret = (struct ruling){ RULING_REJECT, 550, "5.7.1",
			"Refused: a policy check failed", call->entry->config->id, { NULL, 0 } };
	else
		*ret = (struct ruling){ RULING_DEFER, auth ? 454 : 451, auth ? "4.7.0" : "4.7.1",
			"Temporary failure, try again later", call->entry->config->id,
			{ NULL, 0 } };
	return STEP_END;
}

static enum step
rule(struct pn_call *call, struct chain_run *run, struct ruling *ret)
{
	struct arena *arena = &call->txn->arena;

	if (call->kind == VERDICT_FAULT)
		return rule_fault(call, run, ret);
	if (call->kind == VERDICT_PASS)
		return STEP_NEXT;
	*ret = (struct ruling){
		.kind = verdicts[call->kind].ruling,
		.code = call->code,
		.enhanced = call->enhanced ? arena_text(arena, call->enhanced) : NULL,
		.text = call->text ? arena_text(arena, call->text) : NULL,
		.entry = call->entry->config->id,
		.challenge = pn_slice(arena_slice(arena, call->challenge), call->challenge.len),
	};
	return STEP_END;
}

static void
log_stall(const struct pn_call *call, int64_t took_ms)
{
	char took[24];

	snprintf(took, sizeof(took), "%lld", (long long)took_ms);
	log_event(PN_LOG_WARNING, "stall", "entry", call->entry->config->id, "module",
	    call->entry->module->name, "stage", trace_stage_name(call->stage), "ms", took, NULL);
}

static void
account(const struct pn_call *call, int64_t began_ms)
{
	int64_t took = clock_monotonic_ms() - began_ms;

	if (call->stage >= PN_STAGE_SENDER && call->stage <= PN_STAGE_MESSAGE)
		call->txn->hook_ms += took;
	if (!call->may_block && took > STALL_MS)
		log_stall(call, took);
}

/* Calls the hook; what it meant is in call->kind, and what it staged stands if it passed. */
static void
call_hook(struct pn_call *call)
{
	int64_t began = clock_monotonic_ms();
	int r;

	if (call_overdue(call)) {
		set_fault(call, "no time is left for it");
		return;
	}
	judge(call, call->entry->hooks[call->stage](call, call->txn));
	account(call, began);
	if (call->kind != VERDICT_FAULT && call_overdue(call))
		set_fault(call, "answered after its time was up");
	if (call->kind == VERDICT_PASS) {
		r = call_apply(call);
		if (r < 0)
			set_fault(call, arena_printf(&call->arena, "its edits cannot be made: %s",
					    strerror(-r)));
	}
}

/* For the trace: with the code, where there is one. */
static const char *
reason(struct pn_call *call)
{
	if (call->kind != VERDICT_REJECT && call->kind != VERDICT_DEFER)
		return call->text;
	return arena_printf(&call->arena, "%d %s %s", call->code, call->enhanced, call->text);
}

static enum step
run_entry(struct chain_run *run, const struct chain_entry *entry, struct pn_txn *txn, int32_t stage,
    bool may_block, struct ruling *ret)
{
	struct pn_call call;
	enum step step = STEP_HOP;

	call_begin(&call, txn->generation, entry, txn, stage, may_block);
	call_hook(&call);
	if (call.kind != VERDICT_NOT_QUICK) {
		step = rule(&call, run, ret);
		trace_add(txn, entry, stage, verdicts[call.kind].name, reason(&call));
	}
	call_end(&call);
	if (call.kind == VERDICT_CHALLENGE)
		txn->challenger = run->next + 1;
	else if (stage == PN_STAGE_AUTH && call.kind != VERDICT_NOT_QUICK)
		txn_drop_kept(txn); /* the next entry must not find what this one kept */
	return step;
}

/* ---- stages ---------------------------------------------------------------------------------- */

enum chain_step
chain_run(struct chain_run *run, struct pn_txn *txn, enum pn_stage stage, bool may_block,
    struct ruling *ret)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(txn->generation, &entries);
	enum step step = STEP_NEXT;

	*ret = (struct ruling){ .kind = RULING_PASS };
	if (!run->begun)
		run_begin(run, txn, stage);
	for (; run->next < count && step == STEP_NEXT; run->next++, run->hop = false) {
		const struct chain_entry *entry = &entries[run->next];

		if (!entry->hooks[stage] || !takes_part(entry, txn, stage))
			continue;
		if (!may_block && (run->hop || !(entry->hook_flags[stage] & PN_QUICK)))
			return CHAIN_HOP;
		step = run_entry(run, entry, txn, stage, may_block, ret);
		if (step == STEP_HOP) {
			run->hop = true;
			return CHAIN_HOP;
		}
	}
	if (ret->kind == RULING_REJECT || ret->kind == RULING_DEFER)
		run_undo(run, txn, stage);
	return CHAIN_DONE;
}

int
chain_committed(struct generation *generation, const struct item *item, struct mail_bytes *bytes)
{
	struct pn_txn txn = {
		.generation = generation,
		.facts = item->facts,
		.envelope = item->envelope,
		.view = bytes,
		.size = item->size,
		.tags = item->tags,
		.tag_count = item->tag_count,
		.effects = item->effects,
		.effect_count = item->effect_count,
		.recipient = -1,
	};
	struct chain_run run = { 0 };
	struct ruling ruling;

	if (!chain_has(generation, PN_STAGE_COMMITTED))
		return 0;
	memcpy(txn.id, item->id, sizeof(txn.id));
	if (txn.view)
		mail_header_index(
		    pn_slice(txn.view->data, txn.view->len), SIZE_MAX, &txn.arena, &txn.header);
	chain_run(&run, &txn, PN_STAGE_COMMITTED, true, &ruling);
	arena_free(&txn.arena);
	return run.faults > 0 ? -EAGAIN : 0;
}
