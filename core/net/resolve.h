/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.h - host names to addresses, off the loop, with a small cache.
 *
 * By getaddrinfo on threads of a job pool; answers are kept for 30 s, failures for 5 s. Address
 * literals and "localhost" answer at once. For hosts that stand in the configuration, whose names
 * are the system's business; what the DNS itself names is dns.h's.
 */
#ifndef CORE_NET_RESOLVE_H
#define CORE_NET_RESOLVE_H

#include <core/net/address.h>
#include <core/net/jobs.h>

#define RESOLVE_MOST 16

struct resolver;
struct resolve_request {
	struct job job;
	struct resolver *resolver;
	char host[256];
	uint16_t port;
	/*
	 * 0 with addresses in order of preference, or a negative errno: -ENOENT: no such host;
	 * -EAGAIN: no answer for now. May free the request.
	 */
	void (*done)(struct resolve_request *request, int r);
	struct address addresses[RESOLVE_MOST];
	size_t count;
	int r; /* resolve.c's own */
};

int resolver_new(struct jobs *jobs, struct resolver **ret);
void resolver_free(struct resolver **resolver);
/* Calls `done` on `loop`, possibly before returning. The request must live until then. */
void resolve_start(struct resolver *resolver, struct loop *loop, struct resolve_request *request);

#endif
