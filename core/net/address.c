/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.c - reads and writes socket addresses and networks.
 *
 * Called by the configuration, listeners, sessions and couriers. IPv4 and IPv4-mapped IPv6 (what a
 * dual-stack socket sees) mean the same here. Never asks the resolver.
 */
#include <arpa/inet.h>
#include <core/net/address.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#define WANTED "write for example 192.0.2.1:25, [2001:db8::1]:25, *:587 or unix:/run/name"
/* Longer ones would not fit ADDRESS_TEXT. */
#define UNIX_MOST (ADDRESS_TEXT - 6)

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

void
address_set_ip4(struct address *address, const struct in_addr *ip, uint16_t port)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&address->sa;

	*address = (struct address){ .len = sizeof(*sin) };
	sin->sin_family = AF_INET;
	sin->sin_port = htons(port);
	sin->sin_addr = *ip;
}

void
address_set_ip6(struct address *address, const struct in6_addr *ip, uint16_t port)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&address->sa;

	*address = (struct address){ .len = sizeof(*sin6) };
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons(port);
	sin6->sin6_addr = *ip;
}

static int
parse_unix(const char *path, struct address *ret, struct pn_error *err)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&ret->sa;
	size_t len = strlen(path);

	if (len == 0)
		return pn_error_set(err, -EINVAL, "a path is missing after \"unix:\"");
	if (len > UNIX_MOST)
		return pn_error_set(err, -EINVAL,
		    "the path of a unix socket may have %d bytes, not %zu: %s", UNIX_MOST, len,
		    path);
	*ret = (struct address){ .len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
						    1) };
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, len + 1);
	return 0;
}

/* `text` is what stands behind the colon. */
static bool
parse_port(const char *text, uint16_t *ret)
{
	unsigned port = 0;

	if (!*text || strlen(text) > 5)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		port = port * 10 + (unsigned)(*text - '0');
	}
	*ret = (uint16_t)port;
	return port <= UINT16_MAX;
}

/* Cuts "host:port", "[host]:port", "[host]" or "host" in two; `ret_port` is NULL without one. */
static bool
split(const char *text, char *host, size_t size, const char **ret_port)
{
	const char *end = text + strlen(text), *colon = strrchr(text, ':');
	size_t len;

	*ret_port = NULL;
	if (*text == '[') {
		const char *close = strchr(text++, ']');

		if (!close || (close[1] != '\0' && close[1] != ':'))
			return false;
		if (close[1] == ':')
			*ret_port = close + 2;
		end = close;
	} else if (colon && colon == strchr(text, ':')) {
		*ret_port = colon + 1;
		end = colon;
	}
	len = (size_t)(end - text);
	if (len == 0 || len >= size)
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	return true;
}

int
address_parse(const char *text, uint16_t port, struct address *ret, struct pn_error *err)
{
	char host[INET6_ADDRSTRLEN];
	const char *port_text;
	struct in_addr ip4;
	struct in6_addr ip6;

	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, ret, err);
	if (!split(text, host, sizeof(host), &port_text))
		return pn_error_set(err, -EINVAL, "\"%s\" is not an address; " WANTED, text);
	if (port_text && !parse_port(port_text, &port))
		return pn_error_set(err, -EINVAL,
		    "\"%s\": \"%s\" is not a port; write a number up to 65535", text, port_text);
	if (strcmp(host, "*") == 0 && *text != '[')
		address_set_ip6(ret, &in6addr_any, port);
	else if (*text != '[' && inet_pton(AF_INET, host, &ip4) == 1)
		address_set_ip4(ret, &ip4, port);
	else if (inet_pton(AF_INET6, host, &ip6) == 1)
		address_set_ip6(ret, &ip6, port);
	else
		return pn_error_set(err, -EINVAL, "\"%s\" is not an address; " WANTED, text);
	return 0;
}

bool
address_from(const struct sockaddr *from, struct address *ret)
{
	const struct sockaddr_in *sin = (const struct sockaddr_in *)(const void *)from;
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)(const void *)from;

	if (from->sa_family == AF_INET)
		address_set_ip4(ret, &sin->sin_addr, ntohs(sin->sin_port));
	else if (from->sa_family == AF_INET6)
		address_set_ip6(ret, &sin6->sin6_addr, ntohs(sin6->sin6_port));
	else
		return false;
	return true;
}

/* The IP as 16 bytes, IPv4 mapped; false for other families. */
static bool
ip_bytes(const struct address *address, uint8_t ret[16])
{
	if (address->sa.ss_family == AF_INET6) {
		memcpy(ret, &((const struct sockaddr_in6 *)&address->sa)->sin6_addr, 16);
		return true;
	}
	if (address->sa.ss_family != AF_INET)
		return false;
	memcpy(ret, mapped_prefix, sizeof(mapped_prefix));
	memcpy(ret + 12, &((const struct sockaddr_in *)&address->sa)->sin_addr, 4);
	return true;
}

static bool
is_ip4(const uint8_t bytes[16])
{
	return memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static void
format_ip(const uint8_t bytes[16], char *ret, size_t size)
{
	if (is_ip4(bytes))
		inet_ntop(AF_INET, bytes + 12, ret, (socklen_t)size);
	else
		inet_ntop(AF_INET6, bytes, ret, (socklen_t)size);
}

uint16_t
address_port(const struct address *address)
{
	if (address->sa.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&address->sa)->sin_port);
	if (address->sa.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&address->sa)->sin6_port);
	return 0;
}

void
address_set_port(struct address *address, uint16_t port)
{
	if (address->sa.ss_family == AF_INET)
		((struct sockaddr_in *)&address->sa)->sin_port = htons(port);
	else if (address->sa.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&address->sa)->sin6_port = htons(port);
}

/* A peer's unix socket has no name, and then no NUL either. */
static void
format_unix(const struct address *address, char ret[ADDRESS_TEXT])
{
	const struct sockaddr_un *sun = (const struct sockaddr_un *)&address->sa;
	size_t most = address->len > offsetof(struct sockaddr_un, sun_path)
			  ? address->len - offsetof(struct sockaddr_un, sun_path)
			  : 0;

	snprintf(ret, ADDRESS_TEXT, "unix:%.*s", (int)strnlen(sun->sun_path, most), sun->sun_path);
}

void
address_format(const struct address *address, char ret[ADDRESS_TEXT])
{
	static const uint8_t any[16];
	uint8_t bytes[16];
	char ip[INET6_ADDRSTRLEN];
	unsigned port = address_port(address);

	if (!ip_bytes(address, bytes)) {
		format_unix(address, ret);
		return;
	}
	if (memcmp(bytes, any, sizeof(any)) == 0) {
		snprintf(ret, ADDRESS_TEXT, "*:%u", port);
		return;
	}
	format_ip(bytes, ip, sizeof(ip));
	snprintf(ret, ADDRESS_TEXT, is_ip4(bytes) ? "%s:%u" : "[%s]:%u", ip, port);
}

void
address_host(const struct address *address, char ret[ADDRESS_TEXT])
{
	uint8_t bytes[16];

	if (ip_bytes(address, bytes))
		format_ip(bytes, ret, ADDRESS_TEXT);
	else
		strcpy(ret, "local");
}

void
address_literal(const struct address *address, char ret[ADDRESS_TEXT])
{
	uint8_t bytes[16];
	char ip[INET6_ADDRSTRLEN];

	if (!ip_bytes(address, bytes)) {
		strcpy(ret, "localhost");
		return;
	}
	format_ip(bytes, ip, sizeof(ip));
	snprintf(ret, ADDRESS_TEXT, is_ip4(bytes) ? "[%s]" : "[IPv6:%s]", ip);
}

bool
address_is_loopback(const struct address *address)
{
	uint8_t bytes[16];

	if (!ip_bytes(address, bytes))
		return address->sa.ss_family == AF_UNIX;
	if (is_ip4(bytes))
		return bytes[12] == 127;
	return memcmp(bytes, &in6addr_loopback, sizeof(bytes)) == 0;
}

/* ---- networks -------------------------------------------------------------------------------- */

/* Clears the bits behind the first `bits`; true if there were any. */
static bool
clear_host_bits(uint8_t bytes[16], unsigned bits)
{
	bool found = false;

	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = bits > 8 * i ? bits - 8 * i : 0;
		uint8_t mask = kept >= 8 ? 0xff : (uint8_t)(0xff00 >> kept);

		found |= (bytes[i] & ~mask) != 0;
		bytes[i] &= mask;
	}
	return found;
}

void
address_network(const struct address *address, unsigned ip6_bits, uint8_t ret[16])
{
	if (!ip_bytes(address, ret))
		memset(ret, 0, 16);
	else if (!is_ip4(ret))
		clear_host_bits(ret, ip6_bits);
}

static bool
parse_bits(const char *text, unsigned most, unsigned *ret)
{
	uint16_t bits;

	if (strlen(text) > 3 || !parse_port(text, &bits) || bits > most)
		return false;
	*ret = bits;
	return true;
}

int
network_parse(const char *text, struct network *ret, struct pn_error *err)
{
	const char *slash = strchr(text, '/'), *port;
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char copy[INET6_ADDRSTRLEN + 2], host[INET6_ADDRSTRLEN], ip[INET6_ADDRSTRLEN];
	struct address address;
	struct network network;
	unsigned bits, most;

	snprintf(copy, sizeof(copy), "%.*s", (int)(len < sizeof(copy) ? len : 0), text);
	if (!split(copy, host, sizeof(host), &port) || port || strcmp(host, "*") == 0 ||
	    address_parse(copy, 0, &address, NULL) < 0 || !ip_bytes(&address, network.bytes))
		return pn_error_set(err, -EINVAL,
		    "\"%s\" is not a network; write for example 192.0.2.0/24 or 2001:db8::/32",
		    text);
	most = bits = address.sa.ss_family == AF_INET ? 32 : 128;
	if (slash && !parse_bits(slash + 1, most, &bits))
		return pn_error_set(err, -EINVAL,
		    "\"%s\": \"%s\" is not a prefix length; write 0 to %u", text, slash + 1, most);
	network.bits = (uint8_t)(bits + 128 - most);
	if (clear_host_bits(network.bytes, network.bits)) {
		format_ip(network.bytes, ip, sizeof(ip));
		return pn_error_set(err, -EINVAL,
		    "\"%s\" is an address inside a network; write %s/%u or %s alone", text, ip,
		    is_ip4(network.bytes) ? bits - (most == 128 ? 96 : 0) : bits, host);
	}
	*ret = network;
	return 0;
}

void
network_format(const struct network *network, char ret[ADDRESS_TEXT])
{
	char ip[INET6_ADDRSTRLEN];

	format_ip(network->bytes, ip, sizeof(ip));
	snprintf(ret, ADDRESS_TEXT, "%s/%d", ip,
	    is_ip4(network->bytes) && network->bits >= 96 ? network->bits - 96 : network->bits);
}

bool
network_around(const struct address *address, uint8_t bits, struct network *ret)
{
	if (!ip_bytes(address, ret->bytes))
		return false;
	if (bits < 96 && is_ip4(ret->bytes))
		return false; /* "::/0" is a statement about IPv6 */
	clear_host_bits(ret->bytes, bits);
	ret->bits = bits;
	return true;
}

bool
network_contains(const struct network *network, const struct address *address)
{
	struct network around;

	return network_around(address, network->bits, &around) &&
	       memcmp(around.bytes, network->bytes, sizeof(around.bytes)) == 0;
}

bool
network_within(const struct network *inner, const struct network *outer)
{
	struct network around = { .bits = outer->bits };

	if (inner->bits < outer->bits || (outer->bits < 96 && is_ip4(inner->bytes)))
		return false;
	memcpy(around.bytes, inner->bytes, sizeof(around.bytes));
	clear_host_bits(around.bytes, around.bits);
	return memcmp(around.bytes, outer->bytes, sizeof(around.bytes)) == 0;
}
