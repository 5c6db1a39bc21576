/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h - the schedule of accepted mail. One queue per loop, touched by that loop's thread only.
 *
 * A message is sent from memory on the loop that received it; deferred ones give their bytes back
 * and are read from the spool when due.
 */
#ifndef CORE_QUEUE_QUEUE_H
#define CORE_QUEUE_QUEUE_H

#include <core/net/jobs.h>
#include <core/net/resolve.h>
#include <core/queue/item.h>
#include <core/queue/route.h>
#include <core/queue/spool.h>

struct queue;

struct queue_settings {
	const char *relay_name;
	int64_t retry_first_ms, retry_most_ms; /* doubling with jitter in between */
	int64_t give_up_ms;                    /* 5 d */
	uint32_t connections_per_destination;
	uint32_t messages_per_connection;
	int64_t idle_connection_ms;
	int64_t notice_after_ms; /* delay notice (DSN); 0: 4 h */
};

struct queue_parts {
	struct loop *loop;
	struct jobs *jobs;
	struct spool *spool;
	struct resolver *resolver;
	/*
	 * Runs the committed hooks for a durable item; calls queue_effects_done() later, on the
	 * same loop. NULL where there are none. Also called for recovered items not yet done.
	 */
	void (*committed)(void *arg, struct queue *queue, struct item *item);
	void *arg;
};

int queue_new(const struct queue_parts *parts, struct queue **ret, struct pn_error *err);
/*
 * New settings (copied) and routes (held), for every attempt from now on. Once before anything is
 * accepted or restored.
 */
void queue_configure(
    struct queue *queue, const struct queue_settings *settings, struct routes *routes);
/*
 * No new attempts; calls `drained`, never before it returns, when those under way have ended and
 * connections are closed. What is accepted meanwhile becomes durable and waits.
 */
void queue_drain(struct queue *queue, void (*drained)(void *arg), void *arg);
/* After the drain, or when neither the loop nor the job threads run any more. */
void queue_free(struct queue **queue);

/*
 * Makes the item durable, answers, then delivers. The queue owns the item from the call on, also on
 * failure. `done` runs on this loop: r as spool_request.done; `item` is only for reading its id.
 */
typedef void queue_accepted_fn(void *arg, int r, const struct item *item);
void queue_accept(struct queue *queue, struct item *item, queue_accepted_fn *done, void *arg);
/* A recovered item: durable already. */
void queue_restore(struct queue *queue, struct item *item);
/* `ran`: hooks did run, which the spool has to remember. */
void queue_effects_done(struct queue *queue, struct item *item, bool ran);

/* For `queue list` and status: calls `each` for every item, in no order. */
void queue_each(struct queue *queue, void (*each)(void *arg, const struct item *item), void *arg);
/* Messages that wait and that are being sent; recipients' results and messages since the start. */
struct queue_figures {
	uint64_t waiting, sending, delivered, failed, deferred, accepted;
};
void queue_figures(const struct queue *queue, struct queue_figures *ret);

#endif
