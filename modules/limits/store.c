/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - the journal in the database: a row for each second in which something was counted.
 *
 * Called by limits.c (start, flush) and by command.c, on threads that may block. Relays side by
 * side, as during an upgrade, write rows of their own and read each other's. Must never leave the
 * table empty: the number of the last row tells readers where they are.
 */
#include "limits.h"
#include <errno.h>
#include <sodium.h>

const struct pn_migration store_migrations[] = {
	{ 1, 0,
	    "CREATE TABLE limits_journal (id INTEGER PRIMARY KEY, entry TEXT NOT NULL, "
	    "writer TEXT NOT NULL, written INTEGER NOT NULL, records BLOB NOT NULL);"
	    "CREATE INDEX limits_journal_written ON limits_journal (written)" },
	{ 0, 0, NULL },
};

/* ---- the key --------------------------------------------------------------------------------- */

#define KEY_NAME "hash-key"

int
store_key(struct pn_call *call, struct limits_state *state, bool make, struct pn_error *err)
{
	struct pn_slice have;
	int r = pn_store_get(call, KEY_NAME, &have, err);

	_Static_assert(HASH_KEY_SIZE == crypto_shorthash_KEYBYTES, "SipHash has keys of 16 bytes");
	if (r == 0 && have.len == sizeof(state->key)) {
		memcpy(state->key, have.data, sizeof(state->key));
		return 0;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	randombytes_buf(state->key, sizeof(state->key));
	if (!make)
		return 0;
	return pn_store_put(call, KEY_NAME, pn_slice(state->key, sizeof(state->key)), 0, err);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reader {
	struct limits_state *state;
	struct rules rules;
	int64_t since; /* what happened before counts nowhere */
};

static int
read_row(void *arg, const struct pn_row *row)
{
	struct reader *reader = arg;
	struct pn_slice records = pn_row_bytes(row, 2);
	struct record record;

	reader->state->read = pn_row_int(row, 0);
	if (pn_slice_equals(pn_row_bytes(row, 1), pn_slice_of(reader->state->writer)))
		return 0;
	while (journal_next(&records, &record))
		if (record.at > reader->since)
			book_apply(reader->state->book, &reader->rules, &record);
	return 0;
}

int
store_read(struct pn_call *call, struct limits_state *state, struct pn_error *err)
{
	struct reader reader = { .state = state };

	rules_make(pn_settings(call), NULL, &reader.rules);
	reader.since = now_ms() - rules_longest(&reader.rules);
	return pn_db_query(call, err,
	    "SELECT id, writer, records FROM limits_journal WHERE id > ?1 AND entry = ?2 "
	    "ORDER BY id",
	    PN_VALUES(PN_INT(state->read), PN_TEXT(pn_entry(call))), read_row, &reader);
}

/* ---- writing --------------------------------------------------------------------------------- */

static int
insert(struct pn_call *call, const char *writer, const GByteArray *records, struct pn_error *err)
{
	return pn_db_run(call, err,
	    "INSERT INTO limits_journal (entry, writer, written, records) VALUES (?1, ?2, ?3, ?4)",
	    PN_VALUES(PN_TEXT(pn_entry(call)), PN_TEXT(writer), PN_INT(now_ms()),
		PN_BLOB(records->data, records->len)));
}

int
store_write(struct pn_call *call, struct limits_state *state, struct pn_error *err)
{
	GByteArray *records = book_take(state->book);
	int r;

	if (!records)
		return 0;
	r = insert(call, state->writer, records, err);
	if (r < 0)
		book_give_back(state->book, records);
	else
		g_byte_array_unref(records);
	return r;
}

int
store_add(struct pn_call *call, const struct record *record, struct pn_error *err)
{
	GByteArray *records = g_byte_array_new();
	int r;

	journal_put(records, record);
	r = insert(call, "command", records, err);
	g_byte_array_unref(records);
	return r;
}

int
store_forget(struct pn_call *call, struct pn_error *err)
{
	struct rules rules;

	rules_make(pn_settings(call), NULL, &rules);
	return pn_db_run(call, err,
	    "DELETE FROM limits_journal WHERE written <= ?1 AND entry = ?2 "
	    "AND id < (SELECT MAX(id) FROM limits_journal)",
	    PN_VALUES(PN_INT(now_ms() - rules_longest(&rules)), PN_TEXT(pn_entry(call))));
}
