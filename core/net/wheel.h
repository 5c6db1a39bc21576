/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel.h - the timers of one loop: a hierarchical wheel, O(1) to set and to cancel.
 *
 * Used by loop.c alone. Ticks of 16 ms; four rings of 64 slots reach 74 hours, what lies beyond is
 * sorted in again when it comes near.
 */
#ifndef CORE_NET_WHEEL_H
#define CORE_NET_WHEEL_H

#include <core/net/loop.h>

#define WHEEL_TICK_MS 16
#define WHEEL_RINGS   4
#define WHEEL_SLOTS   64

struct wheel {
	int64_t tick; /* the last one whose timers have fired */
	struct loop_timer *slots[WHEEL_RINGS][WHEEL_SLOTS];
	uint64_t used[WHEEL_RINGS]; /* a bit per slot that may hold timers */
	struct loop_timer *soon;    /* timers of 0 ms */
};

void wheel_init(struct wheel *wheel, int64_t now);
/* Sets or moves. `ms` 0 or less: fires in the next wheel_turn, whatever the time. */
void wheel_set(struct wheel *wheel, struct loop_timer *timer, int64_t now, int64_t ms);
void wheel_cancel(struct loop_timer *timer);
/* Fires what is due. A timer set meanwhile fires in a later turn. */
void wheel_turn(struct wheel *wheel, int64_t now);
/* Milliseconds until wheel_turn has something to do; -1: nothing is set. */
int64_t wheel_wait(struct wheel *wheel, int64_t now);

#endif
