/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unique.h - how many different recipients a user has written to within a window: all of them, no
 * estimate. Recipients are keyed hashes.
 *
 * Pure data, no lock of its own. About 72 bytes for each recipient.
 */
#ifndef LIMITS_UNIQUE_H
#define LIMITS_UNIQUE_H

#include "tally.h"

struct unique;

#define UNIQUE_BYTES 72 /* that one recipient takes, with its share of the table */

struct unique *unique_new(void);
void unique_free(struct unique **unique);
/* Those written to within the window, and those held; forgets the rest. */
size_t unique_count(struct unique *unique, const struct span *span, int64_t now);
/* Is this one among them? Then it costs nothing. */
bool unique_has(struct unique *unique, const struct span *span, int64_t now, uint64_t recipient);
/* A message to it is under way; as often dropped as held. */
void unique_hold(struct unique *unique, uint64_t recipient);
void unique_drop(struct unique *unique, uint64_t recipient);
/* It was written to: counts from the latest time on. */
void unique_add(struct unique *unique, uint64_t recipient, int64_t at);
/* Those written to, without those that are only held. */
size_t unique_listed(const struct unique *unique);
/* When at most `left` of those written to will count; 0: it is so already. */
int64_t unique_frees(struct unique *unique, const struct span *span, int64_t now, size_t left);
/* Forgets all that was written to; what is held stays. */
void unique_clear(struct unique *unique);

#endif
