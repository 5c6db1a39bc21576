/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.c - the receiving side of one loop.
 *
 * Called by the relay process: accepted connections, new configurations, drain. Who may connect is
 * decided here, before a session costs anything.
 */
#include <core/base/log.h>
#include <core/config/roster.h>
#include <core/smtp/reply.h>
#include <core/smtp/server_inner.h>
#include <core/smtp/server_shared.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define OFFENCES_A_MINUTE 10 /* sessions sent away for errors that use up a network's rate */

int
server_new(const struct server_parts *parts, struct server **ret)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->parts = *parts;
	*ret = server;
	return 0;
}

/* ---- networks ---------------------------------------------------------------------------------
 */

/* The list that a name in `relay.networks` stands for; NULL: no such name. */
static const struct pn_strings *
named_networks(const struct config_relay *relay, const char *name)
{
	const struct pn_strings *lists = relay->networks.values;

	for (size_t i = 0; i < relay->networks.count; i++)
		if (strcmp(relay->networks.keys[i], name) == 0)
			return &lists[i];
	return NULL;
}

static int
add_network(
    struct arena *arena, struct server_networks *ret, const char *text, struct pn_error *err)
{
	struct network *more;

	if ((ret->count & (ret->count - 1)) == 0) { /* full at each power of two */
		more = arena_alloc(arena, (ret->count ? ret->count * 2 : 1) * sizeof(*more));
		if (ret->count > 0)
			memcpy(more, ret->networks, ret->count * sizeof(*more));
		ret->networks = more;
	}
	return network_parse(text, &ret->networks[ret->count++], err);
}

static int
compile(const struct pn_strings *texts, struct arena *arena, struct server_networks *ret,
    struct pn_error *err)
{
	int r = 0;

	for (size_t i = 0; i < texts->count && r == 0; i++)
		r = add_network(arena, ret, texts->items[i], err);
	return r;
}

static int
compile_shared(const struct config_relay *relay, struct arena *arena, struct server_networks *ret,
    struct pn_error *err)
{
	int r = 0;

	for (size_t i = 0; i < relay->shared_networks.count && r == 0; i++) {
		const struct pn_strings *named = named_networks(
		    relay, relay->shared_networks.items[i]);

		if (named)
			r = compile(named, arena, ret, err);
	}
	return r;
}

static bool
contains(const struct server_networks *networks, const struct address *peer)
{
	for (size_t i = 0; i < networks->count; i++)
		if (network_contains(&networks->networks[i], peer))
			return true;
	return false;
}

const struct config_listener *
server_listener(const struct server *server, const char *name)
{
	for (size_t i = 0; i < server->listener_count; i++)
		if (strcmp(server->listeners[i].listener->name, name) == 0)
			return server->listeners[i].listener;
	return NULL;
}

SSL_CTX *
server_tls(const struct server *server, const char *name)
{
	for (size_t i = 0; i < server->listener_count; i++)
		if (strcmp(server->listeners[i].listener->name, name) == 0)
			return server->listeners[i].tls;
	return NULL;
}

static const struct server_listener *
compiled_listener(const struct server *server, const struct config_listener *listener)
{
	for (size_t i = 0; i < server->listener_count; i++)
		if (server->listeners[i].listener == listener)
			return &server->listeners[i];
	return NULL;
}

/* In a network of an account, or where the listener is for some accounts, of one of these. */
static bool
is_of_accounts(
    const struct server *server, const struct config_listener *listener, const struct address *peer)
{
	const struct pn_account *account = roster_network_account(
	    generation_roster(server->generation), peer);

	if (!account || listener->accounts.count == 0)
		return account;
	for (size_t i = 0; i < listener->accounts.count; i++)
		if (strcmp(listener->accounts.items[i], account->name) == 0)
			return true;
	return false;
}

enum session_place
server_place(const struct server *server, const struct config_listener *listener,
    const struct address *peer, bool proxied)
{
	const struct server_listener *compiled = compiled_listener(server, listener);

	if (peer->sa.ss_family == AF_UNIX)
		return SESSION_TRUSTED;
	if (compiled && contains(&compiled->networks, peer))
		return SESSION_TRUSTED;
	/* `networks` alone are who may connect at all, accounts' or not. */
	if (compiled && compiled->networks.count > 0 && listener->accounts.count == 0)
		return SESSION_OUTSIDE;
	if (is_of_accounts(server, listener, peer))
		return SESSION_TRUSTED;
	if (listener->accounts.count > 0)
		return SESSION_OUTSIDE;
	/* What a proxy brings, or does not name, may be anybody's: only `networks` can trust it. */
	return !proxied && address_is_loopback(peer) ? SESSION_TRUSTED : SESSION_ANYONE;
}

static void
free_contexts(struct server *server)
{
	for (size_t i = 0; i < server->listener_count; i++)
		SSL_CTX_free(server->listeners[i].tls);
}

int
server_configure(
    struct server *server, struct generation *generation, SSL_CTX *const *tls, struct pn_error *err)
{
	const struct config_relay *relay = &generation_core(generation)->relay;
	const struct config_listener *listeners = relay->listeners.items;
	struct server_networks shared = { 0 };
	struct server_listener *compiled;
	struct arena arena = { 0 };
	int r;

	compiled = arena_alloc(&arena, (relay->listeners.count + 1) * sizeof(*compiled));
	r = compile_shared(relay, &arena, &shared, err);
	for (size_t i = 0; i < relay->listeners.count && r == 0; i++) {
		compiled[i].listener = &listeners[i];
		r = compile(&listeners[i].networks, &arena, &compiled[i].networks, err);
		if (r == 0)
			r = compile(&listeners[i].proxy, &arena, &compiled[i].proxy, err);
	}
	if (r < 0) {
		arena_free(&arena);
		return r;
	}
	generation_hold(generation);
	for (size_t i = 0; i < relay->listeners.count; i++) {
		compiled[i].tls = tls[i];
		if (tls[i])
			SSL_CTX_up_ref(tls[i]);
	}
	if (server->generation)
		generation_release(&server->generation);
	free_contexts(server);
	arena_free(&server->arena);
	server->generation = generation;
	server->arena = arena;
	server->listeners = compiled;
	server->listener_count = relay->listeners.count;
	server->shared = shared;
	server->limits = (struct crowd_limits){
		.all = relay->limits.connections,
		.here = relay->limits.connections_per_address,
		.per_second = relay->limits.connections_per_second,
		.per_minute = relay->limits.connections_per_minute,
		.ip6_bits = (unsigned)relay->limits.ip6_prefix,
	};
	mail_bytes_budget((size_t)relay->limits.memory);
	return 0;
}

/* ---- connections ------------------------------------------------------------------------------
 */

/* Says why, if the socket takes it at once, and closes. Not inside TLS: there is none yet. */
static void
turn_away(const struct config_listener *listener, int fd, const char *text)
{
	struct buf out = BUF_INIT(REPLY_LINE_MOST);

	if (listener && listener->tls != CONFIG_TLS_IMPLICIT &&
	    reply_format(&out, 421, "4.7.0", text, false) == 0)
		(void)!write(fd, out.data, out.len);
	buf_free(&out);
	close(fd);
}

static void
refuse(struct server *server, const struct config_listener *listener, int fd,
    const struct address *peer, const char *text)
{
	char host[ADDRESS_TEXT];

	address_host(peer, host);
	if (log_repeats(PN_LOG_NOTICE, "refused", text, host))
		log_event(PN_LOG_NOTICE, "refused", "what", "connect", "code", "421", "text", text,
		    "client", host, "listener", listener ? listener->name : NULL, NULL);
	server_count(&server->connections_refused);
	turn_away(listener, fd, text);
}

/* Many users share such an address: it counts only among all. */
static bool
is_shared(const struct server *server, const struct address *peer)
{
	return peer->sa.ss_family == AF_UNIX || contains(&server->shared, peer);
}

static const char *
why(int r)
{
	switch (r) {
	case -EUSERS:
		return "Too many connections from you";
	case -EDQUOT:
		return "Too many new connections from you, send more messages over each";
	case -EBUSY:
		return "Too many new connections";
	default:
		return "Too many connections";
	}
}

void
server_admit(struct server *server, const struct config_listener *listener, int fd,
    const struct address *client, bool proxied)
{
	struct session_client who = { .address = client,
		.place = server_place(server, listener, client, proxied),
		.proxied = proxied,
		.shared = is_shared(server, client) };
	int r = crowd_enter(server_shared_crowd(server->parts.shared), &server->limits,
	    who.shared ? NULL : client, loop_now(server->parts.loop), &who.crowd);

	if (r < 0) {
		refuse(server, listener, fd, client, why(r));
		return;
	}
	atomic_fetch_add(&server->open, 1);
	r = session_open(server, server->generation, listener, fd, &who);
	if (r < 0) {
		log_text(PN_LOG_ERROR, "cannot begin a session: %s", strerror(-r));
		server_forget(server, who.crowd, false);
	}
}

void
server_accept(struct server *server, const char *name, int fd, const struct address *peer)
{
	const struct config_listener *listener = server_listener(server, name);

	server_count(&server->connections);
	if (!listener || atomic_load(&server->draining)) {
		turn_away(listener, fd, "Going down, try again");
		return;
	}
	if (!contains(&compiled_listener(server, listener)->proxy, peer))
		server_admit(server, listener, fd, peer, false);
	else if (server_proxy_open(server, name, fd, peer) < 0)
		refuse(server, listener, fd, peer, "Too many connections");
}

static void
tell_drained(struct server *server)
{
	void (*drained)(void *arg) = server->drained;

	if (!drained || server->sessions || server->proxied)
		return;
	loop_timer_cancel(server->parts.loop, &server->grace);
	server->drained = NULL;
	drained(server->drained_arg);
}

void
server_forget(struct server *server, struct crowd_place *place, bool offends)
{
	struct crowd *crowd = server_shared_crowd(server->parts.shared);
	int64_t now = loop_now(server->parts.loop);

	if (offends)
		crowd_charge(crowd, &server->limits, place,
		    server->limits.per_minute / OFFENCES_A_MINUTE, now);
	crowd_leave(crowd, place, now);
	atomic_fetch_sub(&server->open, 1);
	tell_drained(server);
}

void
server_look(struct server *server)
{
	struct session *next;

	for (struct session *session = server->sessions; session; session = next) {
		next = session_next(session);
		session_drain(session);
	}
}

static void
drain_sessions(struct server *server)
{
	server_look(server);
	tell_drained(server);
}

static void
grace_ends(struct loop_timer *timer)
{
	struct server *server = (struct server *)((char *)timer - offsetof(struct server, grace));

	atomic_store(&server->draining, true);
	server_proxy_close(server);
	drain_sessions(server);
}

void
server_drain(struct server *server, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
	server->drained = done;
	server->drained_arg = arg;
	if (grace_ms == 0) {
		grace_ends(&server->grace);
		return;
	}
	atomic_store(&server->leaving, true);
	server->grace.fire = grace_ends;
	loop_timer_set(server->parts.loop, &server->grace, grace_ms);
	drain_sessions(server);
}

void
server_free(struct server **server)
{
	struct session *next;

	if (!*server)
		return;
	(*server)->drained = NULL;
	loop_timer_cancel((*server)->parts.loop, &(*server)->grace);
	server_proxy_close(*server);
	for (struct session *session = (*server)->sessions; session; session = next) {
		next = session_next(session);
		session_close(session);
	}
	if ((*server)->generation)
		generation_release(&(*server)->generation);
	free_contexts(*server);
	arena_free(&(*server)->arena);
	free(*server);
	*server = NULL;
}

void
server_figures(const struct server *server, struct server_figures *ret)
{
	*ret = (struct server_figures){
		.open = server->open,
		.transactions = server->transactions,
		.connections = server->connections,
		.connections_refused = server->connections_refused,
		.messages = server->messages,
		.messages_refused = server->messages_refused,
		.recipients_refused = server->recipients_refused,
		.auth_succeeded = server->auth_succeeded,
		.auth_failed = server->auth_failed,
		.sessions_cut = server->sessions_cut,
		.delayed = server->delayed,
	};
}
