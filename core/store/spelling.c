/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spelling.c - brings addresses that were stored in any spelling into the one that is compared.
 *
 * Called once per database, when it is opened by a Postern that writes them so. Where two rows
 * become one, it is switched off if either was; what it has of a module's stays, and what it lacks
 * comes from the other. Must never leave two rows that mean one user.
 */
#include <core/mail/address.h>
#include <core/store/records.h>
#include <core/store/spelling.h>
#include <core/store/sqlite.h>
#include <glib.h>
#include <stdio.h>

/* No module is called so: it has a blank. */
#define OWNER "directory spelling"

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE directory_spelling (done INTEGER NOT NULL); "
	    "INSERT INTO directory_spelling (done) VALUES (0)" },
	{ 0, 0, NULL },
};

/* Addresses beside those of `users` and what refers to it. */
static const struct place {
	const char *table, *column;
} places[] = { { "directory_registered", "member" }, { "directory_members", "member" },
	{ "directory_aliases", "address" }, { "directory_aliases", "member" },
	{ "directory_delegates", "address" }, { "directory_delegates", "who" },
	{ "directory_confirmed", "address" }, { "directory_confirmed", "member" } };

static int
keep_text(void *arg, const struct pn_row *row)
{
	struct pn_slice text = pn_row_bytes(row, 0);

	g_ptr_array_add(arg, g_strndup(text.data, text.len));
	return 0;
}

/* False: it is as it should be, or no address (a group to whom something is delegated). */
static bool
is_otherwise(const char *address, char ret[MAIL_ADDRESS_SIZE])
{
	return strchr(address, '@') && mail_address_compared(address, ret) == 0 &&
	       strcmp(address, ret) != 0;
}

/* Of ?2 to ?1; what would be a second row of one meaning falls. */
static int
respell(struct db *db, const struct place *place, const char *to, const char *from,
    struct pn_error *err)
{
	char sql[400];
	int r;

	snprintf(sql, sizeof(sql), "UPDATE OR IGNORE \"%s\" SET \"%s\" = ?1 WHERE \"%s\" = ?2",
	    place->table, place->column, place->column);
	r = db_run(db, err, sql, PN_VALUES(PN_TEXT(to), PN_TEXT(from)));
	if (r < 0)
		return r;
	snprintf(
	    sql, sizeof(sql), "DELETE FROM \"%s\" WHERE \"%s\" = ?1", place->table, place->column);
	return db_run(db, err, sql, PN_VALUES(PN_TEXT(from)));
}

static int
respell_all(struct db *db, const struct place *place, struct pn_error *err)
{
	GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
	char sql[200], to[MAIL_ADDRESS_SIZE];
	int r;

	snprintf(
	    sql, sizeof(sql), "SELECT DISTINCT \"%s\" FROM \"%s\"", place->column, place->table);
	r = db_query(db, err, sql, PN_NO_VALUES, keep_text, found);
	for (guint i = 0; r == 0 && i < found->len; i++)
		if (is_otherwise(found->pdata[i], to))
			r = respell(db, place, to, found->pdata[i], err);
	g_ptr_array_free(found, TRUE);
	return r;
}

/* ---- users, and what modules have of them ---------------------------------------------------- */

struct references {
	GArray *places; /* struct place, texts owned by `texts` */
	GPtrArray *texts;
};

static int
keep_reference(void *arg, const struct pn_row *row)
{
	struct references *references = arg;
	struct pn_slice table = pn_row_bytes(row, 0), column = pn_row_bytes(row, 1);
	struct place place = { g_strndup(table.data, table.len),
		g_strndup(column.data, column.len) };

	g_ptr_array_add(references->texts, (gpointer)(uintptr_t)place.table);
	g_ptr_array_add(references->texts, (gpointer)(uintptr_t)place.column);
	g_array_append_val(references->places, place);
	return 0;
}

static int
move_user(struct db *db, const struct references *references, const char *to, const char *from,
    struct pn_error *err)
{
	int r = db_run(db, err,
	    "INSERT INTO users (address, enabled, created) "
	    "SELECT ?1, enabled, created FROM users WHERE address = ?2 "
	    "ON CONFLICT (address) DO UPDATE SET enabled = MIN(enabled, excluded.enabled)",
	    PN_VALUES(PN_TEXT(to), PN_TEXT(from)));

	for (guint i = 0; r == 0 && i < references->places->len; i++)
		r = respell(db, &g_array_index(references->places, struct place, i), to, from, err);
	return r < 0 ? r
		     : db_run(db, err, "DELETE FROM users WHERE address = ?1",
			   PN_VALUES(PN_TEXT(from)));
}

static int
move_users(struct db *db, struct pn_error *err)
{
	struct references references = { g_array_new(FALSE, FALSE, sizeof(struct place)),
		g_ptr_array_new_with_free_func(g_free) };
	GPtrArray *users = g_ptr_array_new_with_free_func(g_free);
	char to[MAIL_ADDRESS_SIZE];
	int r = db_query(db, err,
	    "SELECT m.name, f.\"from\" FROM sqlite_master AS m, "
	    "pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table' AND f.\"table\" = 'users'",
	    PN_NO_VALUES, keep_reference, &references);

	if (r == 0)
		r = db_query(db, err, "SELECT address FROM users ORDER BY created, address",
		    PN_NO_VALUES, keep_text, users);
	for (guint i = 0; r == 0 && i < users->len; i++)
		if (is_otherwise(users->pdata[i], to))
			r = move_user(db, &references, to, users->pdata[i], err);
	g_ptr_array_free(users, TRUE);
	g_array_free(references.places, TRUE);
	g_ptr_array_free(references.texts, TRUE);
	return r;
}

/* ---- once ------------------------------------------------------------------------------------ */

static int
read_done(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

static int
is_done(struct db *db, int64_t *ret, struct pn_error *err)
{
	*ret = 0;
	return db_query(
	    db, err, "SELECT done FROM directory_spelling", PN_NO_VALUES, read_done, ret);
}

static int
settle(struct db *db, struct pn_error *err)
{
	int64_t done;
	int r = is_done(db, &done, err);

	if (r < 0 || done)
		return r; /* another process was faster */
	r = move_users(db, err);
	for (size_t i = 0; r == 0 && i < sizeof(places) / sizeof(places[0]); i++)
		r = respell_all(db, &places[i], err);
	if (r == 0)
		r = db_run(db, err, "UPDATE directory_spelling SET done = 1", PN_NO_VALUES);
	return r < 0 ? r : records_touch(db, err);
}

int
spelling_migrate(struct db *db, struct pn_error *err)
{
	int64_t done;
	int r = db_migrate(db, OWNER, migrations, sizeof(migrations[0]), err);

	if (r == 0)
		r = is_done(db, &done, err);
	if (r < 0 || done)
		return r;
	r = sqlite_begin(db, err);
	if (r < 0)
		return r;
	r = settle(db, err);
	if (r == 0)
		r = sqlite_commit(db, err);
	if (r < 0)
		sqlite_rollback(db);
	return r;
}
