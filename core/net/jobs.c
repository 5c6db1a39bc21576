/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs.c - a pool of threads that may block.
 *
 * Called by loops (resolve.c, the policy chain, the spool's reader). One queue, first come, first
 * served; a thread is woken only when one sleeps. Signals are the main thread's: blocked here.
 */
#include <core/net/jobs.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct jobs {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job *first, **last;
	unsigned sleeping, count;
	bool ending;
	pthread_t threads[];
};

static void
finish(struct loop_task *task)
{
	struct job *job = (struct job *)((char *)task - offsetof(struct job, task));

	job->done(job);
}

static void
run(struct job *job)
{
	struct loop *loop = job->done ? job->loop : NULL;

	job->work(job);
	if (!loop)
		return; /* `work` may have freed it */
	job->task.run = finish;
	loop_post(loop, &job->task);
}

/* With the lock held; NULL when the pool ends and nothing is left. */
static struct job *
take(struct jobs *jobs)
{
	struct job *job;

	while (!jobs->first && !jobs->ending) {
		jobs->sleeping++;
		pthread_cond_wait(&jobs->wake, &jobs->lock);
		jobs->sleeping--;
	}
	job = jobs->first;
	if (!job)
		return NULL;
	jobs->first = job->next;
	if (!jobs->first)
		jobs->last = &jobs->first;
	return job;
}

static void *
thread_main(void *arg)
{
	struct jobs *jobs = arg;
	struct job *job;

	for (;;) {
		pthread_mutex_lock(&jobs->lock);
		job = take(jobs);
		pthread_mutex_unlock(&jobs->lock);
		if (!job)
			return NULL;
		run(job);
	}
}

static int
start_threads(struct jobs *jobs, unsigned threads)
{
	sigset_t all, old;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (jobs->count < threads && r == 0) {
		r = pthread_create(&jobs->threads[jobs->count], NULL, thread_main, jobs);
		if (r == 0)
			jobs->count++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

int
jobs_new(unsigned threads, struct jobs **ret, struct pn_error *err)
{
	struct jobs *jobs;
	int r;

	if (threads == 0)
		return pn_error_set(err, -EINVAL, "a pool needs at least one thread");
	jobs = calloc(1, sizeof(*jobs) + threads * sizeof(jobs->threads[0]));
	if (!jobs)
		return pn_error_set(err, -ENOMEM, "cannot make a pool of %u threads", threads);
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->wake, NULL);
	jobs->last = &jobs->first;
	r = start_threads(jobs, threads);
	if (r < 0) {
		jobs_free(&jobs);
		return pn_error_set(err, r, "cannot start %u threads: %s", threads, strerror(-r));
	}
	*ret = jobs;
	return 0;
}

void
jobs_submit(struct jobs *jobs, struct job *job)
{
	bool wake;

	job->next = NULL;
	pthread_mutex_lock(&jobs->lock);
	*jobs->last = job;
	jobs->last = &job->next;
	wake = jobs->sleeping > 0;
	pthread_mutex_unlock(&jobs->lock);
	if (wake)
		pthread_cond_signal(&jobs->wake);
}

void
jobs_free(struct jobs **pool)
{
	struct jobs *jobs = *pool;

	if (!jobs)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->ending = true;
	pthread_mutex_unlock(&jobs->lock);
	pthread_cond_broadcast(&jobs->wake);
	for (unsigned i = 0; i < jobs->count; i++)
		pthread_join(jobs->threads[i], NULL);
	pthread_cond_destroy(&jobs->wake);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
	*pool = NULL;
}
