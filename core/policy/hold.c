/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.c - what an entry holds becomes an item; what is released goes on behind that entry.
 *
 * Called by sessions and by lanes on their loops. Must never let a released message past an entry
 * that stands behind the one that held it, nor past the place of one that is gone.
 */
#include <core/base/clock.h>
#include <core/policy/hold.h>
#include <core/policy/replan.h>
#include <errno.h>

static const enum item_hold_end ends[] = {
	[PN_HOLD_BOUNCE] = ITEM_HOLD_BOUNCE,
	[PN_HOLD_RELEASE] = ITEM_HOLD_RELEASE,
	[PN_HOLD_DELETE] = ITEM_HOLD_DELETE,
};

bool
hold_is_exposed(const struct pn_txn *txn)
{
	bool wanted = txn->somebody_wants || txn->want.wanted > 0;

	return wanted && !generation_core(txn->generation)->relay.spool.encrypt_with;
}

struct item *
hold_item(struct pn_txn *txn, const struct ruling *ruling)
{
	struct item *item = txn_to_item(txn);
	int64_t now = clock_wall_us();
	struct item_hold *hold;

	if (!item)
		return NULL;
	item->resume = arena_text(&item->arena, ruling->entry);
	item->want = txn->want;
	item->want.why = NULL;
	hold = arena_alloc(&item->arena, sizeof(*hold));
	*hold = (struct item_hold){
		.reason = ruling->text ? arena_text(&item->arena, ruling->text) : NULL,
		.owner = item->resume,
		.since_us = now,
		.until_us = item_hold_end(now, ruling->hold_ms),
		.end = ends[ruling->hold_end],
	};
	for (size_t i = 0; i < item->envelope.count; i++)
		item->recipients[i].hold = hold;
	return item;
}

void
hold_keep_fixups(struct item *item, const struct mail_fixups *how)
{
	item->submission = how->submission;
	item->hide_client = how->hide_client;
}

/* ---- going on -------------------------------------------------------------------------------- */

static void
pick_recipients(struct pn_txn *txn, const struct item *item, const uint32_t *indices, size_t count)
{
	struct mail_recipient *all = txn->envelope.recipients;
	struct mail_recipient *some = arena_alloc(&txn->arena, count * sizeof(*some));

	txn->want = item->want;
	txn->somebody_wants = item->want.wanted > 0;
	for (size_t i = 0; i < count; i++) {
		some[i] = all[indices[i]];
		some[i].demand = mail_demand_copy(
		    &item->recipients[indices[i]].plan.demand, &txn->arena);
		some[i].before = indices[i] + 1;
		txn->somebody_wants |= some[i].want.wanted > 0;
	}
	txn->envelope.recipients = some;
	txn->envelope.count = txn->envelope.capacity = count;
}

int
hold_resume(struct generation *generation, const struct item *item, const uint32_t *indices,
    size_t count, struct pn_txn **ret, size_t *ret_from, struct mail_fixups *ret_how)
{
	uint32_t number = item->recipients[indices[0]].plan.number;
	struct pn_txn *txn;
	int r = replan_find_entry(generation, item->resume, ret_from);

	if (r < 0)
		return r;
	++*ret_from;
	txn = txn_of_item(generation, item, NULL);
	/* What was staged before the hold was made visible when the message was accepted. */
	txn->effect_count = 0;
	txn->effects = NULL;
	txn->plan_number = (number > 1 ? number : 1) + 1;
	pick_recipients(txn, item, indices, count);
	*ret_how = (struct mail_fixups){
		.relay_name = generation_core(generation)->relay.hostname,
		.id = txn->id,
		.wall_us = item->accepted_us,
		.submission = item->submission,
		.hide_client = item->hide_client,
	};
	r = txn_set_message(txn, mail_bytes_hold(item->bytes), SIZE_MAX);
	if (r < 0)
		txn_free(&txn);
	else
		*ret = txn;
	return r;
}

static bool
is_there(const struct pn_txn *txn, uint32_t index)
{
	for (size_t i = 0; i < txn->envelope.count; i++)
		if (txn->envelope.recipients[i].before == index + 1)
			return true;
	return false;
}

/*
 * Who he was. Somebody who is new takes the place of one who is gone, if there is one: an address
 * that was rewritten is still the same recipient, and must not be tried as both.
 */
static uint32_t
place_of(const struct pn_txn *txn, const struct mail_recipient *recipient, const uint32_t *indices,
    size_t count, size_t *gone)
{
	if (recipient->before > 0)
		return recipient->before - 1;
	while (*gone < count && is_there(txn, indices[*gone]))
		++*gone;
	return *gone < count ? indices[(*gone)++] : ITEM_NOBODY;
}

/* Those that the message has already are somebody else's business; but somebody has to be left. */
static void
drop_known(struct pn_txn *txn, const struct item *parent)
{
	struct mail_envelope *envelope = &txn->envelope;
	size_t kept = 0;

	for (size_t i = 0; i < envelope->count; i++) {
		const struct mail_recipient *recipient = &envelope->recipients[i];
		bool known = recipient->before == 0 &&
			     mail_envelope_find(&parent->envelope, recipient->address) >= 0;

		if (known && (kept > 0 || i + 1 < envelope->count))
			continue;
		if (txn->plans)
			txn->plans->of[kept] = txn->plans->of[i];
		envelope->recipients[kept++] = *recipient;
	}
	envelope->count = kept;
}

struct item *
hold_child(struct pn_txn *txn, const struct item *parent, const uint32_t *indices, size_t count,
    const struct ruling *held)
{
	struct item *child;
	uint32_t *replaced;
	size_t gone = 0;

	if (held && hold_is_exposed(txn))
		return NULL;
	drop_known(txn, parent);
	child = held ? hold_item(txn, held) : txn_to_item(txn);
	if (!child)
		return NULL;
	if (held) {
		child->submission = parent->submission;
		child->hide_client = parent->hide_client;
	}
	replaced = arena_alloc(&child->arena, child->envelope.count * sizeof(*replaced));
	for (size_t i = 0; i < child->envelope.count; i++)
		replaced[i] = place_of(txn, &txn->envelope.recipients[i], indices, count, &gone);
	child->replaced = replaced;
	child->replaced_count = child->envelope.count;
	return child;
}
