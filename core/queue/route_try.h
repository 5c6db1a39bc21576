/* SPDX-License-Identifier: Apache-2.0 */
/* route_try.h - does the first host of a route let us in? For commands: blocks. */
#ifndef CORE_QUEUE_ROUTE_TRY_H
#define CORE_QUEUE_ROUTE_TRY_H

#include <core/queue/route.h>

/*
 * Connects, greets, secures, logs in, says QUIT. 0, or -EREMOTEIO with what a report would say.
 * Nothing waits longer than `ms`, of which there are some: connection, greeting, replies.
 */
int route_try(const struct route *route, const char *relay_name, int64_t ms, struct pn_error *err);
/* The same for any target. `ready` (or NULL) is called before QUIT, with the courier as it is then.
 */
int route_try_target(const struct courier_target *target, const char *relay_name, int64_t ms,
    void (*ready)(void *arg, const struct courier *courier), void *arg, struct pn_error *err);

#endif
