/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.c - stages one after the other, to a policy thread and back wherever a hook asks for one.
 *
 * Called by committed.c, listen.c and planner.c. Must never touch the walk once chain_run() has
 * said that the transaction is gone: it is the loop's by then.
 */
#include <core/policy/walk.h>

/* Goes on until a hook wants a thread, or to the end. False: the walk is not ours any more. */
static bool
advance(struct walk *walk, bool may_block)
{
	struct ruling ruling;

	for (;;) {
		enum chain_step step = chain_run(
		    &walk->run, walk->txn, walk->stage, may_block, &ruling);

		if (step == CHAIN_GONE)
			return false;
		walk->hops = step == CHAIN_HOP;
		if (walk->hops || !walk->ops->next || !walk->ops->next(walk, &ruling))
			return true;
		walk->run = (struct chain_run){ .guard = walk->run.guard };
	}
}

static void settle(void *owner);

static bool
work(void *owner)
{
	return advance(owner, true);
}

static void *
leave(void *owner)
{
	struct walk *walk = owner;
	struct pn_txn *txn = walk->txn;

	walk->txn = txn_fork(txn);
	return txn;
}

static void
forget(void *left)
{
	struct pn_txn *txn = left;

	txn_free(&txn);
}

static void
on_late(void *owner)
{
	advance(owner, false);
	settle(owner);
}

static const struct away_ops ops = {
	.work = work,
	.back = settle,
	.leave = leave,
	.forget = forget,
	.late = on_late,
};

static void
settle(void *owner)
{
	struct walk *walk = owner;

	walk->run.guard = NULL;
	if (walk->hops)
		away_go(&walk->place, &ops, walk, &walk->run, walk->txn, walk->stage);
	else
		walk->ops->ended(walk);
}

void
walk_go(struct walk *walk)
{
	walk->run = (struct chain_run){ .next = walk->from };
	advance(walk, false);
	settle(walk);
}
