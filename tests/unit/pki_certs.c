/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pki_certs.c - certificates of people for tests.
 *
 * Called by the tests of certificates and of the module pki. Must never be used for real mail.
 */
#include "pki_certs.h"
#include <glib.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "pki_certs: cannot %s\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

static void
extend(X509 *certificate, X509 *issuer, const char *name, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;

	if (!value)
		return;
	X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf(NULL, &ctx, name, value);
	must(extension && X509_add_ext(certificate, extension, -1) == 1, "add an extension");
	X509_EXTENSION_free(extension);
}

/* OpenSSL's way of writing names knows no UTF-8. */
static void
add_utf8(X509 *certificate, const char *address)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_UTF8STRING *text = ASN1_UTF8STRING_new();
	ASN1_TYPE *value = ASN1_TYPE_new();

	must(ASN1_STRING_set(text, address, -1) == 1, "copy an address");
	ASN1_TYPE_set(value, V_ASN1_UTF8STRING, text);
	must(
	    GENERAL_NAME_set0_othername(name, OBJ_nid2obj(NID_id_on_SmtpUTF8Mailbox), value) == 1 &&
		sk_GENERAL_NAME_push(names, name) > 0 &&
		X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1,
	    "add an address");
	GENERAL_NAMES_free(names);
}

static void
name_subject(X509 *certificate, const struct pki_wanted *wanted)
{
	X509_NAME *subject = X509_get_subject_name(certificate);

	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
	    (const unsigned char *)(wanted->name ? wanted->name : "Somebody"), -1, -1, 0);
	if (wanted->mail)
		X509_NAME_add_entry_by_txt(subject, "emailAddress", MBSTRING_ASC,
		    (const unsigned char *)wanted->mail, -1, -1, 0);
}

static EVP_PKEY *
make_key(const struct pki_wanted *wanted)
{
	EVP_PKEY *key = wanted->rsa ? EVP_RSA_gen(wanted->rsa)
				    : EVP_EC_gen(wanted->curve ? wanted->curve : "P-256");

	must(key != NULL, "make a key");
	return key;
}

/* The same modulus with another exponent. */
static EVP_PKEY *
with_exponent(const EVP_PKEY *key, unsigned exponent)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *n = NULL, *e = BN_new();
	OSSL_PARAM *params;
	EVP_PKEY *ret = NULL;

	must(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
		 BN_set_word(e, exponent) &&
		 OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
		 OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1,
	    "take the key apart");
	params = OSSL_PARAM_BLD_to_param(build);
	must(EVP_PKEY_fromdata_init(ctx) == 1 &&
		 EVP_PKEY_fromdata(ctx, &ret, EVP_PKEY_PUBLIC_KEY, params) == 1,
	    "make a key");
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	BN_free(e);
	return ret;
}

static void
set_key(X509 *certificate, EVP_PKEY *key, unsigned exponent)
{
	EVP_PKEY *other = exponent ? with_exponent(key, exponent) : NULL;

	X509_set_pubkey(certificate, other ? other : key);
	EVP_PKEY_free(other);
}

struct pki_cert
pki_cert_make(const struct pki_wanted *wanted, const struct pki_cert *by)
{
	struct pki_cert cert = { X509_new(), make_key(wanted) };
	X509 *issuer = by ? by->certificate : cert.certificate;
	bool usual = wanted->first_day == 0 && wanted->last_day == 0;
	uint64_t serial;

	must(RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1, "number it");
	X509_set_version(cert.certificate, 2);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert.certificate), serial >> 1 | 1);
	X509_time_adj_ex(
	    X509_getm_notBefore(cert.certificate), usual ? -1 : wanted->first_day, 0, NULL);
	X509_time_adj_ex(
	    X509_getm_notAfter(cert.certificate), usual ? 30 : wanted->last_day, 0, NULL);
	set_key(cert.certificate, cert.key, wanted->exponent);
	name_subject(cert.certificate, wanted);
	X509_set_issuer_name(cert.certificate, X509_get_subject_name(issuer));
	extend(cert.certificate, issuer, "basicConstraints",
	    wanted->ca ? "critical,CA:TRUE" : "CA:FALSE");
	extend(cert.certificate, issuer, "subjectKeyIdentifier", "hash");
	extend(cert.certificate, issuer, "subjectAltName", wanted->names);
	if (wanted->utf8)
		add_utf8(cert.certificate, wanted->utf8);
	extend(cert.certificate, issuer, "keyUsage", wanted->usage);
	extend(cert.certificate, issuer, "extendedKeyUsage", wanted->purpose);
	extend(cert.certificate, issuer, "1.3.6.1.4.1.99999.1",
	    wanted->more ? "critical,ASN1:NULL" : NULL);
	must(X509_sign(cert.certificate, by ? by->key : cert.key, EVP_sha256()) > 0, "sign");
	return cert;
}

void
pki_cert_free(struct pki_cert *cert)
{
	X509_free(cert->certificate);
	EVP_PKEY_free(cert->key);
	*cert = (struct pki_cert){ NULL, NULL };
}

struct pn_slice
pki_cert_der(const struct pki_cert *cert)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert->certificate, &der);
	char *copy;

	must(len > 0, "write DER");
	copy = g_malloc((size_t)len);
	memcpy(copy, der, (size_t)len);
	OPENSSL_free(der);
	return pn_slice(copy, (size_t)len);
}

struct pn_slice
pki_cert_pem(const struct pki_cert *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *copy;
	long len;

	must(PEM_write_bio_X509(bio, cert->certificate) == 1, "write PEM");
	len = BIO_get_mem_data(bio, &data);
	copy = g_strndup(data, (size_t)len);
	BIO_free(bio);
	return pn_slice(copy, (size_t)len);
}
