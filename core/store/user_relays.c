/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_relays.c - the table of users' servers, which records.c makes.
 *
 * Called for commands, and by whoever makes a roster. Must never see a password in clear.
 */
#include <core/store/records.h>
#include <core/store/user_relays.h>
#include <stdio.h>

#define TEXT_SIZE 600

struct giving {
	int (*each)(void *arg, const struct user_relay_row *row);
	void *arg;
};

static const char *
text_of(const struct pn_row *row, int column, char ret[TEXT_SIZE])
{
	struct pn_slice bytes = pn_row_bytes(row, column);

	snprintf(ret, TEXT_SIZE, "%.*s", (int)bytes.len, bytes.data ? bytes.data : "");
	return ret;
}

static int
give(void *arg, const struct pn_row *row)
{
	const struct giving *to = arg;
	char user[TEXT_SIZE], address[TEXT_SIZE], host[TEXT_SIZE];
	struct user_relay_row own = {
		.user = text_of(row, 0, user),
		.address = text_of(row, 1, address),
		.host = text_of(row, 2, host),
		.port = pn_row_int(row, 3),
		.implicit_tls = pn_row_int(row, 4) != 0,
		.verify = pn_row_int(row, 5) != 0,
		.sealed = pn_row_bytes(row, 6),
		.changed_us = pn_row_int(row, 7),
	};

	return to->each(to->arg, &own);
}

int
user_relays_each(struct db *db, int (*each)(void *arg, const struct user_relay_row *row), void *arg,
    struct pn_error *err)
{
	struct giving to = { each, arg };

	return db_query(db, err,
	    "SELECT member, address, host, port, implicit, verify, sealed, changed "
	    "FROM user_relays ORDER BY member, address",
	    PN_NO_VALUES, give, &to);
}

int
user_relays_put(struct db *db, const struct user_relay_row *row, struct pn_error *err)
{
	int r = db_run(db, err,
	    "INSERT INTO user_relays (member, address, host, port, implicit, verify, sealed, "
	    "changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
	    "ON CONFLICT (member, address) DO UPDATE SET host = excluded.host, "
	    "port = excluded.port, implicit = excluded.implicit, verify = excluded.verify, "
	    "sealed = excluded.sealed, changed = excluded.changed",
	    PN_VALUES(PN_TEXT(row->user), PN_TEXT(row->address), PN_TEXT(row->host),
		PN_INT(row->port), PN_INT(row->implicit_tls), PN_INT(row->verify),
		PN_BLOB(row->sealed.data, row->sealed.len), PN_INT(row->changed_us)));

	return r < 0 ? r : records_touch(db, err);
}

int
user_relays_remove(struct db *db, const char *user, const char *address, struct pn_error *err)
{
	int r = db_run(db, err, "DELETE FROM user_relays WHERE member = ?1 AND address = ?2",
	    PN_VALUES(PN_TEXT(user), PN_TEXT(address)));

	return r < 0 ? r : records_touch(db, err);
}
