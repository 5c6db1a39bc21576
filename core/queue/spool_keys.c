/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_keys.c - which keys the spool encrypts and opens with, and how they change while it runs.
 *
 * Called by loops and the committer; under table_lock. A key that was taken out of the
 * configuration is kept for opening, in memory, until the process ends: what waits must not become
 * unreadable because a file was edited too early.
 */
#include <core/queue/spool_core.h>

struct keyring *
spool_keys_hold(struct spool *spool, unsigned *ret_turn)
{
	struct keyring *keys;

	pthread_mutex_lock(&spool->table_lock);
	keys = keyring_hold(spool->keys);
	*ret_turn = atomic_load(&spool->keys_turn);
	pthread_mutex_unlock(&spool->table_lock);
	return keys;
}

int
spool_keys_open(struct spool *spool, const struct cipher_wrap *wrap, struct cipher **ret)
{
	struct keyring *known;
	int r;

	*ret = NULL;
	if (!wrap->encrypted)
		return 0;
	pthread_mutex_lock(&spool->table_lock);
	known = keyring_hold(spool->known);
	pthread_mutex_unlock(&spool->table_lock);
	r = cipher_open(known, wrap, ret);
	keyring_release(&known);
	return r;
}

/* ---- changes ---------------------------------------------------------------------------------
 */

struct change {
	struct keyring *keys;
	void (*needed)(void *arg, const char *key);
	void *arg;
};

/* Once for each name of a key that is gone and that a segment in use was encrypted with. */
static void
tell_needed(struct spool *spool, void *arg)
{
	struct change *change = arg;
	GHashTable *told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (guint i = 0; i < spool->segments->len; i++) {
		const struct segment *segment = g_ptr_array_index(spool->segments, i);
		char name[KEYRING_NAME + 1];

		if (!segment->wrap.encrypted || (segment->live_count == 0 && !segment->locked))
			continue;
		cipher_key_name(&segment->wrap, name);
		if (keyring_find(change->keys, name) < 0 && g_hash_table_add(told, g_strdup(name)))
			change->needed(change->arg, name);
	}
	g_hash_table_unref(told);
	keyring_release(&change->keys);
	g_free(change);
}

/* 1; 0 where nothing changes; -ENOMEM. */
static int
take(struct spool *spool, struct keyring *keys)
{
	struct keyring *known, *old = spool->known;

	if (keyring_equals(spool->keys, keys))
		return 0;
	if (keyring_join(keys, old, &known) < 0)
		return -ENOMEM;
	keyring_release(&spool->keys);
	keyring_release(&old);
	spool->keys = keyring_hold(keys);
	spool->known = known;
	atomic_fetch_add(&spool->keys_turn, 1);
	return 1;
}

int
spool_set_keys(struct spool *spool, struct keyring *keys,
    void (*needed)(void *arg, const char *key), void *arg)
{
	struct change *change;
	struct spool_op *op;
	int r;

	pthread_mutex_lock(&spool->table_lock);
	r = take(spool, keys);
	pthread_mutex_unlock(&spool->table_lock);
	if (r <= 0)
		return r;
	change = g_new0(struct change, 1);
	*change = (struct change){ keyring_hold(keys), needed, arg };
	op = g_new0(struct spool_op, 1);
	op->run = tell_needed;
	op->run_arg = change;
	committer_give(spool, op);
	return 0;
}
