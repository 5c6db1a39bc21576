/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - the event loop.
 *
 * One thread runs it; sessions, couriers and listeners live on it. A turn is: wait, descriptors,
 * tasks, timers; rests come where there would be nothing but to wait. Must never block, and never
 * follow a pointer that the kernel hands back: events carry a descriptor and a count, so a late
 * event of a closed one finds nothing.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/net/wheel.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_MOST 128
#define STALL_MS    100
/* A turn with fewer callbacks writes each log line at once, a busier one gathers them. */
#define BUSY_TURN 4

struct watched {
	struct loop_io *io;
	uint32_t count; /* of watchers that this descriptor has had */
};

struct loop {
	int epoll_fd, wake_fd;
	int64_t now;
	int64_t callback_began;
	struct wheel wheel;
	struct loop_rest *rests;
	int64_t rests_due;       /* the earliest of them */
	struct watched *watched; /* by descriptor */
	size_t watched_size;
	char *scratch;
	struct buf spare;

	/* Other threads touch only these. */
	_Atomic(struct loop_task *) posted; /* last first */
	atomic_bool asleep, stop;
};

static _Thread_local struct loop *running;

#define WAKE_TAG ((uint64_t)UINT32_MAX) /* a descriptor that cannot be */

static int
open_descriptors(struct loop *loop)
{
	/* Edge-triggered: each write wakes once, and the counter need never be read. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = WAKE_TAG };

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return -errno;
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0 ? -errno : 0;
}

int
loop_new(struct loop **ret, struct pn_error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return pn_error_set(err, -ENOMEM, "cannot make an event loop");
	loop->epoll_fd = loop->wake_fd = -1;
	loop->now = clock_monotonic_ms();
	wheel_init(&loop->wheel, loop->now);
	loop->scratch = malloc(2 * (LOOP_HEADROOM + LOOP_SCRATCH));
	r = loop->scratch ? open_descriptors(loop) : -ENOMEM;
	if (r < 0) {
		loop_free(&loop);
		return pn_error_set(err, r, "cannot make an event loop: %s", strerror(-r));
	}
	*ret = loop;
	return 0;
}

void
loop_free(struct loop **ptr)
{
	struct loop *loop = *ptr;

	if (!loop)
		return;
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	free(loop->watched);
	free(loop->scratch);
	buf_free(&loop->spare);
	free(loop);
	*ptr = NULL;
}

int64_t
loop_now(const struct loop *loop)
{
	return loop->now;
}

bool
loop_is_mine(const struct loop *loop)
{
	return running == loop;
}

struct loop *
loop_mine(void)
{
	return running;
}

char *
loop_scratch(struct loop *loop)
{
	return loop->scratch + LOOP_HEADROOM;
}

char *
loop_scratch_second(struct loop *loop)
{
	return loop_scratch(loop) + LOOP_SCRATCH + LOOP_HEADROOM;
}

struct buf *
loop_spare(struct loop *loop)
{
	return &loop->spare;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static int
make_room(struct loop *loop, int fd)
{
	size_t size = loop->watched_size ? loop->watched_size : 64;
	struct watched *watched;

	if ((size_t)fd < loop->watched_size)
		return 0;
	while (size <= (size_t)fd)
		size *= 2;
	watched = realloc(loop->watched, size * sizeof(*watched));
	if (!watched)
		return -ENOMEM;
	memset(watched + loop->watched_size, 0, (size - loop->watched_size) * sizeof(*watched));
	loop->watched = watched;
	loop->watched_size = size;
	return 0;
}

static int
control(struct loop *loop, int operation, const struct loop_io *io, uint32_t events)
{
	struct epoll_event event = { .events = events };

	event.data.u64 = (uint64_t)loop->watched[io->fd].count << 32 | (uint32_t)io->fd;
	return epoll_ctl(loop->epoll_fd, operation, io->fd, &event) < 0 ? -errno : 0;
}

int
loop_watch(struct loop *loop, struct loop_io *io, uint32_t events)
{
	int r;

	if (events == io->events)
		return 0;
	if (events == 0) {
		loop_unwatch(loop, io);
		return 0;
	}
	r = make_room(loop, io->fd);
	if (r < 0)
		return r;
	if (io->events == 0)
		loop->watched[io->fd].count++;
	r = control(loop, io->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, io, events);
	if (r < 0)
		return r;
	loop->watched[io->fd].io = io;
	io->events = events;
	return 0;
}

void
loop_forget(struct loop *loop, struct loop_io *io)
{
	if (io->events == 0)
		return;
	loop->watched[io->fd].io = NULL;
	io->events = 0;
}

void
loop_unwatch(struct loop *loop, struct loop_io *io)
{
	if (io->events == 0)
		return;
	control(loop, EPOLL_CTL_DEL, io, 0);
	loop_forget(loop, io);
}

/* ---- timers ---------------------------------------------------------------------------------- */

void
loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms)
{
	wheel_set(&loop->wheel, timer, loop->now, ms);
}

void
loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	(void)loop; /* a timer knows where it hangs; the loop is named as in loop_timer_set */
	wheel_cancel(timer);
}

/* ---- rests ----------------------------------------------------------------------------------- */

void
loop_rest_set(struct loop *loop, struct loop_rest *rest, int64_t ms)
{
	int64_t due = loop->callback_began + ms;

	if (rest->set)
		return;
	if (!loop->rests || due < loop->rests_due)
		loop->rests_due = due;
	rest->set = true;
	rest->next = loop->rests;
	loop->rests = rest;
}

/* Those that are set meanwhile run, too. */
static void
run_rests(struct loop *loop)
{
	while (loop->rests) {
		struct loop_rest *rest = loop->rests;

		loop->rests = rest->next;
		rest->set = false;
		rest->run(rest);
	}
}

/* The clock is that of check_stall(). */
static void
run_rests_due(struct loop *loop)
{
	if (loop->rests && loop->callback_began >= loop->rests_due)
		run_rests(loop);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void
wake(struct loop *loop)
{
	static const uint64_t one = 1;

	/* Can fail only when 2^64 - 2 wake-ups are unread, and then it is awake. */
	if (atomic_exchange(&loop->asleep, false) && write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void
loop_post(struct loop *loop, struct loop_task *task)
{
	task->next = atomic_load(&loop->posted);
	while (!atomic_compare_exchange_weak(&loop->posted, &task->next, task))
		;
	wake(loop);
}

void
loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	wake(loop);
}

/* Names the kind of callback that held everybody up. */
static void
check_stall(struct loop *loop, const char *kind)
{
	int64_t now = clock_monotonic_ms(), ms = now - loop->callback_began;

	loop->callback_began = now;
	if (ms > STALL_MS) {
		char text[24];

		snprintf(text, sizeof(text), "%lld", (long long)ms);
		log_event(PN_LOG_WARNING, "loop-stall", "in", kind, "ms", text, NULL);
	}
}

static void
run_tasks(struct loop *loop)
{
	struct loop_task *task = atomic_exchange(&loop->posted, NULL), *next, *first = NULL;
	int count = 0;

	for (; task; task = next) { /* the list is last first */
		next = task->next;
		task->next = first;
		first = task;
		count++;
	}
	if (count >= BUSY_TURN)
		log_gather_begin();
	for (; first; first = next) {
		next = first->next;
		first->run(first);
		check_stall(loop, "task");
	}
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* What is ready already; where that is nothing, it is time for the rests. */
static int
look_for_events(struct loop *loop, struct epoll_event *events)
{
	int n = epoll_wait(loop->epoll_fd, events, EVENTS_MOST, 0);

	if (n <= 0 && !atomic_load(&loop->posted))
		run_rests(loop);
	return n;
}

static int
wait_for_events(struct loop *loop, struct epoll_event *events)
{
	int64_t ms = wheel_wait(&loop->wheel, clock_monotonic_ms());
	int n;

	/* Who posts after this sees `asleep` and wakes; who posted before is seen here. */
	atomic_store(&loop->asleep, true);
	if (atomic_load(&loop->posted) || atomic_load(&loop->stop))
		ms = 0;
	if (ms == 0)
		atomic_store(&loop->asleep, false);
	n = epoll_wait(loop->epoll_fd, events, EVENTS_MOST, ms > INT_MAX ? INT_MAX : (int)ms);
	atomic_store(&loop->asleep, false);
	return n;
}

static void
run_event(struct loop *loop, const struct epoll_event *event)
{
	uint32_t fd = (uint32_t)event->data.u64, count = (uint32_t)(event->data.u64 >> 32);
	struct loop_io *io;

	if (event->data.u64 == WAKE_TAG || loop->watched[fd].count != count)
		return;
	io = loop->watched[fd].io;
	if (!io)
		return;
	io->ready(io, event->events);
	check_stall(loop, "descriptor");
	run_rests_due(loop);
}

void
loop_run(struct loop *loop)
{
	struct epoll_event events[EVENTS_MOST];
	bool stop = false;

	running = loop;
	while (!stop) {
		int n = loop->rests ? look_for_events(loop, events) : 0;

		if (n <= 0)
			n = wait_for_events(loop, events);

		loop->now = loop->callback_began = clock_monotonic_ms();
		stop = atomic_exchange(&loop->stop, false);
		if (n >= BUSY_TURN)
			log_gather_begin();
		for (int i = 0; i < n; i++)
			run_event(loop, &events[i]);
		run_tasks(loop);
		wheel_turn(&loop->wheel, loop->now);
		check_stall(loop, "timer");
		run_rests_due(loop);
		log_gather_end();
	}
	run_rests(loop);
	log_gather_leave();
	running = NULL;
}
