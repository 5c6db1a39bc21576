/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome.c - what an attempt's results mean: states, marks in the spool, retries, replans.
 *
 * Called by destination.c when a delivery has ended. Must never make a failure final before the
 * notice about it is durable (notice.c), nor forget a recipient: each is delivered, failed,
 * waiting, or in a notice under way.
 */
#include <core/base/clock.h>
#include <core/queue/inside.h>
#include <stdlib.h>

#define NOTICE_AFTER_MS (4 * 3600 * (int64_t)1000)

void
outcome_settle(struct delivery *delivery, enum courier_outcome outcome, const char *reply)
{
	courier_settle_open(&delivery->letter, outcome, reply);
}

void
outcome_drop(struct delivery *delivery)
{
	struct queued *owner = delivery->owner;

	queue_unpin(delivery);
	if (--owner->deliveries == 0)
		owner->queue->figures.sending--;
	if (delivery->converted)
		conversion_sent(delivery);
	arena_free(&delivery->arena);
	g_free(delivery);
}

void
outcome_take_back(struct delivery *delivery)
{
	struct queued *owner = delivery->owner;

	for (uint32_t i = 0; i < delivery->count; i++)
		owner->item->recipients[delivery->indices[i]].state = ITEM_WAITING;
	outcome_drop(delivery);
	queue_settle(owner);
}

/* ---- results ----------------------------------------------------------------------------------
 */

/* The item's own copy, unless it says so already: many attempts end alike. */
static const char *
keep(struct queued *queued, const char *had, const char *text)
{
	if (!text || (had && strcmp(had, text) == 0))
		return text ? had : NULL;
	queued->grown = true;
	return arena_text(&queued->item->arena, text);
}

int64_t
outcome_next_due(
    struct queue *queue, const struct item *item, const struct item_recipient *recipient)
{
	const struct queue_settings *settings = &queue->settings;
	int64_t now = queue_now(queue), expiry = item->accepted_us + settings->give_up_ms * 1000;
	int64_t due = now + schedule_delay_ms(settings->retry_first_ms, settings->retry_most_ms,
				recipient->attempts) *
				1000;

	/* The last attempt is made when the time is up, not an interval before. */
	return due > expiry && expiry > now ? expiry : due;
}

/* True for the first attempt behind the time of the notice: so it needs no mark of its own. */
static bool
is_late_now(const struct queued *queued, int64_t previous_us, int64_t now)
{
	const struct queue_settings *settings = &queued->queue->settings;
	int64_t after = settings->notice_after_ms ? settings->notice_after_ms : NOTICE_AFTER_MS;
	int64_t threshold = queued->item->accepted_us + after * 1000;

	return previous_us < threshold && threshold <= now;
}

bool
outcome_is_too_old(const struct queued *queued, int64_t now)
{
	return now - queued->item->accepted_us >= queued->queue->settings.give_up_ms * 1000;
}

bool
outcome_defer(struct attempt *attempt, uint32_t index, const char *reply, int64_t previous_us,
    int64_t not_before_us)
{
	struct queued *queued = attempt->queued;
	struct queue *queue = queued->queue;
	struct item_recipient *recipient = &queued->item->recipients[index];

	queue->figures.deferred++;
	recipient->last_reply = keep(queued, recipient->last_reply, reply);
	attempt_tell(attempt, index, PN_FATE_DEFERRED);
	recipient->due_us = outcome_next_due(queue, queued->item, recipient);
	if (recipient->due_us < not_before_us)
		recipient->due_us = not_before_us;
	if (is_late_now(queued, previous_us, attempt->now) &&
	    notice_is_wanted(queued->item, index, DSN_DELAYED)) {
		notice_add(queued, index, DSN_DELAYED, NULL);
		return false;
	}
	recipient->state = ITEM_WAITING;
	return true;
}

bool
outcome_fail(struct attempt *attempt, uint32_t index, const char *reply, const char *status)
{
	struct queued *queued = attempt->queued;
	struct item_recipient *recipient = &queued->item->recipients[index];

	recipient->last_reply = keep(queued, recipient->last_reply, reply);
	attempt_tell(attempt, index, PN_FATE_FAILED);
	if (notice_is_wanted(queued->item, index, DSN_FAILED)) {
		notice_add(queued, index, DSN_FAILED, status);
		recipient->state = ITEM_SENDING; /* until the notice is durable */
		return false;
	}
	queued->queue->figures.failed++;
	recipient->state = ITEM_FAILED;
	queued->item->unfinished--;
	change_end_hold(queued, index);
	return true;
}

void
outcome_delete(struct attempt *attempt, uint32_t index, const char *reply)
{
	struct queued *queued = attempt->queued;
	struct item_recipient *recipient = &queued->item->recipients[index];

	recipient->last_reply = keep(queued, recipient->last_reply, reply);
	attempt->deleted = true;
	attempt_tell(attempt, index, PN_FATE_FAILED);
	queued->queue->figures.deleted++;
	recipient->state = ITEM_FAILED;
	queued->item->unfinished--;
	change_end_hold(queued, index);
}

/* A next hop that speaks DSN tells the sender itself (RFC 3461 section 5.2). */
static void
note_delivered(const struct delivery *delivery, struct attempt *attempt, uint32_t index)
{
	struct queued *queued = delivery->owner;
	struct item_recipient *recipient = &queued->item->recipients[index];
	enum dsn_action action = delivery->letter.relayed ? DSN_RELAYED : DSN_DELIVERED;

	queued->queue->figures.delivered++;
	attempt_tell(attempt, index, PN_FATE_DELIVERED);
	recipient->state = ITEM_DELIVERED;
	queued->item->unfinished--;
	change_end_hold(queued, index);
	if (!delivery->letter.dsn_passed && notice_is_wanted(queued->item, index, action))
		notice_add_delivered(queued, index, action, attempt->remote ? &attempt->tls : NULL);
}

/* What is to be done for a recipient now that his state is set. */
enum next { NEXT_NOTHING, NEXT_MARK, NEXT_REPLAN, NEXT_DEFER };

static enum next
note_weak(struct attempt *attempt, uint32_t index, const char *reply)
{
	struct queued *queued = attempt->queued;

	if (queued->item->recipients[index].hold) /* held meanwhile */
		return outcome_defer(attempt, index, reply, attempt->now, 0) ? NEXT_MARK
									     : NEXT_NOTHING;
	if (!replan_is_possible(queued, index)) {
		if (*reply == '4') /* the demand waits */
			return NEXT_DEFER;
		return outcome_fail(attempt, index, reply, NULL) ? NEXT_MARK : NEXT_NOTHING;
	}
	queued->item->recipients[index].state = ITEM_REPLANNING;
	return NEXT_REPLAN;
}

/*
 * Mail that was held for longer than its age is tried once, though its next hop be left alone or
 * over its rate when it is released; but that, too, has an end.
 */
static bool
has_one_coming(const struct delivery *delivery, const struct item_recipient *recipient, int64_t now)
{
	return delivery->spared && now < recipient->owed_until_us;
}

static enum next
note_one(const struct delivery *delivery, struct attempt *attempt, uint32_t index,
    const struct courier_result *result)
{
	struct queued *queued = delivery->owner;
	struct item *item = queued->item;
	struct item_recipient *recipient = &item->recipients[index];
	int64_t previous = recipient->last_attempt_us;
	int64_t blocked = delivery->destination ? destination_blocked_us(delivery->destination) : 0;
	enum next next = NEXT_DEFER;

	if (!delivery->unasked)
		recipient->attempts++;
	if (!delivery->spared)
		recipient->owed_until_us = 0;
	recipient->last_attempt_us = attempt->now;
	recipient->last_reply = keep(queued, recipient->last_reply, result->reply);
	recipient->last_remote = keep(queued, recipient->last_remote, attempt->remote);
	switch (result->outcome) {
	case COURIER_DELIVERED:
		note_delivered(delivery, attempt, index);
		return NEXT_MARK;
	case COURIER_WEAK:
		next = note_weak(attempt, index, result->reply);
		break;
	case COURIER_FAILED:
		return outcome_fail(attempt, index, result->reply, NULL) ? NEXT_MARK : NEXT_NOTHING;
	case COURIER_OPEN:
	case COURIER_DEFERRED:
		break;
	}
	if (next != NEXT_DEFER)
		return next;
	if (outcome_is_too_old(queued, attempt->now) && !recipient->hold &&
		    !has_one_coming(delivery, recipient, attempt->now)
		? outcome_fail(attempt, index, result->reply, "4.4.7")
		: outcome_defer(attempt, index, result->reply, previous, blocked))
		return NEXT_MARK;
	return NEXT_NOTHING;
}

void
outcome_note(struct delivery *delivery)
{
	struct queued *queued = delivery->owner;
	struct attempt attempt = {
		.queued = queued,
		.route = delivery->destination ? destination_name(delivery->destination) : NULL,
		.remote = delivery->letter.remote,
		.tls = delivery->letter.tls,
		.now = queue_now(queued->queue),
	};
	uint32_t *replans = NULL;
	size_t marked = 0, planned = 0;

	for (uint32_t i = 0; i < delivery->count; i++) {
		uint32_t index = delivery->indices[i];
		enum next next = note_one(delivery, &attempt, index, &delivery->results[i]);

		if (next == NEXT_REPLAN && !replans)
			replans = g_new(uint32_t, delivery->count);
		if (next == NEXT_REPLAN)
			replans[planned++] = index;
		/* Those to be marked move to the front: marked <= i. */
		if (next == NEXT_MARK)
			delivery->indices[marked++] = index;
	}
	if (marked > 0)
		spool_mark(queued->queue->parts.spool, queued->item, delivery->indices, marked);
	attempt_end(&attempt);
	if (replans) /* all of a letter are too weak for the same reason */
		replan_start(
		    &attempt, replans, planned, queued->item->recipients[*replans].last_reply);
	g_free(replans);
	outcome_drop(delivery);
	queue_settle(queued);
}
