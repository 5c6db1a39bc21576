/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - a connection: non-blocking bytes in and out, in clear or in TLS.
 *
 * Embedded in its owner (a session, a courier) and driven by one loop. Costs no buffer while idle:
 * bytes are read into the loop's scratch buffer and only what the owner leaves unread is kept.
 *
 * Ownership between threads: all calls belong to the loop's thread, except that whoever owns the
 * session in the meantime (a policy thread, while the stream is paused) may call stream_peek,
 * stream_consume and stream_write: they touch memory only.
 */
#ifndef CORE_NET_STREAM_H
#define CORE_NET_STREAM_H

#include <core/base/buf.h>
#include <core/net/address.h>
#include <core/net/loop.h>
#include <openssl/ssl.h>

struct stream;

struct stream_events {
	/* There are unread bytes. Called again only when more arrive. May close the stream. */
	void (*input)(struct stream *stream);
	/* Everything written and flushed has gone to the kernel. Optional. */
	void (*drained)(struct stream *stream);
	/* The TLS handshake ended; `err` is NULL when it worked. A failed stream is only fit to
	 * close. */
	void (*secured)(struct stream *stream, const struct pn_error *err);
	/* The peer closed or broke the connection (r is 0 or a negative errno), all input was
	 * given. */
	void (*lost)(struct stream *stream, int r);
	/* The deadline passed. */
	void (*late)(struct stream *stream);
};

struct stream {
	struct loop *loop;
	const struct stream_events *events;
	struct loop_io io;
	struct loop_timer timer;
	SSL *tls;
	struct buf in;           /* unread bytes between turns */
	struct pn_slice fresh;   /* unread bytes in the loop's scratch, during `input` */
	struct buf out;          /* written, not yet sent */
	struct stream_ref *refs; /* bodies being sent by reference */
	uint32_t state;          /* stream.c's own */
};

/* `fd` is non-blocking and becomes the stream's. Begins reading. */
int stream_open(
    struct stream *stream, struct loop *loop, int fd, const struct stream_events *events);
/* Begins a connect; `secured` or `lost` do not report it: `drained` does, or `lost`. */
int stream_connect(struct stream *stream, struct loop *loop, const struct address *address,
    const struct address *source, const struct stream_events *events);
/* Ends at once: no event is called any more. What was not sent is dropped. Safe in any event. */
void stream_close(struct stream *stream);
/* Sends what is queued, then TLS close-notify and FIN, then closes; bounded by the deadline. */
void stream_finish(struct stream *stream);
bool stream_is_open(const struct stream *stream);

/* Unread input, contiguous. */
struct pn_slice stream_peek(const struct stream *stream);
void stream_consume(struct stream *stream, size_t len);
/* Throws away everything read so far (before STARTTLS, RFC 3207 section 4.2). */
void stream_discard_input(struct stream *stream);
/* No `input` until resumed; unread bytes are saved. Resume calls `input` soon if there are some. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* Queues a copy. -E2BIG past `STREAM_OUT_MOST` bytes. */
#define STREAM_OUT_MOST (1024u * 1024)
int stream_write(struct stream *stream, const void *bytes, size_t len);
/* Queues bytes without a copy; `release(arg)` is called once when they are sent or dropped. */
int stream_write_ref(
    struct stream *stream, struct pn_slice bytes, void (*release)(void *arg), void *arg);
/* Sends as much as the kernel takes now, the rest as it can. One system call where possible. */
void stream_flush(struct stream *stream);
size_t stream_unsent(const struct stream *stream);

/* `late` is called after `ms` unless set again; 0: no deadline. */
void stream_deadline(struct stream *stream, int64_t ms);

/* Handshake; input read in clear must have been consumed or discarded. `name`: client's SNI. */
int stream_start_tls(struct stream *stream, SSL_CTX *ctx, bool server, const char *name);

#endif
