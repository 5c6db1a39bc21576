/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hook.h - runs one entry's hook of one stage. For chain.c and other files that run stages.
 */
#ifndef CORE_POLICY_HOOK_H
#define CORE_POLICY_HOOK_H

#include <core/policy/call.h>
#include <core/policy/chain.h>

enum hook_step {
	HOOK_NEXT, /* the next entry's turn */
	HOOK_END,  /* `ret` is the stage's ruling */
	HOOK_HOP,  /* a thread, a slot is needed: asked for by the hook, or its settings are to be
		    * made
		    */
	HOOK_GONE  /* it came back too late: run and txn are not ours any more */
};

/*
 * Calls the hook (there must be one) with the sender's settings, rules on what it meant, leaves a
 * line in the trace. What it staged is in the transaction if it passed. An entry that is switched
 * off for the sender is passed over.
 */
enum hook_step hook_run(struct chain_run *run, const struct chain_entry *entry, struct pn_txn *txn,
    int32_t stage, bool may_block, struct ruling *ret);
/* The entry had its time, `run->late` says how: a fault, without calling the hook. */
enum hook_step hook_late(struct chain_run *run, const struct chain_entry *entry, struct pn_txn *txn,
    int32_t stage, struct ruling *ret);
/* Who staged something hears of the end, whatever was edited or switched off since. */
bool hook_hears_of_end(const struct chain_entry *entry, const struct pn_txn *txn, int32_t stage);

#endif
