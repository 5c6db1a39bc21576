/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_inner.h - what the three files of the stream share. Included by nothing else.
 *
 * stream.c has the life cycle, reading and the events; stream_out.c what is written; stream_tls.c
 * turns one into the other's records.
 */
#ifndef CORE_NET_STREAM_INNER_H
#define CORE_NET_STREAM_INNER_H

#include <core/net/stream.h>
#include <sys/uio.h>

enum stream_state {
	STREAM_OPEN = 1 << 0,
	STREAM_CONNECTING = 1 << 1,
	STREAM_PAUSED = 1 << 2,
	STREAM_HANDSHAKE = 1 << 3,
	STREAM_STUCK = 1 << 4,     /* the kernel is full: EPOLLOUT is watched */
	STREAM_EOF = 1 << 5,       /* nothing more will be read */
	STREAM_BROKEN = 1 << 6,    /* nothing more can be sent */
	STREAM_FINISHING = 1 << 7, /* stream_finish was called */
	STREAM_NOTIFIED = 1 << 8,  /* close-notify is sealed */
	STREAM_FIN_SENT = 1 << 9,
	/* Events that are due. */
	STREAM_INPUT_DUE = 1 << 11,
	STREAM_DRAINED_DUE = 1 << 12,
	STREAM_LOST_DUE = 1 << 13,
	STREAM_END_DUE = 1 << 14,
	STREAM_FLUSHED = 1 << 15, /* `drained` when the queue is empty */
};

static inline bool
stream_has(const struct stream *stream, uint32_t state)
{
	return stream->state & state;
}

/* ---- stream.c ---- */

/* Runs what is due at the end of this turn. */
void stream_soon(struct stream *stream, uint32_t due);
/* Reading ended: r is 0 at the end of input, or what broke it. */
void stream_ended(struct stream *stream, int r);
/* Sending broke; what was received is still given before `lost`. */
void stream_broke(struct stream *stream, int r);
/* Gives bytes to the owner. False: the stream is gone, or has begun anew. */
bool stream_give(struct stream *stream, char *bytes, size_t len);
/* Calls one event: if this returns false the stream must not be touched any more. */
bool stream_call(struct stream *stream, void (*event)(struct stream *stream));

/* ---- stream_out.c ---- */

/* Sends what can be sent, and arranges for the rest. */
void stream_push(struct stream *stream);
/* Sends `sealed`: 0 all gone, -EAGAIN or what broke. */
int stream_push_sealed(struct stream *stream);
/* The first queued pieces. */
int stream_queue_iov(const struct stream *stream, struct iovec *iov, int most);
bool stream_queue_is_empty(const struct stream *stream);
void stream_queue_took(struct stream *stream, size_t len);
void stream_queue_drop(struct stream *stream);
/* Memory that the idle stream should not hold goes back. */
void stream_sealed_settle(struct stream *stream);

/* ---- stream_tls.c ---- */

/* The next records out of the queue: 0, or -EPROTO. */
int stream_seal(struct stream *stream);
/* Deciphers and gives what was received. False: the stream is gone. */
bool stream_decipher(struct stream *stream, size_t len);
/* Reports a connection that was lost during the handshake; the last that happens to it. */
void stream_handshake_lost(struct stream *stream);

#endif
