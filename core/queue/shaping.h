/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shaping.h - connections and rates of all next hops, over all loops of the process.
 *
 * A loop's queue joins as a member; its destinations take a place for each connection and give it
 * back. Where none is free they wait, first come first served over all loops and next hops; a place
 * that is given back goes to the first who can use it and is his from then on. So a next hop that
 * hangs holds what it has and no more, and everybody's turn comes. Locked inside; any thread, but
 * members and waiters belong to their loop.
 */
#ifndef CORE_QUEUE_SHAPING_H
#define CORE_QUEUE_SHAPING_H

#include <core/net/loop.h>
#include <core/queue/rate.h>
#include <core/queue/silence.h>

struct shaping;
struct shape; /* of one next hop */

struct shape_limits {
	uint32_t connections;
	struct rate_limit messages, sessions;
};

struct shaping_waiter {
	struct shape *shape;
	struct shaping_member *member;
	struct shaping_waiter *next, **link; /* link NULL: does not wait */
	bool granted;                        /* a place is his; in the member's list */
};

/* Embedded in a queue, zeroed. */
struct shaping_member {
	struct loop_task task; /* first */
	struct loop *loop;
	struct shaping *shaping;
	struct shaping_member *next, **link;
	struct shaping_waiter *granted;
	/* On the loop: waiters have been granted places, or others have begun to wait. */
	void (*look)(struct shaping_member *member);
	bool posted;
};

struct shaping *shaping_new(void);
struct shaping *shaping_hold(struct shaping *shaping);
void shaping_release(struct shaping **shaping);
/* What all of them know of addresses that did not answer; lives as long. */
struct silence *shaping_silence(struct shaping *shaping);
/* Connections of all next hops together. */
void shaping_configure(struct shaping *shaping, uint32_t connections);

void shaping_join(struct shaping *shaping, struct shaping_member *member);
/* False: `look` is still to be called, and then this again. */
bool shaping_leave(struct shaping_member *member);
/* The first of the loop's waiters with a place that he has not taken; NULL: none. */
struct shaping_waiter *shaping_granted(struct shaping_member *member);
/* How many wait for a place of those that all next hops share. Cheap. */
uint32_t shaping_waiting(const struct shaping *shaping);

/* One for each key; held. */
struct shape *shape_get(struct shaping *shaping, const char *key);
void shape_release(struct shape **shape);
/* For everyone who holds it. */
void shape_configure(struct shape *shape, const struct shape_limits *limits);
/*
 * True: a place is taken. False: come back in `*ret_wait_us`; or, where that is 0, the waiter waits
 * and `look` is called when `granted` is set. Calling again takes what was granted.
 */
bool shape_take(
    struct shape *shape, struct shaping_waiter *waiter, int64_t now_us, int64_t *ret_wait_us);
void shape_give(struct shape *shape);
/* What was granted goes to the next. */
void shape_decline(struct shaping_waiter *waiter);
/* The same, and waits no more. */
void shape_unwait(struct shaping_waiter *waiter);
/* Others wait for a place of this next hop's own. Cheap. */
bool shape_is_wanted(const struct shape *shape);
/* Of what went there nothing counts any more. */
bool shape_is_rested(struct shape *shape, int64_t now_us);
/* 0: a message may go now, and is counted; else how long to wait. */
int64_t shape_take_message(struct shape *shape, int64_t now_us);

#endif
