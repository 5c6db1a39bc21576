/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.c - what relay.dns says: what no table can check of it, and what net/dns.h is to be given.
 *
 * Called by relay_check.c once per reading, and by whoever asks the DNS by a configuration.
 */
#include <core/config/relay_tables.h>
#include <core/net/address.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

void
dns_check(const struct core_fill *fill, struct pn_check *check)
{
	const struct config_dns *dns = &fill->core->relay.dns;
	struct address address;

	for (size_t i = 0; i < dns->servers.count; i++) {
		const char *text = dns->servers.items[i];

		if (*text == '*' || address_parse(text, 53, &address, NULL) < 0 ||
		    address.sa.ss_family == AF_UNIX || address_port(&address) == 0)
			pn_complain(check, arena_printf(fill->arena, "dns.servers[%zu]", i),
			    "\"%s\" is not an address; write for example 192.0.2.53 or "
			    "[2001:db8::53]:5353",
			    text);
	}
	if (dns->servers.count > 0 && dns->recursive)
		pn_complain(
		    check, "dns.recursive", "asks the domains' own servers, not dns.servers");
	if (dns->trust_anchor && access(dns->trust_anchor, R_OK) != 0)
		pn_complain(
		    check, "dns.trust_anchor", "%s: %s", dns->trust_anchor, strerror(errno));
}

struct dns_settings
config_dns_settings(const struct config_dns *dns)
{
	const char *anchor = dns->validate ? dns->trust_anchor : NULL;

	if (dns->validate && !anchor && access(DNS_ROOT_ANCHOR, R_OK) == 0)
		anchor = DNS_ROOT_ANCHOR;
	return (struct dns_settings){ .servers = dns->servers,
		.recursive = dns->recursive,
		.trust_anchor = anchor,
		.timeout = dns->timeout,
		.probe_again = dns->validate_again,
		.unsigned_wanted = !dns->validate };
}
