/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls13.c - records and handshake of the generator's TLS client.
 *
 * Called by client.c, which owns the sockets. Must never save the server a step that it takes for
 * other clients; what it saves itself is said in tls13.h.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* the plain functions of SHA-256 */
#include "tls13.h"

#include "tls13_keys.h"

#include <errno.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RECORD_HEAD   5u
#define RECORD_MOST   16384u
#define RECORD_ROOM   (RECORD_HEAD + RECORD_MOST + 256)
#define MESSAGES_ROOM 16384u /* handshake messages that are not complete */

enum record_type { RECORD_CCS = 20, RECORD_ALERT, RECORD_HANDSHAKE, RECORD_TEXT };
enum message_type {
	MESSAGE_SERVER_HELLO = 2,
	MESSAGE_TICKET = 4,
	MESSAGE_EXTENSIONS = 8,
	MESSAGE_CERTIFICATE = 11,
	MESSAGE_VERIFY = 15,
	MESSAGE_FINISHED = 20,
};

struct tls13 {
	enum message_type expected; /* of the server; tickets once the handshake is over */
	SHA256_CTX transcript;
	unsigned char private_share[32];
	struct tls13_schedule schedule;
	struct tls13_keys in_keys, out_keys;
	struct tls13_signer signer; /* kept from one connection to the next */
	bool in_sealed, out_sealed;

	unsigned char in[2 * RECORD_ROOM];
	size_t in_len, in_taken;
	unsigned char messages[MESSAGES_ROOM];
	size_t messages_len;
	unsigned char *out;
	size_t out_len, out_sent, out_room;
};

struct tls13 *
tls13_new(void)
{
	struct tls13 *tls = sodium_init() < 0 ? NULL : calloc(1, sizeof(*tls));

	if (tls && tls13_keys_init(&tls->in_keys) == 0 && tls13_keys_init(&tls->out_keys) == 0)
		return tls;
	tls13_free(tls);
	return NULL;
}

void
tls13_free(struct tls13 *tls)
{
	if (!tls)
		return;
	tls13_keys_free(&tls->in_keys);
	tls13_keys_free(&tls->out_keys);
	tls13_signer_free(&tls->signer);
	free(tls->out);
	free(tls);
}

bool
tls13_is_ready(const struct tls13 *tls)
{
	return tls->expected == MESSAGE_TICKET;
}

/* ---- output ---------------------------------------------------------------------------------- */

static unsigned char *
room_for(struct tls13 *tls, size_t len)
{
	unsigned char *out;

	if (tls->out_len + len > tls->out_room) {
		out = realloc(tls->out, tls->out_len + len);
		if (!out)
			return NULL;
		tls->out = out;
		tls->out_room = tls->out_len + len;
	}
	return tls->out + tls->out_len;
}

static void
put_head(unsigned char *to, enum record_type type, size_t len)
{
	to[0] = (unsigned char)type;
	to[1] = to[2] = 3;
	to[3] = (unsigned char)(len >> 8);
	to[4] = (unsigned char)len;
}

static int
put_record(struct tls13 *tls, enum record_type type, const unsigned char *bytes, size_t len)
{
	size_t sealed = len + 1 + TLS13_TAG;
	unsigned char *to = room_for(tls, RECORD_HEAD + sealed);

	if (!to)
		return -1;
	if (!tls->out_sealed || type == RECORD_CCS) {
		put_head(to, type, len);
		memcpy(to + RECORD_HEAD, bytes, len);
		tls->out_len += RECORD_HEAD + len;
		return 0;
	}
	put_head(to, RECORD_TEXT, sealed);
	tls->out_len += RECORD_HEAD + sealed;
	return tls13_seal(&tls->out_keys, to, bytes, len, (unsigned char)type);
}

int
tls13_write(struct tls13 *tls, const char *text, size_t len)
{
	while (len > 0) {
		size_t part = len < RECORD_MOST ? len : RECORD_MOST;

		if (put_record(tls, RECORD_TEXT, (const unsigned char *)text, part) < 0)
			return -1;
		text += part;
		len -= part;
	}
	return 0;
}

int
tls13_send(struct tls13 *tls, int fd)
{
	while (tls->out_sent < tls->out_len) {
		ssize_t n = send(
		    fd, tls->out + tls->out_sent, tls->out_len - tls->out_sent, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		tls->out_sent += (size_t)n;
	}
	tls->out_len = tls->out_sent = 0;
	return 1;
}

/* ---- the handshake, in the order of its messages ----------------------------------------------
 */

int
tls13_begin(struct tls13 *tls)
{
	/* Positions of what differs from one connection to the next. */
	enum { RANDOM = 6, SESSION = 39, SHARE = 118, SIZE = SHARE + 32 };
	/* clang-format off */
	unsigned char hello[SIZE] = {
		1, 0, 0, SIZE - 4, 3, 3,
		[SESSION - 1] = 32,
		[SESSION + 32] = 0, 2, 0x13, 1,    /* TLS_AES_128_GCM_SHA256 */
		1, 0,                              /* no compression */
		0, SIZE - (SESSION + 40),          /* extensions */
		0, 43, 0, 3, 2, 3, 4,              /* TLS 1.3 */
		0, 10, 0, 4, 0, 2, 0, 29,          /* X25519 */
		0, 13, 0, 4, 0, 2, 4, 3,           /* ecdsa_secp256r1_sha256 */
		0, 45, 0, 2, 1, 1,                 /* tickets, for resumption with (EC)DHE */
		0, 51, 0, 38, 0, 36, 0, 29, 0, 32, /* a share of X25519 */
	};
	/* clang-format on */

	tls->in_len = tls->in_taken = tls->messages_len = tls->out_len = tls->out_sent = 0;
	tls->in_sealed = tls->out_sealed = false;
	tls->expected = MESSAGE_SERVER_HELLO;
	randombytes_buf(hello + RANDOM, 32);
	randombytes_buf(hello + SESSION, 32); /* asks for the dummy change_cipher_spec */
	randombytes_buf(tls->private_share, 32);
	crypto_scalarmult_base(hello + SHARE, tls->private_share);
	SHA256_Init(&tls->transcript);
	SHA256_Update(&tls->transcript, hello, sizeof(hello));
	return put_record(tls, RECORD_HANDSHAKE, hello, sizeof(hello));
}

/* The hash of all messages so far. */
static void
transcript_now(const struct tls13 *tls, unsigned char ret[32])
{
	SHA256_CTX copy = tls->transcript;

	SHA256_Final(ret, &copy);
}

static unsigned
number16(const unsigned char *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* The server's share in its hello; NULL for a hello that is none of ours. */
static const unsigned char *
find_share(const unsigned char *body, size_t len)
{
	size_t at = 2 + 32 + 1 + 32 + 3 + 2; /* the first extension */

	if (len < at || body[34] != 32 || number16(body + 67) != 0x1301)
		return NULL;
	while (at + 4 <= len) {
		unsigned type = number16(body + at), size = number16(body + at + 2);

		at += 4;
		if (type == 51)
			return size == 36 && at + size <= len && number16(body + at) == 29
				   ? body + at + 4
				   : NULL;
		at += size;
	}
	return NULL;
}

static const char *
on_server_hello(struct tls13 *tls, const unsigned char *body, size_t len)
{
	const unsigned char *share = find_share(body, len);
	unsigned char common[32], hash[32];

	if (!share || crypto_scalarmult(common, tls->private_share, share) != 0)
		return "TLS: not the ServerHello of TLS 1.3 with X25519";
	transcript_now(tls, hash);
	if (tls13_schedule_handshake(&tls->schedule, common, hash, &tls->in_keys, &tls->out_keys) <
	    0)
		return "TLS: no keys";
	tls->in_sealed = true;
	tls->expected = MESSAGE_EXTENSIONS;
	return NULL;
}

/* The first certificate alone; it is decoded again only when it is another one. */
static const char *
on_certificate(struct tls13 *tls, const unsigned char *body, size_t len)
{
	size_t size;

	if (len < 7 || body[0] != 0)
		return "TLS: not a certificate";
	size = (size_t)body[4] << 16 | number16(body + 5);
	if (size > len - 7 || tls13_signer_set(&tls->signer, body + 7, size) < 0)
		return "TLS: not a certificate of P-256";
	tls->expected = MESSAGE_VERIFY;
	return NULL;
}

static const char *
on_verify(struct tls13 *tls, const unsigned char hash[32], const unsigned char *body, size_t len)
{
	if (len < 4 || number16(body) != 0x0403 || number16(body + 2) != len - 4 ||
	    !tls13_signer_signed(&tls->signer, hash, body + 4, len - 4))
		return "TLS: the server's signature is not good";
	tls->expected = MESSAGE_FINISHED;
	return NULL;
}

/* Ours follows at once, behind the dummy; the keys for text are those up to here. */
static const char *
on_finished(
    struct tls13 *tls, const unsigned char before[32], const unsigned char *body, size_t len)
{
	unsigned char finished[4 + 32] = { MESSAGE_FINISHED, 0, 0, 32 }, hash[32];
	static const unsigned char dummy = 1;

	tls13_schedule_finished(tls->schedule.server, before, finished + 4);
	if (len != 32 || sodium_memcmp(body, finished + 4, 32) != 0)
		return "TLS: the server's Finished is not good";
	transcript_now(tls, hash);
	tls13_schedule_finished(tls->schedule.client, hash, finished + 4);
	if (put_record(tls, RECORD_CCS, &dummy, 1) < 0)
		return "out of memory";
	tls->out_sealed = true;
	if (put_record(tls, RECORD_HANDSHAKE, finished, sizeof(finished)) < 0 ||
	    tls13_schedule_text(&tls->schedule, hash, &tls->in_keys, &tls->out_keys) < 0)
		return "TLS: no keys";
	tls->expected = MESSAGE_TICKET;
	return NULL;
}

static const char *
on_message(struct tls13 *tls, const unsigned char *message, size_t len)
{
	const unsigned char *body = message + 4;
	unsigned char before[32];

	if (message[0] != tls->expected)
		return "TLS: not the message that was due";
	if (tls->expected == MESSAGE_TICKET)
		return NULL; /* this client never comes back */
	transcript_now(tls, before);
	SHA256_Update(&tls->transcript, message, len);
	switch (tls->expected) {
	case MESSAGE_SERVER_HELLO:
		return on_server_hello(tls, body, len - 4);
	case MESSAGE_EXTENSIONS:
		tls->expected = MESSAGE_CERTIFICATE;
		return NULL;
	case MESSAGE_CERTIFICATE:
		return on_certificate(tls, body, len - 4);
	case MESSAGE_VERIFY:
		return on_verify(tls, before, body, len - 4);
	default:
		return on_finished(tls, before, body, len - 4);
	}
}

/* Messages may be cut anywhere and lie together in one record. */
static const char *
on_messages(struct tls13 *tls, const unsigned char *bytes, size_t len)
{
	size_t at = 0;

	if (len > MESSAGES_ROOM - tls->messages_len)
		return "TLS: an endless handshake";
	memcpy(tls->messages + tls->messages_len, bytes, len);
	tls->messages_len += len;
	while (tls->messages_len - at >= 4) {
		const unsigned char *message = tls->messages + at;
		size_t size = 4 + ((size_t)message[1] << 16 | number16(message + 2));
		const char *why;

		if (size > tls->messages_len - at)
			break;
		why = on_message(tls, message, size);
		if (why)
			return why;
		at += size;
	}
	tls->messages_len -= at;
	memmove(tls->messages, tls->messages + at, tls->messages_len);
	return NULL;
}

/* ---- input ----------------------------------------------------------------------------------- */

ssize_t
tls13_receive(struct tls13 *tls, int fd)
{
	ssize_t n;

	if (tls->in_taken > 0) {
		tls->in_len -= tls->in_taken;
		memmove(tls->in, tls->in + tls->in_taken, tls->in_len);
		tls->in_taken = 0;
	}
	n = recv(fd, tls->in + tls->in_len, sizeof(tls->in) - tls->in_len, 0);
	if (n > 0)
		tls->in_len += (size_t)n;
	return n;
}

/* One whole record; its text, if it carries any. */
static const char *
on_record(struct tls13 *tls, unsigned char *record, size_t len, const char **text, size_t *text_len)
{
	unsigned char type = record[0], *bytes = record + RECORD_HEAD;
	size_t size = len - RECORD_HEAD;

	if (type == RECORD_CCS)
		return NULL; /* the server's dummy */
	if (tls->in_sealed &&
	    (type != RECORD_TEXT || tls13_open(&tls->in_keys, record, &size, &type) < 0))
		return "TLS: a record that is not sealed with these keys";
	if (type == RECORD_HANDSHAKE)
		return on_messages(tls, bytes, size);
	if (type != RECORD_TEXT || !tls13_is_ready(tls))
		return size >= 2 && bytes[1] == 0 ? "TLS: the server closes" : "TLS: an alert";
	*text = (const char *)bytes;
	*text_len = size;
	return NULL;
}

int
tls13_next(struct tls13 *tls, const char **text, size_t *len, const char **why)
{
	*len = 0;
	while (*len == 0 && tls->in_len - tls->in_taken >= RECORD_HEAD) {
		unsigned char *record = tls->in + tls->in_taken;
		size_t size = RECORD_HEAD + number16(record + 3);

		if (size > RECORD_ROOM) {
			*why = "TLS: a record that is too long";
			return -1;
		}
		if (size > tls->in_len - tls->in_taken)
			break;
		tls->in_taken += size;
		*why = on_record(tls, record, size, text, len);
		if (*why)
			return -1;
	}
	return *len > 0;
}
