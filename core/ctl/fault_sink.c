/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_sink.c - a next hop with a fault, to see that a demand on TLS catches it.
 *
 * Called by posternctl tls-probe. Its key and certificate are made anew each time, for a name that
 * nobody has, and are never written. Must never take a message.
 */
#include <core/ctl/fault_sink.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_SECONDS 10
#define LINE_MOST    1024

struct fault_sink {
	pthread_t thread;
	int listener;
	enum fault fault;
	SSL_CTX *tls;
	atomic_bool ending, mail;
};

/* One connection; `tls` NULL: in clear. */
struct peer {
	int fd;
	SSL *tls;
};

static const char *const words[FAULT_COUNT] = { "no-starttls", "bad-certificate", "weak-bits" };
const char fault_words[] = "no-starttls, bad-certificate, weak-bits";

int
fault_read(const char *word, enum fault *ret)
{
	for (int i = 0; i < FAULT_COUNT; i++) {
		if (strcmp(word, words[i]) != 0)
			continue;
		*ret = (enum fault)i;
		return 0;
	}
	return -EINVAL;
}

/* ---- its certificate --------------------------------------------------------------------------
 */

static X509 *
make_certificate(EVP_PKEY *key)
{
	static const unsigned char name[] = "simulated-fault.invalid";
	X509 *certificate = X509_new();
	X509_NAME *subject = certificate ? X509_get_subject_name(certificate) : NULL;

	if (!subject || X509_set_version(certificate, 2) != 1 ||
	    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) != 1 ||
	    !X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) ||
	    !X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) ||
	    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, name, -1, -1, 0) != 1 ||
	    X509_set_issuer_name(certificate, subject) != 1 ||
	    X509_set_pubkey(certificate, key) != 1 ||
	    X509_sign(certificate, key, EVP_sha256()) <= 0) {
		X509_free(certificate);
		return NULL;
	}
	return certificate;
}

static SSL_CTX *
make_context(enum fault fault)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = key ? make_certificate(key) : NULL;
	bool good = ctx && certificate && SSL_CTX_use_certificate(ctx, certificate) == 1 &&
		    SSL_CTX_use_PrivateKey(ctx, key) == 1;

	/* The weakest that is left in OpenSSL: 128 bits. */
	if (good && fault == FAULT_WEAK_BITS)
		good = SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) == 1 &&
		       SSL_CTX_set_cipher_list(ctx, "ECDHE+AES128:@SECLEVEL=0") == 1;
	X509_free(certificate);
	EVP_PKEY_free(key);
	if (good)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* ---- talking --------------------------------------------------------------------------------- */

static bool
say(const struct peer *peer, const char *text)
{
	int len = (int)strlen(text);

	return peer->tls ? SSL_write(peer->tls, text, len) == len
			 : send(peer->fd, text, (size_t)len, MSG_NOSIGNAL) == len;
}

static bool
hear(const struct peer *peer, char line[LINE_MOST])
{
	for (size_t len = 0; len + 1 < LINE_MOST; len++) {
		int got = peer->tls ? SSL_read(peer->tls, line + len, 1)
				    : (int)recv(peer->fd, line + len, 1, 0);

		if (got != 1)
			return false;
		if (line[len] != '\n')
			continue;
		line[len + 1] = '\0';
		return true;
	}
	return false;
}

static bool
start_tls(struct fault_sink *sink, struct peer *peer)
{
	if (!say(peer, "220 go on\r\n"))
		return false;
	peer->tls = SSL_new(sink->tls);
	return peer->tls && SSL_set_fd(peer->tls, peer->fd) == 1 && SSL_accept(peer->tls) == 1;
}

/* False: the connection is over. */
static bool
answer(struct fault_sink *sink, struct peer *peer, const char *line)
{
	bool offers = sink->fault != FAULT_NO_STARTTLS && !peer->tls;

	if (strncasecmp(line, "EHLO", 4) == 0)
		return say(
		    peer, offers ? "250-simulated\r\n250 STARTTLS\r\n" : "250 simulated\r\n");
	if (strncasecmp(line, "STARTTLS", 8) == 0 && offers)
		return start_tls(sink, peer);
	if (strncasecmp(line, "QUIT", 4) == 0) {
		say(peer, "221 bye\r\n");
		return false;
	}
	if (strncasecmp(line, "MAIL", 4) == 0)
		atomic_store(&sink->mail, true);
	return say(peer, "554 5.7.0 nothing is taken here\r\n");
}

static void
serve(struct fault_sink *sink, int fd)
{
	const struct timeval wait = { .tv_sec = WAIT_SECONDS };
	struct peer peer = { .fd = fd };
	char line[LINE_MOST];
	bool goes;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	goes = say(&peer, "220 simulated\r\n");
	while (goes && hear(&peer, line))
		goes = answer(sink, &peer, line);
	SSL_free(peer.tls);
	close(fd);
}

static void *
run(void *arg)
{
	struct fault_sink *sink = arg;
	sigset_t pipe;

	/* Whoever hangs up during a write is no reason to end. */
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	while (!atomic_load(&sink->ending)) {
		int fd = accept4(sink->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			serve(sink, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			break;
	}
	return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int
listen_at(struct address *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in own = { .sin_family = AF_INET,
		.sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(own);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&own, len) < 0 || listen(fd, 5) < 0 ||
	    getsockname(fd, (struct sockaddr *)&own, &len) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	address_set_ip4(ret, &own.sin_addr, ntohs(own.sin_port));
	return fd;
}

static void
free_sink(struct fault_sink *sink)
{
	if (sink->listener >= 0)
		close(sink->listener);
	SSL_CTX_free(sink->tls);
	free(sink);
}

int
fault_sink_start(
    enum fault fault, struct fault_sink **ret, struct address *ret_at, struct pn_error *err)
{
	struct fault_sink *sink = calloc(1, sizeof(*sink));
	int r;

	if (!sink)
		return pn_error_set(err, -ENOMEM, "out of memory");
	sink->fault = fault;
	sink->tls = make_context(fault);
	sink->listener = listen_at(ret_at);
	r = !sink->tls           ? -ENOMEM
	    : sink->listener < 0 ? sink->listener
				 : -pthread_create(&sink->thread, NULL, run, sink);
	if (r < 0) {
		free_sink(sink);
		return pn_error_set(err, r, "cannot simulate a next hop: %s", strerror(-r));
	}
	*ret = sink;
	return 0;
}

bool
fault_sink_end(struct fault_sink **sink_at)
{
	struct fault_sink *sink = *sink_at;
	bool mail;

	*sink_at = NULL;
	atomic_store(&sink->ending, true);
	shutdown(sink->listener, SHUT_RDWR); /* accept() comes back */
	pthread_join(sink->thread, NULL);
	mail = atomic_load(&sink->mail);
	free_sink(sink);
	return mail;
}
