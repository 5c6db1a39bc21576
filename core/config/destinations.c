/* SPDX-License-Identifier: Apache-2.0 */
/*
 * destinations.c - the section `destinations`: what each next hop may be asked for.
 *
 * Its table, what no table can say about it, and which item a host is for. Read by relay.c; asked
 * by the routes when a configuration is taken.
 */
#include <core/base/text.h>
#include <core/config/relay_tables.h>
#include <core/mail/address.h>
#include <stdio.h>
#include <string.h>

#define PATH_SIZE 100

/* ---- the table ---- */

static const struct pn_choice slow_choices[] = {
	{ "unreachable", CONFIG_SLOW_UNREACHABLE, "sessions that came to nothing" },
	{ "throttled", CONFIG_SLOW_THROTTLED, "these, and messages answered by 421" },
	{ "deferrals", CONFIG_SLOW_DEFERRALS,
	    "these, and messages of which every recipient is deferred" },
	{ NULL, 0, NULL },
};

static const struct pn_choice prefer_choices[] = {
	{ "any", ADDRESS_ANY, "as the system orders them" },
	{ "ipv6", ADDRESS_IP6_FIRST, "IPv6 first" },
	{ "ipv4", ADDRESS_IP4_FIRST, "IPv4 first" },
	{ "ipv6-only", ADDRESS_IP6_ONLY, NULL },
	{ "ipv4-only", ADDRESS_IP4_ONLY, NULL },
	{ NULL, 0, NULL },
};

#define RATE __typeof__(((struct config_destination *)0)->rate)
static const struct pn_option rate_options[] = {
	PN_OPT_INT("messages", RATE, messages, "0", 0, 1000000000, 0,
	    "Messages in `per` at most, a tenth of them at once; 0: any number."),
	PN_OPT_INT("connections", RATE, connections, "0", 0, 1000000000, 0,
	    "New sessions in `per` at most; 0: any number."),
	PN_OPT_DURATION("per", RATE, per, "1m", 10, 86400000, 0, "The time these are counted in."),
	PN_OPT_END
};

#define BACK_OFF __typeof__(((struct config_destination *)0)->back_off)
static const struct pn_option back_off_options[] = {
	PN_OPT_DURATION("first", BACK_OFF, first, "1s", 10, 86400000, 0,
	    "How long the host is left alone after the first failure; then doubling."),
	PN_OPT_DURATION("most", BACK_OFF, most, "5m", 10, 86400000, 0, "Longest of these pauses."),
	PN_OPT_CHOICE("on", BACK_OFF, on, "unreachable", slow_choices, 0, "What is a failure."),
	PN_OPT_END
};

/* The fallbacks are courier_limits_standard: RFC 5321 section 4.5.3.2. */
#define TIMEOUTS struct config_timeouts
static const struct pn_option timeout_options[] = { PN_OPT_DURATION("connect", TIMEOUTS, connect,
							"30s", 10, 3600000, 0,
							"A connection to one of its addresses."),
	PN_OPT_DURATION("greeting", TIMEOUTS, greeting, "5m", 10, 3600000, 0, "The greeting."),
	PN_OPT_DURATION("hello", TIMEOUTS, hello, "5m", 10, 3600000, 0,
	    "The reply to EHLO, HELO, LHLO, STARTTLS and AUTH."),
	PN_OPT_DURATION("handshake", TIMEOUTS, handshake, "1m", 10, 3600000, 0, "TLS."),
	PN_OPT_DURATION(
	    "mail", TIMEOUTS, mail, "5m", 10, 3600000, 0, "The reply to MAIL and RSET."),
	PN_OPT_DURATION("rcpt", TIMEOUTS, rcpt, "5m", 10, 3600000, 0, "The reply to each RCPT."),
	PN_OPT_DURATION("data", TIMEOUTS, data, "2m", 10, 3600000, 0, "The reply to DATA."),
	PN_OPT_DURATION("block", TIMEOUTS, block, "3m", 10, 3600000, 0,
	    "While a message is sent: that some of it is taken."),
	PN_OPT_DURATION("final", TIMEOUTS, final, "10m", 10, 3600000, 0,
	    "The reply to the whole message. Shorter ones make duplicates: a host that has taken a "
	    "message and is slow to say so gets it again."),
	PN_OPT_DURATION("quit", TIMEOUTS, quit, "5s", 10, 3600000, 0, "The reply to QUIT."),
	PN_OPT_END };

#define DESTINATION struct config_destination
static const struct pn_option destination_options[] = {
	PN_OPT_STRINGS("host", DESTINATION, host, NULL, 0,
	    "Hosts of routes: mx.example.com, *.example.com (every subdomain), 192.0.2.1, "
	    "192.0.2.0/24; left out, all. The limits are for each host, not for all together."),
	PN_OPT_INT("connections", DESTINATION, connections, "0", 0, 10000, 0,
	    "Sessions at one time; 0: relay.queue.connections_per_destination."),
	PN_OPT_GROUP("rate", DESTINATION, rate, RATE, rate_options, 0,
	    "What may begin in a given time; the rest waits its turn."),
	PN_OPT_INT("messages_per_connection", DESTINATION, messages_per_connection, "0", 0, 1000000,
	    0, "Messages sent over one session; 0: relay.queue.messages_per_connection."),
	PN_OPT_DURATION("idle_connection", DESTINATION, idle_connection, "0", 0, 3600000, 0,
	    "How long a session is kept for the next message; 0: relay.queue.idle_connection."),
	PN_OPT_DURATION("connection_age", DESTINATION, connection_age, "0", 0, 86400000, 0,
	    "Age at which a session gets no further message; 0: relay.queue.connection_age."),
	PN_OPT_GROUP("back_off", DESTINATION, back_off, BACK_OFF, back_off_options, 0,
	    "How long the host is left alone when it fails."),
	PN_OPT_GROUP("timeouts", DESTINATION, timeouts, TIMEOUTS, timeout_options, 0,
	    "How long is waited for the host, at each step of a session."),
	PN_OPT_STRINGS("source", DESTINATION, source, NULL, 0,
	    "Addresses of this machine to send from: one IPv4, one IPv6, or one of each; left out, "
	    "the system chooses."),
	PN_OPT_CHOICE("prefer", DESTINATION, prefer, "any", prefer_choices, 0,
	    "Which of the host's addresses are tried, and in which order."),
	PN_OPT_END
};

const struct pn_option config_destinations_options[] = {
	{ .help = "Limits for the hosts that mail is sent to; the first item that matches the host "
		  "is taken, and what it leaves out is as in relay.queue.",
	    .nested = destination_options,
	    .nested_size = sizeof(struct config_destination),
	    .type = PN_TYPE_LIST },
	PN_OPT_END
};

/* ---- which item ---- */

/* "name:25" and "[2001:db8::1]:25" without port and brackets. */
static struct pn_slice
bare_host(const char *host)
{
	const char *end;

	if (*host == '[' && (end = strchr(host, ']')))
		return pn_slice(host + 1, (size_t)(end - host - 1));
	end = strchr(host, ':');
	if (end && strchr(end + 1, ':')) /* an IPv6 address as it is */
		end = NULL;
	return end ? pn_slice(host, (size_t)(end - host)) : pn_slice_of(host);
}

static bool
is_in_network(const char *item, const char *host)
{
	struct network network;
	struct address address;

	return network_parse(item, &network, NULL) == 0 &&
	       address_parse(host, 1, &address, NULL) == 0 && network_contains(&network, &address);
}

static bool
is_domain_item(const char *item, const char *host)
{
	char wanted[MAIL_DOMAIN_MOST + 1], given[MAIL_DOMAIN_MOST + 1];
	bool wild = strncmp(item, "*.", 2) == 0;
	size_t len, tail;

	if (mail_domain_canonical(item + (wild ? 2 : 0), wanted) < 0 ||
	    mail_domain_canonical(host, given) < 0)
		return false;
	if (!wild)
		return strcmp(wanted, given) == 0;
	len = strlen(given);
	tail = strlen(wanted);
	return len > tail + 1 && given[len - tail - 1] == '.' &&
	       strcmp(given + len - tail, wanted) == 0;
}

static bool
is_for(const struct config_destination *destination, const char *route_host)
{
	struct pn_slice bare = bare_host(route_host);
	char host[256];

	if (destination->host.count == 0)
		return true;
	snprintf(host, sizeof(host), "%.*s", (int)bare.len, bare.data);
	for (size_t i = 0; i < destination->host.count; i++)
		if (is_in_network(destination->host.items[i], host) ||
		    is_domain_item(destination->host.items[i], host))
			return true;
	return false;
}

const struct config_destination *
config_destination_find(const struct pn_list *destinations, const char *host)
{
	const struct config_destination *all = destinations->items;

	for (size_t i = 0; host && i < destinations->count; i++)
		if (is_for(&all[i], host))
			return &all[i];
	return NULL;
}

/* ---- checking ---- */

struct destination_check {
	struct pn_check check;
	const struct config_destination *destination;
	size_t index;
	char path[PATH_SIZE];
};

static const char *
path_of(struct destination_check *c, const char *key)
{
	snprintf(c->path, sizeof(c->path), "[%zu]%s%s", c->index, *key ? "." : "", key);
	return c->path;
}

static const char *
item_path(struct destination_check *c, const char *key, size_t item)
{
	snprintf(c->path, sizeof(c->path), "[%zu].%s[%zu]", c->index, key, item);
	return c->path;
}

static void
check_hosts(struct destination_check *c)
{
	const struct pn_strings *hosts = &c->destination->host;
	char canonical[MAIL_DOMAIN_MOST + 1];
	struct network network;

	for (size_t i = 0; i < hosts->count; i++) {
		const char *item = hosts->items[i];
		bool wild = strncmp(item, "*.", 2) == 0;

		if (network_parse(item, &network, NULL) < 0 &&
		    mail_domain_canonical(item + (wild ? 2 : 0), canonical) < 0)
			pn_complain(&c->check, item_path(c, "host", i),
			    "\"%s\" is not a host; write for example mx.example.com, *.example.com "
			    "or 192.0.2.0/24, without a port",
			    item);
	}
}

static void
check_sources(struct destination_check *c)
{
	const struct pn_strings *sources = &c->destination->source;
	unsigned count[2] = { 0, 0 };

	for (size_t i = 0; i < sources->count; i++) {
		struct address address;
		int family;

		if (address_parse(sources->items[i], 0, &address, NULL) < 0 ||
		    (family = address.sa.ss_family) == AF_UNIX || address_port(&address) != 0 ||
		    *sources->items[i] == '*')
			pn_complain(&c->check, item_path(c, "source", i),
			    "\"%s\" is not an address; write for example 192.0.2.25 or "
			    "2001:db8::25",
			    sources->items[i]);
		else if (++count[family == AF_INET6] > 1)
			pn_complain(&c->check, item_path(c, "source", i),
			    "is a second %s address; only one of each family is used",
			    family == AF_INET6 ? "IPv6" : "IPv4");
	}
}

static void
check_orders(struct destination_check *c)
{
	const struct config_destination *destination = c->destination;

	if (destination->back_off.first > destination->back_off.most)
		pn_complain(
		    &c->check, path_of(c, "back_off.first"), "is longer than back_off.most");
}

void
destinations_check(const struct core_fill *fill)
{
	const struct pn_list *list = &fill->core->destinations;
	const struct config_destination *all = list->items;
	struct destination_check c = { .check = { &fill->core->destinations_settings,
					   "destinations", fill->diags } };
	size_t catch_all = list->count;

	for (size_t i = 0; i < list->count; i++) {
		c.index = i;
		c.destination = &all[i];
		check_hosts(&c);
		check_sources(&c);
		check_orders(&c);
		if (catch_all < i)
			pn_warn(&c.check, path_of(&c, ""),
			    "never used: destinations[%zu] is for every host", catch_all);
		else if (all[i].host.count == 0)
			catch_all = i;
	}
}
