/* SPDX-License-Identifier: Apache-2.0 */
/* seal.h - a rendering before its first seal. */
#ifndef CORE_POLICY_SEAL_H
#define CORE_POLICY_SEAL_H

#include <core/policy/chain.h>

/*
 * Makes the view one of seven bits, so that no next hop has to be sent anything but what is sealed.
 * What cannot be converted (a signed part, fields in UTF-8) stays as it is: no next hop gets it
 * otherwise. 1: done, now or before. 0: it takes a thread that may block. < 0: `ret` says what the
 * client or the queue is told.
 */
int seal_prepare(struct chain_run *run, struct pn_txn *txn, bool may_block, struct ruling *ret);

#endif
