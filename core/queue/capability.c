/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capability.c - what the last session with each next hop showed of TLS.
 *
 * Noted by destinations for each connection, asked by policy for each recipient. Bounded: the next
 * hop that was heard of least recently is forgotten. Must never be held over anything that waits.
 */
#include <core/queue/capability.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>

#define KNOWN_MOST 10000u

struct known {
	GList link; /* in `order` */
	int bits;
	char key[];
};

struct capability {
	atomic_uint references;
	pthread_mutex_t lock;
	GHashTable *known; /* by key */
	GQueue order;      /* heard of last at the end */
};

struct capability *
capability_new(void)
{
	struct capability *capability = g_new0(struct capability, 1);

	atomic_init(&capability->references, 1);
	pthread_mutex_init(&capability->lock, NULL);
	capability->known = g_hash_table_new(g_str_hash, g_str_equal);
	g_queue_init(&capability->order);
	return capability;
}

struct capability *
capability_hold(struct capability *capability)
{
	atomic_fetch_add(&capability->references, 1);
	return capability;
}

static void
forget_oldest(struct capability *capability)
{
	struct known *known = g_queue_pop_head_link(&capability->order)->data;

	g_hash_table_remove(capability->known, known->key);
	g_free(known);
}

void
capability_release(struct capability **capability_at)
{
	struct capability *capability = *capability_at;

	*capability_at = NULL;
	if (!capability || atomic_fetch_sub(&capability->references, 1) > 1)
		return;
	while (capability->order.length > 0)
		forget_oldest(capability);
	g_hash_table_destroy(capability->known);
	pthread_mutex_destroy(&capability->lock);
	g_free(capability);
}

static struct known *
add(struct capability *capability, const char *key)
{
	size_t size = strlen(key) + 1;
	struct known *known = g_malloc0(sizeof(*known) + size);

	memcpy(known->key, key, size);
	known->link.data = known;
	if (capability->order.length >= KNOWN_MOST)
		forget_oldest(capability);
	g_hash_table_insert(capability->known, known->key, known);
	return known;
}

void
capability_note(struct capability *capability, const char *key, int bits)
{
	struct known *known;

	pthread_mutex_lock(&capability->lock);
	known = g_hash_table_lookup(capability->known, key);
	if (known)
		g_queue_unlink(&capability->order, &known->link);
	else
		known = add(capability, key);
	known->bits = bits;
	g_queue_push_tail_link(&capability->order, &known->link);
	pthread_mutex_unlock(&capability->lock);
}

int
capability_bits(struct capability *capability, const char *key)
{
	const struct known *known;
	int bits;

	pthread_mutex_lock(&capability->lock);
	known = g_hash_table_lookup(capability->known, key);
	bits = known ? known->bits : -ENOENT;
	pthread_mutex_unlock(&capability->lock);
	return bits;
}
