/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - passwords that were right a moment ago, under a keyed hash.
 *
 * Memory only, any thread; what it cannot answer is a miss. The key of the hash is random and never
 * leaves the process, so a look at the memory of a cache without it tells nothing.
 */
#ifndef MODULES_AUTH_CACHE_H
#define MODULES_AUTH_CACHE_H

#include <postern/base.h>

#define CACHE_KEY_SIZE  32
#define CACHE_USER_SIZE 321

struct auth_cache;

struct cache_key {
	uint8_t bytes[CACHE_KEY_SIZE];
};

enum cache_answer {
	CACHE_MISS,
	CACHE_STALE, /* right then; ask the database whether the password has changed since */
	CACHE_HIT
};

/* By what somebody was let in. */
#define CACHE_BY_PASSWORD 0    /* above it: the number of an app password */
#define CACHE_BY_OTHERS   (-1) /* this and below: a backend outside the database, by its number */

struct cache_hit {
	char user[CACHE_USER_SIZE]; /* canonical */
	int64_t source;
	int64_t changed; /* the stamp of the password that was right */
};

int auth_cache_new(struct auth_cache **ret);
void auth_cache_free(struct auth_cache **cache);
void auth_cache_key(const struct auth_cache *cache, const char *user, struct pn_slice password,
    struct cache_key *ret);
/* `keep`: how long a success counts; `recheck`: how long without asking. Times in milliseconds. */
enum cache_answer auth_cache_find(struct auth_cache *cache, const struct cache_key *key,
    int64_t now, int64_t keep, int64_t recheck, struct cache_hit *ret);
void auth_cache_put(struct auth_cache *cache, const struct cache_key *key,
    const struct cache_hit *hit, int64_t now);
/* The password has not changed: `recheck` begins anew, `keep` does not. */
void auth_cache_touch(struct auth_cache *cache, const struct cache_key *key, int64_t now);
void auth_cache_drop(struct auth_cache *cache, const struct cache_key *key);

#endif
