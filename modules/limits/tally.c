/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.c - counts in a window: rows of (time, count), the oldest first.
 *
 * Called by book.c with the book's lock held. Must never keep more rows than its header says.
 */
#include "tally.h"
#include <glib.h>
#include <string.h>

#define EXACT_ROWS  200000
#define COARSE_PART 100000

int64_t
span_frees(const struct span *span, int64_t at)
{
	return span->fixed ? at - at % span->ms + span->ms : at + span->ms;
}

/* Room for one more row at the end. */
static void
make_room(struct tally *tally)
{
	size_t count = tally->end - tally->first;

	if (tally->end < tally->capacity)
		return;
	if (tally->first > count) {
		memmove(tally->rows, tally->rows + tally->first, count * sizeof(*tally->rows));
		tally->first = 0;
		tally->end = count;
		return;
	}
	tally->capacity = tally->capacity ? tally->capacity * 2 : 4;
	tally->rows = g_renew(struct tally_row, tally->rows, tally->capacity);
}

/* The row that `at` counts as one with, where `behind` rows are later; NULL: none. */
static struct tally_row *
near(const struct tally *tally, size_t behind, int64_t at, int64_t grain)
{
	size_t place = tally->end - behind;

	if (place > tally->first && at - tally->rows[place - 1].at <= grain)
		return &tally->rows[place - 1];
	/* The next one's count then lasts a grain too long, never too short. */
	return behind > 0 && tally->rows[place].at - at <= grain ? &tally->rows[place] : NULL;
}

void
tally_add(struct tally *tally, const struct span *span, int64_t at, int64_t count)
{
	size_t rows = tally->end - tally->first, behind = 0;
	int64_t grain = rows < EXACT_ROWS ? 0 : span->ms / COARSE_PART;
	struct tally_row *row;

	tally->sum += count;
	/* Messages of long sessions, another process's, a clock that was set back: not far. */
	while (behind < rows && tally->rows[tally->end - 1 - behind].at > at)
		behind++;
	row = near(tally, behind, at, grain);
	if (row) {
		row->count += count;
		return;
	}
	make_room(tally);
	row = &tally->rows[tally->end++ - behind];
	memmove(row + 1, row, behind * sizeof(*row));
	*row = (struct tally_row){ at, count };
}

int64_t
tally_count(struct tally *tally, const struct span *span, int64_t now)
{
	while (tally->first < tally->end && span_frees(span, tally->rows[tally->first].at) <= now)
		tally->sum -= tally->rows[tally->first++].count;
	if (tally->first == tally->end)
		tally_clear(tally);
	return tally->sum;
}

int64_t
tally_frees(struct tally *tally, const struct span *span, int64_t now, int64_t left)
{
	int64_t remains = tally_count(tally, span, now), when = 0;

	for (size_t i = tally->first; i < tally->end && remains > left; i++) {
		remains -= tally->rows[i].count;
		when = span_frees(span, tally->rows[i].at);
	}
	return when;
}

size_t
tally_bytes(const struct tally *tally)
{
	return tally->capacity * sizeof(*tally->rows);
}

void
tally_clear(struct tally *tally)
{
	g_free(tally->rows);
	*tally = (struct tally){ NULL };
}
