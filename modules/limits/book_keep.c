/* SPDX-License-Identifier: Apache-2.0 */
/*
 * book_keep.c - the book's life, its journal, what it forgets and what it shows.
 *
 * Called by limits.c, store.c and command.c. Must never forget what is under way.
 */
#include "book_inner.h"

#define SEEN_BYTES 48
#define HOLD_MS    (2 * 3600 * INT64_C(1000)) /* longer than any transaction takes */

struct book *
book_new(void)
{
	struct book *book = g_new0(struct book, 1);

	pthread_mutex_init(&book->lock, NULL);
	book->users = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, book_free_party);
	book->accounts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, book_free_party);
	book->holds = g_hash_table_new_full(g_int64_hash, g_int64_equal, book_free_hold, NULL);
	book->seen = book_new_ids();
	book->seen_before = book_new_ids();
	return book;
}

void
book_free(struct book **book)
{
	struct book *old = *book;

	*book = NULL;
	if (!old)
		return;
	g_hash_table_destroy(old->holds);
	g_hash_table_destroy(old->users);
	g_hash_table_destroy(old->accounts);
	g_hash_table_destroy(old->seen);
	g_hash_table_destroy(old->seen_before);
	if (old->journal)
		g_byte_array_unref(old->journal);
	pthread_mutex_destroy(&old->lock);
	g_free(old);
}

/* ---- the journal ----------------------------------------------------------------------------- */

GByteArray *
book_take(struct book *book)
{
	GByteArray *journal;

	pthread_mutex_lock(&book->lock);
	journal = book->journal;
	book->journal = NULL;
	pthread_mutex_unlock(&book->lock);
	return journal;
}

void
book_give_back(struct book *book, GByteArray *journal)
{
	pthread_mutex_lock(&book->lock);
	if (book->journal) {
		g_byte_array_append(journal, book->journal->data, book->journal->len);
		g_byte_array_unref(book->journal);
	}
	book->journal = journal;
	pthread_mutex_unlock(&book->lock);
}

/* ---- forgetting ------------------------------------------------------------------------------ */

struct sweep {
	struct book *book;
	const struct rules *rules;
	int64_t now;
	bool accounts;
};

static gboolean
is_idle(gpointer key, gpointer value, gpointer arg)
{
	struct sweep *sweep = arg;
	struct party *party = value;
	bool idle = party->holds == 0;

	for (enum counter i = 0; i < COUNTERS; i++)
		if (book_places[i].account == sweep->accounts &&
		    (book_level(party, sweep->rules, i, sweep->now) > 0 ||
			span_frees(&sweep->rules->span[i], party->warned[book_places[i].slot]) >
			    sweep->now))
			idle = false;
	if (idle)
		sweep->book->bytes -= party->bytes;
	else
		book_weigh(sweep->book, party);
	return idle;
}

static void
drop_old_holds(struct book *book, int64_t now)
{
	GHashTableIter iter;
	GPtrArray *old = g_ptr_array_new();
	gpointer key;

	g_hash_table_iter_init(&iter, book->holds);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		if (((struct hold *)key)->at + HOLD_MS <= now)
			g_ptr_array_add(old, key);
	for (guint i = 0; i < old->len; i++)
		book_let_go(book, old->pdata[i]);
	g_ptr_array_free(old, TRUE);
}

void
book_sweep(struct book *book, const struct rules *rules, int64_t now)
{
	struct sweep sweep = { book, rules, now, false };

	pthread_mutex_lock(&book->lock);
	drop_old_holds(book, now);
	g_hash_table_foreach_remove(book->users, is_idle, &sweep);
	sweep.accounts = true;
	g_hash_table_foreach_remove(book->accounts, is_idle, &sweep);
	book_turn_seen(book, now);
	pthread_mutex_unlock(&book->lock);
}

size_t
book_bytes(struct book *book)
{
	size_t bytes;

	pthread_mutex_lock(&book->lock);
	bytes = book_weight(book) +
		(g_hash_table_size(book->seen) + g_hash_table_size(book->seen_before)) * SEEN_BYTES;
	pthread_mutex_unlock(&book->lock);
	return bytes;
}

/* ---- showing --------------------------------------------------------------------------------- */

static void
look_unique(struct party *party, const struct span *span, int64_t now, struct figure *ret)
{
	size_t all = unique_count(party->unique, span, now);

	ret->count = (int64_t)unique_listed(party->unique);
	ret->reserved = (int64_t)all - ret->count;
	ret->frees = ret->count > 0 ? unique_frees(party->unique, span, now, all - 1) : 0;
	ret->empty = unique_frees(party->unique, span, now, 0);
}

static void
look(struct party *party, const struct span *span, int64_t now, struct figure *ret)
{
	int slot = book_places[ret->counter].slot;
	struct tally *tally = &party->tally[slot];

	if (ret->counter == USER_UNIQUE) {
		look_unique(party, span, now, ret);
		return;
	}
	ret->count = tally_count(tally, span, now);
	ret->reserved = party->held[slot];
	ret->frees = ret->count > 0 ? tally_frees(tally, span, now, ret->count - 1) : 0;
	ret->empty = tally_frees(tally, span, now, 0);
}

size_t
book_figures(struct book *book, const struct rules *rules, const char *name, bool account,
    int64_t now, struct figure ret[COUNTERS])
{
	size_t count = 0;
	struct party *party;

	pthread_mutex_lock(&book->lock);
	party = g_hash_table_lookup(account ? book->accounts : book->users, name);
	for (enum counter i = 0; i < COUNTERS; i++) {
		if (book_places[i].account != account)
			continue;
		ret[count] = (struct figure){ .counter = i, .most = rules->most[i] };
		if (party)
			look(party, &rules->span[i], now, &ret[count]);
		count++;
	}
	pthread_mutex_unlock(&book->lock);
	return count;
}
