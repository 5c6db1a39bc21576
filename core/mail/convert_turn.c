/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert_turn.c - conversions take turns.
 *
 * Called by convert_part.c around the work. A conversion takes up to six times its message in
 * memory that no budget counts, and on policy threads only their number bounded it. Must never let
 * a large message wait for ever behind small ones that come later.
 */
#include <core/mail/convert_turn.h>
#include <core/mail/message.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Converted at a time: one of any length, or so many bytes; each counts for so many at least. */
#define BYTES_MOST  (4 * MAIL_IN_MEMORY)
#define BYTES_LEAST (MAIL_IN_MEMORY / 4)

static struct {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint64_t last, next; /* tickets: the last that was drawn; who has his turn next */
	size_t bytes;        /* being converted */
} turns = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0 };

static bool
has_room(size_t len)
{
	return turns.bytes == 0 || len <= BYTES_MOST - turns.bytes;
}

void
convert_turn_take(size_t len, size_t *ret)
{
	uint64_t ticket;

	if (len < BYTES_LEAST)
		len = BYTES_LEAST;
	if (len > BYTES_MOST)
		len = BYTES_MOST;
	pthread_mutex_lock(&turns.lock);
	ticket = turns.last++;
	while (ticket != turns.next || !has_room(len))
		pthread_cond_wait(&turns.moved, &turns.lock);
	turns.next++;
	turns.bytes += len;
	pthread_cond_broadcast(&turns.moved);
	pthread_mutex_unlock(&turns.lock);
	*ret = len;
}

void
convert_turn_give(size_t taken)
{
	pthread_mutex_lock(&turns.lock);
	turns.bytes -= taken;
	pthread_cond_broadcast(&turns.moved);
	pthread_mutex_unlock(&turns.lock);
}
