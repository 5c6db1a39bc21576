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
#define UNUSED_MS         60000 /* a domain's destination is kept for so long after its mail */
#define MAILDIR_JOBS_MOST 4u
#define SETTLE_MOST       500u /* deliveries in one turn of the loop */
/* A password may be wrong for a moment, where servers share their users; not for three attempts. */
#define TURNED_AWAY_MOST 3u

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
	if (destination->hops)
		hops_unblock_silent(destination->hops);
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

static bool
is_tried_enough(const struct delivery *delivery)
{
	const struct item *item = delivery->owner->item;

	for (uint32_t i = 0; i < delivery->count; i++)
		if (item->recipients[delivery->indices[i]].attempts + 1 < TURNED_AWAY_MOST)
			return false;
	return true;
}

/* "454 4.7.8 ..." as what holds for good. */
static void
fail_for_good(struct delivery *delivery, const char *reply)
{
	char text[COURIER_TEXT];

	g_strlcpy(text, reply, sizeof(text));
	memcpy(text, "554", 3);
	if (text[4] == '4' && text[5] == '.')
		text[4] = '5';
	outcome_settle(delivery, COURIER_FAILED, text);
}

static void
settle(struct destination *destination, struct delivery *delivery, enum courier_outcome outcome,
    const char *reply)
{
	delivery->spared |= destination->silent;
	if (outcome == COURIER_DEFERRED && destination->turned_away >= TURNED_AWAY_MOST &&
	    is_tried_enough(delivery))
		fail_for_good(delivery, reply);
	else
		outcome_settle(delivery, outcome, reply);
	outcome_note(delivery);
}

static struct delivery *
take_waiting(struct destination *destination)
{
	return destination->lineup.count > 0 ? lineup_take(&destination->lineup)
					     : conversion_take_back(destination);
}

void
destination_settle_all(
    struct destination *destination, enum courier_outcome outcome, const char *reply)
{
	struct delivery *delivery;

	for (unsigned i = 0; i < SETTLE_MOST && (delivery = take_waiting(destination)); i++)
		settle(destination, delivery, outcome, reply);
	if (destination->lineup.count > 0 || destination->unfit.count > 0)
		destination_pump_in(destination, 0);
}

/* Nothing answers there: those who wait now come back in their own time. */
static void
defer_all(struct destination *destination)
{
	destination_settle_all(destination, COURIER_DEFERRED, destination->reason);
}

static void
back_off(struct destination *destination, const char *reason)
{
	const struct destination_limits *limits = &destination->limits;

	/* Connections that were begun together come to nothing together: that counts once. */
	destination->silent = false;
	if (!destination_is_blocked(destination))
		destination->blocked_until_ms = loop_now(destination->queue->parts.loop) +
						schedule_delay_ms(limits->first, limits->most,
						    ++destination->failures);
	destination->window = WINDOW_FIRST;
	g_strlcpy(destination->reason, reason, sizeof(destination->reason));
	log_event(PN_LOG_NOTICE, destination->slowed ? "slowed" : "unreachable", "route",
	    destination->name, "reason", reason, NULL);
	/* Then each of its hosts has its chance again. */
	if (destination->hops)
		hops_unblock(destination->hops);
	if (connections_established(destination) == 0)
		defer_all(destination);
}

void
destination_back_off(struct destination *destination, const char *reason)
{
	destination->turned_away = 0;
	back_off(destination, reason);
}

void
destination_leave_alone(struct destination *destination, int64_t until_ms, const char *reason)
{
	destination->blocked_until_ms = until_ms;
	destination->failures = MAX(destination->failures, 1); /* then one alone tries */
	destination->window = WINDOW_FIRST;
	destination->slowed = false;
	destination->silent = true;
	destination->turned_away = 0;
	g_strlcpy(destination->reason, reason, sizeof(destination->reason));
	hops_begin_round(destination->hops);
	defer_all(destination);
}

void
destination_turn_away(struct destination *destination, const char *reason)
{
	/* Connections that were begun together are turned away together: that counts once. */
	if (!destination_is_blocked(destination))
		destination->turned_away++;
	back_off(destination, reason);
}

void
destination_refuse(struct destination *destination, const char *reason)
{
	/* Another connection may do better; until that is known, the hosts stay left alone. */
	if (destination->connections->len > 0)
		return;
	if (destination->hops)
		hops_unblock(destination->hops);
	destination_settle_all(destination, COURIER_FAILED, reason);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

void
destination_cannot_load(struct delivery *delivery, int r)
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
		destination_cannot_load(delivery, r);
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
	const struct hop *hop;

	if (destination->route->kind == ROUTE_MAILDIR)
		return true;
	hop = ((const struct connection *)destination->idle.head->data)->hop;
	if (hop->limits.shape.messages.most == 0)
		return true;
	wait = destination->turn_us - now;
	if (wait <= 0)
		wait = shape_take_message(hop->shape, now);
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
	if (destination->route->kind != ROUTE_MAILDIR) {
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

static void
send_what_can(struct destination *destination)
{
	bool goes = destination->lineup.count > 0;

	while (goes && !destination->queue->draining && !is_paused(destination))
		goes = send_next(destination) && destination->lineup.count > 0;
}

/* There may be any number of such in time: it goes when it is not needed. */
static bool
is_brief(const struct destination *destination)
{
	return destination->domain || destination->route->is_users;
}

void
destination_pump(struct destination *destination)
{
	destination_heed_policy(destination);
	/* What its domain says now decides about connections that are open, too. */
	if (destination->lineup.count > 0 && destination->domain && destination->hops &&
	    !destination->queue->draining)
		(void)destination_has_hops(destination);
	send_what_can(destination);
	if (destination->queue->draining || destination->route->kind == ROUTE_MAILDIR)
		return;
	if (destination->connections->len == 0 && destination_is_blocked(destination))
		defer_all(destination);
	if (destination->lineup.count == 0) {
		connections_stop_waiting(destination);
		if (is_brief(destination) && destination->connections->len == 0)
			destination_pump_in(destination, UNUSED_MS);
	} else if (destination->turn_us <= clock_monotonic_us() &&
		   destination_has_hops(destination)) {
		while (connections_adopt(destination))
			send_what_can(destination);
		connections_open(destination);
	}
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
	if (delivery->need == ROUTE_REQUIRETLS)
		outcome_settle(delivery, COURIER_FAILED,
		    "550 5.7.30 REQUIRETLS is needed and mail discarded here");
	else if (mail_demand_is_any(&delivery->letter.demand))
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
		delivery->spared = true;
		settle(destination, delivery, COURIER_DEFERRED, destination->reason);
		return;
	}
	if (is_over_rate(destination)) {
		delivery->spared = delivery->unasked = true;
		outcome_settle(delivery, COURIER_DEFERRED,
		    "451 4.7.0 more messages wait here than the rate lets through");
		outcome_note(delivery);
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
	struct destination *destination = (struct destination *)(void *)((char *)timer -
									 offsetof(
									     struct destination,
									     again));

	if (is_brief(destination) && destination_is_unused(destination)) {
		g_hash_table_remove(destination->queue->destinations, destination->key);
		destination_free(destination);
	} else {
		destination_pump(destination);
	}
}

static struct destination *
new_destination(struct queue *queue, const struct route *route, const char *key, const char *domain)
{
	struct destination *destination = g_new0(struct destination, 1);

	destination->queue = queue;
	destination->key = g_strdup(key);
	destination->domain = g_strdup(domain);
	destination->name = domain ? g_strdup_printf("%s:%s", route->name, domain)
				   : g_strdup(route->name);
	destination->again.fire = pump_again;
	destination->window = WINDOW_FIRST;
	destination->connections = g_ptr_array_new();
	destination->waits_link.data = destination;
	g_queue_init(&destination->idle);
	destination->waiter.member = &queue->member;
	g_hash_table_insert(queue->destinations, destination->key, destination);
	return destination;
}

/* After a reload: the same way with, perhaps, a new password or new limits. */
static void
take_route(struct destination *destination, const struct route *route)
{
	struct queue *queue = destination->queue;

	routes_release(&destination->routes);
	destination->routes = routes_hold(queue->routes);
	destination->route = route;
	destination->generation = queue->generation;
	destination->turn_us = destination->open_ms = 0; /* the rate may have changed */
	destination->limits = limits_of(
	    route->host_count > 0 ? route->hosts->limits : NULL, &queue->settings);
	destination_forget_hops(destination);
}

struct destination *
destination_get(
    struct queue *queue, const struct route *route, enum route_need need, const char *domain)
{
	char *key = routes_way_key(route, need, domain);
	struct destination *destination = g_hash_table_lookup(queue->destinations, key);

	if (!destination) {
		destination = new_destination(queue, route, key, domain);
		destination->need = need;
	}
	if (destination->generation != queue->generation)
		take_route(destination, route);
	g_free(key);
	return destination;
}

void
destination_drain(struct destination *destination)
{
	struct delivery *delivery;

	mx_search_cancel(&destination->search);
	destination_drop_policy(destination);
	while ((delivery = take_waiting(destination)))
		outcome_take_back(delivery);
	connections_quit(destination);
}

bool
destination_is_unused(const struct destination *destination)
{
	return destination->lineup.count == 0 && destination->connections->len == 0 &&
	       destination->unfit.count == 0 && destination->jobs == 0 &&
	       destination->loading == 0 && !destination->search && !destination->sts_request &&
	       !destination_is_blocked(destination) &&
	       /* what has gone already counts */
	       (!destination->hops || hops_are_rested(destination->hops));
}

void
destination_free(struct destination *destination)
{
	struct delivery *delivery;

	mx_search_cancel(&destination->search);
	destination_drop_policy(destination);
	connections_free(destination);
	while ((delivery = take_waiting(destination)))
		outcome_drop(delivery);
	loop_timer_cancel(destination->queue->parts.loop, &destination->again);
	hops_release(&destination->hops);
	routes_release(&destination->routes);
	sts_answer_clear(&destination->sts);
	g_free(destination->domain);
	g_free(destination->name);
	g_free(destination->key);
	g_free(destination);
}

const char *
destination_name(const struct destination *destination)
{
	return destination->name;
}
