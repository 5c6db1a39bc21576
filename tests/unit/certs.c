/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certs.c - certificates for tests.
 *
 * Called by unit tests and benches; everything is made in memory. Must never be used for real mail.
 */
#include "certs.h"
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "certs: cannot %s\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

static char *
bio_text(BIO *bio)
{
	char *data, *text;
	long len = BIO_get_mem_data(bio, &data);

	text = strndup(data, (size_t)len);
	must(text != NULL, "copy");
	BIO_free(bio);
	return text;
}

static void
extend(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&ctx, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(extension && X509_add_ext(certificate, extension, -1) == 1, "add an extension");
	X509_EXTENSION_free(extension);
}

static X509 *
new_certificate(EVP_PKEY *key, const char *name, int first_day, int last_day)
{
	X509 *certificate = X509_new();
	uint64_t serial = 0;

	must(certificate && RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1, "begin");
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1);
	X509_time_adj_ex(X509_getm_notBefore(certificate), first_day, 0, NULL);
	X509_time_adj_ex(X509_getm_notAfter(certificate), last_day, 0, NULL);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
	    (const unsigned char *)name, -1, -1, 0);
	return certificate;
}

static struct certs
sign(X509 *certificate, EVP_PKEY *key, EVP_PKEY *signer)
{
	BIO *certificate_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
	struct certs certs;

	must(X509_sign(certificate, signer, EVP_sha256()) > 0, "sign");
	must(PEM_write_bio_X509(certificate_bio, certificate) == 1 &&
		 PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1,
	    "write PEM");
	certs.certificate = bio_text(certificate_bio);
	certs.key = bio_text(key_bio);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return certs;
}

struct certs
certs_authority(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = new_certificate(key, name, -1, 30);

	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
	extend(certificate, NID_subject_key_identifier, "hash");
	return sign(certificate, key, key);
}

struct certs
certs_issue(const struct certs *authority, const char *names, int first_day, int last_day)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *signer = NULL;
	X509 *certificate = new_certificate(key, "test", first_day, last_day), *root = NULL;
	struct certs certs;

	if (authority) {
		BIO *bio = BIO_new_mem_buf(authority->certificate, -1);
		BIO *key_bio = BIO_new_mem_buf(authority->key, -1);

		root = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		signer = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
		must(root && signer, "read the authority");
		BIO_free(bio);
		BIO_free(key_bio);
	}
	X509_set_issuer_name(certificate, X509_get_subject_name(root ? root : certificate));
	extend(certificate, NID_basic_constraints, "critical,CA:FALSE");
	extend(certificate, NID_subject_alt_name, names);
	certs = sign(certificate, key, signer ? signer : key);
	X509_free(root);
	EVP_PKEY_free(signer);
	return certs;
}

void
certs_free(struct certs *certs)
{
	free(certs->certificate);
	free(certs->key);
	*certs = (struct certs){ NULL, NULL };
}

char *
certs_write(const char *bytes)
{
	const char *folder = getenv("TMPDIR");
	size_t len = strlen(bytes);
	char *path;
	int fd;

	must(asprintf(&path, "%s/postern-test-XXXXXX", folder ? folder : "/tmp") > 0, "name");
	fd = mkstemp(path);
	must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, "write a file");
	close(fd);
	return path;
}
