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

#endif
