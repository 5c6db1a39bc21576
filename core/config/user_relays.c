/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_relays.c - what the servers may be that users name for addresses of their own.
 *
 * Read with the other settings of the core. Whether anybody may name one is the module
 * user-relays's.
 */
#include <core/config/keyring.h>
#include <core/config/relay_tables.h>
#include <stdlib.h>

#define PRIVATE "private"
static const char *const private_networks[] = { "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10",
	"127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "::", "::1", "64:ff9b::/96",
	"64:ff9b:1::/48", "2002::/16", "fec0::/10", "fc00::/7", "fe80::/10", "ff00::/8" };
#define PRIVATES    (sizeof(private_networks) / sizeof(*private_networks))

#define USER_RELAYS struct config_user_relays
const struct pn_option config_user_relays_options[] = {
	PN_OPT_SECRET("seal_with", USER_RELAYS, seal_with, 0,
	    "Keys that users' names and passwords at their own servers are sealed with in the "
	    "database, one a line: a name, a blank, 64 hexadecimal digits. The first one seals, "
	    "all open. Without, nobody can store any."),
	PN_OPT_STRINGS("ports", USER_RELAYS, ports, "[\"25\", \"465\", \"587\"]", 0,
	    "Ports that users' servers may have."),
	PN_OPT_STRINGS("refused_networks", USER_RELAYS, refused_networks, "[" PRIVATE "]", 0,
	    "Addresses that are never connected to for users, whatever name they give or the DNS "
	    "says, as in 192.0.2.0/24; \"" PRIVATE
	    "\" is all that is not the internet's: loopback, "
	    "link-local, private and reserved networks. [] is none."),
	PN_OPT_STRING("ca_file", USER_RELAYS, ca_file, NULL, PN_PATH,
	    "Authorities that users' servers' certificates are checked against, PEM; left out, the "
	    "system's."),
	PN_OPT_END
};

bool
config_user_relays_port(const char *text, uint16_t *ret)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || port == 0 || port > UINT16_MAX)
		return false;
	*ret = (uint16_t)port;
	return true;
}

const struct network *
config_user_relays_refused(
    const struct config_user_relays *config, struct arena *arena, size_t *ret_count)
{
	struct network *networks = arena_alloc(
	    arena, (PRIVATES + 1) * (config->refused_networks.count + 1) * sizeof(*networks));
	size_t count = 0;

	for (size_t i = 0; i < config->refused_networks.count; i++) {
		const char *item = config->refused_networks.items[i];
		bool all = strcmp(item, PRIVATE) == 0;

		for (size_t k = 0; k < (all ? PRIVATES : 1); k++)
			if (network_parse(
				all ? private_networks[k] : item, &networks[count], NULL) == 0)
				count++;
	}
	*ret_count = count;
	return networks;
}

bool
config_is_private(const struct address *address)
{
	struct network network;

	for (size_t i = 0; i < PRIVATES; i++)
		if (network_parse(private_networks[i], &network, NULL) == 0 &&
		    network_contains(&network, address))
			return true;
	return false;
}

static void
complain_item(const struct core_fill *fill, struct pn_check *check, const char *key, size_t index,
    const char *text)
{
	pn_complain(
	    check, arena_printf(fill->arena, "user_relays.%s[%zu]", key, index), "%s", text);
}

void
user_relays_check(const struct core_fill *fill, struct pn_check *check)
{
	const struct config_user_relays *own = &fill->core->relay.user_relays;
	struct keyring *keys = NULL;
	struct network network;
	struct pn_error err;
	uint16_t port;

	if (own->seal_with && keyring_parse(pn_secret_bytes(own->seal_with), &keys, &err) < 0)
		pn_complain(check, "user_relays.seal_with", "%s", err.text);
	keyring_release(&keys);
	for (size_t i = 0; i < own->ports.count; i++)
		if (!config_user_relays_port(own->ports.items[i], &port))
			complain_item(
			    fill, check, "ports", i, "is not a port; write for example 587");
	for (size_t i = 0; i < own->refused_networks.count; i++)
		if (strcmp(own->refused_networks.items[i], PRIVATE) != 0 &&
		    network_parse(own->refused_networks.items[i], &network, &err) < 0)
			complain_item(fill, check, "refused_networks", i, err.text);
}
