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

void
tally_add(struct tally *tally, const struct span *span, int64_t at, int64_t count)
{
	size_t rows = tally->end - tally->first, place;
	int64_t grain = rows < EXACT_ROWS ? 0 : span->ms / COARSE_PART;

	tally->sum += count;
	if (rows > 0) {
		struct tally_row *last = &tally->rows[tally->end - 1];

		if (at >= last->at && at - last->at <= grain) {
			last->count += count;
			return;
		}
	}
	make_room(tally);
	/* Another process's, or of a clock that was set back: rarely, and not far. */
	for (place = tally->end; place > tally->first && tally->rows[place - 1].at > at; place--)
		tally->rows[place] = tally->rows[place - 1];
	tally->rows[place] = (struct tally_row){ at, count };
	tally->end++;
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
