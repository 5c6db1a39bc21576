/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - bytes of waiting items read back from the spool, some at a time, on the job threads.
 *
 * Called by destination.c and notice.c. The loop keeps its hands off the item's bytes and place
 * while a job reads them; the item lives because whoever waits keeps it.
 */
#include <core/base/log.h>
#include <core/queue/inside.h>
#include <errno.h>
#include <stdlib.h>

#define READING_MOST 32u

struct load {
	struct job job;
	struct queued *queued;
	struct load_waiter *waiters;
	struct mail_bytes *bytes;
	GList link;
	int r;
};

static void
finish(struct load *load)
{
	struct load_waiter *next;
	struct queued *queued = load->queued;
	int r = load->r;

	queued->load = NULL;
	if (r == 0)
		queue_set_bytes(queued, load->bytes);
	for (struct load_waiter *waiter = load->waiters; waiter; waiter = next) {
		next = waiter->next;
		waiter->loaded(waiter, r);
	}
	free(load);
}

static void
work(struct job *job)
{
	struct load *load = (struct load *)(void *)job;

	load->r = spool_read(load->queued->queue->parts.spool, load->queued->item, &load->bytes);
}

static void submit(struct queue *queue, struct load *load);

static void
done(struct job *job)
{
	struct load *load = (struct load *)(void *)job;
	struct queue *queue = load->queued->queue;
	GList *link;

	queue->reading--;
	link = g_queue_pop_head_link(&queue->loads);
	if (link)
		submit(queue, link->data);
	finish(load);
	queue_end(queue);
}

static void
submit(struct queue *queue, struct load *load)
{
	queue->reading++;
	queue_begin(queue);
	jobs_submit(queue->parts.jobs, &load->job);
}

void
load_start(struct queued *queued, struct load_waiter *waiter)
{
	struct queue *queue = queued->queue;
	struct load *load = queued->load;

	if (!load) {
		load = g_new0(struct load, 1);
		load->job = (struct job){ .loop = queue->parts.loop, .work = work, .done = done };
		load->queued = queued;
		load->link.data = load;
		queued->load = load;
		if (queue->reading < READING_MOST)
			submit(queue, load);
		else
			g_queue_push_tail_link(&queue->loads, &load->link);
	}
	waiter->next = load->waiters;
	load->waiters = waiter;
}

void
load_cancel_waiting(struct queue *queue)
{
	GList *link;

	while ((link = g_queue_pop_head_link(&queue->loads))) {
		struct load *load = link->data;

		load->r = -ECANCELED;
		finish(load);
	}
}
