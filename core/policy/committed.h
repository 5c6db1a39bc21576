/* SPDX-License-Identifier: Apache-2.0 */
/*
 * committed.h - the committed hooks of an accepted message: run until all of them have passed.
 *
 * At least once, with a growing wait in between. Each try has copies of its own, so a hook that
 * never returns holds nothing up but itself.
 */
#ifndef CORE_POLICY_COMMITTED_H
#define CORE_POLICY_COMMITTED_H

#include <core/policy/away.h>

struct committed;

/* Of one loop; all zero begins. */
struct committed_list {
	struct committed *first; /* those that have not passed yet */
};

/*
 * On the loop; `done` is called there when all hooks have passed, never within this call. The item
 * is copied, and only handed back; its bytes are held, where they are in memory (after a restart
 * they are not).
 */
void committed_start(struct committed_list *list, const struct away_place *place,
    struct generation *generation, struct item *item, void (*done)(void *arg, struct item *item),
    void *arg);
/* Neither the loop nor its policy threads run any more: the spool remembers what was not done. */
void committed_drop(struct committed_list *list);

#endif
