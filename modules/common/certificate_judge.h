/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate_judge.h - may mail to an address be encrypted to a certificate, may mail from one be
 * signed with it, and if not, why not, in words (RFC 8550, RFC 5280).
 *
 * For every module that takes certificates from somewhere. What it is given may be anything at all.
 */
#ifndef MODULES_COMMON_CERTIFICATE_JUDGE_H
#define MODULES_COMMON_CERTIFICATE_JUDGE_H

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <postern/module.h>

#define CERTIFICATE_MOST       (16u * 1024) /* bytes of one */
#define CERTIFICATE_PRINT_SIZE 65           /* SHA-256, small hexadecimal digits, and a NUL */

enum certificate_fault {
	CERTIFICATE_GOOD = 0,
	CERTIFICATE_MALFORMED,
	CERTIFICATE_ADDRESS,   /* it is not for that address */
	CERTIFICATE_EARLY,     /* not valid yet */
	CERTIFICATE_EXPIRED,   /* not valid any more */
	CERTIFICATE_PURPOSE,   /* its extended key usage is not for mail */
	CERTIFICATE_USAGE,     /* its key usage is not for this */
	CERTIFICATE_ALGORITHM, /* a key that S/MIME cannot use here */
	CERTIFICATE_WEAK,      /* a key too short */
	CERTIFICATE_CHAIN,     /* no way to an authority that is trusted */
	CERTIFICATE_REVOKED,
	CERTIFICATE_UNSURE, /* whether it is revoked cannot be told now: try again later */
};

enum certificate_use { CERTIFICATE_TO_ENCRYPT, CERTIFICATE_TO_SIGN };

/*
 * Asked when all else is well, with the leaf and the chain that was found (leaf first; the leaf
 * alone where any authority is trusted). CERTIFICATE_GOOD, _REVOKED or _UNSURE, with the reason in
 * `why`.
 */
typedef enum certificate_fault certificate_revocation_fn(
    void *arg, STACK_OF(X509) * chain, char *why, size_t size);

struct certificate_terms {
	const char *address; /* any spelling; NULL: whoever's it is */
	/*
	 * RFC 8550 section 3 compares local parts as they stand. True: capitals do not count there
	 * either, as for users of the directory, who are known by any spelling.
	 */
	bool any_case;
	enum certificate_use use;
	int64_t now;                           /* seconds since 1970 */
	X509_STORE *trust;                     /* NULL: any authority will do */
	certificate_revocation_fn *revocation; /* NULL: not asked */
	void *revocation_arg;
};

struct certificate_judgement {
	enum certificate_fault fault;
	char reason[300];                         /* "expired on 2026-01-26"; "" where it is good */
	char fingerprint[CERTIFICATE_PRINT_SIZE]; /* "" where it is malformed */
	int64_t not_before, not_after;            /* seconds since 1970 */
};

/*
 * `bytes`: the certificate as DER, its chain behind it if it has one, DER after DER. True: it may
 * be used. Any thread; pure but for `revocation`.
 */
bool certificate_judge(struct pn_slice bytes, const struct certificate_terms *terms,
    struct certificate_judgement *ret);
/* The same of one that is read already; `chain` may be NULL. */
bool certificate_judge_x509(X509 *leaf, STACK_OF(X509) * chain,
    const struct certificate_terms *terms, struct certificate_judgement *ret);

/* A certificate, then its chain, DER after DER; `*ret_chain` may be empty. X509_free,
 * sk_X509_pop_free. -EBADMSG. */
int certificate_read(struct pn_slice bytes, X509 **ret_leaf, STACK_OF(X509) * *ret_chain);
/* 64 digits; "" where there is no memory. */
void certificate_fingerprint(const X509 *certificate, char ret[CERTIFICATE_PRINT_SIZE]);
/*
 * Calls `each` for every address that it says it is for: SAN rfc822Name and SmtpUTF8Mailbox (RFC
 * 9598), emailAddress in the subject; canonical, none twice in a row of equal spelling. What is no
 * address is left out. 64 at most.
 */
typedef void certificate_address_fn(void *arg, const char *address);
void certificate_addresses(const X509 *certificate, certificate_address_fn *each, void *arg);
/* That they are the same, as `any_case` above says. */
bool certificate_address_same(const char *one, const char *other, bool any_case);

/*
 * All certificates of a file or a message: PEM (certificates, PKCS#7), DER, PKCS#7 and CMS bundles.
 * `*ret`: sk_X509_pop_free(.., X509_free). -EBADMSG: nothing of that kind, the text says what was
 * seen; -E2BIG: more than `most`.
 */
int certificates_read(
    struct pn_slice bytes, size_t most, STACK_OF(X509) * *ret, struct pn_error *err);

#endif
