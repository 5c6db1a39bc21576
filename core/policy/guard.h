/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.h - who owns what a blocking hook was lent, once its time is up.
 *
 * A C function cannot be stopped. What it was lent is taken away instead: the thread that runs
 * hooks and the loop that waits for it settle by one atomic exchange which of them goes on. One
 * guard stands for one stay on a policy thread, however many hooks run there.
 */
#ifndef CORE_POLICY_GUARD_H
#define CORE_POLICY_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum guard_phase {
	GUARD_WAITING, /* for a thread; nobody runs */
	GUARD_WORKING, /* the core's own code runs: not to be taken away */
	GUARD_HOOK,    /* a hook runs */
	GUARD_GONE     /* taken away */
};

struct slots;

struct guard {
	_Atomic uint64_t word;  /* the phase in two bits, above them how many hooks have begun */
	_Atomic int64_t due_ms; /* of the hook that runs or is waited for; monotonic */
	struct slots *held;     /* whose slot we have, NULL: none; the worker's own */
	_Atomic(struct slots *) in; /* of the last hook that was begun; NULL: one without slots */
};

/* ---- the worker's ---- */
/* Begins to work. False: taken away already. */
bool guard_begin(struct guard *guard);
void guard_enter(struct guard *guard, int64_t due_ms);
/* The hook has returned. False: nothing that was lent may be touched any more. */
bool guard_leave(struct guard *guard);

/* ---- the loop's ---- */
/*
 * Takes away what is overdue: the phase it was in, GUARD_WAITING or GUARD_HOOK. Otherwise
 * GUARD_WORKING, and in `ret_due` when to look again, INT64_MAX where that cannot be said.
 */
enum guard_phase guard_take(struct guard *guard, int64_t now_ms, int64_t *ret_due);

#endif
