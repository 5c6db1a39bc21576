/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineup.h - deliveries that wait for one next hop: the highest priority first, and within one in
 * the order they came. Links them by delivery->next. Belongs to one destination, not locked.
 */
#ifndef CORE_QUEUE_LINEUP_H
#define CORE_QUEUE_LINEUP_H

#include <stdint.h>

struct delivery;

#define LINEUP_PRIORITY_MOST 9 /* and as many below 0: RFC 6710 section 3 */
#define LINEUP_LEVELS        (2 * LINEUP_PRIORITY_MOST + 1)

struct lineup {
	struct {
		struct delivery *head, **tail;
	} levels[LINEUP_LEVELS];
	uint32_t used; /* levels that hold something, a bit each */
	uint32_t count;
};

/* All zero is empty. */
void lineup_add_last(struct lineup *lineup, struct delivery *delivery);
void lineup_add_first(struct lineup *lineup, struct delivery *delivery);
/* NULL: nothing waits. */
struct delivery *lineup_first(const struct lineup *lineup);
struct delivery *lineup_take(struct lineup *lineup);

#endif
