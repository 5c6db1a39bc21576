/* SPDX-License-Identifier: Apache-2.0 */
/* book_inner.h - what the files of the book share; all of it with its lock held. */
#ifndef LIMITS_BOOK_INNER_H
#define LIMITS_BOOK_INNER_H

#include "book.h"
#include "unique.h"
#include <pthread.h>

#define SLOTS 3

/* A user or an account. */
struct party {
	char *name;
	struct tally tally[SLOTS];
	int64_t held[SLOTS];
	int64_t warned[SLOTS]; /* when; 0: never */
	int64_t reset;         /* when; 0: never */
	struct unique *unique;
	size_t holds; /* reservations that point here */
	size_t bytes; /* as it is counted in the book */
};

/* Which party a counter is of, and where it stands there. */
struct place {
	bool account;
	int slot;
};
extern const struct place book_places[COUNTERS];

/* A transaction that is under way. */
struct hold {
	gint64 id;                    /* the key: first, for g_int64_hash() */
	struct party *user, *account; /* NULL: nobody */
	bool message;                 /* reserved: at MAIL, or with the first recipient */
	bool late;                    /* MAIL was not asked about */
	bool unique;                  /* its recipients are held in user->unique */
	size_t position;              /* of the recipient asked about last */
	GArray *recipients;           /* uint64_t */
	int64_t at;
};

struct book {
	pthread_mutex_t lock;
	GHashTable *users, *accounts;   /* name -> struct party */
	GHashTable *holds;              /* of struct hold, which are their own keys */
	GHashTable *seen, *seen_before; /* hashed ids that were counted, in two turns */
	int64_t turned;
	GByteArray *journal; /* not written yet; NULL: nothing */
	size_t bytes;        /* of parties */
};

/* book.c: found or made; NULL for no name. */
struct party *book_party(struct book *book, bool account, const char *name);
/* After it has changed; NULL: nothing. */
void book_weigh(struct book *book, struct party *party);
void book_free_party(void *data);
/* What counts now, with what is under way. */
int64_t book_level(
    struct party *party, const struct rules *rules, enum counter counter, int64_t now);
struct hold *book_find_hold(struct book *book, uint64_t id);
void book_free_hold(void *data);
/* All of it is given back. */
void book_let_go(struct book *book, struct hold *hold);
/* Against `memory`. Not the ids that were seen: after a restart, those of a whole journal. */
size_t book_weight(const struct book *book);

/* book_count.c: a set of hashed ids. */
GHashTable *book_new_ids(void);
void book_turn_seen(struct book *book, int64_t now);

#endif
