/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.c - the rows of the directory server as they were read last.
 *
 * Written by whoever has read the server (the relay, posternctl), read by whoever makes a roster.
 * Must never hold half of two readings, nor write what stays as it is: a large directory that
 * changes a little costs a little.
 */
#include <core/base/clock.h>
#include <core/store/snapshot.h>
#include <core/store/sqlite.h>
#include <stdio.h>
#include <stdlib.h>

/* No module is called so: it has a blank. */
#define OWNER     "directory server"
#define SEPARATOR '\x1f'

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE directory_server (number INTEGER PRIMARY KEY, line TEXT NOT NULL "
	    "UNIQUE); "
	    "CREATE TABLE directory_server_read (at BIGINT NOT NULL, source TEXT NOT NULL)" },
	{ 0, 0, NULL },
};

/* What a line begins with; a letter that has shipped means the same for ever. */
static const char letters[RECORD_KINDS] = { [RECORD_ACCOUNT] = 'a',
	[RECORD_DOMAIN] = 'd',
	[RECORD_REGISTERED] = 'r',
	[RECORD_GROUP] = 'g',
	[RECORD_MEMBER] = 'm',
	[RECORD_ALIAS] = 'l',
	[RECORD_DELEGATE] = 'w',
	[RECORD_USER] = 'u',
	[RECORD_FIELD] = 'f' };

int
snapshot_migrate(struct db *db, struct pn_error *err)
{
	return db_migrate(db, OWNER, migrations, sizeof(migrations[0]), err);
}

static int
read_state(void *arg, const struct pn_row *row)
{
	struct snapshot_state *state = arg;
	struct pn_slice source = pn_row_bytes(row, 1);

	state->any = true;
	state->read_us = pn_row_int(row, 0);
	snprintf(state->source, sizeof(state->source), "%.*s", (int)source.len, source.data);
	return 0;
}

int
snapshot_state(struct db *db, struct snapshot_state *ret, struct pn_error *err)
{
	*ret = (struct snapshot_state){ 0 };
	return db_query(
	    db, err, "SELECT at, source FROM directory_server_read", PN_NO_VALUES, read_state, ret);
}

/* ---- lines ----------------------------------------------------------------------------------- */

char *
snapshot_line(enum record_kind kind, const char *const columns[RECORD_COLUMNS])
{
	GString *line = g_string_new(NULL);

	g_string_append_c(line, letters[kind]);
	for (int i = 0; i < RECORD_COLUMNS; i++) {
		g_string_append_c(line, SEPARATOR);
		g_string_append(line, columns[i] ? columns[i] : "");
	}
	return g_string_free(line, FALSE);
}

enum record_kind
snapshot_kind(const char *line)
{
	enum record_kind kind = 0;

	while (kind < RECORD_KINDS && (!letters[kind] || letters[kind] != *line))
		kind++;
	return kind;
}

static int
keep_line(void *arg, const struct pn_row *row)
{
	struct pn_slice line = pn_row_bytes(row, 0);

	g_hash_table_add(arg, g_strndup(line.data, line.len));
	return 0;
}

int
snapshot_lines(struct db *db, GHashTable **ret, struct pn_error *err)
{
	GHashTable *lines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	int r = db_query(
	    db, err, "SELECT line FROM directory_server", PN_NO_VALUES, keep_line, lines);

	if (r < 0) {
		g_hash_table_destroy(lines);
		return r;
	}
	*ret = lines;
	return 0;
}

struct giving {
	snapshot_fn *each;
	void *arg;
};

/* What a later Postern may have written is passed over. */
static int
give(void *arg, const struct pn_row *row)
{
	const char *columns[RECORD_COLUMNS] = { NULL };
	struct giving *to = arg;
	struct pn_slice bytes = pn_row_bytes(row, 0);
	char *line = g_strndup(bytes.data, bytes.len), *at = line;
	enum record_kind kind = snapshot_kind(line);
	int count = 0, r = 0;

	while (count < RECORD_COLUMNS && (at = strchr(at, SEPARATOR))) {
		*at++ = '\0';
		columns[count++] = at;
	}
	for (int i = 0; i < count; i++)
		if (!*columns[i])
			columns[i] = NULL;
	if (kind < RECORD_KINDS && columns[0])
		r = to->each(to->arg, kind, columns);
	g_free(line);
	return r;
}

int
snapshot_each(struct db *db, snapshot_fn *each, void *arg, struct pn_error *err)
{
	struct giving to = { each, arg };

	return db_query(
	    db, err, "SELECT line FROM directory_server ORDER BY number", PN_NO_VALUES, give, &to);
}

/* ---- changing -------------------------------------------------------------------------------- */

static int
compare_lines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* For each line of `from` that `with` lacks, in an order that is the same every time. */
static int
run_each(struct db *db, const char *sql, GHashTable *from, GHashTable *with, struct pn_error *err)
{
	guint count;
	gpointer *all = g_hash_table_get_keys_as_array(from, &count);
	int r = 0;

	if (count > 1)
		qsort(all, count, sizeof(*all), compare_lines);
	for (guint i = 0; r == 0 && i < count; i++)
		if (!g_hash_table_contains(with, all[i]))
			r = db_run(db, err, sql, PN_VALUES(PN_TEXT((const char *)all[i])));
	g_free(all);
	return r;
}

static int
note(struct db *db, const char *source, struct pn_error *err)
{
	int r = db_run(db, err, "DELETE FROM directory_server_read", PN_NO_VALUES);

	if (r == 0 && source)
		r = db_run(db, err,
		    "INSERT INTO directory_server_read (at, source) VALUES (?1, ?2)",
		    PN_VALUES(PN_INT(clock_wall_us()), PN_TEXT(source)));
	return r < 0 ? r : records_touch(db, err);
}

static int
replace(struct db *db, GHashTable *lines, const char *source, struct pn_error *err)
{
	GHashTable *before;
	int r = snapshot_lines(db, &before, err);

	if (r < 0)
		return r;
	r = run_each(db, "DELETE FROM directory_server WHERE line = ?1", before, lines, err);
	if (r == 0)
		r = run_each(
		    db, "INSERT INTO directory_server (line) VALUES (?1)", lines, before, err);
	g_hash_table_destroy(before);
	return r < 0 ? r : note(db, source, err);
}

int
snapshot_replace(struct db *db, GHashTable *lines, const char *source, struct pn_error *err)
{
	int r = sqlite_begin(db, err);

	return r < 0 ? r : sqlite_end(db, replace(db, lines, source, err), err);
}

int
snapshot_forget(struct db *db, struct pn_error *err)
{
	int r = sqlite_begin(db, err);

	if (r < 0)
		return r;
	r = db_run(db, err, "DELETE FROM directory_server", PN_NO_VALUES);
	return sqlite_end(db, r < 0 ? r : note(db, NULL, err), err);
}
