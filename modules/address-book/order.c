/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order.c - which books are asked for a user's mail, and in which order (S1-10).
 *
 * Called by look.c and by commands. Must never ask the default book of a user who is subscribed to
 * another one, even to one that is not there any more.
 */
#include "address_book.h"
#include <errno.h>
#include <stdio.h>

#define PREFERRED 0 /* the place of the preferred book among subscriptions */

struct stored {
	GArray *places;
	const struct address_book *cfg;
	const char *account;
	GString *missing;
	bool preferred, subscribed;
};

static bool
is_there(const GArray *places, const struct book *book)
{
	for (guint i = 0; i < places->len; i++) {
		const struct book *have = &g_array_index(places, struct place, i).book;

		if (have->ldap == book->ldap && have->number == book->number)
			return true;
	}
	return false;
}

static void
add(GArray *places, const struct book *book, const char *why)
{
	struct place place = { *book, why };

	if (!is_there(places, book))
		g_array_append_val(places, place);
}

static void
note_missing(GString *missing, const char *name)
{
	g_string_append_printf(
	    missing, "%sthere is no book \"%s\"", missing->len ? "; " : "", name);
}

/* place, book, directory, its name, its account */
static int
take_stored(void *arg, const struct pn_row *row)
{
	struct stored *stored = arg;
	bool preferred = pn_row_int(row, 0) == PREFERRED;
	struct pn_slice directory = pn_row_bytes(row, 2), name = pn_row_bytes(row, 3);
	struct pn_slice account = pn_row_bytes(row, 4);
	struct book book = { .number = pn_row_int(row, 1), .is_account = account.data };
	struct pn_slice called = directory.data ? directory : name;

	snprintf(book.name, sizeof(book.name), "%.*s", (int)called.len, called.data);
	for (size_t i = 0; directory.data && i < stored->cfg->ldap.count; i++)
		if (strcmp(stored->cfg->ldap.keys[i], book.name) == 0)
			book.ldap = (const struct ldap_book *)stored->cfg->ldap.values + i;
	stored->preferred = stored->preferred || preferred;
	stored->subscribed = stored->subscribed || !preferred;
	/* A user who has changed accounts does not see the old one's books any more. */
	if ((directory.data && !book.ldap) ||
	    (account.data &&
		(!stored->account || !pn_slice_equals(account, pn_slice_of(stored->account)))))
		note_missing(stored->missing, book.name);
	else
		add(stored->places, &book, preferred ? "preferred" : "subscribed");
	return 0;
}

/* One that the settings name. */
static int
add_named(struct pn_call *call, struct stored *stored, const char *user, const char *name,
    const char *why, struct pn_error *err)
{
	struct book book;
	int r = book_seen(call, stored->cfg, user, stored->account, name, &book, err);

	if (r == 0)
		add(stored->places, &book, why);
	else if (r == -ENOENT)
		note_missing(stored->missing, name);
	return r == -ENOENT ? 0 : r;
}

int
order_of(struct pn_call *call, const struct address_book *cfg, const char *user,
    const char *account, GArray *ret, GString *missing, struct pn_error *err)
{
	GArray *own = g_array_new(FALSE, FALSE, sizeof(struct place));
	struct stored stored = { own, cfg, account, missing, false, false };
	int r = pn_db_query(call, err,
	    "SELECT s.place, s.book, s.directory, b.name, b.account "
	    "FROM address_book_subscriptions s LEFT JOIN address_book_books b ON b.number = s.book "
	    "WHERE s.address = ?1 ORDER BY s.place",
	    PN_VALUES(PN_TEXT(user)), take_stored, &stored);

	stored.places = ret;
	if (r == 0 && !stored.preferred && cfg->preferred)
		r = add_named(call, &stored, user, cfg->preferred, "preferred", err);
	for (guint i = 0; i < own->len && r == 0; i++) {
		const struct place *place = &g_array_index(own, struct place, i);

		add(ret, &place->book, place->why);
	}
	for (size_t i = 0; i < cfg->subscribed.count && !stored.subscribed && r == 0; i++)
		r = add_named(call, &stored, user, cfg->subscribed.items[i], "subscribed", err);
	if (r == 0 && !stored.subscribed && cfg->subscribed.count == 0)
		r = add_named(call, &stored, user, cfg->default_book, "default", err);
	g_array_unref(own);
	return r;
}
