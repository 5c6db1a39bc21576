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
#define PATIENCE_MS   5000 /* without a greeting, while somebody waits for the place */
#define SHORTAGE_MS   1000 /* until the next try where this machine lacks something */
#define SHORTAGE_MOST 60u  /* tries; then those who wait are deferred */

struct connection {
	GList link;    /* in the destination's `idle` */
	GList turn;    /* in `turns` */
	GQueue *turns; /* of all destinations: the queue's `idle` or `connecting`, or NULL */
	struct courier *courier;
	struct destination *destination;
	struct routes *routes; /* keeps the courier's target */
	struct delivery *delivery;
	int64_t opened_ms;
	bool idle, ready; /* in the list; greeted */
	bool good;        /* a letter went through with the connection whole */
};

/* ---- lists ----------------------------------------------------------------------------------- */

static void
set_turns(struct connection *connection, GQueue *turns)
{
	if (connection->turns)
		g_queue_unlink(connection->turns, &connection->turn);
	connection->turns = turns;
	if (turns)
		g_queue_push_tail_link(turns, &connection->turn);
}

static void
set_idle(struct connection *connection, bool idle)
{
	struct destination *destination = connection->destination;

	if (connection->idle == idle)
		return;
	connection->idle = idle;
	set_turns(connection, idle ? &destination->queue->idle : NULL);
	/* The one used last is used next, so that those not needed grow old and close. */
	if (idle)
		g_queue_push_head_link(&destination->idle, &connection->link);
	else
		g_queue_unlink(&destination->idle, &connection->link);
}

static void
quit(struct connection *connection)
{
	set_idle(connection, false);
	courier_quit(connection->courier);
}

uint32_t
connections_established(const struct destination *destination)
{
	return destination->connections->len - destination->connecting;
}

/* Somebody waits for the place that a connection takes. */
static bool
is_pressed(const struct destination *destination)
{
	return shape_is_wanted(destination->shape) ||
	       shaping_waiting(destination->queue->shaping) > 0;
}

static bool
is_old(const struct connection *connection)
{
	const struct destination *destination = connection->destination;
	int64_t age = loop_now(destination->queue->parts.loop) - connection->opened_ms;

	return destination->limits.age > 0 && age >= destination->limits.age;
}

/* No further letter on this one. */
static bool
is_used_up(const struct connection *connection)
{
	const struct destination *destination = connection->destination;
	uint32_t letters = courier_letters(connection->courier);

	return destination->queue->draining || letters >= destination->limits.messages ||
	       is_old(connection) || (letters % TURN_LETTERS == 0 && is_pressed(destination));
}

/* ---- events of couriers ---------------------------------------------------------------------- */

static const struct courier_target *
target_of(const struct destination *destination)
{
	const struct route *route = destination->route;

	return destination->demanding ? &route->demanded : &route->target;
}

/* It found nothing to do, and others have. */
static void
make_room(struct connection *connection)
{
	if (connection->idle && is_pressed(connection->destination))
		quit(connection);
}

static void
on_ready(struct courier *courier)
{
	struct connection *connection = courier_arg(courier);
	struct destination *destination = connection->destination;

	connection->ready = true;
	set_turns(connection, NULL);
	if (target_of(destination)->level != TLS_LEVEL_NONE)
		capability_note(routes_capability(destination->routes), destination->key,
		    courier_tls(courier)->bits);
	destination->connecting--;
	destination->shortages = 0;
	if (!destination->slowed) {
		destination->failures = 0;
		destination->blocked_until_ms = 0;
	}
	if (destination->queue->draining)
		courier_quit(courier);
	else
		set_idle(connection, true);
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
		if (destination->window < destination->limits.shape.connections)
			destination->window++;
		if (is_used_up(connection))
			courier_quit(courier);
		else
			set_idle(connection, true);
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
	struct destination *destination = connection->destination;

	set_idle(connection, false);
	set_turns(connection, NULL);
	courier_free(&connection->courier);
	routes_release(&connection->routes);
	g_free(connection);
	shape_give(destination->shape);
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
		log_event(PN_LOG_WARNING, "cannot-connect", "route", destination->route->name,
		    "reason", reason, NULL);
	destination->open_ms = loop_now(destination->queue->parts.loop) + SHORTAGE_MS;
	destination_pump_in(destination, SHORTAGE_MS);
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
	if (!connection->ready)
		destination->connecting--;
	g_ptr_array_remove_fast(destination->connections, connection);
	free_connection(connection);
	if (bad && local && !queue->draining)
		wait_for_machine(destination, text);
	else if (bad && !queue->draining)
		destination_back_off(destination, text);
	destination_pump(destination);
	queue_end(queue);
}

static const struct courier_events events = {
	.ready = on_ready,
	.finished = on_finished,
	.ended = on_ended,
};

/* ---- opening --------------------------------------------------------------------------------- */

static int
open_one(struct destination *destination)
{
	struct queue *queue = destination->queue;
	struct connection *connection = g_new0(struct connection, 1);
	struct courier_parts parts = {
		.loop = queue->parts.loop,
		.resolver = queue->parts.resolver,
		.jobs = queue->parts.jobs,
		.target = target_of(destination),
		.limits = &destination->limits.timeouts,
		.relay_name = queue->settings.relay_name,
		.idle_ms = destination->limits.idle,
		.events = &events,
		.arg = connection,
	};
	int r = courier_new(&parts, &connection->courier);

	if (r < 0) {
		g_free(connection);
		return r;
	}
	connection->link.data = connection->turn.data = connection;
	connection->destination = destination;
	connection->routes = routes_hold(destination->routes);
	connection->opened_ms = loop_now(queue->parts.loop);
	g_ptr_array_add(destination->connections, connection);
	set_turns(connection, &queue->connecting);
	destination->connecting++;
	queue_begin(queue);
	return 0;
}

/* Is there one more to be opened? One alone tries a hop that had failed. */
static bool
wants_one(const struct destination *destination)
{
	uint32_t most = MIN(destination->limits.shape.connections, destination->window);
	int64_t now = loop_now(destination->queue->parts.loop);

	return destination->connecting < destination->lineup.count &&
	       destination->connections->len < most && !destination_is_blocked(destination) &&
	       !(destination->failures > 0 && destination->connecting > 0) &&
	       destination->open_ms <= now;
}

static void
stop_waiting(struct destination *destination)
{
	if (destination->waits)
		shape_unwait(&destination->waiter);
	destination->waits = false;
}

void
connections_open(struct destination *destination)
{
	struct loop *loop = destination->queue->parts.loop;

	while (wants_one(destination)) {
		int64_t wait_us;

		destination->waits = !shape_take(
		    destination->shape, &destination->waiter, loop_now(loop) * 1000, &wait_us);
		if (destination->waits && wait_us > 0) {
			destination->waits = false;
			destination->open_ms = loop_now(loop) + wait_us / 1000 + 1;
			destination_pump_in(destination, wait_us / 1000 + 1);
			return;
		}
		if (destination->waits)
			return;
		if (open_one(destination) < 0) {
			shape_give(destination->shape);
			destination_back_off(destination, "451 4.3.0 out of memory");
			return;
		}
	}
	stop_waiting(destination);
}

/* ---- use ------------------------------------------------------------------------------------- */

/*
 * A connection may have ended, or begun to say QUIT, while it was idle; that we are told in the
 * next turn. A letter given to it now would never come back.
 */
bool
connections_have_idle(struct destination *destination)
{
	while (destination->idle.head) {
		struct connection *connection = destination->idle.head->data;

		if (courier_is_ready(connection->courier) && !is_old(connection))
			return true;
		quit(connection);
	}
	return false;
}

void
connections_send(struct destination *destination, struct delivery *delivery)
{
	struct connection *connection = destination->idle.head->data;

	set_idle(connection, false);
	connection->delivery = delivery;
	if (courier_send(connection->courier, &delivery->letter))
		return;
	connection->delivery = NULL;
	connection->good = true; /* it was not the connection */
	set_idle(connection, true);
	if (delivery->letter.unfit)
		conversion_start(delivery);
	else
		outcome_note(delivery);
}

void
connections_quit(struct destination *destination)
{
	if (destination->shape)
		stop_waiting(destination);
	for (guint i = 0; i < destination->connections->len; i++)
		quit(g_ptr_array_index(destination->connections, i));
}

void
connections_free(struct destination *destination)
{
	if (destination->shape)
		stop_waiting(destination);
	while (destination->connections->len > 0) {
		struct connection *connection = g_ptr_array_remove_index_fast(
		    destination->connections, 0);

		if (connection->delivery)
			outcome_drop(connection->delivery);
		free_connection(connection);
	}
	g_ptr_array_free(destination->connections, TRUE);
}

/* ---- others wait ----------------------------------------------------------------------------- */

static void
close_idle(struct queue *queue)
{
	uint32_t wanted = shaping_waiting(queue->shaping);
	GList *next;

	for (GList *link = queue->idle.head; link; link = next) {
		struct connection *connection = link->data;

		next = link->next;
		if (shape_is_wanted(connection->destination->shape)) {
			quit(connection);
		} else if (wanted > 0) {
			quit(connection);
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
