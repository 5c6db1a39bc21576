/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mta_sts.c - the settings of MTA-STS: where policy hosts are, and how long they are waited for.
 *
 * Read with the other settings of the core; core/sts does what they say.
 */
#include <core/config/relay_tables.h>
#include <core/net/address.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MTA_STS struct config_mta_sts
const struct pn_option config_mta_sts_options[] = {
	PN_OPT_BOOL("enabled", MTA_STS, enabled, "yes", PN_FILE_ONLY,
	    "Look for the policies of recipients' domains and heed them: where one is enforced, "
	    "mail goes to the hosts that it names and over TLS with a certificate valid for them, "
	    "or waits."),
	PN_OPT_STRING("ca_file", MTA_STS, ca_file, NULL, PN_PATH | PN_FILE_ONLY,
	    "Authorities that policy hosts' certificates are checked against, PEM; left out, the "
	    "system's. For laboratories."),
	PN_OPT_STRING("connect_to", MTA_STS, connect_to, NULL, PN_FILE_ONLY,
	    "Address and port that are connected to in the place of every policy host, as in "
	    "192.0.2.1:8443; their names and certificates stay what they are. For laboratories, "
	    "and where the way out is a relay of TCP."),
	PN_OPT_STRINGS("refused_networks", MTA_STS, refused_networks, "[private]", PN_FILE_ONLY,
	    "Addresses that no policy is fetched from, whatever the DNS says, as in 192.0.2.0/24; "
	    "\"private\" is all that is not the internet's: loopback, link-local, private and "
	    "reserved networks. [] is none."),
	PN_OPT_DURATION("timeout", MTA_STS, timeout, "30s", 100, 120000, PN_FILE_ONLY,
	    "How long a policy host may take for its answer."),
	PN_OPT_DURATION("wait", MTA_STS, wait, "5s", 10, 120000, PN_FILE_ONLY,
	    "How long the first mail to a domain waits for what the domain demands. Then it goes "
	    "without, unless a level of TLS was demanded that only a policy gives: that waits on."),
	PN_OPT_END
};

/* The words are those of user_relays, where strangers name hosts as well. */
const struct network *
config_mta_sts_refused(const struct config_mta_sts *config, struct arena *arena, size_t *ret_count)
{
	const struct config_user_relays words = { .refused_networks = config->refused_networks };

	return config_user_relays_refused(&words, arena, ret_count);
}

void
mta_sts_check(const struct core_fill *fill, struct pn_check *check)
{
	const struct config_mta_sts *own = &fill->core->relay.mta_sts;
	struct address address;
	struct network network;
	struct pn_error err;

	if (own->connect_to &&
	    (*own->connect_to == '*' || address_parse(own->connect_to, 443, &address, NULL) < 0 ||
		address.sa.ss_family == AF_UNIX || address_port(&address) == 0))
		pn_complain(check, "mta_sts.connect_to",
		    "\"%s\" is not an address with a port; write for example 192.0.2.1:8443 or "
		    "[2001:db8::1]:8443",
		    own->connect_to);
	if (own->ca_file && access(own->ca_file, R_OK) != 0)
		pn_complain(check, "mta_sts.ca_file", "%s: %s", own->ca_file, strerror(errno));
	for (size_t i = 0; i < own->refused_networks.count; i++)
		if (strcmp(own->refused_networks.items[i], "private") != 0 &&
		    network_parse(own->refused_networks.items[i], &network, &err) < 0)
			pn_complain(check,
			    arena_printf(fill->arena, "mta_sts.refused_networks[%zu]", i), "%s",
			    err.text);
}
