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
/* Waits until fewer than `parallel` are inside, `patience` milliseconds at most: -ETIMEDOUT. */
int verifier_enter(struct verifier *verifier, int64_t parallel, int64_t patience);
void verifier_leave(struct verifier *verifier);
/*
 * Inside: whether the password has that hash; NULL: nobody's, which takes as long and is always
 * wrong.
 */
bool verifier_check(const char *hash, struct pn_slice password);
/* NULL, or why no password can be checked against that hash. */
const char *verifier_fault(const char *hash);

#endif
