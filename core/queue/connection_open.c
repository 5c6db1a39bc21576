/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection_open.c - connections for a destination: from another that has no need of one now, or
 * opened.
 *
 * Called by destination.c when mail waits. Domains that share a host share its connections, one
 * letter after another. Must never open more than the host's places, nor to a worse host while a
 * better one is to be had.
 */
#include <core/queue/destination.h>

#define MOVED_MS 60000 /* then the destination that a connection was taken from looks around */

/* ---- waiting for a place ----------------------------------------------------------------------
 */

void
connections_stop_waiting(struct destination *destination)
{
	if (!destination->waits)
		return;
	g_queue_unlink(&destination->waits->waiting, &destination->waits_link);
	destination->waits = NULL;
	shape_unwait(&destination->waiter);
}

/* True: a place is taken. */
static bool
take_place(struct destination *destination, struct hop *hop)
{
	struct loop *loop = destination->queue->parts.loop;
	int64_t wait_us;

	if (destination->waits && destination->waits != hop->meeting)
		connections_stop_waiting(destination);
	if (shape_take(hop->shape, &destination->waiter, loop_now(loop) * 1000, &wait_us)) {
		if (destination->waits)
			g_queue_unlink(&destination->waits->waiting, &destination->waits_link);
		destination->waits = NULL;
		return true;
	}
	if (wait_us > 0) {
		connections_stop_waiting(destination);
		destination->open_ms = loop_now(loop) + wait_us / 1000 + 1;
		destination_pump_in(destination, wait_us / 1000 + 1);
	} else if (!destination->waits) {
		destination->waits = hop->meeting;
		g_queue_push_tail_link(&hop->meeting->waiting, &destination->waits_link);
	}
	return false;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

/* Is there one more to be opened? One alone tries a hop that had failed. */
static bool
wants_one(const struct destination *destination, const struct hop *hop)
{
	uint32_t most = MIN(hop->limits.shape.connections, destination->window);
	int64_t now = loop_now(destination->queue->parts.loop);

	return destination->connecting < destination->lineup.count &&
	       destination->connections->len < most && !destination_is_blocked(destination) &&
	       !(destination->failures > 0 && destination->connecting > 0) &&
	       destination->open_ms <= now;
}

/* While it waits for a place at one of several equals, that one is it. */
static struct hop *
choose(const struct destination *destination)
{
	struct hop *best = hops_choose(destination->hops), *same;

	if (!best || !destination->waits)
		return best;
	same = hops_find(destination->hops, destination->waits);
	return same && same->rank == best->rank &&
		       hop_blocked_until(destination->hops, same, NULL) == 0
		   ? same
		   : best;
}

/* All its hosts are left alone, and nothing else would come back to it. */
static void
wait_for_hops(struct destination *destination)
{
	char reason[COURIER_TEXT];
	int64_t until = hops_silent_until(destination->hops, reason);

	if (until > 0)
		destination_leave_alone(destination, until, reason);
	else
		destination_pump_in(destination, hops_wait_ms(destination->hops));
}

void
connections_open(struct destination *destination)
{
	struct hop *hop;

	while ((hop = choose(destination)) && wants_one(destination, hop)) {
		if (!take_place(destination, hop))
			return;
		if (connection_new(destination, hop) < 0) {
			shape_give(hop->shape);
			destination_back_off(destination, "451 4.3.0 out of memory");
			return;
		}
	}
	connections_stop_waiting(destination);
	if (!hop && destination->lineup.count > 0 && destination->connections->len == 0)
		wait_for_hops(destination);
}

/* ---- from one destination to another -----------------------------------------------------------
 */

/* Idle; and its target is the same in all that the key does not say. */
static bool
may_move(const struct connection *connection, const struct destination *destination)
{
	return connection->destination != destination && courier_is_ready(connection->courier) &&
	       connection->hops->routes == destination->routes && destination->hops &&
	       hops_find(destination->hops, connection->hop->meeting);
}

static void
move(struct connection *connection, struct destination *destination)
{
	struct hop *hop = connection->hop;

	connection_set_idle(connection, false);
	g_ptr_array_remove_fast(connection->destination->connections, connection);
	/* Whoever has no mail and no connection is forgotten in time. */
	destination_pump_in(connection->destination, MOVED_MS);
	connection->destination = destination;
	connection->outdated = false; /* its key is what this one's hosts have now */
	g_ptr_array_add(destination->connections, connection);
	connection_set_idle(connection, true);
	/* To this domain it is a session as any other. */
	destination_count_session(destination, hop, connection->courier);
	if (hop->target.level != TLS_LEVEL_NONE)
		capability_note(routes_capability(destination->routes), destination->key,
		    courier_tls(connection->courier)->bits);
}

bool
connections_adopt(struct destination *destination)
{
	struct hop *hop;

	if (destination->lineup.count == 0 || destination->idle.head ||
	    destination_is_blocked(destination) || !(hop = hops_choose(destination->hops)))
		return false;
	for (GList *link = hop->meeting->idle.head; link; link = link->next) {
		if (!may_move(link->data, destination))
			continue;
		move(link->data, destination);
		return true;
	}
	return false;
}

bool
connection_hand_over(struct connection *connection)
{
	for (GList *link = connection->hop->meeting->waiting.head; link; link = link->next) {
		struct destination *destination = link->data;

		if (!may_move(connection, destination))
			continue;
		connections_stop_waiting(destination);
		move(connection, destination);
		destination_pump(destination);
		return true;
	}
	return false;
}
