/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocation_answer.c - lists of revoked certificates and answers of responders, by OpenSSL.
 *
 * Called by revocation.c. Must never say "good" for anything but a current word of the issuer about
 * this very certificate.
 */
#include "revocation_answer.h"
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define SKEW     300   /* seconds that clocks may differ */
#define HOUR     3600  /* an answer without an end is used for */
#define AGE_MOST 86400 /* and is as old as that at most */
#define LISTS    16    /* in one file */
#define URLS     2
#define URL_MOST 1000u

static void
answer(struct revocation_answer *ret, enum revocation_status status, int64_t until, const char *why)
{
	ret->status = status;
	ret->until = until;
	g_strlcpy(ret->why, why, sizeof(ret->why));
}

static int64_t
seconds_of(const ASN1_TIME *time, int64_t otherwise)
{
	struct tm parts;
	GDateTime *at;
	int64_t ret = otherwise;

	if (!time || ASN1_TIME_to_tm(time, &parts) != 1)
		return otherwise;
	at = g_date_time_new_utc(parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
	    parts.tm_hour, parts.tm_min, parts.tm_sec);
	if (at) {
		ret = g_date_time_to_unix(at);
		g_date_time_unref(at);
	}
	return ret;
}

/* The issuer, and nobody above: the chain was judged already. */
static X509_STORE *
store_of(X509 *issuer)
{
	X509_STORE *store = X509_STORE_new();

	if (store && X509_STORE_add_cert(store, issuer) == 1 &&
	    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1)
		return store;
	X509_STORE_free(store);
	return NULL;
}

/* ---- responders ------------------------------------------------------------------------------ */

unsigned char *
ocsp_request(X509 *certificate, X509 *issuer, size_t *ret_len)
{
	OCSP_REQUEST *request = OCSP_REQUEST_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), certificate, issuer);
	unsigned char *ret = NULL;
	int len = -1;

	if (request && id && OCSP_request_add0_id(request, id)) {
		id = NULL;
		len = i2d_OCSP_REQUEST(request, &ret);
	}
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(request);
	ERR_clear_error();
	*ret_len = len > 0 ? (size_t)len : 0;
	return len > 0 ? ret : NULL;
}

static void
read_status(OCSP_BASICRESP *basic, X509 *certificate, X509 *issuer, int64_t now,
    struct revocation_answer *ret)
{
	ASN1_GENERALIZEDTIME *revoked = NULL, *from = NULL, *until = NULL;
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), certificate, issuer);
	int status = -1, reason = -1;
	int found = id ? OCSP_resp_find_status(basic, id, &status, &reason, &revoked, &from, &until)
		       : 0;

	OCSP_CERTID_free(id);
	if (found != 1)
		answer(ret, REVOCATION_UNKNOWN, 0, "the answer is about other certificates");
	else if (OCSP_check_validity(from, until, SKEW, until ? -1 : AGE_MOST) != 1)
		answer(ret, REVOCATION_UNKNOWN, 0, "the answer is not current");
	else if (status == V_OCSP_CERTSTATUS_GOOD)
		answer(ret, REVOCATION_GOOD, seconds_of(until, now + HOUR), "");
	else if (status == V_OCSP_CERTSTATUS_REVOKED)
		answer(ret, REVOCATION_REVOKED, seconds_of(until, now + HOUR),
		    reason >= 0 ? OCSP_crl_reason_str(reason) : "");
	else
		answer(ret, REVOCATION_UNKNOWN, 0, "the responder does not know the certificate");
}

static void
read_basic(OCSP_BASICRESP *basic, X509 *certificate, X509 *issuer, int64_t now,
    struct revocation_answer *ret)
{
	STACK_OF(X509) *own = sk_X509_new_null();
	X509_STORE *store = store_of(issuer);

	if (!own || !store || sk_X509_push(own, issuer) == 0)
		answer(ret, REVOCATION_UNKNOWN, 0, "not enough memory");
	else if (OCSP_basic_verify(basic, own, store, 0) != 1)
		answer(ret, REVOCATION_UNKNOWN, 0,
		    "the answer is not signed by the issuer, nor by whom it has certified for it");
	else
		read_status(basic, certificate, issuer, now, ret);
	sk_X509_free(own);
	X509_STORE_free(store);
}

void
ocsp_read(struct pn_slice der, X509 *certificate, X509 *issuer, int64_t now,
    struct revocation_answer *ret)
{
	const unsigned char *at = (const unsigned char *)der.data;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
	OCSP_BASICRESP *basic = NULL;

	if (!response)
		answer(ret, REVOCATION_UNKNOWN, 0, "what came is no answer of a responder");
	else if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		answer(ret, REVOCATION_UNKNOWN, 0,
		    OCSP_response_status_str(OCSP_response_status(response)));
	else if (!(basic = OCSP_response_get1_basic(response)))
		answer(ret, REVOCATION_UNKNOWN, 0, "the answer cannot be read");
	else
		read_basic(basic, certificate, issuer, now, ret);
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
}

/* ---- lists ----------------------------------------------------------------------------------- */

static int
verify_with(X509_CRL *list, X509 *certificate, X509 *issuer, int64_t now)
{
	STACK_OF(X509_CRL) *lists = sk_X509_CRL_new_null();
	X509_STORE *store = store_of(issuer);
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int ret = X509_V_ERR_OUT_OF_MEM;

	if (lists && store && ctx && sk_X509_CRL_push(lists, list) > 0 &&
	    X509_STORE_CTX_init(ctx, store, certificate, NULL) == 1) {
		X509_STORE_CTX_set0_crls(ctx, lists);
		X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_PARTIAL_CHAIN);
		X509_STORE_CTX_set_time(ctx, 0, (time_t)now);
		ret = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
		if (ret == X509_V_OK && X509_STORE_CTX_get_error(ctx) != X509_V_OK)
			ret = X509_STORE_CTX_get_error(ctx);
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	sk_X509_CRL_free(lists);
	return ret;
}

/* "Revoked" of one list is not undone by another one. */
static void
use_list(
    X509_CRL *list, X509 *certificate, X509 *issuer, int64_t now, struct revocation_answer *ret)
{
	int64_t until = seconds_of(X509_CRL_get0_nextUpdate(list), now + HOUR);
	int error;

	if (ret->status == REVOCATION_REVOKED ||
	    X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_issuer_name(certificate)) != 0)
		return;
	error = verify_with(list, certificate, issuer, now);
	if (error == X509_V_ERR_CERT_REVOKED)
		answer(ret, REVOCATION_REVOKED, until, "");
	else if (error == X509_V_OK)
		answer(ret, REVOCATION_GOOD, until, "");
	else if (ret->status == REVOCATION_UNKNOWN)
		answer(ret, REVOCATION_UNKNOWN, 0, X509_verify_cert_error_string(error));
}

void
crl_read(struct pn_slice bytes, X509 *certificate, X509 *issuer, int64_t now,
    struct revocation_answer *ret)
{
	const unsigned char *at = (const unsigned char *)bytes.data;
	bool der = bytes.len > 0 && *at == (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED);
	BIO *bio = der ? NULL : BIO_new_mem_buf(bytes.data, (int)bytes.len);
	X509_CRL *list;

	answer(ret, REVOCATION_UNKNOWN, 0, "there is no list of the issuer");
	for (int i = 0; i < LISTS; i++) {
		list = der ? d2i_X509_CRL(NULL, &at, (long)bytes.len)
			   : PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
		if (!list)
			break;
		use_list(list, certificate, issuer, now, ret);
		X509_CRL_free(list);
		if (der)
			break;
	}
	BIO_free(bio);
	ERR_clear_error();
}

/* ---- where to ask ---------------------------------------------------------------------------- */

static void
add_url(GPtrArray *to, const char *url, size_t len)
{
	bool web = g_ascii_strncasecmp(url, "http://", 7) == 0 ||
		   g_ascii_strncasecmp(url, "https://", 8) == 0;

	if (to->len >= URLS || len > URL_MOST || strlen(url) != len || !web)
		return;
	for (size_t i = 0; i < len; i++)
		if (!g_ascii_isgraph(url[i]))
			return;
	g_ptr_array_add(to, g_strdup(url));
}

static char **
end_urls(GPtrArray *urls)
{
	g_ptr_array_add(urls, NULL);
	ERR_clear_error();
	return (char **)g_ptr_array_free(urls, FALSE);
}

char **
ocsp_urls(X509 *certificate)
{
	STACK_OF(OPENSSL_STRING) *found = X509_get1_ocsp(certificate);
	GPtrArray *ret = g_ptr_array_new();

	for (int i = 0; i < sk_OPENSSL_STRING_num(found); i++)
		add_url(ret, sk_OPENSSL_STRING_value(found, i),
		    strlen(sk_OPENSSL_STRING_value(found, i)));
	X509_email_free(found);
	return end_urls(ret);
}

static void
add_point(GPtrArray *to, const DIST_POINT *point)
{
	const GENERAL_NAMES *names;

	/* A list for some reasons alone cannot say "good"; one of somebody else is not followed. */
	if (!point->distpoint || point->distpoint->type != 0 || point->reasons || point->CRLissuer)
		return;
	names = point->distpoint->name.fullname;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		const ASN1_STRING *value = GENERAL_NAME_get0_value(
		    sk_GENERAL_NAME_value(names, i), &type);

		if (type == GEN_URI)
			add_url(to, (const char *)ASN1_STRING_get0_data(value),
			    (size_t)ASN1_STRING_length(value));
	}
}

char **
crl_urls(X509 *certificate)
{
	CRL_DIST_POINTS *points = X509_get_ext_d2i(
	    certificate, NID_crl_distribution_points, NULL, NULL);
	GPtrArray *ret = g_ptr_array_new();

	for (int i = 0; i < sk_DIST_POINT_num(points); i++)
		add_point(ret, sk_DIST_POINT_value(points, i));
	CRL_DIST_POINTS_free(points);
	return end_urls(ret);
}
