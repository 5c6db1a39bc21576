/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signature.c - CMS signatures by OpenSSL.
 *
 * Called by whoever signs and whoever learns. Must never take a signature over something else for
 * one over this content: a structure that has content of its own is not verified against another.
 */
#include "signature.h"
#include <errno.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/objects.h>

/* ---- making ---------------------------------------------------------------------------------- */

/*
 * No SMIMECapabilities: they say what the signer's own programs can read, and those nobody here
 * knows.
 */
#define MAKING (CMS_BINARY | CMS_DETACHED | CMS_NOSMIMECAP | CMS_PARTIAL)

static bool
feed(CMS_ContentInfo *cms, const struct pn_slice *pieces, size_t count)
{
	BIO *bio = CMS_dataInit(cms, NULL);
	bool done = bio != NULL;

	for (size_t i = 0; done && i < count; i++) {
		size_t written;

		done = pieces[i].len == 0 ||
		       BIO_write_ex(bio, pieces[i].data, pieces[i].len, &written) == 1;
	}
	done = done && BIO_flush(bio) == 1 && CMS_dataFinal(cms, bio) == 1;
	BIO_free_all(bio);
	return done;
}

int
signature_make(const struct identity *identity, const struct pn_slice *pieces, size_t count,
    unsigned char **ret, size_t *ret_len)
{
	CMS_ContentInfo *cms = CMS_sign(NULL, NULL, identity->chain, NULL, MAKING);
	int len = -1;

	*ret = NULL;
	*ret_len = 0;
	if (cms &&
	    CMS_add1_signer(cms, identity->certificate, identity->key, EVP_sha256(), MAKING) &&
	    feed(cms, pieces, count))
		len = i2d_CMS_ContentInfo(cms, ret);
	CMS_ContentInfo_free(cms);
	ERR_clear_error();
	if (len <= 0)
		return -EIO;
	*ret_len = (size_t)len;
	return 0;
}

/* ---- verifying ------------------------------------------------------------------------------- */

/* What is behind the structure is no part of it, and nobody would say which of the two counts. */
static CMS_ContentInfo *
read_cms(struct pn_slice der)
{
	const unsigned char *at = (const unsigned char *)der.data;
	CMS_ContentInfo *cms;

	if (der.len == 0 || der.len > SIGNATURE_MOST)
		return NULL;
	cms = d2i_CMS_ContentInfo(NULL, &at, (long)der.len);
	if (cms && (at != (const unsigned char *)der.data + der.len ||
		       OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed)) {
		CMS_ContentInfo_free(cms);
		cms = NULL;
	}
	return cms;
}

/* A collision must not be worth anything: SHA-2 alone. */
static bool
digests_are_strong(STACK_OF(CMS_SignerInfo) * signers)
{
	for (int i = 0; i < sk_CMS_SignerInfo_num(signers); i++) {
		X509_ALGOR *digest = NULL;
		int nid;

		CMS_SignerInfo_get0_algs(
		    sk_CMS_SignerInfo_value(signers, i), NULL, NULL, &digest, NULL);
		nid = digest ? OBJ_obj2nid(digest->algorithm) : NID_undef;
		if (nid != NID_sha256 && nid != NID_sha384 && nid != NID_sha512)
			return false;
	}
	return true;
}

static bool
holds(CMS_ContentInfo *cms, struct pn_slice content)
{
	STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(cms);
	bool within = CMS_is_detached(cms) == 0, done;
	BIO *bio = NULL;

	if (sk_CMS_SignerInfo_num(signers) < 1 ||
	    sk_CMS_SignerInfo_num(signers) > SIGNATURE_SIGNERS_MOST ||
	    !digests_are_strong(signers) || within == (content.data != NULL) ||
	    content.len > INT32_MAX)
		return false;
	if (!within && !(bio = BIO_new_mem_buf(content.data, (int)content.len)))
		return false;
	done = CMS_verify(cms, NULL, NULL, bio, NULL, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY) == 1;
	BIO_free(bio);
	return done;
}

/* Several signers: whoever reads goes by the first. */
static X509 *
first_signer(CMS_ContentInfo *cms)
{
	CMS_SignerInfo *info = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
	X509 *signer = NULL;

	CMS_SignerInfo_get0_algs(info, NULL, &signer, NULL, NULL);
	return signer && X509_up_ref(signer) == 1 ? signer : NULL;
}

static struct pn_slice
capabilities(CMS_ContentInfo *cms)
{
	CMS_SignerInfo *info = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
	const ASN1_OBJECT *object = OBJ_nid2obj(NID_SMIMECapabilities);
	/* One attribute, with one value. */
	const ASN1_STRING *value = CMS_signed_get0_data_by_OBJ(info, object, -3, V_ASN1_SEQUENCE);
	int len = value ? ASN1_STRING_length(value) : 0;

	if (len <= 0 || len > (int)SIGNATURE_DECLARED_MOST)
		return pn_slice(NULL, 0);
	return pn_slice(OPENSSL_memdup(ASN1_STRING_get0_data(value), (size_t)len), (size_t)len);
}

int
signature_verify(struct pn_slice der, struct pn_slice content, struct signature *ret)
{
	CMS_ContentInfo *cms = read_cms(der);
	int r = -EBADMSG;

	*ret = (struct signature){ 0 };
	if (cms && holds(cms, content)) {
		ret->signer = first_signer(cms);
		ret->chain = CMS_get1_certs(cms);
		ret->declared = capabilities(cms);
		r = ret->signer && sk_X509_num(ret->chain) <= SIGNATURE_CERTS_MOST ? 0 : -EBADMSG;
	}
	CMS_ContentInfo_free(cms);
	ERR_clear_error();
	if (ret->declared.data == NULL)
		ret->declared.len = 0;
	if (r < 0)
		signature_clear(ret);
	return r;
}

void
signature_clear(struct signature *signature)
{
	X509_free(signature->signer);
	sk_X509_pop_free(signature->chain, X509_free);
	OPENSSL_free((void *)(uintptr_t)signature->declared.data);
	*signature = (struct signature){ 0 };
}
