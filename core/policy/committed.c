/* SPDX-License-Identifier: Apache-2.0 */
/*
 * committed.c - runs committed hooks, again and again until all have passed.
 *
 * Called by a lane for each durable message. Every entry runs at every try, so hooks are idempotent
 * by the message's id.
 */
#include <core/policy/committed.h>
#include <stdlib.h>
#include <sys/param.h>

#define RETRY_FIRST 1000
#define RETRY_MOST  60000

struct committed {
	struct committed *next, **link;
	struct away_place place;
	struct loop_timer timer; /* of the next try */
	struct item *item;       /* the queue's: handed back */
	struct pn_txn *message;  /* the same as a transaction, never changed */
	struct pn_txn *txn;      /* of this try */
	struct chain_run run;
	enum chain_step step;
	int64_t wait_ms;
	void (*done)(void *arg, struct item *item);
	void *arg;
};

/* False: the transaction is not ours any more. */
static bool
run(struct committed *committed, bool may_block)
{
	struct ruling ruling;
	enum chain_step step = chain_run(
	    &committed->run, committed->txn, PN_STAGE_COMMITTED, may_block, &ruling);

	if (step == CHAIN_GONE)
		return false;
	committed->step = step;
	return true;
}

static void on_late(void *owner);
static void settle(void *owner);

static bool
work(void *owner)
{
	return run(owner, true);
}

static void *
leave(void *owner)
{
	struct committed *committed = owner;
	struct pn_txn *txn = committed->txn;

	committed->txn = txn_fork(txn);
	return txn;
}

static void
forget(void *left)
{
	struct pn_txn *txn = left;

	txn_free(&txn);
}

static const struct away_ops ops = {
	.work = work,
	.back = settle,
	.leave = leave,
	.forget = forget,
	.late = on_late,
};

static void
drop(struct committed *committed)
{
	*committed->link = committed->next;
	if (committed->next)
		committed->next->link = committed->link;
	txn_free(&committed->txn);
	txn_free(&committed->message);
	free(committed);
}

static void
finish(struct committed *committed)
{
	committed->done(committed->arg, committed->item);
	drop(committed);
}

/* What the last piece of the run has come to. */
static void
settle(void *owner)
{
	struct committed *committed = owner;

	if (committed->step == CHAIN_HOP) {
		away_go(&committed->place, &ops, committed, &committed->run, committed->txn,
		    PN_STAGE_COMMITTED);
		return;
	}
	txn_free(&committed->txn);
	if (committed->run.faults == 0) {
		finish(committed);
		return;
	}
	loop_timer_set(committed->place.loop, &committed->timer, committed->wait_ms);
	committed->wait_ms = MIN(2 * committed->wait_ms, RETRY_MOST);
}

static void
on_late(void *owner)
{
	struct committed *committed = owner;

	run(committed, false);
	settle(committed);
}

static void
try(struct loop_timer *timer)
{
	struct committed *committed = (struct committed *)((char *)timer -
							   offsetof(struct committed, timer));

	committed->run = (struct chain_run){ 0 };
	committed->txn = txn_fork(committed->message);
	run(committed, false);
	settle(committed);
}

void
committed_start(struct committed_list *list, const struct away_place *place,
    struct generation *generation, struct item *item, void (*done)(void *arg, struct item *item),
    void *arg)
{
	struct committed *committed = calloc(1, sizeof(*committed));

	if (!committed)
		abort(); /* as arena.h: the master restarts us, the spool remembers the effects */
	committed->next = list->first;
	committed->link = &list->first;
	if (list->first)
		list->first->link = &committed->next;
	list->first = committed;
	committed->place = *place;
	committed->timer.fire = try;
	committed->item = item;
	committed->message = txn_of_item(generation, item, item->bytes);
	committed->wait_ms = RETRY_FIRST;
	committed->done = done;
	committed->arg = arg;
	loop_timer_set(place->loop, &committed->timer, 0);
}

void
committed_drop(struct committed_list *list)
{
	while (list->first)
		drop(list->first);
}
