/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_order.c - posternctl address-book subscribe, unsubscribe, order, preferred, look-up.
 *
 * Called by posternctl. All subscriptions of a user are written by one statement, so that no moment
 * has half of them.
 */
#include "address_book.h"
#include <errno.h>
#include <stdio.h>

/* What the user has stored: the preferred book first, at place 0. */
struct subscriptions {
	struct pn_user user;
	const struct address_book *cfg;
	struct pn_account account;
	bool has_preferred;
	struct book preferred;
	GArray *books; /* of struct book */
};

static int
take_row(void *arg, const struct pn_row *row)
{
	struct subscriptions *subscriptions = arg;
	struct pn_slice directory = pn_row_bytes(row, 2), name = pn_row_bytes(row, 3);
	struct pn_slice called = directory.data ? directory : name;
	struct book book = { .number = pn_row_int(row, 1) };

	snprintf(book.name, sizeof(book.name), "%.*s", (int)called.len, called.data);
	if (pn_row_int(row, 0) == 0) {
		subscriptions->has_preferred = true;
		subscriptions->preferred = book;
	} else {
		g_array_append_val(subscriptions->books, book);
	}
	return 0;
}

/* `ret->books` is there, whatever comes back. */
static int
open_user(struct pn_call *call, const char *user, struct subscriptions *ret, struct pn_error *err)
{
	int r;

	*ret = (struct subscriptions){ .books = g_array_new(FALSE, FALSE, sizeof(struct book)) };
	r = pn_user_find(call, user, &ret->user, err);
	if (r < 0)
		return r;
	ret->cfg = pn_settings_for(call, ret->user.address, &ret->account, err);
	if (!ret->cfg)
		return -EINVAL;
	return pn_db_query(call, err,
	    "SELECT s.place, s.book, s.directory, b.name "
	    "FROM address_book_subscriptions s LEFT JOIN address_book_books b ON b.number = s.book "
	    "WHERE s.address = ?1 ORDER BY s.place",
	    PN_VALUES(PN_TEXT(ret->user.address)), take_row, ret);
}

static int
seen(struct pn_call *call, const struct subscriptions *subscriptions, const char *name,
    struct book *ret, struct pn_error *err)
{
	return book_seen(call, subscriptions->cfg, subscriptions->user.address,
	    subscriptions->account.name, name, ret, err);
}

static bool
same(const struct book *one, const struct book *other)
{
	return one->number == other->number &&
	       (one->number != 0 || strcmp(one->name, other->name) == 0);
}

static int
index_of(const GArray *books, const struct book *book)
{
	for (guint i = 0; i < books->len; i++)
		if (same(&g_array_index(books, struct book, i), book))
			return (int)i;
	return -1;
}

/* ---- storing --------------------------------------------------------------------------------- */

static void
row_of(GString *sql, GArray *values, int64_t place, const struct book *book)
{
	struct pn_value number = book->number ? PN_INT(book->number) : PN_NULL;
	struct pn_value directory = book->number ? PN_NULL : PN_TEXT(book->name);
	struct pn_value at = PN_INT(place);

	g_string_append_printf(sql, "%s(?1, ?%u, ?%u, ?%u)", values->len > 1 ? ", " : "",
	    values->len + 1, values->len + 2, values->len + 3);
	g_array_append_val(values, at);
	g_array_append_val(values, number);
	g_array_append_val(values, directory);
}

/* Rows for all places that there are, then those away that were more. */
static int
store(struct pn_call *call, const struct subscriptions *subscriptions, struct pn_error *err)
{
	GArray *values = g_array_new(FALSE, FALSE, sizeof(struct pn_value));
	struct pn_value user = PN_TEXT(subscriptions->user.address);
	GString *sql = g_string_new(
	    "INSERT INTO address_book_subscriptions (address, place, book, directory) VALUES ");
	int r = pn_user_keep(call, subscriptions->user.address, err);

	g_array_append_val(values, user);
	if (subscriptions->has_preferred)
		row_of(sql, values, 0, &subscriptions->preferred);
	for (guint i = 0; i < subscriptions->books->len; i++)
		row_of(sql, values, i + 1, &g_array_index(subscriptions->books, struct book, i));
	g_string_append(sql, " ON CONFLICT (address, place) DO UPDATE SET book = excluded.book, "
			     "directory = excluded.directory");
	if (r == 0 && values->len > 1)
		r = pn_db_run(call, err, sql->str,
		    (struct pn_values){ values->len, (const struct pn_value *)values->data });
	if (r == 0)
		r = pn_db_run(call, err,
		    "DELETE FROM address_book_subscriptions WHERE address = ?1 "
		    "AND (place > ?2 OR (place = 0 AND ?3 = 0))",
		    PN_VALUES(PN_TEXT(subscriptions->user.address),
			PN_INT(subscriptions->books->len), PN_INT(subscriptions->has_preferred)));
	g_string_free(sql, TRUE);
	g_array_unref(values);
	return r;
}

static char *
names_of(const GArray *books)
{
	GString *ret = g_string_new(NULL);

	for (guint i = 0; i < books->len; i++)
		g_string_append_printf(
		    ret, "%s%s", i ? ", " : "", g_array_index(books, struct book, i).name);
	return g_string_free(ret, FALSE);
}

/* ---- showing --------------------------------------------------------------------------------- */

static int
show(struct pn_call *call, const struct subscriptions *subscriptions, struct pn_console *console,
    struct pn_error *err)
{
	GArray *places = g_array_new(FALSE, FALSE, sizeof(struct place));
	GString *missing = g_string_new(NULL);
	int r = order_of(call, subscriptions->cfg, subscriptions->user.address,
	    subscriptions->account.name, places, missing, err);

	for (guint i = 0; i < places->len && r == 0; i++) {
		const struct place *place = &g_array_index(places, struct place, i);

		pn_console_row(console);
		pn_console_field(console, "user", subscriptions->user.address);
		pn_console_field(console, "book", place->book.name);
		pn_console_field(console, "whose",
		    place->book.ldap         ? "directory server"
		    : place->book.is_account ? "account"
					     : "user");
		pn_console_field(console, "why", place->why);
	}
	if (r == 0 && places->len == 0 && missing->len > 0) {
		pn_console_row(console);
		pn_console_field(console, "user", subscriptions->user.address);
		pn_console_field(console, "book", "");
		pn_console_field(console, "whose", "");
		pn_console_field(console, "why", missing->str);
	}
	g_string_free(missing, TRUE);
	g_array_unref(places);
	return r;
}

/* Once the caller has changed what there is. */
static int
change(struct pn_call *call, const struct subscriptions *subscriptions, const char *object,
    const char *before, const char *after, struct pn_console *console, struct pn_error *err)
{
	int r;

	pn_audit(call, subscriptions->user.address, object, *before ? before : NULL,
	    *after ? after : NULL);
	r = store(call, subscriptions, err);
	return r < 0 ? r : show(call, subscriptions, console, err);
}

static int
change_books(struct pn_call *call, const struct subscriptions *subscriptions, const char *before,
    struct pn_console *console, struct pn_error *err)
{
	char *after = names_of(subscriptions->books);
	int r = change(
	    call, subscriptions, "address-book subscriptions", before, after, console, err);

	g_free(after);
	return r;
}

/* ---- commands -------------------------------------------------------------------------------- */

static int
subscribe(struct pn_call *call, struct subscriptions *subscriptions, const char *name,
    struct pn_error *err)
{
	struct book book;
	int r = seen(call, subscriptions, name, &book, err);

	if (r == 0 && index_of(subscriptions->books, &book) >= 0)
		r = pn_error_set(err, -EEXIST, "%s is subscribed to \"%s\" already",
		    subscriptions->user.address, name);
	if (r == 0 && subscriptions->books->len >= SUBSCRIBED_MOST)
		r = pn_error_set(
		    err, -ENOSPC, "a user is subscribed to at most %d books", SUBSCRIBED_MOST);
	if (r == 0)
		g_array_append_val(subscriptions->books, book);
	return r;
}

int
command_subscribe(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct subscriptions subscriptions;
	int r = open_user(call, argv[0], &subscriptions, err);
	char *before = names_of(subscriptions.books);

	if (r == 0)
		r = subscribe(call, &subscriptions, argv[1], err);
	if (r == 0)
		r = change_books(call, &subscriptions, before, console, err);
	g_free(before);
	g_array_unref(subscriptions.books);
	return r;
}

/* Also of one that is a directory server's no more. */
static int
index_named(const GArray *books, const char *name)
{
	for (guint i = 0; i < books->len; i++)
		if (strcmp(g_array_index(books, struct book, i).name, name) == 0)
			return (int)i;
	return -1;
}

int
command_unsubscribe(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct subscriptions subscriptions;
	int at = -1, r = open_user(call, argv[0], &subscriptions, err);
	char *before = names_of(subscriptions.books);

	if (r == 0) {
		at = index_named(subscriptions.books, argv[1]);
		if (at < 0)
			r = pn_error_set(err, -ENOENT, "%s is not subscribed to \"%.64s\"",
			    subscriptions.user.address, argv[1]);
	}
	if (r == 0) {
		g_array_remove_index(subscriptions.books, (guint)at);
		r = change_books(call, &subscriptions, before, console, err);
	}
	g_free(before);
	g_array_unref(subscriptions.books);
	return r;
}

int
command_order(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct subscriptions subscriptions;
	int r = open_user(call, argv[0], &subscriptions, err);
	char *before = names_of(subscriptions.books);

	if (r == 0 && argc == 1) {
		r = show(call, &subscriptions, console, err);
	} else if (r == 0) {
		g_array_set_size(subscriptions.books, 0);
		for (int i = 1; i < argc && r == 0; i++)
			r = subscribe(call, &subscriptions, argv[i], err);
		if (r == 0)
			r = change_books(call, &subscriptions, before, console, err);
	}
	g_free(before);
	g_array_unref(subscriptions.books);
	return r;
}

int
command_preferred(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct subscriptions subscriptions;
	struct book before;
	int r = open_user(call, argv[0], &subscriptions, err);

	before = subscriptions.preferred;
	subscriptions.has_preferred = strcmp(argv[1], "--none") != 0;
	if (r == 0 && subscriptions.has_preferred)
		r = seen(call, &subscriptions, argv[1], &subscriptions.preferred, err);
	if (r == 0)
		r = change(call, &subscriptions, "address-book preferred", before.name,
		    subscriptions.has_preferred ? argv[1] : "", console, err);
	g_array_unref(subscriptions.books);
	return r;
}

int
command_look_up(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct subscriptions subscriptions;
	struct finding finding;
	int r = open_user(call, argv[0], &subscriptions, err);

	finding_init(&finding);
	if (r == 0)
		r = look_up(call, subscriptions.cfg, subscriptions.user.address,
		    subscriptions.account.name, argv[1], &finding, err);
	if (r == 0) {
		pn_console_row(console);
		pn_console_field(console, "address", argv[1]);
		pn_console_field(console, "method",
		    finding.method        ? finding.method
		    : finding.unreachable ? "deferred"
					  : "none");
		pn_console_field(console, "where", finding.method ? finding.where : "");
		pn_console_field(console, "not_used", finding.reasons->str);
	}
	finding_clear(&finding);
	g_array_unref(subscriptions.books);
	return r;
}
