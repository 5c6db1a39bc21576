/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs.h - threads that may block, and the one way in which work crosses threads.
 *
 * job(pool, work, done): `work` runs on a thread of the pool, then `done` on the loop that gave the
 * job. Whatever the job carries belongs to `work` in between: the loop does not look at it.
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
/* From any thread. First come, first served. */
void jobs_submit(struct jobs *jobs, struct job *job);
/* Finishes what was submitted, then ends the threads. */
void jobs_free(struct jobs **jobs);

#endif
