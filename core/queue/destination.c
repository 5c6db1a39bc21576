/* SPDX-License-Identifier: Apache-2.0 */
/*
 * destination.c - deliveries that wait for one next hop, what it may be asked for, and back-off.
 *
 * Called by queue.c with deliveries, by connection.c and transport_maildir.c with their ends. Sends
 * by priority and then in the order given. Must never hold up another destination: what waits here
 * costs no thread, and where nothing answers everything is deferred at once.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/queue/destination.h>
#include <errno.h>

#define WINDOW_FIRST      2u
#define BACK_OFF_FIRST_MS 1000
#define BACK_OFF_MOST_MS  (5 * 60000)
#define MAILDIR_JOBS_MOST 4u
#define DEFER_MOST        500u /* deliveries in one turn of the loop */

/* ---- back-off -------------------------------------------------------------------------------- */

bool
destination_is_blocked(const struct destination *destination)
{
	return destination->blocked_until_ms > loop_now(destination->queue->parts.loop);
}

void
destination_unblock(struct destination *destination)
{
	destination->blocked_until_ms = 0;
}

int64_t
destination_blocked_us(const struct destination *destination)
{
	int64_t ms = destination->blocked_until_ms - loop_now(destination->queue->parts.loop);

	return ms > 0 ? clock_wall_us() + ms * 1000 : 0;
}

void
destination_pump_in(struct destination *destination, int64_t ms)
{
	struct loop *loop = destination->queue->parts.loop;

	if (!destination->again.link || destination->again.due > loop_now(loop) + ms)
		loop_timer_set(loop, &destination->again, ms);
}

static void
defer(struct delivery *delivery, const char *reply)
{
	outcome_settle(delivery, COURIER_DEFERRED, reply);
	outcome_note(delivery);
}

/* Nothing answers there: those who wait now come back in their own time. */
static void
defer_all(struct destination *destination)
{
	for (unsigned i = 0; i < DEFER_MOST && destination->lineup.count > 0; i++)
		defer(lineup_take(&destination->lineup), destination->reason);
	if (destination->lineup.count > 0)
		destination_pump_in(destination, 0);
}

void
destination_back_off(struct destination *destination, const char *reason)
{
	const struct destination_limits *limits = &destination->limits;

	/* Connections that were begun together come to nothing together: that counts once. */
	if (!destination_is_blocked(destination))
		destination->blocked_until_ms = loop_now(destination->queue->parts.loop) +
						schedule_delay_ms(limits->first, limits->most,
						    ++destination->failures);
	destination->window = WINDOW_FIRST;
	g_strlcpy(destination->reason, reason, sizeof(destination->reason));
	log_event(PN_LOG_NOTICE, destination->slowed ? "slowed" : "unreachable", "route",
	    destination->route->name, "reason", reason, NULL);
	if (connections_established(destination) == 0)
		defer_all(destination);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* The bytes could not be read: for now, or because the spool's copy is damaged. */
static void
cannot_load(struct delivery *delivery, int r)
{
	if (r == -EBADMSG)
		outcome_settle(delivery, COURIER_FAILED, "554 5.3.0 damaged in the spool");
	else
		outcome_settle(delivery, COURIER_DEFERRED,
		    r == -ENOMEM ? "452 4.3.1 no memory to read the message back"
				 : "451 4.3.0 the message could not be read back");
	outcome_note(delivery);
}

static void
loaded(struct load_waiter *waiter, int r)
{
	struct delivery *delivery = (struct delivery *)(void *)waiter;
	struct destination *destination = delivery->destination;

	destination->loading--;
	if (destination->queue->draining)
		outcome_take_back(delivery);
	else if (r < 0)
		cannot_load(delivery, r);
	else
		lineup_add_first(&destination->lineup, delivery);
	destination_pump(destination);
}

static void
load(struct destination *destination, struct delivery *delivery)
{
	destination->loading++;
	queue_pin(delivery);
	delivery->waiter.loaded = loaded;
	load_start(delivery->owner, &delivery->waiter);
}

/* Bytes are read ahead only as far as the connections could use them. */
static bool
may_load(const struct destination *destination)
{
	if (destination->route->kind == ROUTE_MAILDIR)
		return destination->loading + destination->jobs < MAILDIR_JOBS_MOST;
	return destination->loading < connections_established(destination);
}

/* ---- sending --------------------------------------------------------------------------------- */

static bool
has_room(struct destination *destination)
{
	if (destination->route->kind == ROUTE_MAILDIR)
		return destination->jobs < MAILDIR_JOBS_MOST;
	return connections_have_idle(destination);
}

/* The rate, over all loops; asked for when the message could go, and then it goes. */
static bool
is_its_turn(struct destination *destination)
{
	int64_t now = clock_monotonic_us(), wait;

	if (destination->limits.shape.messages.most == 0)
		return true;
	wait = destination->turn_us - now;
	if (wait <= 0)
		wait = shape_take_message(destination->shape, now);
	if (wait <= 0)
		return true;
	destination->turn_us = now + wait;
	destination_pump_in(destination, wait / 1000 + 1);
	return false;
}

static void
send_first(struct destination *destination)
{
	struct delivery *delivery = lineup_take(&destination->lineup);

	if (!change_prune(delivery))
		return;
	queue_pin(delivery);
	delivery->letter.bytes = delivery->converted ? delivery->converted
						     : delivery->owner->item->bytes;
	if (destination->route->kind == ROUTE_SMARTHOST) {
		connections_send(destination, delivery);
		return;
	}
	/* Readers of maildirs take any line end for one. */
	if (delivery->letter.binary && delivery->letter.may_convert) {
		conversion_start(delivery);
		return;
	}
	destination->jobs++;
	queue_begin(destination->queue);
	maildir_start(destination->queue, destination->routes, destination->route, delivery);
}

/* What can go now; false: no more, though some wait. */
static bool
send_next(struct destination *destination)
{
	if (!lineup_first(&destination->lineup)->owner->item->bytes) {
		if (!may_load(destination))
			return false;
		load(destination, lineup_take(&destination->lineup));
		return true;
	}
	if (!has_room(destination) || !is_its_turn(destination))
		return false;
	send_first(destination);
	return true;
}

static bool
is_paused(struct destination *destination)
{
	int64_t ms = destination->blocked_until_ms - loop_now(destination->queue->parts.loop);

	if (!destination->slowed || ms <= 0)
		return false;
	destination_pump_in(destination, ms);
	return true;
}

void
destination_pump(struct destination *destination)
{
	bool goes = destination->lineup.count > 0;

	while (goes && !destination->queue->draining && !is_paused(destination))
		goes = send_next(destination) && destination->lineup.count > 0;
	if (destination->queue->draining || destination->route->kind != ROUTE_SMARTHOST)
		return;
	if (destination->connections->len == 0 && destination_is_blocked(destination))
		defer_all(destination);
	else if (destination->lineup.count == 0 || destination->turn_us <= clock_monotonic_us())
		connections_open(destination);
}

void
destination_job_ended(struct destination *destination, struct delivery *delivery)
{
	destination->jobs--;
	destination_pump(destination);
	outcome_note(delivery);
	queue_end(destination->queue);
}

/* What nobody receives cannot be said to have been delivered as it was demanded. */
static void
discard(struct delivery *delivery)
{
	if (mail_demand_is_any(&delivery->letter.demand))
		outcome_settle(delivery, COURIER_WEAK,
		    "503 5.7.0 encryption demanded and mail discarded here");
	else
		outcome_settle(delivery, COURIER_DELIVERED, "250 2.0.0 discarded");
	outcome_note(delivery);
}

/*
 * More than the rate lets through until those that are deferred now come back: they are better off
 * there, where they cost nothing and their age is looked at.
 */
static bool
is_over_rate(const struct destination *destination)
{
	int64_t each = rate_interval_us(&destination->limits.shape.messages);

	return each > 0 && (int64_t)destination->lineup.count * each >
			       destination->queue->settings.retry_first_ms * 2000;
}

void
destination_push(struct destination *destination, struct delivery *delivery)
{
	struct queued *owner = delivery->owner;
	struct queue *queue = destination->queue;

	if (destination->route->kind == ROUTE_DISCARD) {
		discard(delivery);
		return;
	}
	if (destination_is_blocked(destination) && connections_established(destination) == 0) {
		defer(delivery, destination->reason);
		return;
	}
	if (is_over_rate(destination)) {
		delivery->unasked = true;
		defer(delivery, "451 4.7.0 more messages wait here than the rate lets through");
		return;
	}
	lineup_add_last(&destination->lineup, delivery);
	/* What only waits need not wait in memory; if it is sent right now, it stays. */
	if (destination->lineup.count > 1 && queue->resident > QUEUE_RESIDENT_MOST)
		queue_drop_bytes(owner);
	destination_pump(destination);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
pump_again(struct loop_timer *timer)
{
	destination_pump(
	    (struct destination *)(void *)((char *)timer - offsetof(struct destination, again)));
}

static int64_t
either(int64_t own, int64_t general)
{
	return own > 0 ? own : general;
}

static struct courier_limits
timeouts_of(const struct config_timeouts *own)
{
	const struct courier_limits *rfc = &courier_limits_standard;

	return (struct courier_limits){
		.connect = either(own->connect, rfc->connect),
		.greeting = either(own->greeting, rfc->greeting),
		.hello = either(own->hello, rfc->hello),
		.handshake = either(own->handshake, rfc->handshake),
		.mail = either(own->mail, rfc->mail),
		.rcpt = either(own->rcpt, rfc->rcpt),
		.data = either(own->data, rfc->data),
		.block = either(own->block, rfc->block),
		.final = either(own->final, rfc->final),
		.quit = either(own->quit, rfc->quit),
	};
}

static void
set_limits(struct destination *destination)
{
	static const struct config_destination none = { .back_off = { .first = BACK_OFF_FIRST_MS,
							    .most = BACK_OFF_MOST_MS } };
	const struct queue_settings *settings = &destination->queue->settings;
	const struct config_destination *own = destination->route->limits;

	if (!own)
		own = &none;
	destination->limits = (struct destination_limits){
		.shape = { .connections = (uint32_t)either(
			       own->connections, settings->connections_per_destination),
		    .messages = { own->rate.messages, own->rate.per * 1000 },
		    .sessions = { own->rate.connections, own->rate.per * 1000 } },
		.messages = (uint32_t)either(
		    own->messages_per_connection, settings->messages_per_connection),
		.idle = either(own->idle_connection, settings->idle_connection_ms),
		.age = either(own->connection_age, settings->connection_age_ms),
		.first = own->back_off.first,
		.most = own->back_off.most,
		.slow = (enum config_slow)own->back_off.on,
		.timeouts = timeouts_of(&own->timeouts),
	};
	destination->turn_us = destination->open_ms = 0; /* the rate may have changed */
	if (destination->shape)
		shape_configure(destination->shape, &destination->limits.shape);
}

static struct destination *
new_destination(struct queue *queue, const struct route *route, const char *key)
{
	struct destination *destination = g_new0(struct destination, 1);

	destination->queue = queue;
	destination->key = g_strdup(key);
	destination->demanding = key == route->demanded_key && key != route->key;
	destination->again.fire = pump_again;
	destination->window = WINDOW_FIRST;
	destination->connections = g_ptr_array_new();
	g_queue_init(&destination->idle);
	if (route->kind == ROUTE_SMARTHOST)
		destination->shape = shape_get(queue->shaping, route->name);
	destination->waiter.shape = destination->shape;
	destination->waiter.member = &queue->member;
	g_hash_table_insert(queue->destinations, destination->key, destination);
	return destination;
}

struct destination *
destination_get(struct queue *queue, const struct route *route, bool demanding)
{
	const char *key = demanding && route->demanded_key ? route->demanded_key : route->key;
	struct destination *destination = g_hash_table_lookup(queue->destinations, key);

	if (!destination)
		destination = new_destination(queue, route, key);
	if (destination->generation != queue->generation) {
		/* After a reload: the same way with, perhaps, a new password or new limits. */
		routes_release(&destination->routes);
		destination->routes = routes_hold(queue->routes);
		destination->route = route;
		destination->generation = queue->generation;
		set_limits(destination);
	}
	return destination;
}

void
destination_drain(struct destination *destination)
{
	while (destination->lineup.count > 0)
		outcome_take_back(lineup_take(&destination->lineup));
	connections_quit(destination);
}

bool
destination_is_unused(const struct destination *destination)
{
	const struct shape_limits *limits = &destination->limits.shape;

	return destination->lineup.count == 0 && destination->connections->len == 0 &&
	       destination->jobs == 0 && destination->loading == 0 &&
	       !destination_is_blocked(destination) &&
	       /* what has gone already counts */
	       limits->messages.most == 0 && limits->sessions.most == 0;
}

void
destination_free(struct destination *destination)
{
	connections_free(destination);
	while (destination->lineup.count > 0)
		outcome_drop(lineup_take(&destination->lineup));
	loop_timer_cancel(destination->queue->parts.loop, &destination->again);
	shape_release(&destination->shape);
	routes_release(&destination->routes);
	g_free(destination->key);
	g_free(destination);
}

const char *
destination_name(const struct destination *destination)
{
	return destination->route->name;
}
