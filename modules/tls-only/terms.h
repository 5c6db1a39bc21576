/* SPDX-License-Identifier: Apache-2.0 */
/* terms.h - what TLS must show, out of the settings: for the section and for single partners. */
#ifndef MODULES_TLS_ONLY_TERMS_H
#define MODULES_TLS_ONLY_TERMS_H

#include <postern/module.h>

struct terms {
	int minimum_bits, level, minimum_version;
	struct pn_strings ciphers, pins;
};

extern const struct pn_choice terms_bits[], terms_levels[], terms_versions[];

/* Rows for the `terms` inside a struct. */
#define TERMS_ROWS(s, flag) \
	PN_OPT_CHOICE("minimum_bits", s, terms.minimum_bits, "112", terms_bits, flag, \
	    "Security bits that the connection must have."), \
	    PN_OPT_CHOICE("level", s, terms.level, "encrypted", terms_levels, flag, \
		"What the next hop's certificate must show."), \
	    PN_OPT_CHOICE("minimum_version", s, terms.minimum_version, "TLSv1.2", terms_versions, \
		flag, "Oldest version of TLS that will do."), \
	    PN_OPT_STRINGS("ciphers", s, terms.ciphers, NULL, flag, \
		"Ciphers that will do, by OpenSSL's names: TLS_AES_256_GCM_SHA384. Without any: " \
		"all that have the bits."), \
	    PN_OPT_STRINGS("pins", s, terms.pins, NULL, flag, \
		"The next hop shows one of these: the digest of its public key (sha256/...) or " \
		"of " \
		"its whole certificate (cert-sha256/...), in base64 or hexadecimal. `posternctl " \
		"tls-probe` shows both.")

/* Complains about what cannot be demanded; `path` stands before the rows' names: "a[0]." or "". */
void terms_check(struct pn_check *check, const char *path, const struct terms *terms);
/* `wait`: PN_TLS_WAIT or 0. */
int terms_demand(struct pn_call *call, const struct terms *terms, int wait);

#endif
