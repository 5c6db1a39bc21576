/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate_judge.c - unit tests of modules/common/certificate_judge.c: for each way in which a
 * certificate can be of no use, the reason in words (C53; RFC 8550, RFC 5280).
 */
#include "../../modules/common/certificate_judge.h"
#include "pki_certs.h"
#include "run.h"
#include <errno.h>
#include <glib.h>
#include <openssl/err.h>
#include <time.h>

static const char ada[] = "ada@clinic.example";
static struct certificate_judgement judgement;

static void
judge(const struct pki_wanted *wanted, const struct certificate_terms *terms,
    enum certificate_fault fault, const char *words)
{
	struct certificate_terms now = *terms;
	struct pki_cert cert = pki_cert_make(wanted, NULL);
	struct pn_slice der = pki_cert_der(&cert);
	bool good;

	now.now = time(NULL);
	if (!now.address)
		now.address = ada;
	good = certificate_judge(der, &now, &judgement);
	ck_assert_msg(judgement.fault == fault && good == (fault == CERTIFICATE_GOOD), "%d: %s",
	    (int)judgement.fault, judgement.reason);
	ck_assert_msg(strstr(judgement.reason, words) != NULL, "%s", judgement.reason);
	ck_assert_uint_eq(strlen(judgement.fingerprint), 64);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	g_free((char *)(uintptr_t)der.data);
	pki_cert_free(&cert);
}

static const struct certificate_terms plain = { NULL };

static void
judge_named(const char *names, enum certificate_fault fault, const char *words)
{
	judge(&(struct pki_wanted){ .names = names }, &plain, fault, words);
}

START_TEST(addresses)
{
	judge_named("email:ada@clinic.example", CERTIFICATE_GOOD, "");
	judge_named("email:bo@clinic.example,email:ada@CLINIC.Example", CERTIFICATE_GOOD, "");
	judge_named("email:bo@clinic.example", CERTIFICATE_ADDRESS,
	    "is for bo@clinic.example, not for ada@clinic.example");
	judge_named("email:Ada@clinic.example", CERTIFICATE_ADDRESS, "capitals count before the @");
	judge_named("DNS:clinic.example", CERTIFICATE_ADDRESS, "names no mail address at all");
	judge_named(NULL, CERTIFICATE_ADDRESS, "names no mail address at all");
	judge_named("email:ada@clinic.example.evil.example", CERTIFICATE_ADDRESS, "is for ");
	judge_named("otherName:1.3.6.1.5.5.7.8.9;UTF8:ada@clinic.example", CERTIFICATE_GOOD, "");
	judge(&(struct pki_wanted){ .mail = "ada@clinic.example" }, &plain, CERTIFICATE_GOOD, "");
	judge(&(struct pki_wanted){ .names = "email:ADA@clinic.example" },
	    &(struct certificate_terms){ .any_case = true }, CERTIFICATE_GOOD, "");
	judge(&(struct pki_wanted){ .utf8 = ""
					    "\xc3\xa4\x64\x61@b\xc3\xbc.example" },
	    &(struct certificate_terms){ .address = "\xc3\xa4\x64\x61@xn--b-eha.example" },
	    CERTIFICATE_GOOD, "");
}
END_TEST

START_TEST(times)
{
	struct pki_wanted wanted = {
		.names = "email:ada@clinic.example", .first_day = -20, .last_day = -2
	};

	judge(&wanted, &plain, CERTIFICATE_EXPIRED, "expired on 20");
	wanted.first_day = 2;
	wanted.last_day = 20;
	judge(&wanted, &plain, CERTIFICATE_EARLY, "is not valid before 20");
}
END_TEST

START_TEST(usages)
{
	struct pki_wanted wanted = { .names = "email:ada@clinic.example" };
	struct certificate_terms sign = { .use = CERTIFICATE_TO_SIGN };

	wanted.usage = "keyAgreement";
	judge(&wanted, &plain, CERTIFICATE_GOOD, "");
	judge(&wanted, &sign, CERTIFICATE_USAGE, "digitalSignature");
	wanted.usage = "digitalSignature";
	judge(&wanted, &plain, CERTIFICATE_USAGE, "keyAgreement");
	judge(&wanted, &sign, CERTIFICATE_GOOD, "");
	wanted.rsa = 2048;
	judge(&wanted, &plain, CERTIFICATE_USAGE, "keyEncipherment");
	wanted.usage = "keyEncipherment";
	judge(&wanted, &plain, CERTIFICATE_GOOD, "");
	wanted.purpose = "serverAuth";
	judge(&wanted, &plain, CERTIFICATE_PURPOSE, "emailProtection");
	wanted.purpose = "clientAuth,emailProtection";
	judge(&wanted, &plain, CERTIFICATE_GOOD, "");
	wanted.purpose = "anyExtendedKeyUsage";
	judge(&wanted, &plain, CERTIFICATE_GOOD, "");
	wanted.more = "critical";
	judge(&wanted, &plain, CERTIFICATE_MALFORMED, "critical extension");
}
END_TEST

START_TEST(keys)
{
	struct pki_wanted wanted = { .names = "email:ada@clinic.example", .rsa = 1024 };

	judge(&wanted, &plain, CERTIFICATE_WEAK, "RSA key of 1024 bits; 2048 are wanted");
	wanted.rsa = 2048;
	wanted.exponent = 1;
	judge(&wanted, &plain, CERTIFICATE_WEAK, "exponent hides nothing");
	wanted.exponent = 3;
	judge(&wanted, &plain, CERTIFICATE_GOOD, "");
	wanted.rsa = wanted.exponent = 0;
	wanted.curve = "P-384";
	judge(&wanted, &plain, CERTIFICATE_GOOD, "");
	wanted.curve = "P-192";
	judge(&wanted, &plain, CERTIFICATE_WEAK, "192 bits");
	wanted.curve = "secp256k1";
	judge(&wanted, &plain, CERTIFICATE_ALGORITHM, "curve");
}
END_TEST

static enum certificate_fault
say(void *arg, STACK_OF(X509) * chain, char *why, size_t size)
{
	ck_assert_int_ge(sk_X509_num(chain), 1);
	g_strlcpy(why, "the list of today says so", size);
	return *(enum certificate_fault *)arg;
}

START_TEST(authorities)
{
	struct pki_cert root = pki_cert_make(
	    &(struct pki_wanted){ .ca = true, .name = "Root" }, NULL);
	struct pki_cert middle = pki_cert_make(
	    &(struct pki_wanted){ .ca = true, .name = "Middle", .purpose = "emailProtection" },
	    &root);
	struct pki_cert leaf = pki_cert_make(
	    &(struct pki_wanted){ .names = "email:ada@clinic.example" }, &middle);
	struct pki_cert servers = pki_cert_make(
	    &(struct pki_wanted){ .ca = true, .name = "Servers", .purpose = "serverAuth" }, &root);
	struct pki_cert other = pki_cert_make(
	    &(struct pki_wanted){ .names = "email:ada@clinic.example" }, &servers);
	enum certificate_fault answer = CERTIFICATE_GOOD;
	struct certificate_terms terms = { .address = ada,
		.now = time(NULL),
		.trust = X509_STORE_new(),
		.revocation = say,
		.revocation_arg = &answer };
	STACK_OF(X509) *chain = sk_X509_new_null();

	X509_STORE_add_cert(terms.trust, root.certificate);
	ck_assert(!certificate_judge_x509(leaf.certificate, NULL, &terms, &judgement));
	ck_assert_int_eq(judgement.fault, CERTIFICATE_CHAIN);
	ck_assert_ptr_nonnull(strstr(judgement.reason, "Middle"));
	sk_X509_push(chain, middle.certificate);
	ck_assert(certificate_judge_x509(leaf.certificate, chain, &terms, &judgement));
	answer = CERTIFICATE_REVOKED;
	ck_assert(!certificate_judge_x509(leaf.certificate, chain, &terms, &judgement));
	ck_assert_str_eq(judgement.reason, "is revoked: the list of today says so");
	answer = CERTIFICATE_UNSURE;
	ck_assert(!certificate_judge_x509(leaf.certificate, chain, &terms, &judgement));
	ck_assert_int_eq(judgement.fault, CERTIFICATE_UNSURE);
	answer = CERTIFICATE_GOOD;
	sk_X509_push(chain, servers.certificate);
	ck_assert(!certificate_judge_x509(other.certificate, chain, &terms, &judgement));
	ck_assert_int_eq(judgement.fault, CERTIFICATE_CHAIN);
	sk_X509_free(chain);
	X509_STORE_free(terms.trust);
	pki_cert_free(&root);
	pki_cert_free(&middle);
	pki_cert_free(&leaf);
	pki_cert_free(&servers);
	pki_cert_free(&other);
}
END_TEST

/* Cut at every byte, and each byte changed: never more than a reason. */
START_TEST(broken_ones)
{
	struct pki_cert cert = pki_cert_make(
	    &(struct pki_wanted){ .names = "email:ada@clinic.example", .usage = "keyAgreement" },
	    NULL);
	struct pn_slice der = pki_cert_der(&cert);
	struct certificate_terms terms = { .address = ada, .now = time(NULL) };
	char *bytes = g_malloc(der.len);

	for (size_t i = 0; i < der.len; i++) {
		ck_assert(!certificate_judge(pn_slice(der.data, i), &terms, &judgement));
		ck_assert_int_eq(judgement.fault, CERTIFICATE_MALFORMED);
		memcpy(bytes, der.data, der.len);
		bytes[i] ^= (char)0x55;
		if (!certificate_judge(pn_slice(bytes, der.len), &terms, &judgement))
			ck_assert_uint_gt(strlen(judgement.reason), 0);
	}
	g_free(bytes);
	g_free((char *)(uintptr_t)der.data);
	pki_cert_free(&cert);
}
END_TEST

static void
read_as(struct pn_slice bytes, int expected, const char *words)
{
	STACK_OF(X509) *found = NULL;
	struct pn_error err = { 0 };
	int r = certificates_read(bytes, 2, &found, &err);

	ck_assert_msg((r < 0 ? r : sk_X509_num(found)) == expected, "%d: %s", r, err.text);
	ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
	sk_X509_pop_free(found, X509_free);
}

START_TEST(files)
{
	struct pki_cert cert = pki_cert_make(
	    &(struct pki_wanted){ .names = "email:a@b.example" }, NULL);
	struct pn_slice der = pki_cert_der(&cert), pem = pki_cert_pem(&cert);
	char *thrice = g_strdup_printf("%s\nwords\n%s%s", pem.data, pem.data, pem.data);

	read_as(der, 1, "");
	read_as(pem, 1, "");
	read_as(pn_slice(der.data, der.len - 1), -EBADMSG, "neither PEM nor DER");
	read_as(pn_slice_of("hello"), -EBADMSG, "neither PEM nor DER");
	read_as(pn_slice("", 0), -EBADMSG, "neither PEM nor DER");
	read_as(pn_slice_of(thrice), -E2BIG, "more than 2");
	thrice[2 * pem.len + 7] = '\0';
	read_as(pn_slice_of(thrice), 2, "");
	read_as(pn_slice_of("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
	    -EBADMSG, "cut or changed");
	read_as(pn_slice_of("-----BEGIN OTHER-----\nMIIB\n-----END OTHER-----\n"), -EBADMSG,
	    "only other things");
	g_free(thrice);
	g_free((char *)(uintptr_t)der.data);
	g_free((char *)(uintptr_t)pem.data);
	pki_cert_free(&cert);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("certificate_judge");
	TCase *tc = tcase_create("certificate_judge");

	tcase_add_test(tc, addresses);
	tcase_add_test(tc, times);
	tcase_add_test(tc, usages);
	tcase_add_test(tc, keys);
	tcase_add_test(tc, authorities);
	tcase_add_test(tc, broken_ones);
	tcase_add_test(tc, files);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
