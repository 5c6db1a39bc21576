/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replan.c - transactions out of items: for the next plan, for seals.
 *
 * Called by lanes on their loops. Must never leave an entry out because it is gone from the
 * configuration: what it would have refused would leave.
 */
#include <core/policy/replan.h>
#include <errno.h>

int
replan_find_entry(const struct generation *generation, const char *id, size_t *ret)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(generation, &entries);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(entries[i].config->id, id) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -ENOENT;
}

/* Those recipients alone, for each of whom protection is wanted. */
static void
pick_recipients(struct pn_txn *txn, const struct item *item, const uint32_t *indices, size_t count)
{
	struct mail_recipient *all = txn->envelope.recipients, *some;

	some = arena_alloc(&txn->arena, count * sizeof(*some));
	for (size_t i = 0; i < count; i++) {
		some[i] = all[indices[i]];
		some[i].want = (struct mail_want){ .wanted = PN_STAGE_SENDER };
		some[i].demand = (struct mail_demand){ 0 };
	}
	txn->envelope.recipients = some;
	txn->envelope.count = txn->envelope.capacity = count;
	txn->somebody_wants = true;
}

bool
replan_clear_is_near(const struct mail_bytes *bytes, struct mail_rendering clear)
{
	return clear.len == mail_bytes_size(bytes) || clear.offset + clear.len <= bytes->len;
}

/* All "tls" plans of an item share it. */
int
replan_clear(struct mail_bytes *bytes, struct mail_rendering clear, struct mail_bytes **ret)
{
	int r;

	if (clear.len == mail_bytes_size(bytes)) {
		*ret = mail_bytes_hold(bytes);
		return 0;
	}
	r = mail_bytes_new_message(clear.len, MAIL_BYTES_STAYS, ret);
	if (r < 0)
		return r;
	r = mail_bytes_append_part(*ret, bytes, clear.offset, clear.len);
	if (r < 0)
		mail_bytes_release(ret);
	return r;
}

/* `clear` is taken over, whatever it comes to. */
static int
take_clear(struct pn_txn *txn, const struct item *item, uint32_t index, struct mail_bytes **clear)
{
	struct mail_bytes *bytes = *clear;
	int r = bytes ? 0 : replan_clear(item->bytes, item_rendering(item, index), &bytes);

	*clear = NULL;
	return r < 0 ? r : txn_set_message(txn, bytes, SIZE_MAX);
}

static int
find_entries(const struct generation *generation, const struct item *item, const uint32_t *indices,
    size_t count, size_t *ret, struct pn_error *err)
{
	for (size_t i = 0; i < count; i++) {
		const char *next = item->recipients[indices[i]].plan.next;

		if (!next || replan_find_entry(generation, next, &ret[i]) < 0)
			return pn_error_set(err, -ENOENT,
			    "the entry \"%s\", which has to be asked next, is not in the pipeline",
			    next ? next : "");
	}
	return 0;
}

int
replan_begin(struct generation *generation, const struct item *item, const uint32_t *indices,
    size_t count, struct mail_bytes *clear, const char *why, struct pn_txn **ret,
    struct pn_error *err)
{
	uint32_t number = item->recipients[indices[0]].plan.number;
	struct pn_txn *txn = txn_of_item(generation, item, NULL);
	size_t *from = arena_alloc(&txn->arena, count * sizeof(*from));
	int r;

	/* What was staged by the plans before is theirs. */
	txn->effect_count = 0;
	txn->effects = NULL;
	txn->plan_number = (number > 1 ? number : 1) + 1;
	txn->replan_reason = arena_text(&txn->arena, why);
	pick_recipients(txn, item, indices, count);
	r = find_entries(generation, item, indices, count, from, err);
	if (r == 0)
		r = take_clear(txn, item, indices[0], &clear);
	if (clear)
		mail_bytes_release(&clear);
	if (r == 0)
		r = plans_begin_again(txn, from);
	if (r < 0) {
		txn_free(&txn);
		return r;
	}
	*ret = txn;
	return 0;
}

/* Those who are not served stay with the item there is. */
static void
keep_served(struct item *child, const uint32_t *indices)
{
	uint32_t *replaced = arena_alloc(&child->arena, child->envelope.count * sizeof(*replaced));
	size_t kept = 0;

	for (size_t i = 0; i < child->envelope.count; i++) {
		if (child->recipients[i].plan.unserved)
			continue;
		child->envelope.recipients[kept] = child->envelope.recipients[i];
		child->recipients[kept] = child->recipients[i];
		child->recipients[kept].envelope = &child->envelope.recipients[kept];
		replaced[kept++] = indices[i];
	}
	child->envelope.count = kept;
	child->unfinished = (uint32_t)kept;
	child->replaced = replaced;
	child->replaced_count = kept;
}

int
replan_child(struct pn_txn *txn, const uint32_t *indices, struct item **ret)
{
	struct item *child = txn_to_item(txn);

	if (!child)
		return -ENOMEM;
	keep_served(child, indices);
	*ret = child;
	return 0;
}

/* ---- what the relay writes ------------------------------------------------------------------- */

struct pn_txn *
seal_begin(struct generation *generation, const struct item *report)
{
	struct pn_txn *txn;

	if (!generation_has(generation, PN_STAGE_SEAL))
		return NULL;
	txn = txn_of_item(generation, report, report->bytes);
	plans_begin_seal(txn);
	return txn;
}

void
seal_end(const struct pn_txn *txn, struct item *report)
{
	struct mail_bytes *sealed = txn->plans->renderings[0]->bytes;

	mail_bytes_release(&report->bytes);
	report->bytes = mail_bytes_hold(sealed);
	report->size = mail_bytes_size(sealed);
	report->has_eightbit = mail_bytes_has_eightbit(sealed, 0);
}
