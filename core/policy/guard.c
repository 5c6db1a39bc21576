/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.c - the exchange between a policy thread and the loop that waits for it.
 *
 * Called by hook.c and away.c. The count above the phase keeps the loop from taking away the next
 * hook when it has looked at the clock of the one before.
 */
#include <core/policy/guard.h>

#define PHASE_MASK ((uint64_t)3)
#define ONE_HOOK   ((uint64_t)4)

static enum guard_phase
phase_of(uint64_t word)
{
	return (enum guard_phase)(word & PHASE_MASK);
}

static bool
change(struct guard *guard, uint64_t from, enum guard_phase to)
{
	return atomic_compare_exchange_strong(
	    &guard->word, &from, (from & ~PHASE_MASK) | (uint64_t)to);
}

bool
guard_begin(struct guard *guard)
{
	return change(guard, GUARD_WAITING, GUARD_WORKING);
}

void
guard_enter(struct guard *guard, int64_t due_ms)
{
	uint64_t word = atomic_load(&guard->word);

	atomic_store(&guard->due_ms, due_ms);
	atomic_store(&guard->word, ((word & ~PHASE_MASK) + ONE_HOOK) | GUARD_HOOK);
}

bool
guard_leave(struct guard *guard)
{
	uint64_t word = atomic_load(&guard->word);

	return phase_of(word) == GUARD_HOOK && change(guard, word, GUARD_WORKING);
}

enum guard_phase
guard_take(struct guard *guard, int64_t now_ms, int64_t *ret_due)
{
	uint64_t word = atomic_load(&guard->word);
	enum guard_phase phase = phase_of(word);

	*ret_due = phase == GUARD_WORKING ? INT64_MAX : atomic_load(&guard->due_ms);
	if (phase == GUARD_WORKING || now_ms < *ret_due || !change(guard, word, GUARD_GONE))
		return GUARD_WORKING;
	return phase;
}
