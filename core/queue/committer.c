/* SPDX-License-Identifier: Apache-2.0 */
/*
 * committer.c - the one thread that writes the spool: group commit.
 *
 * Loops and policy threads hand it records through an inbox; it takes all there are, writes them
 * with as few system calls as it can, syncs once if messages are among them, and posts the answers
 * back, one task per loop and commit. Nothing here touches an item that was answered.
 */
#include <core/base/clock.h>
#include <core/queue/spool_core.h>
#include <errno.h>
#include <signal.h>
#include <time.h>

#define RESERVE_CHECK_MS 1000
#define MOST_LOOPS       16
#define LARGE            (1024u * 1024)     /* a body above that makes others wait */
#define LARGE_AT_ONCE    (4u * 1024 * 1024) /* and so much of them is synced together */

/* ---- inbox ---- */

/* What a loop gives waits until it has nothing else to do: it may be about to give more. */
static bool
is_ready(const struct spool_inbox *inbox)
{
	return inbox->closing || (inbox->ops.first && inbox->due);
}

/* Gives back the lock. */
static void
unlock_and_wake(struct spool_inbox *inbox)
{
	bool wake = inbox->asleep && is_ready(inbox);

	if (wake)
		inbox->asleep = false;
	pthread_mutex_unlock(&inbox->lock);
	if (wake)
		pthread_cond_signal(&inbox->filled);
}

static void
at_rest(struct loop_rest *rest)
{
	struct spool_giver *giver = (struct spool_giver *)((char *)rest -
							   offsetof(struct spool_giver, rest));
	struct spool_inbox *inbox = &giver->spool->inbox;

	pthread_mutex_lock(&inbox->lock);
	inbox->due = inbox->ops.first;
	unlock_and_wake(inbox);
}

/* NULL where nobody would say when it is time: not from a loop, or from one loop too many. */
static struct spool_giver *
find_giver(struct spool *spool, const struct loop *loop)
{
	struct spool_inbox *inbox = &spool->inbox;
	size_t i;

	if (!loop || spool->gather_us == 0)
		return NULL;
	for (i = 0; i < inbox->giver_count; i++)
		if (inbox->givers[i].loop == loop)
			return &inbox->givers[i];
	if (i == SPOOL_GIVERS)
		return NULL;
	inbox->givers[i] = (struct spool_giver){
		.rest.run = at_rest, .spool = spool, .loop = loop
	};
	inbox->giver_count++;
	return &inbox->givers[i];
}

void
committer_give(struct spool *spool, struct spool_op *op)
{
	struct spool_inbox *inbox = &spool->inbox;
	struct loop *loop = loop_mine();
	struct spool_giver *giver;

	pthread_mutex_lock(&inbox->lock);
	giver = find_giver(spool, loop);
	spool_ops_add(&inbox->ops, op);
	if (!giver)
		inbox->due = true;
	unlock_and_wake(inbox);
	if (giver)
		loop_rest_set(loop, &giver->rest, spool->gather_us / 1000);
}

static void
wait_for_work(struct spool_inbox *inbox)
{
	while (!is_ready(inbox)) {
		inbox->asleep = true;
		pthread_cond_wait(&inbox->filled, &inbox->lock);
	}
	inbox->asleep = false;
}

/* False when closing and nothing is left. */
static bool
take(struct spool *spool, bool wait, struct spool_ops *ret)
{
	struct spool_inbox *inbox = &spool->inbox;
	bool more;

	pthread_mutex_lock(&inbox->lock);
	if (wait)
		wait_for_work(inbox);
	*ret = inbox->ops;
	inbox->due = false;
	inbox->ops = (struct spool_ops){ 0 };
	more = ret->first || !inbox->closing;
	pthread_mutex_unlock(&inbox->lock);
	return more;
}

/* ---- answers ---- */

static void
run_answers(struct loop_task *task)
{
	struct spool_request *request = (struct spool_request *)((char *)task -
								 offsetof(
								     struct spool_request, task));

	while (request) {
		/* `done` may free it. */
		struct spool_request *next = request->next;

		request->done(request, request->result);
		request = next;
	}
}

static void
post_answers(struct spool_request *first)
{
	first->task.run = run_answers;
	if (first->loop)
		loop_post(first->loop, &first->task);
	else
		run_answers(&first->task);
}

/* One task for each loop, carrying all its answers in order. */
static void
answer(struct spool *spool)
{
	struct {
		struct spool_request *first, *last;
	} groups[MOST_LOOPS];
	struct spool_request *request = spool->answers, *next;
	size_t count = 0, i;

	spool->answers = NULL;
	for (; request; request = next) {
		next = request->next;
		request->next = NULL;
		for (i = 0; i < count && groups[i].first->loop != request->loop; i++)
			;
		if (i == MOST_LOOPS) { /* more than ever: this one alone */
			post_answers(request);
			continue;
		}
		if (i == count) {
			groups[count++].first = request;
		} else {
			groups[i].last->next = request;
		}
		groups[i].last = request;
	}
	for (i = 0; i < count; i++)
		post_answers(groups[i].first);
}

/* ---- commits ---- */

static void
check_reserve(struct spool *spool)
{
	int64_t now = clock_monotonic_ms();
	uint64_t left;

	if (now < spool->reserve_checked_ms + RESERVE_CHECK_MS)
		return;
	spool->reserve_checked_ms = now;
	spool->below_reserve = spool->io->free_bytes(spool->io->arg, spool->directory, &left) ==
				   0 &&
			       left < spool->reserve;
}

/* What a mark says is true whether or not it reaches the disk. */
static void
note(struct spool *spool, struct spool_op *op)
{
	struct pn_slice head = pn_slice(op->encoded.data + RECORD_HEADER, op->header.head_len);
	struct live *live;

	if (op->request) {
		live = live_find(&spool->live, op->request->item->replaces);
		op->about = live ? live->first : UINT64_MAX;
		return;
	}
	spool->figures.marks++;
	live = live_find(&spool->live, op->id);
	if (!live)
		return;
	op->about = live->first;
	if (op->header.type == RECORD_MARK) {
		live_apply(&spool->live, live, head);
		return;
	}
	if (live->segment->live_count == 1)
		spool->reclaim_due = true;
	spool->gone_bytes += live->length;
	if (spool->gone_bytes >= spool->segment_size)
		spool->compact_due = true;
	live_remove(&spool->live, live);
}

static void
write_op(struct spool *spool, struct spool_op *op)
{
	int r;

	if (op->run) {
		op->run(spool, op->run_arg);
		spool_op_free(op);
		return;
	}
	note(spool, op);
	if (op->length == 0) /* could not be encoded */
		r = -EIO;
	else
		r = op->request && spool->below_reserve ? -ENOSPC : tail_write(spool, op);
	if (r == 0)
		return;
	if (op->request) {
		tail_answer(spool, op, r);
		return;
	}
	spool->checkpoint_wanted = true;
	spool_op_free(op);
}

/* What the disk needs long for waits until the others have been answered. */
static bool
is_large(const struct spool_op *op)
{
	return op->request && op->header.body_len > LARGE;
}

/* Of those that wait: one, or some that are not so large after all. */
static void
take_large(struct spool *spool, struct spool_ops *ret)
{
	uint64_t bytes = 0;

	while (spool->large.first && bytes < LARGE_AT_ONCE) {
		struct spool_op *op = spool_ops_take(&spool->large);

		bytes += op->header.body_len;
		spool_ops_add(ret, op);
	}
}

static void
commit(struct spool *spool, struct spool_ops *ops, bool large)
{
	size_t appends = ops->appends;
	struct spool_op *op;

	spool->failures = 0;
	if (appends > 0)
		check_reserve(spool);
	while ((op = spool_ops_take(ops)))
		if (!large && is_large(op))
			spool_ops_add(&spool->large, op);
		else
			write_op(spool, op);
	/* Errors were answered to those they concern. */
	if (spool->stamped.appends > 0 || spool->unsynced.appends > 0)
		(void)tail_sync(spool);
	else
		(void)tail_flush(spool);
	tail_settle(spool);
	spool->figures.live_bytes = spool->live.bytes;
}

static void *
run(void *arg)
{
	struct spool *spool = arg;
	struct spool_ops ops;
	bool more = true; /* recovery may have left something to reclaim */

	while (take(spool, !more, &ops) || spool->large.first) {
		commit(spool, &ops, false);
		answer(spool);
		take_large(spool, &ops);
		if (ops.first) {
			commit(spool, &ops, true);
			answer(spool);
		}
		more = reclaim_run(spool) || spool->large.first;
		more = compact_run(spool) || more;
	}
	(void)tail_sync(spool);
	answer(spool);
	return NULL;
}

int
committer_start(struct spool *spool, struct pn_error *err)
{
	sigset_t all, before;
	int r;

	pthread_cond_init(&spool->inbox.filled, NULL);
	pthread_mutex_init(&spool->inbox.lock, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&spool->thread, NULL, run, spool);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return pn_error_set(err, -r, "cannot start the committer thread");
	pthread_setname_np(spool->thread, "committer");
	spool->running = true;
	return 0;
}

void
committer_stop(struct spool *spool)
{
	if (!spool->running)
		return;
	pthread_mutex_lock(&spool->inbox.lock);
	spool->inbox.closing = true;
	pthread_mutex_unlock(&spool->inbox.lock);
	pthread_cond_signal(&spool->inbox.filled);
	pthread_join(spool->thread, NULL);
	spool->running = false;
	spool->stopped = true;
}

void
committer_free(struct spool *spool)
{
	struct spool_op *op;

	if (!spool->stopped)
		return;
	/* Given too late: never written, never answered. */
	while ((op = spool_ops_take(&spool->inbox.ops)))
		spool_op_free(op);
	pthread_mutex_destroy(&spool->inbox.lock);
	pthread_cond_destroy(&spool->inbox.filled);
}
