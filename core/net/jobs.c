/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs.c - a pool of threads that may block.
 *
 * Called by loops (resolve.c, the policy chain, the spool's reader). One queue, first come, first
 * served; a thread is woken only when one sleeps. Signals from outside are the main thread's:
 * blocked here.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/net/jobs.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define THREADS_LEAST 4

/* Of the thread itself: while they are blocked, no handler would hear of them. */
static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS };

struct worker {
	struct worker *next;
	struct jobs *jobs;
	pthread_t thread;
};

struct jobs {
	pthread_mutex_t lock;
	pthread_cond_t wake, gone;
	struct job *first, **last;
	unsigned sleeping;
	int wanted, alive,
	    lost;             /* `lost` is negative while a thread is back before it was given up */
	struct worker *ended; /* to be joined */
	bool ending;
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

/* With the lock held. More threads work than are wanted: one that was lost is back. */
static bool
is_one_too_many(const struct jobs *jobs)
{
	return jobs->alive > jobs->wanted + jobs->lost;
}

/* With the lock held; NULL when the thread is to end. */
static struct job *
take(struct jobs *jobs)
{
	struct job *job;

	while (!jobs->first && !jobs->ending && !is_one_too_many(jobs)) {
		jobs->sleeping++;
		pthread_cond_wait(&jobs->wake, &jobs->lock);
		jobs->sleeping--;
	}
	job = jobs->first;
	if (!job || (is_one_too_many(jobs) && !jobs->ending))
		return NULL;
	jobs->first = job->next;
	if (!jobs->first)
		jobs->last = &jobs->first;
	return job;
}

static void *
thread_main(void *arg)
{
	struct worker *worker = arg;
	struct jobs *jobs = worker->jobs;
	struct job *job;

	pthread_mutex_lock(&jobs->lock);
	while ((job = take(jobs))) {
		pthread_mutex_unlock(&jobs->lock);
		run(job);
		pthread_mutex_lock(&jobs->lock);
	}
	jobs->alive--;
	worker->next = jobs->ended;
	jobs->ended = worker;
	pthread_cond_signal(&jobs->gone);
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

/* With the lock held. */
static void
join_ended(struct jobs *jobs)
{
	struct worker *worker;

	while ((worker = jobs->ended)) {
		jobs->ended = worker->next;
		pthread_mutex_unlock(&jobs->lock);
		pthread_join(worker->thread, NULL);
		free(worker);
		pthread_mutex_lock(&jobs->lock);
	}
}

static int
start_thread(struct jobs *jobs)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int r;

	if (!worker)
		return -ENOMEM;
	worker->jobs = jobs;
	r = pthread_create(&worker->thread, NULL, thread_main, worker);
	if (r != 0) {
		free(worker);
		return -r;
	}
	jobs->alive++;
	return 0;
}

/* With the lock held: as many as are wanted. */
static int
start_threads(struct jobs *jobs)
{
	sigset_t all, old;
	int r = 0;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (jobs->alive < jobs->wanted + jobs->lost && r == 0)
		r = start_thread(jobs);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int
jobs_new(unsigned threads, struct jobs **ret, struct pn_error *err)
{
	pthread_condattr_t clock;
	struct jobs *jobs;
	int r;

	if (threads == 0)
		return pn_error_set(err, -EINVAL, "a pool needs at least one thread");
	jobs = calloc(1, sizeof(*jobs));
	if (!jobs)
		return pn_error_set(err, -ENOMEM, "cannot make a pool of %u threads", threads);
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->wake, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&jobs->gone, &clock);
	pthread_condattr_destroy(&clock);
	jobs->last = &jobs->first;
	jobs->wanted = (int)threads;
	pthread_mutex_lock(&jobs->lock);
	r = start_threads(jobs);
	pthread_mutex_unlock(&jobs->lock);
	if (r < 0) {
		jobs_free(&jobs);
		return pn_error_set(err, r, "cannot start %u threads: %s", threads, strerror(-r));
	}
	*ret = jobs;
	return 0;
}

unsigned
jobs_threads(int64_t wanted)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (wanted > 0)
		return (unsigned)wanted;
	return 2 * processors > THREADS_LEAST ? 2 * (unsigned)processors : THREADS_LEAST;
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
jobs_lose(struct jobs *jobs)
{
	int r = 0;

	pthread_mutex_lock(&jobs->lock);
	jobs->lost++;
	join_ended(jobs);
	if (!jobs->ending)
		r = start_threads(jobs);
	pthread_cond_signal(&jobs->gone);
	pthread_mutex_unlock(&jobs->lock);
	if (r < 0)
		log_text(PN_LOG_ERROR, "cannot start a thread: %s", strerror(-r));
}

void
jobs_regain(struct jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->lost--;
	pthread_mutex_unlock(&jobs->lock);
}

unsigned
jobs_lost(struct jobs *jobs)
{
	int lost;

	pthread_mutex_lock(&jobs->lock);
	lost = jobs->lost;
	pthread_mutex_unlock(&jobs->lock);
	return lost > 0 ? (unsigned)lost : 0;
}

/* With the lock held: until all have ended that can, or it is too late (monotonic). */
static bool
end_threads(struct jobs *jobs, const struct timespec *until)
{
	int r = 0;

	jobs->ending = true;
	pthread_cond_broadcast(&jobs->wake);
	while (jobs->alive > 0 && jobs->alive > jobs->lost && r == 0)
		r = until ? pthread_cond_timedwait(&jobs->gone, &jobs->lock, until)
			  : pthread_cond_wait(&jobs->gone, &jobs->lock);
	join_ended(jobs);
	return jobs->alive == 0;
}

bool
jobs_end(struct jobs *jobs, int64_t within_ms)
{
	int64_t until_ms = clock_monotonic_ms() + within_ms;
	const struct timespec until = { until_ms / 1000, until_ms % 1000 * 1000000 };
	bool all;

	pthread_mutex_lock(&jobs->lock);
	all = end_threads(jobs, &until);
	pthread_mutex_unlock(&jobs->lock);
	return all;
}

void
jobs_free(struct jobs **pool)
{
	struct jobs *jobs = *pool;
	bool all;

	if (!jobs)
		return;
	*pool = NULL;
	pthread_mutex_lock(&jobs->lock);
	all = end_threads(jobs, NULL);
	pthread_mutex_unlock(&jobs->lock);
	if (!all)
		return;
	pthread_cond_destroy(&jobs->wake);
	pthread_cond_destroy(&jobs->gone);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
}
