/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_user.c - ways through servers that users have named: one for each user and address.
 *
 * Asked by queues on several loops at once, and by posternctl. Must never hold a password in clear,
 * nor let the connection of one user carry another one's mail.
 */
#include <core/config/sealed.h>
#include <core/queue/route_host.h>
#include <core/queue/route_user.h>
#include <errno.h>
#include <stdlib.h>

struct user_rules {
	struct arena arena;
	struct keyring *keys; /* NULL: none */
	size_t port_count;
	uint16_t *ports;
	size_t refused_count;
	const struct network *refused;
	SSL_CTX *contexts[2]; /* any certificate, a valid one */
};

/* What the courier asks for name and password. */
struct user_login {
	const struct keyring *keys;
	struct pn_slice about, sealed;
};

struct user_ways {
	const struct user_rules *rules;
	const struct pn_list *destinations;
	GMutex lock;
	/* under the lock */
	struct arena arena;
	GHashTable *routes; /* struct roster_relay -> struct route */
};

/* ---- rules ----------------------------------------------------------------------------------- */

static int
fill_rules(struct user_rules *rules, const struct config_user_relays *config, struct pn_error *err)
{
	int r = 0;

	rules->ports = arena_alloc(
	    &rules->arena, (config->ports.count + 1) * sizeof(*rules->ports));
	for (size_t i = 0; i < config->ports.count; i++)
		if (config_user_relays_port(
			config->ports.items[i], &rules->ports[rules->port_count]))
			rules->port_count++;
	rules->refused = config_user_relays_refused(config, &rules->arena, &rules->refused_count);
	/* Reading the authorities takes long: only where somebody could have a server. */
	if (rules->keys)
		r = tls_client_new(
		    TLS_LEVEL_ENCRYPT, config->ca_file, TLS_MIN_1_2, &rules->contexts[0], err);
	if (r == 0 && rules->keys)
		r = tls_client_new(
		    TLS_LEVEL_VERIFY, config->ca_file, TLS_MIN_1_2, &rules->contexts[1], err);
	return r;
}

int
user_rules_new_with(const struct config_user_relays *config, struct keyring *keys,
    struct user_rules **ret, struct pn_error *err)
{
	struct user_rules *rules = g_new0(struct user_rules, 1);
	int r;

	rules->keys = keyring_hold(keys);
	r = fill_rules(rules, config, err);
	if (r < 0) {
		user_rules_free(&rules);
		return pn_error_in(err, "relay.user_relays");
	}
	*ret = rules;
	return 0;
}

int
user_rules_new(
    const struct config_user_relays *config, struct user_rules **ret, struct pn_error *err)
{
	struct keyring *keys = NULL;
	int r = config->seal_with ? keyring_parse(pn_secret_bytes(config->seal_with), &keys, err)
				  : 0;

	if (r < 0)
		return pn_error_in(err, "relay.user_relays.seal_with");
	r = user_rules_new_with(config, keys, ret, err);
	keyring_release(&keys);
	return r;
}

void
user_rules_free(struct user_rules **ptr)
{
	struct user_rules *rules = *ptr;

	*ptr = NULL;
	if (!rules)
		return;
	SSL_CTX_free(rules->contexts[0]);
	SSL_CTX_free(rules->contexts[1]);
	keyring_release(&rules->keys);
	arena_free(&rules->arena);
	g_free(rules);
}

/* ---- ways ------------------------------------------------------------------------------------ */

static int
open_login(const void *login_of, struct buf *ret)
{
	const struct user_login *login = login_of;

	return sealed_open(login->keys, login->about, login->sealed, ret);
}

static struct user_login *
new_login(struct user_ways *ways, const struct roster_relay *relay)
{
	struct user_login *login = arena_alloc(&ways->arena, sizeof(*login));
	struct buf about = BUF_INIT(ROSTER_RELAY_ABOUT);

	if (roster_relay_about(relay, &about) < 0)
		abort(); /* as arena.h */
	login->keys = ways->rules->keys;
	login->about = pn_slice(arena_slice(&ways->arena, buf_slice(&about)), about.len);
	login->sealed = pn_slice(arena_slice(&ways->arena, relay->sealed), relay->sealed.len);
	buf_free(&about);
	return login;
}

/* Whatever the letter asks for: TLS, and with REQUIRETLS a valid certificate. */
static void
fill_way(struct user_ways *ways, const struct roster_relay *relay, enum route_need need,
    const char *key, struct route_way *ret)
{
	struct courier_target *target = &ret->target;

	target->requiretls = need == ROUTE_REQUIRETLS;
	target->level = relay->verify || target->requiretls ? TLS_LEVEL_VERIFY : TLS_LEVEL_ENCRYPT;
	target->tls = ways->rules->contexts[target->level == TLS_LEVEL_VERIFY];
	target->implicit_tls = relay->implicit_tls;
	ret->key = arena_printf(&ways->arena, "%s%s", key, target->requiretls ? " requiretls" : "");
}

static void
fill_host(struct user_ways *ways, const struct roster_relay *relay, struct route_host *ret)
{
	struct arena *arena = &ways->arena;
	struct courier_target first = {
		.host = arena_text(arena, relay->host),
		.port = relay->port,
		.login = open_login,
		.login_of = new_login(ways, relay),
		.refused_count = ways->rules->refused_count,
		.refused = ways->rules->refused,
	};
	/* Another login is another way, and no connection is shared with the one before. */
	const char *key = arena_printf(arena, "user-relay %s %s %lld %s:%u%s%s", relay->user,
	    relay->address, (long long)relay->changed_us, relay->host, (unsigned)relay->port,
	    relay->implicit_tls ? " implicit" : "", relay->verify ? " verify" : "");

	ret->name = arena_printf(
	    arena, "%s:%u %s", relay->host, (unsigned)relay->port, relay->user);
	ret->ways[ROUTE_AS_SET].target = first;
	/* Its sources were parsed when the configuration was checked. */
	(void)route_host_limits(
	    arena, config_destination_find(ways->destinations, relay->host), ret, NULL);
	for (int need = 0; need < ROUTE_NEEDS; need++) {
		ret->ways[need].target = ret->ways[ROUTE_AS_SET].target;
		fill_way(ways, relay, (enum route_need)need, key, &ret->ways[need]);
	}
}

static struct route *
new_way(struct user_ways *ways, const struct roster_relay *relay)
{
	struct route *route = arena_alloc(&ways->arena, sizeof(*route));

	route->kind = ROUTE_SMARTHOST;
	route->is_users = true;
	route->name = arena_printf(&ways->arena, "user-relay:%s:%u/%s", relay->host,
	    (unsigned)relay->port, relay->address);
	route->host_count = 1;
	route->hosts = arena_alloc(&ways->arena, sizeof(*route->hosts));
	fill_host(ways, relay, route->hosts);
	for (int need = 0; need < ROUTE_NEEDS; need++)
		route->keys[need] = route->hosts->ways[need].key;
	return route;
}

static bool
has_port(const struct user_rules *rules, uint16_t port)
{
	for (size_t i = 0; i < rules->port_count; i++)
		if (rules->ports[i] == port)
			return true;
	return false;
}

const struct route *
user_ways_find(struct user_ways *ways, const struct roster_relay *relay, const char **ret_refusal)
{
	struct route *route;

	if (!ways->rules->keys) {
		*ret_refusal = "451 4.3.5 no key is configured that opens users' passwords for "
			       "their servers";
		return NULL;
	}
	if (!has_port(ways->rules, relay->port)) {
		*ret_refusal = "554 5.7.1 users' servers may not have that port any more";
		return NULL;
	}
	g_mutex_lock(&ways->lock);
	route = g_hash_table_lookup(ways->routes, relay);
	if (!route) {
		route = new_way(ways, relay);
		g_hash_table_insert(ways->routes, (gpointer)(uintptr_t)relay, route);
	}
	g_mutex_unlock(&ways->lock);
	return route;
}

struct user_ways *
user_ways_new(const struct user_rules *rules, const struct pn_list *destinations)
{
	struct user_ways *ways = g_new0(struct user_ways, 1);

	ways->rules = rules;
	ways->destinations = destinations;
	g_mutex_init(&ways->lock);
	ways->routes = g_hash_table_new(NULL, NULL);
	return ways;
}

void
user_ways_free(struct user_ways **ptr)
{
	struct user_ways *ways = *ptr;

	*ptr = NULL;
	if (!ways)
		return;
	g_hash_table_destroy(ways->routes);
	g_mutex_clear(&ways->lock);
	arena_free(&ways->arena);
	g_free(ways);
}
