/* SPDX-License-Identifier: Apache-2.0 */
/* tlsa.c - fuzz target: the rdata of a TLSA record. OpenSSL takes what is said to be of use. */
#include <core/net/tls.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static SSL_CTX *ctx;
	struct tlsa tlsa;
	struct hop_terms terms = { .encrypted = true, .tlsa_count = 1, .tlsa = &tlsa };
	struct arena arena = { 0 };
	SSL *tls;

	if (!ctx && tls_client_new(TLS_LEVEL_MAY, NULL, TLS_MIN_1_2, &ctx, NULL) < 0)
		abort();
	if (!tlsa_read(pn_slice(data, size), &tlsa))
		return 0;
	terms.base = "mx.example";
	tls = SSL_new(ctx);
	if (!tls || tls_expect_dane(tls, "mx.example", &terms) < 0 ||
	    !strstr(hop_terms_key(&terms, &arena), " dane="))
		abort();
	SSL_free(tls);
	arena_free(&arena);
	return 0;
}
