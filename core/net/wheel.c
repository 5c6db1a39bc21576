/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel.c - timers in slots of a hierarchical wheel.
 *
 * Called by loop.c on the loop's thread. A timer lies in the ring whose span its distance fits;
 * when a ring comes round, the next larger one hands down a slot. A cancelled timer leaves its
 * slot's bit in `used` behind, which is cleared when somebody looks: cancelling costs three writes.
 */
#include <core/net/wheel.h>

#define SLOT_BITS 6
#define SLOT_MASK (WHEEL_SLOTS - 1)
/* The farthest distance in ticks that a ring can hold. */
#define REACH (((int64_t)1 << (SLOT_BITS * WHEEL_RINGS)) - 1)

void
wheel_init(struct wheel *wheel, int64_t now)
{
	*wheel = (struct wheel){ .tick = now / WHEEL_TICK_MS };
}

static void
link_first(struct loop_timer **head, struct loop_timer *timer)
{
	timer->next = *head;
	timer->link = head;
	if (*head)
		(*head)->link = &timer->next;
	*head = timer;
}

void
wheel_cancel(struct loop_timer *timer)
{
	if (!timer->link)
		return;
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
	timer->link = NULL;
}

/* `least` is the earliest tick whose slot has not been emptied yet. */
static void
insert(struct wheel *wheel, struct loop_timer *timer, int64_t least)
{
	int64_t tick = (timer->due + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS, distance;
	unsigned ring = 0, slot;

	if (tick < least)
		tick = least;
	if (tick - wheel->tick > REACH)
		tick = wheel->tick + REACH;
	distance = tick - wheel->tick;
	while (distance >> (SLOT_BITS * (ring + 1)))
		ring++;
	slot = (unsigned)(tick >> (SLOT_BITS * ring)) & SLOT_MASK;
	link_first(&wheel->slots[ring][slot], timer);
	wheel->used[ring] |= (uint64_t)1 << slot;
}

void
wheel_set(struct wheel *wheel, struct loop_timer *timer, int64_t now, int64_t ms)
{
	wheel_cancel(timer);
	if (ms <= 0) {
		timer->due = now;
		link_first(&wheel->soon, timer);
		return;
	}
	timer->due = ms > INT64_MAX / 2 - now ? INT64_MAX / 2 : now + ms;
	insert(wheel, timer, wheel->tick + 1);
}

/* Moves a whole list, so that what is added to `from` meanwhile is not seen. */
static void
take(struct loop_timer **from, struct loop_timer **ret)
{
	*ret = *from;
	if (*ret)
		(*ret)->link = ret;
	*from = NULL;
}

static void
fire_all(struct loop_timer **from)
{
	struct loop_timer *list, *timer;

	take(from, &list);
	while ((timer = list)) {
		wheel_cancel(timer);
		timer->fire(timer);
	}
}

/* Hands a slot of a larger ring down to the smaller ones. */
static void
hand_down(struct wheel *wheel, unsigned ring)
{
	unsigned slot = (unsigned)(wheel->tick >> (SLOT_BITS * ring)) & SLOT_MASK;
	struct loop_timer *list, *timer;

	wheel->used[ring] &= ~((uint64_t)1 << slot);
	take(&wheel->slots[ring][slot], &list);
	while ((timer = list)) {
		wheel_cancel(timer);
		insert(wheel, timer, wheel->tick);
	}
}

static void
run_tick(struct wheel *wheel)
{
	unsigned ring = 1, slot = (unsigned)wheel->tick & SLOT_MASK;

	while (ring < WHEEL_RINGS && !(wheel->tick & (((int64_t)1 << (SLOT_BITS * ring)) - 1)))
		ring++;
	while (--ring > 0)
		hand_down(wheel, ring);
	wheel->used[0] &= ~((uint64_t)1 << slot);
	fire_all(&wheel->slots[0][slot]);
}

/* The next tick at which this ring's slots matter; INT64_MAX: it is empty. */
static int64_t
ring_next(struct wheel *wheel, unsigned ring)
{
	int64_t at = wheel->tick >> (SLOT_BITS * ring);
	unsigned slot = (unsigned)at & SLOT_MASK;

	while (wheel->used[ring]) {
		/* Bit 0 of `turned` is the slot after the current one. */
		unsigned by = (slot + 1) & SLOT_MASK;
		uint64_t turned = wheel->used[ring] >> by;

		if (by)
			turned |= wheel->used[ring] << (WHEEL_SLOTS - by);
		unsigned ahead = (unsigned)__builtin_ctzll(turned) + 1;
		unsigned found = (slot + ahead) & SLOT_MASK;

		if (wheel->slots[ring][found])
			return (at + ahead) << (SLOT_BITS * ring);
		wheel->used[ring] &= ~((uint64_t)1 << found);
	}
	return INT64_MAX;
}

static int64_t
next_tick(struct wheel *wheel)
{
	int64_t least = INT64_MAX;

	for (unsigned ring = 0; ring < WHEEL_RINGS; ring++) {
		int64_t tick = ring_next(wheel, ring);

		if (tick < least)
			least = tick;
	}
	return least;
}

void
wheel_turn(struct wheel *wheel, int64_t now)
{
	int64_t target = now / WHEEL_TICK_MS;

	while (wheel->tick < target) {
		int64_t next = next_tick(wheel);

		if (next > target) {
			wheel->tick = target;
			break;
		}
		wheel->tick = next;
		run_tick(wheel);
	}
	fire_all(&wheel->soon);
}

int64_t
wheel_wait(struct wheel *wheel, int64_t now)
{
	int64_t tick, ms;

	if (wheel->soon)
		return 0;
	tick = next_tick(wheel);
	if (tick == INT64_MAX)
		return -1;
	ms = tick * WHEEL_TICK_MS - now;
	return ms > 0 ? ms : 0;
}
