/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - a private key with its certificate: out of a file, in the form in which it is
 * sealed, and back.
 *
 * Any thread, pure. OpenSSL wipes a key when it is freed.
 */
#ifndef MODULES_PKI_IDENTITY_H
#define MODULES_PKI_IDENTITY_H

#include <glib.h>
#include <openssl/x509.h>
#include <postern/base.h>

#define IDENTITY_FILE_MOST  (1u * 1024 * 1024)
#define IDENTITY_CHAIN_MOST 8 /* certificates beside the leaf */

struct identity {
	EVP_PKEY *key;
	X509 *certificate;
	STACK_OF(X509) * chain; /* NULL: none */
};

/*
 * PEM (a private key, also an encrypted one, and certificates in any order) or PKCS#12. `pass`
 * NULL: none is known. -EINVAL, with what is missing or wrong in `err`; -EACCES: the pass phrase is
 * not the right one; -ENOTSUP: a key that cannot sign here.
 */
int identity_read(
    struct pn_slice file, const char *pass, struct identity *ret, struct pn_error *err);
/* What identity_secret() and identity_certificates() gave. -EBADMSG: the two do not belong
 * together. */
int identity_join(struct pn_slice certificates, struct pn_slice secret, struct identity *ret);
void identity_clear(struct identity *identity);

/* PKCS#8, DER; OPENSSL_clear_free() by its length. NULL: no memory. */
unsigned char *identity_secret(const struct identity *identity, size_t *ret_len);
/* The certificate and its chain, DER after DER; g_byte_array_free(). NULL: no memory. */
GByteArray *identity_certificates(const struct identity *identity);

#endif
