/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change.c - what an administrator changes of waiting mail, and what becomes of held mail in time.
 *
 * Called by the commands of posternctl on the queue's loop, and by queue.c when a hold ends. Every
 * change is a mark in the spool. Must never have somebody sent who is held, also not by a crash in
 * the middle, and never take a letter back that a courier has begun.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/queue/inside.h>

/* ---- holds -----------------------------------------------------------------------------------
 */

static void
set_hold(struct queued *queued, uint32_t index, const struct item_hold *hold)
{
	struct item_recipient *recipient = &queued->item->recipients[index];

	if (!recipient->hold && hold)
		queued->queue->figures.held++;
	if (recipient->hold && !hold)
		queued->queue->figures.held--;
	recipient->hold = hold;
}

void
change_end_hold(struct queued *queued, uint32_t index)
{
	set_hold(queued, index, NULL);
}

void
change_count(struct queued *queued)
{
	const struct item *item = queued->item;

	for (size_t i = 0; i < item->envelope.count; i++)
		queued->queue->figures.held += item->recipients[i].hold != NULL;
}

void
change_forget(struct queued *queued)
{
	const struct item *item = queued->item;

	for (uint32_t i = 0; !queued->accepting && i < item->envelope.count; i++)
		set_hold(queued, i, NULL);
}

int64_t
change_due(const struct item_recipient *recipient)
{
	if (!recipient->hold)
		return recipient->due_us;
	/* A report that could not be written is tried again at `due_us`. */
	return recipient->hold->until_us ? MAX(recipient->hold->until_us, recipient->due_us)
					 : INT64_MAX;
}

static struct attempt
attempt_of(struct queued *queued, int64_t now)
{
	return (struct attempt){ .queued = queued, .now = now };
}

static void
mark(struct queued *queued, uint32_t index)
{
	spool_mark(queued->queue->parts.spool, queued->item, &index, 1);
}

static void
log_change(const struct queued *queued, uint32_t index, const char *event, const char *who)
{
	const struct item *item = queued->item;
	const struct item_hold *hold = item->recipients[index].hold;

	log_event(PN_LOG_NOTICE, event, "id", item_log_id(item), "to",
	    item->recipients[index].envelope->address, "by", who, "reason",
	    hold ? hold->reason : NULL, NULL);
}

static void
release(struct queued *queued, uint32_t index, int64_t now)
{
	log_change(queued, index, "released", NULL);
	set_hold(queued, index, NULL);
	queued->item->recipients[index].due_us = now;
	queued->item->recipients[index].owed_until_us = now +
							queued->queue->settings.give_up_ms * 1000;
	mark(queued, index);
}

static void
drop(struct queued *queued, uint32_t index, int64_t now, const char *reply)
{
	struct attempt attempt = attempt_of(queued, now);

	outcome_delete(&attempt, index, reply);
	attempt_end(&attempt);
	mark(queued, index);
}

/* Its hold stays until the report is durable. */
static void
bounce(struct queued *queued, uint32_t index, int64_t now)
{
	const struct item_hold *hold = queued->item->recipients[index].hold;
	struct attempt attempt = attempt_of(queued, now);
	char reply[COURIER_TEXT];

	g_snprintf(reply, sizeof(reply), "554 5.7.1 held and not released%s%s",
	    hold->reason ? ": " : "", hold->reason ? hold->reason : "");
	if (outcome_fail(&attempt, index, reply, "5.7.1"))
		mark(queued, index);
	attempt_end(&attempt);
}

void
change_expire(struct queued *queued, int64_t now)
{
	struct item *item = queued->item;

	for (uint32_t i = 0; i < item->envelope.count; i++) {
		const struct item_recipient *recipient = &item->recipients[i];
		const struct item_hold *hold = recipient->hold;

		if (!hold || recipient->state != ITEM_WAITING || change_due(recipient) > now)
			continue;
		if (hold->end == ITEM_HOLD_RELEASE)
			release(queued, i, now);
		else if (hold->end == ITEM_HOLD_DELETE)
			drop(queued, i, now, "554 5.7.1 held and not released");
		else
			bounce(queued, i, now);
	}
}

/* ---- deliveries ------------------------------------------------------------------------------
 */

bool
change_prune(struct delivery *delivery)
{
	struct item *item = delivery->owner->item;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < delivery->count; i++) {
		uint32_t index = delivery->indices[i];

		if (item->recipients[index].hold) {
			item->recipients[index].state = ITEM_WAITING;
			continue;
		}
		/* It may have one already, for want of what the next hop lacks. */
		delivery->results[kept] = delivery->results[i];
		delivery->indices[kept++] = index;
	}
	delivery->count = kept;
	delivery->letter.count = kept;
	if (kept == 0)
		outcome_take_back(delivery);
	return kept > 0;
}

/* ---- an administrator's word -----------------------------------------------------------------
 */

static bool
is_bouncing(const struct item_recipient *recipient)
{
	return recipient->state == ITEM_SENDING && recipient->hold && recipient->hold->until_us &&
	       recipient->hold->end == ITEM_HOLD_BOUNCE &&
	       recipient->hold->until_us <= clock_wall_us();
}

static enum queue_change
is_open(const struct item *item, uint32_t index)
{
	const struct item_recipient *recipient = &item->recipients[index];

	if (((const struct queued *)item->queue)->accepting)
		return QUEUE_BUSY; /* not durable yet */
	if (item_is_final(recipient->state))
		return QUEUE_UNCHANGED;
	return recipient->state == ITEM_REPLANNING || is_bouncing(recipient) ? QUEUE_BUSY
									     : QUEUE_CHANGED;
}

static enum queue_change
is_waiting(const struct item *item, uint32_t index)
{
	enum queue_change can = is_open(item, index);

	return can == QUEUE_CHANGED && item->recipients[index].state != ITEM_WAITING ? QUEUE_BUSY
										     : can;
}

static const struct item_hold *
copy_hold(struct item *item, const struct item_hold *hold)
{
	struct item_hold *copy = arena_copy(&item->arena, hold, sizeof(*hold));

	copy->reason = hold->reason ? arena_text(&item->arena, hold->reason) : NULL;
	copy->owner = hold->owner ? arena_text(&item->arena, hold->owner) : NULL;
	return copy;
}

void
change_hold_again(struct queued *queued, uint32_t index, const char *reason)
{
	struct item_hold hold = { reason, "postern", clock_wall_us(), 0, ITEM_HOLD_BOUNCE };

	set_hold(queued, index, copy_hold(queued->item, &hold));
	queued->item->recipients[index].state = ITEM_WAITING;
	log_change(queued, index, "held", hold.owner);
}

enum queue_change
queue_hold(struct queue *queue, struct item *item, uint32_t index, const struct item_hold *hold)
{
	struct item_recipient *recipient = &item->recipients[index];
	struct queued *queued = item->queue;
	enum queue_change can = is_open(item, index);

	if (can != QUEUE_CHANGED)
		return can;
	set_hold(queued, index, copy_hold(item, hold));
	if (recipient->state == ITEM_WAITING)
		recipient
		    ->due_us = 0; /* the end of the hold counts, and after it none has passed */
	mark(queued, index);
	log_change(queued, index, "held", hold->owner);
	queued->changed = true;
	return QUEUE_CHANGED;
}

enum queue_change
queue_release(struct queue *queue, struct item *item, uint32_t index)
{
	struct item_recipient *recipient = &item->recipients[index];
	enum queue_change can = is_open(item, index);

	if (can == QUEUE_CHANGED && !recipient->hold)
		can = QUEUE_UNCHANGED;
	if (can != QUEUE_CHANGED)
		return can;
	release(item->queue, index, clock_wall_us());
	((struct queued *)item->queue)->changed = true;
	return QUEUE_CHANGED;
}

/* The next hop may be up again, whatever its last connections came to. */
static void
unblock(struct queue *queue, const struct item *item, uint32_t index)
{
	char *key = queue_way_key(queue, item, index);
	struct destination *destination = key ? g_hash_table_lookup(queue->destinations, key)
					      : NULL;

	if (destination)
		destination_unblock(destination);
	g_free(key);
}

enum queue_change
queue_retry(struct queue *queue, struct item *item, uint32_t index)
{
	struct item_recipient *recipient = &item->recipients[index];
	struct queued *queued = item->queue;
	enum queue_change can = is_waiting(item, index);

	if (can == QUEUE_CHANGED && recipient->hold)
		can = QUEUE_UNCHANGED;
	if (can != QUEUE_CHANGED)
		return can;
	unblock(queue, item, index);
	recipient->due_us = clock_wall_us();
	mark(queued, index);
	queued->changed = true;
	return QUEUE_CHANGED;
}

enum queue_change
queue_delete(
    struct queue *queue, struct item *item, uint32_t index, bool with_report, const char *who)
{
	int64_t now = clock_wall_us();
	struct item_hold hold = { "deleted by the administrator", who, now, now, ITEM_HOLD_BOUNCE };
	struct queued *queued = item->queue;
	enum queue_change can = is_waiting(item, index);

	if (can != QUEUE_CHANGED)
		return can;
	queued->changed = true;
	if (with_report)
		return queue_hold(queue, item, index, &hold);
	log_change(queued, index, "delete", who);
	drop(queued, index, now, "554 5.7.1 deleted by the administrator");
	return QUEUE_CHANGED;
}

void
queue_changed(struct queue *queue, struct item *item)
{
	struct queued *queued = item->queue;

	if (!queued->changed)
		return;
	queued->changed = false;
	/* The timer comes in a later turn: whoever walks the queue is not called from in here. */
	if (!queued->accepting && !queued->committing)
		queue_settle(queued);
}

/* ---- for people ------------------------------------------------------------------------------
 */

const char *
queue_state_name(const struct item_recipient *recipient)
{
	switch (recipient->state) {
	case ITEM_WAITING:
		return recipient->hold ? "held" : recipient->attempts > 0 ? "deferred" : "waiting";
	case ITEM_SENDING:
		return is_bouncing(recipient) ? "bouncing" : "sending";
	case ITEM_REPLANNING:
		return "replanning";
	case ITEM_DELIVERED:
		return "delivered";
	case ITEM_FAILED:
		return "failed";
	case ITEM_REPLANNED:
		break;
	}
	return "replanned";
}

const char *
queue_route_name(const struct queue *queue, const struct item *item, uint32_t index)
{
	const char *refusal;
	const struct route *route = queue_route(queue, item, index, &refusal);

	return route ? route->name : NULL;
}
