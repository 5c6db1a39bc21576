/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen.c - outcome and tick hooks, in the order in which things happened.
 *
 * Called by lanes. Must never hold up a delivery.
 */
#include <core/base/log.h>
#include <core/policy/listen.h>
#include <stdio.h>
#include <stdlib.h>

#define WAITING_MOST 10000 /* outcomes; some kilobytes each */

struct event {
	struct event *next;
	struct pn_txn *txn;
	enum pn_stage stage;
};

struct listen {
	struct away_place place;
	struct loop_timer soon;
	struct event *first, **last;
	size_t waiting, dropped;
	bool running, ticking;
	struct chain_run run; /* of the first */
	enum chain_step step;
};

struct listen *
listen_new(const struct away_place *place)
{
	struct listen *listen = calloc(1, sizeof(*listen));

	if (!listen)
		abort(); /* as arena.h */
	listen->place = *place;
	listen->last = &listen->first;
	return listen;
}

static void
drop_first(struct listen *listen)
{
	struct event *event = listen->first;

	listen->first = event->next;
	if (!listen->first)
		listen->last = &listen->first;
	listen->waiting--;
	if (event->stage == PN_STAGE_TICK)
		listen->ticking = false;
	txn_free(&event->txn);
	free(event);
}

void
listen_free(struct listen **listen)
{
	struct listen *old = *listen;

	*listen = NULL;
	if (!old)
		return;
	while (old->first)
		drop_first(old);
	loop_timer_cancel(old->place.loop, &old->soon);
	free(old);
}

/* ---- running --------------------------------------------------------------------------------- */

static bool
advance(struct listen *listen, bool may_block)
{
	struct ruling ruling;
	enum chain_step step = chain_run(
	    &listen->run, listen->first->txn, listen->first->stage, may_block, &ruling);

	if (step == CHAIN_GONE)
		return false;
	listen->step = step;
	return true;
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
	struct listen *listen = owner;
	struct pn_txn *txn = listen->first->txn;

	listen->first->txn = txn_fork(txn);
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

/* One event a turn of the loop. */
static void
next(struct loop_timer *timer)
{
	struct listen *listen = (struct listen *)((char *)timer - offsetof(struct listen, soon));

	listen->run = (struct chain_run){ 0 };
	advance(listen, false);
	settle(listen);
}

static void
settle(void *owner)
{
	struct listen *listen = owner;

	listen->run.guard = NULL;
	if (listen->step == CHAIN_HOP) {
		away_go(&listen->place, &ops, listen, &listen->run, listen->first->txn,
		    listen->first->stage);
		return;
	}
	drop_first(listen);
	listen->running = listen->first != NULL;
	if (listen->running)
		loop_timer_set(listen->place.loop, &listen->soon, 0);
}

/* Takes the transaction. */
static void
add(struct listen *listen, struct pn_txn *txn, enum pn_stage stage)
{
	struct event *event = calloc(1, sizeof(*event));

	if (!event || !txn)
		abort(); /* as arena.h */
	event->txn = txn;
	event->stage = stage;
	*listen->last = event;
	listen->last = &event->next;
	listen->waiting++;
	if (listen->running)
		return;
	listen->running = true;
	listen->soon.fire = next;
	loop_timer_set(listen->place.loop, &listen->soon, 0);
}

/* ---- what is told ---------------------------------------------------------------------------- */

static const struct pn_outcome *
copy_outcome(struct arena *arena, const struct pn_outcome *from)
{
	struct pn_outcome *ret = arena_copy(arena, from, sizeof(*from));

	ret->size = sizeof(*ret);
	ret->recipient = arena_text(arena, from->recipient);
	ret->method = arena_text(arena, from->method);
	ret->reply = arena_text(arena, from->reply);
	ret->next_hop = arena_text(arena, from->next_hop);
	ret->tls_version = arena_text(arena, from->tls_version);
	ret->tls_cipher = arena_text(arena, from->tls_cipher);
	return ret;
}

static bool
is_full(struct listen *listen)
{
	char number[24];

	if (listen->waiting < WAITING_MOST) {
		if (listen->dropped > 0) {
			snprintf(number, sizeof(number), "%zu", listen->dropped);
			log_event(PN_LOG_ERROR, "outcomes-dropped", "count", number, "why",
			    "outcome hooks are too slow", NULL);
		}
		listen->dropped = 0;
		return false;
	}
	listen->dropped++;
	return true;
}

void
listen_outcome(struct listen *listen, struct generation *generation, const struct item *item,
    uint32_t index, const struct pn_outcome *result)
{
	struct pn_txn *txn;
	struct mail_recipient *subject;

	if (!generation_has(generation, PN_STAGE_OUTCOME) || is_full(listen))
		return;
	txn = txn_of_item(generation, item, NULL);
	subject = &txn->envelope.recipients[index];
	txn->envelope.recipients = arena_copy(&txn->arena, subject, sizeof(*subject));
	txn->envelope.count = txn->envelope.capacity = 1;
	txn->recipient = 0;
	txn->plan_number = result->plan;
	txn->outcome = copy_outcome(&txn->arena, result);
	add(listen, txn, PN_STAGE_OUTCOME);
}

void
listen_tick(struct listen *listen, struct generation *generation)
{
	static const struct mail_facts nobody = {
		.client_address = "local", .listener = "", .helo = ""
	};
	struct pn_txn *txn;

	if (listen->ticking || !generation_has(generation, PN_STAGE_TICK))
		return;
	txn = txn_new(generation, &nobody);
	if (txn)
		txn->envelope.sender = txn->envelope.original_sender = "";
	listen->ticking = true;
	add(listen, txn, PN_STAGE_TICK);
}
