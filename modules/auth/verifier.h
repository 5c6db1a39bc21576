/* SPDX-License-Identifier: Apache-2.0 */
/* verifier.h - Argon2id, a few at a time: each takes 64 MiB and tens of milliseconds. Blocks. */
#ifndef MODULES_AUTH_VERIFIER_H
#define MODULES_AUTH_VERIFIER_H

#include <postern/base.h>
#include <pthread.h>

/* The hash that nobody's password has: a test compares its cost with that of real ones. */
extern const char verifier_nobody[];

struct verifier {
	pthread_mutex_t lock;
	pthread_cond_t free;
	int64_t running;
};

void verifier_init(struct verifier *verifier);
void verifier_end(struct verifier *verifier);
/*
 * Whether the password has that hash; NULL: nobody's, which takes as long and is always wrong.
 * Waits until fewer than `parallel` run, `patience` milliseconds at most: -ETIMEDOUT.
 */
int verifier_check(struct verifier *verifier, int64_t parallel, int64_t patience, const char *hash,
    struct pn_slice password, bool *ret);

#endif
