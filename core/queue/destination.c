/* SPDX-License-Identifier: Apache-2.0 */
/*
 * destination.c - deliveries that wait for one next hop, the connections to it, and back-off.
 *
 * Called by queue.c with deliveries, by couriers with results. Sends in the order given, on
 * connections that are kept for the next message. Must never hold up another destination: what
 * waits here costs no thread, and where nothing answers everything is deferred at once.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/queue/inside.h>
#include <errno.h>

#define BACK_OFF_FIRST_MS 1000
#define BACK_OFF_MOST_MS  (5 * 60000)
#define MAILDIR_JOBS_MOST 4u
#define DEFER_MOST        500u /* deliveries in one turn of the loop */

/* One connection. */
struct lane {
	GList link; /* in `idle` */
	struct courier *courier;
	struct destination *destination;
	struct routes *routes; /* keeps the courier's target */
	struct delivery *delivery;
	bool idle, ready; /* in the list; greeted */
	bool good;        /* a letter went through with the connection whole */
};

struct destination {
	struct queue *queue;
	char *key;
	struct routes *routes; /* keeps `route` */
	const struct route *route;
	bool demanding; /* for the route's `demanded` */
	struct delivery *head, **tail;
	uint32_t waiting; /* in that list */
	uint32_t loading; /* taken off it while their bytes are read */
	GQueue idle;
	GPtrArray *lanes;
	uint32_t connecting; /* of the lanes */
	uint32_t jobs;
	uint32_t failures; /* connections that came to nothing, in a row */
	int64_t blocked_until_ms;
	struct loop_timer again; /* pumps once more, in the next turn */
	char reason[COURIER_TEXT];
};

static void pump(struct destination *destination);

/* ---- the list ---------------------------------------------------------------------------------
 */

static void
add_last(struct destination *destination, struct delivery *delivery)
{
	delivery->next = NULL;
	*destination->tail = delivery;
	destination->tail = &delivery->next;
	destination->waiting++;
}

static void
add_first(struct destination *destination, struct delivery *delivery)
{
	delivery->next = destination->head;
	destination->head = delivery;
	if (!delivery->next)
		destination->tail = &delivery->next;
	destination->waiting++;
}

static struct delivery *
take_first(struct destination *destination)
{
	struct delivery *delivery = destination->head;

	destination->head = delivery->next;
	if (!destination->head)
		destination->tail = &destination->head;
	destination->waiting--;
	return delivery;
}

/* ---- back-off ---------------------------------------------------------------------------------
 */

static uint32_t
established(const struct destination *destination)
{
	return destination->lanes->len - destination->connecting;
}

static bool
is_blocked(const struct destination *destination)
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
	for (unsigned i = 0; i < DEFER_MOST && destination->head; i++)
		defer(take_first(destination), destination->reason);
	if (destination->head)
		loop_timer_set(destination->queue->parts.loop, &destination->again, 0);
}

static void
back_off(struct destination *destination, const char *reason)
{
	/* Connections that were begun together come to nothing together: that counts once. */
	if (!is_blocked(destination))
		destination->blocked_until_ms = loop_now(destination->queue->parts.loop) +
						schedule_delay_ms(BACK_OFF_FIRST_MS,
						    BACK_OFF_MOST_MS, ++destination->failures);
	g_strlcpy(destination->reason, reason, sizeof(destination->reason));
	log_event(PN_LOG_NOTICE, "unreachable", "route", destination->route->name, "reason", reason,
	    NULL);
	if (established(destination) == 0)
		defer_all(destination);
}

/* ---- connections ------------------------------------------------------------------------------
 */

static void
set_idle(struct lane *lane, bool idle)
{
	GQueue *list = &lane->destination->idle;

	if (lane->idle == idle)
		return;
	lane->idle = idle;
	/* The one used last is used next, so that those not needed grow old and close. */
	if (idle)
		g_queue_push_head_link(list, &lane->link);
	else
		g_queue_unlink(list, &lane->link);
}

static const struct courier_target *
target_of(const struct destination *destination)
{
	const struct route *route = destination->route;

	return destination->demanding ? &route->demanded : &route->target;
}

static void
lane_ready(struct courier *courier)
{
	struct lane *lane = courier_arg(courier);
	struct destination *destination = lane->destination;

	lane->ready = true;
	if (target_of(destination)->level != TLS_LEVEL_NONE)
		capability_note(routes_capability(destination->routes), destination->key,
		    courier_tls(courier)->bits);
	destination->connecting--;
	destination->failures = 0;
	destination->blocked_until_ms = 0;
	if (destination->queue->draining)
		courier_quit(courier);
	else
		set_idle(lane, true);
	pump(destination);
}

/* The connection had gone while it was idle: the same once more, on another one. */
static bool
goes_again(struct delivery *delivery)
{
	if (!delivery->letter.stale || delivery->retried || delivery->owner->queue->draining)
		return false;
	delivery->retried = true;
	memset(delivery->results, 0, delivery->count * sizeof(*delivery->results));
	add_first(delivery->destination, delivery);
	return true;
}

static void
lane_finished(struct courier *courier, struct courier_letter *letter)
{
	struct lane *lane = courier_arg(courier);
	struct destination *destination = lane->destination;
	struct delivery *delivery = lane->delivery;
	const struct queue *queue = destination->queue;
	bool again = goes_again(delivery);

	lane->delivery = NULL;
	if (courier_is_ready(courier)) {
		lane->good = true;
		if (queue->draining ||
		    courier_letters(courier) >= queue->settings.messages_per_connection)
			courier_quit(courier);
		else
			set_idle(lane, true);
	}
	/* The next letter goes out first, then we look at this one. */
	pump(destination);
	if (!again)
		outcome_note(delivery);
}

static void
free_lane(struct lane *lane)
{
	courier_free(&lane->courier);
	routes_release(&lane->routes);
	g_free(lane);
}

static void
lane_ended(struct courier *courier, const char *reason)
{
	struct lane *lane = courier_arg(courier);
	struct destination *destination = lane->destination;
	struct queue *queue = destination->queue;
	bool bad = reason && !lane->good && (!lane->ready || courier_letters(courier) > 0);
	char text[COURIER_TEXT];

	g_strlcpy(text, reason ? reason : "", sizeof(text));
	set_idle(lane, false);
	if (!lane->ready)
		destination->connecting--;
	g_ptr_array_remove_fast(destination->lanes, lane);
	free_lane(lane);
	if (bad && !queue->draining)
		back_off(destination, text);
	pump(destination);
	queue_end(queue);
}

static const struct courier_events lane_events = {
	.ready = lane_ready,
	.finished = lane_finished,
	.ended = lane_ended,
};

static int
open_lane(struct destination *destination)
{
	struct queue *queue = destination->queue;
	struct lane *lane = g_new0(struct lane, 1);
	struct courier_parts parts = {
		.loop = queue->parts.loop,
		.resolver = queue->parts.resolver,
		.target = target_of(destination),
		.limits = &courier_limits_standard,
		.relay_name = queue->settings.relay_name,
		.idle_ms = queue->settings.idle_connection_ms,
		.events = &lane_events,
		.arg = lane,
	};
	int r = courier_new(&parts, &lane->courier);

	if (r < 0) {
		g_free(lane);
		return r;
	}
	lane->link.data = lane;
	lane->destination = destination;
	lane->routes = routes_hold(destination->routes);
	g_ptr_array_add(destination->lanes, lane);
	destination->connecting++;
	queue_begin(queue);
	return 0;
}

/* As many as there are deliveries for, within the limit; one alone to try a hop that had failed. */
static void
open_lanes(struct destination *destination)
{
	uint32_t most = destination->queue->settings.connections_per_destination;

	while (destination->connecting < destination->waiting && destination->lanes->len < most &&
	       !is_blocked(destination) &&
	       !(destination->failures > 0 && destination->connecting > 0))
		if (open_lane(destination) < 0) {
			back_off(destination, "451 4.3.0 out of memory");
			return;
		}
}

/* ---- sending ----------------------------------------------------------------------------------
 */

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
		add_first(destination, delivery);
	pump(destination);
}

static void
load(struct destination *destination, struct delivery *delivery)
{
	destination->loading++;
	queue_pin(delivery);
	delivery->waiter.loaded = loaded;
	load_start(delivery->owner, &delivery->waiter);
}

/*
 * A connection may have ended, or begun to say QUIT, while it was idle; that we are told in the
 * next turn. A letter given to it now would never come back.
 */
static bool
has_idle_lane(struct destination *destination)
{
	while (destination->idle.head) {
		struct lane *lane = destination->idle.head->data;

		if (courier_is_ready(lane->courier))
			return true;
		set_idle(lane, false);
	}
	return false;
}

static bool
has_room(struct destination *destination)
{
	if (destination->route->kind == ROUTE_MAILDIR)
		return destination->jobs < MAILDIR_JOBS_MOST;
	return has_idle_lane(destination);
}

static void
send_first(struct destination *destination)
{
	struct delivery *delivery = take_first(destination);
	struct lane *lane;

	if (!change_prune(delivery))
		return;
	queue_pin(delivery);
	delivery->letter.bytes = delivery->owner->item->bytes;
	if (destination->route->kind == ROUTE_MAILDIR) {
		destination->jobs++;
		queue_begin(destination->queue);
		maildir_start(
		    destination->queue, destination->routes, destination->route, delivery);
		return;
	}
	lane = destination->idle.head->data;
	set_idle(lane, false);
	lane->delivery = delivery;
	if (!courier_send(lane->courier, &delivery->letter)) {
		lane->delivery = NULL;
		lane->good = true; /* it was not the connection */
		set_idle(lane, true);
		outcome_note(delivery);
	}
}

/* Bytes are read ahead only as far as the connections could use them. */
static bool
may_load(const struct destination *destination)
{
	if (destination->route->kind == ROUTE_MAILDIR)
		return destination->loading + destination->jobs < MAILDIR_JOBS_MOST;
	return destination->loading < established(destination);
}

static void
pump(struct destination *destination)
{
	while (destination->head && !destination->queue->draining) {
		if (!destination->head->owner->item->bytes) {
			if (!may_load(destination))
				break;
			load(destination, take_first(destination));
		} else if (has_room(destination)) {
			send_first(destination);
		} else {
			break;
		}
	}
	if (destination->queue->draining || destination->route->kind != ROUTE_SMARTHOST)
		return;
	if (destination->lanes->len == 0 && is_blocked(destination))
		defer_all(destination);
	else
		open_lanes(destination);
}

void
destination_job_ended(struct destination *destination, struct delivery *delivery)
{
	destination->jobs--;
	pump(destination);
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

void
destination_push(struct destination *destination, struct delivery *delivery)
{
	struct queued *owner = delivery->owner;
	struct queue *queue = destination->queue;

	if (destination->route->kind == ROUTE_DISCARD) {
		discard(delivery);
		return;
	}
	if (is_blocked(destination) && established(destination) == 0) {
		defer(delivery, destination->reason);
		return;
	}
	add_last(destination, delivery);
	/* What only waits need not wait in memory; if it is sent right now, it stays. */
	if (destination->waiting > 1 && queue->resident > QUEUE_RESIDENT_MOST)
		queue_drop_bytes(owner);
	pump(destination);
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void
pump_again(struct loop_timer *timer)
{
	pump((struct destination *)(void *)((char *)timer - offsetof(struct destination, again)));
}

struct destination *
destination_get(struct queue *queue, const struct route *route, bool demanding)
{
	const char *key = demanding && route->demanded_key ? route->demanded_key : route->key;
	struct destination *destination = g_hash_table_lookup(queue->destinations, key);

	if (!destination) {
		destination = g_new0(struct destination, 1);
		destination->queue = queue;
		destination->key = g_strdup(key);
		destination->demanding = key == route->demanded_key && key != route->key;
		destination->tail = &destination->head;
		destination->again.fire = pump_again;
		destination->lanes = g_ptr_array_new();
		g_queue_init(&destination->idle);
		g_hash_table_insert(queue->destinations, destination->key, destination);
	}
	if (destination->route != route) {
		/* After a reload: the same way with, perhaps, a new password or certificate. */
		routes_release(&destination->routes);
		destination->routes = routes_hold(queue->routes);
		destination->route = route;
	}
	return destination;
}

void
destination_drain(struct destination *destination)
{
	while (destination->head)
		outcome_take_back(take_first(destination));
	for (guint i = 0; i < destination->lanes->len; i++) {
		struct lane *lane = g_ptr_array_index(destination->lanes, i);

		set_idle(lane, false);
		courier_quit(lane->courier);
	}
}

bool
destination_is_unused(const struct destination *destination)
{
	return !destination->head && destination->lanes->len == 0 && destination->jobs == 0 &&
	       destination->loading == 0 && !is_blocked(destination);
}

void
destination_free(struct destination *destination)
{
	while (destination->lanes->len > 0) {
		struct lane *lane = g_ptr_array_remove_index_fast(destination->lanes, 0);

		if (lane->delivery)
			outcome_drop(lane->delivery);
		free_lane(lane);
	}
	while (destination->head)
		outcome_drop(take_first(destination));
	loop_timer_cancel(destination->queue->parts.loop, &destination->again);
	g_ptr_array_free(destination->lanes, TRUE);
	routes_release(&destination->routes);
	g_free(destination->key);
	g_free(destination);
}

const char *
destination_name(const struct destination *destination)
{
	return destination->route->name;
}
