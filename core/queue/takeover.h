/* SPDX-License-Identifier: Apache-2.0 */
/*
 * takeover.h - recipients that one message of the log took over from another, for recovery.c.
 *
 * They are noted in the order of the log and applied when all of it was read: the message that took
 * over may have been refused after all (ABORT), or be damaged. See MESSAGE in record.h.
 */
#ifndef CORE_QUEUE_TAKEOVER_H
#define CORE_QUEUE_TAKEOVER_H

#include <core/queue/item.h>

struct takeovers {
	void *list; /* GPtrArray of struct takeover */
};

void takeovers_init(struct takeovers *takeovers);
void takeovers_clear(struct takeovers *takeovers);
/*
 * `by` has `replaces`. `damaged`: its bytes are lost, so it takes over only those it has finished
 * with; the others are tried again by the message they had before.
 */
void takeovers_add(struct takeovers *takeovers, const struct item *by, bool damaged);
/* Its bytes are not lost after all: there is a copy. */
void takeovers_mend(struct takeovers *takeovers, const char *id);
/* This message was refused: it takes over nobody. */
void takeovers_abort(struct takeovers *takeovers, const char *id);
/* Brings the states of all up to date; `find` returns what is not finished, or NULL. */
void takeovers_apply(
    const struct takeovers *takeovers, struct item *(*find)(void *arg, const char *id), void *arg);

#endif
