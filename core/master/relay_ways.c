/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_ways.c - how next hops fare, gathered from all lanes.
 *
 * Called by relay_control.c and relay_queue.c on the main loop. Each lane has connections and
 * back-off of its own to the same next hop: what is counted is added up, and of what is left alone
 * the longest holds.
 */
#include <core/base/clock.h>
#include <core/ctl/console.h>
#include <core/master/relay_ways.h>
#include <core/master/survey.h>
#include <core/queue/capability.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define HOSTS_MOST 100u
#define KEYS_MOST  4000u

/* ---- on a lane ------------------------------------------------------------------------------- */

static json_t *
tell_hosts(struct queue *queue, const char *key)
{
	json_t *hosts = json_array();
	struct queue_host host;

	for (size_t i = 0; i < HOSTS_MOST && queue_way_host(queue, key, i, &host); i++)
		json_array_append_new(
		    hosts, json_pack("{s:o, s:I, s:o, s:i, s:i, s:I, s:i}", "host",
			       console_text(host.name), "blocked_until",
			       (json_int_t)host.blocked_until_us, "blocked_because",
			       console_text(*host.reason ? host.reason : NULL), "failures_in_a_row",
			       (int)host.failures, "connections", (int)host.connections, "reached",
			       (json_int_t)host.reached_us, "tls_bits", host.bits));
	return hosts;
}

static json_t *
tell_way(const struct queue_way *way)
{
	char rate[64];

	snprintf(rate, sizeof(rate), "%" PRId64 " messages in %" PRId64 " s", way->rate,
	    way->rate_per_us / 1000000);
	return json_pack("{s:o, s:I, s:o, s:i, s:i, s:o, s:i, s:s?, s:I}", "destination",
	    console_text(way->name), "blocked_until", (json_int_t)way->blocked_until_us,
	    "blocked_because", console_text(way->reason), "failures_in_a_row", (int)way->failures,
	    "connections", (int)way->connections, "connections_most",
	    way->connections_most > 0 ? json_integer(way->connections_most) : json_null(),
	    "in_line", (int)way->in_line, "rate", way->rate > 0 ? rate : NULL, "next_turn",
	    (json_int_t)way->turn_us);
}

static void
ask(struct lane *lane, const json_t *keys, json_t *ret)
{
	for (size_t i = 0; i < json_array_size(keys); i++) {
		const char *key = json_string_value(json_array_get(keys, i));
		struct queue_way way;
		json_t *told;

		if (!queue_way(lane_queue(lane), key, &way))
			continue;
		told = tell_way(&way);
		json_object_set_new(told, "hosts", tell_hosts(lane_queue(lane), key));
		json_object_set_new(ret, key, told);
	}
}

/* ---- together -------------------------------------------------------------------------------- */

static json_int_t
number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void
add(json_t *into, const json_t *from, const char *name)
{
	json_object_set_new(into, name, json_integer(number(into, name) + number(from, name)));
}

/* False: what is there is as much. */
static bool
raise(json_t *into, const json_t *from, const char *name)
{
	if (number(from, name) <= number(into, name))
		return false;
	json_object_set(into, name, json_object_get(from, name));
	return true;
}

static void
merge_fate(json_t *into, json_t *from)
{
	add(into, from, "connections");
	raise(into, from, "failures_in_a_row");
	if (raise(into, from, "blocked_until"))
		json_object_set(into, "blocked_because", json_object_get(from, "blocked_because"));
}

static json_t *
find_host(json_t *hosts, const char *name)
{
	json_t *host;
	size_t i;

	json_array_foreach(hosts, i, host)
	{
		if (strcmp(json_string_value(json_object_get(host, "host")), name) == 0)
			return host;
	}
	return NULL;
}

static void
merge_hosts(json_t *into, json_t *from)
{
	json_t *host, *same;
	size_t i;

	json_array_foreach(from, i, host)
	{
		same = find_host(into, json_string_value(json_object_get(host, "host")));
		if (!same) {
			json_array_append(into, host);
			continue;
		}
		merge_fate(same, host);
		if (raise(same, host, "reached"))
			json_object_set(same, "tls_bits", json_object_get(host, "tls_bits"));
	}
}

static void
merge(json_t *into, json_t *part)
{
	const char *key;
	json_t *way, *same;

	json_object_foreach(part, key, way)
	{
		same = json_object_get(into, key);
		if (!same) {
			json_object_set(into, key, way);
			continue;
		}
		merge_fate(same, way);
		add(same, way, "in_line");
		raise(same, way, "next_turn");
		merge_hosts(json_object_get(same, "hosts"), json_object_get(way, "hosts"));
	}
}

/* ---- for everyone ---------------------------------------------------------------------------- */

void
relay_ways_ask(
    struct relay *relay, json_t *keys, void (*reply)(void *arg, json_t *answer), void *arg)
{
	struct survey *survey = survey_new(relay, reply, arg);

	survey->question = keys;
	survey_start(survey, ask, merge);
}

json_t *
relay_ways_date(const json_t *us)
{
	char text[CLOCK_DATE_SIZE];

	if (json_integer_value(us) == 0)
		return json_null();
	clock_log_date(json_integer_value(us), text);
	return json_string(text);
}

/* ---- posternctl route ------------------------------------------------------------------------ */

struct route_errand {
	struct relay *relay;
	struct control_request *request;
	json_t *keys;
};

static void
show_dates(json_t *object)
{
	static const char *const names[] = { "blocked_until", "next_turn", "reached" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		json_t *us = json_object_get(object, names[i]);

		if (us)
			json_object_set_new(object, names[i], relay_ways_date(us));
	}
}

/* What the last session with any of its hosts showed. */
static json_t *
bits_of(struct relay *relay, const char *key)
{
	int bits = capability_bits(relay->capability, key);

	return bits < 0 ? json_null() : json_integer(bits);
}

static void
on_ways(void *arg, json_t *ways)
{
	struct route_errand *errand = arg;
	json_t *answer = json_pack("{s:[]}", "ways"), *key, *way, *host;
	size_t i, k;

	json_array_foreach(errand->keys, i, key)
	{
		json_t *bits = bits_of(errand->relay, json_string_value(key));

		way = json_object_get(ways, json_string_value(key));
		way = way ? json_incref(way) : json_object();
		show_dates(way);
		json_array_foreach(json_object_get(way, "hosts"), k, host) show_dates(host);
		json_object_set_new(way, "tls_bits", bits);
		json_array_append_new(json_object_get(answer, "ways"), way);
	}
	control_reply(errand->request, answer);
	json_decref(errand->keys);
	json_decref(ways);
	free(errand);
}

static bool
are_keys(const json_t *keys)
{
	size_t count = json_array_size(keys);

	for (size_t i = 0; i < count; i++)
		if (!json_is_string(json_array_get(keys, i)))
			return false;
	return count > 0 && count <= KEYS_MOST;
}

void
relay_ways_run(void *arg, struct control_request *request, json_t *body)
{
	json_t *keys = json_object_get(body, "keys");
	struct route_errand *errand;

	if (!are_keys(keys)) {
		control_refuse(request, "which next hops?");
		return;
	}
	errand = calloc(1, sizeof(*errand));
	if (!errand)
		abort();
	*errand = (struct route_errand){ arg, request, json_deep_copy(keys) };
	relay_ways_ask(arg, json_incref(errand->keys), on_ways, errand);
}
