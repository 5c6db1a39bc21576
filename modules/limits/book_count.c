/* SPDX-License-Identifier: Apache-2.0 */
/*
 * book_count.c - what was accepted counts, is written down, and is warned of.
 *
 * Called by limits.c from committed hooks, and by store.c with what others have written down. Must
 * never count a message twice.
 */
#include "book_inner.h"
#include <sys/param.h>

#define SEEN_TURN_MS (5 * 60 * 1000) /* longer than committed hooks wait for their next try */

/* ---- what has been counted already ----------------------------------------------------------- */

static bool
was_seen(struct book *book, uint64_t id)
{
	gint64 key = (gint64)id;
	bool seen = g_hash_table_contains(book->seen, &key) ||
		    g_hash_table_contains(book->seen_before, &key);

	/* Also again: who asks once more may ask a third time. */
	g_hash_table_add(book->seen, g_memdup2(&key, sizeof(key)));
	return seen;
}

GHashTable *
book_new_ids(void)
{
	return g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

void
book_turn_seen(struct book *book, int64_t now)
{
	if (book->turned == 0)
		book->turned = now;
	if (now - book->turned < SEEN_TURN_MS && now >= book->turned)
		return;
	g_hash_table_destroy(book->seen_before);
	book->seen_before = book->seen;
	book->seen = book_new_ids();
	book->turned = now;
}

/* ---- counting -------------------------------------------------------------------------------- */

/* One message; `record` lists the recipients that are counted apart. */
static void
count(struct book *book, const struct rules *rules, const struct record *record, struct party *user,
    struct party *account)
{
	struct {
		struct party *party;
		enum counter counter;
		int64_t by;
	} rows[] = { { account, ACCOUNT_MESSAGES, 1 }, { account, ACCOUNT_DAY, record->recipients },
		{ account, ACCOUNT_PEAK, record->recipients }, { user, USER_MESSAGES, 1 } };

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (rows[i].party)
			tally_add(&rows[i].party->tally[book_places[rows[i].counter].slot],
			    &rules->span[rows[i].counter], record->at, rows[i].by);
	for (uint32_t i = 0; user && i < record->unique; i++)
		unique_add(user->unique, record_hash(record, i), record->at);
	book_weigh(book, user);
	book_weigh(book, account);
}

static void
write_down(struct book *book, const struct record *record)
{
	if (!book->journal)
		book->journal = g_byte_array_new();
	journal_put(book->journal, record);
}

static void
free_warning(void *data)
{
	struct warning *warning = data;

	g_free(warning->name);
	g_free(warning);
}

GPtrArray *
book_warnings_new(void)
{
	return g_ptr_array_new_with_free_func(free_warning);
}

/* Once a window, and this is written down as well. */
static void
warn(struct book *book, const struct rules *rules, const struct hold *parties, enum counter counter,
    int64_t now, GPtrArray *warnings)
{
	struct party *party = book_places[counter].account ? parties->account : parties->user;
	const struct span *span = &rules->span[counter];
	int slot = book_places[counter].slot;
	int64_t most = rules->most[counter], have;
	struct record record = { .type = RECORD_WARNED, .which = (uint8_t)counter, .at = now };
	struct warning *warning;

	if (!party || most == NO_LIMIT || rules->warn_percent == 0)
		return;
	have = book_level(party, rules, counter, now);
	if ((double)have * 100 < (double)most * (double)rules->warn_percent)
		return;
	if (party->warned[slot] > 0 && span_frees(span, party->warned[slot]) > now)
		return;
	party->warned[slot] = now;
	*(book_places[counter].account ? &record.account : &record.user) = pn_slice_of(party->name);
	write_down(book, &record);
	warning = g_new0(struct warning, 1);
	*warning = (struct warning){ counter, g_strdup(party->name), have, most,
		counter == USER_UNIQUE
		    ? unique_frees(party->unique, span, now, (size_t)MAX(have - 1, 0))
		    : tally_frees(&party->tally[slot], span, now,
			  tally_count(&party->tally[slot], span, now) - 1),
		/* Two are a window apart, so in two multiples of it, but for a reset. */
		MAX(now / span->ms * span->ms, party->reset) };
	g_ptr_array_add(warnings, warning);
}

/* Those of `all` that the client named and nobody refused since: what is reserved says it. */
static GByteArray *
counted(const struct hold *hold, const uint64_t *all, size_t count)
{
	GByteArray *hashes = g_byte_array_new();
	GHashTable *named = hold ? book_new_ids() : NULL;

	for (guint i = 0; hold && i < hold->recipients->len; i++)
		g_hash_table_add(named,
		    g_memdup2(&g_array_index(hold->recipients, uint64_t, i), sizeof(uint64_t)));
	for (size_t i = 0; i < count; i++) {
		guint8 bytes[8];

		if (named && !g_hash_table_contains(named, &all[i]))
			continue;
		for (unsigned at = 0; at < 8; at++)
			bytes[at] = (guint8)(all[i] >> (8 * at));
		g_byte_array_append(hashes, bytes, sizeof(bytes));
	}
	if (named)
		g_hash_table_destroy(named);
	return hashes;
}

/* With the lock held. */
static void
commit(struct book *book, const struct rules *rules, const struct who *who, struct hold *hold,
    struct record *record, int64_t now, GPtrArray *warnings)
{
	struct hold parties = { .user = book_party(book, false, who->user),
		.account = book_party(book, true, who->account) };

	if (!parties.user || rules->most[USER_UNIQUE] == NO_LIMIT) {
		record->unique = 0;
		record->hashes = pn_slice("", 0);
	}
	count(book, rules, record, parties.user, parties.account);
	write_down(book, record);
	if (hold)
		book_let_go(book, hold);
	for (enum counter i = 0; warnings && i < COUNTERS; i++)
		warn(book, rules, &parties, i, now, warnings);
}

void
book_commit(struct book *book, const struct rules *rules, const struct who *who, uint64_t id,
    int64_t at, const uint64_t *recipients, size_t count, int64_t now, GPtrArray *warnings)
{
	struct record record = { .type = RECORD_MESSAGE, .at = at, .id = id };
	GByteArray *hashes;
	struct hold *hold;

	record.user = pn_slice_of(who->user);
	record.account = pn_slice_of(who->account);
	pthread_mutex_lock(&book->lock);
	hold = book_find_hold(book, id);
	hashes = counted(hold, recipients, count);
	record.recipients = record.unique = hashes->len / 8;
	record.hashes = pn_slice(hashes->data, hashes->len);
	if (!was_seen(book, id))
		commit(book, rules, who, hold, &record, now, warnings);
	else if (hold)
		book_let_go(book, hold);
	pthread_mutex_unlock(&book->lock);
	g_byte_array_unref(hashes);
}

/* ---- from the journal ------------------------------------------------------------------------ */

static struct party *
named(struct book *book, bool account, struct pn_slice name)
{
	char *text = name.len > 0 ? g_strndup(name.data, name.len) : NULL;
	struct party *found = book_party(book, account, text);

	g_free(text);
	return found;
}

static void
reset(struct book *book, struct party *party, int64_t at)
{
	if (!party)
		return;
	party->reset = at;
	for (int i = 0; i < SLOTS; i++) {
		tally_clear(&party->tally[i]);
		party->warned[i] = 0;
	}
	if (party->unique)
		unique_clear(party->unique);
	book_weigh(book, party);
}

void
book_apply(struct book *book, const struct rules *rules, const struct record *record)
{
	struct party *user, *account;

	pthread_mutex_lock(&book->lock);
	user = named(book, false, record->user);
	account = named(book, true, record->account);
	if (record->type == RECORD_MESSAGE) {
		if (!was_seen(book, record->id))
			count(book, rules, record, user, account);
	} else if (record->type == RECORD_RESET) {
		reset(book, user, record->at);
		reset(book, account, record->at);
	} else if (record->which < COUNTERS) {
		struct party *party = book_places[record->which].account ? account : user;

		if (party)
			party->warned[book_places[record->which].slot] = record->at;
	}
	pthread_mutex_unlock(&book->lock);
}
