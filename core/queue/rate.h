/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate.h - how many in a given time: never more than `most` in any span of `per`.
 *
 * A tenth of them may go at once, the others evenly spaced (the generic cell rate algorithm). Pure:
 * the owner brings the time, monotonic, and locks.
 */
#ifndef CORE_QUEUE_RATE_H
#define CORE_QUEUE_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate_limit {
	int64_t most;   /* 0: any number */
	int64_t per_us; /* > 0 where `most` is */
};

struct rate {
	int64_t full_us; /* when all that went so far has worn off; 0: nothing went */
};

/* Microseconds from one to the next in the long run; 0 without a limit. */
int64_t rate_interval_us(const struct rate_limit *limit);
/* Nothing of what went still counts: a new one would be the same. */
static inline bool
rate_is_rested(const struct rate *rate, int64_t now_us)
{
	return rate->full_us <= now_us;
}
/* 0: it may go now, and is counted. Else how long to wait before asking again. */
int64_t rate_take(struct rate *rate, const struct rate_limit *limit, int64_t now_us);

#endif
