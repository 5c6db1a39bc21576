/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate_read.c - certificates out of DER, PEM and PKCS#7.
 *
 * Called by certificate_judge.c and whoever imports or learns. Must never trust a length, nor leave
 * an error behind in OpenSSL's queue.
 */
#include "certificate_judge.h"
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>

#define CHAIN_MOST 16

static X509 *
read_one(const unsigned char **at, const unsigned char *end)
{
	size_t len = (size_t)(end - *at);

	return d2i_X509(NULL, at, len > CERTIFICATE_MOST ? (long)CERTIFICATE_MOST : (long)len);
}

int
certificate_read(struct pn_slice bytes, X509 **ret_leaf, STACK_OF(X509) * *ret_chain)
{
	const unsigned char *at = (const unsigned char *)bytes.data, *end = at + bytes.len;
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *leaf = bytes.len > 0 ? read_one(&at, end) : NULL;
	bool good = leaf && chain;

	while (good && at < end && sk_X509_num(chain) < CHAIN_MOST) {
		X509 *next = read_one(&at, end);

		good = next && sk_X509_push(chain, next) > 0;
		if (!good)
			X509_free(next);
	}
	ERR_clear_error();
	if (good && at == end) {
		*ret_leaf = leaf;
		*ret_chain = chain;
		return 0;
	}
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return -EBADMSG;
}

/* ---- files ----------------------------------------------------------------------------------- */

struct reading {
	STACK_OF(X509) * found;
	size_t most;
	int r;
};

/* Takes it over. */
static void
found(struct reading *reading, X509 *certificate)
{
	if (reading->r == 0 && (size_t)sk_X509_num(reading->found) >= reading->most)
		reading->r = -E2BIG;
	else if (reading->r == 0 && sk_X509_push(reading->found, certificate) > 0)
		return;
	else if (reading->r == 0)
		reading->r = -ENOMEM;
	X509_free(certificate);
}

/* Signed data without or with content: PKCS#7 is what CMS writes there as well. */
static bool
read_bundle(struct reading *reading, const unsigned char *data, size_t len)
{
	const unsigned char *at = data;
	PKCS7 *bundle = d2i_PKCS7(NULL, &at, (long)len);
	STACK_OF(X509) *certificates = NULL;
	bool is = false;

	if (bundle && PKCS7_type_is_signed(bundle) && bundle->d.sign) {
		certificates = bundle->d.sign->cert;
		is = true;
	}
	for (int i = 0; i < sk_X509_num(certificates); i++) {
		X509 *one = sk_X509_value(certificates, i);

		if (X509_up_ref(one))
			found(reading, one);
	}
	PKCS7_free(bundle);
	return is;
}

static bool
read_der(struct reading *reading, const unsigned char *data, size_t len)
{
	const unsigned char *at = data, *end = data + len;
	X509 *one;
	bool any = false;

	while (at < end && reading->r == 0 && (one = read_one(&at, end)) != NULL) {
		found(reading, one);
		any = true;
	}
	return any && at == end;
}

static bool
read_block(struct reading *reading, const char *type, const unsigned char *data, size_t len)
{
	if (!strcmp(type, PEM_STRING_PKCS7) || !strcmp(type, PEM_STRING_PKCS7_SIGNED) ||
	    !strcmp(type, "CMS"))
		return read_bundle(reading, data, len);
	if (!strcmp(type, PEM_STRING_X509) || !strcmp(type, PEM_STRING_X509_OLD))
		return read_der(reading, data, len);
	return true; /* keys and the like are not ours to look at */
}

/* How many blocks there were; `broken` counts those that were no certificates though they said so.
 */
static size_t
read_pem(struct reading *reading, struct pn_slice bytes, size_t *broken)
{
	BIO *in = BIO_new_mem_buf(bytes.data, (int)bytes.len);
	char *type = NULL, *header = NULL;
	unsigned char *data = NULL;
	size_t count = 0;
	long len;

	while (in && reading->r == 0 && PEM_read_bio(in, &type, &header, &data, &len) == 1) {
		count++;
		*broken += !read_block(reading, type, data, (size_t)len);
		OPENSSL_free(type);
		OPENSSL_free(header);
		OPENSSL_clear_free(data, (size_t)len);
	}
	BIO_free(in);
	return count;
}

int
certificates_read(struct pn_slice bytes, size_t most, STACK_OF(X509) * *ret, struct pn_error *err)
{
	struct reading reading = { sk_X509_new_null(), most, 0 };
	const unsigned char *data = (const unsigned char *)bytes.data;
	size_t broken = 0, blocks = 0;

	if (!reading.found)
		return pn_error_set(err, -ENOMEM, "not enough memory");
	if (bytes.len > 0 && bytes.len <= INT_MAX) {
		blocks = read_pem(&reading, bytes, &broken);
		if (blocks == 0 && !read_der(&reading, data, bytes.len) &&
		    sk_X509_num(reading.found) == 0)
			read_bundle(&reading, data, bytes.len);
	}
	ERR_clear_error();
	if (reading.r == 0 && sk_X509_num(reading.found) > 0) {
		*ret = reading.found;
		return 0;
	}
	sk_X509_pop_free(reading.found, X509_free);
	if (reading.r == -E2BIG)
		return pn_error_set(err, -E2BIG, "more than %zu certificates", most);
	if (reading.r < 0)
		return pn_error_set(err, reading.r, "not enough memory");
	if (broken > 0)
		return pn_error_set(err, -EBADMSG,
		    "a certificate that cannot be read: it was cut or changed on its way here");
	return pn_error_set(err, -EBADMSG, "%s",
	    blocks > 0 ? "no certificate in it, only other things"
		       : "neither PEM nor DER of a certificate, nor a PKCS#7 bundle");
}
