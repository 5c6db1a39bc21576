/* SPDX-License-Identifier: Apache-2.0 */
/* address_book.h - what the files of the module share. */
#ifndef MODULES_ADDRESS_BOOK_ADDRESS_BOOK_H
#define MODULES_ADDRESS_BOOK_ADDRESS_BOOK_H

#include "../common/answer.h"
#include "keydata.h"

#define BOOK_NAME_MOST  64u  /* bytes */
#define BOOKS_MOST      100  /* of a user or an account */
#define SUBSCRIBED_MOST 100  /* books of a user */
#define NAME_MOST       200u /* bytes of a person's name */

/* A directory server that is asked like a book. */
struct ldap_book {
	struct pn_ldap_server directory;
	const char *filter;
	struct pn_strings certificates, pgp; /* attributes */
	int on_unreachable;
};
enum { UNREACHABLE_DEFER, UNREACHABLE_SKIP };

struct address_book {
	const char *preferred, *default_book;
	struct pn_strings subscribed, methods;
	int64_t most_entries;
	struct pn_map ldap; /* of struct ldap_book */
};

/* ---- books (store.c) ------------------------------------------------------------------------- */

/* Whose: a user's, or an account's, which all of its users see. One of the two. */
struct owner {
	char user[PN_ADDRESS_SIZE]; /* canonical; "": an account's */
	const char *account;        /* NULL: a user's */
};

struct book {
	int64_t number;                /* 0: a directory server */
	const struct ldap_book *ldap;  /* NULL: in the database */
	char name[BOOK_NAME_MOST + 1]; /* as its owner calls it */
	bool is_account;               /* not the user's own */
};

extern const struct pn_migration store_migrations[];

/* What is wrong with it as the name of a book; NULL: nothing. */
const char *book_name_fault(const char *name);
/* -ENOENT: this owner has no such book. */
int book_of(struct pn_call *call, const struct owner *owner, const char *name, struct book *ret,
    struct pn_error *err);
/*
 * As a user sees it: of his own, else of his account's (NULL: none), else the directory server that
 * the settings call so. -ENOENT.
 */
int book_seen(struct pn_call *call, const struct address_book *cfg, const char *user,
    const char *account, const char *name, struct book *ret, struct pn_error *err);

/* ---- entries --------------------------------------------------------------------------------- */

struct entry {
	char *address, *name; /* as they were given */
	GByteArray *certificates, *pgp;
	char *question; /* NULL: none */
	struct answer_key answer;
};
void entry_init(struct entry *entry);
void entry_clear(struct entry *entry);
bool entry_has_key(const struct entry *entry);

/*
 * How addresses are compared here: canonical, and without regard to case before the @ as well, as
 * nobody's address book tells Ada@ from ada@. -EINVAL.
 */
int entry_address(const char *address, char ret[PN_ADDRESS_SIZE]);
/* 1: it is there, and is cleared by the caller; 0: it is not. */
int entry_load(struct pn_call *call, int64_t book, const char *address, struct entry *ret,
    struct pn_error *err);
/*
 * Makes entries, or gives those that are there what is not empty. ENTRIES_AT_ONCE together or none:
 * after a fault of the database the same once more makes it whole.
 */
#define ENTRIES_AT_ONCE 40u
int entries_put(struct pn_call *call, int64_t book, const struct entry *entries, size_t count,
    struct pn_error *err);
int entry_count(struct pn_call *call, int64_t book, int64_t *ret, struct pn_error *err);
/* In the order of addresses; `each` borrows the entry, which is cleared behind it. */
typedef int entry_fn(void *arg, const struct entry *entry);
int entry_each(struct pn_call *call, int64_t book, entry_fn *each, void *arg, struct pn_error *err);

/* ---- the order (order.c) --------------------------------------------------------------------- */

struct place {
	struct book book;
	const char *why; /* "preferred", "subscribed", "default" */
};

/*
 * The books in the order in which they are asked (S1-10): the preferred one, then those that the
 * user has subscribed to, else those of the settings, or the default one where there is none. Each
 * once. What is named and not there is noted in `missing`.
 */
int order_of(struct pn_call *call, const struct address_book *cfg, const char *user,
    const char *account, GArray *ret, GString *missing, struct pn_error *err);

/* ---- asking (look.c) ------------------------------------------------------------------------- */

struct finding {
	const char *method; /* NULL: nothing */
	GByteArray *choice;
	char where[BOOK_NAME_MOST + 40]; /* 'book "x" (preferred)' */
	GString *reasons;                /* what was not used, and why; what was used */
	bool unreachable; /* a book or key could not be asked about, so nothing is known */
};
void finding_init(struct finding *finding);
void finding_clear(struct finding *finding);
/* Asks all books for the first entry with a key that can be used (T2 3). */
int look_up(struct pn_call *call, const struct address_book *cfg, const char *user,
    const char *account, const char *address, struct finding *ret, struct pn_error *err);

/* ldap.c: as entry_load(); -EHOSTUNREACH: it could not be asked. */
int ldap_load(struct pn_call *call, const struct ldap_book *book, const char *address,
    struct entry *ret, GString *reasons, struct pn_error *err);

/*
 * judge.c: what is chosen where this key can be used now; else false or 0, and why not. Negative:
 * it cannot be told now.
 */
bool judge_certificates(
    const GByteArray *certificates, const char *address, GByteArray *choice, GString *why);
int judge_pgp(struct pn_call *call, const GByteArray *key, const char *address, GByteArray *choice,
    GString *why, struct pn_error *err);

/* ---- commands -------------------------------------------------------------------------------- */

/* One with an @ is a user's, who has to be known; else an account's. */
int owner_read(struct pn_call *call, const char *text, struct owner *ret, struct pn_error *err);
int owned_book(struct pn_call *call, const char *owner_text, const char *name, struct owner *owner,
    struct book *ret, struct pn_error *err);
/* Those that hold for the owner; NULL, with the text in `err`. */
const struct address_book *settings_of(
    struct pn_call *call, const struct owner *owner, struct pn_error *err);
void audit_of(struct pn_call *call, const struct owner *owner, const char *book, const char *object,
    const char *before, const char *after);
/* All of a file, "-" being standard input; g_byte_array_unref. */
int file_read(const char *path, size_t most, GByteArray **ret, struct pn_error *err);

typedef int command_fn(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err);
command_fn command_book_create, command_book_list, command_book_remove;
command_fn command_entry_add, command_entry_list, command_entry_show, command_entry_remove;
command_fn command_import, command_export;
command_fn command_subscribe, command_unsubscribe, command_order, command_preferred;
command_fn command_look_up;

#endif
