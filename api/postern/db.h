/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.h - the database and the directory, for modules.
 *
 * Statements are portable SQL with ?1, ?2 ... for values; nothing of the engine shows. Tables of a
 * module are made by its migrations and carry its name as prefix ("auth_passwords").
 *
 * Threads and blocking: every function here may block for milliseconds; a PN_QUICK hook gets
 * -EWOULDBLOCK. Errors: 0 or a negative errno with the text in `err` (which may be NULL).
 */
#ifndef POSTERN_DB_H
#define POSTERN_DB_H

#include <postern/base.h>

struct pn_call;

enum pn_value_type { PN_VALUE_NULL, PN_VALUE_INT, PN_VALUE_TEXT, PN_VALUE_BLOB };

struct pn_value {
	enum pn_value_type type;
	int64_t number;
	struct pn_slice bytes;
};

#define PN_NULL       ((struct pn_value){ .type = PN_VALUE_NULL })
#define PN_INT(n)     ((struct pn_value){ .type = PN_VALUE_INT, .number = (n) })
#define PN_TEXT(t)    ((struct pn_value){ .type = PN_VALUE_TEXT, .bytes = pn_slice_of(t) })
#define PN_BLOB(p, n) ((struct pn_value){ .type = PN_VALUE_BLOB, .bytes = pn_slice((p), (n)) })

/* Values for ?1, ?2 ... in a statement: PN_VALUES(PN_TEXT(user), PN_INT(now)). */
struct pn_values {
	size_t count;
	const struct pn_value *items;
};
#define PN_NO_VALUES ((struct pn_values){ 0, NULL })
#define PN_VALUES(...) \
	((struct pn_values){ sizeof((struct pn_value[]){ __VA_ARGS__ }) / sizeof(struct pn_value), \
	    (const struct pn_value[]){ __VA_ARGS__ } })

struct pn_row;
PN_PUBLIC int64_t pn_row_int(const struct pn_row *row, int column);
/* Valid until the row function returns; data is NULL for SQL NULL. */
PN_PUBLIC struct pn_slice pn_row_bytes(const struct pn_row *row, int column);

/* Called once per row; a value other than 0 stops and is returned by pn_db_query. */
typedef int pn_row_fn(void *arg, const struct pn_row *row);

/* Changes something. In hooks, allowed from PN_STAGE_COMMITTED on only, and not in a trial; else
 * -EROFS. */
PN_PUBLIC int pn_db_run(
    struct pn_call *call, struct pn_error *err, const char *sql, struct pn_values values);
PN_PUBLIC int pn_db_query(struct pn_call *call, struct pn_error *err, const char *sql,
    struct pn_values values, pn_row_fn *each, void *arg);

/* One step of a module's schema, run once, in the order of the table, inside a transaction. */
struct pn_migration {
	int32_t number; /* from 1, without gaps; a row that has shipped is never changed */
	uint32_t reserved;
	const char *sql; /* one or more statements; NULL ends the table */
};

/* ---- the directory --------------------------------------------------------------------------- */

struct pn_user {
	char address[321]; /* one spelling for all: no capitals, A-labels */
	bool enabled;
};

/*
 * Finds the user by any spelling of the address, whoever names the user. -ENOENT: nobody of that
 * name; `ret` then has the canonical address alone, where it is one.
 */
PN_PUBLIC int pn_user_find(
    struct pn_call *call, const char *address, struct pn_user *ret, struct pn_error *err);

/*
 * since ABI 5. For a module whose tables refer to users (address): from now on they may to this
 * one, whom the files or a directory server may name and the database did not know. What refers to
 * it falls with `posternctl user remove`. When, and what it answers: as pn_db_run(); -ENOENT:
 * nobody of that name.
 */
PN_PUBLIC int pn_user_keep(struct pn_call *call, const char *address, struct pn_error *err);

#define PN_USER_FIELD_SIZE 256
/*
 * What else is known of a user: "name", "title", "phone"; one line of UTF-8, "" where it is not
 * set. -ENOENT: nobody of that name; -EINVAL: no such field.
 */
PN_PUBLIC int pn_user_field(struct pn_call *call, const char *address, const char *field,
    char ret[PN_USER_FIELD_SIZE], struct pn_error *err);

#endif
