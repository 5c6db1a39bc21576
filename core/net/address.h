/* SPDX-License-Identifier: Apache-2.0 */
/* address.h - socket addresses and networks, in every spelling. Any thread. */
#ifndef CORE_NET_ADDRESS_H
#define CORE_NET_ADDRESS_H

#include <netinet/in.h>
#include <postern/base.h>
#include <sys/socket.h>

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
};

#define ADDRESS_TEXT 112

/* Which family of a host's addresses is tried. */
enum address_prefer {
	ADDRESS_ANY, /* in the resolver's order */
	ADDRESS_IP6_FIRST,
	ADDRESS_IP4_FIRST,
	ADDRESS_IP6_ONLY,
	ADDRESS_IP4_ONLY,
};

/*
 * "192.0.2.1:25", "[2001:db8::1]:25", "*:587" (IPv6 and IPv4 at once), "unix:/run/x". `port` stands
 * in where the text has none; -EINVAL with a text that says what would be right.
 */
int address_parse(const char *text, uint16_t port, struct address *ret, struct pn_error *err);
/* With port, as address_parse reads it. IPv4 in IPv6 is written as IPv4. */
void address_format(const struct address *address, char ret[ADDRESS_TEXT]);
/* Host only, no brackets: "192.0.2.1"; "local" for a unix socket. */
void address_host(const struct address *address, char ret[ADDRESS_TEXT]);
/* RFC 5321 section 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]"; "localhost" for a unix socket. */
void address_literal(const struct address *address, char ret[ADDRESS_TEXT]);
/* False: neither IPv4 nor IPv6. */
bool address_from(const struct sockaddr *from, struct address *ret);
void address_set_ip4(struct address *address, const struct in_addr *ip, uint16_t port);
void address_set_ip6(struct address *address, const struct in6_addr *ip, uint16_t port);
bool address_is_loopback(const struct address *address);
uint16_t address_port(const struct address *address);
void address_set_port(struct address *address, uint16_t port);

/* What a client is known by: its address in IPv4, `ip6_bits` of it in IPv6; zeroes for a path. */
void address_network(const struct address *address, unsigned ip6_bits, uint8_t ret[16]);

/* "192.0.2.0/24", "2001:db8::/112", or a single address; host bits must be zero. */
struct network {
	uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t bits;      /* 0 to 128 */
};
int network_parse(const char *text, struct network *ret, struct pn_error *err);
/* The network of so many bits that the address is in; false: of a unix socket, or of IPv4 for what
 * is said of IPv6. */
bool network_around(const struct address *address, uint8_t bits, struct network *ret);
/* As network_parse() reads it, always with its prefix length. */
void network_format(const struct network *network, char ret[ADDRESS_TEXT]);
bool network_contains(const struct network *network, const struct address *address);
bool network_within(const struct network *inner, const struct network *outer);

#endif
