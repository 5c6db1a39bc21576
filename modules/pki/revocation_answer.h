/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocation_answer.h - what a list (RFC 5280) or a responder (RFC 6960) says of a certificate.
 *
 * Any thread, pure. What is read may be anything at all: it counts only where the issuer, or
 * whoever the issuer has certified for it, has signed it.
 */
#ifndef MODULES_PKI_REVOCATION_ANSWER_H
#define MODULES_PKI_REVOCATION_ANSWER_H

#include <glib.h>
#include <openssl/x509.h>
#include <postern/base.h>

enum revocation_status {
	REVOCATION_UNKNOWN, /* `why` says what is wrong with it */
	REVOCATION_GOOD,
	REVOCATION_REVOKED,
};

struct revocation_answer {
	enum revocation_status status;
	int64_t until; /* seconds since 1970: as long it may be used */
	char why[200];
};

/* DER, OPENSSL_free(); without a nonce, so that answers made before will do. NULL: no memory. */
unsigned char *ocsp_request(X509 *certificate, X509 *issuer, size_t *ret_len);
void ocsp_read(struct pn_slice der, X509 *certificate, X509 *issuer, int64_t now,
    struct revocation_answer *ret);
/* Lists in PEM, or one in DER: those of the issuer count. */
void crl_read(struct pn_slice bytes, X509 *certificate, X509 *issuer, int64_t now,
    struct revocation_answer *ret);

/* Addresses (http, https) that a certificate names for it, two at most; g_strfreev(). */
char **ocsp_urls(X509 *certificate);
char **crl_urls(X509 *certificate);

#endif
