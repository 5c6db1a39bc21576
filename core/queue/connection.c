/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection.c - connections to next hops: opened as they are needed, kept for the next message,
 * given up for others.
 *
 * Called by destination.c, couriers and the queue. A next hop begins with few connections and gets
 * one more for each message that it takes, so one that hangs never holds many. Where all places
 * for connections are taken and somebody waits, idle ones close, busy ones end after some letters,
 * and what has not been greeted for some seconds is given up. Must never break a letter off.
 */
#include <core/base/log.h>
#include <core/queue/destination.h>

#define TURN_LETTERS  20u  /* on one connection while somebody waits for its place */
#define SHORTAGE_MS   1000 /* until the next try where this machine lacks something */
#define SHORTAGE_MOST 60u  /* tries; then those who wait are deferred */

/* ---- lists ----------------------------------------------------------------------------------- */

void
connection_set_idle(struct connection *connection, bool idle)
{
	struct destination *destination = connection->destination;
	struct meeting *meeting = connection->hop->meeting;

	if (connection->idle == idle)
		return;
	connection->idle = idle;
	connection_set_turns(connection, idle ? &destination->queue->idle : NULL);
	/* The one used last is used next, so that those not needed grow old and close. */
	if (idle) {
		g_queue_push_head_link(&destination->idle, &connection->link);
		g_queue_push_head_link(&meeting->idle, &connection->spare);
	} else {
		g_queue_unlink(&destination->idle, &connection->link);
		g_queue_unlink(&meeting->idle, &connection->spare);
	}
}

void
connection_quit(struct connection *connection)
{
	connection_set_idle(connection, false);
	courier_quit(connection->courier);
}

uint32_t
connections_established(const struct destination *destination)
{
	return destination->connections->len - destination->connecting;
}

/* Not before its first letter: where greetings take longer than that, none would ever go out. */
static bool
is_old(const struct connection *connection)
{
	const struct destination *destination = connection->destination;
	int64_t age = loop_now(destination->queue->parts.loop) - connection->opened_ms;

	return connection->hop->limits.age > 0 && age >= connection->hop->limits.age &&
	       courier_letters(connection->courier) > 0;
}

/* No further letter on this one. */
static bool
is_used_up(const struct connection *connection)
{
	const struct destination *destination = connection->destination;
	uint32_t letters = courier_letters(connection->courier);

	return destination->queue->draining || letters >= connection->hop->limits.messages ||
	       is_old(connection) ||
	       (letters % TURN_LETTERS == 0 && connection_is_pressed(connection));
}

/* ---- events of couriers ---------------------------------------------------------------------- */

/* It found nothing to do, and others have. */
static void
make_room(struct connection *connection)
{
	if (connection->idle && !connection_hand_over(connection) &&
	    connection_is_pressed(connection))
		connection_quit(connection);
}

static void
on_ready(struct courier *courier)
{
	struct connection *connection = courier_arg(courier);
	struct destination *destination = connection->destination;
	bool wants_tls = connection->hop->target.level != TLS_LEVEL_NONE;
	int bits = wants_tls ? courier_tls(courier)->bits : -1;
	struct hop *newer = NULL; /* in a list that is newer, where it still is in it */

	connection->ready = true;
	connection->hop->meeting->established++;
	connection_set_turns(connection, NULL);
	hop_reached(connection->hops, connection->hop, bits);
	if (destination->hops && destination->hops != connection->hops)
		newer = hops_find(destination->hops, connection->hop->meeting);
	if (newer)
		hop_reached(destination->hops, newer, bits);
	if (wants_tls)
		capability_note(routes_capability(destination->routes), destination->key, bits);
	destination_count_session(destination, connection->hop, courier);
	destination->connecting--;
	destination->shortages = 0;
	destination->silent = false;
	destination->turned_away = 0;
	if (!destination->slowed) {
		destination->failures = 0;
		destination->blocked_until_ms = 0;
	}
	if (destination->queue->draining)
		courier_quit(courier);
	else
		connection_set_idle(connection, true);
	destination_pump(destination);
	make_room(connection);
}

/* The connection had gone while it was idle: the same once more, on another one. */
static bool
goes_again(struct delivery *delivery)
{
	if (!delivery->letter.stale || delivery->retried || delivery->owner->queue->draining)
		return false;
	delivery->retried = true;
	memset(delivery->results, 0, delivery->count * sizeof(*delivery->results));
	lineup_add_first(&delivery->destination->lineup, delivery);
	return true;
}

/* The reply by which the next hop asks for less, or NULL. */
static const char *
slowing_reply(const struct destination *destination, const struct delivery *delivery)
{
	const char *reply = NULL;

	if (destination->limits.slow == CONFIG_SLOW_UNREACHABLE)
		return NULL;
	for (uint32_t i = 0; i < delivery->count; i++) {
		const struct courier_result *result = &delivery->results[i];

		if (result->outcome == COURIER_DEFERRED && strncmp(result->reply, "421", 3) == 0)
			return result->reply;
		if (result->outcome != COURIER_DEFERRED)
			return NULL;
		reply = result->reply;
	}
	return destination->limits.slow == CONFIG_SLOW_DEFERRALS ? reply : NULL;
}

static void
learn(struct destination *destination, const struct delivery *delivery)
{
	const char *slowing = slowing_reply(destination, delivery);

	if (slowing) {
		destination->slowed = true;
		destination_back_off(destination, slowing);
	} else if (!destination_is_blocked(destination)) {
		destination->slowed = false;
		destination->failures = 0;
	}
}

static void
on_finished(struct courier *courier, struct courier_letter *letter)
{
	struct connection *connection = courier_arg(courier);
	struct destination *destination = connection->destination;
	struct delivery *delivery = connection->delivery;
	bool again = goes_again(delivery);

	connection->delivery = NULL;
	if (!again)
		learn(destination, delivery);
	if (courier_is_ready(courier)) {
		connection->good = true;
		if (destination->window < connection->hop->limits.shape.connections)
			destination->window++;
		if (is_used_up(connection))
			courier_quit(courier);
		else
			connection_set_idle(connection, true);
	}
	/* The next letter goes out first, then we look at this one. */
	destination_pump(destination);
	make_room(connection);
	if (!again)
		outcome_note(delivery);
}

static void
free_connection(struct connection *connection)
{
	struct shape *shape = connection->hop->shape;

	connection_set_idle(connection, false);
	connection_set_turns(connection, NULL);
	if (connection->ready)
		connection->hop->meeting->established--;
	courier_free(&connection->courier);
	shape_give(shape);
	hops_release(&connection->hops);
	g_free(connection);
}

/* Descriptors, say: no fault of the next hop's, and soon over. */
static void
wait_for_machine(struct destination *destination, const char *reason)
{
	if (++destination->shortages > SHORTAGE_MOST) {
		destination->shortages = 0;
		destination_back_off(destination, reason);
		return;
	}
	if (destination->shortages == 1)
		log_event(PN_LOG_WARNING, "cannot-connect", "route", destination->name, "reason",
		    reason, NULL);
	destination->open_ms = loop_now(destination->queue->parts.loop) + SHORTAGE_MS;
	destination_pump_in(destination, SHORTAGE_MS);
}

/*
 * The next of its hosts has its turn; where all have had theirs, the destination is left alone and
 * its mail deferred, though the first of them may be free again by then: a round can take longer
 * than that.
 */
static void
give_up_hop(struct destination *destination, struct connection *connection, const char *reason)
{
	bool unprotected = courier_is_unprotected(connection->courier);
	struct hops *hops = connection->hops;

	destination->turned_away = 0;
	hop_block(hops, connection->hop, unprotected, reason);
	if (courier_is_unheard(connection->courier))
		hop_is_silent(hops, connection->hop, reason);
	if (destination->hops && destination->hops != hops) {
		/* The list is a newer one: what was learnt of the host holds there, too. */
		struct hop *same = hops_find(destination->hops, connection->hop->meeting);

		hops = destination->hops;
		if (!same) /* it is none of the domain's any more, and says nothing of those */
			return;
		hop_block(hops, same, unprotected, reason);
	}
	if (hops->count > 1 && hops_have_untried(hops))
		log_event(PN_LOG_NOTICE, "next-host", "route", destination->name, "host",
		    connection->hop->name, "reason", reason, NULL);
	else if (hops_are_unprotected(hops))
		destination_refuse(destination, reason);
	else
		destination_back_off(destination, reason);
}

static void
on_ended(struct courier *courier, const char *reason)
{
	struct connection *connection = courier_arg(courier);
	struct destination *destination = connection->destination;
	struct queue *queue = destination->queue;
	bool bad = reason && !connection->good &&
		   (!connection->ready || courier_letters(courier) > 0);
	bool local = courier_is_local_fault(courier);
	char text[COURIER_TEXT];

	g_strlcpy(text, reason ? reason : "", sizeof(text));
	if (!connection->ready && courier_tls_fault(courier))
		destination_count_tls(destination, connection->hop, connection->hop->target.host,
		    courier, courier_tls_fault(courier));
	if (!connection->ready)
		destination->connecting--;
	g_ptr_array_remove_fast(destination->connections, connection);
	if (bad && local && !queue->draining)
		wait_for_machine(destination, text);
	else if (bad && courier_is_turned_away(courier) && !queue->draining)
		destination_turn_away(destination, text);
	else if (bad && !queue->draining)
		give_up_hop(destination, connection, text);
	free_connection(connection);
	destination_pump(destination);
	queue_end(queue);
}

static const struct courier_events events = {
	.ready = on_ready,
	.finished = on_finished,
	.ended = on_ended,
};

/* ---- opening --------------------------------------------------------------------------------- */

int
connection_new(struct destination *destination, struct hop *hop)
{
	struct queue *queue = destination->queue;
	struct connection *connection = g_new0(struct connection, 1);
	struct courier_parts parts = {
		.loop = queue->parts.loop,
		.resolver = queue->parts.resolver,
		.jobs = queue->parts.jobs,
		.target = &hop->target,
		.limits = &hop->limits.timeouts,
		.relay_name = queue->settings.relay_name,
		.idle_ms = hop->limits.idle,
		.events = &events,
		.arg = connection,
	};
	int r = courier_new(&parts, &connection->courier);

	if (r < 0) {
		g_free(connection);
		return r;
	}
	connection->link.data = connection->turn.data = connection->spare.data = connection;
	connection->destination = destination;
	connection->hops = hops_hold(destination->hops);
	connection->hop = hop;
	connection->opened_ms = loop_now(queue->parts.loop);
	g_ptr_array_add(destination->connections, connection);
	connection_set_turns(connection, &queue->connecting);
	destination->connecting++;
	queue_begin(queue);
	return 0;
}

/* ---- use ------------------------------------------------------------------------------------- */

/*
 * Its host may have gone from the list since, or its domain may demand something else of it by now.
 * Behind a reload that is not known before the DNS has been asked.
 */
static bool
is_wanted(const struct connection *connection)
{
	const struct hops *hops = connection->destination->hops;

	if (connection->outdated)
		return false;
	if (!hops)
		return !connection->destination->domain;
	return hops == connection->hops || hops_find(hops, connection->hop->meeting);
}

/*
 * A connection may have ended, or begun to say QUIT, while it was idle; that we are told in the
 * next turn. A letter given to it now would never come back.
 */
bool
connections_have_idle(struct destination *destination)
{
	while (destination->idle.head) {
		struct connection *connection = destination->idle.head->data;

		if (courier_is_ready(connection->courier) && !is_old(connection) &&
		    is_wanted(connection))
			return true;
		connection_quit(connection);
	}
	return false;
}

void
connections_send(struct destination *destination, struct delivery *delivery)
{
	struct connection *connection = destination->idle.head->data;

	connection_set_idle(connection, false);
	connection->delivery = delivery;
	delivery->letter.validated = delivery->need == ROUTE_REQUIRETLS ||
				     (destination->hops && destination->hops->validated);
	if (courier_send(connection->courier, &delivery->letter))
		return;
	connection->delivery = NULL;
	connection->good = true; /* it was not the connection */
	connection_set_idle(connection, true);
	if (delivery->letter.unfit)
		conversion_start(delivery);
	else
		outcome_note(delivery);
}

void
connections_quit(struct destination *destination)
{
	connections_stop_waiting(destination);
	for (guint i = 0; i < destination->connections->len; i++)
		connection_quit(g_ptr_array_index(destination->connections, i));
}

void
connections_free(struct destination *destination)
{
	connections_stop_waiting(destination);
	while (destination->connections->len > 0) {
		struct connection *connection = g_ptr_array_remove_index_fast(
		    destination->connections, 0);

		if (connection->delivery)
			outcome_drop(connection->delivery);
		free_connection(connection);
	}
	g_ptr_array_free(destination->connections, TRUE);
}
