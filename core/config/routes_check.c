/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes_check.c - what no table can say about the section `routes` and about `when`.
 *
 * Called by relay.c and pipeline.c once per reading.
 */
#include <core/base/text.h>
#include <core/config/option.h>
#include <core/config/relay_tables.h>
#include <core/mail/address.h>
#include <core/net/address.h>
#include <core/net/tls.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_SIZE 100

/* One key of one route. */
struct route_check {
	const struct core_fill *fill;
	struct pn_check check;
	const struct config_node *node; /* of the route, to see what is given */
	const struct config_route *route;
	size_t index;
	char path[PATH_SIZE];
};

static const char *
path_of(struct route_check *c, const char *key)
{
	snprintf(c->path, sizeof(c->path), "[%zu]%s%s", c->index, *key ? "." : "", key);
	return c->path;
}

/* ---- the host's name ---- */

static bool
is_port(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	return *text >= '1' && *text <= '9' && !*end && port <= UINT16_MAX;
}

static bool
is_socket(const char *host)
{
	struct address address;

	return strncmp(host, "unix:/", 6) == 0 && address_parse(host, 0, &address, NULL) == 0;
}

/* An IP address, with or without a port, and not "*" or a socket. */
static bool
is_ip_host(const char *host, struct address *ret)
{
	return *host != '*' && strncmp(host, "unix:", 5) != 0 &&
	       address_parse(host, 25, ret, NULL) == 0 && address_port(ret) > 0;
}

static bool
is_host(const char *host)
{
	const char *colon = strchr(host, ':');
	size_t len = colon ? (size_t)(colon - host) : strlen(host);
	char name[MAIL_DOMAIN_MOST + 1], canonical[MAIL_DOMAIN_MOST + 1];
	struct address address;

	if (is_ip_host(host, &address))
		return true;
	if (len == 0 || len >= sizeof(name) || *host == '[' || (colon && !is_port(colon + 1)))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	return mail_domain_canonical(name, canonical) == 0;
}

static bool
is_loopback_host(const char *host)
{
	struct address address;
	size_t len = strcspn(host, ":");

	if (is_ip_host(host, &address))
		return address_is_loopback(&address);
	if (is_socket(host))
		return true;
	return text_is(pn_slice(host, len), "localhost");
}

/* ---- routes ---- */

/* The port of a name or of an address; 0: none is given. */
static unsigned
port_of(const char *host)
{
	const char *colon = strrchr(host, ':');
	struct address address;

	if (is_ip_host(host, &address))
		return colon && is_port(colon + 1) && (*host == '[' || strchr(host, ':') == colon)
			   ? address_port(&address)
			   : 0;
	return colon && is_port(colon + 1) ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

static const char *
item_path(struct route_check *c, const char *key, size_t item)
{
	if (c->route->host.count < 2 && strcmp(key, "host") == 0)
		return path_of(c, key);
	snprintf(c->path, sizeof(c->path), "[%zu].%s[%zu]", c->index, key, item);
	return c->path;
}

static void
check_host(struct route_check *c, size_t item)
{
	const char *host = c->route->host.items[item];
	bool lmtp = c->route->to == CONFIG_ROUTE_LMTP;

	if (lmtp && is_socket(host)) {
		if (c->route->tls == TLS_LEVEL_VERIFY)
			pn_complain(&c->check, path_of(c, "tls"),
			    "a socket has no name that a certificate could be for");
	} else if (!is_host(host)) {
		pn_complain(&c->check, item_path(c, "host", item),
		    "\"%s\" is not a host; write for example %s", host,
		    lmtp ? "unix:/run/dovecot/lmtp or store.example.com:24" : "mx.example.com:25");
	} else if (lmtp && port_of(host) == 25) {
		/* RFC 2033 section 5. */
		pn_complain(
		    &c->check, item_path(c, "host", item), "LMTP is never spoken on port 25");
	}
}

static bool
are_loopback(const struct pn_strings *hosts)
{
	size_t i = 0;

	while (i < hosts->count && is_loopback_host(hosts->items[i]))
		i++;
	return i == hosts->count;
}

static void
check_ca_file(struct route_check *c)
{
	if (c->route->ca_file && c->route->tls != TLS_LEVEL_VERIFY)
		pn_warn(
		    &c->check, path_of(c, "ca_file"), "says nothing unless tls is set to verify");
}

static void
check_next_hop(struct route_check *c)
{
	const struct config_route *route = c->route;

	if (!config_node_get(c->node, "host")) {
		pn_complain(&c->check, path_of(c, ""), "%s needs \"host\"",
		    route->to == CONFIG_ROUTE_LMTP ? "lmtp" : "a smarthost");
		return;
	}
	if (route->host.count == 0) {
		pn_complain(&c->check, path_of(c, "host"), "must not be empty");
		return;
	}
	if (route->host.count > CONFIG_ROUTE_HOSTS_MOST)
		pn_complain(&c->check, path_of(c, "host"), "has more than %d hosts",
		    CONFIG_ROUTE_HOSTS_MOST);
	for (size_t i = 0; i < route->host.count; i++)
		check_host(c, i);
	if (route->tls == TLS_LEVEL_NONE && route->tls_mode == CONFIG_TLS_AT_ONCE)
		pn_complain(&c->check, path_of(c, "tls_mode"), "there is none with tls: none");
	if (config_node_get(c->node, "auth") && route->tls < TLS_LEVEL_ENCRYPT &&
	    !are_loopback(&route->host))
		pn_complain(&c->check, path_of(c, "auth"),
		    "the password could go out in clear; set tls to encrypt or verify");
	check_ca_file(c);
}

static void
check_mx(struct route_check *c)
{
	const struct pn_strings *networks = &c->route->refused_networks;
	struct network network;
	struct pn_error err;

	for (size_t i = 0; i < networks->count; i++)
		if (network_parse(networks->items[i], &network, &err) < 0)
			pn_complain(&c->check, item_path(c, "refused_networks", i), "%s", err.text);
	check_ca_file(c);
}

/* {user} and {domain}, nothing else in braces. */
static void
check_maildir(struct route_check *c)
{
	const char *path = c->route->path;

	if (!config_node_get(c->node, "path"))
		pn_complain(&c->check, path_of(c, ""), "a maildir needs \"path\"");
	for (path = path ? strchr(path, '{') : NULL; path; path = strchr(path + 1, '{'))
		if (strncmp(path, "{user}", 6) != 0 && strncmp(path, "{domain}", 8) != 0)
			pn_complain(&c->check, path_of(c, "path"),
			    "only {user} and {domain} may stand in braces");
}

static void
check_strangers(struct route_check *c)
{
	enum {
		SMARTHOST = 1 << CONFIG_ROUTE_SMARTHOST,
		LMTP = 1 << CONFIG_ROUTE_LMTP,
		MAILDIR = 1 << CONFIG_ROUTE_MAILDIR,
		MX = 1 << CONFIG_ROUTE_MX,
		NET = SMARTHOST | LMTP | MX
	};
	static const struct {
		const char *key;
		int kinds;
		const char *names;
	} keys[] = {
		{ "host", SMARTHOST | LMTP, "\"to: smarthost\" and \"to: lmtp\"" },
		{ "tls", NET, "\"to: mx\", \"to: smarthost\" and \"to: lmtp\"" },
		{ "tls_mode", SMARTHOST | LMTP, "\"to: smarthost\" and \"to: lmtp\"" },
		{ "ca_file", NET, "\"to: mx\", \"to: smarthost\" and \"to: lmtp\"" },
		{ "auth", SMARTHOST | LMTP, "\"to: smarthost\" and \"to: lmtp\"" },
		{ "priority", NET, "\"to: mx\", \"to: smarthost\" and \"to: lmtp\"" },
		{ "port", MX, "\"to: mx\"" },
		{ "refused_networks", MX, "\"to: mx\"" },
		{ "path", MAILDIR, "\"to: maildir\"" },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (!(keys[i].kinds & 1 << c->route->to) && config_node_get(c->node, keys[i].key))
			pn_complain(
			    &c->check, path_of(c, keys[i].key), "is for %s only", keys[i].names);
}

/* Without a kind that could be read, nothing fits and nothing is missing. */
static bool
has_kind(const struct route_check *c)
{
	const struct config_node *to = config_node_get(c->node, "to");
	struct pn_error err;
	int kind;

	return to && to->kind == CONFIG_SCALAR &&
	       option_choose(config_route_kinds, to->text, &kind, &err) == 0;
}

static void
check_route(struct route_check *c)
{
	if (!has_kind(c))
		return;
	check_strangers(c);
	if (c->route->to == CONFIG_ROUTE_SMARTHOST || c->route->to == CONFIG_ROUTE_LMTP)
		check_next_hop(c);
	else if (c->route->to == CONFIG_ROUTE_MX)
		check_mx(c);
	else if (c->route->to == CONFIG_ROUTE_MAILDIR)
		check_maildir(c);
}

void
routes_check(const struct core_fill *fill)
{
	const struct config_node *list = config_node_get(fill->tree->root, "routes");
	const struct config_route *routes = fill->core->routes.items;
	size_t count = fill->core->routes.count, catch_all = count;
	struct route_check c = { .fill = fill,
		.check = { &fill->core->routes_settings, "routes", fill->diags } };

	for (size_t i = 0; i < count; i++) {
		bool has_when = config_node_get(list->items[i], "when");

		c.index = i;
		c.node = list->items[i];
		c.route = &routes[i];
		check_route(&c);
		when_check(fill, &c.check, path_of(&c, "when"), &routes[i].when);
		if (routes[i].when.header.count > 0)
			pn_complain(&c.check, path_of(&c, "when.header"),
			    "is for entries of the pipeline; let one of them tag the message, and "
			    "ask "
			    "for the tag here");
		if (catch_all < i)
			pn_warn(&c.check, path_of(&c, ""),
			    "never used: routes[%zu] takes everything", catch_all);
		else if (!has_when)
			catch_all = i;
	}
	if (count > 0 && catch_all == count && !fill->tree->incomplete)
		pn_warn(&c.check, path_of(&c, ""),
		    "what no route matches goes back to its sender; end with a route without when");
}

/* ---- when ---- */

static bool
has_listener(const struct pn_list *list, const char *name)
{
	const struct config_listener *listeners = list->items;

	for (size_t i = 0; i < list->count; i++)
		if (listeners[i].name && strcmp(listeners[i].name, name) == 0)
			return true;
	return false;
}

static const char *
listener_hint(const struct core_fill *fill, const char *word)
{
	const struct pn_list *list = &fill->core->relay.listeners;
	const struct config_listener *listeners = list->items;
	const char **names = arena_alloc(fill->arena, (list->count + 1) * sizeof(*names));
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++)
		if (listeners[i].name)
			names[count++] = listeners[i].name;
	return option_hint(fill->arena, word, names);
}

static void
check_members(const struct core_fill *fill, struct pn_check *check, const char *path,
    const struct pn_strings *wanted, const struct pn_map *known, const char *what)
{
	const char *const *names = config_directory_names(known, fill->arena);

	for (size_t i = 0; i < wanted->count && !fill->tree->incomplete; i++) {
		size_t k = 0;

		while (names[k] && strcmp(names[k], wanted->items[i]) != 0)
			k++;
		if (!names[k])
			pn_complain(check, arena_printf(fill->arena, "%s.%s[%zu]", path, what, i),
			    "no %s is called \"%s\"; define it in directory.%ss%s", what,
			    wanted->items[i], what,
			    option_near(fill->arena, wanted->items[i], names));
	}
}

void
when_check(const struct core_fill *fill, struct pn_check *check, const char *path,
    const struct config_when *when)
{
	const struct pn_strings *wanted = &when->listener;

	config_when_check(check, path, when);
	for (size_t i = 0; i < wanted->count && !fill->tree->incomplete; i++)
		if (!has_listener(&fill->core->relay.listeners, wanted->items[i]))
			pn_complain(check, arena_printf(fill->arena, "%s.listener[%zu]", path, i),
			    "no listener is called \"%s\"%s", wanted->items[i],
			    listener_hint(fill, wanted->items[i]));
	check_members(fill, check, path, &when->group, &fill->core->directory.groups, "group");
	check_members(
	    fill, check, path, &when->account, &fill->core->directory.accounts, "account");
}
