/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.c - reads the PROXY protocol's header, version 1 (text) and 2 (binary).
 *
 * Called by server_proxy.c with what a believed proxy has sent so far. Must never take more than
 * the header: what follows is the client's. TLVs of version 2 are skipped.
 */
#include <arpa/inet.h>
#include <core/smtp/proxy.h>
#include <errno.h>
#include <string.h>

#define V2_HEAD 16u

static const char v1_start[] = "PROXY ";
static const char v2_start[] = "\r\n\r\n\0\r\nQUIT\n";

/* Whether `in` begins like this, as far as it goes. */
static bool
begins(struct pn_slice in, const char *start, size_t len)
{
	return memcmp(in.data, start, in.len < len ? in.len : len) == 0;
}

/* ---- version 1 ------------------------------------------------------------------------------- */

static bool
is(struct pn_slice word, const char *text)
{
	return pn_slice_equals(word, pn_slice(text, strlen(text)));
}

/* Cuts off what stands before the next space, or all that is left. */
static struct pn_slice
next_word(struct pn_slice *line)
{
	const char *space = line->len > 0 ? memchr(line->data, ' ', line->len) : NULL;
	struct pn_slice word = *line;

	if (!space) {
		*line = pn_slice(NULL, 0);
		return word;
	}
	word.len = (size_t)(space - line->data);
	*line = pn_slice(space + 1, line->len - word.len - 1);
	return word;
}

static bool
read_ip(struct pn_slice word, int family, void *ret)
{
	char text[INET6_ADDRSTRLEN];

	if (word.len == 0 || word.len >= sizeof(text) || memchr(word.data, '\0', word.len))
		return false;
	memcpy(text, word.data, word.len);
	text[word.len] = '\0';
	return inet_pton(family, text, ret) == 1;
}

/* Decimal, without leading zeroes. */
static bool
read_port(struct pn_slice word, uint16_t *ret)
{
	unsigned port = 0;

	if (word.len == 0 || word.len > 5 || (word.data[0] == '0' && word.len > 1))
		return false;
	for (size_t i = 0; i < word.len; i++) {
		if (word.data[i] < '0' || word.data[i] > '9')
			return false;
		port = port * 10 + (unsigned)(word.data[i] - '0');
	}
	*ret = (uint16_t)port;
	return port <= UINT16_MAX;
}

/* "192.0.2.7 198.51.100.1 40000 25" */
static bool
read_ends(struct pn_slice line, int family, struct address *ret)
{
	struct in6_addr client, own; /* room for either family */
	struct in_addr ip4;
	uint16_t port, own_port;

	if (!read_ip(next_word(&line), family, &client) ||
	    !read_ip(next_word(&line), family, &own) || !read_port(next_word(&line), &port) ||
	    !read_port(next_word(&line), &own_port) || line.data)
		return false;
	if (family == AF_INET6) {
		address_set_ip6(ret, &client, port);
		return true;
	}
	memcpy(&ip4, &client, sizeof(ip4));
	address_set_ip4(ret, &ip4, port);
	return true;
}

/* `line` is what stands between "PROXY " and CRLF. */
static bool
read_line(struct pn_slice line, struct proxy_header *ret)
{
	struct pn_slice word = next_word(&line);

	ret->told = !is(word, "UNKNOWN");
	if (!ret->told) /* whatever follows is to be ignored */
		return true;
	if (is(word, "TCP4"))
		return read_ends(line, AF_INET, &ret->client);
	return is(word, "TCP6") && read_ends(line, AF_INET6, &ret->client);
}

static int
parse_v1(struct pn_slice in, struct proxy_header *ret)
{
	const size_t start = sizeof(v1_start) - 1;
	size_t most = in.len < PROXY_V1_MOST ? in.len : PROXY_V1_MOST;
	const char *end = memchr(in.data, '\n', most);
	struct proxy_header header = { 0 };
	size_t len;

	if (!end)
		return in.len >= PROXY_V1_MOST ? -EINVAL : 0;
	len = (size_t)(end - in.data) + 1;
	if (len < start + 2 || end[-1] != '\r' ||
	    !read_line(pn_slice(in.data + start, len - start - 2), &header))
		return -EINVAL;
	*ret = header;
	return (int)len;
}

/* ---- version 2 ------------------------------------------------------------------------------- */

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 }; /* version and command */
enum { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21, V2_UNIX = 0x31 };

/* Bytes that the addresses of this family and protocol take; negative: it is not one of a stream.
 */
static int
addresses_size(uint8_t kind)
{
	switch (kind) {
	case V2_UNSPEC:
		return 0;
	case V2_TCP4:
		return 2 * (4 + 2);
	case V2_TCP6:
		return 2 * (16 + 2);
	case V2_UNIX:
		return 2 * 108;
	}
	return -EINVAL;
}

static uint16_t
read_16(const char *bytes)
{
	return (uint16_t)((uint8_t)bytes[0] << 8 | (uint8_t)bytes[1]);
}

/* Both addresses, then both ports. */
static void
read_addresses(const char *bytes, uint8_t kind, struct proxy_header *ret)
{
	struct in6_addr ip6;
	struct in_addr ip4;

	ret->told = true;
	if (kind == V2_TCP4) {
		memcpy(&ip4, bytes, sizeof(ip4));
		address_set_ip4(&ret->client, &ip4, read_16(bytes + 8));
	} else {
		memcpy(&ip6, bytes, sizeof(ip6));
		address_set_ip6(&ret->client, &ip6, read_16(bytes + 32));
	}
}

static int
parse_v2(struct pn_slice in, struct proxy_header *ret)
{
	uint8_t command, kind;
	size_t len;
	int size;

	if (in.len < V2_HEAD)
		return 0;
	command = (uint8_t)in.data[12];
	kind = (uint8_t)in.data[13];
	len = read_16(in.data + 14);
	if ((command != V2_LOCAL && command != V2_PROXY) || len > PROXY_V2_MOST)
		return -EINVAL;
	size = command == V2_LOCAL ? 0 : addresses_size(kind);
	if (size < 0 || len < (size_t)size)
		return -EINVAL;
	if (in.len < V2_HEAD + len)
		return 0;
	*ret = (struct proxy_header){ 0 };
	if (command == V2_PROXY && (kind == V2_TCP4 || kind == V2_TCP6))
		read_addresses(in.data + V2_HEAD, kind, ret);
	return (int)(V2_HEAD + len);
}

int
proxy_parse(struct pn_slice in, struct proxy_header *ret)
{
	if (in.len == 0)
		return 0;
	if (begins(in, v2_start, sizeof(v2_start) - 1))
		return parse_v2(in, ret);
	if (begins(in, v1_start, sizeof(v1_start) - 1))
		return parse_v1(in, ret);
	return -EINVAL;
}
