/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.c - a private key with its certificate: PEM, PKCS#12, and as it is kept.
 *
 * Called by commands and by whoever signs. Must never ask anybody for a pass phrase, nor leave a
 * copy of a key behind.
 */
#include "identity.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#define RSA_BITS_LEAST 2048
#define EC_BITS_LEAST  256

/* ---- reading --------------------------------------------------------------------------------- */

static int
give_pass(char *buf, int size, int writing, void *arg)
{
	const char *pass = arg;
	size_t len = pass ? strlen(pass) : 0;

	(void)writing;
	if (len == 0 || len > (size_t)size)
		return -1;
	memcpy(buf, pass, len);
	return (int)len;
}

static BIO *
bio_of(struct pn_slice bytes)
{
	return BIO_new_mem_buf(bytes.data, (int)bytes.len);
}

/* OpenSSL says "bad decrypt" for a wrong pass phrase, in many words. */
static int
pem_key(struct pn_slice file, const char *pass, EVP_PKEY **ret, struct pn_error *err)
{
	bool there = g_strstr_len(file.data, (gssize)file.len, "PRIVATE KEY-----") != NULL;
	BIO *bio = bio_of(file);

	*ret = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_pass, (void *)(uintptr_t)pass) : NULL;
	BIO_free(bio);
	if (*ret)
		return 0;
	if (!there)
		return pn_error_set(err, -EINVAL,
		    "there is no private key in it; PEM with key and certificate, or PKCS#12, is "
		    "wanted");
	return pass ? pn_error_set(err, -EACCES,
			  "the private key does not open: the pass phrase is wrong, or the key is "
			  "damaged")
		    : pn_error_set(err, -EINVAL,
			  "the private key does not open; if it has a pass phrase, name a file of "
			  "it with --pass-file");
}

static int
pem_certificates(struct pn_slice file, STACK_OF(X509) * *ret, struct pn_error *err)
{
	BIO *bio = bio_of(file);
	X509 *one;

	*ret = sk_X509_new_null();
	while (bio && *ret && (one = PEM_read_bio_X509(bio, NULL, give_pass, NULL)))
		if (sk_X509_num(*ret) > IDENTITY_CHAIN_MOST || sk_X509_push(*ret, one) == 0) {
			X509_free(one);
			break;
		}
	BIO_free(bio);
	if (!*ret || sk_X509_num(*ret) == 0)
		return pn_error_set(err, -EINVAL, "there is no certificate beside the key");
	return sk_X509_num(*ret) > IDENTITY_CHAIN_MOST
		   ? pn_error_set(err, -EINVAL, "there are more than %d certificates in it",
			 IDENTITY_CHAIN_MOST)
		   : 0;
}

/* The key's own certificate is taken out of the others. */
static int
pick(struct identity *identity, struct pn_error *err)
{
	for (int i = 0; i < sk_X509_num(identity->chain); i++)
		if (X509_check_private_key(sk_X509_value(identity->chain, i), identity->key) == 1) {
			identity->certificate = sk_X509_delete(identity->chain, i);
			return 0;
		}
	return pn_error_set(err, -EINVAL, "none of the certificates in it belongs to the key");
}

static int
read_pem(struct pn_slice file, const char *pass, struct identity *ret, struct pn_error *err)
{
	int r = pem_key(file, pass, &ret->key, err);

	if (r == 0)
		r = pem_certificates(file, &ret->chain, err);
	return r == 0 ? pick(ret, err) : r;
}

static int
read_pkcs12(struct pn_slice file, const char *pass, struct identity *ret, struct pn_error *err)
{
	const unsigned char *at = (const unsigned char *)file.data;
	PKCS12 *box = d2i_PKCS12(NULL, &at, (long)file.len);
	unsigned long why;
	int r = 0;

	if (!box)
		return pn_error_set(err, -EINVAL, "this is neither PEM nor PKCS#12");
	if (PKCS12_verify_mac(box, pass ? pass : "", -1) != 1 &&
	    (pass || PKCS12_verify_mac(box, NULL, 0) != 1))
		r = pass ? pn_error_set(err, -EACCES, "the pass phrase is not that of the file")
			 : pn_error_set(err, -EINVAL,
			       "it has a pass phrase: name a file of it with --pass-file");
	else if (PKCS12_parse(box, pass, &ret->key, &ret->certificate, &ret->chain) != 1) {
		why = ERR_peek_last_error();
		r = pn_error_set(err, -ENOTSUP,
		    "it does not open (%s); a file with an old cipher is made new by "
		    "openssl pkcs12 -legacy -in OLD -nodes | openssl pkcs12 -export -out NEW",
		    ERR_reason_error_string(why) ? ERR_reason_error_string(why) : "damaged");
	} else if (!ret->key || !ret->certificate)
		r = pn_error_set(
		    err, -EINVAL, "there is no private key with its certificate in it");
	PKCS12_free(box);
	if (r == 0 && sk_X509_num(ret->chain) > IDENTITY_CHAIN_MOST)
		r = pn_error_set(
		    err, -EINVAL, "there are more than %d certificates in it", IDENTITY_CHAIN_MOST);
	return r;
}

static int
check_kind(const struct identity *identity, struct pn_error *err)
{
	int bits = EVP_PKEY_get_bits(identity->key);

	switch (EVP_PKEY_get_base_id(identity->key)) {
	case EVP_PKEY_RSA:
		return bits >= RSA_BITS_LEAST
			   ? 0
			   : pn_error_set(err, -ENOTSUP, "the key has %d bits; %d is the least",
				 bits, RSA_BITS_LEAST);
	case EVP_PKEY_EC:
		return bits >= EC_BITS_LEAST
			   ? 0
			   : pn_error_set(err, -ENOTSUP, "the key has %d bits; %d is the least",
				 bits, EC_BITS_LEAST);
	default:
		return pn_error_set(
		    err, -ENOTSUP, "S/MIME signs with RSA and with EC keys; this one is neither");
	}
}

int
identity_read(struct pn_slice file, const char *pass, struct identity *ret, struct pn_error *err)
{
	int r;

	*ret = (struct identity){ 0 };
	if (file.len == 0 || file.len > IDENTITY_FILE_MOST)
		return pn_error_set(err, -EINVAL,
		    "it has %zu bytes; a key and its certificates are wanted", file.len);
	r = (unsigned char)file.data[0] == 0x30 ? read_pkcs12(file, pass, ret, err)
						: read_pem(file, pass, ret, err);
	if (r == 0)
		r = check_kind(ret, err);
	if (r < 0)
		identity_clear(ret);
	ERR_clear_error();
	return r;
}

/* ---- as it is kept --------------------------------------------------------------------------- */

static int
join_chain(const unsigned char *at, size_t len, struct identity *ret)
{
	const unsigned char *end = at + len;
	X509 *one;

	ret->certificate = d2i_X509(NULL, &at, end - at);
	ret->chain = sk_X509_new_null();
	if (!ret->certificate || !ret->chain)
		return -EBADMSG;
	while (at < end) {
		one = d2i_X509(NULL, &at, end - at);
		if (!one || sk_X509_num(ret->chain) >= IDENTITY_CHAIN_MOST ||
		    sk_X509_push(ret->chain, one) == 0) {
			X509_free(one);
			return -EBADMSG;
		}
	}
	return 0;
}

int
identity_join(struct pn_slice certificates, struct pn_slice secret, struct identity *ret)
{
	const unsigned char *at = (const unsigned char *)secret.data;
	int r;

	*ret = (struct identity){ 0 };
	r = join_chain((const unsigned char *)certificates.data, certificates.len, ret);
	if (r == 0)
		ret->key = d2i_AutoPrivateKey(NULL, &at, (long)secret.len);
	if (r == 0 && (!ret->key || X509_check_private_key(ret->certificate, ret->key) != 1))
		r = -EBADMSG;
	if (r < 0)
		identity_clear(ret);
	ERR_clear_error();
	return r;
}

void
identity_clear(struct identity *identity)
{
	EVP_PKEY_free(identity->key);
	X509_free(identity->certificate);
	sk_X509_pop_free(identity->chain, X509_free);
	*identity = (struct identity){ 0 };
}

unsigned char *
identity_secret(const struct identity *identity, size_t *ret_len)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(identity->key);
	unsigned char *ret = NULL;
	int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &ret) : -1;

	PKCS8_PRIV_KEY_INFO_free(info);
	*ret_len = len > 0 ? (size_t)len : 0;
	return len > 0 ? ret : NULL;
}

static bool
append(GByteArray *to, X509 *certificate)
{
	unsigned char *der = NULL;
	int len = i2d_X509(certificate, &der);

	if (len > 0)
		g_byte_array_append(to, der, (guint)len);
	OPENSSL_free(der);
	return len > 0;
}

GByteArray *
identity_certificates(const struct identity *identity)
{
	GByteArray *ret = g_byte_array_new();
	bool done = append(ret, identity->certificate);

	for (int i = 0; done && i < sk_X509_num(identity->chain); i++)
		done = append(ret, sk_X509_value(identity->chain, i));
	if (!done) {
		g_byte_array_free(ret, TRUE);
		ret = NULL;
	}
	return ret;
}
