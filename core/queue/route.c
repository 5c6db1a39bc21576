/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.c - routes out of the configuration, and which one a recipient's mail takes.
 *
 * Made by whoever accepts a configuration, asked by the queue for every recipient. Everything is a
 * copy, so that a generation may go while connections made with its routes are still open.
 */
#include <core/queue/route_host.h>
#include <core/queue/route_index.h>
#include <core/queue/route_user.h>
#include <errno.h>
#include <glib.h>
#include <stdatomic.h>
#include <stdlib.h>

struct routes {
	atomic_uint references;
	struct route_making making;
	struct capability *capability;
	size_t count;
	struct config_when *when;
	struct route_index *index; /* of these */
	struct route *routes;
	struct roster *roster;    /* held; NULL: nobody's */
	struct routes *root;      /* held: whose all but the roster is; NULL: its own */
	struct user_rules *rules; /* the root's */
	struct user_ways *ways;   /* of this roster */
	/* For MX. */
	struct pn_list destinations; /* struct config_destination */
	const char *own_name;        /* canonical; NULL: no name that the DNS could have */
	size_t listener_count;
	struct address *listeners;
};

static struct pn_strings
copy_strings(struct arena *arena, struct pn_strings from)
{
	const char **items = arena_alloc(arena, (from.count + 1) * sizeof(*items));

	for (size_t i = 0; i < from.count; i++)
		items[i] = arena_text(arena, from.items[i]);
	return (struct pn_strings){ from.count, items };
}

static void
copy_when(struct arena *arena, const struct config_when *from, struct config_when *ret)
{
	*ret = *from;
	ret->sender = copy_strings(arena, from->sender);
	ret->sender_domain = copy_strings(arena, from->sender_domain);
	ret->recipient = copy_strings(arena, from->recipient);
	ret->recipient_domain = copy_strings(arena, from->recipient_domain);
	ret->user = copy_strings(arena, from->user);
	ret->listener = copy_strings(arena, from->listener);
	ret->network = copy_strings(arena, from->network);
	ret->tag = copy_strings(arena, from->tag);
	ret->group = copy_strings(arena, from->group);
	ret->account = copy_strings(arena, from->account);
}

static int
fill_networks(
    struct arena *arena, const struct config_route *config, struct route *ret, struct pn_error *err)
{
	struct pn_strings texts = config->refused_networks;
	struct network *networks;
	int r = 0;

	ret->refused = networks = arena_alloc(arena, texts.count * sizeof(*networks));
	for (; r == 0 && ret->refused_count < texts.count; ret->refused_count++)
		r = network_parse(
		    texts.items[ret->refused_count], &networks[ret->refused_count], err);
	return r;
}

/* Routes that refuse other networks share no host: short, for it is a part of many keys. */
static const char *
mark_of(struct arena *arena, struct pn_strings networks)
{
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
	const char *mark;

	for (size_t i = 0; i < networks.count; i++)
		g_checksum_update(
		    sum, (const guchar *)networks.items[i], (gssize)strlen(networks.items[i]) + 1);
	mark = arena_printf(arena, "mx-%.32s", g_checksum_get_string(sum));
	g_checksum_free(sum);
	return mark;
}

/* What its hosts will have in common stands in the only one. */
static int
fill_mx(struct routes *routes, const struct config_route *config, struct route *ret,
    struct pn_error *err)
{
	struct arena *arena = &routes->making.arena;
	int r = route_host_pattern(&routes->making, config, ret, err);

	if (r < 0)
		return r;
	ret->kind = ROUTE_MX;
	ret->name = "mx";
	ret->mark = mark_of(arena, config->refused_networks);
	for (int need = 0; need < ROUTE_NEEDS; need++)
		ret->keys[need] = arena_printf(arena, "%s:%u%s", ret->mark, (unsigned)config->port,
		    ret->hosts->ways[need].key);
	return fill_networks(arena, config, ret, err);
}

static int
fill_route(struct routes *routes, const struct config_core *core, const struct config_route *config,
    struct route *ret, struct pn_error *err)
{
	ret->keys[ROUTE_AS_SET] = ret->name = "discard";
	ret->priority = (int)config->priority;
	switch ((enum config_route_kind)config->to) {
	case CONFIG_ROUTE_SMARTHOST:
	case CONFIG_ROUTE_LMTP:
		ret->kind = ROUTE_SMARTHOST;
		return route_hosts_fill(&routes->making, &core->destinations, config, ret, err);
	case CONFIG_ROUTE_MX:
		return fill_mx(routes, config, ret, err);
	case CONFIG_ROUTE_MAILDIR:
		if (!config->path || !*config->path)
			return pn_error_set(err, -EINVAL, "path is missing");
		ret->kind = ROUTE_MAILDIR;
		ret->path = arena_text(&routes->making.arena, config->path);
		ret->name = arena_printf(&routes->making.arena, "maildir:%s", ret->path);
		ret->keys[ROUTE_AS_SET] = ret->name;
		return 0;
	case CONFIG_ROUTE_DISCARD:
		ret->kind = ROUTE_DISCARD;
		return 0;
	}
	return pn_error_set(err, -EINVAL, "unknown kind");
}

/* What mail exchangers, whose names nobody knows yet, are to be compared with. */
static void
copy_surroundings(struct routes *routes, const struct config_core *core)
{
	const struct config_destination *from = core->destinations.items;
	const struct config_listener *listeners = core->relay.listeners.items;
	struct arena *arena = &routes->making.arena;
	size_t count = core->destinations.count;
	struct config_destination *copies = arena_alloc(arena, (count + 1) * sizeof(*copies));
	char name[MAIL_DOMAIN_MOST + 1];

	for (size_t i = 0; i < count; i++) {
		copies[i] = from[i];
		copies[i].host = copy_strings(arena, from[i].host);
		copies[i].source = copy_strings(arena, from[i].source);
	}
	routes->destinations = (struct pn_list){ count, copies };
	if (core->relay.hostname && mail_domain_canonical(core->relay.hostname, name) == 0)
		routes->own_name = arena_text(arena, name);
	routes->listeners = arena_alloc(
	    arena, (core->relay.listeners.count + 1) * sizeof(*routes->listeners));
	for (size_t i = 0; i < core->relay.listeners.count; i++)
		if (listeners[i].address &&
		    address_parse(listeners[i].address, 0,
			&routes->listeners[routes->listener_count], NULL) == 0)
			routes->listener_count++;
}

int
routes_new(const struct config_core *config, const struct roster *roster,
    struct capability *capability, struct routes **ret, struct pn_error *err)
{
	const struct config_route *from = config->routes.items;
	struct routes *routes = calloc(1, sizeof(*routes));
	int r = 0;

	if (!routes)
		return pn_error_set(err, -ENOMEM, "routes: out of memory");
	atomic_init(&routes->references, 1);
	routes->capability = capability_hold(capability);
	routes->roster = roster_hold(roster);
	routes->making.contexts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	copy_surroundings(routes, config);
	routes->when = arena_alloc(
	    &routes->making.arena, config->routes.count * sizeof(*routes->when));
	routes->routes = arena_alloc(
	    &routes->making.arena, config->routes.count * sizeof(*routes->routes));
	for (size_t i = 0; i < config->routes.count && r == 0; i++) {
		routes->count = i + 1;
		copy_when(&routes->making.arena, &from[i].when, &routes->when[i]);
		r = fill_route(routes, config, &from[i], &routes->routes[i], err);
		if (r < 0)
			pn_error_in(err, "routes[%zu]", i);
	}
	g_hash_table_destroy(g_steal_pointer(&routes->making.contexts));
	if (r == 0)
		r = user_rules_new(&config->relay.user_relays, &routes->rules, err);
	if (r < 0) {
		routes_release(&routes);
		return r;
	}
	routes->index = route_index_new(routes->when, routes->count);
	routes->ways = user_ways_new(routes->rules, &routes->destinations);
	*ret = routes;
	return 0;
}

struct routes *
routes_again(struct routes *routes, const struct roster *roster)
{
	struct routes *root = routes->root ? routes->root : routes, *again;

	if (roster == routes->roster)
		return routes_hold(routes);
	again = calloc(1, sizeof(*again));
	if (!again)
		abort(); /* as arena.h */
	atomic_init(&again->references, 1);
	again->root = routes_hold(root);
	again->roster = roster_hold(roster);
	again->capability = root->capability;
	again->count = root->count;
	again->when = root->when;
	again->index = root->index;
	again->routes = root->routes;
	again->destinations = root->destinations;
	again->own_name = root->own_name;
	again->listener_count = root->listener_count;
	again->listeners = root->listeners;
	again->ways = user_ways_new(root->rules, &again->destinations);
	return again;
}

struct routes *
routes_hold(struct routes *routes)
{
	atomic_fetch_add(&routes->references, 1);
	return routes;
}

void
routes_release(struct routes **routes_at)
{
	struct routes *routes = *routes_at;

	*routes_at = NULL;
	if (!routes || atomic_fetch_sub(&routes->references, 1) > 1)
		return;
	user_ways_free(&routes->ways);
	roster_release(&routes->roster);
	if (routes->root) {
		routes_release(&routes->root);
		free(routes);
		return;
	}
	for (size_t i = 0; i < routes->count; i++)
		route_hosts_drop(&routes->routes[i]);
	route_index_free(&routes->index);
	user_rules_free(&routes->rules);
	capability_release(&routes->capability);
	arena_wipe(&routes->making.secrets);
	arena_free(&routes->making.arena);
	free(routes);
}

struct capability *
routes_capability(const struct routes *routes)
{
	return routes->capability;
}

const struct route *
routes_at(const struct routes *routes, size_t index)
{
	return index < routes->count ? &routes->routes[index] : NULL;
}

/* Never by another way instead. */
static const struct route *
find_users(
    const struct routes *routes, const struct config_subject *subject, const char **ret_refusal)
{
	const char *user = subject->facts ? subject->facts->user : NULL;
	const struct roster_relay *relay = user ? roster_relay(
						      routes->roster, user, subject->user_relay)
						: NULL;

	*ret_refusal = "554 5.7.1 the user's server for the address in From, by which this message "
		       "was to leave, is not there any more";
	return relay ? user_ways_find(routes->ways, relay, ret_refusal) : NULL;
}

const struct route *
routes_find(
    const struct routes *routes, const struct config_subject *subject, const char **ret_refusal)
{
	struct config_subject own = *subject;

	if (subject->user_relay)
		return find_users(routes, subject, ret_refusal);
	*ret_refusal = "554 5.4.4 no route for this recipient";
	own.roster = routes->roster;
	return routes_at(routes, route_index_match(routes->index, &own));
}

struct mx_policy
routes_mx_policy(const struct routes *routes, const struct route *route)
{
	return (struct mx_policy){
		.own_name = routes->own_name,
		.port = route->hosts->ways[ROUTE_AS_SET].target.port,
		.listener_count = routes->listener_count,
		.listeners = routes->listeners,
		.refused_count = route->refused_count,
		.refused = route->refused,
	};
}

int
routes_mx_host(const struct routes *routes, const struct route *route, const char *name,
    struct arena *arena, struct route_host *ret, struct pn_error *err)
{
	return route_host_named(arena, &routes->destinations, route, name, ret, err);
}

int
routes_domain(const char *recipient, char ret[MAIL_DOMAIN_MOST + 1])
{
	const char *domain = mail_address_domain(recipient);

	return domain && *domain ? mail_domain_canonical(domain, ret) : -EINVAL;
}

char *
routes_way_key(const struct route *route, enum route_need need, const char *domain)
{
	const char *key = route->keys[need] ? route->keys[need] : route->keys[ROUTE_AS_SET];

	return domain ? g_strdup_printf("%s %s", key, domain) : g_strdup(key);
}

int
routes_tls_bits(const struct routes *routes, const struct config_subject *subject)
{
	const char *refusal;
	const struct route *route = routes_find(routes, subject, &refusal);
	const char *demanded = route ? route->keys[ROUTE_DEMANDED] : NULL;
	char domain[MAIL_DOMAIN_MOST + 1];
	char *key;
	int bits;

	if (!demanded)
		return -ENOENT;
	if (route->kind != ROUTE_MX)
		return capability_bits(routes->capability, demanded);
	if (routes_domain(subject->recipient, domain) < 0)
		return -ENOENT;
	key = g_strdup_printf("%s %s", demanded, domain);
	bits = capability_bits(routes->capability, key);
	g_free(key);
	return bits;
}
