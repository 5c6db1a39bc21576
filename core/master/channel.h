/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.h - typed frames between the master and its children, over a unix stream socket.
 *
 * A frame is a type, a length and bytes, with up to CHANNEL_FDS descriptors beside them. After an
 * upgrade a child is of a later build than the master, which tells it the version it speaks; both
 * being right, a child is still less trusted: lengths are bounded, what it may say is a fixed list.
 * Sending and receiving block; a reader on an event loop waits for the descriptor to be readable
 * and then takes one frame.
 */
#ifndef CORE_MASTER_CHANNEL_H
#define CORE_MASTER_CHANNEL_H

#include <core/base/buf.h>

/*
 * Greater with each change that the other end would not understand, save CHANNEL_RESULT's `why`;
 * the memory of crash.h is part of it.
 */
#define CHANNEL_VERSION 3
#define CHANNEL_MOST    (64u * 1024 * 1024)
#define CHANNEL_FDS     64

enum channel_type {
	/* checker to master */
	CHANNEL_LIST = 1, /* a folder: which YAML files are in it? */
	CHANNEL_READ,     /* a path: its bytes, please */
	CHANNEL_DIAG,     /* a line for people */
	CHANNEL_RESULT,   /* JSON: see checker.c; the last frame */
	/* master to checker */
	CHANNEL_CHECK,  /* JSON: folder, modules; the first frame */
	CHANNEL_ANSWER, /* i32 result, u32 mode, bytes (or the error's text) */
	/* master to relay */
	CHANNEL_CONFIG,  /* JSON, NUL, bundle, blobs; the listeners' descriptors in JSON's order */
	CHANNEL_OUTCOME, /* what came of a reload or upgrade that was asked for: JSON */
	/* relay to master */
	CHANNEL_READY,   /* mail is accepted */
	CHANNEL_RELOAD,  /* posternctl asks for a reload */
	CHANNEL_REFUSED, /* text: the configuration could not be taken */
	CHANNEL_APPLIED, /* text: number of the generation that is in force */
	CHANNEL_UPGRADE, /* posternctl asks for an upgrade */
	/* master to relay */
	CHANNEL_LEAVE,   /* another relay serves: end, without hurry */
	CHANNEL_CODE,    /* text: paths of replaced posternd and modules, a line each */
	CHANNEL_CRASHES, /* the first frame; a descriptor: memory shared with the master (crash.h)
			  */
	/* relay to master */
	CHANNEL_WORN, /* text: why this relay wants another in its place */
	/* checker to master */
	CHANNEL_BLOBS, /* what modules compiled: handed on to the relay as it is */
	/* both ways between master and relay */
	CHANNEL_CLOSED, /* "1": new mail is not to be taken, see relay_drain.c; "0": it is again */
	/* relay to master; an older master takes no notice */
	CHANNEL_TURNS, /* every second: the main loop turns */
};

struct channel_frame {
	uint32_t type;
	struct buf bytes; /* a NUL stands behind the last byte */
	int fds[CHANNEL_FDS];
	size_t fd_count;
};

/* -EPIPE when the other side is gone. The descriptors stay the caller's. */
int channel_send(
    int fd, enum channel_type type, struct pn_slice bytes, const int *fds, size_t count);
/* 1 for a frame, 0 at the end of the stream, negative errno. The frame's contents are the caller's.
 */
int channel_receive(int fd, struct channel_frame *ret);
/* Wipes the bytes (they may hold secrets) and closes descriptors nobody took (set to -1). */
void channel_frame_free(struct channel_frame *frame);

#endif
