/* SPDX-License-Identifier: Apache-2.0 */
/* trace.h - what each entry said about a transaction, in its arena. Owner of the txn only. */
#ifndef CORE_POLICY_TRACE_H
#define CORE_POLICY_TRACE_H

#include <core/policy/call.h>

/* `reason` is copied; NULL: none. `effective` NULL: nobody's overrides held. */
void trace_add(struct pn_txn *txn, const struct chain_entry *entry,
    const struct effective *effective, int32_t stage, const char *verdict, const char *reason);
/* An entry that is off because of whose mail it is; said once per transaction. */
void trace_off(struct pn_txn *txn, const struct chain_entry *entry,
    const struct effective *effective, int32_t stage);

#endif
