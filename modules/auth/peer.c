/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.c - talks over a unix socket, never longer than it was given time.
 *
 * Called by backend_saslauthd.c and backend_dovecot.c on policy threads.
 */
#include "peer.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int
fail(const struct peer *peer, int r, const char *doing, struct pn_error *err)
{
	char words[128];

	return pn_error_set(
	    err, r, "%s: %s: %s", peer->path, doing, strerror_r(-r, words, sizeof(words)));
}

/* Until the socket is ready. 0, -ETIMEDOUT. */
static int
wait_for(const struct peer *peer, short events)
{
	struct pollfd ready = { .fd = peer->fd, .events = events };

	for (;;) {
		int64_t left = peer->due_ms - now_ms();

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&ready, 1, left > 60000 ? 60000 : (int)left) > 0)
			return 0;
	}
}

bool
peer_path_fits(const char *path)
{
	return strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path);
}

/* A listener whose queue is full says EAGAIN: then it is asked again. */
static int
connect_to(const struct peer *peer, const struct sockaddr_un *sa)
{
	const struct timespec pause = { 0, 10000000 };

	while (connect(peer->fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (now_ms() >= peer->due_ms)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

int
peer_open(struct peer *peer, const char *path, int64_t ms, struct pn_error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int r;

	*peer = (struct peer){ -1, now_ms() + ms, path };
	if (!peer_path_fits(path))
		return fail(peer, -ENAMETOOLONG, "connecting", err);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (peer->fd < 0)
		return fail(peer, -errno, "connecting", err);
	r = connect_to(peer, &sa);
	if (r == 0)
		return 0;
	peer_close(peer);
	return fail(peer, r, "connecting", err);
}

int
peer_send(struct peer *peer, const void *bytes, size_t len, struct pn_error *err)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t sent = send(peer->fd, at, len, MSG_NOSIGNAL);
		int r = sent < 0 ? -errno : 0;

		if (r == -EAGAIN)
			r = wait_for(peer, POLLOUT);
		if (r < 0 && r != -EINTR)
			return fail(peer, r, "sending", err);
		if (sent > 0) {
			at += sent;
			len -= (size_t)sent;
		}
	}
	return 0;
}

int
peer_receive(struct peer *peer, void *bytes, size_t most, struct pn_error *err)
{
	for (;;) {
		int r = wait_for(peer, POLLIN);
		ssize_t got = r == 0 ? recv(peer->fd, bytes, most, 0) : -1;

		if (got > 0)
			return (int)got;
		if (r == 0)
			r = got == 0 ? -EPIPE : -errno;
		if (r != -EAGAIN && r != -EINTR)
			return fail(peer, r, "waiting for its answer", err);
	}
}

void
peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}
