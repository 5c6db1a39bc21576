/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verifier.c - verifies passwords with Argon2id.
 *
 * Called by auth.c on policy threads. Must never tell by its time whether there is such a user.
 */
#include "verifier.h"
#include <errno.h>
#include <sodium.h>
#include <time.h>

/* The hash of no password, with the parameters that `user passwd` uses. */
const char verifier_nobody[] = "$argon2id$v=19$m=65536,t=2,p=1$bm9ib2R5J3Mgc2FsdCEhIQ$"
			       "3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8";

void
verifier_init(struct verifier *verifier)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_mutex_init(&verifier->lock, NULL);
	pthread_cond_init(&verifier->free, &attributes);
	pthread_condattr_destroy(&attributes);
	verifier->running = 0;
}

void
verifier_end(struct verifier *verifier)
{
	pthread_cond_destroy(&verifier->free);
	pthread_mutex_destroy(&verifier->lock);
}

static void
deadline(int64_t patience, struct timespec *ret)
{
	const int64_t most = 3600 * INT64_C(1000);

	if (patience > most)
		patience = most;
	clock_gettime(CLOCK_MONOTONIC, ret);
	ret->tv_sec += patience / 1000;
	ret->tv_nsec += patience % 1000 * 1000000;
	if (ret->tv_nsec >= 1000000000) {
		ret->tv_sec++;
		ret->tv_nsec -= 1000000000;
	}
}

int
verifier_enter(struct verifier *verifier, int64_t parallel, int64_t patience)
{
	struct timespec until;
	int r = 0;

	deadline(patience, &until);
	pthread_mutex_lock(&verifier->lock);
	while (verifier->running >= parallel && r == 0)
		r = pthread_cond_timedwait(&verifier->free, &verifier->lock, &until);
	if (r == 0)
		verifier->running++;
	pthread_mutex_unlock(&verifier->lock);
	return -r;
}

void
verifier_leave(struct verifier *verifier)
{
	pthread_mutex_lock(&verifier->lock);
	verifier->running--;
	pthread_cond_signal(&verifier->free);
	pthread_mutex_unlock(&verifier->lock);
}

bool
verifier_check(const char *hash, struct pn_slice password)
{
	bool right = crypto_pwhash_str_verify(
			 hash ? hash : verifier_nobody, password.data, password.len) == 0;

	return hash && right;
}
