/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane_policy.c - between a lane's queue and the hooks that its mail meets behind the session.
 *
 * Called by the queue and by lane.c. The queue knows no policy, and policy no queue.
 */
#include <core/base/log.h>
#include <core/master/lane_policy.h>
#include <core/policy/committed.h>
#include <core/policy/hold.h>
#include <core/policy/listen.h>
#include <core/policy/planner.h>
#include <core/policy/replan.h>
#include <errno.h>
#include <stdlib.h>

struct lane_policy {
	struct away_place place;
	struct generation *generation; /* held */
	struct listen *listen, *flushes;
	struct committed_list committed;
	struct loop_timer tick, flush;
	int64_t tick_ms, flush_ms; /* between two */
	void (*drained)(void *arg);
	void *drained_arg;
};

/* ---- committed hooks ------------------------------------------------------------------------- */

static void *
new_struct(size_t size)
{
	void *ret = calloc(1, size);

	if (!ret)
		abort(); /* as arena.h: the master restarts us, the spool remembers */
	return ret;
}

static void
commit_done(void *arg, struct item *item)
{
	queue_effects_done(arg, item, true);
}

static void
on_committed(void *arg, struct queue *queue, struct item *item)
{
	struct lane_policy *policy = arg;

	if (!chain_has(policy->generation, PN_STAGE_COMMITTED)) {
		queue_effects_done(queue, item, false);
		return;
	}
	committed_start(
	    &policy->committed, &policy->place, policy->generation, item, commit_done, queue);
}

/* ---- replans --------------------------------------------------------------------------------- */

struct replan {
	struct loop_timer soon; /* where it ends at once: not within the question */
	struct lane_policy *policy;
	struct queue *queue;
	struct item *item;
	const uint32_t *indices;
	size_t count;
	int r;
	const char *why; /* static; NULL: nothing to say */
	/* A clear rendering that is read on a policy thread first. */
	struct job job;
	const char *because;      /* the queue's */
	struct mail_bytes *bytes; /* the item's, held */
	struct mail_bytes *clear;
};

static void
replan_end(struct replan *replan, int r, struct item *child, const char *unserved)
{
	queue_replanned(
	    replan->queue, replan->item, replan->indices, replan->count, r, child, unserved);
	free(replan);
}

static void
log_trace(struct pn_txn *txn)
{
	const char *trace = log_wanted(PN_LOG_INFO) ? chain_trace_text(txn) : NULL;

	if (trace && *trace)
		log_event(PN_LOG_INFO, "trace", "id", txn->id, "text", trace, NULL);
}

/* Of a message that was held: all of the chain has spoken, or another entry holds it. */
static void
resumed(void *arg, struct pn_txn *txn, enum plans_step step, const struct ruling *refused)
{
	struct replan *replan = arg;
	struct item *child = NULL;
	const char *reply = "250 2.0.0 discarded"; /* also whom the rest has taken off */
	int r = 0;

	log_trace(txn);
	if (step == PLANS_DONE || refused->kind == RULING_HOLD) {
		child = hold_child(txn, replan->item, replan->indices, replan->count,
		    step == PLANS_DONE ? NULL : refused);
		r = child ? 0 : -ENOMEM;
	} else if (refused->kind == RULING_DEFER) {
		r = -EAGAIN;
	} else if (refused->kind == RULING_REJECT) {
		reply = arena_printf(
		    &txn->arena, "%d %s %s", refused->code, refused->enhanced, refused->text);
	}
	replan_end(replan, r, child, reply);
}

static void
replanned(void *arg, struct pn_txn *txn, enum plans_step step, const struct ruling *refused)
{
	struct replan *replan = arg;
	struct item *child = NULL;
	int r = 0;

	log_trace(txn);
	if (step == PLANS_DONE)
		r = replan_child(txn, replan->indices, &child);
	else if (refused->kind == RULING_DEFER)
		r = -EAGAIN;
	replan_end(replan, r, child, NULL);
}

static void
replan_failed(struct loop_timer *timer)
{
	struct replan *replan = (struct replan *)((char *)timer - offsetof(struct replan, soon));

	replan_end(replan, replan->r, NULL, replan->why);
}

static void
resume(struct lane_policy *policy, struct queue *queue, struct item *item, const uint32_t *indices,
    size_t count)
{
	struct replan *replan = new_struct(sizeof(*replan));
	struct mail_fixups how;
	struct pn_txn *txn;
	size_t from;

	*replan = (struct replan){ .soon = { .fire = replan_failed },
		.policy = policy,
		.queue = queue,
		.item = item,
		.indices = indices,
		.count = count,
		.why = "released, but the entry that held it is not in the pipeline any more" };
	replan->r = hold_resume(policy->generation, item, indices, count, &txn, &from, &how);
	if (replan->r == 0)
		planner_resume(&policy->place, txn, from, &how, resumed, replan);
	else
		loop_timer_set(policy->place.loop, &replan->soon, 0);
}

/* The clear rendering is there; or, in memory, will be. */
static void
begin_replan(struct replan *replan)
{
	struct lane_policy *policy = replan->policy;
	struct mail_bytes *clear = replan->clear;
	struct pn_error err = { 0 };
	struct pn_txn *txn;

	replan->clear = NULL;
	if (replan->r == 0)
		replan->r = replan_begin(policy->generation, replan->item, replan->indices,
		    replan->count, clear, replan->because, &txn, &err);
	if (replan->r == 0) {
		planner_start(&policy->place, txn, replanned, replan);
		return;
	}
	log_event(PN_LOG_ERROR, "replan-stopped", "id", item_log_id(replan->item), "reason",
	    err.text[0] ? err.text : strerror(-replan->r), NULL);
	loop_timer_set(policy->place.loop, &replan->soon, 0);
}

static struct replan *
replan_of(struct job *job)
{
	return (struct replan *)(void *)((char *)job - offsetof(struct replan, job));
}

static void
read_clear(struct job *job)
{
	struct replan *replan = replan_of(job);

	replan->r = replan_clear(
	    replan->bytes, item_rendering(replan->item, *replan->indices), &replan->clear);
}

static void
clear_read(struct job *job)
{
	struct replan *replan = replan_of(job);

	mail_bytes_release(&replan->bytes);
	begin_replan(replan);
}

static void
on_replan(void *arg, struct queue *queue, struct item *item, const uint32_t *indices, size_t count,
    const char *why)
{
	struct lane_policy *policy = arg;
	struct replan *replan;

	if (item->resume) {
		resume(policy, queue, item, indices, count);
		return;
	}
	replan = new_struct(sizeof(*replan));
	*replan = (struct replan){ .soon = { .fire = replan_failed },
		.policy = policy,
		.queue = queue,
		.item = item,
		.indices = indices,
		.count = count,
		.because = why };
	if (replan_clear_is_near(item->bytes, item_rendering(item, *indices))) {
		begin_replan(replan);
		return;
	}
	replan->bytes = mail_bytes_hold(item->bytes);
	replan->job = (struct job){
		.loop = policy->place.loop, .work = read_clear, .done = clear_read
	};
	jobs_submit(policy->place.jobs, &replan->job);
}

/* ---- seals ----------------------------------------------------------------------------------- */

struct seal {
	struct item *report;
	void (*done)(void *arg, int r);
	void *arg;
};

static void
sealed(void *arg, struct pn_txn *txn, enum plans_step step, const struct ruling *refused)
{
	struct seal *seal = arg;

	if (step == PLANS_DONE)
		seal_end(txn, seal->report);
	seal->done(seal->arg, step == PLANS_DONE ? 0 : -EAGAIN);
	free(seal);
}

static void
on_seal(void *arg, struct item *report, void (*done)(void *done_arg, int r), void *done_arg)
{
	struct lane_policy *policy = arg;
	struct pn_txn *txn = seal_begin(policy->generation, report);
	struct seal *seal;

	if (!txn) {
		done(done_arg, 0);
		return;
	}
	seal = new_struct(sizeof(*seal));
	*seal = (struct seal){ report, done, done_arg };
	planner_start(&policy->place, txn, sealed, seal);
}

/* ---- outcomes, ticks and flushes ------------------------------------------------------------- */

static void
on_outcome(void *arg, const struct queue_outcome *outcomes, size_t count)
{
	struct lane_policy *policy = arg;

	for (size_t i = 0; i < count; i++)
		listen_outcome(policy->listen, policy->generation, outcomes[i].item,
		    outcomes[i].index, &outcomes[i].result);
}

static void
on_tick(struct loop_timer *timer)
{
	struct lane_policy *policy = (struct lane_policy *)((char *)timer -
							    offsetof(struct lane_policy, tick));

	listen_tick(policy->listen, policy->generation, PN_STAGE_TICK);
	loop_timer_set(policy->place.loop, &policy->tick, policy->tick_ms);
}

void
lane_policy_tick(struct lane_policy *policy, int64_t every_ms)
{
	policy->tick_ms = every_ms;
	policy->tick.fire = on_tick;
	loop_timer_set(policy->place.loop, &policy->tick, every_ms);
}

static void
on_flush(struct loop_timer *timer)
{
	struct lane_policy *policy = (struct lane_policy *)((char *)timer -
							    offsetof(struct lane_policy, flush));

	listen_tick(policy->flushes, policy->generation, PN_STAGE_FLUSH);
	loop_timer_set(policy->place.loop, &policy->flush, policy->flush_ms);
}

void
lane_policy_flush(struct lane_policy *policy, int64_t every_ms)
{
	policy->flush_ms = every_ms;
	policy->flush.fire = on_flush;
	loop_timer_set(policy->place.loop, &policy->flush, every_ms);
}

size_t
lane_policy_waiting(const struct lane_policy *policy)
{
	return listen_waiting(policy->listen);
}

static void
outcomes_are_heard(void *arg)
{
	struct lane_policy *policy = arg;

	listen_drain(policy->flushes, policy->drained, policy->drained_arg);
}

void
lane_policy_drain(struct lane_policy *policy, void (*drained)(void *arg), void *arg)
{
	loop_timer_cancel(policy->place.loop, &policy->tick);
	loop_timer_cancel(policy->place.loop, &policy->flush);
	policy->drained = drained;
	policy->drained_arg = arg;
	listen_drain(policy->listen, outcomes_are_heard, policy);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct lane_policy *
lane_policy_new(struct loop *loop, struct jobs *jobs)
{
	struct lane_policy *policy = new_struct(sizeof(*policy));

	policy->place = (struct away_place){ loop, jobs };
	policy->listen = listen_new(&policy->place);
	policy->flushes = listen_new(&policy->place);
	return policy;
}

void
lane_policy_serve(struct lane_policy *policy, struct queue_parts *parts)
{
	parts->committed = on_committed;
	parts->outcome = on_outcome;
	parts->replan = on_replan;
	parts->seal = on_seal;
	parts->arg = policy;
}

void
lane_policy_configure(struct lane_policy *policy, struct generation *generation)
{
	struct generation *old = policy->generation;

	policy->generation = generation_hold(generation);
	generation_release(&old);
}

void
lane_policy_free(struct lane_policy **policy)
{
	struct lane_policy *old = *policy;

	*policy = NULL;
	if (!old)
		return;
	loop_timer_cancel(old->place.loop, &old->tick);
	loop_timer_cancel(old->place.loop, &old->flush);
	listen_free(&old->listen);
	listen_free(&old->flushes);
	committed_drop(&old->committed);
	generation_release(&old->generation);
	free(old);
}
