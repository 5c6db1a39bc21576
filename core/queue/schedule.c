/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule.c - the heap of what waits.
 *
 * Called by queue.c. A million waiting entries cost 8 MB here and some twenty steps a move.
 */
#include <core/base/log.h>
#include <core/queue/schedule.h>
#include <glib.h>
#include <stdlib.h>

static void
place(struct schedule *schedule, uint32_t at, struct schedule_entry *entry)
{
	schedule->heap[at - 1] = entry;
	entry->place = at;
}

static struct schedule_entry *
at(const struct schedule *schedule, uint32_t i)
{
	return schedule->heap[i - 1];
}

static void
rise(struct schedule *schedule, struct schedule_entry *entry)
{
	uint32_t i = entry->place;

	for (; i > 1 && at(schedule, i / 2)->due_us > entry->due_us; i /= 2)
		place(schedule, i, at(schedule, i / 2));
	place(schedule, i, entry);
}

static void
sink(struct schedule *schedule, struct schedule_entry *entry)
{
	uint32_t i = entry->place, child;

	while ((child = i * 2) <= schedule->count) {
		if (child < schedule->count &&
		    at(schedule, child + 1)->due_us < at(schedule, child)->due_us)
			child++;
		if (at(schedule, child)->due_us >= entry->due_us)
			break;
		place(schedule, i, at(schedule, child));
		i = child;
	}
	place(schedule, i, entry);
}

static void
grow(struct schedule *schedule)
{
	uint32_t capacity = schedule->capacity ? schedule->capacity * 2 : 64;
	struct schedule_entry **heap = realloc(
	    schedule->heap, capacity * sizeof(struct schedule_entry *));

	if (!heap) {
		log_text(PN_LOG_ERROR, "out of memory");
		abort();
	}
	schedule->heap = heap;
	schedule->capacity = capacity;
}

void
schedule_put(struct schedule *schedule, struct schedule_entry *entry, int64_t due_us)
{
	entry->due_us = due_us;
	if (entry->place == 0) {
		if (schedule->count == schedule->capacity)
			grow(schedule);
		place(schedule, ++schedule->count, entry);
	}
	rise(schedule, entry);
	sink(schedule, entry);
}

void
schedule_remove(struct schedule *schedule, struct schedule_entry *entry)
{
	struct schedule_entry *last;
	uint32_t i = entry->place;

	if (i == 0)
		return;
	entry->place = 0;
	last = at(schedule, schedule->count--);
	if (last == entry)
		return;
	place(schedule, i, last);
	rise(schedule, last);
	sink(schedule, last);
}

struct schedule_entry *
schedule_first(const struct schedule *schedule)
{
	return schedule->count > 0 ? schedule->heap[0] : NULL;
}

void
schedule_free(struct schedule *schedule)
{
	free(schedule->heap);
	*schedule = (struct schedule){ 0 };
}

int64_t
schedule_delay_ms(int64_t first_ms, int64_t most_ms, uint32_t attempts)
{
	int64_t delay = first_ms;

	for (uint32_t i = 1; i < attempts && delay < most_ms; i++)
		delay *= 2;
	if (delay > most_ms)
		delay = most_ms;
	/* So that what failed together does not come back together. */
	return delay - delay / 8 + (int64_t)(g_random_double() * (double)(delay / 4));
}
