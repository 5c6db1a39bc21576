/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults.c - a preloaded library: a disk that fails, a clock that jumps, for as long as a file
 * stands in the folder that POSTERN_TEST_FAULTS names.
 *
 * sync: fdatasync is EIO; full: a write at an offset, as the spool's are, is ENOSPC; broken: it is
 * EIO; read: so is what is read of a segment of the spool, all of it or from one offset up to
 * another; clock: seconds, as text, that the wall clock is ahead of the true one.
 */
#undef _FORTIFY_SOURCE /* it makes pread() an inline function, which is defined here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))
#define NEXT(type, name) \
	type name##_next; \
	do { \
		void *found = dlsym(RTLD_NEXT, #name); \
		memcpy(&name##_next, &found, sizeof(found)); \
	} while (0)

static int
open_fault(const char *name)
{
	const char *folder = getenv("POSTERN_TEST_FAULTS");
	char path[4096];

	if (!folder)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int
stands(const char *name)
{
	int fd = open_fault(name);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

typedef int fdatasync_fn(int fd);

SHOWN int
fdatasync(int fd)
{
	NEXT(fdatasync_fn *, fdatasync);

	if (stands("sync")) {
		errno = EIO;
		return -1;
	}
	return fdatasync_next(fd);
}

typedef ssize_t pwritev_fn(int fd, const struct iovec *parts, int count, off_t offset);

SHOWN ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	NEXT(pwritev_fn *, pwritev);

	if (stands("full")) {
		errno = ENOSPC;
		return -1;
	}
	if (stands("broken")) {
		errno = EIO;
		return -1;
	}
	return pwritev_next(fd, parts, count, offset);
}

static int
is_segment(int fd)
{
	char link[64], path[4096];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path));
	return len > 4 && memcmp(path + len - 4, ".seg", 4) == 0;
}

/* The file may name the offsets: from, and up to but not including. */
static int
cannot_read(size_t count, off_t offset)
{
	char text[64] = "", *end;
	long long from, to;
	int fd = open_fault("read");
	ssize_t len;

	if (fd < 0)
		return 0;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return 1;
	from = strtoll(text, &end, 10);
	to = strtoll(end, NULL, 10);
	return (long long)offset < to && (long long)offset + (long long)count > from;
}

typedef ssize_t pread_fn(int fd, void *bytes, size_t count, off_t offset);

SHOWN ssize_t
pread(int fd, void *bytes, size_t count, off_t offset)
{
	NEXT(pread_fn *, pread);

	if (cannot_read(count, offset) && is_segment(fd)) {
		errno = EIO;
		return -1;
	}
	return pread_next(fd, bytes, count, offset);
}

typedef int accept4_fn(int fd, __SOCKADDR_ARG address, socklen_t *len, int flags);

SHOWN int
accept4(int fd, __SOCKADDR_ARG address, socklen_t *len, int flags)
{
	NEXT(accept4_fn *, accept4);

	if (stands("descriptors")) {
		errno = EMFILE;
		return -1;
	}
	return accept4_next(fd, address, len, flags);
}

typedef int socket_fn(int domain, int type, int protocol);

SHOWN int
socket(int domain, int type, int protocol)
{
	NEXT(socket_fn *, socket);

	if (domain != AF_UNIX && stands("descriptors")) {
		errno = EMFILE;
		return -1;
	}
	return socket_next(domain, type, protocol);
}

/* Asked often, so the file is read for one call of many. */
static long
ahead(void)
{
	static _Atomic unsigned calls;
	static _Atomic long seconds;
	char text[32] = "";
	int fd;

	if (calls++ % 64 == 0) {
		fd = open_fault("clock");
		if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		if (fd >= 0)
			close(fd);
		seconds = strtol(text, NULL, 10);
	}
	return seconds;
}

typedef int clock_gettime_fn(clockid_t clock, struct timespec *ret);

SHOWN int
clock_gettime(clockid_t clock, struct timespec *ret)
{
	NEXT(clock_gettime_fn *, clock_gettime);
	int r = clock_gettime_next(clock, ret);

	if (r == 0 && clock == CLOCK_REALTIME)
		ret->tv_sec += ahead();
	return r;
}
