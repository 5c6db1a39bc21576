/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.c - the stages: which entries run, and what a refusal puts back.
 *
 * Called by the session on its loop and on policy threads, and for accepted items on policy
 * threads. Must never block in a call with `may_block` false, and never talk to the client: it only
 * says what is to be said.
 */
#include <core/base/clock.h>
#include <core/policy/hook.h>
#include <core/policy/plans.h>
#include <core/policy/seal.h>
#include <core/policy/stage.h>

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
takes_part(const struct chain_entry *entry, const struct pn_txn *txn, int32_t stage)
{
	const struct config_when *when = &entry->config->when;
	struct config_subject subject = {
		.facts = &txn->facts,
		.roster = generation_roster(txn->generation),
		.sender = txn->id[0] ? txn->envelope.sender : NULL,
		.original_sender = txn->id[0] ? txn->envelope.original_sender : NULL,
		.tags = txn->tags,
		.tag_count = txn->tag_count,
		.size = txn->view ? mail_bytes_size(txn->view) : txn->size,
		.bytes = txn->view ? mail_bytes_front(txn->view) : pn_slice(NULL, 0),
		.header = txn->view ? &txn->header : NULL,
	};

	if (stage == PN_STAGE_PROTECT)
		return entry == plan_group_entry(txn);
	if (!when->given || stage_is(stage, STAGE_ALWAYS))
		return true;
	/* What it matched on may be undone by now, and what was reserved is to be given back. */
	if (stage == PN_STAGE_ABORTED)
		return true;
	if (hook_hears_of_end(entry, txn, stage))
		return true;
	if (stage_is(stage, STAGE_RECIPIENT) && txn->recipient >= 0)
		subject.recipient = txn->envelope.recipients[txn->recipient].address;
	else if (stage_is(stage, STAGE_MESSAGE) &&
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
	if (stage == PN_STAGE_SELECT)
		run->next = txn->first;
}

/* After the message stage nothing of the transaction is left to put right. */
static bool
is_undone(const struct pn_txn *txn, int32_t stage)
{
	return stage == PN_STAGE_SENDER || stage == PN_STAGE_RECIPIENT || txn->provisional;
}

void
chain_undo(const struct chain_run *run, struct pn_txn *txn)
{
	txn->envelope.sender = run->sender;
	txn->envelope.count = run->recipients;
	txn->tag_count = run->tags;
	txn->effects = run->effect_rows;
	txn->effect_count = run->effects;
	txn->effect_bytes = run->effect_bytes;
}

/* ---- stages ---------------------------------------------------------------------------------- */

const struct chain_entry *
chain_entry_next(const struct chain_run *run, const struct pn_txn *txn)
{
	const struct chain_entry *entries;

	generation_entries(txn->generation, &entries);
	return &entries[run->next];
}

int64_t
chain_due(const struct chain_run *run, const struct pn_txn *txn, enum pn_stage stage)
{
	return call_due(chain_entry_next(run, txn), txn, stage, run->began_ms);
}

/* What overflowed is read from a disk. */
static bool
is_quick(const struct chain_entry *entry, const struct pn_txn *txn, int32_t stage)
{
	return (entry->hook_flags[stage] & PN_QUICK) && !reading_is_large(txn);
}

/* The view that the entry is to see. As seal_prepare(). */
static int
prepare(
    struct chain_run *run, struct pn_txn *txn, int32_t stage, bool may_block, struct ruling *ret)
{
	if (stage != PN_STAGE_SEAL || run->late)
		return 1;
	return seal_prepare(run, txn, may_block, ret);
}

/* The next entry's time runs from now on, also while it waits for a thread. */
static enum chain_step
hop(struct chain_run *run)
{
	if (run->began_ms == 0)
		run->began_ms = clock_monotonic_ms();
	return CHAIN_HOP;
}

enum chain_step
chain_run(struct chain_run *run, struct pn_txn *txn, enum pn_stage stage, bool may_block,
    struct ruling *ret)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(txn->generation, &entries);
	enum hook_step step = HOOK_NEXT;
	int prepared;

	*ret = (struct ruling){ .kind = RULING_PASS };
	if (!run->begun)
		run_begin(run, txn, stage);
	for (; run->next < count && step == HOOK_NEXT; run->next++) {
		const struct chain_entry *entry = &entries[run->next];

		if (!entry->hooks[stage] || !takes_part(entry, txn, stage))
			continue;
		prepared = prepare(run, txn, stage, may_block, ret);
		if (prepared == 0)
			return hop(run);
		if (prepared < 0)
			break;
		if (run->late)
			step = hook_late(run, entry, txn, stage, ret);
		else if (!may_block && (run->hop || !is_quick(entry, txn, stage)))
			return hop(run);
		else
			step = hook_run(run, entry, txn, stage, may_block, ret);
		if (step == HOOK_GONE)
			return CHAIN_GONE;
		run->hop = step == HOOK_HOP;
		if (step == HOOK_HOP)
			return hop(run);
		run->began_ms = 0;
		run->late = NULL;
	}
	reading_end(txn);
	if (ret->kind == RULING_REJECT || ret->kind == RULING_DEFER) {
		if (is_undone(txn, stage))
			chain_undo(run, txn);
	}
	return CHAIN_DONE;
}
