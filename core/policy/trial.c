/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trial.c - the stages of a session, one after the other, without a session.
 *
 * Called by posternctl explain. Must never commit: the aborted hooks run at the end, whatever the
 * outcome.
 */
#include <core/base/clock.h>
#include <core/policy/intake.h>
#include <core/policy/trial.h>
#include <errno.h>

/* False: the stage has refused, and that is the reply. */
static bool
pass(struct trial *trial, enum pn_stage stage)
{
	struct chain_run run = { 0 };

	trial->stage = stage;
	chain_run(&run, trial->txn, stage, true, &trial->reply);
	return trial->reply.kind != RULING_REJECT && trial->reply.kind != RULING_DEFER;
}

static void
ask_recipient(struct trial *trial, struct trial_recipient *recipient)
{
	struct pn_txn *txn = trial->txn;
	struct ruling *ruling = &recipient->refused;
	struct chain_run run = { 0 };
	size_t index = txn->envelope.count;

	mail_envelope_add(&txn->envelope, &txn->arena, recipient->address);
	txn->recipient = (int32_t)index;
	chain_run(&run, txn, PN_STAGE_RECIPIENT, true, ruling);
	if (ruling->kind == RULING_PASS && plans_early(txn, &run, ruling)) {
		chain_run(&run, txn, PN_STAGE_SELECT, true, ruling);
		plans_early_take(txn, &run, ruling);
	}
	txn->recipient = -1;
	if (ruling->kind == RULING_REJECT || ruling->kind == RULING_DEFER)
		mail_envelope_remove(&txn->envelope, index);
}

/* As RCPT: one copy is enough, and there is a most. */
static void
take_recipient(struct trial *trial, const char *address)
{
	struct pn_txn *txn = trial->txn;
	struct trial_recipient *recipient = &trial->recipients[trial->count];

	if (txn->envelope.count >= txn->recipient_limit)
		recipient->refused = (struct ruling){ .kind = RULING_DEFER,
			.code = 452,
			.enhanced = "4.5.3",
			.text = "Too many recipients" };
	else if (mail_envelope_find(&txn->envelope, address) >= 0)
		return;
	recipient->address = address;
	trial->count++;
	if (!recipient->refused.code)
		ask_recipient(trial, recipient);
}

static bool
ask_recipients(struct trial *trial, const struct trial_ask *ask)
{
	struct pn_txn *txn = trial->txn;

	trial->recipients = arena_alloc(&txn->arena, ask->count * sizeof(*trial->recipients));
	for (size_t i = 0; i < ask->count; i++)
		take_recipient(trial, ask->recipients[i]);
	trial->stage = PN_STAGE_RECIPIENT;
	if (txn->envelope.count > 0)
		return true;
	trial->reply = (struct ruling){ .kind = RULING_REJECT,
		.code = 503,
		.enhanced = "5.5.1",
		.text = "No valid recipients" };
	return false;
}

/* False: refused by the core, which is the reply. */
static bool
give_message(struct trial *trial, const struct trial_ask *ask)
{
	struct mail_bytes *bytes;
	int r = ask->fault;

	trial->stage = PN_STAGE_MESSAGE;
	if (r == 0)
		r = mail_bytes_new(ask->message.len, &bytes);
	if (r == 0) {
		r = mail_bytes_append(bytes, ask->message.data, ask->message.len, SIZE_MAX);
		if (r < 0)
			mail_bytes_release(&bytes);
	}
	intake_bytes(r, &trial->reply);
	if (r == 0)
		intake_message(trial->txn, bytes, &trial->reply);
	return trial->reply.kind == RULING_PASS;
}

static int
make_plans(struct trial *trial, const struct trial_ask *ask)
{
	struct pn_txn *txn = trial->txn;
	const struct mail_fixups how = {
		.relay_name = generation_core(txn->generation)->relay.hostname,
		.id = txn->id,
		.wall_us = clock_wall_us(),
		.submission = ask->listener->fixups,
		.hide_client = ask->listener->hide_client,
	};
	int r = plans_begin(txn, &how);

	if (r < 0 || plans_run(txn, &trial->reply) == PLANS_REFUSED)
		return r;
	trial->item = txn_to_item(txn);
	trial->reply = (struct ruling){ .kind = RULING_PASS,
		.code = 250,
		.enhanced = "2.0.0",
		.text = arena_printf(&txn->arena, "Ok: queued as %s", txn->id) };
	return trial->item ? 0 : -ENOMEM;
}

static int
run_message(struct trial *trial, const struct trial_ask *ask)
{
	if (!give_message(trial, ask) || !pass(trial, PN_STAGE_MESSAGE))
		return 0;
	trial->discarded = trial->reply.kind == RULING_DISCARD || trial->txn->envelope.count == 0;
	trial->held = trial->reply.kind == RULING_HOLD;
	return trial->discarded || trial->held ? 0 : make_plans(trial, ask);
}

int
trial_run(struct generation *generation, const struct trial_ask *ask, struct trial *ret)
{
	const struct config_limits *limits = &generation_core(generation)->relay.limits;
	struct chain_run run = { 0 };
	struct ruling ruling;
	struct pn_txn *txn;
	int r = 0;

	*ret = (struct trial){ .txn = txn_new(generation, &ask->facts) };
	txn = ret->txn;
	if (!txn)
		return -ENOMEM;
	if (!pass(ret, PN_STAGE_CONNECT) || !pass(ret, PN_STAGE_HELO))
		return 0;
	txn_begin(txn);
	txn->recipient_limit = (size_t)limits->recipients;
	txn->message_limit = (size_t)limits->message_size;
	txn->envelope.sender = arena_text(&txn->arena, ask->sender);
	txn->envelope.original_sender = txn->envelope.sender;
	if (pass(ret, PN_STAGE_SENDER) && ask_recipients(ret, ask))
		r = run_message(ret, ask);
	txn->hook_ms = 0;
	chain_run(&run, txn, PN_STAGE_ABORTED, true, &ruling);
	return r;
}

void
trial_free(struct trial *trial)
{
	item_free(&trial->item);
	txn_free(&trial->txn);
}
