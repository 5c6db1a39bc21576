/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.c - counted slots with a queue.
 *
 * Called by away.c on loops and by hook.c on policy threads. Must never call `granted` with the
 * lock held.
 */
#include <core/base/clock.h>
#include <core/policy/slots.h>
#include <pthread.h>
#include <stdlib.h>

struct slots {
	unsigned references; /* atomic */
	pthread_mutex_t lock;
	unsigned alone; /* a bit for each stage at which somebody is, slots_begin_alone() */
	unsigned limit, used;
	int lost;            /* of `used`; below 0 where a return is noted before the loss */
	int64_t all_lost_ms; /* monotonic: since when all are; 0: they are not */
	struct slots_waiter *first, **last;
};

struct slots *
slots_new(unsigned limit)
{
	struct slots *slots = calloc(1, sizeof(*slots));

	if (!slots)
		abort(); /* as arena.h */
	slots->references = 1;
	pthread_mutex_init(&slots->lock, NULL);
	slots->limit = limit;
	slots->last = &slots->first;
	return slots;
}

struct slots *
slots_hold(struct slots *slots)
{
	__atomic_fetch_add(&slots->references, 1, __ATOMIC_RELAXED);
	return slots;
}

void
slots_release(struct slots **slots)
{
	struct slots *old = *slots;

	*slots = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	pthread_mutex_destroy(&old->lock);
	free(old);
}

static void
unlink_waiter(struct slots *slots, struct slots_waiter *waiter)
{
	*waiter->link = waiter->next;
	if (waiter->next)
		waiter->next->link = waiter->link;
	else
		slots->last = waiter->link;
	waiter->link = NULL;
}

/* With the lock held: the first that waits, if there is room for it. */
static struct slots_waiter *
next_granted(struct slots *slots)
{
	struct slots_waiter *waiter = slots->first;

	if (!waiter || slots->used >= slots->limit)
		return NULL;
	unlink_waiter(slots, waiter);
	slots->used++;
	return waiter;
}

/* With the lock held; without it at the end. */
static void
grant(struct slots *slots)
{
	struct slots_waiter *waiter;

	while ((waiter = next_granted(slots))) {
		pthread_mutex_unlock(&slots->lock);
		waiter->granted(waiter);
		pthread_mutex_lock(&slots->lock);
	}
	pthread_mutex_unlock(&slots->lock);
}

void
slots_limit(struct slots *slots, unsigned limit)
{
	pthread_mutex_lock(&slots->lock);
	slots->limit = limit;
	grant(slots);
}

bool
slots_try(struct slots *slots)
{
	bool free;

	pthread_mutex_lock(&slots->lock);
	free = !slots->first && slots->used < slots->limit;
	slots->used += free;
	pthread_mutex_unlock(&slots->lock);
	return free;
}

bool
slots_wait(struct slots *slots, struct slots_waiter *waiter)
{
	bool free;

	pthread_mutex_lock(&slots->lock);
	free = !slots->first && slots->used < slots->limit;
	if (free) {
		slots->used++;
	} else {
		waiter->next = NULL;
		waiter->link = slots->last;
		*slots->last = waiter;
		slots->last = &waiter->next;
	}
	pthread_mutex_unlock(&slots->lock);
	return free;
}

bool
slots_cancel(struct slots *slots, struct slots_waiter *waiter)
{
	bool waits;

	pthread_mutex_lock(&slots->lock);
	waits = waiter->link != NULL;
	if (waits)
		unlink_waiter(slots, waiter);
	pthread_mutex_unlock(&slots->lock);
	return waits;
}

void
slots_leave(struct slots *slots)
{
	pthread_mutex_lock(&slots->lock);
	slots->used--;
	grant(slots);
}

bool
slots_begin_alone(struct slots *slots, int32_t stage)
{
	bool free;

	pthread_mutex_lock(&slots->lock);
	free = !(slots->alone & 1u << stage);
	slots->alone |= 1u << stage;
	pthread_mutex_unlock(&slots->lock);
	return free;
}

void
slots_end_alone(struct slots *slots, int32_t stage)
{
	pthread_mutex_lock(&slots->lock);
	slots->alone &= ~(1u << stage);
	pthread_mutex_unlock(&slots->lock);
}

static void
change_lost(struct slots *slots, int by)
{
	pthread_mutex_lock(&slots->lock);
	slots->lost += by;
	if (slots->lost < (int)slots->limit)
		slots->all_lost_ms = 0;
	else if (slots->all_lost_ms == 0)
		slots->all_lost_ms = clock_monotonic_ms();
	pthread_mutex_unlock(&slots->lock);
}

void
slots_lose(struct slots *slots)
{
	change_lost(slots, 1);
}

void
slots_regain(struct slots *slots)
{
	change_lost(slots, -1);
}

int64_t
slots_lost_ms(struct slots *slots, int64_t now_ms)
{
	int64_t since;

	pthread_mutex_lock(&slots->lock);
	/* A reload may have raised the limit meanwhile. */
	since = slots->lost >= (int)slots->limit ? slots->all_lost_ms : 0;
	pthread_mutex_unlock(&slots->lock);
	return since > 0 ? now_ms - since : 0;
}
