/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.c - what an import finds in the database, and how it changes it.
 *
 * Called by command_exchange.c. Must change nothing without a row in the audit log, and nothing
 * that is as the file wants it already.
 */
#include <core/ctl/exchange.h>
#include <core/store/audit.h>
#include <core/store/directory.h>
#include <errno.h>
#include <stdio.h>

#define MISTAKES_SHOWN 100

/* ---- what there is --------------------------------------------------------------------------- */

static char *
key_of(enum record_kind kind, int keys, const char *const columns[RECORD_COLUMNS])
{
	GString *key = g_string_new(NULL);

	g_string_printf(key, "%d", (int)kind);
	for (int i = 0; i < keys; i++) {
		g_string_append_c(key, '\x1f');
		g_string_append(key, columns[i]);
	}
	return g_string_free(key, FALSE);
}

static void
keep(struct exchange *exchange, enum record_kind kind, int keys,
    const char *const columns[RECORD_COLUMNS])
{
	const char **copy = arena_alloc(&exchange->arena, RECORD_COLUMNS * sizeof(*copy));

	for (int i = 0; i < RECORD_COLUMNS; i++)
		copy[i] = columns[i] ? arena_text(&exchange->arena, columns[i]) : NULL;
	g_hash_table_insert(exchange->rows, key_of(kind, keys, columns), copy);
}

static const struct {
	enum record_kind kind;
	int keys;
} kinds[] = { { RECORD_ACCOUNT, 1 }, { RECORD_DOMAIN, 1 }, { RECORD_REGISTERED, 1 },
	{ RECORD_GROUP, 1 }, { RECORD_MEMBER, 2 }, { RECORD_ALIAS, 1 }, { RECORD_DELEGATE, 3 },
	{ RECORD_USER, 1 }, { RECORD_FIELD, 2 } };

struct keeping {
	struct exchange *exchange;
	size_t which;
};

static int
keep_row(void *arg, const char *const columns[RECORD_COLUMNS])
{
	const struct keeping *keeping = arg;

	keep(keeping->exchange, kinds[keeping->which].kind, kinds[keeping->which].keys, columns);
	return 0;
}

static int
read_rows(struct exchange *exchange, struct pn_error *err)
{
	int r = 0;

	g_hash_table_remove_all(exchange->rows);
	for (size_t i = 0; r == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct keeping keeping = { exchange, i };

		r = records_each(exchange->ctl->db, kinds[i].kind, keep_row, &keeping, err);
	}
	return r;
}

int
exchange_open(struct exchange *exchange, struct pn_error *err)
{
	exchange->rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	exchange->claims = g_array_new(FALSE, FALSE, sizeof(struct claim));
	return read_rows(exchange, err);
}

void
exchange_close(struct exchange *exchange)
{
	if (exchange->rows)
		g_hash_table_destroy(exchange->rows);
	if (exchange->claims)
		g_array_free(exchange->claims, TRUE);
	arena_free(&exchange->arena);
}

const char *const *
exchange_find(const struct exchange *exchange, enum record_kind kind, int keys,
    const char *const columns[RECORD_COLUMNS])
{
	char *key = key_of(kind, keys, columns);
	const char *const *found = g_hash_table_lookup(exchange->rows, key);

	g_free(key);
	return found;
}

/* ---- the row at hand ------------------------------------------------------------------------- */

const char *
exchange_cell(const struct exchange *exchange, int column)
{
	int place = exchange->places[column];

	return place < 0 ? NULL : csv_plain(exchange->row.cells[place].text);
}

PN_PRINTF(4, 0)
static void
complain(struct exchange *exchange, size_t line, size_t column, const char *format, va_list args)
{
	char text[600];

	vsnprintf(text, sizeof(text), format, args);
	if (++exchange->mistakes > MISTAKES_SHOWN)
		return;
	fprintf(stderr, "%s:%zu:%zu: ", exchange->file, line, column);
	console_write(stderr, text);
	fputc('\n', stderr);
}

void
exchange_complain(struct exchange *exchange, int column, const char *format, ...)
{
	int place = exchange->places[column];
	const struct csv_cell *cell = &exchange->row.cells[place < 0 ? 0 : place];
	va_list args;

	va_start(args, format);
	complain(exchange, cell->line, cell->column, format, args);
	va_end(args);
}

void
exchange_complain_at(struct exchange *exchange, size_t line, size_t column, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(exchange, line, column, format, args);
	va_end(args);
}

void
exchange_claim(struct exchange *exchange, enum claim_kind kind, int column, const char *what,
    const char *whose)
{
	int place = exchange->places[column];
	const struct csv_cell *cell = &exchange->row.cells[place < 0 ? 0 : place];
	struct claim claim = { kind, arena_text(&exchange->arena, what),
		whose ? arena_text(&exchange->arena, whose) : NULL, cell->line, cell->column };

	g_array_append_val(exchange->claims, claim);
}

/* ---- changes --------------------------------------------------------------------------------- */

static int
put_user(struct db *db, const char *const *before, const char *const *columns, struct pn_error *err)
{
	bool enabled = *columns[1] == '1';
	int r = 0;

	if (!before || *before[2] == '0')
		r = directory_user_add(db, columns[0], err);
	if (r == 0 && (before || !enabled))
		r = directory_user_enable(db, columns[0], enabled, err);
	return r;
}

static int
store(
    struct db *db, const struct exchange_put *put, const char *const *before, struct pn_error *err)
{
	if (put->kind == RECORD_USER)
		return put_user(db, before, put->columns, err);
	if (put->kind == RECORD_FIELD)
		return directory_field_set(db, put->columns[0], put->columns[1],
		    put->columns[2] ? put->columns[2] : "", err);
	return put->removes ? records_remove(db, put->kind, put->columns, err)
			    : records_put(db, put->kind, put->columns, err);
}

static bool
is_same(const struct exchange_put *put, const char *const *before)
{
	if (!before || put->removes)
		return !before && put->removes;
	for (int i = put->keys; i < RECORD_COLUMNS; i++)
		if (g_strcmp0(put->columns[i], before[i]) != 0)
			return false;
	return true;
}

/* For people. NULL: there is no such row. */
static const char *
text_of(struct exchange *exchange, const struct exchange_put *put, const char *const *columns)
{
	GString *text;
	const char *kept;

	if (!columns)
		return NULL;
	if (put->kind == RECORD_USER)
		return *columns[1] == '1' ? "enabled" : "disabled";
	text = g_string_new(NULL);
	for (int i = put->keys; i < RECORD_COLUMNS; i++)
		if (columns[i])
			g_string_append_printf(text, "%s%s", text->len ? " " : "", columns[i]);
	kept = arena_text(&exchange->arena, text->len ? text->str : "there");
	g_string_free(text, TRUE);
	return kept;
}

static int
note(struct exchange *exchange, const struct exchange_put *put, const char *before,
    const char *after, struct pn_error *err)
{
	const struct audit_row row = { .who = exchange->ctl->who,
		.action = arena_printf(&exchange->arena, "%s import", exchange->word),
		.scope = arena_printf(&exchange->arena, "%s %s", put->what, put->columns[0]),
		.object = put->object,
		.before = before,
		.after = after };

	exchange->changes++;
	console_add(
	    &exchange->ctl->console, json_pack("{s:s, s:s, s:s?, s:s?}", "changes", row.scope,
					 "object", row.object, "before", before, "after", after));
	return audit_add(exchange->ctl->db, &row, err);
}

static int
forget_kept(struct exchange *exchange, const struct exchange_put *put, struct pn_error *err)
{
	bool forgotten;
	int r = directory_user_forget(exchange->ctl->db, put->columns[0], &forgotten, err);

	if (r == 0 && forgotten)
		r = note(exchange, put, CTL_KEPT_GONE, NULL, err);
	return r < 0 || !forgotten ? r : read_rows(exchange, err);
}

void
exchange_put(struct exchange *exchange, const struct exchange_put *put)
{
	const char *const *before = exchange_find(exchange, put->kind, put->keys, put->columns);
	struct pn_error err = { 0 };
	int r = 0;

	if (is_same(put, before))
		return;
	if (put->kind == RECORD_USER && before && *before[2] == '0' &&
	    !ctl_is_elsewhere(exchange->ctl, put->columns[0])) {
		r = forget_kept(exchange, put, &err);
		before = NULL;
	}
	if (r == 0)
		r = store(exchange->ctl->db, put, before, &err);
	if (r == 0)
		r = note(exchange, put, text_of(exchange, put, before),
		    put->removes ? NULL : text_of(exchange, put, put->columns), &err);
	if (r < 0) {
		exchange_complain(exchange, put->column, "%s", err.text);
	} else if (put->removes) {
		char *key = key_of(put->kind, put->keys, put->columns);

		g_hash_table_remove(exchange->rows, key);
		g_free(key);
	} else {
		keep(exchange, put->kind, put->keys, put->columns);
	}
}
