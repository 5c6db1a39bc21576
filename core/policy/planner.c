/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planner.c - steps through the stages of plans, on the loop and on policy threads.
 *
 * Called by lanes. What a transaction goes through here is what it would go through in a session.
 */
#include <core/policy/planner.h>
#include <core/policy/walk.h>
#include <stdlib.h>

struct planner {
	struct walk walk;
	struct loop_timer soon;
	enum plans_step step;
	struct ruling refused;
	struct mail_fixups fixups; /* for plans that begin behind the message stage */
	planner_fn *done;
	void *arg;
};

/* True: there is another stage. */
static bool
ask(struct planner *planner)
{
	planner->step = plans_next(planner->walk.txn, &planner->walk.stage, &planner->refused);
	/* Here, and not on the loop behind it; what fails now fails there again, and is said. */
	if (planner->step == PLANS_DONE)
		(void)plans_join(planner->walk.txn);
	return planner->step == PLANS_ASK;
}

/* False: that was the end. */
static bool
message_ruled(struct planner *planner, const struct ruling *ruling)
{
	int r = 0;

	planner->step = PLANS_REFUSED;
	planner->refused = *ruling;
	if (ruling->kind == RULING_PASS && planner->walk.txn->envelope.count == 0)
		planner->refused.kind = RULING_DISCARD;
	else if (ruling->kind == RULING_PASS)
		r = plans_begin(planner->walk.txn, &planner->fixups);
	if (r < 0)
		planner->refused = (struct ruling){ .kind = RULING_DEFER };
	return planner->refused.kind == RULING_PASS && ask(planner);
}

static bool
next(struct walk *walk, const struct ruling *ruling)
{
	if (walk->stage == PN_STAGE_MESSAGE)
		return message_ruled((struct planner *)walk, ruling);
	plans_take(walk->txn, &walk->run, ruling);
	return ask((struct planner *)walk);
}

static void
ended(struct walk *walk)
{
	struct planner *planner = (struct planner *)walk;

	planner->done(planner->arg, walk->txn, planner->step, &planner->refused);
	txn_free(&walk->txn);
	free(planner);
}

static const struct walk_ops ops = { .next = next, .ended = ended };

static void
begin(struct loop_timer *timer)
{
	struct planner *planner = (struct planner *)((char *)timer -
						     offsetof(struct planner, soon));

	if (planner->walk.stage == PN_STAGE_MESSAGE || ask(planner))
		walk_go(&planner->walk);
	else
		ended(&planner->walk);
}

static struct planner *
start(const struct away_place *place, struct pn_txn *txn, planner_fn *done, void *arg)
{
	struct planner *planner = calloc(1, sizeof(*planner));

	if (!planner)
		abort(); /* as arena.h: the master restarts us, the spool has the message */
	planner->walk = (struct walk){ .place = *place, .ops = &ops, .txn = txn };
	planner->soon.fire = begin;
	planner->done = done;
	planner->arg = arg;
	loop_timer_set(place->loop, &planner->soon, 0);
	return planner;
}

void
planner_start(const struct away_place *place, struct pn_txn *txn, planner_fn *done, void *arg)
{
	start(place, txn, done, arg);
}

void
planner_resume(const struct away_place *place, struct pn_txn *txn, size_t from,
    const struct mail_fixups *how, planner_fn *done, void *arg)
{
	struct planner *planner = start(place, txn, done, arg);

	planner->fixups = *how;
	planner->walk.stage = PN_STAGE_MESSAGE;
	planner->walk.from = from;
}
