/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker.h - leaves alone for a while what takes questions and does not answer.
 *
 * Each attempt that waits for such a backend holds one of the few places that the module has, so
 * that users of other backends would wait as well. Any thread; memory only.
 */
#ifndef MODULES_AUTH_BREAKER_H
#define MODULES_AUTH_BREAKER_H

#include <postern/base.h>
#include <pthread.h>

#define BREAKER_SLOW_MS 1000 /* a failure after so long was silence, whatever it is called */

struct breaker {
	pthread_mutex_t lock;
	bool silent, probing;
	int64_t until; /* silent: nobody asks before; then one alone does */
};

void breaker_init(struct breaker *breaker);
void breaker_end(struct breaker *breaker);
/* Whether it may be asked now; then breaker_leave() follows. */
bool breaker_enter(struct breaker *breaker, int64_t now);
/*
 * `r` 0 or more: it has answered; negative errno: it could not be asked. It is left alone for as
 * long as it was waited for. `had_time`: nearly all that it may take; who had less, and then was
 * out of time, has shown nothing.
 */
void breaker_leave(struct breaker *breaker, int r, bool had_time, int64_t began, int64_t now);

#endif
