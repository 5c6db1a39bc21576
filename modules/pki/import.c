/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.c - certificates out of a file into the store, each under every address that it is for.
 *
 * Called by the commands. Must never store one that could not be used, nor leave one out without
 * saying why.
 */
#include "pki.h"
#include <errno.h>
#include <glib.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#define BUNDLE_MOST 2000 /* certificates of one file */
#define CHAIN_DEPTH 5
#define TIME_SIZE   32

struct importing {
	struct pn_call *call;
	struct pn_console *console;
	struct pn_error *err;
	STACK_OF(X509) * all;
	X509 *at;
	const char *source;
	unsigned addresses, stored, refused;
	char first[400]; /* that was refused, and why */
	int r;
};

static void
show(struct importing *importing, const char *address, const char *fingerprint, int64_t not_after,
    const char *result)
{
	char until[TIME_SIZE] = "-";
	time_t at = (time_t)not_after;
	struct tm parts;

	if (not_after > 0 && gmtime_r(&at, &parts))
		strftime(until, sizeof(until), "%Y-%m-%d", &parts);
	pn_console_row(importing->console);
	pn_console_field(importing->console, "address", address);
	pn_console_field(importing->console, "kind", PKI_SMIME);
	pn_console_field(importing->console, "fingerprint", fingerprint);
	pn_console_field(importing->console, "until", until);
	pn_console_field(importing->console, "result", result);
}

static void
refuse(struct importing *importing, const char *address, const char *fingerprint, int64_t not_after,
    const char *reason)
{
	show(importing, address, fingerprint, not_after, reason);
	if (importing->refused++ == 0)
		snprintf(importing->first, sizeof(importing->first), "%s%s%.12s...: %s", address,
		    *address ? ": " : "", fingerprint, reason);
}

static bool
append(GByteArray *to, X509 *certificate, size_t most)
{
	unsigned char *der = NULL;
	int len = i2d_X509(certificate, &der);
	bool fits = len > 0 && to->len + (unsigned)len <= most;

	if (fits)
		g_byte_array_append(to, der, (guint)len);
	OPENSSL_free(der);
	return fits;
}

static X509 *
issuer_of(X509 *certificate, STACK_OF(X509) * all)
{
	for (int i = 0; i < sk_X509_num(all); i++) {
		X509 *other = sk_X509_value(all, i);

		if (other != certificate && X509_check_ca(other) > 0 &&
		    X509_check_issued(other, certificate) == X509_V_OK)
			return other;
	}
	return NULL;
}

GByteArray *
pki_material(X509 *leaf, STACK_OF(X509) * all, size_t most)
{
	GByteArray *ret = g_byte_array_new();
	X509 *at = leaf;

	for (int depth = 0; at && depth <= CHAIN_DEPTH && append(ret, at, most); depth++)
		at = issuer_of(at, all);
	return ret;
}

static void
store(struct importing *importing, const struct pki_owner *owner,
    const struct certificate_judgement *judgement)
{
	GByteArray *material = pki_material(importing->at, importing->all, PKI_MATERIAL_MOST);
	struct pki_key key = {
		.kind = PKI_SMIME,
		.fingerprint = judgement->fingerprint,
		.source = importing->source,
		.material = pn_slice(material->data, material->len),
		.not_before = judgement->not_before,
		.not_after = judgement->not_after,
	};

	importing->r = pki_key_put(importing->call, owner, &key, importing->err);
	if (importing->r == 0) {
		importing->stored++;
		show(importing, owner->address, judgement->fingerprint, judgement->not_after,
		    "stored");
	}
	g_byte_array_free(material, TRUE);
}

static void
take(void *arg, const char *address)
{
	struct importing *importing = arg;
	const struct pki_prepared *prepared = pn_derived(importing->call);
	struct certificate_terms terms = {
		.address = address,
		.now = time(NULL),
		.trust = prepared->trust,
	};
	struct certificate_judgement judgement;
	struct pki_owner owner;

	importing->addresses++;
	if (importing->r == 0)
		importing->r = pki_owner_find(importing->call, address, &owner, importing->err);
	if (importing->r < 0)
		return;
	terms.any_case = owner.user;
	if (certificate_judge_x509(importing->at, importing->all, &terms, &judgement)) {
		store(importing, &owner, &judgement);
		return;
	}
	refuse(importing, address, judgement.fingerprint, judgement.not_after, judgement.reason);
}

static int
take_all(struct importing *importing)
{
	for (int i = 0; i < sk_X509_num(importing->all) && importing->r == 0; i++) {
		char print[CERTIFICATE_PRINT_SIZE];

		importing->at = sk_X509_value(importing->all, i);
		importing->addresses = 0;
		certificate_addresses(importing->at, take, importing);
		certificate_fingerprint(importing->at, print);
		if (importing->addresses == 0 && X509_check_ca(importing->at) != 1)
			refuse(importing, "", print, 0, "names no mail address at all");
	}
	return importing->r;
}

int
pki_import_smime(struct pn_call *call, struct pn_console *console, struct pn_slice bytes,
    const char *source, struct pn_error *err)
{
	struct importing importing = {
		.call = call, .console = console, .err = err, .source = source
	};
	int r = certificates_read(bytes, BUNDLE_MOST, &importing.all, err);

	if (r < 0)
		return r;
	r = take_all(&importing);
	sk_X509_pop_free(importing.all, X509_free);
	if (r == 0 && importing.stored == 0)
		r = pn_error_set(err, -ENOKEY, "nothing of it was stored: %s",
		    importing.refused ? importing.first : "there are only authorities in it");
	return r;
}
