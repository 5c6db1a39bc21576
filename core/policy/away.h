/* SPDX-License-Identifier: Apache-2.0 */
/*
 * away.h - a stage that goes on on a policy thread, and comes back in time whatever its hooks do.
 *
 * For whoever runs a chain from a loop (a session, committed hooks) and got CHAIN_HOP. What the
 * owner is goes along; until `back` or `late` the loop must not touch it. `late` is called when the
 * hook at run->next has not returned in time, or has not even begun: the owner is the loop's again
 * and goes on with chain_run(), where that entry's on_fault speaks. A hook that still runs keeps
 * what it was lent: what `leave` hands over.
 */
#ifndef CORE_POLICY_AWAY_H
#define CORE_POLICY_AWAY_H

#include <core/net/jobs.h>
#include <core/policy/chain.h>

struct away;

struct away_ops {
	/*
	 * On a policy thread: goes on where the chain asked for a thread. False: chain_run() said
	 * CHAIN_GONE, and nothing of the owner was touched after that.
	 */
	bool (*work)(void *owner);
	/* On the loop: `work` has ended. */
	void (*back)(void *owner);
	/*
	 * On the loop: the hook reads on in what it was lent. The owner gets copies of its own, and
	 * what it had is returned.
	 */
	void *(*leave)(void *owner);
	/* Any thread: nobody reads any more in what was left. */
	void (*forget)(void *left);
	/* On the loop, behind `leave`. */
	void (*late)(void *owner);
};

struct away_place {
	struct loop *loop;
	struct jobs *jobs;
};

/*
 * Takes the owner to a policy thread as soon as the entry at run->next has a slot for it; its
 * timeout runs from now. On the loop.
 */
void away_go(const struct away_place *place, const struct away_ops *ops, void *owner,
    struct chain_run *run, const struct pn_txn *txn, enum pn_stage stage);

#endif
