/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - one client's connection to the relay, from accept to close.
 *
 * Belongs to its server and to that server's loop. Commands are executed one after another; where a
 * hook may block, the whole session moves to a policy thread for the rest of the batch and comes
 * back in the job's `done`. Only server.c includes this; session_inner.h has the insides.
 */
#ifndef CORE_SMTP_SESSION_H
#define CORE_SMTP_SESSION_H

#include <core/config/relay.h>
#include <core/net/address.h>
#include <core/smtp/crowd.h>
#include <core/smtp/server.h>

struct session;

/* How the configuration looks upon a client's address. */
enum session_place {
	SESSION_OUTSIDE, /* the listener has networks or accounts, the address is none of theirs */
	SESSION_ANYONE,  /* may connect; relays only with AUTH */
	SESSION_TRUSTED, /* loopback, unix, in one of the listener's or of an account's networks */
};

struct session_client {
	const struct address *address; /* copied */
	enum session_place place;
	bool proxied; /* a proxy that is believed told the address, or that it is its own */
	bool shared;  /* many users share the address (relay.shared_networks) */
	struct crowd_place *crowd; /* what it is counted by; NULL: by nothing of its own */
};

/* Takes the descriptor, also on failure. `generation` has `listener`. The greeting follows. */
int session_open(struct server *server, struct generation *generation,
    const struct config_listener *listener, int fd, const struct session_client *client);
/*
 * The server drains, leaves or takes no new mail: says 421 at the next command boundary that this
 * ends, at once where nothing is under way.
 */
void session_drain(struct session *session);
/* Ends at once: no reply, no hook. Only when no policy thread and no queue can know of it. */
void session_close(struct session *session);
struct session *session_next(const struct session *session);

#endif
