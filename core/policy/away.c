/* SPDX-License-Identifier: Apache-2.0 */
/*
 * away.c - the way to a policy thread and back.
 *
 * Called on loops. Two hold an away: the loop's side (the timer) and the worker's (slot, job).
 * Where `work` ends in time the loop frees it; where the owner was taken back whoever is last does.
 */
#include <core/base/clock.h>
#include <core/policy/away.h>
#include <core/policy/guard.h>
#include <core/policy/hook.h>
#include <core/policy/slots.h>
#include <stdlib.h>
#include <sys/param.h>

#define LOOK_LEAST_MS 1
#define LOOK_MOST_MS  1000 /* what is left of the chain's time may be less than any timeout */

struct away {
	struct guard guard;
	struct job job;
	struct loop_task task;
	struct loop_timer timer;    /* the loop's */
	struct slots_waiter waiter; /* of `slots` */
	struct slots *slots;        /* a hold on the entry's */
	struct away_place place;
	const struct away_ops *ops;
	void *owner;
	struct chain_run *run; /* the owner's */
	void *left;            /* after it was taken away */
	int64_t look_ms;       /* between two looks at the most */
	_Atomic unsigned pins; /* once taken away: sides that still hold it */
};

static void
unpin(struct away *away)
{
	if (atomic_fetch_sub(&away->pins, 1) > 1)
		return;
	if (away->left)
		away->ops->forget(away->left);
	slots_release(&away->slots);
	free(away);
}

/* ---- on a policy thread ---- */

static void come_back(struct loop_task *task);

static void
work(struct job *job)
{
	struct away *away = (struct away *)((char *)job - offsetof(struct away, job));

	if (!guard_begin(&away->guard)) {
		if (away->guard.held)
			slots_leave(away->guard.held);
	} else if (away->ops->work(away->owner)) {
		away->task.run = come_back;
		loop_post(away->place.loop, &away->task);
		return;
	} else {
		jobs_regain(away->place.jobs);
	}
	unpin(away);
}

/* On the thread of who gave the slot up. */
static void
granted(struct slots_waiter *waiter)
{
	struct away *away = (struct away *)((char *)waiter - offsetof(struct away, waiter));

	away->guard.held = away->slots;
	jobs_submit(away->place.jobs, &away->job);
}

/* ---- on the loop ---- */

static void
come_back(struct loop_task *task)
{
	struct away *away = (struct away *)((char *)task - offsetof(struct away, task));
	const struct away_ops *ops = away->ops;
	void *owner = away->owner;

	away->run->guard = NULL;
	loop_timer_cancel(away->place.loop, &away->timer);
	slots_release(&away->slots);
	free(away);
	ops->back(owner);
}

/* The owner is the loop's again; `phase` is what was interrupted. */
static void
take_back(struct away *away, enum guard_phase phase, bool worker_holds)
{
	const struct away_ops *ops = away->ops;
	void *owner = away->owner;

	away->run->guard = NULL;
	if (phase == GUARD_HOOK) {
		struct slots *in = atomic_load(&away->guard.in);

		/* The owner's generation has the entry, and so its slots. */
		if (in)
			slots_lose(in);
		jobs_lose(away->place.jobs);
		away->run->late = "did not answer in time";
		away->left = ops->leave(owner);
	} else {
		away->run->late = "no thread was free for it in time";
	}
	if (!worker_holds)
		unpin(away);
	unpin(away);
	ops->late(owner);
}

/* Hooks of the batch that have not begun yet may be due sooner than this one. */
static void
set_timer(struct away *away, int64_t now, int64_t due)
{
	int64_t wait = due > now ? due - now : LOOK_LEAST_MS;

	loop_timer_set(away->place.loop, &away->timer, MIN(wait, away->look_ms));
}

static void
look(struct loop_timer *timer)
{
	struct away *away = (struct away *)((char *)timer - offsetof(struct away, timer));
	int64_t now = clock_monotonic_ms(), due;
	enum guard_phase phase = guard_take(&away->guard, now, &due);

	if (phase == GUARD_WORKING)
		set_timer(away, now, due);
	else
		take_back(away, phase, !slots_cancel(away->slots, &away->waiter));
}

void
away_go(const struct away_place *place, const struct away_ops *ops, void *owner,
    struct chain_run *run, const struct pn_txn *txn, enum pn_stage stage)
{
	struct away *away = calloc(1, sizeof(*away));

	if (!away)
		abort(); /* as arena.h */
	*away = (struct away){
		.job = { .work = work },
		.timer = { .fire = look },
		.waiter = { .granted = granted },
		.place = *place,
		.ops = ops,
		.owner = owner,
		.run = run,
		.look_ms = MIN(generation_shortest_timeout(txn->generation), LOOK_MOST_MS),
	};
	atomic_init(&away->guard.word, GUARD_WAITING);
	atomic_init(&away->guard.due_ms, chain_due(run, txn, stage));
	atomic_init(&away->pins, 2);
	away->slots = slots_hold(chain_entry_next(run, txn)->slots);
	run->guard = &away->guard;
	set_timer(away, clock_monotonic_ms(), away->guard.due_ms);
	if (slots_wait(away->slots, &away->waiter))
		granted(&away->waiter);
}
