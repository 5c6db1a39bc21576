/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.h - takes a transaction through stages where no session does: on the loop as far as its
 * hooks are quick, on policy threads where they may block.
 *
 * Embedded in what its owner knows more of. A hook that does not return in time is left behind with
 * the transaction it was lent; the walk goes on with a fork of it.
 */
#ifndef CORE_POLICY_WALK_H
#define CORE_POLICY_WALK_H

#include <core/policy/away.h>

struct walk;

struct walk_ops {
	/*
	 * A stage has ended; on the loop or on a policy thread. True: walk->stage is to be run
	 * next. NULL: there is one stage.
	 */
	bool (*next)(struct walk *walk, const struct ruling *ruling);
	/* On the loop: the last one has. The walk is its owner's again, with the transaction. */
	void (*ended)(struct walk *walk);
};

struct walk {
	struct away_place place;
	const struct walk_ops *ops;
	struct pn_txn *txn; /* the owner's; another one once a hook was left behind */
	struct chain_run run;
	enum pn_stage stage;
	size_t from; /* the entry at which the first stage begins */
	bool hops;
};

/* On the loop: begins with walk->stage. `ended` may be called within this. */
void walk_go(struct walk *walk);

#endif
