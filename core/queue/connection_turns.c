/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection_turns.c - who has to give up a connection where all places are taken and others wait.
 *
 * Called by the queue, and by shaping when somebody begins to wait or is granted a place. Idle
 * connections close, and what has not been greeted for some seconds is given up. Must never break a
 * letter off.
 */
#include <core/queue/destination.h>

#define PATIENCE_MS 5000 /* without a greeting, while somebody waits for the place */

void
connection_set_turns(struct connection *connection, GQueue *turns)
{
	if (connection->turns)
		g_queue_unlink(connection->turns, &connection->turn);
	connection->turns = turns;
	if (turns)
		g_queue_push_tail_link(turns, &connection->turn);
}

bool
connection_is_pressed(const struct connection *connection)
{
	return shape_is_wanted(connection->hop->shape) ||
	       shaping_waiting(connection->destination->queue->shaping) > 0;
}

static void
close_idle(struct queue *queue)
{
	uint32_t wanted = shaping_waiting(queue->shaping);
	GList *next;

	for (GList *link = queue->idle.head; link; link = next) {
		struct connection *connection = link->data;

		next = link->next;
		if (shape_is_wanted(connection->hop->shape)) {
			connection_quit(connection);
		} else if (wanted > 0) {
			connection_quit(connection);
			wanted--;
		}
	}
}

/* Those who have kept others waiting for long enough without a word. */
static void
give_up_silent(struct loop_timer *timer)
{
	struct queue *queue = (struct queue *)(void *)((char *)timer -
						       offsetof(struct queue, impatience));
	int64_t since = loop_now(queue->parts.loop) - PATIENCE_MS;
	uint32_t wanted = shaping_waiting(queue->shaping);

	for (GList *link = queue->connecting.head; link && wanted > 0; link = link->next) {
		struct connection *connection = link->data;

		if (connection->opened_ms > since)
			break; /* oldest first */
		courier_abandon(connection->courier,
		    "no greeting for some seconds, and others wait for a connection");
		wanted--;
	}
	if (wanted > 0 && queue->connecting.head)
		loop_timer_set(queue->parts.loop, timer, PATIENCE_MS / 5);
}

/* Places have been granted to destinations of this loop, or somebody somewhere waits for one. */
static void
look(struct shaping_member *member)
{
	struct queue *queue = (struct queue *)(void *)((char *)member -
						       offsetof(struct queue, member));
	struct shaping_waiter *waiter;

	while ((waiter = shaping_granted(member))) {
		struct destination *destination = (struct destination *)(void
			*)((char *)waiter - offsetof(struct destination, waiter));

		destination_pump(destination);
		shape_decline(waiter);
	}
	close_idle(queue);
	if (shaping_waiting(queue->shaping) > 0 && !queue->impatience.link && !queue->draining)
		loop_timer_set(queue->parts.loop, &queue->impatience, PATIENCE_MS / 5);
	queue_look_again(queue);
}

void
connections_begin(struct queue *queue)
{
	g_queue_init(&queue->idle);
	g_queue_init(&queue->connecting);
	queue->impatience.fire = give_up_silent;
	queue->member.loop = queue->parts.loop;
	queue->member.look = look;
	queue->shaping = queue->parts.shaping ? shaping_hold(queue->parts.shaping) : shaping_new();
	shaping_join(queue->shaping, &queue->member);
}

bool
connections_end(struct queue *queue)
{
	loop_timer_cancel(queue->parts.loop, &queue->impatience);
	return shaping_leave(&queue->member);
}
