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

/*
 * On the loop; `done` is called there when all hooks have passed, never within this call. The item
 * is copied; its bytes are held, where they are in memory (after a restart they are not).
 */
void committed_start(const struct away_place *place, struct generation *generation,
    const struct item *item, void (*done)(void *arg), void *arg);

#endif
