/* SPDX-License-Identifier: Apache-2.0 */
/*
 * letter.c - what Postern has to say of itself, and no message is the cause of: sealed, then
 * accepted.
 *
 * Called by the relay on the queue's loop, with what was in its outbox. Of policy it must meet the
 * seals alone, so that nothing counts, copies or holds it.
 */
#include <core/base/clock.h>
#include <core/mail/address.h>
#include <core/queue/inside.h>

struct sending {
	struct queue *queue;
	struct item *item;
	queue_accepted_fn *done;
	void *arg;
};

static void
address(struct item *item, const struct letter *letter)
{
	struct mail_envelope *envelope = &item->envelope;

	envelope->sender = arena_text(&item->arena, letter->sender);
	envelope->original_sender = envelope->sender;
	item->needs_utf8 = mail_address_is_utf8(letter->sender);
	for (size_t i = 0; i < letter->count; i++) {
		mail_envelope_add(envelope, &item->arena, letter->recipients[i]);
		item->needs_utf8 |= mail_address_is_utf8(letter->recipients[i]);
	}
}

static int
make(struct queue *queue, const struct letter *letter, struct item **ret)
{
	struct item *item = item_new();
	int r;

	item_id_new(item->id);
	item->accepted_us = clock_wall_us();
	item->facts = (struct mail_facts){ .client_address = "local",
		.client_literal = "localhost",
		.listener = "",
		.helo = "",
		.esmtp = true };
	item->effects_done = true;
	address(item, letter);
	item_prepare(item);
	r = letter_write(letter, queue->relay_name, &item->bytes);
	if (r < 0) {
		item_free(&item);
		return r;
	}
	item->size = mail_bytes_size(item->bytes);
	item->has_eightbit = mail_bytes_has_eightbit(item->bytes, 0);
	*ret = item;
	return 0;
}

static void
sealed(void *arg, int r)
{
	struct sending *sending = arg;
	struct queue *queue = sending->queue;
	struct item *item = sending->item;

	if (r == 0) {
		item->facts.smtputf8 = item->needs_utf8;
		item->facts.eightbit = item->has_eightbit;
		queue_accept(queue, item, sending->done, sending->arg);
	} else {
		item_free(&item);
		sending->done(sending->arg, r, NULL);
	}
	g_free(sending);
	queue_end(queue);
}

void
queue_letter(struct queue *queue, const struct letter *letter, queue_accepted_fn *done, void *arg)
{
	const struct queue_parts *parts = &queue->parts;
	struct sending *sending;
	struct item *item;
	int r = make(queue, letter, &item);

	if (r < 0) {
		done(arg, r, NULL);
		return;
	}
	sending = g_new(struct sending, 1);
	*sending = (struct sending){ queue, item, done, arg };
	queue_begin(queue);
	if (parts->seal)
		parts->seal(parts->arg, item, sealed, sending);
	else
		sealed(sending, 0);
}
