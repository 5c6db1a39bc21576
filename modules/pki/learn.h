/* SPDX-License-Identifier: Apache-2.0 */
/*
 * learn.h - certificates of authors, out of signed mail that passes (S4-14).
 */
#ifndef MODULES_PKI_LEARN_H
#define MODULES_PKI_LEARN_H

#include "pki.h"

#define LEARN_PER_ADDRESS 4u          /* the oldest goes */
#define LEARN_CHAIN_MOST  (8u * 1024) /* bytes of a certificate with its chain */

/* At PN_STAGE_MESSAGE: stages what can be learnt. Whatever is wrong with it, the mail goes on. */
void learn_look(struct pn_call *call, struct pn_txn *txn);
/* At PN_STAGE_COMMITTED: keeps it. */
struct pn_verdict learn_keep(struct pn_call *call);

#endif
