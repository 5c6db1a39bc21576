/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hop_terms.h - what a recipient's domain demands by itself of connections to one of its hosts:
 * by signed TLSA records (DANE, RFC 7672), by a policy that it enforces (MTA-STS, RFC 8461).
 *
 * Found with the domain's mail exchangers, handed to the courier with its target, and judged there
 * beside what the letter demands. All zero: nothing, opportunistic TLS. DANE speaks before MTA-STS.
 */
#ifndef CORE_NET_HOP_TERMS_H
#define CORE_NET_HOP_TERMS_H

#include <core/base/arena.h>
#include <postern/base.h>

#define TLSA_RECORDS_MOST 16u
#define TLSA_DATA_MOST    8192u

/* RFC 6698 section 2.1 */
struct tlsa {
	uint8_t usage;    /* 2 DANE-TA, 3 DANE-EE; others are of no use here */
	uint8_t selector; /* 0 the certificate, 1 its key */
	uint8_t matching; /* 0 all of it, 1 SHA-256, 2 SHA-512 */
	struct pn_slice data;
};

struct hop_terms {
	/* Not in clear: there are signed TLSA records, also where none is of use (RFC 7672 2.2). */
	bool encrypted;
	/* The certificate is what one of these says. */
	size_t tlsa_count;
	struct tlsa *tlsa;
	const char *base;   /* the name they stand at: SNI, and one that a certificate may have */
	const char *domain; /* another: the recipient's domain */
	/*
	 * The policy is enforced and names this host: the certificate has to be valid for the
	 * host's name, by an authority that is trusted. Where there is `tlsa`, that is enough.
	 */
	bool sts;
	/* No policy names it: an administrator wants that for whatever hosts the DNS gives. */
	bool unnamed;
	/* It could not be found out now: what demands DANE or MTA-STS waits, instead of failing. */
	bool unsure;
};

static inline bool
hop_terms_are_any(const struct hop_terms *terms)
{
	return terms->encrypted || terms->tlsa_count > 0 || terms->sts;
}

/* One record as it came; points into `rdata`. False: of no use, to anybody or to mail. */
bool tlsa_read(struct pn_slice rdata, struct tlsa *ret);
struct hop_terms hop_terms_copy(const struct hop_terms *terms, struct arena *arena);
/* Connections of other terms have another text: " dane=3f...", " sts"; "" for none. In `arena`. */
const char *hop_terms_key(const struct hop_terms *terms, struct arena *arena);

#endif
