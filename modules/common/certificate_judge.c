/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate_judge.c - what is wrong with a certificate, one question after the other.
 *
 * Called by modules that select, import or check keys. Must never call one good that it could not
 * read, nor say "cannot" without saying why.
 */
#include "certificate_judge.h"
#include <errno.h>
#include <glib.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define ADDRESSES_MOST 64
#define RSA_LEAST      2048
#define RSA_MOST       16384 /* what is beyond costs more than it gives */
#define CHAIN_LEVEL    2     /* of OpenSSL: 112 bits, no SHA-1 */

/* ---- saying it ------------------------------------------------------------------------------- */

static bool __attribute__((format(printf, 3, 4)))
refuse(struct certificate_judgement *ret, enum certificate_fault fault, const char *format, ...)
{
	va_list args;

	ret->fault = fault;
	va_start(args, format);
	vsnprintf(ret->reason, sizeof(ret->reason), format, args);
	va_end(args);
	return false;
}

/* "2026-11-24" */
static const char *
day(int64_t seconds, char ret[16])
{
	time_t at = (time_t)seconds;
	struct tm parts;

	if (!gmtime_r(&at, &parts) || strftime(ret, 16, "%Y-%m-%d", &parts) == 0)
		memcpy(ret, "?", 2);
	return ret;
}

void
certificate_fingerprint(const X509 *certificate, char ret[CERTIFICATE_PRINT_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	*ret = '\0';
	if (X509_digest(certificate, EVP_sha256(), digest, NULL) != 1)
		return;
	for (size_t i = 0; i < (CERTIFICATE_PRINT_SIZE - 1) / 2; i++)
		snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

/* ---- whose it is ----------------------------------------------------------------------------- */

static char *
folded(const char *address)
{
	char *normal = g_utf8_normalize(address, -1, G_NORMALIZE_NFC);
	char *ret = normal ? g_utf8_casefold(normal, -1) : NULL;

	g_free(normal);
	return ret;
}

bool
certificate_address_same(const char *one, const char *other, bool any_case)
{
	char first[PN_ADDRESS_SIZE], second[PN_ADDRESS_SIZE], *a, *b;
	bool same;

	if (pn_address_canonical(one, first) < 0 || pn_address_canonical(other, second) < 0)
		return false;
	if (!any_case)
		return strcmp(first, second) == 0;
	a = folded(first);
	b = folded(second);
	same = a && b && strcmp(a, b) == 0;
	g_free(a);
	g_free(b);
	return same;
}

struct naming {
	certificate_address_fn *each;
	void *arg;
	size_t count;
	char last[PN_ADDRESS_SIZE];
};

/* What has a NUL in it says different things to different readers. */
static void
name_address(struct naming *naming, const ASN1_STRING *string)
{
	char canonical[PN_ADDRESS_SIZE], *text;
	int len = ASN1_STRING_length(string);
	const unsigned char *data = ASN1_STRING_get0_data(string);

	if (len <= 0 || len >= PN_ADDRESS_SIZE || memchr(data, '\0', (size_t)len) ||
	    naming->count >= ADDRESSES_MOST)
		return;
	text = g_strndup((const char *)data, (size_t)len);
	if (g_utf8_validate(text, -1, NULL) && *text &&
	    pn_address_canonical(text, canonical) == 0 && *canonical &&
	    strcmp(canonical, naming->last) != 0) {
		memcpy(naming->last, canonical, sizeof(canonical));
		naming->count++;
		naming->each(naming->arg, canonical);
	}
	g_free(text);
}

static void
name_alternative(struct naming *naming, const GENERAL_NAME *general)
{
	if (general->type == GEN_EMAIL)
		name_address(naming, general->d.rfc822Name);
	else if (general->type == GEN_OTHERNAME &&
		 OBJ_obj2nid(general->d.otherName->type_id) == NID_id_on_SmtpUTF8Mailbox &&
		 general->d.otherName->value->type == V_ASN1_UTF8STRING)
		name_address(naming, general->d.otherName->value->value.utf8string);
}

void
certificate_addresses(const X509 *certificate, certificate_address_fn *each, void *arg)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	struct naming naming = { .each = each, .arg = arg };
	int at = -1;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		name_alternative(&naming, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	while ((at = X509_NAME_get_index_by_NID(subject, NID_pkcs9_emailAddress, at)) >= 0)
		name_address(&naming, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	ERR_clear_error();
}

struct asking {
	const struct certificate_terms *terms;
	bool found, any, by_case;
	char first[PN_ADDRESS_SIZE];
};

static void
compare(void *arg, const char *address)
{
	struct asking *asking = arg;

	if (!asking->any)
		g_strlcpy(asking->first, address, sizeof(asking->first));
	asking->any = true;
	asking->found |= certificate_address_same(
	    address, asking->terms->address, asking->terms->any_case);
	asking->by_case |= certificate_address_same(address, asking->terms->address, true);
}

static bool
is_for(const X509 *leaf, const struct certificate_terms *terms, struct certificate_judgement *ret)
{
	struct asking asking = { .terms = terms };

	if (!terms->address)
		return true;
	certificate_addresses(leaf, compare, &asking);
	if (asking.found)
		return true;
	if (!asking.any)
		return refuse(ret, CERTIFICATE_ADDRESS, "names no mail address at all");
	return refuse(ret, CERTIFICATE_ADDRESS, "is for %.120s, not for %.120s%s", asking.first,
	    terms->address, asking.by_case ? " (capitals count before the @)" : "");
}

/* ---- when ------------------------------------------------------------------------------------ */

/* Certificates have no time before 1950 and none behind 9999. */
static bool
read_time(const ASN1_TIME *time, int64_t *ret)
{
	struct tm parts;

	if (!time || ASN1_TIME_to_tm(time, &parts) != 1)
		return false;
	*ret = (int64_t)timegm(&parts);
	return true;
}

static bool
is_in_time(const struct certificate_terms *terms, struct certificate_judgement *ret)
{
	char text[16];

	if (terms->now < ret->not_before)
		return refuse(
		    ret, CERTIFICATE_EARLY, "is not valid before %s", day(ret->not_before, text));
	if (terms->now > ret->not_after)
		return refuse(ret, CERTIFICATE_EXPIRED, "expired on %s", day(ret->not_after, text));
	return true;
}

/* ---- what for -------------------------------------------------------------------------------- */

static bool
is_for_mail(X509 *leaf, struct certificate_judgement *ret)
{
	uint32_t flags = X509_get_extension_flags(leaf);

	if (flags & (EXFLAG_INVALID | EXFLAG_INVALID_POLICY))
		return refuse(ret, CERTIFICATE_MALFORMED, "has an extension that cannot be read");
	if (flags & EXFLAG_CRITICAL)
		return refuse(
		    ret, CERTIFICATE_MALFORMED, "has a critical extension that is not known here");
	if (flags & EXFLAG_XKUSAGE &&
	    !(X509_get_extended_key_usage(leaf) & (XKU_SMIME | XKU_ANYEKU)))
		return refuse(ret, CERTIFICATE_PURPOSE,
		    "is not for mail (its extended key usage lacks emailProtection)");
	return true;
}

static bool
may_be_used(X509 *leaf, enum certificate_use use, int type, struct certificate_judgement *ret)
{
	uint32_t usage = X509_get_key_usage(leaf); /* all bits where it is not said */
	bool exchanged = type == EVP_PKEY_RSA ? (usage & KU_KEY_ENCIPHERMENT) != 0
					      : (usage & KU_KEY_AGREEMENT) != 0;

	if (use == CERTIFICATE_TO_SIGN)
		return usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)
			   ? true
			   : refuse(ret, CERTIFICATE_USAGE,
				 "is not for signing (its key usage lacks digitalSignature)");
	if (exchanged)
		return true;
	return refuse(ret, CERTIFICATE_USAGE, "is not for encryption (its key usage lacks %s)",
	    type == EVP_PKEY_RSA ? "keyEncipherment" : "keyAgreement");
}

/* ---- how strong ------------------------------------------------------------------------------ */

static bool
is_curve_known(const EVP_PKEY *key, struct certificate_judgement *ret)
{
	char name[64] = "";
	int nid;

	EVP_PKEY_get_group_name(key, name, sizeof(name), NULL);
	nid = OBJ_sn2nid(name);
	if (nid == NID_X9_62_prime256v1 || nid == NID_secp384r1 || nid == NID_secp521r1 ||
	    nid == NID_brainpoolP256r1 || nid == NID_brainpoolP384r1 || nid == NID_brainpoolP512r1)
		return true;
	if (*name && EVP_PKEY_get_bits(key) < 256)
		return refuse(ret, CERTIFICATE_WEAK, "has a key of %d bits (%.40s); 256 are wanted",
		    EVP_PKEY_get_bits(key), name);
	return refuse(ret, CERTIFICATE_ALGORITHM,
	    "has a key on a curve that S/MIME readers do not share (%.40s)",
	    *name ? name : "unnamed");
}

/* With an exponent of 1, what is encrypted is what was to be: for everybody to read. */
static bool
is_exponent_sound(const EVP_PKEY *key)
{
	BIGNUM *exponent = NULL;
	bool sound = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 &&
		     BN_is_odd(exponent) && !BN_is_one(exponent);

	BN_free(exponent);
	return sound;
}

static bool
is_strong(X509 *leaf, enum certificate_use use, int *ret_type, struct certificate_judgement *ret)
{
	EVP_PKEY *key = X509_get0_pubkey(leaf);
	int type = key ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE;
	int bits = key ? EVP_PKEY_get_bits(key) : 0;
	ASN1_OBJECT *object = NULL;
	char name[80] = "unknown";

	*ret_type = type;
	if (type == EVP_PKEY_EC)
		return is_curve_known(key, ret);
	if (type == EVP_PKEY_RSA || (type == EVP_PKEY_RSA_PSS && use == CERTIFICATE_TO_SIGN)) {
		if (bits < RSA_LEAST)
			return refuse(ret, CERTIFICATE_WEAK,
			    "has an RSA key of %d bits; %d are wanted", bits, RSA_LEAST);
		if (bits > RSA_MOST)
			return refuse(ret, CERTIFICATE_ALGORITHM,
			    "has an RSA key of %d bits; %d is the most that is taken", bits,
			    RSA_MOST);
		if (!is_exponent_sound(key))
			return refuse(
			    ret, CERTIFICATE_WEAK, "has an RSA key whose exponent hides nothing");
		return true;
	}
	if (X509_PUBKEY_get0_param(&object, NULL, NULL, NULL, X509_get_X509_PUBKEY(leaf)) == 1)
		OBJ_obj2txt(name, sizeof(name), object, 0);
	return refuse(ret, CERTIFICATE_ALGORITHM, "has a key of a kind that cannot %s here (%.60s)",
	    use == CERTIFICATE_TO_SIGN ? "sign" : "encrypt", name);
}

/* ---- by whom --------------------------------------------------------------------------------- */

static bool
describe_chain(X509_STORE_CTX *ctx, X509 *leaf, struct certificate_judgement *ret)
{
	int error = X509_STORE_CTX_get_error(ctx);
	X509 *at = X509_STORE_CTX_get_current_cert(ctx);
	char issuer[120] = "";

	if (error == X509_V_ERR_CERT_REVOKED)
		return refuse(ret, CERTIFICATE_REVOKED, "is revoked%s",
		    at && at != leaf ? " by way of its authority, whose own certificate is" : "");
	if (error == X509_V_ERR_UNABLE_TO_GET_CRL || error == X509_V_ERR_CRL_HAS_EXPIRED ||
	    error == X509_V_ERR_CRL_NOT_YET_VALID)
		return refuse(ret, CERTIFICATE_UNSURE,
		    "may be revoked or not: there is no current list of its authority (%s)",
		    X509_verify_cert_error_string(error));
	X509_NAME_oneline(X509_get_issuer_name(at ? at : leaf), issuer, sizeof(issuer));
	return refuse(ret, CERTIFICATE_CHAIN,
	    "does not lead to a trusted authority: %s (issuer %.100s)",
	    X509_verify_cert_error_string(error), issuer);
}

static bool
is_current(STACK_OF(X509) * chain, const struct certificate_terms *terms,
    struct certificate_judgement *ret)
{
	enum certificate_fault fault;
	char why[200] = "";

	if (!terms->revocation)
		return true;
	fault = terms->revocation(terms->revocation_arg, chain, why, sizeof(why));
	if (fault == CERTIFICATE_GOOD)
		return true;
	return refuse(ret, fault, "%s%s%s",
	    fault == CERTIFICATE_REVOKED ? "is revoked" : "may be revoked or not", *why ? ": " : "",
	    why);
}

/* Authorities whose extended key usage is not for mail vouch for no address. */
static bool
are_for_mail(STACK_OF(X509) * chain, struct certificate_judgement *ret)
{
	for (int i = 1; i < sk_X509_num(chain); i++) {
		X509 *authority = sk_X509_value(chain, i);

		if (X509_get_extension_flags(authority) & EXFLAG_XKUSAGE &&
		    !(X509_get_extended_key_usage(authority) & (XKU_SMIME | XKU_ANYEKU)))
			return refuse(ret, CERTIFICATE_CHAIN,
			    "does not lead to a trusted authority: the one that issued it may not "
			    "do so for mail");
	}
	return true;
}

static bool
is_trusted_by(X509_STORE_CTX *ctx, X509 *leaf, STACK_OF(X509) * chain,
    const struct certificate_terms *terms, struct certificate_judgement *ret)
{
	X509_VERIFY_PARAM *param;

	if (!ctx || X509_STORE_CTX_init(ctx, terms->trust, leaf, chain) != 1)
		return refuse(ret, CERTIFICATE_UNSURE, "cannot be judged now: no memory");
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, (time_t)terms->now);
	X509_VERIFY_PARAM_set_auth_level(param, CHAIN_LEVEL);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	/* Not X509_PURPOSE_SMIME_ENCRYPT: it wants keyEncipherment of keys that only agree. */
	X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_ANY);
	if (X509_verify_cert(ctx) != 1)
		return describe_chain(ctx, leaf, ret);
	return are_for_mail(X509_STORE_CTX_get0_chain(ctx), ret) &&
	       is_current(X509_STORE_CTX_get0_chain(ctx), terms, ret);
}

static bool
is_trusted(X509 *leaf, STACK_OF(X509) * chain, const struct certificate_terms *terms,
    struct certificate_judgement *ret)
{
	STACK_OF(X509) * alone;
	X509_STORE_CTX *ctx;
	bool is;

	if (terms->trust) {
		ctx = X509_STORE_CTX_new();
		is = is_trusted_by(ctx, leaf, chain, terms, ret);
		X509_STORE_CTX_free(ctx);
		return is;
	}
	alone = sk_X509_new_null();
	is = alone && sk_X509_push(alone, leaf) > 0
		 ? is_current(alone, terms, ret)
		 : refuse(ret, CERTIFICATE_UNSURE, "cannot be judged now: no memory");
	sk_X509_free(alone);
	return is;
}

/* ---- all of it ------------------------------------------------------------------------------- */

bool
certificate_judge_x509(X509 *leaf, STACK_OF(X509) * chain, const struct certificate_terms *terms,
    struct certificate_judgement *ret)
{
	int type = EVP_PKEY_NONE;
	bool good;

	*ret = (struct certificate_judgement){ CERTIFICATE_GOOD };
	certificate_fingerprint(leaf, ret->fingerprint);
	if (!*ret->fingerprint || !read_time(X509_get0_notBefore(leaf), &ret->not_before) ||
	    !read_time(X509_get0_notAfter(leaf), &ret->not_after))
		return refuse(ret, CERTIFICATE_MALFORMED, "has times that cannot be read");
	good = is_for(leaf, terms, ret) && is_in_time(terms, ret) && is_for_mail(leaf, ret) &&
	       is_strong(leaf, terms->use, &type, ret) &&
	       may_be_used(leaf, terms->use, type, ret) && is_trusted(leaf, chain, terms, ret);
	ERR_clear_error();
	return good;
}

bool
certificate_judge(
    struct pn_slice bytes, const struct certificate_terms *terms, struct certificate_judgement *ret)
{
	STACK_OF(X509) *chain = NULL;
	X509 *leaf = NULL;
	bool good;

	if (certificate_read(bytes, &leaf, &chain) < 0) {
		*ret = (struct certificate_judgement){ CERTIFICATE_GOOD };
		return refuse(ret, CERTIFICATE_MALFORMED, "cannot be read: it was cut or changed");
	}
	good = certificate_judge_x509(leaf, chain, terms, ret);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return good;
}
