/* SPDX-License-Identifier: Apache-2.0 */
/*
 * item.c - accepted messages in memory, and the ids they get.
 *
 * Called by sessions, the queue and the spool's recovery. An item has one owner at a time; ids may
 * be asked for from any thread.
 */
#include <core/base/clock.h>
#include <core/queue/item.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ID_LENGTH 13 /* of 5 bits each, for 64 */

/* Sorted as ASCII sorts, without letters that are taken for one another. */
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/*
 * The last id given: microseconds since 1970, 8 bits to count on within one, and the number of the
 * process, which another one that makes ids beside it does not have.
 */
static _Atomic uint64_t last_id;
static _Atomic unsigned maker;

struct item *
item_new(void)
{
	return item_new_sized(0);
}

struct item *
item_new_sized(size_t room)
{
	struct arena arena = { 0 };
	struct item *item;

	arena_reserve(&arena, room);
	/* The item lives in its own arena: one allocation less, and out of memory is dealt with. */
	item = arena_alloc(&arena, sizeof(*item));
	item->arena = arena;
	return item;
}

void
item_prepare(struct item *item)
{
	size_t count = item->envelope.count;

	item->recipients = arena_alloc(&item->arena, count * sizeof(*item->recipients));
	for (size_t i = 0; i < count; i++)
		item->recipients[i].envelope = &item->envelope.recipients[i];
	item->unfinished = (uint32_t)count;
}

void
item_free(struct item **item)
{
	struct arena arena;

	if (!*item)
		return;
	mail_bytes_release(&(*item)->bytes);
	arena = (*item)->arena;
	*item = NULL;
	arena_free(&arena);
}

static void
write_id(uint64_t number, char ret[ITEM_ID_SIZE])
{
	memset(ret, 0, ITEM_ID_SIZE);
	for (int i = ID_LENGTH - 1; i >= 0; i--) {
		ret[i] = alphabet[number & 31];
		number >>= 5;
	}
}

static bool
read_id(const char id[ITEM_ID_SIZE], uint64_t *ret)
{
	uint64_t number = 0;

	for (int i = 0; i < ID_LENGTH; i++) {
		const char *at = id[i] ? strchr(alphabet, id[i]) : NULL;

		if (!at || number >> 59)
			return false;
		number = number << 5 | (uint64_t)(at - alphabet);
	}
	*ret = number;
	return true;
}

void
item_id_new(char ret[ITEM_ID_SIZE])
{
	uint64_t now = (uint64_t)clock_wall_us() << 12, last = atomic_load(&last_id), next;
	unsigned number = atomic_load_explicit(&maker, memory_order_relaxed);

	do
		next = (now > last ? now : (last / ITEM_ID_MAKERS + 1) * ITEM_ID_MAKERS) | number;
	while (!atomic_compare_exchange_weak(&last_id, &last, next));
	write_id(next, ret);
}

static void
raise_floor(uint64_t number)
{
	uint64_t last = atomic_load(&last_id);

	while (number > last && !atomic_compare_exchange_weak(&last_id, &last, number))
		;
}

void
item_id_floor(const char id[ITEM_ID_SIZE])
{
	uint64_t number;

	if (read_id(id, &number))
		raise_floor(number);
}

void
item_id_after(int64_t us)
{
	raise_floor((uint64_t)us << 12);
}

void
item_id_maker(unsigned number)
{
	atomic_store(&maker, number % ITEM_ID_MAKERS);
}

struct mail_rendering
item_rendering(const struct item *item, uint32_t index)
{
	const struct mail_plan *plan = &item->recipients[index].plan;

	if (item->rendering_count == 0)
		return (struct mail_rendering){
			.len = item->size,
			.needs_utf8 = item->needs_utf8,
			.has_eightbit = item->has_eightbit,
			.binary = item->facts.binary,
		};
	if (plan->unserved || plan->rendering >= item->rendering_count)
		return (struct mail_rendering){ 0 };
	return item->renderings[plan->rendering];
}
