/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs.h - threads that may block, and the one way in which work crosses threads.
 *
 * job(pool, work, done): `work` runs on a thread of the pool, then `done` on the loop that gave the
 * job. Whatever the job carries belongs to `work` in between: the loop does not look at it.
 *
 * A thread whose job does not come back can be given up for lost: another one takes its place, so
 * the pool keeps as many threads that work as it was made with.
 */
#ifndef CORE_NET_JOBS_H
#define CORE_NET_JOBS_H

#include <core/net/loop.h>

struct jobs;

struct job {
	struct loop_task task; /* used by the pool */
	struct job *next;
	struct loop *loop; /* where `done` runs; NULL: no done */
	void (*work)(struct job *job);
	void (*done)(struct job *job);
};

int jobs_new(unsigned threads, struct jobs **ret, struct pn_error *err);
/* How many threads a setting of `wanted` means; 0: by the number of processors. */
unsigned jobs_threads(int64_t wanted);
/* From any thread. First come, first served. */
void jobs_submit(struct jobs *jobs, struct job *job);
/*
 * A thread is lost in its job: another one is started. From any thread. The job itself says
 * jobs_regain() on that thread if it comes back after all; the two may come in either order.
 */
void jobs_lose(struct jobs *jobs);
void jobs_regain(struct jobs *jobs);
/* Threads that are lost now. From any thread. */
unsigned jobs_lost(struct jobs *jobs);
/*
 * Finishes what was submitted, then ends the threads. False: some have not ended within so long, or
 * are lost. Nothing that they could look at may be freed then: the process is to end.
 */
bool jobs_end(struct jobs *jobs, int64_t within_ms);
/* The same without an end to the waiting, and frees the pool unless threads are lost. */
void jobs_free(struct jobs **jobs);

#endif
