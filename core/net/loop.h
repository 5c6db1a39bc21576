/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - an event loop: epoll, timers, and tasks posted by other threads.
 *
 * One thread runs a loop and owns everything watched by it. Only loop_post() and loop_stop() may be
 * called from other threads. Nothing called by a loop may block; a stall of more than 100 ms is
 * logged. Watchers, timers and tasks are embedded in their owner's struct and never allocated here.
 */
#ifndef CORE_NET_LOOP_H
#define CORE_NET_LOOP_H

#include <core/base/buf.h>

struct loop;

int loop_new(struct loop **ret, struct pn_error *err);
void loop_free(struct loop **loop);
/* Runs until loop_stop(); tasks posted before the stop have run when it returns. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Milliseconds, monotonic, as of the start of this turn. */
int64_t loop_now(const struct loop *loop);
/* True on the thread that runs this loop. */
bool loop_is_mine(const struct loop *loop);
/* The one that this thread runs; NULL: none. */
struct loop *loop_mine(void);

/*
 * ---- descriptors: level-triggered, EPOLLIN | EPOLLOUT; EPOLLEXCLUSIVE at the first watch ----
 * A descriptor has one watcher per loop. EPOLLERR and EPOLLHUP are always reported.
 */
struct loop_io {
	void (*ready)(struct loop_io *io, uint32_t events);
	int fd;
	uint32_t events; /* what is watched now; 0 when not watched */
};
int loop_watch(struct loop *loop, struct loop_io *io, uint32_t events);
/* After this `ready` is not called any more, not even for an event of this very turn. */
void loop_unwatch(struct loop *loop, struct loop_io *io);
/* The same without a system call, for a descriptor that is closed at once. */
void loop_forget(struct loop *loop, struct loop_io *io);

/* ---- timers: fire once, at the earliest after `ms`, at most some 30 ms late ---- */
struct loop_timer {
	struct loop_timer *next, **link; /* link is NULL when not set */
	void (*fire)(struct loop_timer *timer);
	int64_t due;
};
/* Sets or moves; O(1). With 0 ms it fires at the end of this turn, or of the next if set there. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/*
 * ---- rests: called once, when this loop has nothing else to do, or when `ms` of any are over ----
 * For what is better done for many at once. Only from the loop's thread.
 */
struct loop_rest {
	struct loop_rest *next;
	void (*run)(struct loop_rest *rest);
	bool set;
};
/* Nothing where it is set already. */
void loop_rest_set(struct loop *loop, struct loop_rest *rest, int64_t ms);

/* ---- tasks: run once on the loop's thread, in the order posted by one thread ---- */
struct loop_task {
	struct loop_task *next;
	void (*run)(struct loop_task *task);
};
void loop_post(struct loop *loop, struct loop_task *task);

/*
 * Scratch buffers of the loop, valid until the next turn: one for what comes from descriptors, one
 * for what is made of it (deciphered, say). LOOP_HEADROOM bytes before each are scratch, too.
 */
#define LOOP_SCRATCH  (64u * 1024)
#define LOOP_HEADROOM (8u * 1024)
char *loop_scratch(struct loop *loop);
char *loop_scratch_second(struct loop *loop);
/* A spare buffer for what goes out: a user may take its memory, or give memory back to it. */
struct buf *loop_spare(struct loop *loop);

#endif
