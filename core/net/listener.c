/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.c - binds listening sockets and accepts from them.
 *
 * Binding is called by the master (it may be root, so it touches nothing but a socket's path);
 * acceptors run on the relay's loops. A shortage of descriptors must never end an acceptor: the
 * connections wait in the kernel's backlog until some are closed.
 */
#include <core/base/log.h>
#include <core/net/listener.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG    1024
#define BATCH_MOST 16
#define PAUSE_MS   200

/* ---- binding --------------------------------------------------------------------------------- */

static bool
is_any6(const struct address *address)
{
	const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&address->sa;

	return address->sa.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&sin6->sin6_addr);
}

static int
set_options(int fd, const struct address *address)
{
	int on = 1, only6 = !is_any6(address);

	if (address->sa.ss_family == AF_UNIX)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return -errno;
	if (address->sa.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6)) < 0)
		return -errno;
	return 0;
}

/* True when a socket lies there that refuses connections: left behind by a process that died. */
static bool
is_stale(const struct address *address)
{
	const struct sockaddr_un *sun = (const struct sockaddr_un *)&address->sa;
	struct stat st;
	bool stale;
	int fd;

	if (lstat(sun->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)&address->sa, address->len) < 0 &&
		errno == ECONNREFUSED;
	close(fd);
	return stale;
}

/* By a descriptor: whose folder it is may put a link in the way. Mode first: then it is ours. */
static int
give_access(const char *path, const struct listener_access *access)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), r = 0;
	char name[40];
	struct stat st;

	if (fd < 0)
		return -errno;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISSOCK(st.st_mode))
		r = -EEXIST;
	else if (chmod(name, access->mode) < 0)
		r = -errno;
	else if ((access->uid != (uid_t)-1 || access->gid != (gid_t)-1) &&
		 fchownat(fd, "", access->uid, access->gid, AT_EMPTY_PATH) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int
bind_unix(int fd, const struct address *address, const struct listener_access *access)
{
	const struct sockaddr_un *sun = (const struct sockaddr_un *)&address->sa;

	if (is_stale(address) && unlink(sun->sun_path) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address->sa, address->len) < 0)
		return -errno;
	return give_access(sun->sun_path, access);
}

static int
bind_socket(int fd, const struct address *address, const struct listener_access *access)
{
	int r = set_options(fd, address);

	if (r < 0)
		return r;
	if (address->sa.ss_family == AF_UNIX)
		r = bind_unix(fd, address, access);
	else if (bind(fd, (const struct sockaddr *)&address->sa, address->len) < 0)
		r = -errno;
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = -errno;
	return r;
}

static int
open_listener(const struct address *address, const struct listener_access *access, int *ret_fd)
{
	int fd = socket(address->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = bind_socket(fd, address, access);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static const char *
advice(int r)
{
	switch (r) {
	case -EACCES:
		return "; ports below 1024 are for root and for CAP_NET_BIND_SERVICE";
	case -EADDRINUSE:
		return "; another program listens there, \"ss -ltnp\" names it";
	case -EPERM:
		return "; only root may give a socket to another user or group";
	case -EADDRNOTAVAIL:
		return "; this machine has no such address, \"ip address\" shows those it has";
	default:
		return "";
	}
}

int
listener_bind_as(const struct address *address, const struct listener_access *access, int *ret_fd,
    struct pn_error *err)
{
	char text[ADDRESS_TEXT];
	struct address any4 = { .len = sizeof(struct sockaddr_in) };
	int r = open_listener(address, access, ret_fd);

	if ((r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) && is_any6(address)) {
		any4.sa.ss_family = AF_INET;
		((struct sockaddr_in *)&any4.sa)->sin_port = htons(address_port(address));
		r = open_listener(&any4, access, ret_fd);
	}
	if (r == 0)
		return 0;
	address_format(address, text);
	return pn_error_set(err, r, "cannot listen on %s: %s%s", text, strerror(-r), advice(r));
}

int
listener_bind(const struct address *address, int *ret_fd, struct pn_error *err)
{
	static const struct listener_access everybody = { 0666, (uid_t)-1, (gid_t)-1 };

	return listener_bind_as(address, &everybody, ret_fd, err);
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* EPOLLEXCLUSIVE: of the loops that share the socket, one is woken, not all. */
static int
watch(struct acceptor *acceptor)
{
	return loop_watch(acceptor->loop, &acceptor->io, EPOLLIN | EPOLLEXCLUSIVE);
}

static void
pause_accepting(struct acceptor *acceptor, int error)
{
	log_event(PN_LOG_WARNING, "accept-paused", "error", strerror(error), NULL);
	loop_unwatch(acceptor->loop, &acceptor->io);
	loop_timer_set(acceptor->loop, &acceptor->timer, PAUSE_MS);
}

static void
resume_accepting(struct loop_timer *timer)
{
	struct acceptor *acceptor = (struct acceptor *)(void *)((char *)timer -
								offsetof(struct acceptor, timer));

	if (watch(acceptor) < 0)
		pause_accepting(acceptor, ENOMEM);
}

/* Of these the connection died on the way, or the next one may do better (accept(2)). */
static bool
is_passing(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case EPERM:
		return true;
	default:
		return false;
	}
}

static void
accept_some(struct loop_io *io, uint32_t events)
{
	struct acceptor *acceptor = (struct acceptor *)(void *)((char *)io -
								offsetof(struct acceptor, io));

	for (int i = 0; i < BATCH_MOST && io->events != 0; i++) {
		struct address peer = { .len = sizeof(peer.sa) };
		int fd = accept4(
		    io->fd, (struct sockaddr *)&peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			acceptor->accepted(acceptor, fd, &peer);
		else if (errno == EAGAIN)
			return;
		else if (!is_passing(errno))
			pause_accepting(acceptor, errno);
	}
}

int
acceptor_start(struct acceptor *acceptor, struct loop *loop, int fd,
    void (*accepted)(struct acceptor *acceptor, int fd, const struct address *peer))
{
	*acceptor = (struct acceptor){
		.io = { .ready = accept_some, .fd = fd },
		.timer = { .fire = resume_accepting },
		.loop = loop,
		.accepted = accepted,
	};
	return watch(acceptor);
}

void
acceptor_stop(struct acceptor *acceptor)
{
	loop_unwatch(acceptor->loop, &acceptor->io);
	loop_timer_cancel(acceptor->loop, &acceptor->timer);
}
