/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.c - frames between master and children.
 *
 * Called by the master, the checker and the relay's main thread. Must never trust a length.
 */
#include <core/master/channel.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

struct head {
	uint32_t type, len, fd_count;
};

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS)];
};

static int
send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* 1 when `len` bytes came, 0 at a clean end before the first. */
static int
receive_all(int fd, char *bytes, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = recv(fd, bytes + have, len - have, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return have == 0 ? 0 : -EPIPE;
		have += (size_t)n;
	}
	return 1;
}

int
channel_send(int fd, enum channel_type type, struct pn_slice bytes, const int *fds, size_t count)
{
	struct head head = { (uint32_t)type, (uint32_t)bytes.len, (uint32_t)count };
	struct iovec part = { &head, sizeof(head) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	union control control = { 0 };
	ssize_t n;

	if (bytes.len > CHANNEL_MOST || count > CHANNEL_FDS)
		return -E2BIG;
	if (count > 0) {
		struct cmsghdr *cmsg;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		cmsg = CMSG_FIRSTHDR(&message);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * count);
	}
	do
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(head)) {
		int r = send_all(fd, (const char *)&head + n, sizeof(head) - (size_t)n);

		if (r < 0)
			return r;
	}
	return send_all(fd, bytes.data, bytes.len);
}

static void
take_fds(struct msghdr *message, struct channel_frame *ret)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg;
	     cmsg = CMSG_NXTHDR(message, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		ret->fd_count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(ret->fds, CMSG_DATA(cmsg), ret->fd_count * sizeof(int));
	}
}

int
channel_receive(int fd, struct channel_frame *ret)
{
	struct head head;
	struct iovec part = { &head, sizeof(head) };
	union control control;
	struct msghdr message = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	ssize_t n;
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->bytes = BUF_INIT(CHANNEL_MOST + 1);
	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	take_fds(&message, ret);
	if ((size_t)n < sizeof(head)) {
		r = receive_all(fd, (char *)&head + n, sizeof(head) - (size_t)n);
		if (r <= 0)
			goto broken;
	}
	if (head.len > CHANNEL_MOST || head.fd_count != ret->fd_count)
		goto broken;
	if (buf_reserve(&ret->bytes, head.len + 1) < 0)
		goto broken;
	if (head.len > 0 && receive_all(fd, ret->bytes.data, head.len) <= 0)
		goto broken;
	ret->bytes.len = head.len;
	ret->bytes.data[head.len] = '\0';
	ret->type = head.type;
	return 1;
broken:
	channel_frame_free(ret);
	return -EPROTO;
}

void
channel_frame_free(struct channel_frame *frame)
{
	buf_wipe(&frame->bytes);
	for (size_t i = 0; i < frame->fd_count; i++)
		if (frame->fds[i] >= 0)
			close(frame->fds[i]);
	frame->fd_count = 0;
}
