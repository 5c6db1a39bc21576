/* SPDX-License-Identifier: Apache-2.0 */
/* route_host.h - what route.c and route_host.c share; nobody else includes it. */
#ifndef CORE_QUEUE_ROUTE_HOST_H
#define CORE_QUEUE_ROUTE_HOST_H

#include <core/base/arena.h>
#include <core/queue/route.h>
#include <glib.h>

/* Where routes are made. */
struct route_making {
	struct arena arena, secrets;
	GHashTable *contexts; /* SSL_CTX by what is wanted */
};

/* The hosts of a list, and the route's name and keys. */
int route_hosts_fill(struct route_making *making, const struct pn_list *destinations,
    const struct config_route *config, struct route *ret, struct pn_error *err);
/* One host without a name: what all mail exchangers of a route have in common. */
int route_host_pattern(struct route_making *making, const struct config_route *config,
    struct route *ret, struct pn_error *err);
/* By that pattern; its TLS contexts are borrowed. */
int route_host_named(struct arena *arena, const struct pn_list *destinations,
    const struct route *route, const char *name, struct route_host *ret, struct pn_error *err);
/* What `destinations` has for it: NULL, nothing. */
int route_host_limits(struct arena *arena, const struct config_destination *config,
    struct route_host *ret, struct pn_error *err);
void route_hosts_drop(struct route *route);

#endif
