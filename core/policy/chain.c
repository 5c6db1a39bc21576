/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.c - the stages: which entries run, and what a refusal puts back.
 *
 * Called by the session on its loop and on policy threads, and for accepted items on policy
 * threads. Must never block in a call with `may_block` false, and never talk to the client: it only
 * says what is to be said.
 */
#include <core/policy/hook.h>
#include <core/policy/stage.h>
#include <errno.h>

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
		.directory = &generation_core(txn->generation)->directory,
		.sender = txn->id[0] ? txn->envelope.sender : NULL,
		.original_sender = txn->id[0] ? txn->envelope.original_sender : NULL,
		.tags = txn->tags,
		.tag_count = txn->tag_count,
		.size = txn->view ? txn->view->len : txn->size,
	};

	if (!when->given || stage_is(stage, STAGE_ALWAYS))
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

/* ---- stages ---------------------------------------------------------------------------------- */

enum chain_step
chain_run(struct chain_run *run, struct pn_txn *txn, enum pn_stage stage, bool may_block,
    struct ruling *ret)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(txn->generation, &entries);
	enum hook_step step = HOOK_NEXT;

	*ret = (struct ruling){ .kind = RULING_PASS };
	if (!run->begun)
		run_begin(run, txn, stage);
	for (; run->next < count && step == HOOK_NEXT; run->next++, run->hop = false) {
		const struct chain_entry *entry = &entries[run->next];

		if (!entry->hooks[stage] || !takes_part(entry, txn, stage))
			continue;
		if (!may_block && (run->hop || !(entry->hook_flags[stage] & PN_QUICK)))
			return CHAIN_HOP;
		step = hook_run(run, entry, txn, stage, may_block, ret);
		if (step == HOOK_HOP) {
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
	mail_parts_release(&txn.parts);
	arena_free(&txn.arena);
	return run.faults > 0 ? -EAGAIN : 0;
}
