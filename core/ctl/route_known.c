/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_known.c - what the running relay knows of the next hop that a route leads to.
 *
 * Called by posternctl route behind what the configuration and the DNS say. The relay finds it by
 * the route's keys, so it knows of none that its own configuration does not have. Must never fail
 * because no relay runs: then that is said, and nothing else missing.
 */
#include <core/ctl/explain.h>
#include <stdio.h>

static const char *const needs[ROUTE_NEEDS] = {
	[ROUTE_AS_SET] = "relay",
	[ROUTE_DEMANDED] = "relay, TLS demanded",
	[ROUTE_REQUIRETLS] = "relay, REQUIRETLS",
	[ROUTE_RELAXED] = "relay, TLS-Required: No",
};

static const char *
text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static int
number_of(const json_t *object, const char *name)
{
	return (int)json_integer_value(json_object_get(object, name));
}

static const char *
add(struct arena *arena, const char *text, const char *more)
{
	return *text ? arena_printf(arena, "%s; %s", text, more) : more;
}

/* "until 12:00, 3 failures: 451 4.4.1 no answer; TLS of 256 bits at ..." */
static const char *
say(const json_t *known, struct arena *arena)
{
	const char *until = text_of(known, "blocked_until"),
		   *because = text_of(known, "blocked_because"),
		   *reached = text_of(known, "reached"), *ret = "";
	const json_t *bits = json_object_get(known, "tls_bits");
	int failures = number_of(known, "failures_in_a_row");

	if (until)
		ret = arena_printf(arena, "until %s, failures in a row: %d%s%s", until, failures,
		    because ? ": " : "", because ? because : "");
	if (reached)
		ret = add(arena, ret, arena_printf(arena, "last session %s", reached));
	if (json_is_integer(bits) && json_integer_value(bits) >= 0)
		ret = add(arena, ret,
		    json_integer_value(bits) > 0
			? arena_printf(arena, "TLS of %d bits", (int)json_integer_value(bits))
			: "no TLS");
	if (number_of(known, "connections") > 0)
		ret = add(arena, ret,
		    arena_printf(arena, "connections: %d", number_of(known, "connections")));
	if (number_of(known, "in_line") > 0)
		ret = add(arena, ret,
		    arena_printf(arena, "messages in line: %d", number_of(known, "in_line")));
	return ret;
}

/* For programs as it came, but for the hosts, which have rows of their own. */
static void
show(struct ctl *ctl, json_t *known, const char *name, const char *place, const char *verdict,
    struct arena *arena)
{
	json_t *row = json_pack("{s:s?, s:s, s:s, s:s}", "route", name, "place", place, "verdict",
	    verdict, "why", say(known, arena));

	json_object_update_missing(row, known);
	json_object_del(row, "hosts");
	console_add(&ctl->console, row);
}

static void
show_way(struct ctl *ctl, json_t *way, const char *name, const char *place, struct arena *arena)
{
	bool alone = text_of(way, "blocked_until");
	json_t *host;
	size_t i;

	if (!json_is_integer(json_object_get(way, "tls_bits")) && !text_of(way, "destination"))
		return;
	show(ctl, way, text_of(way, "destination") ? text_of(way, "destination") : name, place,
	    alone ? "left alone" : "may be tried", arena);
	json_array_foreach(json_object_get(way, "hosts"), i, host)
	{
		alone = text_of(host, "blocked_until");
		show(ctl, host, text_of(host, "host"), place,
		    alone                      ? "left alone"
		    : text_of(host, "reached") ? "reached"
					       : "not reached yet",
		    arena);
	}
}

void
explain_known(
    struct ctl *ctl, const struct route *route, const char *recipient, struct arena *arena)
{
	char domain[MAIL_DOMAIN_MOST + 1];
	bool by_domain = route->kind == ROUTE_MX;
	json_t *keys, *answer = NULL;
	struct pn_error err;
	int count = 0, need_of[ROUTE_NEEDS];

	if (route->kind == ROUTE_DISCARD || route->kind == ROUTE_MAILDIR ||
	    (by_domain && routes_domain(recipient, domain) < 0))
		return; /* there are no hosts */
	keys = json_array();
	for (int need = 0; need < ROUTE_NEEDS; need++) {
		char *key = routes_way_key(route, (enum route_need)need, by_domain ? domain : NULL);
		bool known = false;

		for (int i = 0; i < count; i++)
			known |= strcmp(json_string_value(json_array_get(keys, (size_t)i)), key) ==
				 0;
		if (!known) {
			need_of[count++] = need;
			json_array_append_new(keys, json_string(key));
		}
		g_free(key);
	}
	if (ctl_ask(ctl, json_pack("{s:s, s:o}", "command", "route", "keys", keys), NULL, &answer,
		&err) != EXIT_OK) {
		fprintf(stderr, "posternctl: how its hosts fare is not known: %s\n", err.text);
		return;
	}
	for (int i = 0; i < count; i++)
		show_way(ctl, json_array_get(json_object_get(answer, "ways"), (size_t)i),
		    route->name, needs[need_of[i]], arena);
	json_decref(answer);
}
