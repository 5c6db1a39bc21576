/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.c - remembers successes, so that AUTH on every connection (Gmail's habit) costs no
 * Argon2id.
 *
 * Called by auth.c on event loops and policy threads. Must never remember a password, nor a
 * failure.
 */
#include "cache.h"
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define ENTRIES_MOST 20000

struct auth_cache {
	pthread_mutex_t lock;
	GHashTable *entries; /* of themselves */
	uint8_t secret[crypto_generichash_KEYBYTES];
};

struct entry {
	struct cache_key key; /* first: it is the hash table's key */
	int64_t verified, checked, source, changed;
	char user[];
};

static guint
entry_hash(gconstpointer key)
{
	guint hash;

	memcpy(&hash, key, sizeof(hash)); /* the bytes are random enough */
	return hash;
}

static gboolean
entry_equal(gconstpointer a, gconstpointer b)
{
	return sodium_memcmp(a, b, CACHE_KEY_SIZE) == 0;
}

int
auth_cache_new(struct auth_cache **ret)
{
	struct auth_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	pthread_mutex_init(&cache->lock, NULL);
	randombytes_buf(cache->secret, sizeof(cache->secret));
	cache->entries = g_hash_table_new_full(entry_hash, entry_equal, free, NULL);
	*ret = cache;
	return 0;
}

void
auth_cache_free(struct auth_cache **cache)
{
	if (!*cache)
		return;
	g_hash_table_destroy((*cache)->entries);
	pthread_mutex_destroy(&(*cache)->lock);
	sodium_memzero(*cache, sizeof(**cache));
	free(*cache);
	*cache = NULL;
}

void
auth_cache_key(const struct auth_cache *cache, const char *user, struct pn_slice password,
    struct cache_key *ret)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, cache->secret, sizeof(cache->secret), sizeof(ret->bytes));
	/* With its NUL, so that no other pair of user and password reads the same. */
	crypto_generichash_update(&state, (const unsigned char *)user, strlen(user) + 1);
	crypto_generichash_update(&state, (const unsigned char *)password.data, password.len);
	crypto_generichash_final(&state, ret->bytes, sizeof(ret->bytes));
	sodium_memzero(&state, sizeof(state));
}

enum cache_answer
auth_cache_find(struct auth_cache *cache, const struct cache_key *key, int64_t now, int64_t keep,
    int64_t recheck, struct cache_hit *ret)
{
	enum cache_answer answer = CACHE_MISS;
	struct entry *entry;

	pthread_mutex_lock(&cache->lock);
	entry = g_hash_table_lookup(cache->entries, key);
	if (entry && now - entry->verified >= keep) {
		g_hash_table_remove(cache->entries, key);
	} else if (entry) {
		answer = now - entry->checked >= recheck ? CACHE_STALE : CACHE_HIT;
		ret->source = entry->source;
		ret->changed = entry->changed;
		snprintf(ret->user, sizeof(ret->user), "%s", entry->user);
	}
	pthread_mutex_unlock(&cache->lock);
	return answer;
}

/* Full: everything goes, which costs each user one verification. It takes 20,000 of them. */
void
auth_cache_put(
    struct auth_cache *cache, const struct cache_key *key, const struct cache_hit *hit, int64_t now)
{
	size_t size = strlen(hit->user) + 1;
	struct entry *entry = malloc(sizeof(*entry) + size);

	if (!entry)
		return;
	entry->key = *key;
	entry->verified = entry->checked = now;
	entry->source = hit->source;
	entry->changed = hit->changed;
	memcpy(entry->user, hit->user, size);
	pthread_mutex_lock(&cache->lock);
	if (g_hash_table_size(cache->entries) >= ENTRIES_MOST)
		g_hash_table_remove_all(cache->entries);
	g_hash_table_replace(cache->entries, entry, entry);
	pthread_mutex_unlock(&cache->lock);
}

void
auth_cache_touch(struct auth_cache *cache, const struct cache_key *key, int64_t now)
{
	struct entry *entry;

	pthread_mutex_lock(&cache->lock);
	entry = g_hash_table_lookup(cache->entries, key);
	if (entry)
		entry->checked = now;
	pthread_mutex_unlock(&cache->lock);
}

void
auth_cache_drop(struct auth_cache *cache, const struct cache_key *key)
{
	pthread_mutex_lock(&cache->lock);
	g_hash_table_remove(cache->entries, key);
	pthread_mutex_unlock(&cache->lock);
}
