/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane.c - one loop with its sessions, queue and couriers.
 *
 * Called by relay.c. After lane_start everything but lane_join belongs to the lane's own thread.
 */
#include <core/base/log.h>
#include <core/master/lane.h>
#include <core/master/lane_policy.h>
#include <core/net/listener.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* For sessions that have not said MAIL yet, when nobody waits for the end. */
#define GRACE_MS 5000
#define LOOK_MS  50

struct door {
	struct acceptor acceptor;
	struct lane *lane;
	const char *listener; /* its name */
};

struct lane {
	struct loop *loop;
	struct jobs *jobs;
	struct queue *queue;
	struct server *server;
	struct settled *settled;
	struct lane_policy *policy;
	struct door *doors;
	size_t door_count;
	pthread_t thread;
	bool running;
	struct loop_timer last_attempts;
	bool draining_queue, sessions_gone, queue_drained;
	struct lane_drain drain;
	int64_t attempts_until_ms;
};

/* ---- life ---- */

int
lane_new(const struct lane_parts *parts, struct lane **ret, struct pn_error *err)
{
	struct lane *lane = calloc(1, sizeof(*lane));
	struct queue_parts queue = {
		.jobs = parts->jobs,
		.spool = parts->spool,
		.resolver = parts->resolver,
		.dns = parts->dns,
		.shaping = parts->shaping,
		.sts = parts->sts,
	};
	struct server_parts server = { .jobs = parts->jobs, .shared = parts->shared };
	int r;

	if (!lane)
		return pn_error_set(err, -ENOMEM, "out of memory");
	lane->jobs = parts->jobs;
	r = loop_new(&lane->loop, err);
	if (r == 0) {
		lane->policy = lane_policy_new(lane->loop, parts->jobs);
		lane_policy_serve(lane->policy, &queue);
		if (parts->ticks) {
			lane_policy_tick(lane->policy, LANE_POLICY_TICK_MS);
			lane_policy_flush(lane->policy, LANE_POLICY_FLUSH_MS);
		}
		queue.loop = lane->loop;
		r = queue_new(&queue, &lane->queue, err);
	}
	if (r == 0) {
		server.loop = lane->loop;
		server.queue = lane->queue;
		r = server_new(&server, &lane->server);
	}
	if (r < 0)
		lane_free(&lane);
	*ret = lane;
	return r;
}

struct loop *
lane_loop(struct lane *lane)
{
	return lane->loop;
}

struct queue *
lane_queue(struct lane *lane)
{
	return lane->queue;
}

struct server *
lane_server(struct lane *lane)
{
	return lane->server;
}

size_t
lane_outcomes_waiting(const struct lane *lane)
{
	return lane_policy_waiting(lane->policy);
}

/* ---- doors ---- */

static void
on_accept(struct acceptor *acceptor, int fd, const struct address *peer)
{
	struct door *door = (struct door *)acceptor;

	server_accept(door->lane->server, door->listener, fd, peer);
}

static void
close_doors(struct lane *lane)
{
	for (size_t i = 0; i < lane->door_count; i++)
		acceptor_stop(&lane->doors[i].acceptor);
	free(lane->doors);
	lane->doors = NULL;
	lane->door_count = 0;
}

static void
open_doors(struct lane *lane)
{
	const struct config_relay *relay = &generation_core(lane->settled->generation)->relay;
	const struct config_listener *listeners = relay->listeners.items;

	lane->doors = calloc(relay->listeners.count + 1, sizeof(*lane->doors));
	if (!lane->doors)
		abort();
	for (size_t i = 0; i < relay->listeners.count; i++) {
		struct door *door = &lane->doors[i];

		door->lane = lane;
		door->listener = listeners[i].name;
		if (acceptor_start(&door->acceptor, lane->loop, lane->settled->fds[i], on_accept) <
		    0)
			log_event(
			    PN_LOG_ERROR, "listener-lost", "listener", listeners[i].name, NULL);
		else
			lane->door_count = i + 1;
	}
}

void
lane_configure(struct lane *lane, struct settled *settled)
{
	struct settled *old = lane->settled;
	struct pn_error err = { 0 };

	close_doors(lane);
	lane->settled = settled_hold(settled);
	lane_policy_configure(lane->policy, settled->generation);
	queue_configure(lane->queue, &settled->queue, settled->routes);
	if (server_configure(lane->server, settled->generation, settled->tls, &err) < 0)
		log_event(PN_LOG_ERROR, "configuration", "text", err.text, NULL);
	else
		open_doors(lane);
	settled_release(&old);
}

/* ---- the thread ---- */

static void *
run(void *arg)
{
	struct lane *lane = arg;

	loop_run(lane->loop);
	return NULL;
}

int
lane_start(struct lane *lane, struct pn_error *err)
{
	int r = pthread_create(&lane->thread, NULL, run, lane);

	if (r != 0)
		return pn_error_set(err, -r, "cannot start a thread: %s", strerror(r));
	pthread_setname_np(lane->thread, "postern-lane");
	lane->running = true;
	return 0;
}

static void
policy_is_drained(void *arg)
{
	struct lane *lane = arg;

	lane->drain.drained(lane->drain.arg);
}

/* What there is to hear of is there by now. */
static void
drain_policy(struct lane *lane)
{
	lane_policy_drain(lane->policy, policy_is_drained, lane);
}

/* A session that ends later leaves its message in the spool. */
static void
queue_is_empty_handed(void *arg)
{
	struct lane *lane = arg;

	lane->queue_drained = true;
	if (lane->sessions_gone)
		drain_policy(lane);
}

/* Another lane's slow client must not keep from being sent what waits here. */
static bool
goes_on(const struct lane *lane)
{
	return !lane->drain.hurry && atomic_load(lane->drain.occupied) > 0 &&
	       loop_now(lane->loop) < lane->attempts_until_ms;
}

static void
no_more_attempts(struct loop_timer *timer)
{
	struct lane *lane = (struct lane *)((char *)timer - offsetof(struct lane, last_attempts));

	if (goes_on(lane)) {
		loop_timer_set(lane->loop, &lane->last_attempts, LOOK_MS);
		return;
	}
	lane->draining_queue = true;
	queue_drain(lane->queue, queue_is_empty_handed, lane);
}

static void
sessions_are_gone(void *arg)
{
	struct lane *lane = arg;

	lane->sessions_gone = true;
	atomic_fetch_sub(lane->drain.occupied, 1);
	loop_timer_cancel(lane->loop, &lane->last_attempts);
	if (!lane->draining_queue)
		no_more_attempts(&lane->last_attempts);
	else if (lane->queue_drained)
		drain_policy(lane);
}

void
lane_drain(struct lane *lane, const struct lane_drain *how)
{
	int64_t attempts_ms = how->within_ms * 2 / 3;

	lane->drain = *how;
	lane->attempts_until_ms = loop_now(lane->loop) + attempts_ms;
	lane->last_attempts.fire = no_more_attempts;
	loop_timer_set(lane->loop, &lane->last_attempts, attempts_ms);
	close_doors(lane);
	server_drain(lane->server, how->hurry ? 0 : GRACE_MS, sessions_are_gone, lane);
}

void
lane_join(struct lane *lane)
{
	if (!lane->running)
		return;
	loop_stop(lane->loop);
	pthread_join(lane->thread, NULL);
	lane->running = false;
}

void
lane_free(struct lane **lane)
{
	struct lane *old = *lane;

	*lane = NULL;
	if (!old)
		return;
	close_doors(old);
	server_free(&old->server);
	queue_free(&old->queue);
	lane_policy_free(&old->policy);
	settled_release(&old->settled);
	loop_free(&old->loop);
	free(old);
}
