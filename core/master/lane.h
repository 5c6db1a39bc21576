/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane.h - one event loop of the relay with all that is its own: sessions, queue, couriers.
 *
 * A message stays on the lane that received it. Lanes share the listening sockets, the spool, the
 * policy threads and the counters of connections; nothing else.
 */
#ifndef CORE_MASTER_LANE_H
#define CORE_MASTER_LANE_H

#include <core/master/settled.h>
#include <core/smtp/server.h>
#include <stdatomic.h>

struct lane;

struct lane_parts {
	struct jobs *jobs;
	struct resolver *resolver;
	struct dns *dns;
	struct spool *spool;
	struct shaping *shaping;
	struct sts *sts; /* MTA-STS; NULL: none is heeded */
	struct server_shared *shared;
	bool ticks; /* runs the tick and flush hooks: one lane of a process */
};

int lane_new(const struct lane_parts *parts, struct lane **ret, struct pn_error *err);
struct loop *lane_loop(struct lane *lane);
struct queue *lane_queue(struct lane *lane);
struct server *lane_server(struct lane *lane);

/* On the lane's thread, or before it runs: takes the newest configuration; holds it itself. */
void lane_configure(struct lane *lane, struct settled *settled);
/* Starts the thread. */
int lane_start(struct lane *lane, struct pn_error *err);
struct lane_drain {
	int64_t within_ms;
	bool hurry;
	atomic_size_t *occupied; /* lanes that have sessions; all at first */
	void (*drained)(void *arg);
	void *arg;
};
/*
 * On the lane's thread: no new connections; `drained` on it when nothing is in flight and outcome
 * hooks have heard of all there was, which should be within that time. Sessions may end their first
 * transaction if they are not told to hurry. Deliveries begin until the last session has gone, of
 * all lanes if there is no hurry, or two thirds of the time have.
 */
void lane_drain(struct lane *lane, const struct lane_drain *how);
/* Outcomes that no outcome hook has heard of yet. Any thread. */
size_t lane_outcomes_waiting(const struct lane *lane);
/* From another thread: ends the loop and waits for the thread. */
void lane_join(struct lane *lane);
void lane_free(struct lane **lane);

#endif
