/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signature.h - CMS signatures over mail (RFC 8551 section 3.5): made, and verified.
 *
 * Any thread, pure. What is verified may be anything at all.
 */
#ifndef MODULES_PKI_SIGNATURE_H
#define MODULES_PKI_SIGNATURE_H

#include "identity.h"

#define SIGNATURE_MOST          (256u * 1024) /* bytes of one that is looked at */
#define SIGNATURE_SIGNERS_MOST  4
#define SIGNATURE_CERTS_MOST    20
#define SIGNATURE_DECLARED_MOST 2048u

/*
 * A detached signature, SHA-256, with certificate and chain, over the pieces one behind the other;
 * DER, OPENSSL_free(). -EIO: it could not be made.
 */
int signature_make(const struct identity *identity, const struct pn_slice *pieces, size_t count,
    unsigned char **ret, size_t *ret_len);

/* Who has signed, and what else came along. */
struct signature {
	X509 *signer;           /* the first one; own */
	STACK_OF(X509) * chain; /* all certificates that came with it; own */
	/* SMIMECapabilities (RFC 8551 section 2.5.2) as DER, SIGNATURE_DECLARED_MOST at most */
	struct pn_slice declared; /* OPENSSL_free(); empty: none */
};
/*
 * `der` is the CMS structure; `content` what it was made over, `data` NULL: the content is within.
 * 0: every signature in it holds. Whether the signer's certificate is worth anything has to be
 * judged. -EBADMSG: it does not hold, or is no signature.
 */
int signature_verify(struct pn_slice der, struct pn_slice content, struct signature *ret);
void signature_clear(struct signature *signature);

#endif
