/* SPDX-License-Identifier: Apache-2.0 */
/*
 * book.c - what is under way: reserved at MAIL and RCPT, given back where it is not accepted.
 *
 * Called by limits.c from hooks on event loops. Must never let one pass that would be one too many.
 */
#include "book_inner.h"

#define PARTY_BYTES 100 /* of tables and names, beside its struct */

const struct place book_places[COUNTERS] = {
	[ACCOUNT_MESSAGES] = { true, 0 },
	[ACCOUNT_DAY] = { true, 1 },
	[ACCOUNT_PEAK] = { true, 2 },
	[USER_MESSAGES] = { false, 0 },
	[USER_UNIQUE] = { false, 1 },
};

/* ---- parties --------------------------------------------------------------------------------- */

void
book_free_party(void *data)
{
	struct party *party = data;

	for (int i = 0; i < SLOTS; i++)
		tally_clear(&party->tally[i]);
	unique_free(&party->unique);
	g_free(party->name);
	g_free(party);
}

struct party *
book_party(struct book *book, bool account, const char *name)
{
	GHashTable *table = account ? book->accounts : book->users;
	struct party *found = name ? g_hash_table_lookup(table, name) : NULL;

	if (found || !name)
		return found;
	found = g_new0(struct party, 1);
	found->name = g_strdup(name);
	if (!account)
		found->unique = unique_new();
	g_hash_table_insert(table, found->name, found);
	return found;
}

/* After it has changed. */
void
book_weigh(struct book *book, struct party *party)
{
	static const struct span ever = { INT64_MAX / 2, false };
	size_t bytes = sizeof(*party) + PARTY_BYTES;

	if (!party)
		return;
	for (int i = 0; i < SLOTS; i++)
		bytes += tally_bytes(&party->tally[i]);
	if (party->unique)
		bytes += unique_count(party->unique, &ever, 0) * UNIQUE_BYTES;
	book->bytes += bytes - party->bytes;
	party->bytes = bytes;
}

static struct party *
party_of(const struct hold *hold, enum counter counter)
{
	return book_places[counter].account ? hold->account : hold->user;
}

/* What counts now, with what is under way. */
int64_t
book_level(struct party *party, const struct rules *rules, enum counter counter, int64_t now)
{
	const struct span *span = &rules->span[counter];
	int slot = book_places[counter].slot;

	if (counter == USER_UNIQUE)
		return (int64_t)unique_count(party->unique, span, now);
	return tally_count(&party->tally[slot], span, now) + party->held[slot];
}

static bool
is_full(const struct hold *hold, const struct rules *rules, enum counter counter, int64_t now)
{
	struct party *party = party_of(hold, counter);

	return party && rules->most[counter] != NO_LIMIT &&
	       book_level(party, rules, counter, now) >= rules->most[counter];
}

/* ---- reservations ---------------------------------------------------------------------------- */

static void
hold_counter(const struct hold *hold, enum counter counter, int64_t by)
{
	struct party *party = party_of(hold, counter);

	if (party)
		party->held[book_places[counter].slot] += by;
}

static void
hold_recipient(struct hold *hold, uint64_t recipient)
{
	g_array_append_val(hold->recipients, recipient);
	hold_counter(hold, ACCOUNT_DAY, 1);
	hold_counter(hold, ACCOUNT_PEAK, 1);
	if (hold->unique)
		unique_hold(hold->user->unique, recipient);
}

static void
drop_last(struct hold *hold)
{
	uint64_t recipient = g_array_index(hold->recipients, uint64_t, hold->recipients->len - 1);

	g_array_set_size(hold->recipients, hold->recipients->len - 1);
	hold_counter(hold, ACCOUNT_DAY, -1);
	hold_counter(hold, ACCOUNT_PEAK, -1);
	if (hold->unique)
		unique_drop(hold->user->unique, recipient);
}

void
book_free_hold(void *data)
{
	struct hold *hold = data;

	g_array_free(hold->recipients, TRUE);
	g_free(hold);
}

struct hold *
book_find_hold(struct book *book, uint64_t id)
{
	gint64 key = (gint64)id;

	return g_hash_table_lookup(book->holds, &key);
}

/* All of it is given back. */
void
book_let_go(struct book *book, struct hold *hold)
{
	while (hold->recipients->len > 0)
		drop_last(hold);
	if (hold->message) {
		hold_counter(hold, ACCOUNT_MESSAGES, -1);
		hold_counter(hold, USER_MESSAGES, -1);
	}
	if (hold->user)
		hold->user->holds--;
	if (hold->account)
		hold->account->holds--;
	book_weigh(book, hold->user);
	g_hash_table_remove(book->holds, hold);
}

static struct hold *
new_hold(
    struct book *book, const struct rules *rules, const struct who *who, uint64_t id, int64_t now)
{
	struct hold *hold = g_new0(struct hold, 1);

	hold->id = (gint64)id;
	hold->user = book_party(book, false, who->user);
	hold->account = book_party(book, true, who->account);
	hold->unique = hold->user && rules->most[USER_UNIQUE] != NO_LIMIT;
	hold->recipients = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	hold->at = now;
	if (hold->user)
		hold->user->holds++;
	if (hold->account)
		hold->account->holds++;
	book_weigh(book, hold->user);
	book_weigh(book, hold->account);
	g_hash_table_add(book->holds, hold);
	return hold;
}

size_t
book_weight(const struct book *book)
{
	return book->bytes + (book->journal ? book->journal->len : 0);
}

/* ---- MAIL and RCPT --------------------------------------------------------------------------- */

/* The customer's word comes first, also where his own counter would speak later. */
static enum counter
judge_message(const struct hold *hold, const struct rules *rules, int64_t now)
{
	if (is_full(hold, rules, ACCOUNT_MESSAGES, now))
		return ACCOUNT_MESSAGES;
	if (!is_full(hold, rules, USER_MESSAGES, now))
		return LIMIT_NONE;
	if (is_full(hold, rules, ACCOUNT_DAY, now))
		return ACCOUNT_DAY;
	return is_full(hold, rules, ACCOUNT_PEAK, now) ? ACCOUNT_PEAK : USER_MESSAGES;
}

/* Where it is refused there is no hold. */
static enum counter
begin_message(struct book *book, const struct rules *rules, const struct who *who, uint64_t id,
    int64_t now, struct hold **ret)
{
	enum counter limit;

	if (book_weight(book) >= (size_t)rules->memory)
		return LIMIT_MEMORY;
	*ret = new_hold(book, rules, who, id, now);
	limit = judge_message(*ret, rules, now);
	if (limit == LIMIT_NONE) {
		(*ret)->message = true;
		hold_counter(*ret, ACCOUNT_MESSAGES, 1);
		hold_counter(*ret, USER_MESSAGES, 1);
	} else {
		book_let_go(book, *ret);
	}
	return limit;
}

enum counter
book_message(
    struct book *book, const struct rules *rules, const struct who *who, uint64_t id, int64_t now)
{
	enum counter limit;
	struct hold *hold;

	pthread_mutex_lock(&book->lock);
	hold = book_find_hold(book, id);
	if (hold)
		book_let_go(book, hold);
	limit = begin_message(book, rules, who, id, now, &hold);
	pthread_mutex_unlock(&book->lock);
	return limit;
}

static enum counter
judge_recipient(const struct hold *hold, const struct rules *rules, uint64_t recipient, int64_t now)
{
	if (is_full(hold, rules, ACCOUNT_DAY, now))
		return ACCOUNT_DAY;
	if (is_full(hold, rules, ACCOUNT_PEAK, now))
		return ACCOUNT_PEAK;
	if (hold->unique && is_full(hold, rules, USER_UNIQUE, now) &&
	    !unique_has(hold->user->unique, &rules->span[USER_UNIQUE], now, recipient))
		return USER_UNIQUE;
	return LIMIT_NONE;
}

static enum counter
add_recipient(struct book *book, const struct rules *rules, struct hold *hold, uint64_t recipient,
    size_t position, int64_t now)
{
	enum counter limit;

	/* Another entry refused the one before: its place is this one's. */
	if (position == hold->position && hold->recipients->len > 0)
		drop_last(hold);
	limit = judge_recipient(hold, rules, recipient, now);
	hold->position = limit == LIMIT_NONE ? position : 0;
	if (limit == LIMIT_NONE)
		hold_recipient(hold, recipient);
	book_weigh(book, hold->user);
	return limit;
}

enum counter
book_recipient(struct book *book, const struct rules *rules, const struct who *who, uint64_t id,
    uint64_t recipient, size_t position, int64_t now, bool *ret_late)
{
	enum counter limit = LIMIT_NONE;
	struct hold *hold;
	bool late;

	pthread_mutex_lock(&book->lock);
	hold = book_find_hold(book, id);
	late = !hold;
	if (late)
		limit = begin_message(book, rules, who, id, now, &hold);
	if (limit == LIMIT_NONE) {
		hold->late |= late;
		*ret_late = hold->late;
		limit = add_recipient(book, rules, hold, recipient, position, now);
	}
	pthread_mutex_unlock(&book->lock);
	return limit;
}

void
book_abort(struct book *book, uint64_t id)
{
	struct hold *hold;

	pthread_mutex_lock(&book->lock);
	hold = book_find_hold(book, id);
	if (hold)
		book_let_go(book, hold);
	pthread_mutex_unlock(&book->lock);
}
