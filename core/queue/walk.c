/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.c - goes through all items of a queue in steps.
 *
 * Called by what posternctl asks for. Must never keep the loop from mail for longer than a step is
 * allowed to, nor trip over items that leave between two steps or by the caller's own hand.
 */
#include <core/base/clock.h>
#include <core/queue/inside.h>

#define LOOK_AT_CLOCK 32u /* items between two looks */

void
queue_walk_start(struct queue *queue, struct queue_walk *walk)
{
	*walk = (struct queue_walk){ queue, queue->items, queue->walks };
	queue->walks = walk;
}

void
queue_walk_stop(struct queue_walk *walk)
{
	struct queue_walk **link = &walk->queue->walks;

	while (*link != walk)
		link = &(*link)->others;
	*link = walk->others;
}

bool
queue_walk_step(
    struct queue_walk *walk, int64_t most_us, void (*each)(void *arg, struct item *item), void *arg)
{
	int64_t until = clock_monotonic_us() + most_us;

	for (unsigned n = 1; walk->next; n++) {
		struct queued *queued = walk->next;

		walk->next = queued->next; /* where that leaves, unlink_item() goes on from it */
		each(arg, queued->item);
		if (n % LOOK_AT_CLOCK == 0 && clock_monotonic_us() >= until)
			return true;
	}
	queue_walk_stop(walk);
	return false;
}
