/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replan.h - choosing again for recipients of an accepted message, without its session: from the
 * facts that the spool keeps, behind the entry whose TLS was not to be had.
 */
#ifndef CORE_POLICY_REPLAN_H
#define CORE_POLICY_REPLAN_H

#include <core/policy/plans.h>

/* The entry of that id, whether it has hooks or not; -ENOENT. */
int replan_find_entry(const struct generation *generation, const char *id, size_t *ret);
/*
 * The clear rendering of that recipient, in bytes of its own, out of the item's: `ret` is yours.
 * Blocks, but where replan_clear_is_near().
 */
int replan_clear(struct mail_bytes *bytes, struct mail_rendering clear, struct mail_bytes **ret);
bool replan_clear_is_near(const struct mail_bytes *bytes, struct mail_rendering clear);
/*
 * A transaction of these recipients alone, its plans begun; everything is copied or held. `clear`:
 * their clear rendering, taken over; NULL: it is made here of the item's bytes. -ENOENT: an entry
 * from which selection is to go on is not in the pipeline any more, which nobody may skip; `err`
 * names it.
 */
int replan_begin(struct generation *generation, const struct item *item, const uint32_t *indices,
    size_t count, struct mail_bytes *clear, const char *why, struct pn_txn **ret,
    struct pn_error *err);
/*
 * After PLANS_DONE: the item of those who are served, with `replaced` out of `indices`; id and
 * origin are the queue's to give.
 */
int replan_child(struct pn_txn *txn, const uint32_t *indices, struct item **ret);

/*
 * What the relay itself has written, as a transaction that is to be sealed; NULL where nothing
 * seals.
 */
struct pn_txn *seal_begin(struct generation *generation, const struct item *report);
/* After PLANS_DONE: the sealed bytes take the place of the report's. */
void seal_end(const struct pn_txn *txn, struct item *report);

#endif
