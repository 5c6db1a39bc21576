/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.c - routes out of the configuration, and which one a recipient's mail takes.
 *
 * Made by whoever accepts a configuration, asked by the queue for every recipient. Everything is a
 * copy, so that a generation may go while connections made with its routes are still open.
 */
#include <core/queue/route.h>
#include <errno.h>
#include <glib.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SMTP_PORT        25
#define LMTP_PORT        24
#define SUBMISSIONS_PORT 465

struct routes {
	atomic_uint references;
	struct arena arena, secrets;
	struct capability *capability;
	GHashTable *contexts; /* while they are made: SSL_CTX by what is wanted */
	size_t count;
	struct config_when *when;
	struct route *routes;
	const struct config_directory *directory; /* NULL: no route asks for it */
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
read_port(const char *text, uint16_t *ret)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || port == 0 || port > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

/* "name", "name:port", "[2001:db8::1]:port"; brackets go. */
static int
read_name(struct arena *arena, const char *text, struct courier_target *ret, struct pn_error *err)
{
	const char *end, *port = NULL;

	if (!text || !*text)
		return pn_error_set(err, -EINVAL, "host is missing");
	if (*text == '[') {
		text++;
		end = strchr(text, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return pn_error_set(err, -EINVAL, "host \"[%s\" is not closed", text);
		port = end[1] ? end + 2 : NULL;
	} else {
		end = strchr(text, ':');
		port = end ? end + 1 : NULL;
		if (!end)
			end = text + strlen(text);
	}
	ret->port = ret->lmtp ? LMTP_PORT : SMTP_PORT;
	if (end == text || end - text > 255 || (port && read_port(port, &ret->port) < 0))
		return pn_error_set(err, -EINVAL, "host \"%s\" is not a name or name:port", text);
	ret->host = arena_slice(arena, pn_slice(text, (size_t)(end - text)));
	return 0;
}

static int
read_host(struct arena *arena, const char *text, struct courier_target *ret, struct pn_error *err)
{
	if (!ret->lmtp || !text || strncmp(text, "unix:", 5) != 0)
		return read_name(arena, text, ret, err);
	ret->host = "localhost";
	return address_parse(text, 0, &ret->local, err);
}

/* "smarthost:mx.example:25", "lmtp:unix:/run/lmtp" */
static const char *
name_of(struct arena *arena, const struct courier_target *target)
{
	const char *kind = target->lmtp ? "lmtp" : "smarthost";
	char text[ADDRESS_TEXT];

	if (target->local.len == 0)
		return arena_printf(arena, "%s:%s:%u", kind, target->host, (unsigned)target->port);
	address_format(&target->local, text);
	return arena_printf(arena, "%s:%s", kind, text);
}

static bool
is_implicit(const struct config_route *config, const struct courier_target *target)
{
	return target->level != TLS_LEVEL_NONE &&
	       (config->tls_mode == CONFIG_TLS_AT_ONCE ||
		   (config->tls_mode == CONFIG_TLS_BY_PORT && target->port == SUBMISSIONS_PORT));
}

/*
 * One for all routes that want the same of TLS: making one reads every certificate of the system's
 * authorities.
 */
static int
make_tls(
    struct routes *routes, struct courier_target *target, const char *ca_file, struct pn_error *err)
{
	char *key = g_strdup_printf("%d %s", (int)target->level, ca_file ? ca_file : "");
	int r = 0;

	target->tls = g_hash_table_lookup(routes->contexts, key);
	if (!target->tls)
		r = tls_client_new(target->level, ca_file, TLS_MIN_1_2, &target->tls, err);
	else
		SSL_CTX_up_ref(target->tls);
	if (r == 0)
		g_hash_table_replace(routes->contexts, key, target->tls);
	else
		g_free(key);
	return r;
}

static int
fill_demanded(struct routes *routes, const struct config_route *config, struct route *ret,
    struct pn_error *err)
{
	struct courier_target *target = &ret->demanded;

	*target = ret->target;
	ret->demanded_key = ret->key;
	if (target->level != TLS_LEVEL_NONE) {
		SSL_CTX_up_ref(target->tls);
		return 0;
	}
	target->level = TLS_LEVEL_MAY;
	ret->demanded_key = arena_printf(&routes->arena, "%s demanded", ret->key);
	return make_tls(routes, target, config->ca_file, err);
}

/* Its limits, where `destinations` has any for this host. */
static int
fill_limits(struct arena *arena, const struct config_destination *config, struct route *ret,
    struct pn_error *err)
{
	struct config_destination *limits;
	struct address address;

	if (!config)
		return 0;
	limits = arena_copy(arena, config, sizeof(*config));
	limits->host = limits->source = (struct pn_strings){ 0 };
	ret->limits = limits;
	ret->target.prefer = (enum address_prefer)config->prefer;
	for (size_t i = 0; i < config->source.count; i++) {
		int r = address_parse(config->source.items[i], 0, &address, err);

		if (r < 0)
			return r;
		if (address.sa.ss_family == AF_INET6)
			ret->target.source6 = address;
		else
			ret->target.source4 = address;
	}
	return 0;
}

static int
fill_next_hop(struct routes *routes, const struct config_core *core,
    const struct config_route *config, struct route *ret, struct pn_error *err)
{
	static const char *const levels[] = { "none", "may", "encrypt", "verify" };
	struct arena *arena = &routes->arena;
	struct courier_target *target = &ret->target;
	struct pn_slice password;
	int r;

	target->lmtp = config->to == CONFIG_ROUTE_LMTP;
	r = read_host(arena, config->host, target, err);
	if (r == 0)
		r = fill_limits(
		    arena, config_destination_find(&core->destinations, config->host), ret, err);
	if (r < 0)
		return r;
	target->level = (enum tls_level)config->tls;
	target->implicit_tls = is_implicit(config, target);
	if (target->level != TLS_LEVEL_NONE) {
		r = make_tls(routes, target, config->ca_file, err);
		if (r < 0)
			return r;
	}
	ret->priority = (int)config->priority;
	target->user = arena_text(arena, config->auth.user);
	if (target->user && config->auth.password) {
		password = pn_secret_bytes(config->auth.password);
		target->password = pn_slice(arena_slice(&routes->secrets, password), password.len);
	}
	ret->name = name_of(arena, target);
	ret->key = arena_printf(arena, "%s tls=%s%s ca=%s user=%s", ret->name, levels[config->tls],
	    target->implicit_tls ? " implicit" : "", config->ca_file ? config->ca_file : "",
	    target->user ? target->user : "");
	return fill_demanded(routes, config, ret, err);
}

static int
fill_route(struct routes *routes, const struct config_core *core, const struct config_route *config,
    struct route *ret, struct pn_error *err)
{
	ret->key = ret->name = "discard";
	switch ((enum config_route_kind)config->to) {
	case CONFIG_ROUTE_SMARTHOST:
	case CONFIG_ROUTE_LMTP:
		ret->kind = ROUTE_SMARTHOST;
		return fill_next_hop(routes, core, config, ret, err);
	case CONFIG_ROUTE_MAILDIR:
		if (!config->path || !*config->path)
			return pn_error_set(err, -EINVAL, "path is missing");
		ret->kind = ROUTE_MAILDIR;
		ret->path = arena_text(&routes->arena, config->path);
		ret->key = ret->name = arena_printf(&routes->arena, "maildir:%s", ret->path);
		return 0;
	case CONFIG_ROUTE_DISCARD:
		ret->kind = ROUTE_DISCARD;
		return 0;
	}
	return pn_error_set(err, -EINVAL, "unknown kind");
}

int
routes_new(const struct config_core *config, struct capability *capability, struct routes **ret,
    struct pn_error *err)
{
	const struct config_route *from = config->routes.items;
	struct routes *routes = calloc(1, sizeof(*routes));
	int r = 0;

	if (!routes)
		return pn_error_set(err, -ENOMEM, "routes: out of memory");
	atomic_init(&routes->references, 1);
	routes->capability = capability_hold(capability);
	routes->contexts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	routes->when = arena_alloc(&routes->arena, config->routes.count * sizeof(*routes->when));
	routes->routes = arena_alloc(
	    &routes->arena, config->routes.count * sizeof(*routes->routes));
	for (size_t i = 0; i < config->routes.count && r == 0; i++) {
		routes->count = i + 1;
		copy_when(&routes->arena, &from[i].when, &routes->when[i]);
		if (!routes->directory && (from[i].when.group.count || from[i].when.account.count))
			routes->directory = config_directory_copy(
			    &config->directory, &routes->arena);
		r = fill_route(routes, config, &from[i], &routes->routes[i], err);
		if (r < 0)
			pn_error_in(err, "routes[%zu]", i);
	}
	g_hash_table_destroy(g_steal_pointer(&routes->contexts));
	if (r < 0)
		routes_release(&routes);
	else
		*ret = routes;
	return r;
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
	for (size_t i = 0; i < routes->count; i++) {
		SSL_CTX_free(routes->routes[i].target.tls);
		SSL_CTX_free(routes->routes[i].demanded.tls);
	}
	capability_release(&routes->capability);
	arena_wipe(&routes->secrets);
	arena_free(&routes->arena);
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

const struct route *
routes_find(const struct routes *routes, const struct config_subject *subject)
{
	struct config_subject own = *subject;

	own.directory = routes->directory;
	for (size_t i = 0; i < routes->count; i++)
		if (config_when_matches(&routes->when[i], &own))
			return &routes->routes[i];
	return NULL;
}

int
routes_tls_bits(const struct routes *routes, const struct config_subject *subject)
{
	const struct route *route = routes_find(routes, subject);

	if (!route || route->kind != ROUTE_SMARTHOST)
		return -ENOENT;
	return capability_bits(routes->capability, route->demanded_key);
}
