/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.c - datagrams with descriptors between a process and its crypt helpers.
 *
 * Called by pool.c and helper.c. Must never trust a length or keep a descriptor nobody asked for.
 */
#include <core/crypt/frame.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * FRAME_FDS)];
};

int
frame_send(int fd, const void *bytes, size_t len, const int *fds)
{
	struct iovec part;
	union control control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;

	memcpy(&part.iov_base, &bytes, sizeof(bytes)); /* only read; the struct has no const */
	part.iov_len = len;
	if (fds) {
		struct cmsghdr *cmsg;

		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&message);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * FRAME_FDS);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * FRAME_FDS);
	}
	do
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
	return 0;
}

static size_t
take_fds(struct msghdr *message, int *fds)
{
	size_t count = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg;
	     cmsg = CMSG_NXTHDR(message, cmsg)) {
		size_t here;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		here = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < here; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
			if (count < FRAME_FDS)
				fds[count++] = fd;
			else
				close(fd);
		}
	}
	return count;
}

int
frame_receive(int fd, void *bytes, size_t len, int *fds)
{
	struct iovec part = { bytes, len };
	union control control;
	struct msghdr message = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	int got[FRAME_FDS];
	size_t count;
	ssize_t n;

	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 || errno == ECONNRESET ? 0 : -errno;
	count = take_fds(&message, got);
	if ((size_t)n == len && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	    count == (fds ? FRAME_FDS : 0)) {
		if (fds)
			memcpy(fds, got, sizeof(got));
		return 1;
	}
	for (size_t i = 0; i < count; i++)
		close(got[i]);
	return -EPROTO;
}
