/* SPDX-License-Identifier: Apache-2.0 */
/*
 * way.c - how next hops fare, for people.
 *
 * Called by the commands of posternctl on the queue's loop. Must change nothing: who only looks
 * makes no next hop known that no mail went to.
 */
#include <core/base/clock.h>
#include <core/queue/destination.h>

char *
queue_way_key(const struct queue *queue, const struct item *item, uint32_t index)
{
	const struct mail_plan *plan = &item->recipients[index].plan;
	const char *refusal;
	const struct route *route = plan->unserved ? NULL
						   : queue_route(queue, item, index, &refusal);
	char domain[MAIL_DOMAIN_MOST + 1];
	bool by_domain = route && route->kind == ROUTE_MX;

	if (!route ||
	    (by_domain && routes_domain(item->recipients[index].envelope->address, domain) < 0))
		return NULL;
	return routes_way_key(route, queue_need(item, index), by_domain ? domain : NULL);
}

bool
queue_way(struct queue *queue, const char *key, struct queue_way *ret)
{
	const struct destination *destination = g_hash_table_lookup(queue->destinations, key);
	const struct shape_limits *shape;
	int64_t wait;

	if (!destination)
		return false;
	shape = &destination->limits.shape;
	wait = destination->turn_us - clock_monotonic_us();
	*ret = (struct queue_way){
		.name = destination->name,
		.blocked_until_us = destination_blocked_us(destination),
		.reason = destination_is_blocked(destination) ? destination->reason : NULL,
		.failures = destination->failures,
		.connections = connections_established(destination),
		.connections_most = shape->connections,
		.in_line = destination->lineup.count + destination->unfit.count,
		.rate = shape->messages.most,
		.rate_per_us = shape->messages.per_us,
		.turn_us = wait > 0 ? clock_wall_us() + wait : 0,
	};
	return true;
}

/* Wall time of a moment of the loop's clock. */
static int64_t
wall_us(const struct queue *queue, int64_t ms)
{
	return clock_wall_us() + (ms - loop_now(queue->parts.loop)) * 1000;
}

bool
queue_way_host(struct queue *queue, const char *key, size_t index, struct queue_host *ret)
{
	const struct destination *destination = g_hash_table_lookup(queue->destinations, key);
	const struct hop *hop;
	int64_t until;

	if (!destination || !destination->hops || index >= destination->hops->count)
		return false;
	hop = &destination->hops->hops[index];
	*ret = (struct queue_host){
		.name = hop->name,
		.reached_us = hop->reached_ms > 0 ? wall_us(queue, hop->reached_ms) : 0,
		.bits = hop->bits,
		.failures = hop->failures,
		.connections = hop->meeting->established,
	};
	until = hop_blocked_until(destination->hops, hop, ret->reason);
	if (until > 0)
		ret->blocked_until_us = wall_us(queue, until);
	return true;
}
