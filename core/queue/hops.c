/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hops.c - lists of hosts for destinations: made, chosen from, given up.
 *
 * Called by destination.c and connection.c. Must never let a host be tried while a better one is to
 * be had: RFC 5321 section 5.1 wants the order of preference, and chance among equals.
 */
#include <core/base/clock.h>
#include <core/queue/hop_target.h>
#include <core/queue/hops.h>
#include <stdlib.h>

#define BACK_OFF_FIRST_MS 1000
#define BACK_OFF_MOST_MS  (5 * 60000)
#define TTL_LEAST_S       5
#define TTL_MOST_S        3600
#define UNSURE_MOST_S     60 /* signatures may be checked by then */
/* In one round through a domain's hosts: RFC 5321 section 5.1 wants two tried at least. */
#define HOSTS_MOST 5

/* ---- meetings -------------------------------------------------------------------------------- */

static struct meeting *
hold_meeting(struct queue *queue, const char *key)
{
	struct meeting *meeting = g_hash_table_lookup(queue->meetings, key);

	if (!meeting) {
		meeting = g_new0(struct meeting, 1);
		meeting->key = g_strdup(key);
		g_hash_table_insert(queue->meetings, meeting->key, meeting);
	}
	meeting->references++;
	return meeting;
}

static void
release_meeting(struct queue *queue, struct meeting *meeting)
{
	if (--meeting->references > 0)
		return;
	g_hash_table_remove(queue->meetings, meeting->key);
	g_free(meeting->key);
	g_free(meeting);
}

/* ---- making ---------------------------------------------------------------------------------- */

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

struct destination_limits
limits_of(const struct config_destination *own, const struct queue_settings *settings)
{
	static const struct config_destination none = { .back_off = { .first = BACK_OFF_FIRST_MS,
							    .most = BACK_OFF_MOST_MS } };

	if (!own)
		own = &none;
	return (struct destination_limits){
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
}

static struct hops *
new_hops(struct queue *queue, struct routes *routes, size_t most)
{
	struct hops *hops = g_new0(struct hops, 1);

	hops->queue = queue;
	hops->references = 1;
	hops->routes = routes_hold(routes);
	hops->expires_ms = INT64_MAX;
	hops->hops = g_new0(struct hop, most);
	return hops;
}

static struct hop *
add(struct hops *hops, const struct route_host *host, enum route_need need, unsigned rank,
    const struct hop_terms *terms)
{
	struct hop *hop = &hops->hops[hops->count++];
	const char *key;

	hop->rank = rank;
	hop->target = host->ways[need].target;
	hop->limits = limits_of(host->limits, &hops->queue->settings);
	hop->name = arena_text(&hops->arena, host->name);
	hop->shape = shape_get(hops->queue->shaping, host->name);
	shape_configure(hop->shape, &hop->limits.shape);
	key = arena_printf(&hops->arena, "%s%s", host->ways[need].key,
	    hop_target_use(&hops->arena, &hop->target, terms));
	hop->meeting = hold_meeting(hops->queue, key);
	hop->bits = -1;
	return hop;
}

struct hops *
hops_of_route(
    struct queue *queue, struct routes *routes, const struct route *route, enum route_need need)
{
	struct hops *hops = new_hops(queue, routes, route->host_count);

	hops->validated = true;
	for (size_t i = 0; i < route->host_count; i++)
		add(hops, &route->hosts[i], need, (unsigned)i, NULL);
	return hops;
}

/* Where there is no MX record the domain itself is the host, and its certificate says so. */
bool
hops_list_is_validated(const struct mx_list *list)
{
	return list->secure || list->implicit || list->literal || list->by_policy;
}

struct hops *
hops_of_list(struct queue *queue, struct routes *routes, const struct route *route,
    enum route_need need, const struct mx_list *list)
{
	struct hops *hops = new_hops(queue, routes, list->count);
	int64_t most = list->unsure ? UNSURE_MOST_S : TTL_MOST_S;
	int64_t ttl = CLAMP(list->ttl, TTL_LEAST_S, most);
	struct route_host host;

	hops->expires_ms = loop_now(queue->parts.loop) + ttl * 1000;
	hops->validated = hops_list_is_validated(list);
	for (size_t i = 0; i < list->count; i++)
		hops->partial |= list->hosts[i].fate == MX_UNKNOWN ||
				 list->hosts[i].fate == MX_UNSAFE;
	for (size_t i = 0; i < list->count && hops->count < HOSTS_MOST; i++) {
		const struct mx_host *found = &list->hosts[i];
		struct hop_terms terms = hop_target_terms(list, found);

		/* Its sources were parsed when the configuration was checked. */
		if (found->fate == MX_TRIED &&
		    routes_mx_host(routes, route, found->name, &hops->arena, &host, NULL) == 0)
			hop_target_addresses(&hops->arena,
			    &add(hops, &host, need, found->preference,
				need == ROUTE_RELAXED ? NULL : &terms)
				 ->target,
			    found);
	}
	return hops;
}

struct hops *
hops_hold(struct hops *hops)
{
	hops->references++;
	return hops;
}

void
hops_release(struct hops **hops_at)
{
	struct hops *hops = *hops_at;

	*hops_at = NULL;
	if (!hops || --hops->references > 0)
		return;
	for (size_t i = 0; i < hops->count; i++) {
		g_free(hops->hops[i].reason);
		shape_release(&hops->hops[i].shape);
		release_meeting(hops->queue, hops->hops[i].meeting);
	}
	routes_release(&hops->routes);
	arena_free(&hops->arena);
	g_free(hops->hops);
	g_free(hops);
}

/* ---- choosing -------------------------------------------------------------------------------- */

static struct silence *
silence_of(const struct hops *hops)
{
	return shaping_silence(hops->queue->shaping);
}

int64_t
hop_blocked_until(const struct hops *hops, const struct hop *hop, char *ret_reason)
{
	int64_t now = loop_now(hops->queue->parts.loop), silent = 0;

	if (hop->target.address_count > 0)
		silent = silence_until(silence_of(hops), hop->target.addresses,
		    hop->target.address_count, now, ret_reason);
	if (hop->blocked_until_ms <= MAX(now, silent))
		return silent;
	if (ret_reason)
		g_strlcpy(ret_reason, hop->reason ? hop->reason : "", COURIER_TEXT);
	return hop->blocked_until_ms;
}

struct hop *
hops_find(const struct hops *hops, const struct meeting *meeting)
{
	for (size_t i = 0; i < hops->count; i++)
		if (hops->hops[i].meeting == meeting)
			return &hops->hops[i];
	return NULL;
}

void
hops_inherit(struct hops *hops, const struct hops *old)
{
	for (size_t i = 0; old && i < hops->count; i++) {
		const struct hop *same = hops_find(old, hops->hops[i].meeting);

		if (!same)
			continue;
		hops->hops[i].failures = same->failures;
		hops->hops[i].blocked_until_ms = same->blocked_until_ms;
		hops->hops[i].tried = same->tried;
		hops->hops[i].unprotected = same->unprotected;
		hops->hops[i].bits = same->bits;
		hops->hops[i].reached_ms = same->reached_ms;
		g_free(hops->hops[i].reason);
		hops->hops[i].reason = g_strdup(same->reason);
	}
}

struct hop *
hops_choose(const struct hops *hops)
{
	struct hop *chosen = NULL;
	int equals = 0;

	for (size_t i = 0; i < hops->count; i++) {
		struct hop *hop = &hops->hops[i];

		if ((chosen && hop->rank > chosen->rank) || hop_blocked_until(hops, hop, NULL) > 0)
			continue;
		equals = chosen && hop->rank == chosen->rank ? equals + 1 : 1;
		if (equals == 1 || g_random_int_range(0, equals) == 0)
			chosen = hop;
	}
	return chosen;
}

int64_t
hops_wait_ms(const struct hops *hops)
{
	int64_t now = loop_now(hops->queue->parts.loop), least = INT64_MAX;

	for (size_t i = 0; i < hops->count; i++)
		least = MIN(least, hop_blocked_until(hops, &hops->hops[i], NULL));
	return MAX(least - now, 1);
}

bool
hops_have_untried(const struct hops *hops)
{
	for (size_t i = 0; i < hops->count; i++)
		if (!hops->hops[i].tried && hop_blocked_until(hops, &hops->hops[i], NULL) == 0)
			return true;
	return false;
}

int64_t
hops_silent_until(const struct hops *hops, char *ret_reason)
{
	int64_t now = loop_now(hops->queue->parts.loop), least = INT64_MAX;
	char reason[COURIER_TEXT];

	for (size_t i = 0; i < hops->count; i++) {
		const struct hop *hop = &hops->hops[i];
		int64_t until = 0;

		if (hop->target.address_count > 0)
			until = silence_until(silence_of(hops), hop->target.addresses,
			    hop->target.address_count, now, reason);
		if (until == 0 && !hop->tried)
			return 0;
		if (until == 0 || until >= least)
			continue;
		least = until;
		g_strlcpy(ret_reason, reason, COURIER_TEXT);
	}
	return least == INT64_MAX ? 0 : least;
}

void
hops_begin_round(struct hops *hops)
{
	for (size_t i = 0; i < hops->count; i++)
		hops->hops[i].tried = false;
}

void
hop_block(struct hops *hops, struct hop *hop, bool unprotected, const char *reason)
{
	int64_t now = loop_now(hops->queue->parts.loop);

	hop->tried = true;
	hop->unprotected = unprotected;
	/* Connections that were begun together come to nothing together: that counts once. */
	if (hop->blocked_until_ms > now)
		return;
	hop->blocked_until_ms = now + schedule_delay_ms(
					  hop->limits.first, hop->limits.most, ++hop->failures);
	g_free(hop->reason);
	hop->reason = g_strdup(reason);
}

void
hop_is_silent(struct hops *hops, const struct hop *hop, const char *reason)
{
	struct silence_delays delays = { hop->limits.first, hop->limits.most };

	/* It answers others: perhaps it has enough of us. */
	if (hop->meeting->established > 0 || hop->target.address_count == 0)
		return;
	silence_note(silence_of(hops), hop->target.addresses, hop->target.address_count,
	    loop_now(hops->queue->parts.loop), &delays, reason);
}

void
hop_reached(struct hops *hops, struct hop *hop, int bits)
{
	hop->failures = 0;
	hop->unprotected = false;
	hop->blocked_until_ms = 0;
	hop->bits = bits;
	hop->reached_ms = loop_now(hops->queue->parts.loop);
	g_clear_pointer(&hop->reason, g_free);
	if (hop->target.address_count > 0)
		silence_end(silence_of(hops), hop->target.addresses, hop->target.address_count);
	hops_begin_round(hops);
}

bool
hops_are_unprotected(const struct hops *hops)
{
	if (hops->partial)
		return false;
	for (size_t i = 0; i < hops->count; i++)
		if (!hops->hops[i].unprotected)
			return false;
	return true;
}

bool
hops_are_rested(const struct hops *hops)
{
	int64_t now = clock_monotonic_us();

	for (size_t i = 0; i < hops->count; i++)
		if (!shape_is_rested(hops->hops[i].shape, now))
			return false;
	return true;
}

void
hops_unblock(struct hops *hops)
{
	hops_begin_round(hops);
	for (size_t i = 0; i < hops->count; i++)
		hops->hops[i].blocked_until_ms = 0;
}

void
hops_unblock_silent(struct hops *hops)
{
	hops_unblock(hops);
	for (size_t i = 0; i < hops->count; i++)
		if (hops->hops[i].target.address_count > 0)
			silence_end(silence_of(hops), hops->hops[i].target.addresses,
			    hops->hops[i].target.address_count);
}
