/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sockets.c - opens listening sockets while still root.
 *
 * Called by the master. A socket may be busy for a moment: a relay whose master was killed closes
 * its sockets as soon as it notices.
 */
#include <core/base/clock.h>
#include <core/master/sockets.h>
#include <core/net/listener.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define RETRY_MS 50

static int
find(const struct sockets *sockets, const char *address)
{
	for (size_t i = 0; i < sockets->count; i++)
		if (strcmp(sockets->items[i].address, address) == 0)
			return sockets->items[i].fd;
	return -1;
}

static int
bind_patiently(const struct address *address, const struct listener_access *access,
    int64_t patience_ms, int *ret_fd, struct pn_error *err)
{
	int64_t until = clock_monotonic_ms() + patience_ms;
	int r;

	while ((r = listener_bind_as(address, access, ret_fd, err)) == -EADDRINUSE &&
	       clock_monotonic_ms() < until)
		poll(NULL, 0, RETRY_MS);
	return r;
}

static int
open_one(
    const struct checker_listener *listener, int64_t patience_ms, int *ret_fd, struct pn_error *err)
{
	struct address address;
	int r = address_parse(listener->address, 0, &address, err);

	if (r == 0)
		r = bind_patiently(&address, &listener->access, patience_ms, ret_fd, err);
	if (r < 0)
		pn_error_in(err, "listener %s", listener->name);
	return r;
}

int
sockets_open(const struct sockets *have, const struct checker_answer *wanted, int64_t patience_ms,
    struct sockets *ret, struct pn_error *err)
{
	ret->count = 0;
	for (size_t i = 0; i < wanted->listener_count; i++) {
		const struct checker_listener *listener = &wanted->listeners[i];
		int fd = find(have, listener->address), r = 0;

		if (fd < 0)
			r = open_one(listener, patience_ms, &fd, err);
		if (r < 0) {
			sockets_close_others(ret, have);
			return r;
		}
		snprintf(
		    ret->items[i].address, sizeof(ret->items[i].address), "%s", listener->address);
		ret->items[i].fd = fd;
		ret->count++;
	}
	return 0;
}

void
sockets_close_others(struct sockets *old, const struct sockets *keep)
{
	for (size_t i = 0; i < old->count; i++)
		if (find(keep, old->items[i].address) < 0)
			close(old->items[i].fd);
	old->count = 0;
}
