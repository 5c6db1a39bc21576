/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h - what a process and its crypt helpers say to each other: one datagram each way.
 *
 * The bytes themselves are in memory files that come with the question: `in` to read, `out` to
 * write. So nothing large goes through the socket, and no length can be larger than what is there.
 */
#ifndef CORE_CRYPT_FRAME_H
#define CORE_CRYPT_FRAME_H

#include <postern/base.h>

/* Where a helper finds its socket. */
#define FRAME_SOCKET 3

enum frame_work {
	FRAME_INSPECT = 1, /* in: an address (may be empty), then keys; out: JSON, see keys.h */
	FRAME_ENCRYPT = 2, /* in: keys, then the body; out: an armoured message */
};

#define FRAME_PINNED 0x01u /* INSPECT: user ids need not have the address */
#define FRAME_HIDDEN 0x02u /* ENCRYPT: recipients are not named */

#define FRAME_MAGIC  0x70637279u

/* `in` has `count` pieces, each behind its length (u32, as in memory); then the body. */
struct frame_question {
	uint32_t magic, work, flags, count;
	uint64_t body; /* where it begins */
};

struct frame_answer {
	uint32_t magic;
	int32_t result;  /* 0 or a negative errno */
	int32_t culprit; /* index of the key that cannot be used; -1: none */
	char text[400];
};

#define FRAME_FDS 2 /* in, out */

/* 0; -EPIPE: the other side is gone; other negative errno. `fds` FRAME_FDS of them, or NULL. */
int frame_send(int fd, const void *bytes, size_t len, const int *fds);
/*
 * 1; 0 at the end; -EPROTO: anything but a frame of exactly that length and with FRAME_FDS
 * descriptors, where `fds` is not NULL, else none. The descriptors are the caller's.
 */
int frame_receive(int fd, void *bytes, size_t len, int *fds);

#endif
