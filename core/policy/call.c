/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - one call of one hook: what it may do, what it has staged, and how that becomes true.
 *
 * Called by chain.c around each hook and by the pn_* functions inside it. Must never change the
 * transaction before the hook has passed.
 */
#include <core/base/clock.h>
#include <core/policy/call.h>
#include <core/policy/plans.h>
#include <core/policy/stage.h>
#include <errno.h>

#define CHAIN_MS   60000 /* all hooks from MAIL to the reply after DATA */
#define SESSION_MS 10000 /* a hook before MAIL */

int64_t
call_due(const struct chain_entry *entry, const struct pn_txn *txn, int32_t stage, int64_t began_ms)
{
	int64_t own = entry->config->timeout, most = INT64_MAX;

	if (stage_is(stage, STAGE_IN_SESSION))
		most = SESSION_MS;
	else if (stage_is(stage, STAGE_IN_CHAIN))
		most = txn->hook_ms < CHAIN_MS ? CHAIN_MS - txn->hook_ms : 0;
	return began_ms + (own < most ? own : most);
}

void
call_begin(struct pn_call *call, const struct generation *generation,
    const struct chain_entry *entry, struct pn_txn *txn, int32_t stage, bool may_block)
{
	*call = (struct pn_call){
		.entry = entry,
		.generation = generation,
		.txn = txn,
		.stage = stage,
		.may_block = may_block,
		.due_ms = INT64_MAX,
	};
}

void
call_end(struct pn_call *call)
{
	struct pn_txn *txn = call->txn;

	/* Also without a pass: the exchange goes on, or its end calls `drop`. */
	if (call->keep) {
		if (txn->kept != call->kept)
			txn_drop_kept(txn);
		txn->kept = call->kept;
		txn->drop = call->drop;
	}
	if (call->parts && !txn->parts && reading_is_view(txn, call->parts->bytes)) {
		txn->parts = call->parts; /* for the entries that follow */
		call->parts = NULL;
	}
	mail_parts_release(&call->parts);
	mail_bytes_release(&call->seven);
	mail_bytes_release(&call->rendered);
	arena_free(&call->arena);
	effective_release(&call->effective);
	effective_release(&call->asked);
}

void
call_drop(struct pn_call *call)
{
	if (call->keep && call->drop && call->kept != call->txn->kept)
		call->drop(call->kept);
	mail_parts_release(&call->parts);
	mail_bytes_release(&call->rendered);
	arena_free(&call->arena);
	effective_release(&call->effective);
	effective_release(&call->asked);
}

bool
call_overdue(const struct pn_call *call)
{
	return clock_monotonic_ms() >= call->due_ms;
}

int
call_may_change(const struct pn_call *call, unsigned stages)
{
	if (!(stages & CALL_AT(call->stage)))
		return -EINVAL;
	return call_overdue(call) ? -ECANCELED : 0;
}

int
call_may_edit(const struct pn_call *call, unsigned stages)
{
	return call->entry->module->flags & PN_MODIFIES ? call_may_change(call, stages) : -EPERM;
}

/* ---- small lists ----------------------------------------------------------------------------- */

/* Room for one more row; what was there is copied, its old memory stays in the arena. */
static void *
grow(struct arena *arena, void *rows, size_t count, size_t *capacity, size_t row_size)
{
	void *larger;

	if (count < *capacity)
		return rows;
	*capacity = *capacity ? *capacity * 2 : 4;
	larger = arena_alloc(arena, *capacity * row_size);
	if (count > 0)
		memcpy(larger, rows, count * row_size);
	return larger;
}

void
call_words_add(struct call_words *words, struct arena *arena, const char *word)
{
	words->items = grow(
	    arena, words->items, words->count, &words->capacity, sizeof(words->items[0]));
	words->items[words->count++] = arena_text(arena, word);
}

bool
call_words_have(const struct call_words *words, const char *word)
{
	for (size_t i = 0; i < words->count; i++)
		if (!strcmp(words->items[i], word))
			return true;
	return false;
}

bool
call_name_valid(const char *name, size_t most)
{
	size_t len = strlen(name);

	return len > 0 && len <= most &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

struct item_effect *
call_effect_find(struct item_effect *effects, size_t count, const char *entry, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(effects[i].entry, entry) && !strcmp(effects[i].name, name))
			return &effects[i];
	return NULL;
}

/* ---- applying -------------------------------------------------------------------------------- */

static void
apply_envelope(struct pn_call *call)
{
	struct pn_txn *txn = call->txn;
	struct mail_envelope *envelope = &txn->envelope;

	if (call->sender)
		envelope->sender = arena_text(&txn->arena, call->sender);
	if (call->recipient)
		envelope->recipients[txn->recipient].address = arena_text(
		    &txn->arena, call->recipient);
	for (size_t i = 0; i < call->removed.count; i++) {
		int at = mail_envelope_find(envelope, call->removed.items[i]);

		if (at >= 0)
			mail_envelope_remove(envelope, (size_t)at);
	}
	for (size_t i = 0; i < call->added.count; i++)
		mail_envelope_add(envelope, &txn->arena, call->added.items[i])->added = true;
	if (call->user_relay)
		envelope->user_relay = arena_text(&txn->arena, call->user_relay);
}

/* What this call says of wanting protection, and demands. */
static void
apply_want(struct pn_call *call)
{
	struct pn_txn *txn = call->txn;
	struct mail_recipient *subject = stage_is(call->stage, STAGE_RECIPIENT) &&
						 txn->recipient >= 0
					     ? &txn->envelope.recipients[txn->recipient]
					     : NULL;
	struct mail_want *want = subject ? &subject->want : &txn->want;

	if (call->want.wanted > 0)
		want->wanted = call->want.wanted;
	if (call->want.opted_out > 0)
		want->opted_out = call->want.opted_out;
	if (call->want.why)
		want->why = arena_text(&txn->arena, call->want.why);
	txn->somebody_wants |= call->want.wanted > 0;
	if (subject)
		mail_demand_add(&subject->demand, &call->demand, &txn->arena);
}

static void
apply_tags(struct pn_call *call)
{
	struct pn_txn *txn = call->txn;
	const char **tags;

	if (call->tags.count == 0)
		return;
	tags = arena_alloc(&txn->arena, (txn->tag_count + call->tags.count) * sizeof(*tags));
	for (size_t i = 0; i < txn->tag_count; i++)
		tags[i] = txn->tags[i];
	for (size_t i = 0; i < call->tags.count; i++)
		tags[txn->tag_count++] = arena_text(&txn->arena, call->tags.items[i]);
	txn->tags = tags;
}

/* Into new rows: the old ones are what a refusal of this stage goes back to. */
static void
apply_effects(struct pn_call *call)
{
	struct pn_txn *txn = call->txn;
	struct item_effect *rows;

	if (call->effect_count == 0)
		return;
	rows = arena_alloc(&txn->arena, (txn->effect_count + call->effect_count) * sizeof(*rows));
	if (txn->effect_count > 0)
		memcpy(rows, txn->effects, txn->effect_count * sizeof(*rows));
	txn->effects = rows;
	for (size_t i = 0; i < call->effect_count; i++) {
		const struct item_effect *effect = &call->effects[i];
		struct item_effect *row = call_effect_find(
		    rows, txn->effect_count, effect->entry, effect->name);

		if (row) {
			txn->effect_bytes -= row->bytes.len;
		} else {
			row = &rows[txn->effect_count++];
			row->entry = effect->entry;
			row->name = arena_text(&txn->arena, effect->name);
		}
		row->bytes = pn_slice(arena_slice(&txn->arena, effect->bytes), effect->bytes.len);
		txn->effect_bytes += effect->bytes.len;
	}
}

/* Words separated by blanks. */
static bool
has_word(struct pn_slice text, const char *word)
{
	size_t len = strlen(word), begin = 0;

	while (begin < text.len) {
		const char *blank = memchr(text.data + begin, ' ', text.len - begin);
		size_t end = blank ? (size_t)(blank - text.data) : text.len;

		if (end - begin == len && !memcmp(text.data + begin, word, len))
			return true;
		begin = end + 1;
	}
	return false;
}

static void
apply_offers(struct pn_call *call)
{
	struct buf *offers = &call->txn->offers;

	for (size_t i = 0; i < call->offers.count; i++) {
		const char *word = call->offers.items[i];

		if (!has_word(buf_slice(offers), word) &&
		    buf_printf(offers, "%s%s", offers->len ? " " : "", word) < 0)
			return; /* more mechanisms than an EHLO line holds */
	}
}

int
call_apply(struct pn_call *call)
{
	if (call->edits.count > 0) {
		int r = txn_apply(call->txn, &call->edits);

		if (r < 0)
			return r;
	}
	if (call->stage == PN_STAGE_PROTECT) {
		int r = protect_apply(call);

		if (r < 0)
			return r;
	}
	apply_want(call);
	apply_envelope(call);
	apply_tags(call);
	apply_effects(call);
	apply_offers(call);
	return 0;
}
