/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_host.c - the hosts of a route: their names, ports, TLS, passwords and limits.
 *
 * Called by route.c when a configuration is taken, and for each mail exchanger that the DNS names.
 */
#include <core/queue/route_host.h>
#include <errno.h>
#include <stdlib.h>

#define SMTP_PORT        25
#define LMTP_PORT        24
#define SUBMISSIONS_PORT 465

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

/* "mx.example:25", "unix:/run/lmtp" */
static const char *
name_of(struct arena *arena, const struct courier_target *target)
{
	char text[ADDRESS_TEXT];

	if (target->local.len == 0)
		return arena_printf(arena, "%s:%u", target->host, (unsigned)target->port);
	address_format(&target->local, text);
	return arena_text(arena, text);
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
make_tls(struct route_making *making, struct courier_target *target, const char *ca_file,
    struct pn_error *err)
{
	char *key = g_strdup_printf("%d %s", (int)target->level, ca_file ? ca_file : "");
	int r = 0;

	target->tls = g_hash_table_lookup(making->contexts, key);
	if (!target->tls)
		r = tls_client_new(target->level, ca_file, TLS_MIN_1_2, &target->tls, err);
	else
		SSL_CTX_up_ref(target->tls);
	if (r == 0)
		g_hash_table_replace(making->contexts, key, target->tls);
	else
		g_free(key);
	return r;
}

/* How letters of that need go: all as it is set, where that is what they need. */
static int
fill_way(struct route_making *making, const struct config_route *config, enum route_need need,
    struct route_host *host, struct pn_error *err)
{
	static const char *const levels[] = { "none", "may", "encrypt", "verify" };
	struct route_way *way = &host->ways[need];
	struct courier_target *target = &way->target;

	*way = host->ways[ROUTE_AS_SET];
	target->tls = NULL;
	target->level = (enum tls_level)config->tls;
	/* What comes to a unix socket crosses no network. */
	target->requiretls = need == ROUTE_REQUIRETLS && target->local.len == 0;
	if (target->requiretls)
		target->level = TLS_LEVEL_VERIFY;
	else if (need != ROUTE_AS_SET && target->level == TLS_LEVEL_NONE)
		target->level = TLS_LEVEL_MAY;
	target->implicit_tls = is_implicit(config, target);
	way->key = arena_printf(&making->arena, " tls=%s%s ca=%s user=%s%s", levels[config->tls],
	    target->implicit_tls ? " implicit" : "", config->ca_file ? config->ca_file : "",
	    target->user ? target->user : "",
	    target->requiretls                             ? " requiretls"
	    : need == ROUTE_RELAXED                        ? " relaxed"
	    : target->level != (enum tls_level)config->tls ? " demanded"
							   : "");
	return target->level == TLS_LEVEL_NONE ? 0 : make_tls(making, target, config->ca_file, err);
}

static int
fill_tls(struct route_making *making, const struct config_route *config, struct route_host *ret,
    struct pn_error *err)
{
	int r = 0;

	for (int need = 0; need < ROUTE_NEEDS && r == 0; need++)
		r = fill_way(making, config, (enum route_need)need, ret, err);
	return r;
}

/* Its limits, where `destinations` has any for this host. */
int
route_host_limits(struct arena *arena, const struct config_destination *config,
    struct route_host *ret, struct pn_error *err)
{
	struct courier_target *target = &ret->ways[ROUTE_AS_SET].target;
	struct config_destination *limits;
	struct address address;

	if (!config)
		return 0;
	limits = arena_copy(arena, config, sizeof(*config));
	limits->host = limits->source = (struct pn_strings){ 0 };
	ret->limits = limits;
	target->prefer = (enum address_prefer)config->prefer;
	for (size_t i = 0; i < config->source.count; i++) {
		int r = address_parse(config->source.items[i], 0, &address, err);

		if (r < 0)
			return r;
		if (address.sa.ss_family == AF_INET6)
			target->source6 = address;
		else
			target->source4 = address;
	}
	return 0;
}

static void
fill_user(
    struct route_making *making, const struct config_route *config, struct courier_target *target)
{
	struct pn_slice password;

	target->user = arena_text(&making->arena, config->auth.user);
	if (!target->user || !config->auth.password)
		return;
	password = pn_secret_bytes(config->auth.password);
	target->password = pn_slice(arena_slice(&making->secrets, password), password.len);
}

static int
fill_host(struct route_making *making, const struct pn_list *destinations,
    const struct config_route *config, const char *text, struct route_host *ret,
    struct pn_error *err)
{
	struct courier_target *target = &ret->ways[ROUTE_AS_SET].target;
	struct arena *arena = &making->arena;
	int r;

	target->lmtp = config->to == CONFIG_ROUTE_LMTP;
	r = read_host(arena, text, target, err);
	if (r == 0)
		r = route_host_limits(arena, config_destination_find(destinations, text), ret, err);
	if (r < 0)
		return r;
	fill_user(making, config, target);
	r = fill_tls(making, config, ret, err);
	ret->name = name_of(arena, target);
	for (int need = 0; need < ROUTE_NEEDS && r == 0; need++)
		ret->ways[need].key = arena_printf(
		    arena, "%s%s%s", target->lmtp ? "lmtp:" : "", ret->name, ret->ways[need].key);
	return r;
}

/* "a:25,b:25": what the hosts' names, or one of their keys, are together. */
static const char *
join(struct arena *arena, const struct route *route, size_t offset)
{
	const char *joined = "";

	for (size_t i = 0; i < route->host_count; i++) {
		const char *const *text = (const void *)((const char *)&route->hosts[i] + offset);

		joined = arena_printf(arena, "%s%s%s", joined, i > 0 ? "," : "", *text);
	}
	return joined;
}

int
route_hosts_fill(struct route_making *making, const struct pn_list *destinations,
    const struct config_route *config, struct route *ret, struct pn_error *err)
{
	const char *kind = config->to == CONFIG_ROUTE_LMTP ? "lmtp" : "smarthost";
	size_t count = config->host.count;
	struct arena *arena = &making->arena;
	int r = 0;

	if (count == 0)
		return pn_error_set(err, -EINVAL, "host is missing");
	ret->hosts = arena_alloc(arena, count * sizeof(*ret->hosts));
	for (; r == 0 && ret->host_count < count; ret->host_count++)
		r = fill_host(making, destinations, config, config->host.items[ret->host_count],
		    &ret->hosts[ret->host_count], err);
	if (r < 0)
		return r;
	ret->name = arena_printf(
	    arena, "%s:%s", kind, join(arena, ret, offsetof(struct route_host, name)));
	for (size_t need = 0; need < ROUTE_NEEDS; need++)
		ret->keys[need] = join(arena, ret,
		    offsetof(struct route_host, ways) + need * sizeof(struct route_way) +
			offsetof(struct route_way, key));
	return 0;
}

int
route_host_pattern(struct route_making *making, const struct config_route *config,
    struct route *ret, struct pn_error *err)
{
	ret->hosts = arena_alloc(&making->arena, sizeof(*ret->hosts));
	ret->host_count = 1;
	ret->hosts->ways[ROUTE_AS_SET].target.port = (uint16_t)config->port;
	return fill_tls(making, config, ret->hosts, err);
}

int
route_host_named(struct arena *arena, const struct pn_list *destinations, const struct route *route,
    const char *name, struct route_host *ret, struct pn_error *err)
{
	struct courier_target *first = &ret->ways[ROUTE_AS_SET].target;
	int r;

	*ret = *route->hosts;
	first->host = arena_text(arena, name);
	ret->name = name_of(arena, first);
	r = route_host_limits(arena, config_destination_find(destinations, name), ret, err);
	for (int need = 0; need < ROUTE_NEEDS; need++) {
		struct route_way *way = &ret->ways[need];

		/* Not a smarthost's of that name, nor that of a route with other networks refused.
		 */
		way->key = arena_printf(arena, "%s:%s%s", route->mark, ret->name, way->key);
		way->target.host = first->host;
		way->target.prefer = first->prefer;
		way->target.source4 = first->source4;
		way->target.source6 = first->source6;
	}
	return r;
}

void
route_hosts_drop(struct route *route)
{
	for (size_t i = 0; i < route->host_count; i++)
		for (int need = 0; need < ROUTE_NEEDS; need++)
			SSL_CTX_free(route->hosts[i].ways[need].target.tls);
}
