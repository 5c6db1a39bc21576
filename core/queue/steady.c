/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steady.c - the queue's time: that of the wall, though the wall's clock be set.
 *
 * Ages and due times are wall time, on disk and for people. When the clock is set, everything in
 * the queue moves along with it, by the clock that only ever runs on (and also while the machine
 * sleeps): the schedule goes on as if nothing had been, and nobody grows old in a moment. What is
 * on disk moves with each recipient's next mark.
 *
 * Called by whatever in the queue asks for the time, which is how a jump is noticed.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/queue/inside.h>
#include <stdio.h>

#define JUMP_US 2000000 /* less than this is a clock that is being corrected: nobody minds */
#define DAY_US  INT64_C(86400000000)

static void
move_item(struct queued *queued, int64_t by)
{
	struct item *item = queued->item;

	item->accepted_us += by;
	if (queued->entry.place)
		queued->entry.due_us += by;
	for (size_t i = 0; i < item->envelope.count; i++) {
		struct item_recipient *recipient = &item->recipients[i];

		recipient->due_us += by;
		if (recipient->last_attempt_us)
			recipient->last_attempt_us += by;
	}
}

/* A hold ends at the time that somebody has said, whatever the clock was then. */
static bool
is_held(const struct item *item)
{
	for (size_t i = 0; i < item->envelope.count; i++)
		if (item->recipients[i].hold)
			return true;
	return false;
}

/*
 * All by the same, so the heap keeps its order; but those that the spool is writing at the moment,
 * which it reads on a thread of its own.
 */
static void
move_all(struct queue *queue, int64_t by)
{
	char seconds[32];

	for (struct queued *queued = queue->items; queued; queued = queued->next)
		if (!queued->accepting)
			move_item(queued, by);
	if (queue->armed_us != INT64_MAX)
		queue->armed_us += by;
	for (struct queued *queued = queue->items; queued; queued = queued->next)
		if (queued->entry.place && is_held(queued->item))
			queue_wait_for_due(queued);
	snprintf(seconds, sizeof(seconds), "%.3f", (double)by / 1e6);
	log_event(PN_LOG_WARNING, "clock-set", "seconds", seconds, NULL);
}

int64_t
queue_now(struct queue *queue)
{
	int64_t now = clock_wall_us(), offset = now - clock_steady_us();
	int64_t jump = offset - queue->clock_offset_us;

	if (queue->clock_offset_us == 0) {
		queue->clock_offset_us = offset;
	} else if (jump > JUMP_US || jump < -JUMP_US) {
		queue->clock_offset_us = offset;
		move_all(queue, jump);
	}
	return now;
}

void
steady_accepted(struct queued *queued, int64_t offset_us)
{
	if (queued->queue->clock_offset_us != offset_us)
		move_item(queued, queued->queue->clock_offset_us - offset_us);
}

/* The clock may have been set back while nobody looked: no time out of a future that is far off. */
void
steady_restored(struct queue *queue, struct item *item)
{
	int64_t now = queue_now(queue);
	int64_t most = now + MAX(queue->settings.retry_most_ms * 1125, DAY_US);

	if (item->accepted_us > now)
		item->accepted_us = now;
	for (size_t i = 0; i < item->envelope.count; i++) {
		struct item_recipient *recipient = &item->recipients[i];

		if (recipient->due_us > most)
			recipient->due_us = now;
		if (recipient->last_attempt_us > now)
			recipient->last_attempt_us = now;
	}
}
