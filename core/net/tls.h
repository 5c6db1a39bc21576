/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls.h - OpenSSL contexts for both sides, and what a session in TLS is worth.
 *
 * Contexts are reference-counted by OpenSSL and safe to share between threads.
 */
#ifndef CORE_NET_TLS_H
#define CORE_NET_TLS_H

#include <core/net/hop_terms.h>
#include <core/net/tls_tickets.h>
#include <openssl/ssl.h>
#include <postern/base.h>
#include <postern/settings.h>

/* A certificate chain and its key, both PEM in memory; the names it serves are read from it. */
struct tls_identity {
	struct pn_slice certificate;
	struct pn_slice key;
	const char *where; /* for errors: the certificate's path */
};

enum tls_version { TLS_MIN_1_2, TLS_MIN_1_3 };

/*
 * Serves the identity whose names (SAN dNSName, one wildcard label) match the client's SNI, else
 * the first. Session tickets with keys of this context's own, see tls_server_tickets(). TLS 1.2 at
 * least (RFC 8997).
 */
int tls_server_new(const struct tls_identity *identities, size_t count, enum tls_version minimum,
    SSL_CTX **ret, struct pn_error *err);

/* Calls `each` with the context of each identity, until it returns something other than 0. */
int tls_server_each(SSL_CTX *ctx, int (*each)(SSL_CTX *ctx, void *arg), void *arg);
/* Tickets of all identities by these keys, which other contexts may have, too. -ENOMEM */
int tls_server_tickets(SSL_CTX *ctx, struct tls_tickets *tickets);

enum tls_level {
	TLS_LEVEL_NONE,    /* never TLS */
	TLS_LEVEL_MAY,     /* opportunistic: any certificate will do */
	TLS_LEVEL_ENCRYPT, /* TLS or nothing, any certificate */
	TLS_LEVEL_VERIFY,  /* TLS with a valid chain for the host's name, or nothing */
};
/*
 * `ca_file` NULL: the system's trust store. Below TLS_LEVEL_VERIFY it decides nothing, but facts
 * tell what it thinks of the peer.
 */
int tls_client_new(enum tls_level level, const char *ca_file, enum tls_version minimum,
    SSL_CTX **ret, struct pn_error *err);

/*
 * Says whom a client talks to: for SNI, and for the check of the certificate where the context's
 * level is TLS_LEVEL_VERIFY (-EINVAL without a name). Called by stream_start_tls.
 */
int tls_expect(SSL *tls, const char *name);
/*
 * The same where TLSA records say which certificate is good, and `level` of the context decides
 * only whether another ends the handshake. -EINVAL, also where none of them can be used.
 */
int tls_expect_dane(SSL *tls, const char *name, const struct hop_terms *terms);
/* Why a handshake failed: -EPROTO, or -EKEYREJECTED where the peer's certificate was not good. */
void tls_explain(SSL *tls, struct pn_error *ret);

#define TLS_BINDING_SIZE 32
/*
 * What binds an exchange of SASL to this connection: "tls-exporter" (RFC 9266 section 3). -ENOTSUP:
 * not before TLS 1.3, where two connections could be made to have the same one without the extended
 * master secret (RFC 7627).
 */
int tls_binding(SSL *tls, uint8_t ret[TLS_BINDING_SIZE]);

#define TLS_DIGEST_SIZE 32

struct tls_facts {
	const char *version; /* "TLSv1.3"; NULL in clear */
	const char *cipher;  /* OpenSSL's name; static */
	int bits;            /* 0, 128, 256 */
	bool trusted;        /* the peer's chain leads to a trusted root, whether or not it must */
	bool verified;       /* and its certificate has the name that we asked for */
	bool dane;           /* or it is what signed TLSA records say; then it is both of these */
	bool sts;     /* it is verified, and the domain's policy enforced names it: the courier's */
	int protocol; /* 0x0304 for TLS 1.3; 0 in clear */
	/* SHA-256 of the peer's public key (SubjectPublicKeyInfo) and of its certificate. */
	bool has_digests;
	unsigned char key[TLS_DIGEST_SIZE], certificate[TLS_DIGEST_SIZE];
	const char *fault; /* what is wrong with it, as tls_fault() has it; NULL: it is verified */
};
/*
 * What is wrong with the peer's certificate, or with the handshake, in the words of RFC 8460
 * section 4.3; static.
 */
const char *tls_fault(SSL *tls);
/* `name`: whom a client talks to, as for tls_expect; NULL: nothing is said of the peer. */
void tls_facts_of(SSL *tls, const char *name, struct tls_facts *ret);

#endif
