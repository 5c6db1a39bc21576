/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setup_sheet.h - what is typed into which client: texts with {places} to be filled in.
 *
 * {host}, {port}, {user}, {mechanisms}; {gmail}, {outlook}: what these call how TLS
 * begins. The blocks of Postfix, Exim and sendmail are those of docs/neighbours.md, to the letter:
 * a test compares them.
 */
#ifndef CORE_CTL_SETUP_SHEET_H
#define CORE_CTL_SETUP_SHEET_H

#include <stdbool.h>

#define SHEET_FIELDS 8
#define SHEET_BLOCKS 4

struct sheet_field {
	const char *label, *value; /* NULL ends them */
};

/* A file's lines, or a command. */
struct sheet_block {
	const char *where, *text; /* NULL ends them */
};

/* Which listeners do for a client. */
struct sheet_wants {
	bool login; /* else it is known by its address */
	bool begins_with_starttls;
	bool plain;         /* AUTH PLAIN; else PLAIN or LOGIN do */
	const int *ports;   /* 0-ended; NULL: any */
	const char *advice; /* where none does: what would */
};

struct sheet {
	const char *client, *where; /* `where` may be NULL */
	const struct sheet_wants *wants;
	struct sheet_field fields[SHEET_FIELDS];
	struct sheet_block blocks[SHEET_BLOCKS];
};

/* NULL `client` ends them: for a user, who logs in; for a domain, whose servers are known by
 * address. */
extern const struct sheet setup_user_sheets[], setup_domain_sheets[];

#endif
