/* SPDX-License-Identifier: Apache-2.0 */
/* server_inner.h - the server as its sessions see it; nobody else includes it. */
#ifndef CORE_SMTP_SERVER_INNER_H
#define CORE_SMTP_SERVER_INNER_H

#include <core/smtp/server.h>
#include <core/smtp/session.h>
#include <stdatomic.h>

/* A listener's networks, and the relay's shared ones, ready to compare. */
struct server_networks {
	const struct config_listener *listener; /* NULL: the shared ones */
	size_t count;
	struct network *networks;
};

struct server {
	struct server_parts parts;
	struct generation *generation; /* held */
	SSL_CTX *tls;                  /* held */
	struct arena arena;            /* of the compiled networks */
	struct server_networks *listeners, shared;
	size_t listener_count;
	struct session *sessions;
	void (*drained)(void *arg);
	void *drained_arg;
	/* Read and written by policy threads too. */
	atomic_bool draining;
	_Atomic uint64_t open, connections, connections_refused;
	_Atomic uint64_t messages, messages_refused, recipients_refused;
	_Atomic uint64_t auth_succeeded, auth_failed;
};

static inline void
server_count(_Atomic uint64_t *figure)
{
	atomic_fetch_add_explicit(figure, 1, memory_order_relaxed);
}

/* The listener of that name in the server's generation, or NULL. */
const struct config_listener *server_listener(const struct server *server, const char *name);
enum session_place server_place(const struct server *server, const struct config_listener *listener,
    const struct address *peer);
/* A session's last call: it is gone. `peer` as accepted. */
void server_forget(struct server *server, const struct address *peer);

#endif
