/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - settings, and what the files of the module share. */
#ifndef LIMITS_LIMITS_H
#define LIMITS_LIMITS_H

#include "book.h"
#include <postern/module.h>
#include <pthread.h>

struct limits_user {
	int64_t messages, unique_recipients, per;
};

struct limits_account {
	int64_t per_licence, most, per;
};

struct limits_unpaid {
	int64_t recipients, peak;
};

struct limits_plan {
	bool relay, recipients, users;
	int64_t messages;
};

struct limits_warn {
	int64_t at;
	bool user;
	struct pn_strings admins;
};

enum { WINDOW_SLIDING, WINDOW_FIXED };

struct limits {
	struct limits_user user;
	struct limits_account account, peak;
	struct limits_unpaid unpaid;
	struct pn_map plans;
	int window;
	struct limits_warn warn;
	int64_t memory;
};

/* rules.c: what is known of an account; NULL: it is nobody's mail. */
const struct limits_plan *rules_plan(const struct limits *cfg, const struct pn_account *account);
void rules_make(const struct limits *cfg, const struct pn_account *account, struct rules *ret);
/* The longest of all windows, in ms: what is older counts nowhere. */
int64_t rules_longest(const struct rules *rules);

#define HASH_KEY_SIZE 16 /* crypto_shorthash_KEYBYTES */

/* Mail that is to be sent with the next flush. */
struct notices {
	pthread_mutex_t lock;
	GPtrArray *items;
};

struct limits_state {
	struct book *book;
	struct notices notices;
	unsigned char key[HASH_KEY_SIZE]; /* of hashes in the journal: as old as the database */
	char writer[33]; /* tells this process's rows of the journal from others' */
	int64_t read;    /* the last row that was read; of the flush hook alone */
	int64_t swept;   /* when; the same */
};

int64_t now_ms(void);
uint64_t limits_hash(const struct limits_state *state, const char *text);
/*
 * Whose counters: canonical and without regard to case, as the directory knows users; as it stands
 * where it has no such form, which is < 0.
 */
int limits_user_name(const char *address, char ret[PN_ADDRESS_SIZE]);
/* Of an address in its canonical form, or as it stands where it has none. */
uint64_t limits_hash_address(const struct limits_state *state, const char *address);

/* store.c: counters as they stand in the journal. Block. */
extern const struct pn_migration store_migrations[];
/* Where there is none yet, nothing has been counted either: any will do where none is made. */
int store_key(struct pn_call *call, struct limits_state *state, bool make, struct pn_error *err);
/* What was written since the last time, by others; the first time by anybody. */
int store_read(struct pn_call *call, struct limits_state *state, struct pn_error *err);
int store_write(struct pn_call *call, struct limits_state *state, struct pn_error *err);
int store_forget(struct pn_call *call, struct pn_error *err);
/* One record of its own, by a command. */
int store_add(struct pn_call *call, const struct record *record, struct pn_error *err);

/* limits.c: state as `start` makes it, out of the journal; for commands. */
int limits_open(struct pn_call *call, bool starts, struct limits_state **ret, struct pn_error *err);
void limits_close(struct limits_state **state);
/* "550 5.4.5 Daily ..."; NULL for LIMIT_NONE. */
const char *limits_reply(enum counter limit);

/* command.c */
extern const struct pn_command limits_commands[];
const char *counter_name(enum counter counter);
#define SPAN_TEXT_SIZE 48
/* "24h", "10m fixed" */
void span_text(const struct span *span, char ret[SPAN_TEXT_SIZE]);
#define TIME_TEXT_SIZE 32
/* The second in which that moment is over, in UTC; "" for 0. */
void time_text(int64_t ms, char ret[TIME_TEXT_SIZE]);

/* Whom a command is about. */
struct party_found {
	bool is_user;
	char user[PN_ADDRESS_SIZE];
	struct pn_account account; /* the user's, or itself; name NULL: none */
	struct rules rules;
};
int party_find(
    struct pn_call *call, const char *name, struct party_found *ret, struct pn_error *err);

/* warn.c */
void warn_init(struct notices *notices);
void warn_free(struct notices *notices);
bool warn_is_address(const char *text);
/* Says them in the log, and notes what is to be mailed. On the loop. */
void warn_note(struct pn_call *call, const struct pn_txn *txn, const struct rules *rules,
    const GPtrArray *warnings);
/* Blocks. What could not be sent is kept for the next time. */
int warn_send(struct pn_call *call, struct limits_state *state, struct pn_error *err);

/* simulate.c */
int simulate_command(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err);

#endif
