/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_clients.h - certificates that clients show to a server: who vouches for them, and what they
 * say.
 */
#ifndef CORE_NET_TLS_CLIENTS_H
#define CORE_NET_TLS_CLIENTS_H

#include <core/base/certificate.h>
#include <openssl/ssl.h>

struct tls_clients {
	bool required;               /* no handshake without one that is good */
	struct pn_slice authorities; /* PEM: certificates that may vouch for others, or stand here
				      * themselves */
	struct pn_slice revoked; /* PEM: lists of revoked ones; `data` NULL: none are looked at */
	const char *authorities_where; /* for errors: the path */
	const char *revoked_where;
};

/* Whether the files can be used. 0; -EINVAL with the text in `err`, `*ret_where` the path. */
int tls_clients_check(
    const struct tls_clients *clients, const char **ret_where, struct pn_error *err);
/*
 * The contexts of a tls_server_new(), all its identities, ask clients for a certificate. Sessions
 * of theirs are not resumed: each is verified as of its own time.
 */
int tls_server_clients(SSL_CTX *ctx, const struct tls_clients *clients, struct pn_error *err);
/*
 * What the client has shown, where it is good now; in `arena`. NULL: none (`*ret_fault` is NULL),
 * or one that is not (`*ret_fault` says why; static).
 */
const struct certificate *tls_client_certificate(
    SSL *tls, struct arena *arena, const char **ret_fault);

#endif
