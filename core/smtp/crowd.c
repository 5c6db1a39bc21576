/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd.c - connections counted over all loops, in all and per network, and their rates.
 *
 * Called by server.c when a connection comes and goes. A network is in the table while it has
 * connections or its bucket is not full again; must never keep more than that, whoever makes up
 * addresses.
 */
#include <core/smtp/crowd.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#define MINUTE_US       INT64_C(60000000)
#define SECOND_US       INT64_C(1000000)
#define SWEEP_LEAST     1024u
#define REMEMBERED_MOST (64u * 1024) /* networks without connections; others are forgotten */

struct crowd_key {
	uint8_t network[16];
	guint hash;
};

struct crowd_place {
	struct crowd_key key;
	uint32_t open;
	int64_t due; /* us; when the bucket is full again */
};

struct crowd {
	pthread_mutex_t lock;
	GHashTable *places; /* by their keys */
	uint64_t seeds[2];  /* odd */
	guint sweep_at;
	int64_t due; /* us; of all */
	_Atomic int64_t open;
};

/* ---- the table --------------------------------------------------------------------------------
 */

/* Whoever has many networks must not choose those that fall on one place of the table. */
static void
make_key(const struct crowd *crowd, const struct address *client, unsigned ip6_bits,
    struct crowd_key *ret)
{
	uint64_t words[2], mixed;

	address_network(client, ip6_bits, ret->network);
	memcpy(words, ret->network, sizeof(words));
	mixed = (words[0] ^ crowd->seeds[0]) * crowd->seeds[1];
	mixed = ((mixed ^ (mixed >> 32)) + words[1]) * crowd->seeds[0];
	ret->hash = (guint)(mixed >> 32);
}

static guint
hash(gconstpointer key)
{
	return ((const struct crowd_key *)key)->hash;
}

static gboolean
equal(gconstpointer one, gconstpointer two)
{
	return memcmp(one, two, sizeof(((struct crowd_key *)0)->network)) == 0;
}

int
crowd_new(struct crowd **ret)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	if (!crowd)
		return -ENOMEM;
	if (getrandom(crowd->seeds, sizeof(crowd->seeds), 0) != (ssize_t)sizeof(crowd->seeds)) {
		free(crowd);
		return -EIO;
	}
	crowd->seeds[0] |= 1;
	crowd->seeds[1] |= 1;
	pthread_mutex_init(&crowd->lock, NULL);
	crowd->places = g_hash_table_new_full(hash, equal, NULL, g_free);
	crowd->sweep_at = SWEEP_LEAST;
	*ret = crowd;
	return 0;
}

void
crowd_free(struct crowd **crowd)
{
	if (!*crowd)
		return;
	g_hash_table_destroy((*crowd)->places);
	pthread_mutex_destroy(&(*crowd)->lock);
	free(*crowd);
	*crowd = NULL;
}

static gboolean
is_forgettable(gpointer key, gpointer value, gpointer arg)
{
	const struct crowd_place *place = value;
	const int64_t *now = arg;

	return place->open == 0 && place->due <= *now;
}

static void
sweep(struct crowd *crowd, int64_t now)
{
	guint left;

	if (g_hash_table_size(crowd->places) < crowd->sweep_at)
		return;
	g_hash_table_foreach_remove(crowd->places, is_forgettable, &now);
	left = g_hash_table_size(crowd->places);
	crowd->sweep_at = left < SWEEP_LEAST / 2 ? SWEEP_LEAST : 2 * left;
}

static struct crowd_place *
find(struct crowd *crowd, const struct address *client, unsigned ip6_bits, int64_t now)
{
	struct crowd_place *place;
	struct crowd_key key;

	make_key(crowd, client, ip6_bits, &key);
	place = g_hash_table_lookup(crowd->places, &key);
	if (place)
		return place;
	sweep(crowd, now);
	place = g_new0(struct crowd_place, 1);
	place->key = key;
	g_hash_table_insert(crowd->places, &place->key, place);
	return place;
}

static void
forget_if_idle(struct crowd *crowd, struct crowd_place *place, int64_t now)
{
	bool many = g_hash_table_size(crowd->places) > REMEMBERED_MOST;

	if (place->open == 0 && (many || place->due <= now))
		g_hash_table_remove(crowd->places, &place->key);
}

/* ---- buckets ----------------------------------------------------------------------------------
 */

/* Whether a bucket that holds `rate` for `span` has one left. */
static bool
has_one(int64_t due, int64_t rate, int64_t span, int64_t now)
{
	return rate <= 0 || due - now <= span - span / rate;
}

static void
take(int64_t *due, int64_t count, int64_t rate, int64_t span, int64_t now)
{
	if (rate <= 0)
		return;
	if (*due < now)
		*due = now;
	*due += span / rate * count;
	if (*due > now + span) /* never more than the whole bucket */
		*due = now + span;
}

/* ---- coming and going -------------------------------------------------------------------------
 */

static int
judge(const struct crowd *crowd, const struct crowd_limits *limits, const struct crowd_place *place,
    int64_t now)
{
	if (crowd->open >= limits->all)
		return -EMFILE;
	if (place && place->open >= limits->here)
		return -EUSERS;
	if (place && !has_one(place->due, limits->per_minute, MINUTE_US, now))
		return -EDQUOT;
	if (!has_one(crowd->due, limits->per_second, SECOND_US, now))
		return -EBUSY;
	return 0;
}

int
crowd_enter(struct crowd *crowd, const struct crowd_limits *limits, const struct address *client,
    int64_t now_ms, struct crowd_place **ret)
{
	int64_t now = now_ms * 1000;
	struct crowd_place *place;
	int r;

	pthread_mutex_lock(&crowd->lock);
	place = client ? find(crowd, client, limits->ip6_bits, now) : NULL;
	r = judge(crowd, limits, place, now);
	if (r == 0) {
		crowd->open++;
		take(&crowd->due, 1, limits->per_second, SECOND_US, now);
		if (place) {
			place->open++;
			take(&place->due, 1, limits->per_minute, MINUTE_US, now);
		}
		*ret = place;
	} else if (place) {
		forget_if_idle(crowd, place, now);
	}
	pthread_mutex_unlock(&crowd->lock);
	return r;
}

void
crowd_leave(struct crowd *crowd, struct crowd_place *place, int64_t now)
{
	pthread_mutex_lock(&crowd->lock);
	crowd->open--;
	if (place) {
		place->open--;
		forget_if_idle(crowd, place, now * 1000);
	}
	pthread_mutex_unlock(&crowd->lock);
}

void
crowd_charge(struct crowd *crowd, const struct crowd_limits *limits, struct crowd_place *place,
    int64_t connections, int64_t now)
{
	if (!place)
		return;
	pthread_mutex_lock(&crowd->lock);
	take(&place->due, connections, limits->per_minute, MINUTE_US, now * 1000);
	pthread_mutex_unlock(&crowd->lock);
}

int64_t
crowd_size(const struct crowd *crowd)
{
	return atomic_load_explicit(&crowd->open, memory_order_relaxed);
}
