/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - the receiving side of one loop: its sessions, their limits, their figures.
 *
 * One per loop; all calls belong to that loop's thread, except where said. What must be counted
 * over all loops (connections) is in a `struct server_shared`.
 */
#ifndef CORE_SMTP_SERVER_H
#define CORE_SMTP_SERVER_H

#include <core/config/relay.h>
#include <core/net/address.h>
#include <core/net/jobs.h>
#include <core/policy/generation.h>
#include <core/queue/queue.h>
#include <openssl/ssl.h>

struct server;
struct server_shared;

/* Any thread; must outlive the servers that use it. */
int server_shared_new(struct server_shared **ret);
void server_shared_free(struct server_shared **shared);
/*
 * From now on no new mail is taken (or is again): who connects, and who is between two
 * transactions, is told 421; transactions go on to their end. Sessions that wait for their client
 * notice with server_look(), which each server's own thread has to call.
 */
void server_shared_close(struct server_shared *shared, bool closed);

struct server_parts {
	struct loop *loop;
	struct jobs *jobs; /* policy threads */
	struct queue *queue;
	struct server_shared *shared;
};

int server_new(const struct server_parts *parts, struct server **ret);
/*
 * The newest generation and a TLS context for each of its listeners, in their order (NULL: no TLS);
 * all are held.
 * Sessions take it between two transactions. Sets the process's memory budget for messages too.
 * Not before it was called once may a connection be accepted. -EINVAL: a network that is none.
 */
int server_configure(struct server *server, struct generation *generation, SSL_CTX *const *tls,
    struct pn_error *err) PN_WARN_UNUSED;
/*
 * A connection of a listener of that name. The descriptor is non-blocking and becomes the server's.
 * One that may not connect is answered and closed.
 */
void server_accept(struct server *server, const char *listener, int fd, const struct address *peer);
/* What is shared has changed: tells those whom it concerns. */
void server_look(struct server *server);
/*
 * No new sessions; messages in flight are finished, 421 at the next command boundary. With grace
 * nobody is told before a first transaction or within one until so many milliseconds have passed.
 * `done` is called when the last session is gone, possibly before this returns.
 */
void server_drain(struct server *server, int64_t grace_ms, void (*done)(void *arg), void *arg);
/* Closes what is left at once. Not before the jobs and the queue have ended. */
void server_free(struct server **server);

struct server_figures {
	uint64_t open, transactions; /* sessions now; those between MAIL and its end */
	uint64_t connections, connections_refused;
	uint64_t messages, messages_refused, recipients_refused;
	uint64_t auth_succeeded, auth_failed;
	uint64_t sessions_cut; /* ended by us: errors, floods, slowness */
	uint64_t delayed;      /* replies that were kept back */
};
/* From any thread. */
void server_figures(const struct server *server, struct server_figures *ret);

#endif
