/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.h - how much of something happened within a window, to the millisecond.
 *
 * Pure data, no lock of its own; times are wall clock in milliseconds and come from the caller.
 */
#ifndef LIMITS_TALLY_H
#define LIMITS_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sliding: of the last `ms`. Fixed: since the last multiple of `ms`, in UTC (24 h: midnight). */
struct span {
	int64_t ms;
	bool fixed;
};

/* The moment from which on what happened at `at` does not count any more. */
int64_t span_frees(const struct span *span, int64_t at);

struct tally_row {
	int64_t at, count;
};

/* All zero is empty. Rows are in the order of their times. */
struct tally {
	struct tally_row *rows;
	size_t first, end, capacity;
	int64_t sum;
};

/*
 * 16 bytes for each moment that something happened at, for 200,000 of them; from then on what
 * happens within a hundred-thousandth of the span, in whatever order, counts from one moment of it,
 * so there are never more than 300,001 rows.
 */
void tally_add(struct tally *tally, const struct span *span, int64_t at, int64_t count);
/* What counts at `now`; forgets the rest. */
int64_t tally_count(struct tally *tally, const struct span *span, int64_t now);
/* When so much of what counts will have gone that at most `left` remains; 0: it is so already. */
int64_t tally_frees(struct tally *tally, const struct span *span, int64_t now, int64_t left);
size_t tally_bytes(const struct tally *tally);
void tally_clear(struct tally *tally);

#endif
