/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.h - messages that an entry holds at the message stage, and the rest of the chain when they
 * are released.
 */
#ifndef CORE_POLICY_HOLD_H
#define CORE_POLICY_HOLD_H

#include <core/policy/plans.h>

/*
 * Somebody wants protection, and held mail would lie on the disk in clear: it must not be held.
 * The checker refuses such a configuration; settings in the database may still come to it.
 */
bool hold_is_exposed(const struct pn_txn *txn);
/* The message as it stands, every recipient held as the ruling says; NULL: no memory. */
struct item *hold_item(struct pn_txn *txn, const struct ruling *ruling);
/*
 * For the session's item, which is yet to be put right as the listener's mail is.
 */
void hold_keep_fixups(struct item *item, const struct mail_fixups *how);

/*
 * A transaction of these recipients alone, to go on with at PN_STAGE_MESSAGE from the entry
 * `ret_from` on, then with plans_begin() as `ret_how` says. The item's bytes must be in memory;
 * everything is copied or held. -ENOENT: the entry that held it is not in the pipeline any more.
 */
int hold_resume(struct generation *generation, const struct item *item, const uint32_t *indices,
    size_t count, struct pn_txn **ret, size_t *ret_from, struct mail_fixups *ret_how);
/*
 * The rest of the chain has passed, or (`held`) another entry holds it. The item that takes the
 * recipients over; NULL: no memory, or it must not be held. Whom an entry added and the message has
 * already, still held or long gone on, is not added again.
 */
struct item *hold_child(struct pn_txn *txn, const struct item *parent, const uint32_t *indices,
    size_t count, const struct ruling *held);

#endif
