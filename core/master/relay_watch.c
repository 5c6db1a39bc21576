/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_watch.c - looks every second whether the lanes still turn, and how many threads are lost.
 *
 * Runs on the main loop. A hook that was promised to be quick and hangs holds a lane with all its
 * sessions: what is durable is durable, so the relay ends and says who did it. Lost threads hold
 * nobody, but are never given back while the process lives: the master is asked for another relay.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/master/child.h>
#include <core/master/relay_watch.h>
#include <core/policy/crash.h>
#include <core/policy/slots.h>
#include <core/policy/stage.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_MS    1000
#define HANG_LOOKS 20 /* counted, not timed: a stopped process is no lane that hangs */
#define LOST_MOST  64
#define ASK_LOOKS  60    /* between two requests for another relay */
#define STUCK_MS   10000 /* an entry of whose calls none returns, or three times its own time */

struct lane_watch {
	struct loop_task task;
	_Atomic bool back; /* the task has run: what it wrote may be read */
	pid_t tid;
	unsigned looks; /* since it was posted */
};

struct relay_watch {
	struct loop_timer timer;
	struct relay *relay;
	unsigned ask_in; /* looks */
	struct lane_watch lanes[RELAY_LANES_MOST];
};

static void
answer(struct loop_task *task)
{
	struct lane_watch *lane = (struct lane_watch *)task;

	lane->tid = (pid_t)syscall(SYS_gettid);
	atomic_store(&lane->back, true);
}

static void
ask(struct lane_watch *watch, struct lane *lane)
{
	atomic_store(&watch->back, false);
	watch->looks = 0;
	watch->task.run = answer;
	loop_post(lane_loop(lane), &watch->task);
}

static void
leave(struct relay *relay, pid_t tid)
{
	const struct crash_culprit *culprit = tid ? crash_blame(tid) : NULL;

	log_event(PN_LOG_ERROR, "loop-hangs", "entry", culprit ? culprit->entry : NULL, "module",
	    culprit ? culprit->module : NULL, "stage", culprit ? stage_name(culprit->stage) : NULL,
	    "id", culprit && culprit->id[0] ? culprit->id : NULL, NULL);
	spool_stop(relay->spool);
	log_flush_all();
	_exit(EXIT_FAILURE);
}

static void
look_at_lanes(struct relay_watch *watch)
{
	for (size_t i = 0; i < watch->relay->lane_count; i++) {
		struct lane_watch *lane = &watch->lanes[i];

		if (atomic_load(&lane->back))
			ask(lane, watch->relay->lanes[i]);
		else if (++lane->looks >= HANG_LOOKS)
			leave(watch->relay, lane->tid);
	}
}

/* An entry that lost every call it may make at once: what is slow for a while comes back. */
static const struct chain_entry *
stuck_entry(const struct generation *generation)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(generation, &entries);
	int64_t now = clock_monotonic_ms();

	for (size_t i = 0; i < count; i++) {
		int64_t most = 3 * entries[i].config->timeout;

		if (entries[i].slots &&
		    slots_lost_ms(entries[i].slots, now) > (most > STUCK_MS ? most : STUCK_MS))
			return &entries[i];
	}
	return NULL;
}

static void
look_at_threads(struct relay_watch *watch)
{
	unsigned lost = jobs_lost(watch->relay->jobs);
	const struct chain_entry *stuck;
	char why[200];

	if (watch->ask_in > 0)
		watch->ask_in--;
	if (lost == 0 || watch->ask_in > 0 || watch->relay->draining)
		return;
	stuck = stuck_entry(watch->relay->generation);
	if (lost < LOST_MOST && !stuck)
		return;
	watch->ask_in = ASK_LOOKS;
	if (stuck)
		snprintf(why, sizeof(why),
		    "%u hooks have not returned, all that \"%.100s\" may run", lost,
		    stuck->config->id);
	else
		snprintf(why, sizeof(why), "%u hooks have not returned", lost);
	log_event(PN_LOG_ERROR, "threads-lost", "reason", why, NULL);
	channel_send(CHILD_CHANNEL, CHANNEL_WORN, pn_slice_of(why), NULL, 0);
}

/* A master that is stopped reads nothing: waiting for it would hang what it is told to be well. */
static void
tell_master(void)
{
	struct pollfd one = { .fd = CHILD_CHANNEL, .events = POLLOUT };

	if (poll(&one, 1, 0) == 1 && one.revents == POLLOUT)
		channel_send(CHILD_CHANNEL, CHANNEL_TURNS, pn_slice("", 0), NULL, 0);
}

static void
look(struct loop_timer *timer)
{
	struct relay_watch *watch = (struct relay_watch *)((char *)timer -
							   offsetof(struct relay_watch, timer));

	look_at_lanes(watch);
	look_at_threads(watch);
	tell_master();
	log_repeats_tell(false);
	loop_timer_set(watch->relay->loop, &watch->timer, LOOK_MS);
}

void
relay_watch_start(struct relay *relay)
{
	struct relay_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		abort(); /* as arena.h */
	relay->watch = watch;
	watch->relay = relay;
	watch->timer.fire = look;
	for (size_t i = 0; i < relay->lane_count; i++)
		ask(&watch->lanes[i], relay->lanes[i]);
	tell_master();
	loop_timer_set(relay->loop, &watch->timer, LOOK_MS);
}

void
relay_watch_stop(struct relay *relay)
{
	free(relay->watch);
	relay->watch = NULL;
}
