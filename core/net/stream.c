/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - a connection: its life, its reading half, and the calling of events.
 *
 * Called by sessions and couriers through stream.h and by the loop. An owner may close the stream
 * and free itself inside any event, so nothing here touches the stream after an event unless
 * stream_call() says that it lives. Must never call an event from inside a call of the owner's.
 */
#include <core/net/stream_inner.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Unread bytes that an owner may leave; more is a peer (or an owner) gone wrong. */
#define IN_MOST (4u * 1024 * 1024)
/* Ciphertext of one call: with what OpenSSL may hold of an earlier record, it fits the scratch. */
#define CIPHER_MOST (LOOP_SCRATCH - 18u * 1024)
/* Reads in one turn, so that one fast peer does not starve the others. */
#define ROUNDS_MOST 4

#define STREAM_OF(ptr, field) \
	((struct stream *)(void *)((char *)(ptr)-offsetof(struct stream, field)))

static void ready(struct loop_io *io, uint32_t events);
static void deadline_passed(struct loop_timer *timer);
static void soon_fired(struct loop_timer *timer);

/* ---- life ------------------------------------------------------------------------------------ */

static int
begin(struct stream *stream, struct loop *loop, int fd, const struct stream_events *events,
    uint32_t state, uint32_t watch)
{
	int r;

	*stream = (struct stream){
		.loop = loop,
		.events = events,
		.io = { .ready = ready, .fd = fd },
		.timer = { .fire = deadline_passed },
		.soon = { .fire = soon_fired },
		.in = BUF_INIT(IN_MOST),
		.out = BUF_INIT(STREAM_OUT_MOST),
		.aside = BUF_INIT(STREAM_OUT_MOST),
		.sealed = BUF_INIT(2 * STREAM_OUT_MOST),
		.state = STREAM_OPEN | state,
	};
	r = loop_watch(loop, &stream->io, watch);
	if (r < 0)
		stream_close(stream);
	return r;
}

int
stream_open(struct stream *stream, struct loop *loop, int fd, const struct stream_events *events)
{
	return begin(stream, loop, fd, events, 0, EPOLLIN);
}

static int
bind_source(int fd, const struct address *source)
{
	int on = 1;

	if (!source)
		return 0;
	/* Leaves the choice of a port to connect(), which can reuse those of other peers. */
	if (address_port(source) == 0 && source->sa.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, (const struct sockaddr *)&source->sa, source->len) < 0 ? -errno : 0;
}

static int
start_connect(const struct address *address, const struct address *source, int *ret_fd)
{
	int family = address->sa.ss_family, on = 1, r;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	r = bind_source(fd, source);
	if (r == 0 && connect(fd, (const struct sockaddr *)&address->sa, address->len) < 0 &&
	    errno != EINPROGRESS)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int
stream_connect(struct stream *stream, struct loop *loop, const struct address *address,
    const struct address *source, const struct stream_events *events)
{
	int fd = -1, r;

	r = start_connect(address, source, &fd);
	if (r < 0)
		return r;
	return begin(stream, loop, fd, events, STREAM_CONNECTING, EPOLLIN | EPOLLOUT);
}

void
stream_close(struct stream *stream)
{
	if (!stream_is_open(stream))
		return;
	stream->state = 0;
	if (stream->gone)
		*stream->gone = true;
	loop_forget(stream->loop, &stream->io);
	loop_timer_cancel(stream->loop, &stream->timer);
	loop_timer_cancel(stream->loop, &stream->soon);
	SSL_free(stream->tls);
	stream->tls = NULL;
	close(stream->io.fd);
	stream->io.fd = -1;
	stream_queue_drop(stream);
	stream_discard_input(stream);
	buf_free(&stream->aside);
	buf_free(&stream->sealed);
}

bool
stream_is_open(const struct stream *stream)
{
	return stream_has(stream, STREAM_OPEN);
}

/* ---- events ---------------------------------------------------------------------------------- */

bool
stream_call(struct stream *stream, void (*event)(struct stream *stream))
{
	bool gone = false;

	stream->gone = &gone;
	event(stream);
	if (gone)
		return false;
	stream->gone = NULL;
	return true;
}

void
stream_soon(struct stream *stream, uint32_t due)
{
	stream->state |= due;
	if (!stream->soon.link)
		loop_timer_set(stream->loop, &stream->soon, 0);
}

/* The last event of a stream that is being finished. */
static void
end(struct stream *stream, int r)
{
	const struct stream_events *events = stream->events;

	stream_close(stream);
	events->lost(stream, r);
}

static int
end_result(const struct stream *stream)
{
	if (stream_has(stream, STREAM_BROKEN))
		return stream->error;
	return stream_has(stream, STREAM_FIN_SENT) ? 0 : -ECONNABORTED;
}

/* Calls `lost` or what stands for it, when it is time: nothing may follow. */
static void
tell_lost(struct stream *stream)
{
	if (!stream_has(stream, STREAM_LOST_DUE) || stream_has(stream, STREAM_PAUSED))
		return;
	stream->state &= ~(uint32_t)STREAM_LOST_DUE;
	if (stream_has(stream, STREAM_FINISHING)) {
		if (stream_has(stream, STREAM_FIN_SENT | STREAM_BROKEN))
			end(stream, end_result(stream));
	} else if (stream_has(stream, STREAM_HANDSHAKE)) {
		stream_handshake_lost(stream);
	} else {
		stream->events->lost(stream, stream->error);
	}
}

void
stream_ended(struct stream *stream, int r)
{
	if (stream_has(stream, STREAM_EOF))
		return;
	stream->state |= STREAM_EOF | STREAM_LOST_DUE;
	if (r < 0 && !stream_has(stream, STREAM_BROKEN)) {
		stream->state |= STREAM_BROKEN;
		stream->error = r;
	}
	if (stream_has(stream, STREAM_BROKEN)) {
		stream->state &= ~(uint32_t)STREAM_STUCK;
		stream_queue_drop(stream);
		loop_unwatch(stream->loop, &stream->io);
	}
	/* Half closed: ignore_input() stops the reports if the owner does not close it anyway. */
}

void
stream_broke(struct stream *stream, int r)
{
	if (stream_has(stream, STREAM_BROKEN))
		return;
	stream->state |= STREAM_BROKEN;
	stream->state &= ~(uint32_t)STREAM_STUCK;
	stream->error = r;
	stream_queue_drop(stream);
	stream_soon(stream, 0); /* for the peer's last words, and then `lost` */
}

void
stream_deadline(struct stream *stream, int64_t ms)
{
	if (!stream_is_open(stream))
		return;
	if (ms > 0)
		loop_timer_set(stream->loop, &stream->timer, ms);
	else
		loop_timer_cancel(stream->loop, &stream->timer);
}

static void
deadline_passed(struct loop_timer *timer)
{
	struct stream *stream = STREAM_OF(timer, timer);

	if (!stream_has(stream, STREAM_FINISHING))
		stream->events->late(stream);
	else
		end(stream, stream_has(stream, STREAM_FIN_SENT) ? 0 : -ETIMEDOUT);
}

/* ---- input ----------------------------------------------------------------------------------- */

struct pn_slice
stream_peek(const struct stream *stream)
{
	if (stream->fresh.len > 0)
		return stream->fresh;
	if (stream->in.len == 0)
		return pn_slice(NULL, 0);
	return pn_slice(stream->in.data + stream->in_taken, stream->in.len - stream->in_taken);
}

void
stream_consume(struct stream *stream, size_t len)
{
	if (stream->fresh.len > 0) {
		if (len > stream->fresh.len)
			len = stream->fresh.len;
		stream->fresh.data += len;
		stream->fresh.len -= len;
	} else if (len < stream->in.len - stream->in_taken) {
		stream->in_taken += len;
	} else {
		buf_free(&stream->in);
		stream->in_taken = 0;
	}
}

void
stream_discard_input(struct stream *stream)
{
	stream->fresh = pn_slice(NULL, 0);
	buf_free(&stream->in);
	stream->in_taken = 0;
	stream->state &= ~(uint32_t)STREAM_INPUT_DUE;
}

/* Unread bytes leave the scratch, which is the next stream's. */
static void
save_fresh(struct stream *stream)
{
	int r = buf_add(&stream->in, stream->fresh.data, stream->fresh.len);

	stream->fresh = pn_slice(NULL, 0);
	if (r < 0)
		stream_ended(stream, r);
}

void
stream_pause(struct stream *stream)
{
	stream->state |= STREAM_PAUSED;
	if (stream->fresh.len > 0)
		save_fresh(stream);
}

void
stream_resume(struct stream *stream)
{
	if (!stream_is_open(stream) || !stream_has(stream, STREAM_PAUSED))
		return;
	stream->state &= ~(uint32_t)STREAM_PAUSED;
	if (stream_peek(stream).len > 0)
		stream_soon(stream, STREAM_INPUT_DUE);
	if (stream_has(stream, STREAM_LOST_DUE | STREAM_BROKEN))
		stream_soon(stream, 0);
	if (!stream_has(stream, STREAM_EOF) &&
	    loop_watch(stream->loop, &stream->io, stream->io.events | EPOLLIN) < 0)
		stream_broke(stream, -ENOMEM);
}

/*
 * Joins new bytes to those left over: a short remainder is put before them, in the headroom, so
 * that a long transfer is not copied for the sake of a line that was cut.
 */
static int
join(struct stream *stream, char *bytes, size_t len)
{
	struct pn_slice old = stream_peek(stream);

	if (old.len > LOOP_HEADROOM) {
		buf_consume(&stream->in, stream->in_taken);
		stream->in_taken = 0;
		return buf_add(&stream->in, bytes, len);
	}
	if (old.len > 0) {
		bytes -= old.len;
		len += old.len;
		memcpy(bytes, old.data, old.len);
		stream->in.len = stream->in_taken = 0;
	}
	stream->fresh = pn_slice(bytes, len);
	return 0;
}

bool
stream_give(struct stream *stream, char *bytes, size_t len)
{
	bool paused = stream_has(stream, STREAM_PAUSED);
	int r;

	if (len == 0 || stream_has(stream, STREAM_FINISHING))
		return true;
	r = join(stream, bytes, len);
	if (r < 0) {
		stream_ended(stream, r);
		return true;
	}
	if (!paused && !stream_call(stream, stream->events->input))
		return false;
	if (!paused && stream_has(stream, STREAM_PAUSED))
		return true; /* saved by the pause; by now another thread may own what is left */
	if (stream->fresh.len > 0)
		save_fresh(stream);
	else if (stream->in.len == 0 && stream->in.data)
		buf_free(&stream->in);
	return true;
}

static bool
wants_input(const struct stream *stream)
{
	return !stream_has(stream, STREAM_PAUSED | STREAM_EOF);
}

static ssize_t
receive(struct stream *stream, size_t most)
{
	ssize_t n;

	do {
		n = recv(stream->io.fd, loop_scratch(stream->loop), most, 0);
	} while (n < 0 && errno == EINTR);
	if (n > 0 || (n < 0 && errno == EAGAIN))
		return n;
	stream_ended(stream, n < 0 ? -errno : 0);
	return n;
}

/* Reads and gives. False: the stream is gone. */
static bool
read_input(struct stream *stream)
{
	for (int round = 0; round < ROUNDS_MOST && wants_input(stream); round++) {
		bool cipher = stream->tls && !stream_has(stream, STREAM_FINISHING);
		size_t most = cipher ? CIPHER_MOST : LOOP_SCRATCH;
		ssize_t n = receive(stream, most);

		if (n <= 0)
			break;
		if (cipher ? !stream_decipher(stream, (size_t)n)
			   : !stream_give(stream, loop_scratch(stream->loop), (size_t)n))
			return false;
		if ((size_t)n < most)
			break;
	}
	return true;
}

/* Nobody may read now: the kernel should not go on reporting it. */
static void
ignore_input(struct stream *stream, uint32_t events)
{
	uint32_t keep = stream->io.events & ~(uint32_t)EPOLLIN;

	if (events & (EPOLLHUP | EPOLLERR))
		keep = 0; /* these cannot be masked */
	loop_watch(stream->loop, &stream->io, keep);
}

/* ---- what the loop calls --------------------------------------------------------------------- */

/* False: not connected. */
static bool
finish_connect(struct stream *stream, uint32_t events)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (events & (EPOLLERR | EPOLLHUP) &&
	    getsockopt(stream->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0 && !(events & EPOLLOUT))
		return false;
	if (error != 0) {
		stream_ended(stream, -error);
		tell_lost(stream);
		return false;
	}
	stream->state &= ~(uint32_t)STREAM_CONNECTING;
	if (loop_watch(stream->loop, &stream->io, stream->io.events & ~(uint32_t)EPOLLOUT) < 0)
		stream_broke(stream, -ENOMEM);
	if (!stream_queue_is_empty(stream))
		stream_push(stream);
	return !stream->events->drained || stream_call(stream, stream->events->drained);
}

static void
ready(struct loop_io *io, uint32_t events)
{
	struct stream *stream = STREAM_OF(io, io);

	if (stream_has(stream, STREAM_CONNECTING) && !finish_connect(stream, events))
		return;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR) && stream_has(stream, STREAM_STUCK))
		stream_push(stream);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		if (!wants_input(stream))
			ignore_input(stream, events);
		else if (!read_input(stream))
			return;
	}
	tell_lost(stream);
}

/* Before `lost` of a connection that broke while sending: the peer may have said why. */
static bool
read_last_words(struct stream *stream)
{
	if (!stream_has(stream, STREAM_BROKEN) || !wants_input(stream))
		return true;
	if (!read_input(stream))
		return false;
	if (wants_input(stream))
		stream_ended(stream, stream->error);
	return true;
}

static void
soon_fired(struct loop_timer *timer)
{
	struct stream *stream = STREAM_OF(timer, soon);
	uint32_t due = stream->state & (STREAM_INPUT_DUE | STREAM_DRAINED_DUE);

	stream->state &= ~due;
	if (stream_has(stream, STREAM_END_DUE)) {
		end(stream, end_result(stream));
		return;
	}
	if (stream_has(stream, STREAM_FINISHING))
		due = 0;
	if (due & STREAM_INPUT_DUE && !stream_has(stream, STREAM_PAUSED) &&
	    !stream_call(stream, stream->events->input))
		return;
	if (due & STREAM_DRAINED_DUE && !stream_has(stream, STREAM_BROKEN) &&
	    stream_queue_is_empty(stream) && !stream_call(stream, stream->events->drained))
		return;
	if (read_last_words(stream))
		tell_lost(stream);
}
