/* SPDX-License-Identifier: Apache-2.0 */
/*
 * committed.c - runs committed hooks, again and again until all have passed.
 *
 * Called by a lane for each durable message. Every entry runs at every try, so hooks are idempotent
 * by the message's id.
 */
#include <core/policy/committed.h>
#include <core/policy/walk.h>
#include <stdlib.h>
#include <sys/param.h>

#define RETRY_FIRST 1000
#define RETRY_MOST  60000

struct committed {
	struct walk walk; /* of this try */
	struct committed *next, **link;
	struct loop_timer timer; /* of the next try */
	struct item *item;       /* the queue's: handed back */
	struct pn_txn *message;  /* the same as a transaction, never changed */
	int64_t wait_ms;
	void (*done)(void *arg, struct item *item);
	void *arg;
};

static void
drop(struct committed *committed)
{
	*committed->link = committed->next;
	if (committed->next)
		committed->next->link = committed->link;
	txn_free(&committed->walk.txn);
	txn_free(&committed->message);
	free(committed);
}

/* What this try has come to. */
static void
ended(struct walk *walk)
{
	struct committed *committed = (struct committed *)walk;

	txn_free(&walk->txn);
	if (walk->run.faults == 0) {
		committed->done(committed->arg, committed->item);
		drop(committed);
		return;
	}
	loop_timer_set(walk->place.loop, &committed->timer, committed->wait_ms);
	committed->wait_ms = MIN(2 * committed->wait_ms, RETRY_MOST);
}

static const struct walk_ops ops = { .ended = ended };

static void
try(struct loop_timer *timer)
{
	struct committed *committed = (struct committed *)((char *)timer -
							   offsetof(struct committed, timer));

	committed->walk.txn = txn_fork(committed->message);
	walk_go(&committed->walk);
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
	committed->walk = (struct walk){
		.place = *place, .ops = &ops, .stage = PN_STAGE_COMMITTED
	};
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
