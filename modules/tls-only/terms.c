/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terms.c - what TLS must show: the rows, their check, the demand.
 *
 * Called by tls_only.c. Must never let a pin or cipher past the check that no connection could
 * have: mail would wait for it.
 */
#include "terms.h"
#include <glib.h>

/* With certificates that anybody may have made, but for those that are pinned. */
#define LEVEL_PIN (PN_TLS_ENCRYPTED | 0x1000)

const struct pn_choice terms_bits[] = {
	{ "112", 112, "3DES and better" },
	{ "128", 128, "AES-128 and better" },
	{ "256", 256, "AES-256 or ChaCha20" },
	{ NULL, 0, NULL },
};

const struct pn_choice terms_levels[] = {
	{ "encrypted", PN_TLS_ENCRYPTED, "any certificate" },
	{ "trusted", PN_TLS_TRUSTED, "a certificate by an authority that is trusted here" },
	{ "name", PN_TLS_NAME, "such a one, with the name of the next hop" },
	{ "mta-sts", PN_TLS_STS,
	    "such a one, and the recipient's domain names the next hop in a policy that it "
	    "enforces (RFC 8461); or dane" },
	{ "dane", PN_TLS_DANE,
	    "the key is the one that the recipient's domain has in the DNS, signed (RFC 7672)" },
	{ "pin", LEVEL_PIN, "one of pins, whoever made it" },
	{ NULL, 0, NULL },
};

const struct pn_choice terms_versions[] = {
	{ "TLSv1.2", PN_TLS_1_2, NULL },
	{ "TLSv1.3", PN_TLS_1_3, NULL },
	{ NULL, 0, NULL },
};

/* Each word by itself, for the place of the complaint. */
static void
check_words(struct pn_check *check, const char *path, const struct pn_strings *words, bool pins)
{
	for (size_t i = 0; i < words->count; i++) {
		const struct pn_strings one = { 1, &words->items[i] };
		const struct pn_tls_terms terms = {
			.size = sizeof(terms),
			.ciphers = pins ? (struct pn_strings){ 0 } : one,
			.pins = pins ? one : (struct pn_strings){ 0 },
		};
		struct pn_error err;
		char *at;

		if (pn_tls_terms_check(&terms, &err) == 0)
			continue;
		at = g_strdup_printf("%s%s[%zu]", path, pins ? "pins" : "ciphers", i);
		pn_complain(check, at, "%s", err.text);
		g_free(at);
	}
}

static void
complain(struct pn_check *check, const char *path, const char *name, const char *text)
{
	char *at = g_strconcat(path, name, NULL);

	pn_complain(check, at, "%s", text);
	g_free(at);
}

void
terms_check(struct pn_check *check, const char *path, const struct terms *terms)
{
	check_words(check, path, &terms->ciphers, false);
	check_words(check, path, &terms->pins, true);
	if (terms->ciphers.count > PN_TLS_TERMS_MOST)
		complain(check, path, "ciphers", "more than 32");
	if (terms->pins.count > PN_TLS_TERMS_MOST)
		complain(check, path, "pins", "more than 32");
	if (terms->level == LEVEL_PIN && terms->pins.count == 0)
		complain(check, path, "level",
		    "pin needs pins: the digests that `posternctl tls-probe` shows");
}

int
terms_demand(struct pn_call *call, const struct terms *terms, int wait)
{
	int level = terms->level == LEVEL_PIN ? PN_TLS_ENCRYPTED : terms->level;
	const struct pn_tls_terms demand = {
		.size = sizeof(demand),
		.bits = terms->minimum_bits,
		.level = level | wait,
		.version = terms->minimum_version,
		.ciphers = terms->ciphers,
		.pins = terms->pins,
	};

	return pn_demand_tls_terms(call, &demand);
}
