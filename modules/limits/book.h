/* SPDX-License-Identifier: Apache-2.0 */
/*
 * book.h - the counters of all users and accounts, what is under way, and what is to be written
 * down.
 *
 * Any thread: each function takes the book's lock for as long as it runs, microseconds but for
 * book_sweep(). Nothing here blocks, reads a clock or knows a message. Names are canonical.
 *
 * A message is reserved when it is let pass (MAIL) and so is each recipient (RCPT); what is
 * accepted then counts, what is not is given back. So sessions side by side cannot overshoot.
 */
#ifndef LIMITS_BOOK_H
#define LIMITS_BOOK_H

#include "journal.h"
#include "tally.h"

enum counter {
	ACCOUNT_MESSAGES, /* of a plan */
	ACCOUNT_DAY,      /* recipients, each time */
	ACCOUNT_PEAK,     /* the same in a short window */
	USER_MESSAGES,
	USER_UNIQUE, /* different recipients */
	COUNTERS,
	/* what else may speak */
	LIMIT_NONE,
	LIMIT_MEMORY
};

#define NO_LIMIT INT64_MAX

/* What holds for a message. */
struct rules {
	int64_t most[COUNTERS]; /* NO_LIMIT: none */
	struct span span[COUNTERS];
	int64_t warn_percent; /* of `most`; 0: never */
	int64_t memory;       /* bytes that all counters may take */
};

/* Whom a message is counted for; NULL: nobody. */
struct who {
	const char *user, *account;
};

struct book;
struct book *book_new(void);
void book_free(struct book **book);

/* MAIL. What it is refused for, else LIMIT_NONE, and it is reserved under its (hashed) id. */
enum counter book_message(
    struct book *book, const struct rules *rules, const struct who *who, uint64_t id, int64_t now);
/*
 * RCPT: the same. `position`: how many recipients the envelope has with this one; that tells
 * whether the one before was taken in the end. `*ret_late`: MAIL was not asked about, so what
 * holds for messages is asked with the first recipient.
 */
enum counter book_recipient(struct book *book, const struct rules *rules, const struct who *who,
    uint64_t id, uint64_t recipient, size_t position, int64_t now, bool *ret_late);
/* It will never be accepted. */
void book_abort(struct book *book, uint64_t id);

/* A counter that has come near its end. */
struct warning {
	enum counter counter;
	char *name; /* user or account */
	int64_t count, most;
	int64_t frees; /* when something of it does */
	/*
	 * The same for this warning in another process, or again after a crash, and another for
	 * any other of the counter: since when it could have been.
	 */
	int64_t since;
};

/*
 * It was accepted, with these recipients: counts as of `at`, once whatever is called again. What is
 * reserved tells which of them the client named; where nothing is (after a crash) all count.
 * `warnings`: a list of struct warning to which is added; NULL: none is wanted.
 */
void book_commit(struct book *book, const struct rules *rules, const struct who *who, uint64_t id,
    int64_t at, const uint64_t *recipients, size_t count, int64_t now, GPtrArray *warnings);
GPtrArray *book_warnings_new(void);

/* What has been counted since: to be written down. NULL: nothing. Unref'd by the caller. */
GByteArray *book_take(struct book *book);
/* It could not be: once more with the next. Takes it. */
void book_give_back(struct book *book, GByteArray *journal);
/* What another process, or this one before its restart, has written down. */
void book_apply(struct book *book, const struct rules *rules, const struct record *record);

/*
 * Forgets what does not count any more, and reservations that are older than any transaction. A
 * minute or more apart.
 */
void book_sweep(struct book *book, const struct rules *rules, int64_t now);
/* All of it; what is held against `memory` leaves out the ids of what was counted lately. */
size_t book_bytes(struct book *book);

struct figure {
	enum counter counter;
	int64_t count;    /* accepted */
	int64_t reserved; /* under way */
	int64_t most;
	int64_t frees; /* wall clock ms: when the first of it does; 0: nothing counts */
	int64_t empty; /* when all has */
};
/* Those of the user or of the account. */
size_t book_figures(struct book *book, const struct rules *rules, const char *name, bool account,
    int64_t now, struct figure ret[COUNTERS]);

#endif
