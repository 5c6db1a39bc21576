/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_out.c - the sending half of a stream: a queue of copied and of borrowed bytes.
 *
 * Called by the owner through stream.h and by stream.c when the kernel has room again. Copies lie
 * in one buffer, borrowed bodies in a list that says before which byte of it each belongs, so that
 * one sendmsg() takes them all. Must never call an event: the owner is still in the middle of its
 * work.
 */
#include <core/net/stream_inner.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define IOV_MOST   32
#define FINISH_MS  10000
#define SPARE_MOST (128u * 1024) /* a larger buffer is not worth keeping */

struct stream_ref {
	struct stream_ref *next;
	struct pn_slice bytes;
	size_t at; /* goes out when out_sent has come here */
	void (*release)(void *arg);
	void *arg;
};

/* ---- the queue ------------------------------------------------------------------------------- */

/* Moves what is unsent to the front. */
static void
compact(struct stream *stream)
{
	size_t sent = stream->out_sent;

	buf_consume(&stream->out, sent);
	for (struct stream_ref *ref = stream->refs; ref; ref = ref->next)
		ref->at -= sent;
	stream->out_sent = 0;
}

static int
add(struct stream *stream, const void *bytes, size_t len)
{
	struct buf *out = &stream->out;

	if (stream->out_sent > 0 && out->capacity - out->len <= len)
		compact(stream);
	return buf_add(out, bytes, len);
}

/* What another thread wrote while it owned the session; now it is the loop's again. */
static int
take_aside(struct stream *stream)
{
	int r = add(stream, stream->aside.data, stream->aside.len);

	if (r == 0)
		buf_free(&stream->aside);
	return r;
}

int
stream_write(struct stream *stream, const void *bytes, size_t len)
{
	/* The loop may be sending from `out` while another thread owns the session. */
	if (!loop_is_mine(stream->loop))
		return buf_add(&stream->aside, bytes, len);
	if (stream->aside.len > 0) {
		int r = take_aside(stream);

		if (r < 0)
			return r;
	}
	return add(stream, bytes, len);
}

int
stream_write_ref(
    struct stream *stream, struct pn_slice bytes, void (*release)(void *arg), void *arg)
{
	struct stream_ref **last = &stream->refs, *ref;
	int r = stream->aside.len > 0 ? take_aside(stream) : 0;

	if (r < 0)
		return r;
	ref = malloc(sizeof(*ref));
	if (!ref)
		return -ENOMEM;
	*ref = (struct stream_ref){
		.bytes = bytes, .at = stream->out.len, .release = release, .arg = arg
	};
	while (*last)
		last = &(*last)->next;
	*last = ref;
	return 0;
}

size_t
stream_unsent(const struct stream *stream)
{
	size_t len = stream->out.len - stream->out_sent + stream->aside.len + stream->sealed.len -
		     stream->sealed_sent;

	for (const struct stream_ref *ref = stream->refs; ref; ref = ref->next)
		len += ref->bytes.len;
	return len;
}

bool
stream_queue_is_empty(const struct stream *stream)
{
	return !stream->refs && stream->out_sent == stream->out.len;
}

static void
put_iov(struct iovec *iov, int *count, struct pn_slice bytes)
{
	if (bytes.len == 0)
		return;
	iov[*count].iov_base = (void *)(uintptr_t)bytes.data; /* only ever read */
	iov[*count].iov_len = bytes.len;
	++*count;
}

/* Copied bytes from `at` to `end`. */
static struct pn_slice
copies(const struct stream *stream, size_t at, size_t end)
{
	return at < end ? pn_slice(stream->out.data + at, end - at) : pn_slice(NULL, 0);
}

int
stream_queue_iov(const struct stream *stream, struct iovec *iov, int most)
{
	const struct stream_ref *ref = stream->refs;
	size_t at = stream->out_sent;
	int count = 0;

	for (; ref && count + 2 <= most; ref = ref->next) {
		put_iov(iov, &count, copies(stream, at, ref->at));
		put_iov(iov, &count, ref->bytes);
		at = ref->at;
	}
	if (!ref && count < most)
		put_iov(iov, &count, copies(stream, at, stream->out.len));
	return count;
}

static void
drop_ref(struct stream *stream)
{
	struct stream_ref *ref = stream->refs;

	stream->refs = ref->next;
	if (ref->release)
		ref->release(ref->arg);
	free(ref);
}

void
stream_queue_took(struct stream *stream, size_t len)
{
	size_t part, most;

	for (;;) {
		struct stream_ref *ref = stream->refs;

		most = (ref ? ref->at : stream->out.len) - stream->out_sent;
		part = len < most ? len : most;
		stream->out_sent += part;
		len -= part;
		if (!ref || part < most)
			break;
		part = len < ref->bytes.len ? len : ref->bytes.len;
		if (part > 0)
			ref->bytes.data += part;
		ref->bytes.len -= part;
		len -= part;
		if (ref->bytes.len > 0)
			break;
		drop_ref(stream);
	}
	if (stream_queue_is_empty(stream)) {
		buf_free(&stream->out);
		stream->out_sent = 0;
	}
}

void
stream_queue_drop(struct stream *stream)
{
	while (stream->refs)
		drop_ref(stream);
	buf_free(&stream->out);
	stream->out_sent = 0;
}

/* ---- to the kernel --------------------------------------------------------------------------- */

/* A send that counts what left; 0, -EAGAIN or what broke. */
static ssize_t
send_iov(int fd, struct iovec *iov, int count)
{
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = (size_t)count };
	ssize_t n;

	do {
		n = count == 1 ? send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
			       : sendmsg(fd, &message, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int
push_clear(struct stream *stream)
{
	struct iovec iov[IOV_MOST];

	while (!stream_queue_is_empty(stream)) {
		int count = stream_queue_iov(stream, iov, IOV_MOST);
		size_t wanted = 0;
		ssize_t n = 0;

		for (int i = 0; i < count; i++)
			wanted += iov[i].iov_len;
		if (count > 0)
			n = send_iov(stream->io.fd, iov, count);
		if (n < 0)
			return (int)n;
		stream_queue_took(stream, (size_t)n);
		if ((size_t)n < wanted)
			return -EAGAIN; /* the next send would say so */
	}
	return 0;
}

void
stream_sealed_settle(struct stream *stream)
{
	struct buf *sealed = &stream->sealed, *spare = loop_spare(stream->loop);
	struct buf kept = BUF_INIT(sealed->ceiling);
	size_t unsent = sealed->len - stream->sealed_sent;

	if (unsent > 0 && (sealed->capacity < 4 * unsent ||
			      buf_add(&kept, sealed->data + stream->sealed_sent, unsent) < 0))
		return;
	if (!spare->data && sealed->capacity <= SPARE_MOST) {
		*spare = *sealed;
		spare->len = 0;
		sealed->data = NULL;
	}
	free(sealed->data);
	*sealed = kept;
	stream->sealed_sent = 0;
}

int
stream_push_sealed(struct stream *stream)
{
	struct buf *sealed = &stream->sealed;

	while (stream->sealed_sent < sealed->len) {
		struct iovec iov = { sealed->data + stream->sealed_sent,
			sealed->len - stream->sealed_sent };
		ssize_t n = send_iov(stream->io.fd, &iov, 1);

		if (n < 0)
			return (int)n;
		stream->sealed_sent += (size_t)n;
		if ((size_t)n < iov.iov_len)
			return -EAGAIN;
	}
	if (sealed->data)
		stream_sealed_settle(stream);
	return 0;
}

/* What is queued waits for the end of a handshake; what is left of `sealed` does not. */
static bool
may_seal(const struct stream *stream)
{
	if (stream_has(stream, STREAM_HANDSHAKE))
		return false;
	return !stream_queue_is_empty(stream) ||
	       (stream_has(stream, STREAM_FINISHING) && !stream_has(stream, STREAM_NOTIFIED));
}

static int
push_tls(struct stream *stream)
{
	int r = stream_has(stream, STREAM_STUCK) ? stream_push_sealed(stream) : 0;

	/* Records that are waiting leave together with the first new ones. */
	while (r == 0 && may_seal(stream)) {
		r = stream_seal(stream);
		if (r == 0)
			r = stream_push_sealed(stream);
	}
	return r < 0 ? r : stream_push_sealed(stream);
}

static void
watch_out(struct stream *stream, bool wanted)
{
	uint32_t events = stream->io.events & ~(uint32_t)EPOLLOUT;
	int r;

	stream->state &= ~(uint32_t)STREAM_STUCK;
	if (wanted) {
		stream->state |= STREAM_STUCK;
		events |= EPOLLOUT;
	}
	r = loop_watch(stream->loop, &stream->io, events);
	if (r < 0)
		stream_broke(stream, r);
}

/* Everything has left; now the end of our side, so that the peer reads all of it. */
static void
send_fin(struct stream *stream)
{
	if (stream_has(stream, STREAM_FIN_SENT))
		return;
	stream->state |= STREAM_FIN_SENT;
	if (stream_has(stream, STREAM_EOF))
		stream_soon(stream, STREAM_END_DUE);
	else if (shutdown(stream->io.fd, SHUT_WR) < 0)
		stream_broke(stream, -errno);
}

static void
all_pushed(struct stream *stream)
{
	if (stream_has(stream, STREAM_FINISHING)) {
		send_fin(stream);
	} else if (stream_has(stream, STREAM_FLUSHED) && stream_queue_is_empty(stream)) {
		stream->state &= ~(uint32_t)STREAM_FLUSHED;
		stream_soon(stream, STREAM_DRAINED_DUE);
	}
}

void
stream_push(struct stream *stream)
{
	int r = stream->tls ? push_tls(stream) : push_clear(stream);

	if (r == -EAGAIN) {
		if (stream->sealed.data)
			stream_sealed_settle(stream);
		watch_out(stream, true);
	} else if (r < 0) {
		stream_broke(stream, r);
	} else {
		if (stream_has(stream, STREAM_STUCK))
			watch_out(stream, false);
		all_pushed(stream);
	}
}

void
stream_flush(struct stream *stream)
{
	if (!stream_is_open(stream))
		return;
	if (stream_has(stream, STREAM_BROKEN)) {
		stream_queue_drop(stream);
		buf_free(&stream->aside);
		return;
	}
	if (stream->aside.len > 0) {
		int r = take_aside(stream);

		if (r < 0) {
			stream_broke(stream, r);
			return;
		}
	}
	if (stream->events->drained)
		stream->state |= STREAM_FLUSHED;
	if (!stream_has(stream, STREAM_CONNECTING | STREAM_STUCK))
		stream_push(stream);
}

void
stream_finish(struct stream *stream)
{
	if (!stream_is_open(stream) || stream_has(stream, STREAM_FINISHING))
		return;
	stream->state |= STREAM_FINISHING;
	stream_resume(stream);
	stream_discard_input(stream);
	if (!stream->timer.link)
		loop_timer_set(stream->loop, &stream->timer, FINISH_MS);
	if (stream_has(stream, STREAM_CONNECTING | STREAM_BROKEN)) {
		stream_soon(stream, STREAM_END_DUE);
		return;
	}
	if (stream_has(stream, STREAM_HANDSHAKE))
		stream_queue_drop(stream);
	stream_flush(stream);
}
