/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app_uses.c - when app passwords were used last.
 *
 * Noted by login.c on event loops and policy threads, written by the tick. A hook of AUTH may write
 * nothing, and a write for each log-in would be too much. Must never grow without bound.
 */
#include "app_password.h"
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define USES_MOST  20000 /* further ones are not noted until the next minute */
#define WRITE_MOST 256   /* by one statement */

struct app_uses {
	pthread_mutex_t lock;
	GHashTable *last; /* number -> seconds since 1970, both int64_t */
};

static GHashTable *
new_table(void)
{
	return g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
}

int
app_uses_new(struct app_uses **ret)
{
	struct app_uses *uses = calloc(1, sizeof(*uses));

	if (!uses)
		return -ENOMEM;
	pthread_mutex_init(&uses->lock, NULL);
	uses->last = new_table();
	*ret = uses;
	return 0;
}

void
app_uses_free(struct app_uses **uses)
{
	if (!*uses)
		return;
	g_hash_table_destroy((*uses)->last);
	pthread_mutex_destroy(&(*uses)->lock);
	free(*uses);
	*uses = NULL;
}

void
app_uses_note(struct app_uses *uses, int64_t number)
{
	int64_t now = time(NULL), *last;

	pthread_mutex_lock(&uses->lock);
	last = g_hash_table_lookup(uses->last, &number);
	if (last)
		*last = now;
	else if (g_hash_table_size(uses->last) < USES_MOST)
		g_hash_table_insert(
		    uses->last, g_memdup2(&number, sizeof(number)), g_memdup2(&now, sizeof(now)));
	pthread_mutex_unlock(&uses->lock);
}

/* Each statement is a transaction, and a write to the disk that all others wait for. */
static int
write_some(struct pn_call *call, const struct pn_value *values, size_t count, struct pn_error *err)
{
	GString *sql = g_string_new("WITH uses (number, used) AS (VALUES ");
	int r;

	for (size_t i = 0; i < count; i += 2)
		g_string_append_printf(sql, "%s(?%zu, ?%zu)", i > 0 ? ", " : "", i + 1, i + 2);
	g_string_append(sql, ") UPDATE auth_app_passwords SET used = (SELECT uses.used FROM uses "
			     "WHERE uses.number = auth_app_passwords.number) "
			     "WHERE number IN (SELECT number FROM uses)");
	r = pn_db_run(call, err, sql->str, (struct pn_values){ count, values });
	g_string_free(sql, TRUE);
	return r;
}

static int
write_all(struct pn_call *call, GHashTable *uses, struct pn_error *err)
{
	struct pn_value values[2 * WRITE_MOST];
	GHashTableIter iter;
	gpointer number, last;
	size_t count = 0;
	int r = 0;

	g_hash_table_iter_init(&iter, uses);
	while (r == 0 && g_hash_table_iter_next(&iter, &number, &last)) {
		values[count++] = PN_INT(*(int64_t *)number);
		values[count++] = PN_INT(*(int64_t *)last);
		if (count < 2 * WRITE_MOST)
			continue;
		r = write_some(call, values, count, err);
		count = 0;
	}
	if (r < 0 || count == 0)
		return r;
	/* Up to a power of two: statements are kept by their texts, and so there are few. */
	for (; count & (count - 1); count += 2)
		memcpy(&values[count], &values[count - 2], 2 * sizeof(values[0]));
	return write_some(call, values, count, err);
}

int
app_uses_write(struct pn_call *call, struct app_uses *uses, struct pn_error *err)
{
	GHashTable *taken = NULL;
	int r;

	pthread_mutex_lock(&uses->lock);
	if (g_hash_table_size(uses->last) > 0) {
		taken = uses->last;
		uses->last = new_table();
	}
	pthread_mutex_unlock(&uses->lock);
	if (!taken)
		return 0;
	r = write_all(call, taken, err);
	g_hash_table_destroy(taken);
	return r;
}
