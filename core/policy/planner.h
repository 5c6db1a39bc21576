/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planner.h - plans of a transaction that no session runs: replans, and seals of what the relay
 * writes itself.
 *
 * On a loop, with hooks that may block on policy threads; a hook that never returns holds nothing
 * up but itself.
 */
#ifndef CORE_POLICY_PLANNER_H
#define CORE_POLICY_PLANNER_H

#include <core/policy/away.h>
#include <core/policy/plans.h>

/* `txn` is lent until it returns. `refused` has a reply where `step` is PLANS_REFUSED. */
typedef void planner_fn(
    void *arg, struct pn_txn *txn, enum plans_step step, const struct ruling *refused);
/* Takes the transaction, whose plans have begun. `done` is called on the loop, never within this.
 */
void planner_start(const struct away_place *place, struct pn_txn *txn, planner_fn *done, void *arg);
/*
 * The same for one that goes on in the message stage, at the entry `from`, and whose plans begin
 * then as `how` says. The stage may also end in PLANS_REFUSED with RULING_DISCARD or RULING_HOLD.
 */
void planner_resume(const struct away_place *place, struct pn_txn *txn, size_t from,
    const struct mail_fixups *how, planner_fn *done, void *arg);

#endif
