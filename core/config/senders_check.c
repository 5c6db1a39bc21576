/* SPDX-License-Identifier: Apache-2.0 */
/*
 * senders_check.c - who could send through a listener: nobody, or everybody, is a mistake.
 *
 * Called by relay_check.c for each listener. An open relay must never get as far as a socket.
 */
#include <core/config/relay_tables.h>
#include <core/net/address.h>
#include <stdio.h>

#define PATH_SIZE 64

struct sender_check {
	struct pn_check *check;
	const struct config_directory *directory;
	const struct config_listener *listener;
	size_t index;
	const struct address *address; /* NULL: could not be read */
	char path[PATH_SIZE];
};

/* "listeners[2].auth", good until the next call. */
static const char *
path_of(struct sender_check *c, const char *key)
{
	snprintf(c->path, sizeof(c->path), "listeners[%zu].%s", c->index, key);
	return c->path;
}

/* Whether the network is one of IPv4, in either spelling. */
static bool
is_ip4(const struct network *network)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return network->bits >= 96 && memcmp(network->bytes, mapped, sizeof(mapped)) == 0;
}

/* How much of the internet it is: a /8 of IPv4 some do own, more than that nobody. */
enum extent { EXTENT_SOME, EXTENT_MUCH, EXTENT_EVERYBODY };
static enum extent
extent_of(const char *text)
{
	struct network network;
	struct pn_error err;

	if (network_parse(text, &network, &err) < 0)
		return EXTENT_SOME;
	if (!is_ip4(&network)) /* fc00::/7 is for whoever wants it (RFC 4193) */
		return network.bits < 16 && (network.bytes[0] & 0xfe) != 0xfc ? EXTENT_EVERYBODY
									      : EXTENT_SOME;
	if (network.bits > 96 + 8 ||
	    (network.bits == 96 + 8 && (network.bytes[12] == 10 || network.bytes[12] == 127)))
		return EXTENT_SOME;
	return network.bits == 96 + 8 ? EXTENT_MUCH : EXTENT_EVERYBODY;
}

bool
senders_are_everybody(const char *network)
{
	return extent_of(network) == EXTENT_EVERYBODY;
}

/* Who connects from `networks` sends without logging in, unless that is required. */
static void
check_strangers(struct sender_check *c)
{
	static const char text[] =
	    "an open relay: anybody in %s may send without logging in; name your own networks, or "
	    "set auth to required";
	const struct config_listener *listener = c->listener;
	char key[32];

	if (listener->auth == CONFIG_AUTH_REQUIRED)
		return;
	for (size_t i = 0; i < listener->networks.count; i++) {
		const char *network = listener->networks.items[i];
		enum extent extent = extent_of(network);

		snprintf(key, sizeof(key), "networks[%zu]", i);
		if (extent == EXTENT_EVERYBODY)
			pn_complain(c->check, path_of(c, key), text, network);
		else if (extent == EXTENT_MUCH)
			pn_warn(c->check, path_of(c, key), text, network);
	}
}

/* For networks or certificates of accounts: of those it names, or of any. */
static bool
takes_accounts(const struct sender_check *c)
{
	const struct config_account *accounts = c->directory->accounts.values;

	for (size_t i = 0; i < c->directory->accounts.count; i++)
		if (accounts[i].networks.count > 0)
			return true;
	return c->listener->accounts.count > 0 ||
	       c->listener->client_certificate != CONFIG_ASKING_OFF;
}

/* One or both of networks and AUTH say who may send: session_mail.c, may_relay(). */
static void
check_reach(struct sender_check *c)
{
	const struct config_listener *listener = c->listener;

	if (listener->auth == CONFIG_AUTH_OFF && listener->networks.count == 0 &&
	    !takes_accounts(c) && c->address && c->address->sa.ss_family != AF_UNIX &&
	    !address_is_loopback(c->address))
		pn_complain(c->check, path_of(c, "address"),
		    "nobody but this machine may send here; set networks to say who else may, or "
		    "auth, or listen on a loopback address");
	if (listener->auth == CONFIG_AUTH_OFF && listener->auth_without_tls)
		pn_warn(c->check, path_of(c, "auth_without_tls"),
		    "nobody logs in here; set auth to offered or required");
	check_strangers(c);
}

/* RFC 8314 section 3.3: a client that waits for the other side to begin waits for ever. */
static void
check_port(struct sender_check *c)
{
	bool on_path = !c->address || c->address->sa.ss_family == AF_UNIX;
	uint16_t port = on_path ? 0 : address_port(c->address);
	bool implicit = c->listener->tls == CONFIG_TLS_IMPLICIT;

	if (port == 465 && !implicit)
		pn_warn(c->check, path_of(c, "tls"),
		    "clients begin with TLS on port 465; set tls to implicit, or use port 587");
	if ((port == 25 || port == 587) && implicit)
		pn_warn(c->check, path_of(c, "tls"),
		    "clients begin in clear on port %u; set tls to starttls, or use port 465",
		    port);
}

void
senders_check(struct pn_check *check, const struct config_directory *directory,
    const struct config_listener *listener, size_t index, const struct address *address)
{
	struct sender_check c = { check, directory, listener, index, address, "" };

	check_reach(&c);
	check_port(&c);
}
