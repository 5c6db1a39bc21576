/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.h - the directory's rows in the database, to and from files of comma-separated values.
 *
 * One import is one transaction: its rows are checked one by one while they are written, then all
 * together against the directory as it would be. Between ctl_open_db() and ctl_close().
 */
#ifndef CORE_CTL_EXCHANGE_H
#define CORE_CTL_EXCHANGE_H

#include <core/base/csv.h>
#include <core/ctl/directory.h>
#include <glib.h>

#define EXCHANGE_COLUMNS 6

/* What must be so when all rows are in. */
enum claim_kind {
	CLAIM_ACCOUNT, /* `what` is an account */
	CLAIM_DOMAIN,  /* `what` is a domain of the account `whose` */
	CLAIM_LICENCE, /* the user `what` has a licence, and is nobody's alias */
	CLAIM_USER,    /* `what` is a user */
	CLAIM_ALIAS,   /* `what` is an address of the user `whose` alone */
	CLAIM_GROUP,   /* `what` is a group */
};
struct claim {
	enum claim_kind kind;
	const char *what, *whose;
	size_t line, column;
};

struct exchange {
	struct ctl *ctl;
	const char *word, *file; /* "user"; as it was given */
	struct arena arena;
	GHashTable *rows; /* key -> columns (const char **): what the database has */
	/* of an import */
	struct csv_row row;
	int places[EXCHANGE_COLUMNS]; /* of each column the cell; -1: the file does not have it */
	GArray *claims;               /* struct claim */
	size_t mistakes, changes;
};

/* Reads what the database has into `rows`. */
int exchange_open(struct exchange *exchange, struct pn_error *err);
void exchange_close(struct exchange *exchange);
/* The row of that key, which are the first `keys` of `columns`; NULL: there is none. */
const char *const *exchange_find(const struct exchange *exchange, enum record_kind kind, int keys,
    const char *const columns[RECORD_COLUMNS]);

/* The text of a column in the row at hand; NULL: the file does not have it. */
const char *exchange_cell(const struct exchange *exchange, int column);
/* FILE:LINE:COLUMN: ... on standard error; `column` of the table. */
void exchange_complain(struct exchange *exchange, int column, const char *format, ...)
    PN_PRINTF(3, 4);
void exchange_complain_at(
    struct exchange *exchange, size_t line, size_t column, const char *format, ...) PN_PRINTF(4, 5);
/* Something to be checked by exchange_judge(), in the row at hand. Texts are borrowed. */
void exchange_claim(struct exchange *exchange, enum claim_kind kind, int column, const char *what,
    const char *whose);

struct exchange_put {
	enum record_kind kind;
	int keys;
	const char *columns[RECORD_COLUMNS]; /* in the arena */
	const char *what, *object;           /* "user", "title": for people and the audit log */
	int column;                          /* that complaints are about */
	bool removes;
};
/* Makes it so, with a row of the audit log, unless it is. */
void exchange_put(struct exchange *exchange, const struct exchange_put *put);

/* exchange_judge.c: when all rows are in, before the transaction ends. */
int exchange_judge(struct exchange *exchange, struct pn_error *err);

#endif
