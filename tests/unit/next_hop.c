/* SPDX-License-Identifier: Apache-2.0 */
/*
 * next_hop.c - the scripted next hop of the courier's and the queue's tests.
 *
 * Blocking sockets in a thread. Must never wait without end: every read gives up after a while.
 */
#include "tests/unit/next_hop.h"
#include <arpa/inet.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GIVE_UP_S 60

struct next_hop {
	pthread_t thread;
	const char *const *script;
	SSL_CTX *ctx;
	SSL *tls;
	int listener, fd;
	uint16_t port;
	bool dribble;
	char fault[500];
	struct buf messages;
	char in[4096];
	size_t in_at, in_len;
};

static void
limit_time(int fd)
{
	struct timeval limit = { .tv_sec = GIVE_UP_S };
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static bool
fail(struct next_hop *hop, const char *step, const char *what)
{
	if (!*hop->fault)
		snprintf(hop->fault, sizeof(hop->fault), "step \"%s\": %s", step, what);
	return false;
}

/* -1: closed. */
static int
read_byte(struct next_hop *hop)
{
	if (hop->in_at == hop->in_len) {
		ssize_t n = hop->tls ? SSL_read(hop->tls, hop->in, sizeof(hop->in))
				     : recv(hop->fd, hop->in, sizeof(hop->in), 0);

		hop->in_at = 0;
		hop->in_len = n > 0 ? (size_t)n : 0;
		if (n <= 0)
			return -1;
	}
	return (unsigned char)hop->in[hop->in_at++];
}

static bool
read_line(struct next_hop *hop, struct buf *ret)
{
	int c;

	while ((c = read_byte(hop)) >= 0) {
		char byte = (char)c;

		if (buf_add(ret, &byte, 1) < 0)
			abort();
		if (ret->len >= 2 && memcmp(ret->data + ret->len - 2, "\r\n", 2) == 0)
			return true;
	}
	return false;
}

static bool
step_read(struct next_hop *hop, const char *step)
{
	struct buf line = BUF_INIT(1u << 20);
	bool ok = read_line(hop, &line);

	if (!ok)
		fail(hop, step, "the peer has gone");
	else if (strncmp(buf_text(&line), step + 2, strlen(step + 2)) != 0)
		ok = fail(hop, step, buf_text(&line));
	buf_free(&line);
	return ok;
}

static bool
step_message(struct next_hop *hop, const char *step)
{
	struct buf line = BUF_INIT(1u << 24);
	bool ok = true;

	while (ok) {
		bool stuffed;

		buf_reset(&line);
		ok = read_line(hop, &line) || fail(hop, step, "the peer has gone");
		if (!ok || strcmp(buf_text(&line), ".\r\n") == 0)
			break;
		stuffed = line.data[0] == '.';
		if (buf_add(&hop->messages, line.data + stuffed, line.len - stuffed) < 0)
			abort();
	}
	buf_free(&line);
	return ok;
}

static bool
step_chunk(struct next_hop *hop, const char *step)
{
	struct buf line = BUF_INIT(4096);
	bool ok = read_line(hop, &line) && strncmp(buf_text(&line), "BDAT ", 5) == 0;
	unsigned long left = ok ? strtoul(line.data + 5, NULL, 10) : 0;

	if (!ok)
		fail(hop, step, line.len ? buf_text(&line) : "the peer has gone");
	for (; ok && left > 0; left--) {
		int c = read_byte(hop);
		char byte = (char)c;

		ok = c >= 0 || fail(hop, step, "the peer has gone");
		if (ok && buf_add(&hop->messages, &byte, 1) < 0)
			abort();
	}
	buf_free(&line);
	return ok;
}

static bool
put(struct next_hop *hop, const char *bytes, size_t len)
{
	ssize_t n = hop->tls ? SSL_write(hop->tls, bytes, (int)len)
			     : send(hop->fd, bytes, len, MSG_NOSIGNAL);

	return n == (ssize_t)len;
}

/* A peer that is gone is the script's to notice, by its next read. */
static bool
step_say(struct next_hop *hop, const char *step)
{
	char line[1u << 16];
	size_t len = (size_t)snprintf(line, sizeof(line), "%s\r\n", step + 2);
	size_t part = hop->dribble ? 1 : len;

	for (size_t at = 0; at < len; at += part)
		if (!put(hop, line + at, part))
			break;
	return true;
}

static bool
step_tls(struct next_hop *hop, const char *step)
{
	hop->tls = SSL_new(hop->ctx);
	SSL_set_fd(hop->tls, hop->fd);
	return SSL_accept(hop->tls) == 1 || fail(hop, step, "no handshake");
}

static void
hang_up(struct next_hop *hop, bool reset)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (reset && hop->fd >= 0)
		setsockopt(hop->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	SSL_free(hop->tls);
	hop->tls = NULL;
	if (hop->fd >= 0)
		close(hop->fd);
	hop->fd = -1;
	hop->in_at = hop->in_len = 0;
}

static bool
step_accept(struct next_hop *hop, const char *step)
{
	hang_up(hop, false);
	hop->fd = accept(hop->listener, NULL, NULL);
	if (hop->fd < 0)
		return fail(hop, step, "nobody connected");
	limit_time(hop->fd);
	return true;
}

static bool
step_hang(struct next_hop *hop)
{
	while (read_byte(hop) >= 0)
		;
	return true;
}

/* What the peer has said is left for the next steps. */
static bool
step_wait(struct next_hop *hop, const char *step)
{
	struct pollfd wait = { .fd = hop->fd, .events = POLLIN };

	return hop->in_at < hop->in_len || poll(&wait, 1, GIVE_UP_S * 1000) == 1 ||
	       fail(hop, step, "nothing was said");
}

static bool
run_step(struct next_hop *hop, const char *step)
{
	switch (*step) {
	case 'S':
		return step_say(hop, step);
	case 'C':
		return step_read(hop, step);
	case 'D':
		return step_message(hop, step);
	case 'B':
		return step_chunk(hop, step);
	case 'T':
		return step_tls(hop, step);
	case 'A':
		return step_accept(hop, step);
	case 'R':
		hang_up(hop, true);
		return true;
	case 'W':
		return step_wait(hop, step);
	case 'H':
		return step_hang(hop);
	default:
		return fail(hop, step, "unknown step");
	}
}

static void *
run(void *arg)
{
	struct next_hop *hop = arg;
	size_t from = 0;
	unsigned long again = ULONG_MAX;

	for (size_t i = 0; hop->script[i]; i++) {
		if (*hop->script[i] == 'L') {
			if (again == ULONG_MAX)
				again = strtoul(hop->script[i] + 1, NULL, 10);
			if (again-- > 0)
				i = from;
			continue;
		}
		if (*hop->script[i] == 'A')
			from = i;
		if (!run_step(hop, hop->script[i]))
			break;
	}
	hang_up(hop, false);
	return NULL;
}

struct next_hop *
next_hop_new(const char *const *script, bool dribble, SSL_CTX *tls)
{
	struct next_hop *hop = calloc(1, sizeof(*hop));
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	if (!hop)
		abort();
	hop->script = script;
	hop->dribble = dribble;
	hop->ctx = tls;
	hop->fd = -1;
	hop->messages = BUF_INIT(1u << 28);
	hop->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	limit_time(hop->listener);
	if (bind(hop->listener, (struct sockaddr *)&address, len) < 0 ||
	    listen(hop->listener, 64) < 0 ||
	    getsockname(hop->listener, (struct sockaddr *)&address, &len) < 0)
		abort();
	hop->port = ntohs(address.sin_port);
	if (pthread_create(&hop->thread, NULL, run, hop) != 0)
		abort();
	return hop;
}

uint16_t
next_hop_port(const struct next_hop *hop)
{
	return hop->port;
}

const char *
next_hop_end(struct next_hop *hop)
{
	pthread_join(hop->thread, NULL);
	return *hop->fault ? hop->fault : NULL;
}

struct pn_slice
next_hop_messages(struct next_hop *hop)
{
	return buf_slice(&hop->messages);
}

void
next_hop_free(struct next_hop **hop)
{
	close((*hop)->listener);
	buf_free(&(*hop)->messages);
	free(*hop);
	*hop = NULL;
}

/* ---- certificate ------------------------------------------------------------------------------
 */

static X509 *
make_certificate(EVP_PKEY *key, const char *alternative)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative);

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_NAME_add_entry_by_txt(
	    name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	X509_add_ext(certificate, names, -1);
	X509_EXTENSION_free(names);
	if (X509_sign(certificate, key, EVP_sha256()) == 0)
		abort();
	return certificate;
}

SSL_CTX *
next_hop_tls(const char *names, const char *pem)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = make_certificate(key, names);
	FILE *file = pem ? fopen(pem, "w") : NULL;

	if (SSL_CTX_use_certificate(ctx, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, key) != 1 || (pem && !file) ||
	    (file && PEM_write_X509(file, certificate) != 1))
		abort();
	if (file)
		fclose(file);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return ctx;
}
