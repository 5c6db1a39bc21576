/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_proxy.c - connections of proxies that are believed, until they have said who their client
 * is.
 *
 * Called by server.c before there is a session, on the loop. Must never take a byte behind the
 * header off the socket: it may be the beginning of a TLS handshake, which is the stream's. So the
 * kernel's buffer is looked at first, and then only what belongs to the header is read.
 */
#include <core/base/log.h>
#include <core/net/loop.h>
#include <core/smtp/proxy.h>
#include <core/smtp/server_inner.h>
#include <core/smtp/server_shared.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct proxied {
	struct server *server;
	struct proxied *next, **link; /* the server's list */
	struct loop_io io;
	struct loop_timer timer;
	struct address peer;
	char *listener;
	size_t len;
	char bytes[PROXY_HEADER_MOST];
};

/* The descriptor is still to be closed or given away. */
static void
leave(struct proxied *proxied)
{
	struct server *server = proxied->server;

	loop_timer_cancel(server->parts.loop, &proxied->timer);
	*proxied->link = proxied->next;
	if (proxied->next)
		proxied->next->link = proxied->link;
	crowd_leave(server_shared_crowd(server->parts.shared), NULL, loop_now(server->parts.loop));
	free(proxied->listener);
	free(proxied);
}

static void
drop(struct proxied *proxied)
{
	loop_forget(proxied->server->parts.loop, &proxied->io);
	close(proxied->io.fd);
	leave(proxied);
}

/* Without a greeting: who speaks out of turn here is no mail client. */
static void
refuse(struct proxied *proxied, enum pn_level level, const char *text)
{
	char host[ADDRESS_TEXT];

	address_host(&proxied->peer, host);
	if (log_repeats(level, "proxy-refused", text, host))
		log_event(level, "proxy-refused", "text", text, "client", host, "listener",
		    proxied->listener, NULL);
	server_count(&proxied->server->connections_refused);
	drop(proxied);
}

static void
pass_on(struct proxied *proxied, const struct proxy_header *header)
{
	struct server *server = proxied->server;
	const struct config_listener *listener = server_listener(server, proxied->listener);
	struct address client = header->told ? header->client : proxied->peer;
	int fd = proxied->io.fd;

	if (!listener) { /* taken out of the configuration meanwhile */
		drop(proxied);
		return;
	}
	loop_unwatch(server->parts.loop, &proxied->io);
	leave(proxied);
	server_admit(server, listener, fd, &client, true);
}

static void
ready(struct loop_io *io, uint32_t events)
{
	struct proxied *proxied = (struct proxied *)((char *)io - offsetof(struct proxied, io));
	char *end = proxied->bytes + proxied->len;
	ssize_t n = recv(io->fd, end, sizeof(proxied->bytes) - proxied->len, MSG_PEEK);
	struct proxy_header header;
	size_t take;
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* many proxies see whether we live like this */
		refuse(proxied, PN_LOG_INFO, "closed before its PROXY header");
		return;
	}
	r = proxy_parse(pn_slice(proxied->bytes, proxied->len + (size_t)n), &header);
	if (r < 0) {
		refuse(proxied, PN_LOG_NOTICE, "not a PROXY header");
		return;
	}
	take = r > 0 ? (size_t)r - proxied->len : (size_t)n;
	if (recv(io->fd, end, take, 0) != (ssize_t)take) {
		refuse(proxied, PN_LOG_INFO, "closed before its PROXY header");
		return;
	}
	proxied->len += take;
	if (r > 0)
		pass_on(proxied, &header);
}

static void
late(struct loop_timer *timer)
{
	refuse((struct proxied *)((char *)timer - offsetof(struct proxied, timer)), PN_LOG_NOTICE,
	    "no PROXY header in time");
}

int
server_proxy_open(struct server *server, const char *listener, int fd, const struct address *peer)
{
	const struct config_limits *limits = &generation_core(server->generation)->relay.limits;
	/* Their clients are counted when they are known, and then for good. */
	const struct crowd_limits all = { .all = limits->connections };
	struct crowd *crowd = server_shared_crowd(server->parts.shared);
	struct crowd_place *nobody;
	struct proxied *proxied;
	int r;

	r = crowd_enter(crowd, &all, NULL, loop_now(server->parts.loop), &nobody);
	if (r < 0)
		return r;
	proxied = calloc(1, sizeof(*proxied));
	if (!proxied || !(proxied->listener = strdup(listener))) {
		free(proxied);
		crowd_leave(crowd, NULL, loop_now(server->parts.loop));
		return -ENOMEM;
	}
	proxied->server = server;
	proxied->io = (struct loop_io){ .ready = ready, .fd = fd };
	proxied->timer.fire = late;
	proxied->peer = *peer;
	proxied->next = server->proxied;
	proxied->link = &server->proxied;
	if (proxied->next)
		proxied->next->link = &proxied->next;
	server->proxied = proxied;
	r = loop_watch(server->parts.loop, &proxied->io, EPOLLIN);
	if (r < 0)
		leave(proxied);
	else
		loop_timer_set(server->parts.loop, &proxied->timer, limits->tls_timeout);
	return r;
}

void
server_proxy_close(struct server *server)
{
	while (server->proxied)
		drop(server->proxied);
}
