/* SPDX-License-Identifier: Apache-2.0 */
/*
 * silence.c - addresses that did not answer.
 *
 * Noted and asked by destinations, for mail exchangers, whose addresses are known before anything
 * is opened. Must never keep an address for ever: who is left alone has his chance in time, and who
 * was not heard of for long is forgotten.
 */
#include <core/queue/schedule.h>
#include <core/queue/silence.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>

#define KNOWN_MOST 10000u
#define KEPT_MS    (60 * 60000) /* behind its time: until then the delays go on doubling */

struct silent {
	GList link; /* in `order` */
	uint32_t failures;
	int64_t until;
	char reason[COURIER_TEXT];
	char key[ADDRESS_TEXT];
};

struct silence {
	atomic_uint references;
	atomic_uint count;
	pthread_mutex_t lock;
	GHashTable *known; /* by key */
	GQueue order;      /* noted last at the end */
};

struct silence *
silence_new(void)
{
	struct silence *silence = g_new0(struct silence, 1);

	atomic_init(&silence->references, 1);
	atomic_init(&silence->count, 0);
	pthread_mutex_init(&silence->lock, NULL);
	silence->known = g_hash_table_new(g_str_hash, g_str_equal);
	g_queue_init(&silence->order);
	return silence;
}

struct silence *
silence_hold(struct silence *silence)
{
	atomic_fetch_add(&silence->references, 1);
	return silence;
}

static void
forget(struct silence *silence, struct silent *silent)
{
	g_queue_unlink(&silence->order, &silent->link);
	g_hash_table_remove(silence->known, silent->key);
	g_free(silent);
	atomic_fetch_sub(&silence->count, 1);
}

static struct silent *
oldest(struct silence *silence)
{
	return silence->order.head ? silence->order.head->data : NULL;
}

void
silence_release(struct silence **silence_at)
{
	struct silence *silence = *silence_at;

	*silence_at = NULL;
	if (!silence || atomic_fetch_sub(&silence->references, 1) > 1)
		return;
	while (silence->order.length > 0)
		forget(silence, oldest(silence));
	g_hash_table_destroy(silence->known);
	pthread_mutex_destroy(&silence->lock);
	g_free(silence);
}

static struct silent *
find(struct silence *silence, const struct address *address)
{
	char key[ADDRESS_TEXT];

	address_format(address, key);
	return g_hash_table_lookup(silence->known, key);
}

static struct silent *
add(struct silence *silence, const struct address *address)
{
	struct silent *silent = g_new0(struct silent, 1);

	address_format(address, silent->key);
	silent->link.data = silent;
	if (silence->order.length >= KNOWN_MOST)
		forget(silence, oldest(silence));
	g_hash_table_insert(silence->known, silent->key, silent);
	g_queue_push_tail_link(&silence->order, &silent->link);
	atomic_fetch_add(&silence->count, 1);
	return silent;
}

void
silence_note(struct silence *silence, const struct address *addresses, size_t count, int64_t now,
    const struct silence_delays *delays, const char *reason)
{
	struct silent *silent;

	pthread_mutex_lock(&silence->lock);
	while ((silent = oldest(silence)) && silent->until + KEPT_MS < now)
		forget(silence, silent);
	for (size_t i = 0; i < count; i++) {
		silent = find(silence, &addresses[i]);
		if (silent && silent->until > now)
			continue;
		if (!silent)
			silent = add(silence, &addresses[i]);
		silent->until = now +
				schedule_delay_ms(delays->first, delays->most, ++silent->failures);
		g_strlcpy(silent->reason, reason, sizeof(silent->reason));
		g_queue_unlink(&silence->order, &silent->link);
		g_queue_push_tail_link(&silence->order, &silent->link);
	}
	pthread_mutex_unlock(&silence->lock);
}

void
silence_end(struct silence *silence, const struct address *addresses, size_t count)
{
	if (atomic_load(&silence->count) == 0)
		return;
	pthread_mutex_lock(&silence->lock);
	for (size_t i = 0; i < count; i++) {
		struct silent *silent = find(silence, &addresses[i]);

		if (silent)
			forget(silence, silent);
	}
	pthread_mutex_unlock(&silence->lock);
}

int64_t
silence_until(struct silence *silence, const struct address *addresses, size_t count, int64_t now,
    char *ret_reason)
{
	int64_t until = count > 0 ? INT64_MAX : 0;

	if (atomic_load(&silence->count) == 0)
		return 0;
	pthread_mutex_lock(&silence->lock);
	for (size_t i = 0; i < count && until > 0; i++) {
		const struct silent *silent = find(silence, &addresses[i]);

		if (!silent || silent->until <= now) {
			until = 0;
		} else if (silent->until < until) {
			until = silent->until;
			if (ret_reason)
				g_strlcpy(ret_reason, silent->reason, COURIER_TEXT);
		}
	}
	pthread_mutex_unlock(&silence->lock);
	return until;
}
