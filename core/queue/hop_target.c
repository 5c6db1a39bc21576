/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hop_target.c - a host that the DNS names as the courier connects to it: its addresses, and what
 * its domain demands of TLS there.
 *
 * Called by hops.c for destinations, and by commands that try a host. Must never leave a host of a
 * domain with demands at opportunistic TLS.
 */
#include <core/queue/hop_target.h>
#include <glib.h>

#define ADDRESSES_MOST 4 /* of each host; the families by turns */

const char *
hop_target_use(struct arena *arena, struct courier_target *target, const struct hop_terms *terms)
{
	if (!terms || target->level == TLS_LEVEL_NONE)
		return "";
	target->terms = hop_terms_copy(terms, arena);
	if (hop_terms_are_any(terms) && target->level == TLS_LEVEL_MAY)
		target->level = TLS_LEVEL_ENCRYPT;
	return hop_terms_key(terms, arena);
}

void
hop_target_addresses(struct arena *arena, struct courier_target *target, const struct mx_host *host)
{
	size_t count = MIN(host->count, ADDRESSES_MOST);
	struct address *addresses = arena_copy(arena, host->addresses, count * sizeof(*addresses));

	for (size_t i = 0; i < count; i++)
		address_set_port(&addresses[i], target->port);
	target->addresses = addresses;
	target->address_count = count;
}

struct hop_terms
hop_target_terms(const struct mx_list *list, const struct mx_host *found)
{
	struct hop_terms terms = found->terms;

	terms.domain = list->domain;
	terms.unsure |= list->unsure;
	return terms;
}

int
hop_target_of_list(const struct routes *routes, const struct route *route, enum route_need need,
    const struct mx_list *list, const struct mx_host *found, struct arena *arena,
    struct courier_target *ret)
{
	struct hop_terms terms = hop_target_terms(list, found);
	struct route_host host;
	int r = routes_mx_host(routes, route, found->name, arena, &host, NULL);

	if (r < 0)
		return r;
	*ret = host.ways[need].target;
	hop_target_addresses(arena, ret, found);
	hop_target_use(arena, ret, need == ROUTE_RELAXED ? NULL : &terms);
	return 0;
}
