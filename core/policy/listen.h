/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen.h - hooks that only hear of something: results of attempts, the passing of time.
 *
 * One after the other and never two at once, behind the loop that tells them; faults are logged.
 * What is waiting is bounded: past that, outcomes are dropped, and how many is logged, at once,
 * then once a minute as long as it goes on, and in the end. No delivery waits for any of it.
 */
#ifndef CORE_POLICY_LISTEN_H
#define CORE_POLICY_LISTEN_H

#include <core/policy/away.h>

#define LISTEN_MOST 10000 /* that wait; some kilobytes each */

struct listen;

struct listen *listen_new(const struct away_place *place);
/* Everything is copied. */
void listen_outcome(struct listen *listen, struct generation *generation, const struct item *item,
    uint32_t index, const struct pn_outcome *result);
/* PN_STAGE_TICK or PN_STAGE_FLUSH; nothing where the one before has not ended yet. */
void listen_tick(struct listen *listen, struct generation *generation, enum pn_stage stage);
/* The same here and now, when neither loops nor job threads run any more. */
void listen_last(struct generation *generation, enum pn_stage stage);
/* How many have not been heard yet, one that is under way included. Any thread. */
size_t listen_waiting(const struct listen *listen);
/*
 * Calls `drained` on the loop, never within this, when all that waits has been heard. What is told
 * from now on may come behind it.
 */
void listen_drain(struct listen *listen, void (*drained)(void *arg), void *arg);
/* When neither the loop nor the job threads run any more. */
void listen_free(struct listen **listen);

#endif
