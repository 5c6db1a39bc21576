/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule.h - what waits, in the order in which it is due: a binary heap of 8 bytes an entry.
 *
 * Entries are embedded in their owner. Owned by one queue, not locked.
 */
#ifndef CORE_QUEUE_SCHEDULE_H
#define CORE_QUEUE_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

struct schedule_entry {
	int64_t due_us; /* wall time */
	uint32_t place; /* in the heap, from 1; 0: not in it */
};

struct schedule {
	struct schedule_entry **heap; /* all zero is empty */
	uint32_t count, capacity;
};

/* Puts it in, or moves it. */
void schedule_put(struct schedule *schedule, struct schedule_entry *entry, int64_t due_us);
/* Nothing happens where it is not in. */
void schedule_remove(struct schedule *schedule, struct schedule_entry *entry);
/* The one that is due first, or NULL. */
struct schedule_entry *schedule_first(const struct schedule *schedule);
void schedule_free(struct schedule *schedule);

/* How long after the given number of attempts: doubling from first to most, an eighth of jitter. */
int64_t schedule_delay_ms(int64_t first_ms, int64_t most_ms, uint32_t attempts);

#endif
