/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planner.c - steps through the stages of plans, on the loop and on policy threads.
 *
 * Called by lanes. What a transaction goes through here is what it would go through in a session.
 */
#include <core/policy/planner.h>
#include <stdlib.h>

struct planner {
	struct away_place place;
	struct loop_timer soon;
	struct pn_txn *txn;
	struct chain_run run;
	enum pn_stage stage; /* under way; PN_STAGE_END: none */
	enum plans_step step;
	struct ruling refused;
	planner_fn *done;
	void *arg;
};

/* Goes on until a hook wants a thread, or to the end. False: the transaction is not ours. */
static bool
advance(struct planner *planner, bool may_block)
{
	struct ruling ruling;

	for (;;) {
		if (planner->stage == PN_STAGE_END) {
			planner->step = plans_next(
			    planner->txn, &planner->stage, &planner->refused);
			if (planner->step != PLANS_ASK)
				return true;
			planner->run = (struct chain_run){ .guard = planner->run.guard };
		}
		switch (
		    chain_run(&planner->run, planner->txn, planner->stage, may_block, &ruling)) {
		case CHAIN_GONE:
			return false;
		case CHAIN_HOP:
			return true;
		case CHAIN_DONE:
			break;
		}
		plans_take(planner->txn, &planner->run, &ruling);
		planner->stage = PN_STAGE_END;
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
	struct planner *planner = owner;
	struct pn_txn *txn = planner->txn;

	planner->txn = txn_fork(txn);
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
	struct planner *planner = owner;

	planner->run.guard = NULL;
	if (planner->step == PLANS_ASK) {
		away_go(
		    &planner->place, &ops, planner, &planner->run, planner->txn, planner->stage);
		return;
	}
	planner->done(planner->arg, planner->txn, planner->step, &planner->refused);
	txn_free(&planner->txn);
	free(planner);
}

static void
begin(struct loop_timer *timer)
{
	struct planner *planner = (struct planner *)((char *)timer -
						     offsetof(struct planner, soon));

	advance(planner, false);
	settle(planner);
}

void
planner_start(const struct away_place *place, struct pn_txn *txn, planner_fn *done, void *arg)
{
	struct planner *planner = calloc(1, sizeof(*planner));

	if (!planner)
		abort(); /* as arena.h: the master restarts us, the spool has the message */
	planner->place = *place;
	planner->soon.fire = begin;
	planner->txn = txn;
	planner->done = done;
	planner->arg = arg;
	loop_timer_set(place->loop, &planner->soon, 0);
}
