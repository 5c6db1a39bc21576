/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake.h - what the core itself says of a message before policy is asked: its bytes, its header,
 * its hops. The session and the trial ask here, so that both give one answer.
 */
#ifndef CORE_POLICY_INTAKE_H
#define CORE_POLICY_INTAKE_H

#include <core/policy/chain.h>

/* Of the bytes as they were read: 0, or what dot_scanner_fault() says of them. Static texts. */
void intake_bytes(int fault, struct ruling *ret);
/*
 * Of the whole message, which the transaction has from then on; takes the reference. The limits are
 * those of the transaction's generation.
 */
void intake_message(struct pn_txn *txn, struct mail_bytes *bytes, struct ruling *ret);

#endif
