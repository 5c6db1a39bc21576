/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn.c - the life of a transaction, and its end as an item of the queue.
 *
 * Called by the session, and by chain.c for accepted items. Must never keep a pointer into the
 * session's memory in an item.
 */
#include <core/base/clock.h>
#include <core/policy/txn.h>
#include <errno.h>
#include <stdlib.h>

#define OFFERS_MOST 400 /* an EHLO line has 512 octets */

struct pn_txn *
txn_new(struct generation *generation, const struct mail_facts *facts)
{
	struct pn_txn *txn = calloc(1, sizeof(*txn));

	if (!txn)
		return NULL;
	txn->generation = generation_hold(generation);
	txn->facts = *facts;
	txn->recipient = -1;
	txn->offers = BUF_INIT(OFFERS_MOST);
	return txn;
}

static void
drop_transaction(struct pn_txn *txn)
{
	mail_bytes_release(&txn->original);
	mail_bytes_release(&txn->view);
	mail_parts_release(&txn->parts);
	arena_free(&txn->arena);
}

void
txn_free(struct pn_txn **txn)
{
	if (!*txn)
		return;
	txn_auth_end(*txn);
	drop_transaction(*txn);
	buf_free(&(*txn)->offers);
	generation_release(&(*txn)->generation);
	free(*txn);
	*txn = NULL;
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
		.generation = txn->generation,
		.facts = txn->facts,
		.recipient_limit = txn->recipient_limit,
		.message_limit = txn->message_limit,
		.recipient = -1,
		.offers = txn->offers,
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

	mail_bytes_release(&txn->original);
	mail_bytes_release(&txn->view);
	r = mail_header_index(
	    pn_slice(bytes->data, bytes->len), most_fields, &txn->arena, &txn->header);
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
	r = mail_edits_apply(edits, pn_slice(txn->view->data, txn->view->len), SIZE_MAX, &bytes);
	if (r < 0)
		return r;
	/* What policy adds is not what the limit of fields is for. */
	r = mail_header_index(
	    pn_slice(bytes->data, bytes->len), SIZE_MAX, &txn->arena, &txn->header);
	if (r < 0) {
		mail_bytes_release(&bytes);
		return r;
	}
	mail_parts_release(&txn->parts);
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
}

/* ---- as an item ------------------------------------------------------------------------------ */

/* Eight bytes a step: this looks at every byte of every message. */
static bool
any_eightbit(const char *data, size_t len)
{
	const uint64_t high = 0x8080808080808080u;
	uint64_t seen = 0, word;
	size_t i = 0;

	for (; i + 32 <= len && !(seen & high); i += 32)
		for (size_t k = 0; k < 32; k += 8) {
			memcpy(&word, data + i + k, 8);
			seen |= word;
		}
	for (; i < len; i++)
		seen |= (uint64_t)(unsigned char)data[i];
	return (seen & high) != 0;
}

static bool
envelope_needs_utf8(const struct mail_envelope *envelope)
{
	if (any_eightbit(envelope->sender, strlen(envelope->sender)))
		return true;
	for (size_t i = 0; i < envelope->count; i++) {
		const char *address = envelope->recipients[i].address;

		if (any_eightbit(address, strlen(address)))
			return true;
	}
	return false;
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
}

static void
copy_policy(struct item *item, const struct pn_txn *txn)
{
	if (txn->tag_count > 0)
		item->tags = arena_alloc(&item->arena, txn->tag_count * sizeof(item->tags[0]));
	for (; item->tag_count < txn->tag_count; item->tag_count++)
		item->tags[item->tag_count] = arena_text(&item->arena, txn->tags[item->tag_count]);
	if (txn->effect_count > 0)
		item->effects = arena_alloc(
		    &item->arena, txn->effect_count * sizeof(item->effects[0]));
	for (; item->effect_count < txn->effect_count; item->effect_count++) {
		const struct item_effect *from = &txn->effects[item->effect_count];

		item->effects[item->effect_count] = (struct item_effect){
			.entry = arena_text(&item->arena, from->entry),
			.name = arena_text(&item->arena, from->name),
			.bytes = pn_slice(arena_slice(&item->arena, from->bytes), from->bytes.len),
		};
	}
}

struct item *
txn_to_item(struct pn_txn *txn)
{
	struct item *item = item_new();
	const char *data = txn->view->data;
	bool header_eightbit;

	if (!item)
		return NULL;
	memcpy(item->id, txn->id, sizeof(item->id));
	item->accepted_us = clock_wall_us();
	copy_facts(&item->facts, &txn->facts, &item->arena);
	mail_envelope_copy(&item->envelope, &txn->envelope, &item->arena);
	item_prepare(item);
	item->bytes = mail_bytes_hold(txn->view);
	item->size = txn->view->len;
	copy_policy(item, txn);
	header_eightbit = any_eightbit(data, txn->header.size);
	/* Raw eight-bit fields of a client that did not speak SMTPUTF8 go on as they came. */
	item->needs_utf8 = (header_eightbit && txn->facts.smtputf8) ||
			   envelope_needs_utf8(&item->envelope);
	item->has_eightbit = header_eightbit || any_eightbit(data + txn->header.body,
						    txn->view->len - txn->header.body);
	return item;
}
