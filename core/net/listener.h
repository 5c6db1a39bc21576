/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.h - listening sockets, and taking connections from them.
 *
 * The master binds and hands the descriptors down; each loop of the relay accepts from all of them
 * through an acceptor of its own.
 */
#ifndef CORE_NET_LISTENER_H
#define CORE_NET_LISTENER_H

#include <core/net/address.h>
#include <core/net/loop.h>
#include <sys/types.h>

/*
 * A non-blocking listening socket. "*" takes IPv6 and IPv4 (IPv4 alone where there is no IPv6), an
 * IPv6 address only itself. Accepted TCP connections have TCP_NODELAY set. A unix socket that
 * nobody listens on any more is replaced, and its mode is 0666: who may connect is decided by the
 * folder that it lies in. -EADDRINUSE, -EACCES, -EADDRNOTAVAIL ... with the text in `err`.
 */
int listener_bind(const struct address *address, int *ret_fd, struct pn_error *err);

/* Of a unix socket; (uid_t)-1, (gid_t)-1: who opens it. */
struct listener_access {
	mode_t mode;
	uid_t uid;
	gid_t gid;
};
/* The same with another mode and owner, set before anybody can connect. -EPERM */
int listener_bind_as(const struct address *address, const struct listener_access *access,
    int *ret_fd, struct pn_error *err);

/* Embedded in its owner; belongs to one loop. */
struct acceptor {
	struct loop_io io;
	struct loop_timer timer;
	struct loop *loop;
	/* `fd` is non-blocking and the callee's. May stop the acceptor, not free it. */
	void (*accepted)(struct acceptor *acceptor, int fd, const struct address *peer);
};

/*
 * Takes connections from `fd`, which stays the caller's and may be shared with other loops. When
 * the process or the system runs out of descriptors it logs a warning and waits for 200 ms.
 */
int acceptor_start(struct acceptor *acceptor, struct loop *loop, int fd,
    void (*accepted)(struct acceptor *acceptor, int fd, const struct address *peer));
void acceptor_stop(struct acceptor *acceptor);

#endif
