/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane_policy.h - what a lane's queue asks of policy: committed hooks, replans, seals, outcomes.
 *
 * On the lane's loop. Every question is answered by the newest generation.
 */
#ifndef CORE_MASTER_LANE_POLICY_H
#define CORE_MASTER_LANE_POLICY_H

#include <core/policy/away.h>
#include <core/queue/queue.h>

struct lane_policy;

struct lane_policy *lane_policy_new(struct loop *loop, struct jobs *jobs);
/* The parts that are policy's, `arg` with them. */
void lane_policy_serve(struct lane_policy *policy, struct queue_parts *parts);
/* Takes the newest generation; holds it itself. */
void lane_policy_configure(struct lane_policy *policy, struct generation *generation);
/* From now on tick hooks, about so often: for one lane of a process. */
#define LANE_POLICY_TICK_MS 60000
void lane_policy_tick(struct lane_policy *policy, int64_t every_ms);
/* The same for flush hooks, apart from outcomes: what waits there does not hold them up. */
#define LANE_POLICY_FLUSH_MS 1000
void lane_policy_flush(struct lane_policy *policy, int64_t every_ms);
/* Outcomes that no outcome hook has heard of yet. Any thread. */
size_t lane_policy_waiting(const struct lane_policy *policy);
/* No ticks and flushes any more; `drained` on the loop, never within this, when all outcomes have
 * been heard.
 */
void lane_policy_drain(struct lane_policy *policy, void (*drained)(void *arg), void *arg);
/* When neither the loop nor the job threads run any more. */
void lane_policy_free(struct lane_policy **policy);

#endif
