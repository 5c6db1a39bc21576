/* SPDX-License-Identifier: Apache-2.0 */
/* hop_target.h - a mail exchanger as the courier connects to it. */
#ifndef CORE_QUEUE_HOP_TARGET_H
#define CORE_QUEUE_HOP_TARGET_H

#include <core/queue/route.h>

/* What the list's domain demands of one of its hosts; borrowed from both. */
struct hop_terms hop_target_terms(const struct mx_list *list, const struct mx_host *found);
/* They become the target's (NULL: none); what connections of others differ by. In `arena`. */
const char *hop_target_use(
    struct arena *arena, struct courier_target *target, const struct hop_terms *terms);
void hop_target_addresses(
    struct arena *arena, struct courier_target *target, const struct mx_host *host);
/* All of that; in `arena`, and borrowed from the routes. */
int hop_target_of_list(const struct routes *routes, const struct route *route, enum route_need need,
    const struct mx_list *list, const struct mx_host *found, struct arena *arena,
    struct courier_target *ret);

#endif
