/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h - public keys of default answers, each made once in the life of a process.
 *
 * Any thread that may block. Answers themselves are not kept: a row is known by a keyed hash.
 */
#ifndef MODULES_ESCROW_KEYS_H
#define MODULES_ESCROW_KEYS_H

#include "../common/answer.h"

struct keys;

/* -ENOMEM, -ENOTSUP. */
int keys_new(struct keys **ret);
void keys_free(struct keys **keys);
/* True: it is known. Touches memory only. */
bool keys_find(
    struct keys *keys, const char *question, struct pn_slice answer, struct answer_key *ret);
/*
 * Makes it where it is not known; two at a time, since each takes 64 MiB. -ETIMEDOUT: its turn did
 * not come within so many milliseconds; others as answer_key_make().
 */
int keys_make(struct keys *keys, const char *question, struct pn_slice answer, int64_t wait_ms,
    struct answer_key *ret);

#endif
