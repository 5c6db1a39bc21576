/* SPDX-License-Identifier: Apache-2.0 */
/* server_inner.h - the server as its sessions see it; nobody else includes it. */
#ifndef CORE_SMTP_SERVER_INNER_H
#define CORE_SMTP_SERVER_INNER_H

#include <core/smtp/crowd.h>
#include <core/smtp/server.h>
#include <core/smtp/session.h>
#include <stdatomic.h>

/* Networks of the configuration, ready to compare. */
struct server_networks {
	size_t count;
	struct network *networks;
};

struct server_listener {
	const struct config_listener *listener;
	struct server_networks networks, proxy;
	SSL_CTX *tls; /* held; NULL: no TLS */
};

struct server {
	struct server_parts parts;
	struct generation *generation; /* held */
	struct arena arena;            /* of the compiled networks */
	struct server_listener *listeners;
	struct server_networks shared;
	struct crowd_limits limits;
	size_t listener_count;
	struct session *sessions;
	struct proxied *proxied; /* connections whose PROXY header has not come */
	void (*drained)(void *arg);
	void *drained_arg;
	struct loop_timer grace;
	/* Read and written by policy threads too. */
	atomic_bool draining; /* 421 at every command boundary */
	atomic_bool leaving;  /* at those between transactions */
	_Atomic uint64_t open, transactions, connections, connections_refused;
	_Atomic uint64_t messages, messages_refused, recipients_refused;
	_Atomic uint64_t auth_succeeded, auth_failed;
	_Atomic uint64_t sessions_cut, delayed;
};

static inline void
server_count(_Atomic uint64_t *figure)
{
	atomic_fetch_add_explicit(figure, 1, memory_order_relaxed);
}

/* Who the client is is known: limits, then a session. Takes the descriptor. */
void server_admit(struct server *server, const struct config_listener *listener, int fd,
    const struct address *client, bool proxied);
/* The listener of that name in the server's generation, or NULL. */
const struct config_listener *server_listener(const struct server *server, const char *name);
/* The context for a listener of that name; NULL: none. */
SSL_CTX *server_tls(const struct server *server, const char *name);
/* How the listener looks upon this address: that of the connection, or what a proxy told. */
enum session_place server_place(const struct server *server, const struct config_listener *listener,
    const struct address *peer, bool proxied);
/* A session's last call: it is gone. `crowd` as admitted; `offends`: its network pays for it. */
void server_forget(struct server *server, struct crowd_place *crowd, bool offends);

/* ---- server_proxy.c ---- */
/*
 * Waits for the PROXY header and then admits the client. Takes the descriptor, but not on failure:
 * -EMFILE: too many connections; -ENOMEM.
 */
int server_proxy_open(
    struct server *server, const char *listener, int fd, const struct address *peer);
/* Closes all that wait. */
void server_proxy_close(struct server *server);

#endif
