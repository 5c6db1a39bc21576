/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_check.c - what no table can say about the section `relay`.
 *
 * Called by relay.c once per reading. Where a file could not be read to its end, nothing is said to
 * be missing: it may stand in what was not read.
 */
#include <core/config/access.h>
#include <core/config/keyring.h>
#include <core/config/option.h>
#include <core/config/relay_tables.h>
#include <core/net/address.h>
#include <stdio.h>
#include <strings.h>

#define PATH_SIZE     100
#define GREETING_MOST 400u

struct listener_check {
	const struct core_fill *fill;
	struct pn_check *check;
	const struct config_listener *listener, *all;
	size_t index;
	struct address address;
	bool has_address;
};

/* "listeners[2].auth", good until the next call. */
static const char *
path_of(struct listener_check *c, const char *key)
{
	static _Thread_local char path[PATH_SIZE];

	snprintf(path, sizeof(path), "listeners[%zu].%s", c->index, key);
	return path;
}

static bool
is_name(const char *text)
{
	return *text && strlen(text) <= 64 &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789._-")] == '\0';
}

static void
check_name(struct listener_check *c)
{
	const char *name = c->listener->name;

	if (!name)
		return;
	if (!is_name(name))
		pn_complain(c->check, path_of(c, "name"),
		    "\"%s\" is not a name; use up to 64 letters, digits, \".\", \"_\" and \"-\"",
		    name);
	for (size_t i = 0; i < c->index; i++)
		if (c->all[i].name && strcmp(c->all[i].name, name) == 0)
			pn_complain(c->check, path_of(c, "name"),
			    "\"%s\" is the name of listeners[%zu] already", name, i);
}

/* Without a port in it, the text takes whichever is given. */
static bool
has_port(const char *text)
{
	struct address one, two;

	return address_parse(text, 1, &one, NULL) == 0 && address_parse(text, 2, &two, NULL) == 0 &&
	       address_port(&one) == address_port(&two);
}

/* Says what is wrong with an address to listen at; false: it is none. */
static bool
read_address(struct pn_check *check, const char *path, const char *text, struct address *ret)
{
	struct pn_error err;

	if (address_parse(text, 0, ret, &err) < 0) {
		pn_complain(check, path, "%s", err.text);
		return false;
	}
	if (!has_port(text))
		pn_complain(check, path, "\"%s\" has no port; write for example \"*:587\"", text);
	if (ret->sa.ss_family == AF_UNIX && strncmp(text, "unix:/", 6) != 0)
		pn_complain(check, path, "the path of a unix socket must be absolute");
	return true;
}

/* Whether one of the first `count` listeners has the same address. */
static void
check_taken(struct pn_check *check, const char *path, const struct address *address,
    const struct config_listener *listeners, size_t count)
{
	char mine[ADDRESS_TEXT], other[ADDRESS_TEXT];
	struct address theirs;

	if (address->sa.ss_family != AF_UNIX && address_port(address) == 0)
		return; /* any free port: never the same twice */
	address_format(address, mine);
	for (size_t i = 0; i < count; i++) {
		if (!listeners[i].address ||
		    address_parse(listeners[i].address, 0, &theirs, NULL) < 0)
			continue;
		address_format(&theirs, other);
		if (strcmp(mine, other) == 0)
			pn_complain(check, path, "listeners[%zu] listens at %s already", i, mine);
	}
}

static void
check_address(struct listener_check *c)
{
	const char *text = c->listener->address;

	c->has_address = text && read_address(c->check, path_of(c, "address"), text, &c->address);
	if (c->has_address)
		check_taken(c->check, path_of(c, "address"), &c->address, c->all, c->index);
}

static bool
is_local(const struct listener_check *c)
{
	return c->has_address &&
	       (c->address.sa.ss_family == AF_UNIX || address_is_loopback(&c->address));
}

/* Who asks for a password asks for TLS. */
static void
check_auth(struct listener_check *c)
{
	const struct config_listener *listener = c->listener;

	if (listener->auth_without_tls && c->has_address && !is_local(c) &&
	    listener->proxy.count == 0)
		pn_complain(c->check, path_of(c, "auth_without_tls"),
		    "passwords in clear are for loopback addresses, unix sockets and listeners "
		    "with "
		    "proxy only");
	else if (listener->auth != CONFIG_AUTH_OFF && listener->tls == CONFIG_TLS_NONE &&
		 !listener->auth_without_tls)
		pn_complain(c->check, path_of(c, "auth"),
		    "AUTH needs TLS; set tls to starttls, starttls-required or implicit");
	if (listener->auth != CONFIG_AUTH_OFF && !listener->fixups)
		pn_warn(c->check, path_of(c, "fixups"),
		    "without fixups a Bcc field that a user sends reaches all recipients");
	senders_check(c->check, &c->fill->core->directory, listener, c->index,
	    c->has_address ? &c->address : NULL);
}

static void
check_accounts(struct listener_check *c)
{
	const struct config_directory *directory = &c->fill->core->directory;
	const struct pn_strings *accounts = &c->listener->accounts;
	struct arena *arena = c->fill->arena;

	for (size_t i = 0; i < accounts->count && !c->fill->tree->incomplete; i++) {
		if (config_directory_has_account(directory, accounts->items[i]))
			continue;
		pn_complain(c->check,
		    arena_printf(arena, "listeners[%zu].accounts[%zu]", c->index, i),
		    "no account is called \"%s\"; define it in directory.accounts%s",
		    accounts->items[i],
		    option_near(arena, accounts->items[i],
			config_directory_names(&directory->accounts, arena)));
	}
}

static void
check_networks(struct pn_check *check, const char *path, const struct pn_strings *networks)
{
	struct network network;
	struct pn_error err;
	char at[PATH_SIZE + 200];

	for (size_t i = 0; i < networks->count; i++) {
		if (network_parse(networks->items[i], &network, &err) == 0)
			continue;
		snprintf(at, sizeof(at), "%s[%zu]", path, i);
		pn_complain(check, at, "%s", err.text);
	}
}

/* A unix socket's peers have no address by which to know the proxy. */
static void
check_proxy(struct listener_check *c)
{
	const struct pn_strings *proxy = &c->listener->proxy;

	if (proxy->count > 0 && c->has_address && c->address.sa.ss_family == AF_UNIX)
		pn_complain(c->check, path_of(c, "proxy"),
		    "a proxy is known by its IP address, and a unix socket's peers have none");
	check_networks(c->check, path_of(c, "proxy"), proxy);
}

/* Somebody must be able to say who a user is. */
static void
check_users(struct listener_check *c)
{
	const struct config_core *core = c->fill->core;
	size_t enabled = 0;

	for (size_t i = 0; i < core->pipeline_count; i++)
		enabled += core->pipeline[i].enabled;
	if (c->listener->auth != CONFIG_AUTH_OFF && enabled == 0 && !c->fill->tree->incomplete)
		pn_warn(c->check, path_of(c, "auth"),
		    "nobody can log in: no module stands in the pipeline");
}

static bool
has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

static void
check_greeting(struct listener_check *c)
{
	const char *greeting = c->listener->greeting;

	if (greeting && (has_control(greeting) || strlen(greeting) > GREETING_MOST))
		pn_complain(c->check, path_of(c, "greeting"),
		    "must be one line of at most %u bytes", GREETING_MOST);
}

/* Whether the YAML says it, even if what it says could not be read. */
static bool
says_tls(const struct core_fill *fill, const char *key)
{
	const struct config_node *relay = config_node_get(fill->tree->root, "relay");

	return config_node_get(config_node_get(relay, "tls"), key);
}

static void
check_certificate(struct listener_check *c)
{
	bool has_both = says_tls(c->fill, "certificate") && says_tls(c->fill, "key");

	if (c->listener->tls != CONFIG_TLS_NONE && !has_both && !c->fill->tree->incomplete)
		pn_complain(c->check, path_of(c, "tls"),
		    "TLS needs a certificate; set relay.tls.certificate and relay.tls.key, or "
		    "tls: none here");
}

/* Who is asked for a certificate must be able to show it, and somebody vouch for it. */
static void
check_clients(struct listener_check *c)
{
	const struct config_listener *own = c->listener;
	bool off = own->client_certificate == CONFIG_ASKING_OFF;

	if (off && (own->client_ca || own->client_crl))
		pn_complain(c->check, path_of(c, own->client_ca ? "client_ca" : "client_crl"),
		    "nobody is asked for a certificate; set client_certificate to ask or require");
	if (off)
		return;
	if (!own->client_ca)
		pn_complain(c->check, path_of(c, "client_certificate"),
		    "nobody vouches for clients; set client_ca");
	if (own->tls == CONFIG_TLS_NONE)
		pn_complain(c->check, path_of(c, "client_certificate"),
		    "certificates are shown in TLS; set tls to starttls, starttls-required or "
		    "implicit");
	else if (own->client_certificate == CONFIG_ASKING_REQUIRED &&
		 own->tls == CONFIG_TLS_STARTTLS)
		pn_complain(c->check, path_of(c, "client_certificate"),
		    "a client that goes on in clear shows none; set tls to starttls-required or "
		    "implicit");
}

/* A port is nobody's. */
static void
check_access(struct listener_check *c)
{
	const struct config_listener *own = c->listener;
	const char *key = own->mode ? "mode" : own->owner ? "owner" : own->group ? "group" : NULL;
	struct config_access access;
	struct pn_error err;

	if (key && c->has_address && c->address.sa.ss_family != AF_UNIX)
		pn_complain(c->check, path_of(c, key),
		    "only the socket of a \"unix:\" address has one; see networks");
	else if (config_access_read(own, &access, &key, &err) < 0)
		pn_complain(c->check, path_of(c, key), "%s", err.text);
}

static void
check_listeners(const struct core_fill *fill, struct pn_check *check)
{
	const struct pn_list *listeners = &fill->core->relay.listeners;
	const struct config_listener *all = listeners->items;

	for (size_t i = 0; i < listeners->count; i++) {
		struct listener_check c = { fill, check, &all[i], all, i, { .len = 0 }, false };

		check_name(&c);
		check_address(&c);
		check_access(&c);
		check_auth(&c);
		check_users(&c);
		check_networks(check, path_of(&c, "networks"), &all[i].networks);
		check_accounts(&c);
		check_proxy(&c);
		check_greeting(&c);
		check_certificate(&c);
		check_clients(&c);
	}
}

static bool
is_one_of(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

/* The same, NULL-ended. */
static const char **
ended(struct arena *arena, const struct pn_strings *strings)
{
	const char **ret = arena_alloc(arena, (strings->count + 1) * sizeof(*ret));

	for (size_t i = 0; i < strings->count; i++)
		ret[i] = strings->items[i];
	return ret;
}

static void
check_shared(const struct core_fill *fill, struct pn_check *check)
{
	const struct config_relay *relay = &fill->core->relay;
	const struct pn_strings *lists = relay->networks.values;
	const char **shared = ended(fill->arena, &relay->shared_networks);
	const char **names = arena_alloc(fill->arena, (relay->networks.count + 1) * sizeof(*names));

	for (size_t i = 0; i < relay->networks.count; i++) {
		names[i] = relay->networks.keys[i];
		check_networks(
		    check, arena_printf(fill->arena, "networks.%s", names[i]), &lists[i]);
		for (size_t j = 0; j < lists[i].count && is_one_of(names[i], shared); j++)
			if (senders_are_everybody(lists[i].items[j]))
				pn_warn(check,
				    arena_printf(fill->arena, "networks.%s[%zu]", names[i], j),
				    "%s is shared: no limit per address holds for anybody",
				    lists[i].items[j]);
	}
	for (size_t i = 0; shared[i] && !fill->tree->incomplete; i++)
		if (!is_one_of(shared[i], names))
			pn_complain(check, arena_printf(fill->arena, "shared_networks[%zu]", i),
			    "no network \"%s\" stands in relay.networks%s", shared[i],
			    option_hint(fill->arena, shared[i], names));
}

/* Limits that contradict each other: the one that comes second in the table is named. */
static void
check_limits(const struct core_fill *fill, struct pn_check *check)
{
	const struct config_relay *relay = &fill->core->relay;
	const struct {
		int64_t smaller, larger;
		const char *path, *text;
	} orders[] = {
		{ relay->limits.message_size, relay->limits.memory, "limits.memory",
		    "is smaller than limits.message_size: one message would not fit" },
		{ relay->limits.header_size, relay->limits.message_size, "limits.header_size",
		    "is larger than limits.message_size" },
		{ relay->limits.connections_per_address, relay->limits.connections,
		    "limits.connections_per_address", "is larger than limits.connections" },
		{ relay->queue.retry_first, relay->queue.retry_most, "queue.retry_first",
		    "is longer than queue.retry_most" },
		{ relay->queue.retry_most, relay->queue.give_up, "queue.retry_most",
		    "is longer than queue.give_up" },
	};

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++)
		if (orders[i].smaller > orders[i].larger)
			pn_complain(check, orders[i].path, "%s", orders[i].text);
	if (relay->limits.recipients < 100)
		pn_warn(
		    check, "limits.recipients", "RFC 5321 section 4.5.3.1.8 wants at least 100");
}

static void
check_keys(const struct core_fill *fill, struct pn_check *check)
{
	const struct pn_secret *secret = fill->core->relay.spool.encrypt_with;
	struct keyring *keys = NULL;
	struct pn_error err;

	if (secret && keyring_parse(pn_secret_bytes(secret), &keys, &err) < 0)
		pn_complain(check, "spool.encrypt_with", "%s", err.text);
	keyring_release(&keys);
}

static void
check_metrics(const struct core_fill *fill, struct pn_check *check)
{
	const struct config_relay *relay = &fill->core->relay;
	struct address address;

	if (!relay->metrics.listen ||
	    !read_address(check, "metrics.listen", relay->metrics.listen, &address))
		return;
	check_taken(
	    check, "metrics.listen", &address, relay->listeners.items, relay->listeners.count);
	if (!address_is_loopback(&address))
		pn_warn(check, "metrics.listen",
		    "other machines can read the numbers of this relay, in clear; 127.0.0.1, [::1] "
		    "and unix sockets are this machine's own");
}

/* It is removed from what clients send, so it may be no field that mail needs. */
static void
check_method_header(const struct core_fill *fill, struct pn_check *check)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
	const char *name = fill->core->relay.method_header;

	if (!name || !*name)
		return;
	if (strncasecmp(name, "X-", 2) != 0 || strspn(name, letters) != strlen(name) ||
	    strlen(name) < 3 || strlen(name) > 60)
		pn_complain(check, "method_header",
		    "must be \"X-\" and letters, digits or \"-\", 60 at most, as in "
		    "X-Postern-Method; or empty");
}

void
relay_check(const struct core_fill *fill)
{
	struct pn_check check = { &fill->core->relay_settings, "relay", fill->diags };
	bool has_certificate = says_tls(fill, "certificate"), has_key = says_tls(fill, "key");

	check_listeners(fill, &check);
	if (has_certificate != has_key && !fill->tree->incomplete)
		pn_complain(&check, "tls", "\"%s\" needs \"%s\" beside it",
		    has_key ? "key" : "certificate", has_key ? "certificate" : "key");
	check_shared(fill, &check);
	check_limits(fill, &check);
	check_keys(fill, &check);
	check_metrics(fill, &check);
	check_method_header(fill, &check);
	user_relays_check(fill, &check);
	dns_check(fill, &check);
	mta_sts_check(fill, &check);
}
