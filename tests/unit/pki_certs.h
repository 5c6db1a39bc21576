/* SPDX-License-Identifier: Apache-2.0 */
/* pki_certs.h - certificates of people for tests, made at run time. Any failure ends the process.
 */
#ifndef TESTS_UNIT_PKI_CERTS_H
#define TESTS_UNIT_PKI_CERTS_H

#include <openssl/x509.h>
#include <postern/base.h>

/* What is left out is as in a certificate that is good for mail. */
struct pki_wanted {
	const char *names;   /* SAN as OpenSSL writes it; NULL: none */
	const char *utf8;    /* SmtpUTF8Mailbox, with no other names; NULL: none */
	const char *name;    /* NULL: some name */
	const char *mail;    /* emailAddress in the subject; NULL: none */
	const char *usage;   /* NULL: not said */
	const char *purpose; /* NULL: not said */
	const char *more;    /* a critical extension of this OID; NULL: none */
	const char *curve;   /* NULL: P-256 where there is no `rsa` */
	unsigned rsa;        /* bits */
	unsigned exponent;   /* of an RSA key, in the certificate alone; 0: that of the key */
	bool ca;
	int first_day, last_day; /* from today; both 0: -1 and 30 */
};

struct pki_cert {
	X509 *certificate;
	EVP_PKEY *key;
};

/* Signed by `by`, NULL: by itself. */
struct pki_cert pki_cert_make(const struct pki_wanted *wanted, const struct pki_cert *by);
void pki_cert_free(struct pki_cert *cert);
/* g_free. */
struct pn_slice pki_cert_der(const struct pki_cert *cert);
struct pn_slice pki_cert_pem(const struct pki_cert *cert);

#endif
