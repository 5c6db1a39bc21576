/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.c - keeps what Argon2id has cost once.
 *
 * Called by escrow.c. Must never keep an answer, nor let more than two be worked on at a time.
 */
#include "keys.h"
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <sodium.h>
#include <time.h>

#define AT_A_TIME 2u
#define KEPT_MOST 10000u /* scopes with an answer of their own; then all are made again */
#define NAME_SIZE 32

struct keys {
	pthread_mutex_t lock;
	pthread_cond_t left;
	unsigned working;
	uint8_t secret[crypto_generichash_KEYBYTES];
	GHashTable *known; /* GBytes -> struct answer_key */
};

int
keys_new(struct keys **ret)
{
	struct keys *keys;
	pthread_condattr_t attr;

	if (sodium_init() < 0)
		return -ENOTSUP;
	keys = g_new0(struct keys, 1);
	pthread_mutex_init(&keys->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&keys->left, &attr);
	pthread_condattr_destroy(&attr);
	randombytes_buf(keys->secret, sizeof(keys->secret));
	keys->known = g_hash_table_new_full(
	    g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, g_free);
	*ret = keys;
	return 0;
}

void
keys_free(struct keys **keys)
{
	if (!*keys)
		return;
	g_hash_table_destroy((*keys)->known);
	pthread_cond_destroy(&(*keys)->left);
	pthread_mutex_destroy(&(*keys)->lock);
	sodium_memzero(*keys, sizeof(**keys));
	g_free(*keys);
	*keys = NULL;
}

/* The question is part of it: that two scopes have the same answer is nobody's to see. */
static GBytes *
name_of(struct keys *keys, const char *question, struct pn_slice answer)
{
	crypto_generichash_state state;
	uint8_t name[NAME_SIZE];

	crypto_generichash_init(&state, keys->secret, sizeof(keys->secret), sizeof(name));
	crypto_generichash_update(&state, (const uint8_t *)question, strlen(question) + 1);
	crypto_generichash_update(&state, (const uint8_t *)answer.data, answer.len);
	crypto_generichash_final(&state, name, sizeof(name));
	sodium_memzero(&state, sizeof(state));
	return g_bytes_new(name, sizeof(name));
}

static bool
look_up(struct keys *keys, GBytes *name, struct answer_key *ret)
{
	const struct answer_key *key = g_hash_table_lookup(keys->known, name);

	if (key)
		*ret = *key;
	return key != NULL;
}

bool
keys_find(struct keys *keys, const char *question, struct pn_slice answer, struct answer_key *ret)
{
	GBytes *name = name_of(keys, question, answer);
	bool found;

	pthread_mutex_lock(&keys->lock);
	found = look_up(keys, name, ret);
	pthread_mutex_unlock(&keys->lock);
	g_bytes_unref(name);
	return found;
}

/* Locked. 1: somebody has made it meanwhile; 0: it is our turn; -ETIMEDOUT. */
static int
wait_for_turn(struct keys *keys, GBytes *name, int64_t wait_ms, struct answer_key *ret)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += wait_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!look_up(keys, name, ret)) {
		if (keys->working < AT_A_TIME)
			return 0;
		if (pthread_cond_timedwait(&keys->left, &keys->lock, &until) == ETIMEDOUT)
			return -ETIMEDOUT;
	}
	return 1;
}

int
keys_make(struct keys *keys, const char *question, struct pn_slice answer, int64_t wait_ms,
    struct answer_key *ret)
{
	GBytes *name = name_of(keys, question, answer);
	int r;

	pthread_mutex_lock(&keys->lock);
	r = wait_for_turn(keys, name, wait_ms > 0 ? wait_ms : 0, ret);
	if (r == 0) {
		keys->working++;
		pthread_mutex_unlock(&keys->lock);
		r = answer_key_make(answer, ret);
		pthread_mutex_lock(&keys->lock);
		keys->working--;
		if (g_hash_table_size(keys->known) >= KEPT_MOST)
			g_hash_table_remove_all(keys->known);
		if (r == 0)
			g_hash_table_insert(
			    keys->known, g_bytes_ref(name), g_memdup2(ret, sizeof(*ret)));
		pthread_cond_broadcast(&keys->left);
	}
	pthread_mutex_unlock(&keys->lock);
	g_bytes_unref(name);
	return r < 0 ? r : 0;
}
