/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier_address.c - which of a next hop's addresses are tried, and from which of ours.
 *
 * Called by courier.c when the host's addresses are known. Keeps the resolver's order within a
 * family (RFC 5321 section 5.1).
 */
#include <core/smtp/courier_parts.h>
#include <errno.h>

static bool
is_ip6(const struct address *address)
{
	return address->sa.ss_family == AF_INET6;
}

/* Moves those of one family to the front, in their order; how many there are. */
static size_t
put_first(struct resolve_request *request, bool ip6)
{
	struct address others[RESOLVE_MOST];
	size_t front = 0, back = 0;

	for (size_t i = 0; i < request->count; i++)
		if (is_ip6(&request->addresses[i]) == ip6)
			request->addresses[front++] = request->addresses[i];
		else
			others[back++] = request->addresses[i];
	memcpy(&request->addresses[front], others, back * sizeof(*others));
	return front;
}

const char *
courier_choose_addresses(const struct courier_target *target, struct resolve_request *request)
{
	bool ip6 = target->prefer == ADDRESS_IP6_FIRST || target->prefer == ADDRESS_IP6_ONLY;
	size_t front;

	if (target->prefer == ADDRESS_ANY)
		return NULL;
	front = put_first(request, ip6);
	if (target->prefer == ADDRESS_IP6_ONLY || target->prefer == ADDRESS_IP4_ONLY)
		request->count = front;
	if (request->count > 0)
		return NULL;
	return ip6 ? "it has no IPv6 address" : "it has no IPv4 address";
}

static bool
is_refused(const struct courier_target *target, const struct address *address)
{
	for (size_t i = 0; i < target->refused_count; i++)
		if (network_contains(&target->refused[i], address))
			return true;
	return false;
}

bool
courier_drop_refused(const struct courier_target *target, struct resolve_request *request)
{
	size_t kept = 0;

	for (size_t i = 0; i < request->count; i++)
		if (!is_refused(target, &request->addresses[i]))
			request->addresses[kept++] = request->addresses[i];
	request->count = kept;
	return kept > 0;
}

const struct address *
courier_source(const struct courier_target *target, const struct address *address)
{
	const struct address *source = is_ip6(address) ? &target->source6 : &target->source4;

	return source->len > 0 && address->sa.ss_family != AF_UNIX ? source : NULL;
}

bool
courier_is_local(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM ||
	       error == -EADDRINUSE;
}

/* ---- both ends ------------------------------------------------------------------------------- */

void
courier_note_ends(struct courier *courier)
{
	const struct address *to = &courier->lookup->request.addresses[courier->address_at];
	struct address from = { .len = sizeof(from) - offsetof(struct address, sa) };

	*courier->own = '\0';
	address_host(to, courier->peer);
	if (getsockname(courier->stream.io.fd, (struct sockaddr *)&from.sa, &from.len) == 0)
		address_host(&from, courier->own);
}

void
courier_ends(const struct courier *courier, char ret_own[ADDRESS_TEXT], char ret_peer[ADDRESS_TEXT])
{
	memcpy(ret_own, courier->own, ADDRESS_TEXT);
	memcpy(ret_peer, courier->peer, ADDRESS_TEXT);
}
