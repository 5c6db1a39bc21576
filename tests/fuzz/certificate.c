/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate.c - fuzz target: certificates and files of them. What is called good can be read
 * again and is for the address; what is not has a reason.
 */
#include "../../modules/common/certificate_judge.h"
#include <openssl/err.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static void
judge_each(void *arg, const char *address)
{
	struct certificate_terms terms = { .address = address, .now = INT64_C(1795478400) };
	struct certificate_judgement judgement;
	char again[PN_ADDRESS_SIZE];

	must(pn_address_canonical(address, again) == 0 && strcmp(address, again) == 0);
	certificate_judge_x509(arg, NULL, &terms, &judgement);
	must(judgement.fault != CERTIFICATE_ADDRESS);
	must((judgement.fault == CERTIFICATE_GOOD) == (*judgement.reason == '\0'));
}

static void
judge(struct pn_slice bytes)
{
	struct certificate_terms terms = { .address = "ada@clinic.example", .now = 1795478400 };
	struct certificate_judgement judgement;
	STACK_OF(X509) * chain;
	X509 *leaf;

	must(certificate_judge(bytes, &terms, &judgement) == (*judgement.reason == '\0'));
	if (certificate_read(bytes, &leaf, &chain) < 0) {
		must(judgement.fault == CERTIFICATE_MALFORMED);
		return;
	}
	terms.trust = X509_STORE_new();
	terms.use = CERTIFICATE_TO_SIGN;
	X509_STORE_add_cert(terms.trust, leaf);
	certificate_judge(bytes, &terms, &judgement);
	certificate_addresses(leaf, judge_each, leaf);
	X509_STORE_free(terms.trust);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice bytes = pn_slice(data, size);
	STACK_OF(X509) * found;
	struct pn_error err = { 0 };

	judge(bytes);
	if (certificates_read(bytes, 8, &found, &err) == 0) {
		must(sk_X509_num(found) > 0 && sk_X509_num(found) <= 8);
		sk_X509_pop_free(found, X509_free);
	} else {
		must(*err.text != '\0');
	}
	ERR_clear_error();
	return 0;
}
