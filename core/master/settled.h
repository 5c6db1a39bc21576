/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settled.h - an accepted configuration with everything the relay makes of it: generation, routes,
 * TLS context, listening sockets. Counted by reference, read-only, any thread.
 */
#ifndef CORE_MASTER_SETTLED_H
#define CORE_MASTER_SETTLED_H

#include <core/master/channel.h>
#include <core/net/address.h>
#include <core/net/jobs.h>
#include <core/net/tls_tickets.h>
#include <core/policy/generation.h>
#include <core/queue/queue.h>
#include <openssl/ssl.h>

struct settled {
	uint32_t references; /* atomic */
	struct generation *generation;
	struct routes *routes;
	struct queue_settings queue;
	SSL_CTX **tls; /* one for each listener in order; NULL in it: none has any */
	size_t tls_count;
	struct settled *sockets; /* held: whose descriptors these are; NULL: its own */
	int fds[CHANNEL_FDS];
	size_t fd_count; /* the generation's listeners in their order, then that of metrics */
};

/* What of the process a generation is settled with. */
struct settled_with {
	struct capability *capability;
	struct tls_tickets *tickets;
};
/* Takes the generation's reference and, on success, the descriptors (the frame's become -1). */
int settled_new(struct generation *generation, const struct settled_with *with,
    struct channel_frame *frame, struct settled **ret, struct pn_error *err);
/* The same sockets, routes and certificates with another generation; takes its reference. */
struct settled *settled_again(const struct settled *settled, struct generation *generation);
/* -1: none. */
int settled_metrics_fd(const struct settled *settled);
struct settled *settled_hold(struct settled *settled);
void settled_release(struct settled **settled);

#endif
