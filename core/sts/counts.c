/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counts.c - TLS counts between couriers and the database.
 *
 * Called by loops for each session and by the relay's main thread every few seconds. Must never
 * hold its lock while the database is written.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/sts/counts.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define DAY_US     (INT64_C(24) * 3600 * 1000000)
#define FIELD_MOST 255

struct counts {
	atomic_uint references;
	pthread_mutex_t lock;
	GHashTable *pending;  /* "day\ndomain\n..." -> int64_t */
	GHashTable *policies; /* "day\ndomain\ntype" -> "text\1hosts" */
	GHashTable *written;  /* the same, that the database has; digests, as texts are long */
	int64_t dropped;
	int64_t forgotten_day; /* days before it are gone */
};

static GHashTable *
new_table(void)
{
	return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

struct counts *
counts_new(void)
{
	struct counts *counts = g_new0(struct counts, 1);

	atomic_init(&counts->references, 1);
	pthread_mutex_init(&counts->lock, NULL);
	counts->pending = new_table();
	counts->policies = new_table();
	counts->written = new_table();
	return counts;
}

struct counts *
counts_hold(struct counts *counts)
{
	atomic_fetch_add(&counts->references, 1);
	return counts;
}

void
counts_release(struct counts **at)
{
	struct counts *counts = *at;

	*at = NULL;
	if (!counts || atomic_fetch_sub(&counts->references, 1) > 1)
		return;
	g_hash_table_unref(counts->pending);
	g_hash_table_unref(counts->policies);
	g_hash_table_unref(counts->written);
	pthread_mutex_destroy(&counts->lock);
	g_free(counts);
}

static int64_t
today(void)
{
	return clock_wall_us() / DAY_US;
}

/* ---- counting -------------------------------------------------------------------------------- */

/* In `table`, with the lock held. */
static void
add(struct counts *counts, GHashTable *table, char *key, int64_t number)
{
	int64_t *sum = g_hash_table_lookup(table, key);

	if (sum) {
		*sum += number;
		g_free(key);
	} else if (g_hash_table_size(table) >= TLS_COUNTS_PENDING) {
		counts->dropped += number;
		g_free(key);
	} else {
		sum = g_new(int64_t, 1);
		*sum = number;
		g_hash_table_insert(table, key, sum);
	}
}

void
counts_note(struct counts *counts, const struct tls_count *count)
{
	char *key = g_strdup_printf("%lld\n%.*s\n%s\n%s\n%.*s\n%.*s\n%.*s", (long long)today(),
	    FIELD_MOST, count->domain, count->type, count->result, FIELD_MOST, count->host,
	    FIELD_MOST, count->sent_by, FIELD_MOST, count->address);

	pthread_mutex_lock(&counts->lock);
	add(counts, counts->pending, key, 1);
	pthread_mutex_unlock(&counts->lock);
}

static char *
digest_of(const char *value)
{
	return g_compute_checksum_for_string(G_CHECKSUM_SHA256, value, -1);
}

void
counts_note_policy(struct counts *counts, const char *domain, const char *type, const char *text,
    const char *hosts)
{
	char *key = g_strdup_printf("%lld\n%.*s\n%s", (long long)today(), FIELD_MOST, domain, type);
	char *value = g_strdup_printf("%s\1%s", text, hosts);
	char *digest = digest_of(value);
	bool same;

	pthread_mutex_lock(&counts->lock);
	same = g_strcmp0(g_hash_table_lookup(counts->written, key), digest) == 0;
	if (!same && g_hash_table_size(counts->policies) < TLS_COUNTS_PENDING)
		g_hash_table_replace(
		    counts->policies, g_steal_pointer(&key), g_steal_pointer(&value));
	pthread_mutex_unlock(&counts->lock);
	g_free(key);
	g_free(value);
	g_free(digest);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* What is taken out for one flush; texts point into the keys, which are cut into pieces. */
struct batch {
	GHashTable *pending, *policies;
	GPtrArray *texts; /* cut keys */
	GArray *counts;   /* struct tls_count */
	GArray *lines;    /* struct tls_count_policy */
};

static char **
cut(struct batch *batch, const char *text, const char *separator)
{
	char **pieces = g_strsplit(text, separator, -1);

	g_ptr_array_add(batch->texts, pieces);
	return pieces;
}

static void
list_counts(struct batch *batch)
{
	GHashTableIter iter;
	gpointer key, number;

	g_hash_table_iter_init(&iter, batch->pending);
	while (g_hash_table_iter_next(&iter, &key, &number)) {
		char **piece = cut(batch, key, "\n");
		struct tls_count count = { g_ascii_strtoll(piece[0], NULL, 10), piece[1], piece[2],
			piece[3], piece[4], piece[5], piece[6], *(int64_t *)number };

		g_array_append_val(batch->counts, count);
	}
}

static void
list_policies(struct batch *batch)
{
	GHashTableIter iter;
	gpointer key, value;

	g_hash_table_iter_init(&iter, batch->policies);
	while (g_hash_table_iter_next(&iter, &key, &value)) {
		char **piece = cut(batch, key, "\n"), **text = cut(batch, value, "\1");
		struct tls_count_policy line = { g_ascii_strtoll(piece[0], NULL, 10), piece[1],
			piece[2], text[0], text[1] };

		g_array_append_val(batch->lines, line);
	}
}

static void
free_pieces(void *pieces)
{
	g_strfreev(pieces);
}

static void
take_batch(struct counts *counts, struct batch *ret)
{
	pthread_mutex_lock(&counts->lock);
	ret->pending = counts->pending;
	ret->policies = counts->policies;
	counts->pending = new_table();
	counts->policies = new_table();
	pthread_mutex_unlock(&counts->lock);
	ret->texts = g_ptr_array_new_with_free_func(free_pieces);
	ret->counts = g_array_new(FALSE, FALSE, sizeof(struct tls_count));
	ret->lines = g_array_new(FALSE, FALSE, sizeof(struct tls_count_policy));
	list_counts(ret);
	list_policies(ret);
}

/* Behind what was counted meanwhile. */
static void
put_back(struct counts *counts, struct batch *batch)
{
	GHashTableIter iter;
	gpointer key, value;

	g_hash_table_iter_init(&iter, batch->pending);
	while (g_hash_table_iter_next(&iter, &key, &value))
		add(counts, counts->pending, g_strdup(key), *(int64_t *)value);
	g_hash_table_iter_init(&iter, batch->policies);
	while (g_hash_table_iter_next(&iter, &key, &value))
		if (!g_hash_table_contains(counts->policies, key))
			g_hash_table_insert(counts->policies, g_strdup(key), g_strdup(value));
}

static void
remember_written(struct counts *counts, struct batch *batch)
{
	GHashTableIter iter;
	gpointer key, value;

	if (g_hash_table_size(counts->written) > TLS_COUNTS_PENDING)
		g_hash_table_remove_all(counts->written);
	g_hash_table_iter_init(&iter, batch->policies);
	while (g_hash_table_iter_next(&iter, &key, &value))
		g_hash_table_replace(counts->written, g_strdup(key), digest_of(value));
}

static void
tell_dropped(int64_t dropped)
{
	char number[24];

	snprintf(number, sizeof(number), "%lld", (long long)dropped);
	log_event(PN_LOG_WARNING, "tls-counts-dropped", "count", number, NULL);
}

static int
forget_old(struct counts *counts, struct db *db, struct pn_error *err)
{
	int64_t before = today() - TLS_COUNTS_DAYS;
	int r;

	if (counts->forgotten_day == before)
		return 0;
	r = tls_counts_forget(db, before, err);
	if (r == 0)
		counts->forgotten_day = before;
	return r;
}

int
counts_flush(struct counts *counts, struct db *db, struct pn_error *err)
{
	struct batch batch;
	int64_t dropped = 0;
	int r = 0;

	take_batch(counts, &batch);
	if (batch.counts->len > 0 || batch.lines->len > 0) {
		r = forget_old(counts, db, err);
		if (r == 0)
			r = tls_counts_add(db, (void *)batch.counts->data, batch.counts->len,
			    (void *)batch.lines->data, batch.lines->len, &dropped, err);
	}
	pthread_mutex_lock(&counts->lock);
	if (r < 0)
		put_back(counts, &batch);
	else
		remember_written(counts, &batch);
	dropped += counts->dropped;
	counts->dropped = 0;
	pthread_mutex_unlock(&counts->lock);
	if (dropped > 0)
		tell_dropped(dropped);
	g_ptr_array_unref(batch.texts);
	g_array_unref(batch.counts);
	g_array_unref(batch.lines);
	g_hash_table_unref(batch.pending);
	g_hash_table_unref(batch.policies);
	return r;
}
