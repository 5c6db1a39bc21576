/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert.c - letters that a next hop cannot take as they are, made into such as it can.
 *
 * Called by destination.c and connection.c. The work is done on a job thread; then the delivery
 * stands first in its destination's line again. The spool keeps the original: another next hop gets
 * that. A conversion takes several times its letter's size in memory, so a queue has few at a time,
 * and a large letter is alone; the others wait, by turns of their destinations, without their
 * bytes. Must never hand back a letter that is still eight-bit, nor make more for a destination
 * than its connections soon take.
 */
#include <core/base/log.h>
#include <core/mail/convert.h>
#include <core/queue/destination.h>
#include <errno.h>

/* Letters that are converted at a time: one of any size, or so many bytes; each counts for so many.
 */
#define BYTES_MOST  MAIL_IN_MEMORY
#define BYTES_LEAST (BYTES_MOST / 4)
/* Letters of a destination that are converted, beside those that its connections send. */
#define AHEAD_MOST 2u

struct conversion {
	struct job job;
	struct delivery *delivery;
	size_t charge;
	struct mail_bytes *converted;
	struct pn_error err;
	int r;
};

static void
work(struct job *job)
{
	struct conversion *conversion = (struct conversion *)(void *)job;
	const struct courier_letter *letter = &conversion->delivery->letter;

	conversion->r = mail_convert_part(
	    letter->bytes, letter->offset, letter->len, &conversion->converted, &conversion->err);
}

static void
go_on(struct delivery *delivery, struct mail_bytes *converted)
{
	struct courier_letter *letter = &delivery->letter;

	delivery->converted = converted;
	delivery->destination->converted++;
	letter->offset = 0;
	letter->len = mail_bytes_size(converted);
	letter->has_eightbit = letter->binary = false;
	log_event(PN_LOG_INFO, "converted", "id", item_log_id(delivery->owner->item), "route",
	    destination_name(delivery->destination), NULL);
	if (delivery->destination->queue->draining)
		outcome_take_back(delivery);
	else
		lineup_add_first(&delivery->destination->lineup, delivery);
}

static void
give_up(struct delivery *delivery, const struct conversion *conversion)
{
	struct courier_letter *letter = &delivery->letter;

	if (conversion->r == -ENOTSUP)
		outcome_settle(delivery, COURIER_FAILED,
		    arena_printf(letter->arena,
			"554 5.6.3 the next hop takes 7bit only, and this cannot be converted: %s",
			conversion->err.text));
	else
		outcome_settle(
		    delivery, COURIER_DEFERRED, "452 4.3.1 no memory to convert the message");
	outcome_note(delivery);
}

static void end(struct destination *destination, size_t charge);
static void pump(struct destination *destination);

static void
done(struct job *job)
{
	struct conversion *conversion = (struct conversion *)(void *)job;
	struct delivery *delivery = conversion->delivery;
	struct destination *destination = delivery->destination;
	struct queue *queue = destination->queue;

	end(destination, conversion->charge);
	if (conversion->r == 0)
		go_on(delivery, conversion->converted);
	else
		give_up(delivery, conversion);
	g_free(conversion);
	pump(destination);
	destination_pump(destination);
	queue_end(queue);
}

/* ---- who is next ----------------------------------------------------------------------------- */

static size_t
charge_of(const struct delivery *delivery)
{
	return MAX(delivery->letter.len, BYTES_LEAST);
}

static void
submit(struct delivery *delivery)
{
	struct conversion *conversion = g_new0(struct conversion, 1);
	struct queue *queue = delivery->owner->queue;

	delivery->letter.bytes = delivery->owner->item->bytes;
	conversion->delivery = delivery;
	conversion->charge = charge_of(delivery);
	conversion->job = (struct job){ .loop = queue->parts.loop, .work = work, .done = done };
	queue_begin(queue);
	jobs_submit(queue->parts.jobs, &conversion->job);
}

/* Their bytes were given back while they waited. */
static void
loaded(struct load_waiter *waiter, int r)
{
	struct delivery *delivery = (struct delivery *)(void *)waiter;
	struct destination *destination = delivery->destination;

	if (r == 0 && !destination->queue->draining) {
		submit(delivery);
		return;
	}
	end(destination, charge_of(delivery));
	if (destination->queue->draining)
		outcome_take_back(delivery);
	else
		destination_cannot_load(delivery, r);
	pump(destination);
	destination_pump(destination);
}

static void
begin(struct delivery *delivery)
{
	struct destination *destination = delivery->destination;

	destination->jobs++;
	destination->converting++;
	destination->queue->converting += charge_of(delivery);
	queue_pin(delivery);
	if (delivery->owner->item->bytes) {
		submit(delivery);
		return;
	}
	delivery->waiter.loaded = loaded;
	load_start(delivery->owner, &delivery->waiter);
}

static void
end(struct destination *destination, size_t charge)
{
	destination->jobs--;
	destination->converting--;
	destination->queue->converting -= charge;
}

/* Those that wait for a connection are converted as they are needed, however long the line. */
static bool
is_wanted(const struct destination *destination)
{
	return destination->unfit.count > 0 && destination->converting + destination->converted <
						   destination->connections->len + AHEAD_MOST;
}

static void
set_turn(struct destination *destination, bool in_line)
{
	GQueue *turns = &destination->queue->conversions;

	if (in_line == (destination->conversion_turn.data != NULL))
		return;
	destination->conversion_turn.data = in_line ? destination : NULL;
	if (in_line)
		g_queue_push_tail_link(turns, &destination->conversion_turn);
	else
		g_queue_unlink(turns, &destination->conversion_turn);
}

/* What this destination may ask for has changed, or what the queue has room for. */
static void
pump(struct destination *destination)
{
	struct queue *queue = destination->queue;
	GList *turn;

	set_turn(destination, is_wanted(destination));
	while (!queue->draining && (turn = g_queue_peek_head_link(&queue->conversions))) {
		struct destination *next = turn->data;
		size_t charge = charge_of(lineup_first(&next->unfit));

		if (queue->converting > 0 && queue->converting + charge > BYTES_MOST)
			return;
		set_turn(next, false);
		begin(lineup_take(&next->unfit));
		set_turn(next, is_wanted(next));
	}
}

void
conversion_start(struct delivery *delivery)
{
	struct destination *destination = delivery->destination;

	delivery->letter.may_convert = delivery->letter.unfit = false;
	queue_unpin(delivery);
	lineup_add_last(&destination->unfit, delivery);
	pump(destination);
	if (!delivery->pinned && delivery->owner->queue->resident > QUEUE_RESIDENT_MOST)
		queue_drop_bytes(delivery->owner);
}

struct delivery *
conversion_take_back(struct destination *destination)
{
	struct delivery *delivery;

	if (destination->unfit.count == 0)
		return NULL;
	delivery = lineup_take(&destination->unfit);
	set_turn(destination, is_wanted(destination));
	return delivery;
}

void
conversion_sent(struct delivery *delivery)
{
	delivery->destination->converted--;
	mail_bytes_release(&delivery->converted);
	pump(delivery->destination);
}
