/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_shared.c - what all loops' servers have in common: connections counted in all and per
 * address, and whether new mail is taken.
 *
 * Called by server.c when a connection comes and goes. An address is in the table only while it has
 * connections.
 */
#include <core/smtp/server_shared.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct server_shared {
	pthread_mutex_t lock;
	GHashTable *addresses; /* text -> number */
	int64_t connections;
	atomic_bool closed;
};

int
server_shared_new(struct server_shared **ret)
{
	struct server_shared *shared = calloc(1, sizeof(*shared));

	if (!shared)
		return -ENOMEM;
	pthread_mutex_init(&shared->lock, NULL);
	shared->addresses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	*ret = shared;
	return 0;
}

void
server_shared_free(struct server_shared **shared)
{
	if (!*shared)
		return;
	g_hash_table_destroy((*shared)->addresses);
	pthread_mutex_destroy(&(*shared)->lock);
	free(*shared);
	*shared = NULL;
}

void
server_shared_close(struct server_shared *shared, bool closed)
{
	atomic_store(&shared->closed, closed);
}

bool
server_shared_is_closed(const struct server_shared *shared)
{
	return atomic_load_explicit(&shared->closed, memory_order_relaxed);
}

int
server_shared_enter(
    struct server_shared *shared, const char *address, int64_t most, int64_t most_per_address)
{
	int64_t here;
	int r = 0;

	pthread_mutex_lock(&shared->lock);
	here = GPOINTER_TO_INT(g_hash_table_lookup(shared->addresses, address));
	if (shared->connections >= most)
		r = -EMFILE;
	else if (most_per_address > 0 && here >= most_per_address)
		r = -EUSERS;
	if (r == 0) {
		shared->connections++;
		g_hash_table_insert(
		    shared->addresses, g_strdup(address), GINT_TO_POINTER((int)here + 1));
	}
	pthread_mutex_unlock(&shared->lock);
	return r;
}

void
server_shared_leave(struct server_shared *shared, const char *address)
{
	int here;

	pthread_mutex_lock(&shared->lock);
	shared->connections--;
	here = GPOINTER_TO_INT(g_hash_table_lookup(shared->addresses, address));
	if (here > 1)
		g_hash_table_insert(
		    shared->addresses, g_strdup(address), GINT_TO_POINTER(here - 1));
	else
		g_hash_table_remove(shared->addresses, address);
	pthread_mutex_unlock(&shared->lock);
}
