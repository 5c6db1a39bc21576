/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker.c - one backend's silence, and who may try whether it is over.
 *
 * Called by login.c around each question. Must never keep one from being asked that answers,
 * however slowly, or that refuses connections, which costs nothing.
 */
#include "breaker.h"
#include <errno.h>

void
breaker_init(struct breaker *breaker)
{
	*breaker = (struct breaker){ .silent = false };
	pthread_mutex_init(&breaker->lock, NULL);
}

void
breaker_end(struct breaker *breaker)
{
	pthread_mutex_destroy(&breaker->lock);
}

bool
breaker_enter(struct breaker *breaker, int64_t now)
{
	bool may;

	pthread_mutex_lock(&breaker->lock);
	may = !breaker->silent || (!breaker->probing && now >= breaker->until);
	breaker->probing |= breaker->silent && may;
	pthread_mutex_unlock(&breaker->lock);
	return may;
}

void
breaker_leave(struct breaker *breaker, int r, bool had_time, int64_t began, int64_t now)
{
	bool in_vain = r == -ETIMEDOUT || r == -ECANCELED;
	bool silent = r == -ETIMEDOUT || (r < 0 && now - began >= BREAKER_SLOW_MS);

	pthread_mutex_lock(&breaker->lock);
	if (had_time || !in_vain)
		breaker->silent = silent;
	breaker->probing = false;
	breaker->until = now + (now - began);
	pthread_mutex_unlock(&breaker->lock);
}
