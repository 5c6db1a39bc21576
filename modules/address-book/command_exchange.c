/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_exchange.c - posternctl address-book import, export: vCard and CSV.
 *
 * Called by posternctl. A file is read to its end before anything is written, so one with errors
 * changes nothing. Must never write what an answer is sealed to: whoever has that can try answers
 * at home.
 */
#include "address_book.h"
#include "vcard.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#define FILE_MOST     (64u * 1024 * 1024)
#define PROBLEMS_MOST 1000u

enum form { FORM_NONE, FORM_VCARD4, FORM_VCARD3, FORM_CSV };

static enum form
read_form(const char *word)
{
	if (strcmp(word, "--vcard") == 0)
		return FORM_VCARD4;
	if (strcmp(word, "--vcard3") == 0)
		return FORM_VCARD3;
	return strcmp(word, "--csv") == 0 ? FORM_CSV : FORM_NONE;
}

/* ---- import ---------------------------------------------------------------------------------- */

struct import {
	struct pn_call *call;
	const struct address_book *cfg;
	struct book book;
	GPtrArray *entries;     /* of struct entry * */
	GHashTable *by_address; /* into `entries`, by entry_address() */
	GPtrArray *problems;    /* of char * */
};

static void
drop_entry(void *entry)
{
	entry_clear(entry);
	g_free(entry);
}

static void PN_PRINTF(3, 4) problem(struct import *import, size_t line, const char *format, ...)
{
	va_list args;
	char *text;

	if (import->problems->len >= PROBLEMS_MOST)
		return;
	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	g_ptr_array_add(
	    import->problems, line ? g_strdup_printf("line %zu: %s", line, text) : g_strdup(text));
	g_free(text);
}

/* The entry of that address, a new one if there is none yet; NULL: it is no address. */
static struct entry *
entry_of(struct import *import, const char *address)
{
	char folded[PN_ADDRESS_SIZE];
	struct entry *ret;

	if (entry_address(address, folded) < 0)
		return NULL;
	ret = g_hash_table_lookup(import->by_address, folded);
	if (ret)
		return ret;
	ret = g_new(struct entry, 1);
	entry_init(ret);
	ret->address = g_strdup(address);
	g_ptr_array_add(import->entries, ret);
	g_hash_table_insert(import->by_address, g_strdup(folded), ret);
	return ret;
}

/* What an entry is given twice, it keeps from the first time. */
static void
give_keys(struct entry *entry, const struct keydata *keys)
{
	if (entry->certificates->len == 0)
		g_byte_array_append(
		    entry->certificates, keys->certificates->data, keys->certificates->len);
	if (entry->pgp->len == 0)
		g_byte_array_append(entry->pgp, keys->pgp->data, keys->pgp->len);
}

static void
give_name(struct entry *entry, const char *name)
{
	if (!entry->name && *name && strlen(name) <= NAME_MOST)
		entry->name = g_strdup(name);
}

/* Whether the book has this very question for it: its answer stays. */
static int
has_question(struct import *import, const struct entry *entry, const char *question, bool *ret,
    struct pn_error *err)
{
	char folded[PN_ADDRESS_SIZE];
	struct entry have;
	int r = 0;

	*ret = false;
	if (entry_address(entry->address, folded) == 0)
		r = entry_load(import->call, import->book.number, folded, &have, err);
	if (r <= 0)
		return r;
	*ret = have.question && strcmp(have.question, question) == 0;
	entry_clear(&have);
	return 0;
}

static int
give_question(struct import *import, size_t line, struct entry *entry, const char *question,
    const char *answer, struct pn_error *err)
{
	const char *fault = answer_question_fault(question);
	bool have;
	int r = has_question(import, entry, question, &have, err);

	if (r < 0 || entry->question || (have && !*answer))
		return r;
	if (fault)
		return pn_error_set(err, -EINVAL, "line %zu: the question %s", line, fault);
	if (!*answer) {
		problem(import, line,
		    "the question for %s is left out, as it comes without its answer",
		    entry->address);
		return 0;
	}
	if (answer_key_make(pn_slice_of(answer), &entry->answer) < 0)
		return pn_error_set(err, -EINVAL, "line %zu: the answer cannot be used", line);
	entry->question = g_strdup(question);
	return 0;
}

/* ---- vCard ----------------------------------------------------------------------------------- */

static int
take_card(struct import *import, const struct vcard *card, struct pn_error *err)
{
	int r = 0;

	for (guint i = 0; i < card->problems->len; i++)
		problem(import, 0, "%s", (char *)card->problems->pdata[i]);
	if (card->addresses->len == 0)
		problem(import, card->line, "the card has no address and is left out");
	for (guint i = 0; i < card->addresses->len && r == 0; i++) {
		const char *address = card->addresses->pdata[i];
		struct entry *entry = entry_of(import, address);

		if (!entry) {
			problem(
			    import, card->line, "\"%s\" is no address and is left out", address);
			continue;
		}
		/* A card has to have a name: one without gets its address. */
		if (g_ascii_strcasecmp(card->name, address) != 0)
			give_name(entry, card->name);
		give_keys(entry, &card->keys);
		if (card->question)
			r = give_question(import, card->line, entry, card->question, "", err);
	}
	return r;
}

static int
read_cards(struct import *import, struct pn_slice text, struct pn_error *err)
{
	struct vcard_reader reader;
	struct vcard card;
	int r = 1, cards = 0;

	vcard_open(&reader, text);
	while (r == 1) {
		r = vcard_next(&reader, &card, err);
		if (r == 1) {
			int taken = take_card(import, &card, err);

			cards++;
			r = taken < 0 ? taken : 1;
		}
		vcard_clear(&card);
	}
	return r == 0 && cards == 0 ? pn_error_set(err, -EINVAL, "it has no vCards") : r;
}

/* ---- CSV ------------------------------------------------------------------------------------- */

enum column { ADDRESS, NAME, CERTIFICATE, PGP, QUESTION, ANSWER, COLUMNS };

static const char *const columns[COLUMNS] = { "address", "name", "certificate", "pgp", "question",
	"answer" };

static int
find_columns(const struct pn_csv_row *row, int places[COLUMNS], struct pn_error *err)
{
	for (int i = 0; i < COLUMNS; i++)
		places[i] = -1;
	for (size_t cell = 0; cell < row->count; cell++) {
		int i = 0;

		while (i < COLUMNS && g_ascii_strcasecmp(row->cells[cell], columns[i]) != 0)
			i++;
		if (i == COLUMNS)
			return pn_error_set(err, -EINVAL,
			    "line 1: there is no column \"%.40s\"; there are address, name, "
			    "certificate, pgp, question and answer",
			    row->cells[cell]);
		if (places[i] >= 0)
			return pn_error_set(
			    err, -EINVAL, "line 1: the column %s stands there twice", columns[i]);
		places[i] = (int)cell;
	}
	return places[ADDRESS] < 0
		   ? pn_error_set(err, -EINVAL, "line 1: there is no column \"address\"")
		   : 0;
}

static const char *
cell_of(const struct pn_csv_row *row, int place)
{
	return place >= 0 && (size_t)place < row->count ? row->cells[place] : "";
}

static int
take_keys(const struct pn_csv_row *row, const int places[COLUMNS], struct entry *entry,
    struct pn_error *err)
{
	struct keydata keys;
	int r = 0;

	keydata_init(&keys);
	for (int i = CERTIFICATE; i <= PGP && r == 0; i++) {
		const char *cell = cell_of(row, places[i]);

		if (!*cell)
			continue;
		r = keydata_look(&keys, pn_slice_of(cell), err);
		if (r < 0)
			pn_error_in(err, "line %zu: %s", row->line, columns[i]);
	}
	if (r == 0)
		give_keys(entry, &keys);
	keydata_clear(&keys);
	return r;
}

static int
take_row(struct import *import, const struct pn_csv_row *row, const int places[COLUMNS],
    struct pn_error *err)
{
	const char *question = cell_of(row, places[QUESTION]);
	const char *answer = cell_of(row, places[ANSWER]);
	struct entry *entry = entry_of(import, cell_of(row, places[ADDRESS]));
	int r;

	if (!entry)
		return pn_error_set(err, -EINVAL, "line %zu: \"%.320s\" is no address", row->line,
		    cell_of(row, places[ADDRESS]));
	give_name(entry, cell_of(row, places[NAME]));
	r = take_keys(row, places, entry, err);
	if (r == 0 && *answer && !*question)
		r = pn_error_set(
		    err, -EINVAL, "line %zu: there is an answer without question", row->line);
	if (r == 0 && *question)
		r = give_question(import, row->line, entry, question, answer, err);
	return r;
}

static int
read_rows(struct import *import, struct pn_slice text, struct pn_error *err)
{
	struct pn_csv_row *row = g_new(struct pn_csv_row, 1);
	struct pn_csv *csv = NULL;
	int places[COLUMNS], r = pn_csv_open(text, &csv, err);

	if (r == 0)
		r = pn_csv_next(csv, row, err);
	if (r == 0)
		r = pn_error_set(err, -EINVAL, "it is empty: a row of column names is wanted");
	if (r == 1)
		r = find_columns(row, places, err);
	while (r == 0) {
		r = pn_csv_next(csv, row, err);
		if (r <= 0)
			break;
		r = take_row(import, row, places, err);
	}
	pn_csv_close(csv);
	g_free(row);
	return r;
}

/* ---- into the book --------------------------------------------------------------------------- */

static int
has_room(struct import *import, struct pn_error *err)
{
	int64_t count, added = 0;
	int r = entry_count(import->call, import->book.number, &count, err);

	if (r < 0 || count + import->entries->len <= import->cfg->most_entries)
		return r;
	for (guint i = 0; i < import->entries->len; i++) {
		const struct entry *entry = import->entries->pdata[i];
		char folded[PN_ADDRESS_SIZE];
		struct entry have;

		r = entry_address(entry->address, folded);
		if (r == 0)
			r = entry_load(import->call, import->book.number, folded, &have, err);
		if (r < 0)
			return r;
		if (r == 1)
			entry_clear(&have);
		else
			added++;
	}
	return count + added > import->cfg->most_entries
		   ? pn_error_set(err, -ENOSPC,
			 "the book would have %lld entries; %s.most_entries is %lld",
			 (long long)(count + added), pn_entry(import->call),
			 (long long)import->cfg->most_entries)
		   : 0;
}

static int
put_all(struct import *import, struct pn_error *err)
{
	struct entry *entries = g_new(struct entry, import->entries->len);
	int r;

	for (guint i = 0; i < import->entries->len; i++)
		entries[i] = *(struct entry *)import->entries->pdata[i];
	r = entries_put(import->call, import->book.number, entries, import->entries->len, err);
	g_free(entries);
	return r;
}

static void
show_result(const struct import *import, struct pn_console *console)
{
	char number[24];

	g_snprintf(number, sizeof(number), "%u", import->entries->len);
	pn_console_row(console);
	pn_console_field(console, "entries", number);
	pn_console_field(console, "problem", "");
	for (guint i = 0; i < import->problems->len; i++) {
		pn_console_row(console);
		pn_console_field(console, "entries", "");
		pn_console_field(console, "problem", import->problems->pdata[i]);
	}
}

static int
import_file(struct import *import, enum form form, const struct owner *owner, const char *path,
    struct pn_error *err)
{
	GByteArray *bytes = NULL;
	struct pn_slice text;
	char after[64];
	int r = file_read(path, FILE_MOST, &bytes, err);

	if (r < 0)
		return r;
	text = pn_slice(bytes->data, bytes->len);
	r = form == FORM_CSV ? read_rows(import, text, err) : read_cards(import, text, err);
	g_byte_array_unref(bytes);
	if (r < 0)
		return pn_error_in(err, "%.300s", path);
	r = has_room(import, err);
	if (r < 0 || import->entries->len == 0)
		return r;
	g_snprintf(after, sizeof(after), "%u entries imported", import->entries->len);
	audit_of(import->call, owner, import->book.name, NULL, NULL, after);
	return put_all(import, err);
}

int
command_import(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	enum form form = read_form(argv[0]);
	struct import import = {
		.call = call,
		.entries = g_ptr_array_new_with_free_func(drop_entry),
		.by_address = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
		.problems = g_ptr_array_new_with_free_func(g_free),
	};
	struct owner owner;
	int r = 0;

	if (form == FORM_NONE)
		r = pn_error_set(err, -EINVAL, "--vcard or --csv is wanted first");
	if (r == 0 && sodium_init() < 0)
		r = pn_error_set(err, -ENOTSUP, "libsodium cannot be used here");
	if (r == 0)
		r = owned_book(call, argv[1], argv[2], &owner, &import.book, err);
	if (r == 0) {
		import.cfg = settings_of(call, &owner, err);
		r = import.cfg ? import_file(&import, form, &owner, argv[3], err) : -EINVAL;
	}
	if (r == 0)
		show_result(&import, console);
	g_hash_table_unref(import.by_address);
	g_ptr_array_unref(import.entries);
	g_ptr_array_unref(import.problems);
	return r;
}

/* ---- export ---------------------------------------------------------------------------------- */

struct export
{
	enum form form;
	FILE *to;
	struct pn_csv *csv;
	size_t count;
	struct pn_error *err;
};

static int
write_bytes(struct export *export, const void *bytes, size_t len)
{
	return fwrite(bytes, 1, len, export->to) == len
		   ? 0
		   : pn_error_set(export->err, -EIO, "cannot write: %s", strerror(errno));
}

static int
write_cells(struct export *export, const char *const *cells)
{
	struct pn_slice row;
	int r = pn_csv_write(export->csv, ANSWER, cells, &row, export->err);

	return r < 0 ? r : write_bytes(export, row.data, row.len);
}

static int
write_row(struct export *export, const struct entry *entry)
{
	char *certificates = g_base64_encode(entry->certificates->data, entry->certificates->len);
	char *pgp = g_base64_encode(entry->pgp->data, entry->pgp->len);
	const char *const cells[ANSWER] = { entry->address, entry->name, certificates, pgp,
		entry->question };
	int r = write_cells(export, cells);

	g_free(certificates);
	g_free(pgp);
	return r;
}

static int
write_card(struct export *export, const struct entry *entry)
{
	const struct vcard_source source = {
		.name = entry->name,
		.address = entry->address,
		.question = entry->question,
		.certificates = pn_slice(entry->certificates->data, entry->certificates->len),
		.pgp = pn_slice(entry->pgp->data, entry->pgp->len),
	};
	GString *text = g_string_new(NULL);
	int r;

	vcard_write(text, export->form == FORM_VCARD3 ? 3 : 4, &source);
	r = write_bytes(export, text->str, text->len);
	g_string_free(text, TRUE);
	return r;
}

static int
write_entry(void *arg, const struct entry *entry)
{
	struct export *export = arg;

	export->count++;
	return export->form == FORM_CSV ? write_row(export, entry) : write_card(export, entry);
}

static int
export_to(struct pn_call *call, struct export *export, int64_t book, struct pn_error *err)
{
	int r = pn_csv_open_writer(&export->csv, err);

	if (r == 0 && export->form == FORM_CSV)
		r = write_cells(export, columns);
	if (r == 0)
		r = entry_each(call, book, write_entry, export, err);
	pn_csv_close(export->csv);
	return r;
}

int
command_export(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	bool standard = strcmp(argv[3], "-") == 0;
	struct export export = { .form = read_form(argv[0]), .err = err };
	struct owner owner;
	struct book book;
	char number[24];
	int r = owned_book(call, argv[1], argv[2], &owner, &book, err);

	if (r == 0 && export.form == FORM_NONE)
		r = pn_error_set(err, -EINVAL, "--vcard, --vcard3 or --csv is wanted first");
	if (r < 0)
		return r;
	export.to = standard ? stdout : fopen(argv[3], "wxe");
	if (!export.to)
		return pn_error_set(
		    err, -errno, "cannot make %.400s: %s", argv[3], strerror(errno));
	r = export_to(call, &export, book.number, err);
	if ((standard ? fflush(stdout) : fclose(export.to)) != 0 && r == 0)
		r = pn_error_set(err, -errno, "cannot write: %s", strerror(errno));
	if (r < 0 && !standard)
		unlink(argv[3]); /* half a book looks like a whole one */
	if (r < 0 || standard)
		return r;
	g_snprintf(number, sizeof(number), "%zu", export.count);
	pn_console_row(console);
	pn_console_field(console, "entries", number);
	pn_console_field(console, "file", argv[3]);
	return 0;
}
