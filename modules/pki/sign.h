/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign.h - mail of ours is signed (RFC 8551 section 3.5.3), once, before anything is encrypted.
 */
#ifndef MODULES_PKI_SIGN_H
#define MODULES_PKI_SIGN_H

#include "pki.h"

/* The only address of the only From field, canonical; NULL: there is no such. */
const char *sign_author(struct pn_call *call, const struct pn_txn *txn);
/*
 * Signed or encrypted as a whole: the one Content-Type says so. -EBADMSG: there are several.
 * Otherwise 1, or 0.
 */
int sign_is_protected(struct pn_call *call, const struct pn_txn *txn);
/* NULL: mail of this transaction may be from that address, by what is known of its sender. */
const char *sign_objection(const struct pn_call *call, const struct pn_txn *txn, const char *from);

/* At PN_STAGE_MESSAGE, where the settings want it. */
struct pn_verdict sign_message(struct pn_call *call, struct pn_txn *txn);

#endif
