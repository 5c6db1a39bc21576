/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome.c - what an attempt's results mean: states, marks in the spool, log lines, retries.
 *
 * Called by destination.c when a delivery has ended. Must never make a failure final before the
 * notice about it is durable (notice.c), nor forget a recipient: each is delivered, failed,
 * waiting, or in a notice under way.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/queue/inside.h>
#include <stdio.h>
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

	if (delivery->pinned)
		owner->pins--;
	if (--owner->deliveries == 0)
		owner->queue->figures.sending--;
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

/* ---- log --------------------------------------------------------------------------------------
 */

static void
log_result(const struct delivery *delivery, const struct item_recipient *recipient,
    const char *event, const struct courier_result *result, int64_t now)
{
	const struct item *item = delivery->owner->item;
	const struct courier_letter *letter = &delivery->letter;
	const struct tls_facts *tls = &letter->tls;
	char delay[32];

	if (!log_wanted(PN_LOG_NOTICE))
		return;
	snprintf(delay, sizeof(delay), "%.3f", (double)(now - item->accepted_us) / 1e6);
	log_event(PN_LOG_NOTICE, event, "id", item->id, "to", recipient->envelope->address, "route",
	    delivery->destination ? destination_name(delivery->destination) : NULL, "remote",
	    letter->remote, "reply", result->reply, "tls", tls->version, "cipher", tls->cipher,
	    "verified", tls->version ? (tls->verified ? "yes" : "no") : NULL, "delay", delay, NULL);
}

/* ---- results ----------------------------------------------------------------------------------
 */

/* The item's own copy, unless it says so already: many attempts end alike. */
static const char *
keep(struct item *item, const char *had, const char *text)
{
	if (!text || (had && strcmp(had, text) == 0))
		return text ? had : NULL;
	return arena_text(&item->arena, text);
}

int64_t
outcome_next_due(
    const struct queue *queue, const struct item *item, const struct item_recipient *recipient)
{
	const struct queue_settings *settings = &queue->settings;
	int64_t now = clock_wall_us(), expiry = item->accepted_us + settings->give_up_ms * 1000;
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

/* True when the recipient's state is to be marked; a notice marks it later. */
static bool
note_deferred(struct delivery *delivery, uint32_t index, const struct courier_result *result,
    int64_t previous_us, int64_t now)
{
	struct queued *queued = delivery->owner;
	struct queue *queue = queued->queue;
	struct item_recipient *recipient = &queued->item->recipients[index];
	int64_t blocked = delivery->destination ? destination_blocked_us(delivery->destination) : 0;

	queue->figures.deferred++;
	log_result(delivery, recipient, "deferred", result, now);
	recipient->due_us = outcome_next_due(queue, queued->item, recipient);
	if (recipient->due_us < blocked)
		recipient->due_us = blocked;
	if (is_late_now(queued, previous_us, now) &&
	    notice_is_wanted(queued->item, index, DSN_DELAYED)) {
		notice_add(queued, index, DSN_DELAYED, NULL);
		return false;
	}
	recipient->state = ITEM_WAITING;
	return true;
}

static bool
note_failed(struct delivery *delivery, uint32_t index, const struct courier_result *result,
    const char *status, int64_t now)
{
	struct queued *queued = delivery->owner;
	struct item_recipient *recipient = &queued->item->recipients[index];

	log_result(delivery, recipient, "bounced", result, now);
	if (notice_is_wanted(queued->item, index, DSN_FAILED)) {
		notice_add(queued, index, DSN_FAILED, status);
		return false;
	}
	queued->queue->figures.failed++;
	recipient->state = ITEM_FAILED;
	queued->item->unfinished--;
	return true;
}

/* A next hop that speaks DSN tells the sender itself (RFC 3461 section 5.2). */
static void
note_delivered(
    struct delivery *delivery, uint32_t index, const struct courier_result *result, int64_t now)
{
	struct queued *queued = delivery->owner;
	struct item_recipient *recipient = &queued->item->recipients[index];
	enum dsn_action action = delivery->letter.relayed ? DSN_RELAYED : DSN_DELIVERED;

	queued->queue->figures.delivered++;
	log_result(delivery, recipient, "delivered", result, now);
	recipient->state = ITEM_DELIVERED;
	queued->item->unfinished--;
	if (!delivery->letter.dsn_passed && notice_is_wanted(queued->item, index, action))
		notice_add(queued, index, action, NULL);
}

static bool
note_one(
    struct delivery *delivery, uint32_t index, const struct courier_result *result, int64_t now)
{
	struct queued *queued = delivery->owner;
	struct item *item = queued->item;
	struct item_recipient *recipient = &item->recipients[index];
	int64_t previous = recipient->last_attempt_us;

	recipient->attempts++;
	recipient->last_attempt_us = now;
	recipient->last_reply = keep(item, recipient->last_reply, result->reply);
	recipient->last_remote = keep(item, recipient->last_remote, delivery->letter.remote);
	switch (result->outcome) {
	case COURIER_DELIVERED:
		note_delivered(delivery, index, result, now);
		return true;
	case COURIER_FAILED:
	case COURIER_WEAK:
		return note_failed(delivery, index, result, NULL, now);
	case COURIER_OPEN:
	case COURIER_DEFERRED:
		break;
	}
	if (now - item->accepted_us >= queued->queue->settings.give_up_ms * 1000)
		return note_failed(delivery, index, result, "4.4.7", now);
	return note_deferred(delivery, index, result, previous, now);
}

void
outcome_note(struct delivery *delivery)
{
	struct queued *queued = delivery->owner;
	int64_t now = clock_wall_us();
	size_t marked = 0;

	for (uint32_t i = 0; i < delivery->count; i++) {
		uint32_t index = delivery->indices[i];

		/* Those to be marked move to the front: marked <= i. */
		if (note_one(delivery, index, &delivery->results[i], now))
			delivery->indices[marked++] = index;
	}
	if (marked > 0)
		spool_mark(queued->queue->parts.spool, queued->item, delivery->indices, marked);
	outcome_drop(delivery);
	queue_settle(queued);
}
