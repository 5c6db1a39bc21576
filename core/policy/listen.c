/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen.c - outcome, tick and flush hooks, in the order in which things happened.
 *
 * Called by lanes. Must never hold up a delivery.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/policy/listen.h>
#include <core/policy/stage.h>
#include <core/policy/walk.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SAY_MS 60000 /* between two lines about what was dropped */

struct event {
	struct event *next;
	struct pn_txn *txn;
	enum pn_stage stage;
};

struct listen {
	struct walk walk; /* of the first */
	struct loop_timer soon;
	struct event *first, **last;
	atomic_size_t waiting;
	size_t dropped;  /* since it was said */
	int64_t said_ms; /* monotonic; 0: never */
	bool running, ticking;
	void (*drained)(void *arg); /* NULL: nobody waits for the end */
	void *arg;
};

/* ---- running --------------------------------------------------------------------------------- */

static void
drop_first(struct listen *listen)
{
	struct event *event = listen->first;

	listen->first = event->next;
	if (!listen->first)
		listen->last = &listen->first;
	atomic_fetch_sub(&listen->waiting, 1);
	if (stage_is(event->stage, STAGE_ALONE))
		listen->ticking = false;
	txn_free(&event->txn);
	free(event);
}

/* One event a turn of the loop. */
static void
next(struct loop_timer *timer)
{
	struct listen *listen = (struct listen *)((char *)timer - offsetof(struct listen, soon));

	listen->walk.txn = listen->first->txn;
	listen->first->txn = NULL;
	listen->walk.stage = listen->first->stage;
	walk_go(&listen->walk);
}

static void
say_dropped(struct listen *listen)
{
	char number[24];

	if (listen->dropped == 0)
		return;
	snprintf(number, sizeof(number), "%zu", listen->dropped);
	log_event(PN_LOG_ERROR, "outcomes-dropped", "count", number, "why",
	    "outcome hooks are too slow", NULL);
	listen->dropped = 0;
	listen->said_ms = clock_monotonic_ms();
}

static void
tell_end(struct listen *listen)
{
	void (*drained)(void *arg) = listen->drained;

	listen->drained = NULL;
	if (drained)
		drained(listen->arg);
}

static void
ended(struct walk *walk)
{
	struct listen *listen = (struct listen *)walk;

	txn_free(&walk->txn);
	drop_first(listen);
	listen->running = listen->first != NULL;
	if (listen->running) {
		loop_timer_set(walk->place.loop, &listen->soon, 0);
		return;
	}
	say_dropped(listen);
	tell_end(listen);
}

static const struct walk_ops ops = { .ended = ended };

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
	atomic_fetch_add(&listen->waiting, 1);
	if (listen->running)
		return;
	listen->running = true;
	listen->soon.fire = next;
	loop_timer_set(listen->walk.place.loop, &listen->soon, 0);
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

/* Said at once, then so often as long as it goes on. */
static bool
is_full(struct listen *listen)
{
	if (listen_waiting(listen) < LISTEN_MOST)
		return false;
	listen->dropped++;
	if (listen->said_ms == 0 || clock_monotonic_ms() - listen->said_ms >= SAY_MS)
		say_dropped(listen);
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

static struct pn_txn *
nobody_s(struct generation *generation)
{
	static const struct mail_facts nobody = {
		.client_address = "local", .listener = "", .helo = ""
	};
	struct pn_txn *txn = txn_new(generation, &nobody);

	if (txn)
		txn->envelope.sender = txn->envelope.original_sender = "";
	return txn;
}

void
listen_tick(struct listen *listen, struct generation *generation, enum pn_stage stage)
{
	if (listen->ticking || !generation_has(generation, stage))
		return;
	listen->ticking = true;
	add(listen, nobody_s(generation), stage);
}

void
listen_last(struct generation *generation, enum pn_stage stage)
{
	struct chain_run run = { 0 };
	struct ruling ruling;
	struct pn_txn *txn = generation_has(generation, stage) ? nobody_s(generation) : NULL;

	if (!txn)
		return;
	chain_run(&run, txn, stage, true, &ruling);
	txn_free(&txn);
}

/* ---- life ------------------------------------------------------------------------------------ */

size_t
listen_waiting(const struct listen *listen)
{
	return atomic_load(&listen->waiting);
}

static void
nothing_waits(struct loop_timer *timer)
{
	tell_end((struct listen *)((char *)timer - offsetof(struct listen, soon)));
}

void
listen_drain(struct listen *listen, void (*drained)(void *arg), void *arg)
{
	listen->drained = drained;
	listen->arg = arg;
	if (listen->running)
		return;
	listen->soon.fire = nothing_waits;
	loop_timer_set(listen->walk.place.loop, &listen->soon, 0);
}

struct listen *
listen_new(const struct away_place *place)
{
	struct listen *listen = calloc(1, sizeof(*listen));

	if (!listen)
		abort(); /* as arena.h */
	listen->walk = (struct walk){ .place = *place, .ops = &ops };
	listen->last = &listen->first;
	return listen;
}

void
listen_free(struct listen **listen)
{
	struct listen *old = *listen;

	*listen = NULL;
	if (!old)
		return;
	txn_free(&old->walk.txn);
	while (old->first)
		drop_first(old);
	loop_timer_cancel(old->walk.place.loop, &old->soon);
	free(old);
}
