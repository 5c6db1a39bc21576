/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn.c - the life of a transaction, and its end as an item of the queue.
 *
 * Called by the session, and by committed.c for accepted items. Must never keep a pointer into the
 * session's memory in an item.
 */
#include <core/base/clock.h>
#include <core/base/text.h>
#include <core/mail/part.h>
#include <core/policy/plans.h>
#include <errno.h>
#include <stdlib.h>

#define OFFERS_MOST 400 /* an EHLO line has 512 octets */

struct pn_txn *
txn_new(struct generation *generation, const struct mail_facts *facts)
{
	struct pn_txn *txn = calloc(1, sizeof(*txn));

	if (!txn)
		return NULL;
	txn->references = 1;
	txn->generation = generation_hold(generation);
	txn->facts = *facts;
	txn->recipient = -1;
	txn->offers = BUF_INIT(OFFERS_MOST);
	txn->reading = reading_new();
	if (!txn->reading)
		txn_free(&txn);
	return txn;
}

static void
drop_transaction(struct pn_txn *txn)
{
	if (txn->reading)
		reading_end(txn);
	mail_bytes_release(&txn->original);
	mail_bytes_release(&txn->view);
	mail_parts_release(&txn->parts);
	plans_drop(txn->plans);
	arena_free(&txn->arena);
	txn_free(&txn->before);
}

void
txn_free(struct pn_txn **txn)
{
	struct pn_txn *old = *txn;

	*txn = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	txn_auth_end(old);
	drop_transaction(old);
	reading_free(&old->reading);
	buf_free(&old->offers);
	generation_release(&old->generation);
	free(old);
}

struct pn_txn *
txn_fork(struct pn_txn *txn)
{
	struct pn_txn *fork = malloc(sizeof(*fork));
	const struct mail_envelope *envelope = &txn->envelope;

	if (!fork)
		abort(); /* as arena.h */
	*fork = *txn;
	fork->reading = reading_new();
	if (!fork->reading)
		abort();
	__atomic_fetch_add(&txn->references, 1, __ATOMIC_RELAXED);
	fork->references = 1;
	fork->before = txn;
	fork->arena = (struct arena){ 0 };
	fork->generation = generation_hold(txn->generation);
	fork->original = txn->original ? mail_bytes_hold(txn->original) : NULL;
	fork->view = txn->view ? mail_bytes_hold(txn->view) : NULL;
	fork->envelope.recipients = arena_copy(
	    &fork->arena, envelope->recipients, envelope->count * sizeof(*envelope->recipients));
	fork->envelope.capacity = envelope->count;
	fork->offers = BUF_INIT(OFFERS_MOST);
	if (buf_add(&fork->offers, txn->offers.data, txn->offers.len) < 0)
		abort();
	plans_fork(txn, fork);
	fork->parts = NULL; /* decodes as it is read: for one thread */
	fork->kept = NULL;
	fork->drop = NULL;
	return fork;
}

void
txn_begin(struct pn_txn *txn)
{
	item_id_new(txn->id);
}

void
txn_reset(struct pn_txn *txn, struct generation *newest)
{
	struct pn_txn fresh = {
		.references = 1,
		.generation = txn->generation,
		.facts = txn->facts,
		.recipient_limit = txn->recipient_limit,
		.message_limit = txn->message_limit,
		.recipient = -1,
		.offers = txn->offers,
		.reading = txn->reading,
	};

	txn_auth_end(txn);
	drop_transaction(txn);
	if (fresh.generation != newest) {
		generation_release(&fresh.generation);
		fresh.generation = generation_hold(newest);
	}
	/* What MAIL's parameters asked for goes with it. */
	fresh.facts.smtputf8 = fresh.facts.eightbit = fresh.facts.binary = false;
	fresh.facts.requiretls = false;
	*txn = fresh;
}

int
txn_set_message(struct pn_txn *txn, struct mail_bytes *bytes, size_t most_fields)
{
	int r;

	reading_end(txn);
	mail_bytes_release(&txn->original);
	mail_bytes_release(&txn->view);
	txn->fingerprint = 0;
	r = mail_header_index(mail_bytes_front(bytes), most_fields, &txn->arena, &txn->header);
	if (r < 0) {
		mail_bytes_release(&bytes);
		return r;
	}
	txn->original = bytes;
	txn->view = mail_bytes_hold(bytes);
	return 0;
}

int
txn_apply(struct pn_txn *txn, const struct mail_edits *edits)
{
	struct mail_bytes *bytes;
	int r;

	if (edits->count == 0)
		return 0;
	r = mail_bytes_edit(txn->view, edits, &bytes);
	if (r < 0)
		return r;
	/* What policy adds is not what the limit of fields is for. */
	r = mail_header_index(mail_bytes_front(bytes), SIZE_MAX, &txn->arena, &txn->header);
	if (r < 0) {
		mail_bytes_release(&bytes);
		return r;
	}
	mail_parts_release(&txn->parts);
	reading_end(txn);
	mail_bytes_release(&txn->view);
	txn->view = bytes;
	return 0;
}

void
txn_drop_kept(struct pn_txn *txn)
{
	if (txn->drop)
		txn->drop(txn->kept);
	txn->kept = NULL;
	txn->drop = NULL;
	txn->challenger = 0;
}

void
txn_auth_end(struct pn_txn *txn)
{
	txn_drop_kept(txn);
	txn->mechanism = NULL;
	txn->response = pn_slice(NULL, 0);
	txn->binding = pn_slice(NULL, 0);
}

/* ---- as an item ------------------------------------------------------------------------------ */

/*
 * Of a large message only what is in memory is looked at: this may be a loop, and to read all of it
 * takes a disk, the processor and memory that may be short. What a next hop without SMTPUTF8 then
 * gets are eight-bit fields of a part behind the front, and no message is bounced for want of
 * memory.
 */
static bool
parts_need_utf8(const struct mail_bytes *bytes)
{
	return mail_parts_header_is_utf8(mail_bytes_front(bytes));
}

static void
copy_facts(struct mail_facts *ret, const struct mail_facts *from, struct arena *arena)
{
	*ret = *from;
	ret->client_address = arena_text(arena, from->client_address);
	ret->client_literal = arena_text(arena, from->client_literal);
	ret->listener = arena_text(arena, from->listener);
	ret->helo = arena_text(arena, from->helo);
	ret->user = arena_text(arena, from->user);
	ret->tls_version = arena_text(arena, from->tls_version);
	ret->tls_cipher = arena_text(arena, from->tls_cipher);
	ret->certificate = certificate_copy(arena, from->certificate);
	ret->client_uid = arena_text(arena, from->client_uid);
	ret->client_pid = arena_text(arena, from->client_pid);
}

static const char **
copy_tags(const char *const *tags, size_t count, struct arena *arena)
{
	const char **copies = arena_alloc(arena, count * sizeof(*copies));

	for (size_t i = 0; i < count; i++)
		copies[i] = arena_text(arena, tags[i]);
	return copies;
}

static struct item_effect *
copy_effects(const struct item_effect *effects, size_t count, struct arena *arena)
{
	struct item_effect *copies = arena_alloc(arena, count * sizeof(*copies));

	for (size_t i = 0; i < count; i++)
		copies[i] = (struct item_effect){
			.entry = arena_text(arena, effects[i].entry),
			.name = arena_text(arena, effects[i].name),
			.bytes = pn_slice(
			    arena_slice(arena, effects[i].bytes), effects[i].bytes.len),
		};
	return copies;
}

static void
copy_policy(struct item *item, const struct pn_txn *txn)
{
	item->tag_count = txn->tag_count;
	if (txn->tag_count > 0)
		item->tags = copy_tags(txn->tags, txn->tag_count, &item->arena);
	item->effect_count = txn->effect_count;
	if (txn->effect_count > 0)
		item->effects = copy_effects(txn->effects, txn->effect_count, &item->arena);
}

/* What the next hop must be able to take. */
static void
judge_bytes(const struct pn_txn *txn, struct mail_bytes *bytes, size_t header_size,
    struct mail_rendering *ret)
{
	bool header = mail_any_eightbit(pn_slice(bytes->data, header_size));

	ret->has_eightbit = header || mail_bytes_has_eightbit(bytes, header_size);
	/*
	 * Raw eight-bit fields of a client that did not speak SMTPUTF8 go on as they came. What
	 * addresses need is seen when they are sent, a letter at a time.
	 */
	ret->needs_utf8 = txn->facts.smtputf8 && ret->has_eightbit &&
			  (header || parts_need_utf8(bytes));
}

static struct mail_rendering
rendering_of(struct pn_txn *txn, struct mail_bytes *bytes)
{
	struct mail_rendering ret = { .len = mail_bytes_size(bytes) };
	struct mail_header header;

	/* A rendering is what policy made of a message that kept to the limits. */
	if (mail_header_index(mail_bytes_front(bytes), SIZE_MAX, &txn->arena, &header) < 0)
		header.size = bytes->len;
	judge_bytes(txn, bytes, header.size, &ret);
	return ret;
}

/* Where each is of those that stand one behind the other. */
static int
place_renderings(struct pn_txn *txn, struct item *item)
{
	const struct plans *plans = txn->plans;
	size_t len = 0;
	int r;

	item->rendering_count = plans->rendering_count;
	item->renderings = arena_alloc(
	    &item->arena, plans->rendering_count * sizeof(*item->renderings));
	for (size_t i = 0; i < plans->rendering_count; i++) {
		const struct plan_group *group = plans->renderings[i];

		item->renderings[i] = rendering_of(txn, group->bytes);
		item->renderings[i].offset = len;
		item->renderings[i].sender = arena_text(&item->arena, group->sender);
		item->renderings[i].binary = !group->by.provider && txn->facts.binary &&
					     !group->converted;
		item->needs_utf8 |= item->renderings[i].needs_utf8;
		item->has_eightbit |= item->renderings[i].has_eightbit;
		len += item->renderings[i].len;
	}
	r = plans_join(txn);
	if (r == 0)
		item->bytes = mail_bytes_hold(plans->joined);
	return r;
}

static void
copy_plan(struct mail_plan *ret, const struct mail_plan *from, struct arena *arena)
{
	*ret = *from;
	ret->method = arena_text(arena, from->method);
	ret->entry = arena_text(arena, from->entry);
	ret->reason = arena_text(arena, from->reason);
	ret->passed = arena_text(arena, from->passed);
	ret->next = arena_text(arena, from->next);
	ret->unserved = arena_text(arena, from->unserved);
	ret->demand = mail_demand_copy(&from->demand, arena);
}

static void
copy_plans(struct pn_txn *txn, struct item *item)
{
	for (size_t i = 0; i < item->envelope.count; i++) {
		struct mail_plan *plan = &item->recipients[i].plan;

		if (txn->plans)
			copy_plan(plan, &txn->plans->of[i].made, &item->arena);
		else
			plan->demand = mail_demand_copy(
			    &txn->envelope.recipients[i].demand, &item->arena);
		if (!txn->plans && want_opted_out(txn, i))
			plan->method = MAIL_METHOD_OPT_OUT;
		plan->number = txn->plan_number;
		item->wanted |= want_protection(txn, i);
		item->opted_out |= want_opted_out(txn, i);
	}
}

static int
copy_bytes(struct pn_txn *txn, struct item *item)
{
	struct mail_rendering only = { 0 };
	int r = 0;

	if (txn->plans) {
		r = place_renderings(txn, item);
	} else {
		item->bytes = mail_bytes_hold(txn->view);
		judge_bytes(txn, txn->view, txn->header.size, &only);
		item->needs_utf8 = only.needs_utf8;
		item->has_eightbit = only.has_eightbit;
	}
	if (r == 0)
		item->size = mail_bytes_size(item->bytes);
	return r;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 8689 section 3; beside REQUIRETLS the field is nothing. */
static bool
is_tls_optional(const struct pn_txn *txn)
{
	struct pn_slice bytes = txn->view ? mail_bytes_front(txn->view) : pn_slice(NULL, 0);
	struct pn_slice value;
	struct pn_header field;
	int at = txn->view ? mail_header_find(bytes, &txn->header, "TLS-Required", 0) : -ENOENT;

	if (at < 0 || !mail_header_field(bytes, &txn->header, (size_t)at, &field))
		return false;
	value = field.value;
	while (value.len > 0 && is_space(value.data[0]))
		value = pn_slice(value.data + 1, value.len - 1);
	while (value.len > 0 && is_space(value.data[value.len - 1]))
		value.len--;
	return text_is(value, "no");
}

struct item *
txn_to_item(struct pn_txn *txn)
{
	struct item *item = item_new();

	if (!item)
		return NULL;
	memcpy(item->id, txn->id, sizeof(item->id));
	item->accepted_us = clock_wall_us();
	copy_facts(&item->facts, &txn->facts, &item->arena);
	item->facts.tls_optional = !txn->facts.requiretls && is_tls_optional(txn);
	mail_envelope_copy(&item->envelope, &txn->envelope, &item->arena);
	item_prepare(item);
	copy_plans(txn, item);
	copy_policy(item, txn);
	if (copy_bytes(txn, item) < 0)
		item_free(&item);
	return item;
}

struct pn_txn *
txn_of_item(struct generation *generation, const struct item *item, struct mail_bytes *bytes)
{
	struct pn_txn *txn = txn_new(generation, &item->facts);

	if (!txn)
		abort(); /* as arena.h */
	memcpy(txn->id, item_log_id(item), sizeof(txn->id));
	if (item->envelope.count > 0)
		txn->plan_number = item->recipients[0].plan.number;
	copy_facts(&txn->facts, &item->facts, &txn->arena);
	mail_envelope_copy(&txn->envelope, &item->envelope, &txn->arena);
	txn->size = item->size;
	txn->tag_count = item->tag_count;
	txn->tags = copy_tags(item->tags, item->tag_count, &txn->arena);
	txn->effect_count = item->effect_count;
	txn->effects = copy_effects(item->effects, item->effect_count, &txn->arena);
	if (bytes && item->rendering_count <= 1) { /* several renderings are no message */
		txn->view = mail_bytes_hold(bytes);
		mail_header_index(mail_bytes_front(bytes), SIZE_MAX, &txn->arena, &txn->header);
	}
	return txn;
}
