/* SPDX-License-Identifier: Apache-2.0 */
/* rate.c - how many in a given time. Called by shaping.c and destination.c. */
#include <core/queue/rate.h>

static int64_t
burst(const struct rate_limit *limit)
{
	return limit->most < 20 ? 1 : limit->most / 10;
}

/*
 * `burst` at once and then one per interval: in any span of `per`, its end not included, these are
 * at most burst + per / interval = most, rounded up so that none is too many.
 */
int64_t
rate_interval_us(const struct rate_limit *limit)
{
	int64_t spaced = limit->most - burst(limit) + 1;

	return limit->most > 0 ? (limit->per_us + spaced - 1) / spaced : 0;
}

int64_t
rate_take(struct rate *rate, const struct rate_limit *limit, int64_t now_us)
{
	int64_t interval = rate_interval_us(limit), wait;

	if (limit->most == 0)
		return 0;
	if (rate->full_us < now_us)
		rate->full_us = now_us;
	wait = rate->full_us - now_us - (burst(limit) - 1) * interval;
	if (wait > 0)
		return wait;
	rate->full_us += interval;
	return 0;
}
