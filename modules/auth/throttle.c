/* SPDX-License-Identifier: Apache-2.0 */
/*
 * throttle.c - limits guessing.
 *
 * Called by auth.c on event loops and policy threads. A window begins with its first failure and
 * ends with its length. Must never grow without bound: who fills it evicts.
 */
#include "throttle.h"
#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNTERS_MOST 50000
#define FAMILIAR_MS   (24 * 3600 * INT64_C(1000))
#define KEY_SIZE      512

struct throttle {
	pthread_mutex_t lock;
	GHashTable *counters; /* key -> struct counter */
};

struct counter {
	int64_t since, failures;
	int64_t success; /* of a pair: when it last logged in; -1: never */
};

int
throttle_new(struct throttle **ret)
{
	struct throttle *throttle = calloc(1, sizeof(*throttle));

	if (!throttle)
		return -ENOMEM;
	pthread_mutex_init(&throttle->lock, NULL);
	throttle->counters = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	*ret = throttle;
	return 0;
}

void
throttle_free(struct throttle **throttle)
{
	if (!*throttle)
		return;
	g_hash_table_destroy((*throttle)->counters);
	pthread_mutex_destroy(&(*throttle)->lock);
	free(*throttle);
	*throttle = NULL;
}

void
throttle_client_of(const char *address, bool shared, struct throttle_client *ret)
{
	struct in6_addr bytes;

	ret->shared = shared;
	if (shared) {
		snprintf(ret->text, sizeof(ret->text), "shared");
	} else if (strchr(address, ':') && inet_pton(AF_INET6, address, &bytes) == 1) {
		memset(bytes.s6_addr + 8, 0, 8);
		inet_ntop(AF_INET6, &bytes, ret->text, sizeof(ret->text));
	} else {
		snprintf(ret->text, sizeof(ret->text), "%s", address);
	}
}

/*
 * No client is called "", so the counters of users and of pairs do not meet. Of domains that are
 * not ASCII there are any number of spellings (UTS 46) for one and the same: they share their
 * counters.
 */
static void
make_key(char key[KEY_SIZE], const char *client, const char *user)
{
	const char *domain = strrchr(user, '@');
	bool spelt = false;

	for (const char *at = domain; at && *at; at++)
		spelt |= !g_ascii_isprint(*at);
	snprintf(key, KEY_SIZE, "%s %.*s%s", client, spelt ? (int)(domain - user) : INT_MAX, user,
	    spelt ? "@*" : "");
	for (char *at = key; *at; at++)
		*at = g_ascii_tolower(*at);
}

static struct counter *
find(struct throttle *throttle, const char *client, const char *user)
{
	char key[KEY_SIZE];

	make_key(key, client, user);
	return g_hash_table_lookup(throttle->counters, key);
}

static bool
is_old(const struct counter *counter, int64_t now, int64_t window)
{
	return now - counter->since >= window &&
	       (counter->success < 0 || now - counter->success >= FAMILIAR_MS);
}

/* What says nothing any more goes; if all of it still does, all of it goes. */
static void
make_room(struct throttle *throttle, int64_t now, int64_t window)
{
	GHashTableIter iter;
	gpointer value;

	if (g_hash_table_size(throttle->counters) < COUNTERS_MOST)
		return;
	g_hash_table_iter_init(&iter, throttle->counters);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		if (is_old(value, now, window))
			g_hash_table_iter_remove(&iter);
	if (g_hash_table_size(throttle->counters) >= COUNTERS_MOST)
		g_hash_table_remove_all(throttle->counters);
}

static struct counter *
find_or_make(
    struct throttle *throttle, const char *client, const char *user, int64_t now, int64_t window)
{
	struct counter *counter = find(throttle, client, user);
	char key[KEY_SIZE];

	if (counter)
		return counter;
	make_room(throttle, now, window);
	counter = g_new0(struct counter, 1);
	counter->since = now;
	counter->success = -1;
	make_key(key, client, user);
	g_hash_table_insert(throttle->counters, g_strdup(key), counter);
	return counter;
}

static bool
is_full(const struct counter *counter, int64_t most, int64_t now, int64_t window)
{
	return counter && now - counter->since < window && counter->failures >= most;
}

bool
throttle_blocks(struct throttle *throttle, const struct auth_failures *limits,
    const struct throttle_client *client, const char *user, int64_t now)
{
	const struct counter *pair, *all;
	bool familiar, blocks;

	pthread_mutex_lock(&throttle->lock);
	pair = find(throttle, client->text, user);
	all = find(throttle, "", user);
	familiar = pair && pair->success >= 0 && now - pair->success < FAMILIAR_MS;
	blocks = is_full(pair, client->shared ? limits->per_user : limits->per_client_and_user, now,
		     limits->window) ||
		 (!familiar && is_full(all, limits->per_user, now, limits->window));
	pthread_mutex_unlock(&throttle->lock);
	return blocks;
}

static void
count(struct counter *counter, int64_t now, int64_t window)
{
	if (now - counter->since >= window) {
		counter->since = now;
		counter->failures = 0;
	}
	counter->failures++;
}

void
throttle_failure(struct throttle *throttle, const struct auth_failures *limits,
    const struct throttle_client *client, const char *user, int64_t now)
{
	pthread_mutex_lock(&throttle->lock);
	count(find_or_make(throttle, client->text, user, now, limits->window), now, limits->window);
	count(find_or_make(throttle, "", user, now, limits->window), now, limits->window);
	pthread_mutex_unlock(&throttle->lock);
}

void
throttle_success(
    struct throttle *throttle, const struct throttle_client *client, const char *user, int64_t now)
{
	struct counter *pair;

	pthread_mutex_lock(&throttle->lock);
	pair = find_or_make(throttle, client->text, user, now, FAMILIAR_MS);
	pair->failures = 0;
	pair->success = now;
	pthread_mutex_unlock(&throttle->lock);
}
