/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codes.h - codes that are mailed to an address, to find out whether its owner is the user.
 *
 * One for each pair of address and user, the newest: a later one takes its place. Only a hash is
 * kept. Each call may be part of a transaction, and codes_try() has to be. Blocks; any thread.
 */
#ifndef CORE_STORE_CODES_H
#define CORE_STORE_CODES_H

#include <core/store/db.h>

#define CODE_SIZE  20 /* "7K3M-92QX-B0NE-T4VW" and a NUL: 80 bits */
#define CODE_TRIES 5  /* wrong ones until it is void */

enum code_answer {
	CODE_RIGHT,
	CODE_WRONG,
	CODE_NONE,    /* nobody was asked */
	CODE_USED,    /* it was right before, once */
	CODE_EXPIRED, /* whatever was said */
	CODE_SPENT,   /* likewise: too many wrong ones */
};

struct code_state {
	const char *address, *user;
	int64_t expires_us, used_us; /* wall time; used_us 0: it was not */
	int tries;                   /* wrong ones */
};

int codes_migrate(struct db *db, struct pn_error *err);
/* Draws one, which is known to nobody but the caller. */
int codes_make(struct db *db, const char *address, const char *user, int64_t expires_us,
    char ret[CODE_SIZE], struct pn_error *err);
/*
 * Notes what came of it, a wrong one too: the caller commits either way. `text`: as somebody typed
 * it. `ret_left`: how many wrong ones it has left.
 */
int codes_try(struct db *db, const char *address, const char *user, const char *text,
    enum code_answer *ret_answer, int *ret_left, struct pn_error *err);
/* -ENOENT: there is none. */
int codes_drop(struct db *db, const char *address, const char *user, struct pn_error *err);
/* By address and user; what `each` gets is good until it returns. */
int codes_each(struct db *db, int (*each)(void *arg, const struct code_state *state), void *arg,
    struct pn_error *err);

#endif
