/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - books and entries in the database.
 *
 * Called by hooks, which read, and by commands. Must never keep an answer: of a question there are
 * salt and public key (SPEC E2). What is a user's goes with the user.
 */
#include "address_book.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>

const struct pn_migration store_migrations[] = {
	{ 1, 0,
	    "CREATE TABLE address_book_books ("
	    "number INTEGER NOT NULL PRIMARY KEY, "
	    "address TEXT REFERENCES users (address) ON DELETE CASCADE, "
	    "account TEXT, name TEXT NOT NULL, UNIQUE (address, name), UNIQUE (account, name));"
	    "CREATE TABLE address_book_entries ("
	    "book BIGINT NOT NULL REFERENCES address_book_books (number) ON DELETE CASCADE, "
	    "address TEXT NOT NULL, spelled TEXT NOT NULL, name TEXT NOT NULL, "
	    "certificates BLOB, pgp BLOB, question TEXT, answer TEXT, changed BIGINT NOT NULL, "
	    "PRIMARY KEY (book, address));"
	    "CREATE TABLE address_book_subscriptions ("
	    "address TEXT NOT NULL REFERENCES users (address) ON DELETE CASCADE, "
	    "place BIGINT NOT NULL, "
	    "book BIGINT REFERENCES address_book_books (number) ON DELETE CASCADE, "
	    "directory TEXT, PRIMARY KEY (address, place));"
	    "CREATE INDEX address_book_subscriptions_book ON address_book_subscriptions (book)" },
	{ 0, 0, NULL },
};

/* ---- books ----------------------------------------------------------------------------------- */

const char *
book_name_fault(const char *name)
{
	if (!*name)
		return "is empty";
	if (strlen(name) > BOOK_NAME_MOST)
		return "has more than 64 bytes";
	if (!g_utf8_validate(name, -1, NULL))
		return "is not UTF-8";
	for (const char *c = name; *c; c++)
		if (g_ascii_iscntrl(*c))
			return "has a control character";
	return *name == '-' ? "begins with a hyphen, as options do" : NULL;
}

static int
take_number(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

int
book_of(struct pn_call *call, const struct owner *owner, const char *name, struct book *ret,
    struct pn_error *err)
{
	const char
	    *sql = owner->account
		       ? "SELECT number FROM address_book_books WHERE account = ?1 AND name = ?2"
		       : "SELECT number FROM address_book_books WHERE address = ?1 AND name = ?2";
	const char *whose = owner->account ? owner->account : owner->user;
	int r;

	*ret = (struct book){ .is_account = owner->account };
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	r = pn_db_query(
	    call, err, sql, PN_VALUES(PN_TEXT(whose), PN_TEXT(name)), take_number, &ret->number);
	if (r == 0 && ret->number == 0)
		r = pn_error_set(err, -ENOENT, "%.320s has no book \"%.64s\"", whose, name);
	return r;
}

static const struct ldap_book *
ldap_of(const struct address_book *cfg, const char *name)
{
	const struct ldap_book *books = cfg->ldap.values;

	for (size_t i = 0; i < cfg->ldap.count; i++)
		if (strcmp(cfg->ldap.keys[i], name) == 0)
			return &books[i];
	return NULL;
}

int
book_seen(struct pn_call *call, const struct address_book *cfg, const char *user,
    const char *account, const char *name, struct book *ret, struct pn_error *err)
{
	struct owner owner = { .account = NULL };
	int r;

	snprintf(owner.user, sizeof(owner.user), "%s", user);
	r = book_of(call, &owner, name, ret, err);
	if (r == -ENOENT && account) {
		owner.account = account;
		r = book_of(call, &owner, name, ret, err);
	}
	if (r != -ENOENT)
		return r;
	ret->ldap = ldap_of(cfg, name);
	if (ret->ldap)
		return 0;
	return pn_error_set(err, -ENOENT,
	    "there is no book \"%.64s\" that %.320s can see: neither his own nor his account's "
	    "nor a directory server of %s.ldap",
	    name, user, pn_entry(call));
}

/* ---- entries --------------------------------------------------------------------------------- */

void
entry_init(struct entry *entry)
{
	*entry = (struct entry){
		.certificates = g_byte_array_new(),
		.pgp = g_byte_array_new(),
	};
}

void
entry_clear(struct entry *entry)
{
	g_free(entry->address);
	g_free(entry->name);
	g_free(entry->question);
	g_byte_array_unref(entry->certificates);
	g_byte_array_unref(entry->pgp);
}

bool
entry_has_key(const struct entry *entry)
{
	return entry->certificates->len > 0 || entry->pgp->len > 0 || entry->question;
}

int
entry_address(const char *address, char ret[PN_ADDRESS_SIZE])
{
	char canonical[PN_ADDRESS_SIZE], *folded, *normal;
	int r = pn_address_canonical(address, canonical);

	if (r < 0 || !*canonical)
		return -EINVAL;
	normal = g_utf8_normalize(canonical, -1, G_NORMALIZE_NFC);
	if (!normal)
		return -EINVAL;
	folded = g_utf8_casefold(normal, -1);
	r = snprintf(ret, PN_ADDRESS_SIZE, "%s", folded) < PN_ADDRESS_SIZE ? 0 : -EINVAL;
	g_free(normal);
	g_free(folded);
	return r;
}

static char *
text_of(const struct pn_row *row, int column)
{
	struct pn_slice bytes = pn_row_bytes(row, column);

	return bytes.data ? g_strndup(bytes.data, bytes.len) : NULL;
}

static void
blob_of(const struct pn_row *row, int column, GByteArray *ret)
{
	struct pn_slice bytes = pn_row_bytes(row, column);

	if (bytes.len > 0)
		g_byte_array_append(ret, (const guint8 *)bytes.data, (guint)bytes.len);
}

#define COLUMNS "spelled, name, certificates, pgp, question, answer"

/* -EBADMSG: somebody else has written there. */
static int
read_entry(const struct pn_row *row, struct entry *ret)
{
	entry_init(ret);
	ret->address = text_of(row, 0);
	ret->name = text_of(row, 1);
	blob_of(row, 2, ret->certificates);
	blob_of(row, 3, ret->pgp);
	if (!pn_row_bytes(row, 4).data || !pn_row_bytes(row, 5).data)
		return 0;
	ret->question = text_of(row, 4);
	return answer_key_parse(pn_row_bytes(row, 5), &ret->answer) < 0 ||
		       answer_question_fault(ret->question)
		   ? -EBADMSG
		   : 0;
}

struct loading {
	struct entry *entry;
	int found;
};

static int
load_row(void *arg, const struct pn_row *row)
{
	struct loading *loading = arg;

	loading->found = 1;
	return read_entry(row, loading->entry);
}

int
entry_load(struct pn_call *call, int64_t book, const char *address, struct entry *ret,
    struct pn_error *err)
{
	struct loading loading = { ret, 0 };
	int r = pn_db_query(call, err,
	    "SELECT " COLUMNS " FROM address_book_entries WHERE book = ?1 AND address = ?2",
	    PN_VALUES(PN_INT(book), PN_TEXT(address)), load_row, &loading);

	if (r < 0 && loading.found) {
		entry_clear(ret);
		return r == -EBADMSG
			   ? pn_error_set(err, r,
				 "the entry of %.320s in the database cannot be read", address)
			   : r;
	}
	return r < 0 ? r : loading.found;
}

struct walking {
	entry_fn *each;
	void *arg;
};

static int
walk_row(void *arg, const struct pn_row *row)
{
	const struct walking *walking = arg;
	struct entry entry;
	int r = read_entry(row, &entry);

	if (r == 0)
		r = walking->each(walking->arg, &entry);
	entry_clear(&entry);
	return r;
}

int
entry_each(struct pn_call *call, int64_t book, entry_fn *each, void *arg, struct pn_error *err)
{
	struct walking walking = { each, arg };
	int r = pn_db_query(call, err,
	    "SELECT " COLUMNS " FROM address_book_entries WHERE book = ?1 ORDER BY address",
	    PN_VALUES(PN_INT(book)), walk_row, &walking);

	return r == -EBADMSG ? pn_error_set(err, r, "an entry in the database cannot be read") : r;
}

int
entry_count(struct pn_call *call, int64_t book, int64_t *ret, struct pn_error *err)
{
	*ret = 0;
	return pn_db_query(call, err, "SELECT COUNT(*) FROM address_book_entries WHERE book = ?1",
	    PN_VALUES(PN_INT(book)), take_number, ret);
}

#define VALUES_EACH 9u

static struct pn_value
blob_or_null(const GByteArray *bytes)
{
	return bytes->len > 0 ? PN_BLOB(bytes->data, bytes->len) : PN_NULL;
}

/* The texts that values point at live in the two arrays. */
static int
fill(struct pn_value *values, int64_t book, const struct entry *entry,
    char address[PN_ADDRESS_SIZE], char answer[ANSWER_TEXT_SIZE], struct pn_error *err)
{
	if (entry_address(entry->address, address) < 0)
		return pn_error_set(err, -EINVAL, "\"%.320s\" is no address", entry->address);
	if (entry->question)
		answer_key_print(&entry->answer, answer);
	values[0] = PN_INT(book);
	values[1] = PN_TEXT(address);
	values[2] = PN_TEXT(entry->address);
	values[3] = PN_TEXT(entry->name ? entry->name : "");
	values[4] = blob_or_null(entry->certificates);
	values[5] = blob_or_null(entry->pgp);
	values[6] = entry->question ? PN_TEXT(entry->question) : PN_NULL;
	values[7] = entry->question ? PN_TEXT(answer) : PN_NULL;
	values[8] = PN_INT((int64_t)time(NULL));
	return 0;
}

static GString *
put_statement(size_t count)
{
	GString *sql = g_string_new(
	    "INSERT INTO address_book_entries (book, address, " COLUMNS ", changed) VALUES ");

	for (size_t i = 0; i < count * VALUES_EACH; i++)
		g_string_append_printf(sql, "%s?%zu%s", i % VALUES_EACH ? ", " : (i ? ", (" : "("),
		    i + 1, i % VALUES_EACH == VALUES_EACH - 1 ? ")" : "");
	g_string_append(sql,
	    " ON CONFLICT (book, address) DO UPDATE SET "
	    "name = CASE excluded.name WHEN '' THEN address_book_entries.name "
	    "ELSE excluded.name END, "
	    "certificates = COALESCE(excluded.certificates, address_book_entries.certificates), "
	    "pgp = COALESCE(excluded.pgp, address_book_entries.pgp), "
	    "question = COALESCE(excluded.question, address_book_entries.question), "
	    "answer = COALESCE(excluded.answer, address_book_entries.answer), "
	    "changed = excluded.changed");
	return sql;
}

int
entries_put(struct pn_call *call, int64_t book, const struct entry *entries, size_t count,
    struct pn_error *err)
{
	char(*addresses)[PN_ADDRESS_SIZE] = g_malloc(ENTRIES_AT_ONCE * sizeof(*addresses));
	char(*answers)[ANSWER_TEXT_SIZE] = g_malloc(ENTRIES_AT_ONCE * sizeof(*answers));
	struct pn_value *values = g_new(struct pn_value, ENTRIES_AT_ONCE * VALUES_EACH);
	int r = 0;

	for (size_t done = 0; done < count && r == 0; done += ENTRIES_AT_ONCE) {
		size_t some = MIN(count - done, ENTRIES_AT_ONCE);
		GString *sql = put_statement(some);

		for (size_t i = 0; i < some && r == 0; i++)
			r = fill(values + i * VALUES_EACH, book, &entries[done + i], addresses[i],
			    answers[i], err);
		if (r == 0)
			r = pn_db_run(
			    call, err, sql->str, (struct pn_values){ some * VALUES_EACH, values });
		g_string_free(sql, TRUE);
	}
	g_free(addresses);
	g_free(answers);
	g_free(values);
	return r;
}
