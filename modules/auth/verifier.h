/* SPDX-License-Identifier: Apache-2.0 */
/* verifier.h - Argon2id, a few at a time: each takes 64 MiB and tens of milliseconds. Blocks. */
#ifndef MODULES_AUTH_VERIFIER_H
#define MODULES_AUTH_VERIFIER_H

#include <postern/base.h>
#include <pthread.h>

/* The hash that nobody's password has: a test compares its cost with that of real ones. */
extern const char verifier_nobody[];

/* Kinds of hashes of crypt(3), by method and cost, that a site has at most. */
#define VERIFIER_KINDS   4
#define VERIFIER_SETTING 128

struct verifier {
	pthread_mutex_t lock;
	pthread_cond_t free;
	int64_t running;
	size_t kind_count;
	char kinds[VERIFIER_KINDS][VERIFIER_SETTING]; /* what crypt(3) is told, of an example */
};

void verifier_init(struct verifier *verifier);
void verifier_end(struct verifier *verifier);
/* Waits until fewer than `parallel` are inside, `patience` milliseconds at most: -ETIMEDOUT. */
int verifier_enter(struct verifier *verifier, int64_t parallel, int64_t patience);
void verifier_leave(struct verifier *verifier);
/*
 * Inside: whether the password has that hash; NULL: nobody's, which takes as long and is always
 * wrong. Whatever it is, it costs Argon2id once and crypt(3) once for each kind that is known.
 */
bool verifier_check(struct verifier *verifier, const char *hash, struct pn_slice password);
/* There is a hash of this kind: others will cost as much. Also called by verifier_check(). */
void verifier_learn(struct verifier *verifier, const char *hash);
/* NULL, or why no password can be checked against that hash. */
const char *verifier_fault(const char *hash);

#endif
