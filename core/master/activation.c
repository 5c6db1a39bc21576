/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activation.c - listening sockets that systemd has opened for us (sd_listen_fds(3)).
 *
 * Called by the master at its start. Matched ones are like those it has opened itself from then
 * on: reloads and relays keep them. Must never leave one unused: somebody would connect to it and
 * wait for ever.
 */
#include <core/master/activation.h>
#include <core/net/address.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

void
activation_take(struct activation *activation)
{
	activation->names = NULL;
	activation->count = sd_listen_fds_with_names(true, &activation->names);
}

void
activation_free(struct activation *activation)
{
	for (int i = 0; i < activation->count && activation->names; i++)
		free(activation->names[i]);
	free(activation->names);
	activation->names = NULL;
	activation->count = 0;
}

/* Without IPv6 systemd opens 0.0.0.0 for what is "*" here. */
static bool
is_any4_for_any6(const struct address *got, const struct address *wanted)
{
	const struct sockaddr_in *sin = (const struct sockaddr_in *)&got->sa;
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&wanted->sa;

	return got->sa.ss_family == AF_INET && sin->sin_addr.s_addr == htonl(INADDR_ANY) &&
	       wanted->sa.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&sin6->sin6_addr) &&
	       address_port(got) == address_port(wanted);
}

static bool
is_at(const struct checker_listener *listener, const struct address *got)
{
	char one[ADDRESS_TEXT], other[ADDRESS_TEXT];
	struct address wanted;

	if (address_parse(listener->address, 0, &wanted, NULL) < 0)
		return false;
	address_format(got, one);
	address_format(&wanted, other);
	return strcmp(one, other) == 0 || is_any4_for_any6(got, &wanted);
}

static const struct checker_listener *
find(const struct checker_answer *answer, const char *name, const struct address *got)
{
	for (size_t i = 0; i < answer->listener_count; i++)
		if (strcmp(answer->listeners[i].name, name) == 0)
			return &answer->listeners[i];
	for (size_t i = 0; i < answer->listener_count; i++)
		if (is_at(&answer->listeners[i], got))
			return &answer->listeners[i];
	return NULL;
}

static int
add(struct sockets *sockets, const struct checker_listener *listener, int fd)
{
	for (size_t i = 0; i < sockets->count; i++)
		if (strcmp(sockets->items[i].address, listener->address) == 0)
			return -EEXIST;
	snprintf(sockets->items[sockets->count].address, sizeof(sockets->items[0].address), "%s",
	    listener->address);
	sockets->items[sockets->count++].fd = fd;
	return 0;
}

/* As listener_bind leaves them: a relay accepts until there is no more. */
static int
set_up(int fd, const struct address *address)
{
	int flags = fcntl(fd, F_GETFL), on = 1;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	if (address->sa.ss_family != AF_UNIX &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}

static int
match(int fd, const char *name, const struct checker_answer *answer, struct sockets *ret,
    struct pn_error *err)
{
	struct address got = { .len = sizeof(got.sa) };
	const struct checker_listener *listener;
	char text[ADDRESS_TEXT];
	int r;

	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0 ||
	    getsockname(fd, (struct sockaddr *)&got.sa, &got.len) < 0)
		return pn_error_set(err, -ENOTSOCK,
		    "systemd passes \"%s\", descriptor %d, which is no listening stream socket: "
		    "write ListenStream= and Accept=no",
		    name, fd);
	address_format(&got, text);
	listener = find(answer, name, &got);
	if (!listener)
		return pn_error_set(err, -ENOENT,
		    "systemd passes \"%s\", %s, and no listener has that name or address; see "
		    "FileDescriptorName= and ListenStream=",
		    name, text);
	r = add(ret, listener, fd);
	if (r < 0)
		return pn_error_set(err, r,
		    "systemd passes \"%s\", %s, and listener \"%s\" has a socket from it already",
		    name, text, listener->name);
	r = set_up(fd, &got);
	return r < 0
		   ? pn_error_set(err, r, "systemd passes \"%s\", %s: %s", name, text, strerror(-r))
		   : 0;
}

int
activation_match(const struct activation *activation, const struct checker_answer *answer,
    struct sockets *ret, struct pn_error *err)
{
	int r = 0;

	if (activation->count < 0)
		return pn_error_set(err, activation->count, "the sockets that systemd passes: %s",
		    strerror(-activation->count));
	for (int i = 0; i < activation->count && r == 0; i++)
		r = match(SD_LISTEN_FDS_START + i, activation->names[i], answer, ret, err);
	return r;
}
