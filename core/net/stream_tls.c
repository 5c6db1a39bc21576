/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_tls.c - TLS between a stream's queue and the kernel.
 *
 * Called by stream.c with what was received and by stream_out.c for what is to be sent. OpenSSL
 * does no I/O of its own: a BIO hands it the bytes of one recv() and collects its records, so that
 * many leave in one send(), SIGPIPE cannot strike, and nothing is read while the stream is paused.
 * All that was received is deciphered at once; OpenSSL keeps at most a record that is not complete.
 */
#include <core/net/stream_inner.h>
#include <core/net/tls.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>

#define RECORD_MOST 16384u
#define SEAL_MOST   (4 * RECORD_MOST) /* plaintext per send */
#define IOV_MOST    16

/* ---- the BIO --------------------------------------------------------------------------------- */

static int
bio_read(BIO *bio, char *bytes, int len)
{
	struct stream *stream = BIO_get_data(bio);
	size_t n = (size_t)len < stream->cipher.len ? (size_t)len : stream->cipher.len;

	BIO_clear_retry_flags(bio);
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(bytes, stream->cipher.data, n);
	stream->cipher.data += n;
	stream->cipher.len -= n;
	return (int)n;
}

static int
bio_write(BIO *bio, const char *bytes, int len)
{
	struct stream *stream = BIO_get_data(bio);
	struct buf *sealed = &stream->sealed, *spare = loop_spare(stream->loop);

	BIO_clear_retry_flags(bio);
	if (!sealed->data && spare->data) {
		size_t ceiling = sealed->ceiling;

		*sealed = *spare;
		sealed->ceiling = ceiling;
		spare->data = NULL;
	}
	return buf_add(sealed, bytes, (size_t)len) < 0 ? -1 : len;
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH; /* stream_push_sealed does it */
}

static BIO_METHOD *bio_method;

static void
make_bio_method(void)
{
	BIO_METHOD *method = BIO_meth_new(
	    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern stream");

	if (!method || !BIO_meth_set_read(method, bio_read) ||
	    !BIO_meth_set_write(method, bio_write) || !BIO_meth_set_ctrl(method, bio_control)) {
		BIO_meth_free(method);
		return;
	}
	bio_method = method;
}

static int
attach_bio(struct stream *stream)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	pthread_once(&once, make_bio_method);
	bio = bio_method ? BIO_new(bio_method) : NULL;
	if (!bio)
		return -ENOMEM;
	BIO_set_data(bio, stream);
	BIO_set_init(bio, 1);
	SSL_set_bio(stream->tls, bio, bio);
	return 0;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* Small pieces are gathered into one record; whole records of a large one are not copied. */
static struct pn_slice
next_record(const struct stream *stream, char *gathered)
{
	struct iovec iov[IOV_MOST];
	int count = stream_queue_iov(stream, iov, IOV_MOST);
	size_t len = 0;

	if (count == 0)
		return pn_slice(NULL, 0);
	if (count == 1 || iov[0].iov_len >= RECORD_MOST)
		return pn_slice(
		    iov[0].iov_base, iov[0].iov_len < RECORD_MOST ? iov[0].iov_len : RECORD_MOST);
	for (int i = 0; i < count && len < RECORD_MOST; i++) {
		size_t part = RECORD_MOST - len;

		if (part > iov[i].iov_len)
			part = iov[i].iov_len;
		memcpy(gathered + len, iov[i].iov_base, part);
		len += part;
	}
	return pn_slice(gathered, len);
}

int
stream_seal(struct stream *stream)
{
	char gathered[RECORD_MOST];
	size_t total = 0, written;

	ERR_clear_error();
	while (total < SEAL_MOST && !stream_queue_is_empty(stream)) {
		struct pn_slice record = next_record(stream, gathered);

		if (record.len > 0 &&
		    SSL_write_ex(stream->tls, record.data, record.len, &written) != 1)
			return -EPROTO;
		total += record.len;
		stream_queue_took(stream, record.len);
	}
	if (stream_has(stream, STREAM_FINISHING) && stream_queue_is_empty(stream)) {
		stream->state |= STREAM_NOTIFIED;
		SSL_shutdown(stream->tls); /* one-sided: what the peer still says is dropped */
	}
	return 0;
}

/* ---- in -------------------------------------------------------------------------------------- */

/* Deciphers all of `cipher` into the second scratch; 0, -EPROTO, or 1 after close-notify. */
static int
decipher_all(struct stream *stream, size_t *ret_len)
{
	char *plain = loop_scratch_second(stream->loop);
	size_t len = 0, n;
	int r = 0;

	ERR_clear_error();
	while (r == 0 && len < LOOP_SCRATCH &&
	       (stream->cipher.len > 0 || SSL_pending(stream->tls) > 0)) {
		if (SSL_read_ex(stream->tls, plain + len, LOOP_SCRATCH - len, &n) == 1) {
			len += n;
			continue;
		}
		switch (SSL_get_error(stream->tls, 0)) {
		case SSL_ERROR_WANT_READ:
			break; /* the rest of a record is still to come */
		case SSL_ERROR_ZERO_RETURN:
			r = 1;
			break;
		default:
			r = -EPROTO;
		}
	}
	*ret_len = len;
	return r;
}

/* True once the handshake is over. Otherwise it goes on, or `ret` says why not. */
static bool
shake_hands(struct stream *stream, struct pn_error *ret)
{
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(stream->tls);
	if (n == 1)
		return true;
	if (SSL_get_error(stream->tls, n) != SSL_ERROR_WANT_READ)
		tls_explain(stream->tls, ret);
	return false;
}

static bool
tell_secured(struct stream *stream, const struct pn_error *err)
{
	bool gone = false;

	stream->gone = &gone;
	stream->events->secured(stream, err);
	if (!gone)
		stream->gone = NULL;
	return !gone;
}

/* The alert leaves, and nothing else happens to this stream any more. */
static bool
fail_handshake(struct stream *stream, const struct pn_error *err)
{
	stream_push_sealed(stream);
	stream->state |= STREAM_EOF | STREAM_BROKEN;
	stream->error = err->code;
	stream_queue_drop(stream);
	loop_unwatch(stream->loop, &stream->io);
	if (!stream_has(stream, STREAM_FINISHING))
		return tell_secured(stream, err);
	stream_soon(stream, STREAM_END_DUE);
	return true;
}

void
stream_handshake_lost(struct stream *stream)
{
	struct pn_error err;
	int r = stream->error ? stream->error : -ECONNRESET;

	pn_error_set(&err, r, "the connection was closed during the TLS handshake");
	stream->events->secured(stream, &err);
}

/* False: gone, or nothing to decipher yet. */
static bool
continue_handshake(struct stream *stream, bool *ret_alive)
{
	struct pn_error err = { 0 };

	if (!shake_hands(stream, &err)) {
		if (err.code)
			*ret_alive = fail_handshake(stream, &err);
		else
			stream_push(stream);
		return false;
	}
	stream->state &= ~(uint32_t)STREAM_HANDSHAKE;
	*ret_alive = tell_secured(stream, NULL);
	return *ret_alive;
}

bool
stream_decipher(struct stream *stream, size_t len)
{
	bool alive = true;
	size_t plain;
	int r;

	stream->cipher = pn_slice(loop_scratch(stream->loop), len);
	if (stream_has(stream, STREAM_HANDSHAKE) && !continue_handshake(stream, &alive))
		return alive;
	r = decipher_all(stream, &plain);
	stream->cipher = pn_slice(NULL, 0);
	if (!stream_give(stream, loop_scratch_second(stream->loop), plain))
		return false;
	/*
	 * What OpenSSL made by itself and no reply took along. Session tickets, too: a client that
	 * sends its EHLO behind the handshake without TCP_NODELAY waits 40 ms for an ACK otherwise.
	 */
	if (stream->sealed.len > stream->sealed_sent && !stream_has(stream, STREAM_STUCK))
		stream_push(stream);
	if (r != 0)
		stream_ended(stream, r < 0 ? r : 0);
	return true;
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* What was queued in clear goes out before the first record. */
static int
clear_before(struct stream *stream)
{
	int r;

	stream_flush(stream);
	if (stream_has(stream, STREAM_BROKEN | STREAM_CONNECTING) || !stream_is_open(stream))
		return -ENOTCONN;
	if (stream->refs)
		return -EBUSY;
	if (stream->out.len == stream->out_sent)
		return 0;
	r = buf_add(&stream->sealed, stream->out.data + stream->out_sent,
	    stream->out.len - stream->out_sent);
	if (r == 0)
		stream_queue_drop(stream);
	return r;
}

static int
greet(struct stream *stream)
{
	struct pn_error err = { 0 };

	SSL_set_connect_state(stream->tls);
	shake_hands(stream, &err);
	if (err.code)
		return err.code;
	if (!stream_has(stream, STREAM_STUCK))
		stream_push(stream);
	return 0;
}

static int
start(struct stream *stream, SSL_CTX *ctx, bool server, const char *name,
    const struct hop_terms *terms)
{
	int r;

	if (stream->tls || stream_peek(stream).len > 0)
		return -EINVAL;
	r = clear_before(stream);
	if (r < 0)
		return r;
	stream->tls = SSL_new(ctx);
	if (!stream->tls)
		return -ENOMEM;
	/* The flush was ours, not one that the owner waits for. */
	stream->state &= ~(uint32_t)(STREAM_FLUSHED | STREAM_DRAINED_DUE);
	stream->state |= STREAM_HANDSHAKE;
	r = attach_bio(stream);
	if (r == 0 && !server)
		r = terms ? tls_expect_dane(stream->tls, name, terms)
			  : tls_expect(stream->tls, name);
	if (r < 0)
		return r;
	if (!server)
		return greet(stream);
	SSL_set_accept_state(stream->tls);
	return 0;
}

int
stream_start_tls(struct stream *stream, SSL_CTX *ctx, bool server, const char *name)
{
	return start(stream, ctx, server, name, NULL);
}

int
stream_start_tls_dane(
    struct stream *stream, SSL_CTX *ctx, const char *name, const struct hop_terms *terms)
{
	return start(stream, ctx, false, name, terms);
}
