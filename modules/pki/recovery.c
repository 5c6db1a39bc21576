/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery.c - private keys for recovery: CMS EnvelopedData to one certificate.
 *
 * Called by `pki private export`, and with the settings. Must never write a key in clear.
 */
#include "recovery.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <unistd.h>

int
recovery_load(const char *path, X509 **ret, struct pn_error *err)
{
	BIO *bio = BIO_new_file(path, "r");

	*ret = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	ERR_clear_error();
	if (!*ret)
		return pn_error_set(err, -EINVAL, "%.300s has no certificate (PEM)", path);
	if (EVP_PKEY_get_base_id(X509_get0_pubkey(*ret)) == EVP_PKEY_RSA &&
	    X509_get_key_usage(*ret) & KU_KEY_ENCIPHERMENT)
		return 0;
	X509_free(*ret);
	*ret = NULL;
	return pn_error_set(err, -EINVAL,
	    "%.300s: to the certificate nothing can be encrypted; one of an RSA key is wanted "
	    "whose key usage, if it has one, says keyEncipherment",
	    path);
}

/* In memory that is wiped. */
static BIO *
clear_text(const struct identity *identity)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	bool done = bio &&
		    PEM_write_bio_PrivateKey(bio, identity->key, NULL, NULL, 0, NULL, NULL) == 1 &&
		    PEM_write_bio_X509(bio, identity->certificate) == 1;

	for (int i = 0; done && i < sk_X509_num(identity->chain); i++)
		done = PEM_write_bio_X509(bio, sk_X509_value(identity->chain, i)) == 1;
	if (done)
		return bio;
	BIO_free(bio);
	return NULL;
}

static CMS_ContentInfo *
encrypt(const struct identity *identity, X509 *to)
{
	STACK_OF(X509) *recipients = sk_X509_new_null();
	BIO *clear = clear_text(identity);
	CMS_ContentInfo *ret = NULL;

	if (recipients && clear && sk_X509_push(recipients, to) > 0)
		ret = CMS_encrypt(recipients, clear, EVP_aes_256_cbc(), CMS_BINARY);
	sk_X509_free(recipients);
	BIO_free(clear);
	return ret;
}

static int
write_file(CMS_ContentInfo *cms, const char *path, struct pn_error *err)
{
	int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	BIO *bio;
	bool done;

	if (file < 0)
		return pn_error_set(
		    err, -errno, "%.300s: cannot make it: %s", path, g_strerror(errno));
	bio = BIO_new_fd(file, BIO_NOCLOSE);
	done = bio && PEM_write_bio_CMS_stream(bio, cms, NULL, 0) == 1;
	BIO_free(bio);
	done = fsync(file) == 0 && done;
	done = close(file) == 0 && done;
	if (!done)
		unlink(path);
	return done ? 0 : pn_error_set(err, -EIO, "%.300s: cannot write it", path);
}

int
recovery_write(const struct identity *identity, X509 *to, const char *path, struct pn_error *err)
{
	CMS_ContentInfo *cms = encrypt(identity, to);
	int r = cms ? write_file(cms, path, err)
		    : pn_error_set(err, -EIO, "the key cannot be encrypted for recovery");

	CMS_ContentInfo_free(cms);
	ERR_clear_error();
	return r;
}
