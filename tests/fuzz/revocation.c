/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocation.c - fuzz target: lists of revoked certificates and answers of responders.
 *
 * A byte: 'c' for a list, else an answer; the certificate and its issuer as DER, each behind two
 * bytes of length; the rest is what came.
 */
#include <modules/pki/revocation_answer.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1795478400 /* 2026-11-24 */

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static X509 *
take(const uint8_t **data, size_t *size)
{
	const uint8_t *at;
	size_t len;
	X509 *ret;

	if (*size < 2)
		return NULL;
	len = (size_t)(*data)[0] << 8 | (*data)[1];
	if (len > *size - 2)
		return NULL;
	at = *data + 2;
	ret = d2i_X509(NULL, &at, (long)len);
	*data += 2 + len;
	*size -= 2 + len;
	return ret;
}

static void
judge(char kind, struct pn_slice bytes, X509 *certificate, X509 *issuer)
{
	struct revocation_answer answer = { 0 };
	char **urls = kind == 'c' ? crl_urls(certificate) : ocsp_urls(certificate);

	for (int i = 0; urls[i]; i++)
		must(i < 2 && strncasecmp(urls[i], "http", 4) == 0);
	g_strfreev(urls);
	(kind == 'c' ? crl_read : ocsp_read)(bytes, certificate, issuer, NOW, &answer);
	must(answer.status != REVOCATION_UNKNOWN || (answer.until == 0 && *answer.why));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char kind = size > 0 ? (char)*data : 0;
	X509 *certificate, *issuer;

	if (size == 0)
		return 0;
	data++;
	size--;
	certificate = take(&data, &size);
	issuer = certificate ? take(&data, &size) : NULL;
	if (issuer)
		judge(kind, pn_slice(data, size), certificate, issuer);
	X509_free(certificate);
	X509_free(issuer);
	return 0;
}
