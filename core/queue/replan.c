/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replan.c - TLS that a plan counts on is not to be had: policy chooses again, and an item of its
 * own takes the recipients over.
 *
 * Called by outcome.c; policy answers by queue_replanned(). A recipient is final here only when the
 * item that has him instead is durable: both are one record. Must never send him anything
 * meanwhile.
 */
#include <core/base/clock.h>
#include <core/queue/inside.h>
#include <core/queue/planned.h>
#include <errno.h>
#include <stdio.h>

struct replan {
	struct load_waiter waiter; /* first */
	struct queued *queued;
	struct replan *next;
	struct tls_facts tls; /* of the session that did not do */
	char *why, *remote, *unserved;
	bool pinned;
	size_t count;
	uint32_t indices[];
};

bool
replan_is_possible(const struct queued *queued, uint32_t index)
{
	const char *next = queued->item->recipients[index].plan.next;

	return queued->queue->parts.replan && next && *next;
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static void
unpin(struct replan *replan)
{
	if (replan->pinned)
		replan->queued->pins--;
	replan->pinned = false;
}

static void
free_replan(struct replan *replan)
{
	g_free(replan->why);
	g_free(replan->remote);
	g_free(replan->unserved);
	g_free(replan);
}

void
replan_free_all(struct queued *queued)
{
	struct replan *next;

	for (struct replan *replan = queued->replans; replan; replan = next) {
		next = replan->next;
		free_replan(replan);
	}
	queued->replans = NULL;
}

static struct attempt
attempt_of(const struct replan *replan)
{
	return (struct attempt){
		.queued = replan->queued,
		.remote = replan->remote,
		.tls = replan->tls,
		.now = clock_wall_us(),
	};
}

/* Everybody has a state again. `marked`: the first so many indices are to be marked. */
static void
end(struct replan *replan, struct attempt *attempt, const uint32_t *indices, size_t marked)
{
	struct queued *queued = replan->queued;
	struct queue *queue = queued->queue;
	struct replan **link = &queued->replans;

	while (*link != replan)
		link = &(*link)->next;
	*link = replan->next;
	if (marked > 0)
		spool_mark(queue->parts.spool, queued->item, indices, marked);
	attempt_end(attempt);
	unpin(replan);
	free_replan(replan);
	queue_settle(queued);
	queue_end(queue);
}

/* The queue ends: they wait on, as the spool says already. */
static void
take_back(struct replan *replan)
{
	struct attempt attempt = attempt_of(replan);

	for (size_t i = 0; i < replan->count; i++)
		replan->queued->item->recipients[replan->indices[i]].state = ITEM_WAITING;
	end(replan, &attempt, NULL, 0);
}

/* What was held for long and is released while the disk is full is not to fail for that. */
static bool
is_of_this_machine(int r)
{
	return r == -ENOSPC || r == -ENOMEM || r == -EIO;
}

/* Nothing was decided. Next time TLS may be there again; if not, policy is asked again. */
static void
put_off(struct replan *replan, int r)
{
	struct attempt attempt = attempt_of(replan);
	uint32_t *indices = g_new(uint32_t, replan->count);
	char reply[COURIER_TEXT];
	size_t marked = 0;

	snprintf(reply, sizeof(reply), "451 4.3.0 no new plan could be made: %s", strerror(-r));
	for (size_t i = 0; i < replan->count; i++) {
		uint32_t index = replan->indices[i];

		if (replan->queued->item->resume && r == -ENOENT) {
			change_hold_again(replan->queued, index, replan->unserved);
			indices[marked++] = index;
		} else if (outcome_is_too_old(replan->queued, attempt.now) &&
				   (!replan->queued->item->resume || !is_of_this_machine(r))
			       ? outcome_fail(&attempt, index,
				     replan->queued->item->resume ? reply : replan->why, "4.4.7")
			       : outcome_defer(&attempt, index, reply, attempt.now, 0))
			indices[marked++] = index;
	}
	end(replan, &attempt, indices, marked);
	g_free(indices);
}

static bool
is_replaced(const struct item *child, uint32_t index)
{
	for (size_t i = 0; child && i < child->replaced_count; i++)
		if (child->replaced[i] == index)
			return true;
	return false;
}

/* The rest of a chain may throw mail away, or take a recipient off it. */
static bool
is_discarded(const struct replan *replan)
{
	return replan->unserved && *replan->unserved == '2';
}

/* The child, if there is one, is durable: it has whom it names, the others are served by nobody. */
static void
settle(struct replan *replan, const struct item *child)
{
	struct attempt attempt = attempt_of(replan);
	struct item *item = replan->queued->item;
	uint32_t *indices = g_new(uint32_t, replan->count);
	size_t marked = 0;

	for (size_t i = 0; i < replan->count; i++) {
		uint32_t index = replan->indices[i];

		if (is_replaced(child, index)) {
			attempt_tell(&attempt, index, PN_FATE_REPLANNED);
			item->recipients[index].state = ITEM_REPLANNED;
			item->unfinished--;
			replan->queued->queue->figures.replanned++;
		} else if (is_discarded(replan)) {
			outcome_delete(&attempt, index, replan->unserved);
			indices[marked++] = index;
		} else if (outcome_fail(&attempt, index,
			       replan->unserved ? replan->unserved : replan->why, NULL)) {
			indices[marked++] = index;
		}
	}
	if (child)
		planned_log(child, item_log_id(item), replan->why);
	end(replan, &attempt, indices, marked);
	g_free(indices);
}

static void
on_durable(void *arg, int r, const struct item *child)
{
	if (r < 0)
		put_off(arg, r);
	else
		settle(arg, child);
}

/* ---- policy's answer --------------------------------------------------------------------------
 */

static bool
fits(const struct replan *replan, const struct item *child)
{
	if (child->replaced_count != child->envelope.count || !child->bytes)
		return false;
	for (size_t i = 0; i < child->replaced_count; i++) {
		size_t k = 0;

		while (k < replan->count && replan->indices[k] != child->replaced[i])
			k++;
		if (k == replan->count && child->replaced[i] != ITEM_NOBODY)
			return false;
	}
	return true;
}

static struct replan *
find(const struct queued *queued, const uint32_t *indices, size_t count)
{
	struct replan *replan = queued->replans;

	while (replan && (count == 0 || replan->indices[0] != *indices))
		replan = replan->next;
	return replan;
}

void
queue_replanned(struct queue *queue, struct item *item, const uint32_t *indices, size_t count,
    int r, struct item *child, const char *unserved)
{
	struct replan *replan = find(item->queue, indices, count);

	if (r == 0 && child && replan && !fits(replan, child))
		r = -EINVAL;
	if (!replan || r < 0)
		item_free(&child);
	if (!replan)
		return;
	unpin(replan);
	replan->unserved = g_strdup(unserved);
	if (r < 0) {
		put_off(replan, r);
		return;
	}
	if (!child) {
		settle(replan, NULL);
		return;
	}
	/* It is the same message, and no younger; its record is another one. */
	item_id_new(child->id);
	memcpy(child->origin, item_log_id(item), ITEM_ID_SIZE);
	memcpy(child->replaces, item->id, ITEM_ID_SIZE);
	child->accepted_us = item->accepted_us;
	queue_accept(queue, child, on_durable, replan);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static void
loaded(struct load_waiter *waiter, int r)
{
	struct replan *replan = (struct replan *)(void *)waiter;
	struct queued *queued = replan->queued;
	const struct queue_parts *parts = &queued->queue->parts;

	if (r == -EBADMSG) {
		replan->unserved = g_strdup("554 5.3.0 damaged in the spool");
		settle(replan, NULL);
		return;
	}
	if (r == -ECANCELED)
		take_back(replan);
	else if (r < 0)
		put_off(replan, r);
	if (r < 0)
		return;
	queued->pins++;
	replan->pinned = true;
	parts->replan(
	    parts->arg, queued->queue, queued->item, replan->indices, replan->count, replan->why);
}

bool
replan_resume(struct queued *queued, int64_t now)
{
	struct attempt attempt = { .queued = queued, .now = now };
	struct item *item = queued->item;
	uint32_t *due = g_new(uint32_t, item->envelope.count);
	size_t count = 0;

	for (uint32_t i = 0; i < item->envelope.count; i++) {
		if (!queued->queue->parts.replan || !queue_is_due(&item->recipients[i], now))
			continue;
		item->recipients[i].state = ITEM_REPLANNING;
		due[count++] = i;
	}
	if (count > 0)
		replan_start(&attempt, due, count, "released");
	g_free(due);
	return count > 0;
}

void
replan_start(const struct attempt *attempt, const uint32_t *indices, size_t count, const char *why)
{
	struct queued *queued = attempt->queued;
	struct replan *replan = g_malloc0(sizeof(*replan) + count * sizeof(*indices));

	memcpy(replan->indices, indices, count * sizeof(*indices));
	replan->count = count;
	replan->queued = queued;
	replan->tls = attempt->tls;
	replan->why = g_strdup(why);
	replan->remote = g_strdup(attempt->remote);
	replan->next = queued->replans;
	queued->replans = replan;
	queue_begin(queued->queue);
	replan->waiter.loaded = loaded;
	if (queued->queue->draining)
		loaded(&replan->waiter, -ECANCELED);
	else if (queued->item->bytes)
		loaded(&replan->waiter, 0);
	else
		load_start(queued, &replan->waiter);
}
