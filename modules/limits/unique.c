/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unique.c - recipients in a table, and those written to also in the order of their latest times.
 *
 * Called by book.c with the book's lock held. Must never forget one that is held.
 */
#include "unique.h"
#include <glib.h>

struct recipient {
	gint64 hash; /* the key: first, for g_int64_hash() */
	int64_t at;  /* of the latest message; only in the list */
	struct recipient *older, *newer;
	uint32_t holds;
	bool listed;
};

struct unique {
	GHashTable *table; /* of struct recipient, which are their own keys */
	struct recipient *oldest, *newest;
	size_t listed;
};

struct unique *
unique_new(void)
{
	struct unique *unique = g_new0(struct unique, 1);

	unique->table = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	return unique;
}

void
unique_free(struct unique **unique)
{
	struct unique *old = *unique;

	*unique = NULL;
	if (!old)
		return;
	g_hash_table_destroy(old->table);
	g_free(old);
}

/* ---- the list -------------------------------------------------------------------------------- */

static void
unlist(struct unique *unique, struct recipient *one)
{
	if (!one->listed)
		return;
	one->listed = false;
	unique->listed--;
	*(one->older ? &one->older->newer : &unique->oldest) = one->newer;
	*(one->newer ? &one->newer->older : &unique->newest) = one->older;
	one->older = one->newer = NULL;
}

/* Behind all that are not later: nearly always at the end. */
static void
list(struct unique *unique, struct recipient *one, int64_t at)
{
	struct recipient *older = unique->newest;

	while (older && older->at > at)
		older = older->older;
	one->at = at;
	one->listed = true;
	unique->listed++;
	one->older = older;
	one->newer = older ? older->newer : unique->oldest;
	*(older ? &older->newer : &unique->oldest) = one;
	*(one->newer ? &one->newer->older : &unique->newest) = one;
}

static void
forget(struct unique *unique, struct recipient *one)
{
	unlist(unique, one);
	if (one->holds == 0)
		g_hash_table_remove(unique->table, one);
}

static void
expire(struct unique *unique, const struct span *span, int64_t now)
{
	while (unique->oldest && span_frees(span, unique->oldest->at) <= now)
		forget(unique, unique->oldest);
}

/* ---- recipients ------------------------------------------------------------------------------ */

static struct recipient *
find(struct unique *unique, uint64_t hash)
{
	gint64 key = (gint64)hash;

	return g_hash_table_lookup(unique->table, &key);
}

static struct recipient *
find_or_make(struct unique *unique, uint64_t hash)
{
	struct recipient *one = find(unique, hash);

	if (one)
		return one;
	one = g_new0(struct recipient, 1);
	one->hash = (gint64)hash;
	g_hash_table_add(unique->table, one);
	return one;
}

size_t
unique_count(struct unique *unique, const struct span *span, int64_t now)
{
	expire(unique, span, now);
	return g_hash_table_size(unique->table);
}

bool
unique_has(struct unique *unique, const struct span *span, int64_t now, uint64_t recipient)
{
	expire(unique, span, now);
	return find(unique, recipient) != NULL;
}

void
unique_hold(struct unique *unique, uint64_t recipient)
{
	find_or_make(unique, recipient)->holds++;
}

void
unique_drop(struct unique *unique, uint64_t recipient)
{
	struct recipient *one = find(unique, recipient);

	if (!one || one->holds == 0)
		return;
	one->holds--;
	if (one->holds == 0 && !one->listed)
		g_hash_table_remove(unique->table, one);
}

void
unique_add(struct unique *unique, uint64_t recipient, int64_t at)
{
	struct recipient *one = find_or_make(unique, recipient);

	if (one->listed && one->at >= at)
		return;
	unlist(unique, one);
	list(unique, one, at);
}

size_t
unique_listed(const struct unique *unique)
{
	return unique->listed;
}

int64_t
unique_frees(struct unique *unique, const struct span *span, int64_t now, size_t left)
{
	size_t remain = unique_count(unique, span, now);
	int64_t when = 0;

	for (struct recipient *one = unique->oldest; one && remain > left; one = one->newer) {
		when = span_frees(span, one->at);
		remain--;
	}
	return when;
}

void
unique_clear(struct unique *unique)
{
	while (unique->oldest)
		forget(unique, unique->oldest);
}
