/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - a connection: non-blocking bytes in and out, in clear or in TLS.
 *
 * Embedded in its owner (a session, a courier) and driven by one loop. Costs no buffer while idle:
 * bytes are read into the loop's scratch buffer and only what the owner leaves unread is kept.
 *
 * Ownership between threads: all calls belong to the loop's thread, except that whoever owns the
 * session in the meantime (a policy thread, while the stream is paused) may call stream_peek,
 * stream_consume and stream_write: they touch memory only. What was written there is sent by the
 * next stream_flush on the loop.
 *
 * Events come from the loop only, never from inside a call to the stream, and each may close the
 * stream and free its owner.
 */
#ifndef CORE_NET_STREAM_H
#define CORE_NET_STREAM_H

#include <core/base/buf.h>
#include <core/net/address.h>
#include <core/net/hop_terms.h>
#include <core/net/loop.h>
#include <openssl/ssl.h>

struct stream;

struct stream_events {
	/* There are unread bytes. Called again only when more arrive, or after a resume. */
	void (*input)(struct stream *stream);
	/* After a stream_flush, when everything written has gone to the kernel. Optional. */
	void (*drained)(struct stream *stream);
	/* The TLS handshake ended; `err` is NULL when it worked. A failed stream is only fit to
	 * close; err->code is -EKEYREJECTED where the peer's certificate was not good enough. */
	void (*secured)(struct stream *stream, const struct pn_error *err);
	/*
	 * Told once: the peer closed its side (r is 0; what is written can still arrive) or the
	 * connection broke (a negative errno), and all input was given. Held back while paused.
	 * Also the end of a stream_finish, and then the stream is closed already.
	 */
	void (*lost)(struct stream *stream, int r);
	/* The deadline passed. Also called while paused. */
	void (*late)(struct stream *stream);
};

struct stream {
	struct loop *loop;
	const struct stream_events *events;
	struct loop_io io;
	struct loop_timer timer; /* the deadline */
	struct loop_timer soon;  /* events that are due without the kernel's doing */
	SSL *tls;
	struct buf in;           /* unread bytes between turns, from in_taken on */
	struct pn_slice fresh;   /* unread bytes in the loop's scratch, during `input` */
	struct buf out;          /* written, not yet sent, from out_sent on */
	struct buf aside;        /* written by another thread, not yet in `out` */
	struct stream_ref *refs; /* bodies being sent by reference */
	struct buf sealed;       /* on their way to the kernel as they are: TLS records */
	struct pn_slice cipher;  /* received, not yet deciphered */
	size_t in_taken, out_sent, sealed_sent;
	bool *gone;     /* set by stream_close while an event is being called */
	int error;      /* for `lost` */
	uint32_t state; /* stream.c's own */
};

/* `fd` is non-blocking and becomes the stream's, even if this fails. Begins reading. */
int stream_open(
    struct stream *stream, struct loop *loop, int fd, const struct stream_events *events);
/*
 * Begins a connect, from `source` unless NULL (its port may be 0). `drained` reports success (also
 * when nothing was written), `lost` failure; a negative errno means that neither will be called.
 */
int stream_connect(struct stream *stream, struct loop *loop, const struct address *address,
    const struct address *source, const struct stream_events *events);
/* Ends at once: no event is called any more. What was not sent is dropped. Safe in any event. */
void stream_close(struct stream *stream);
/*
 * Sends what is queued, then TLS close-notify and FIN, waits until the peer closes too (else it may
 * lose what it has not read yet), closes, and calls `lost`: r is 0 when all was sent. Of the other
 * events none is called any more. Bounded by the deadline, 10 s if there is none.
 */
void stream_finish(struct stream *stream);
/* Also for a struct of zeroes. */
bool stream_is_open(const struct stream *stream);

/* Unread input, contiguous. Bytes stay valid until they are consumed or the event returns. */
struct pn_slice stream_peek(const struct stream *stream);
void stream_consume(struct stream *stream, size_t len);
/* Throws away everything read so far (before STARTTLS, RFC 3207 section 4.2). */
void stream_discard_input(struct stream *stream);
/*
 * No `input` and no `lost` until resumed; unread bytes are saved (they move: peek again). What was
 * flushed goes on being sent. Resume calls `input` soon if there are unread bytes.
 */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* Queues a copy. -E2BIG past `STREAM_OUT_MOST` bytes of copies. */
#define STREAM_OUT_MOST (1024u * 1024)
int stream_write(struct stream *stream, const void *bytes, size_t len);
/*
 * Queues bytes without a copy; `release(arg)` is called once when they are sent or dropped, and
 * must not call the stream. After a negative errno it will not be called. On the loop only.
 */
int stream_write_ref(
    struct stream *stream, struct pn_slice bytes, void (*release)(void *arg), void *arg);
/* Sends as much as the kernel takes now, the rest as it can. One system call where possible. */
void stream_flush(struct stream *stream);
/* Bytes written, of which the kernel has not taken all yet. */
size_t stream_unsent(const struct stream *stream);

/* `late` is called after `ms` unless set again; 0: no deadline. */
void stream_deadline(struct stream *stream, int64_t ms);

/*
 * Handshake; input read in clear must have been consumed or discarded (-EINVAL). What is queued
 * goes out in clear before it, what is written later waits for it. `name`: the peer's, for SNI and
 * for the check of a client context of TLS_LEVEL_VERIFY, which cannot do without (-EINVAL).
 */
int stream_start_tls(struct stream *stream, SSL_CTX *ctx, bool server, const char *name);
/* A client's, where terms with TLSA records say which certificate is good. */
int stream_start_tls_dane(
    struct stream *stream, SSL_CTX *ctx, const char *name, const struct hop_terms *terms);

#endif
