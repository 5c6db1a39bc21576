/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.h - how many calls of one entry that may block run at once in the process.
 *
 * One per entry id, kept from one generation to the next, so a hook that never returns keeps its
 * slot. Who waits for a slot holds no thread. Any thread.
 */
#ifndef CORE_POLICY_SLOTS_H
#define CORE_POLICY_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct slots;

struct slots_waiter {
	struct slots_waiter *next, **link; /* link is NULL when not waiting */
	/* The slot is the waiter's; on the thread of who gave it up. */
	void (*granted)(struct slots_waiter *waiter);
};

struct slots *slots_new(unsigned limit);
/* From now on so many; those that run above it run on. */
void slots_limit(struct slots *slots, unsigned limit);
struct slots *slots_hold(struct slots *slots);
void slots_release(struct slots **slots);

/* True: a slot is ours. Never before those that wait. */
bool slots_try(struct slots *slots);
/* True: a slot is ours. False: `granted` will say so. */
bool slots_wait(struct slots *slots, struct slots_waiter *waiter);
/* True: it does not wait any more. False: it did not, or a slot is its own. */
bool slots_cancel(struct slots *slots, struct slots_waiter *waiter);
/* Gives a slot back, to the first that waits. */
void slots_leave(struct slots *slots);

/* For calls of which there is never more than one: false where one has not returned yet. */
bool slots_begin_alone(struct slots *slots, int32_t stage);
void slots_end_alone(struct slots *slots, int32_t stage);

/* Who has a slot was left behind in a hook that does not return; and has returned after all. */
void slots_lose(struct slots *slots);
void slots_regain(struct slots *slots);
/* For how long none has been left that would come back; 0 where some would. Monotonic `now_ms`. */
int64_t slots_lost_ms(struct slots *slots, int64_t now_ms);

#endif
